"""Judgements, and how actors stand by them, as people read them."""

from collections.abc import Mapping, Sequence
from typing import Final

from workgraph.commands.escape import escape_line
from workgraph.commands.render_canaries import difference_words
from workgraph.commands.render_style import Style, as_lines, block, table
from workgraph.graph.judging_requests import RunData
from workgraph.graph.reward_requests import (
    RewardData,
    StandingData,
    StatsData,
    TaskReward,
)

_SHORT: Final = 8


def recorded_line(data: RewardData) -> str:
    """What became of a judgement that was given."""
    what = f"attempt {data.attempt}, {data.score:g} by {data.source}"
    return as_lines([escape_line(f"{data.task}: {what}")])


def run_line(data: RunData) -> str:
    """Who judges, or what checks have said."""
    said = f"{data.evaluator} judges it in {', '.join(data.errands)}"
    if not data.errands:
        said = f"{data.score:g} by checks"
    return as_lines([escape_line(f"{data.task}: attempt {data.attempt}, {said}")])


def reward_lines(rewards: Sequence[RewardData], style: Style) -> str:
    """A line for each, with its dimensions and notes below."""
    lines: list[str] = []
    for one in rewards:
        counts = ", counts" if one.counts else ""
        who = f" of {one.actor}" if one.actor else ""
        lines.append(
            escape_line(
                f"{one.task} attempt {one.attempt}{who}:"
                f" {one.score:g} by {one.source}{counts}"
                f" ({one.by}, rubric {one.rubric}, {style.moment(one.at)})"
            )
        )
        if one.dimensions:
            lines.append(f"  {escape_line(dimension_words(one.dimensions))}")
        if one.given is not None and one.given != one.score:
            lines.append(f"  {one.given:g} was given")
        lines.extend(f"  | {line}" for line in block(one.notes or ""))
    return as_lines(lines)


def reward_words(reward: TaskReward | None) -> str | None:
    """What counts of a task's judgements, on one line."""
    if reward is None:
        return None
    said = f"{reward.score:g} by {reward.by}"
    if not reward.dimensions:
        return said
    return f"{said} ({dimension_words(reward.dimensions)})"


def dimension_words(dimensions: Mapping[str, float]) -> str:
    """Dimensions on one line."""
    return ", ".join(f"{name} {value:g}" for name, value in dimensions.items())


def stats_page(data: StatsData, style: Style) -> str:
    """A row for each that has a record, then where operators said otherwise."""
    heads = ("KIND", "ID", "COUNT", "MEAN", f"{data.level} %", "OF", "NAME")
    text = table(heads, [_row(one) for one in data.rows], style, words=-1)
    for one in data.overrides:
        attempts = f"{one.count} attempt{'' if one.count == 1 else 's'}"
        text += as_lines(
            [
                escape_line(
                    f"operators on {one.name}: {one.operator:g} where evaluators said"
                    f" {one.evaluator:g} ({one.difference:+g}, {attempts})"
                )
            ]
        )
    judged = data.as_evaluator
    if judged is not None and judged.difference is not None:
        words = difference_words(judged.difference)
        text += f"as evaluator: {judged.count} overridden by operators, by {words}\n"
    return text


def _row(one: StandingData) -> tuple[str, ...]:
    of = " ".join(word for word in (one.skill, one.complexity, one.source) if word)
    name = f"(retired) {one.name}" if one.retired else one.name
    return (
        one.kind,
        "+".join(part[:_SHORT] for part in one.id.split(" ")),
        str(one.count),
        "-" if one.mean is None else f"{one.mean:.2f}",
        f"{one.low:.2f}-{one.high:.2f}",
        escape_line(of) or "-",
        escape_line(name),
    )
