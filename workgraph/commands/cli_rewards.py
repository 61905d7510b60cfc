"""Commands about judgements: giving one, showing them, and how actors stand by them."""

from collections.abc import Sequence
from typing import Annotated, cast, get_args

import typer

from workgraph.commands import cli_canaries
from workgraph.commands.cli_call import WgCommand, new_app
from workgraph.graph.canary_requests import RunCanaries
from workgraph.graph.errors import UsageError
from workgraph.graph.judging_requests import RunReward
from workgraph.graph.reward_requests import (
    GetStats,
    RecordReward,
    ShowRewards,
    StatsBy,
)
from workgraph.graph.rubric import check_dimensions


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    reward = new_app("reward", "Judgements of attempts.")
    reward.command("record", cls=WgCommand)(_record)
    reward.command("show", cls=WgCommand)(_show)
    reward.command("run", cls=WgCommand)(_run)
    cli_canaries.register_in(reward)
    app.add_typer(reward)


def register_stats(actor: typer.Typer) -> None:
    """Adds what belongs to the commands about actors."""
    actor.command("stats", cls=WgCommand)(_stats)


def _record(
    task: Annotated[str, typer.Argument(metavar="ID", help="The task.")],
    *,
    score: Annotated[
        float | None,
        typer.Option(
            "--score", metavar="X", help="0 to 1; --dim of the rubric makes another."
        ),
    ] = None,
    dim: Annotated[
        list[str] | None,
        typer.Option(
            "--dim", metavar="NAME=X", help="A dimension, 0 to 1; may be repeated."
        ),
    ] = None,
    notes: Annotated[
        str | None,
        typer.Option(
            "--notes", metavar="T", help="For the next attempt; - reads them."
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="S", help="Who judges; else operator."),
    ] = None,
    attempt: Annotated[
        int | None,
        typer.Option("--attempt", metavar="N", help="Instead of the last one.", min=1),
    ] = None,
) -> RecordReward:
    """Judge an attempt at a task."""
    return RecordReward(
        task=task,
        score=score,
        dim=_dimensions(dim or ()),
        notes=notes,
        source=source,
        attempt=attempt,
    )


def _show(
    task: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]", show_default=False, help="The task; else the newest of all."
        ),
    ] = None,
) -> ShowRewards:
    """Show what was said of a task's attempts, and what of it counts."""
    return ShowRewards(task=task)


def _run(
    ctx: typer.Context,
    task: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", show_default=False, help="The task."),
    ] = None,
    *,
    attempt: Annotated[
        int | None,
        typer.Option("--attempt", metavar="N", help="Instead of the last one.", min=1),
    ] = None,
    canary: cli_canaries.CanaryOption = None,
) -> RunReward | RunCanaries:
    """Have an attempt judged now: by the evaluator; where there is none, by checks."""
    if canary is not None:
        if task is not None or attempt is not None:
            raise UsageError(
                "--canary FILE is about no task", hint="leave the others out"
            )
        return cli_canaries.run_canaries(ctx, canary)
    if task is None:
        raise UsageError(
            "what is to be judged?",
            hint="name a task, or cases with known answers: --canary FILE",
        )
    return RunReward(task=task, attempt=attempt)


def _stats(
    actor: Annotated[
        str | None,
        typer.Argument(
            metavar="[ACTOR]",
            show_default=False,
            help="Its name, or how its id begins.",
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="|".join(get_args(StatsBy)),
            help="Its work by skill and complexity, or what each source says.",
        ),
    ] = None,
) -> GetStats:
    """Show how actors, roles and tradeoffs stand by what was judged."""
    if by is not None and by not in get_args(StatsBy):
        raise UsageError(
            f"--by: {by!r} is none", hint=f"one of {', '.join(get_args(StatsBy))}"
        )
    return GetStats(actor=actor, by=cast("StatsBy | None", by))


def _dimensions(words: Sequence[str]) -> dict[str, float]:
    said = []
    for word in words:
        name, equals, value = word.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = None
        if not equals or number is None:
            raise UsageError(
                f"--dim {word!r}: it has to be NAME=X", hint="--dim correctness=0.8"
            )
        said.append((name, number))
    return check_dimensions(said)
