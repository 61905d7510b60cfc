"""How well actors fit a task, as people read it."""

from collections.abc import Sequence

from workgraph.commands.escape import escape_line
from workgraph.commands.render_style import Style, as_lines, table
from workgraph.graph.match_requests import EvidenceData, MatchActors, MatchData

#: A probability below this is shown as less than it.
_LEAST: float = 0.01


def match_page(request: MatchActors, data: Sequence[MatchData], style: Style) -> str:
    """A line for each actor; with `explain` what would be chosen, and why."""
    if not request.explain:
        return table(
            ("ACTOR", "SCORE", "CHANCE", "WHY"),
            [(*_heads(one), _why(one)) for one in data],
            style,
            words=-1,
        )
    rows = table(
        ("ACTOR", "SCORE", "CHANCE", "SCORES", "MEAN", "RANGE", "WHY"),
        [
            (*_heads(one), *_record(one.record), _why(one) + _unknown(one))
            for one in data
        ],
        style,
        words=-1,
    )
    return as_lines(_now(data)) + rows + as_lines(_before(data, style))


def _heads(one: MatchData) -> tuple[str, str, str]:
    score = "-" if one.score is None else f"{one.score:.3f}"
    return escape_line(one.actor), score, _percent(one.propensity)


def _percent(share: float) -> str:
    if share <= 0:
        return "-"
    return "<1 %" if share < _LEAST else f"{100 * share:.0f} %"


def _why(one: MatchData) -> str:
    words = [] if one.reason is None else [escape_line(one.reason)]
    if one.capable and one.busy:
        words.append("it works on as much as it may")
    parts = [f"{name} {value:.3g}" for name, value in one.parts.items() if value]
    return "; ".join([*words, *([", ".join(parts)] if parts else [])])


def _unknown(one: MatchData) -> str:
    return f"; not known: {', '.join(one.unknown)}" if one.unknown else ""


def _record(record: EvidenceData | None) -> tuple[str, str, str]:
    if record is None:
        return "-", "-", "-"
    return (
        f"{record.count:g}/{record.of_skill:g}/{record.of_all:g}",
        f"{record.mean:.2f}",
        f"{record.low:.2f}-{record.high:.2f}",
    )


def _now(data: Sequence[MatchData]) -> list[str]:
    best = next((escape_line(one.actor) for one in data if one.greedy), None)
    return [
        f"attempt {one.attempt} would go to {escape_line(one.actor)}, chosen with"
        f" {_percent(one.propensity)}; the best known is {best}"
        for one in data
        if one.chosen
    ]


def _before(data: Sequence[MatchData], style: Style) -> list[str]:
    return [
        f"attempt {one.last.attempt} went to {escape_line(one.actor)}, chosen with"
        f" {_percent(one.last.propensity)} {style.moment(one.last.at)}; the best known"
        f" was {escape_line(one.last.greedy)}"
        for one in data
        if one.last is not None
    ]
