"""Commands about trajectories: tasks that one actor does one after another."""

from typing import Annotated

import typer

from workgraph.commands.cli_call import WgCommand
from workgraph.graph.errors import UsageError
from workgraph.graph.reservations import ClaimTrajectory, GetTrajectory


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    app.command("trajectory", cls=WgCommand)(_trajectory)
    app.command("claim-trajectory", cls=WgCommand)(_claim_trajectory)


def _trajectory(
    task: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]", show_default=False, help="Its first task; else the best."
        ),
    ] = None,
    actor: Annotated[
        str | None,
        typer.Option("--actor", metavar="NAME", help="For whom: an actor or any name."),
    ] = None,
    limit_tokens: Annotated[
        int | None,
        typer.Option(
            "--limit-tokens", metavar="N", help="Instead of the actor's limit.", min=0
        ),
    ] = None,
) -> GetTrajectory:
    """Show tasks that one actor could do one after another."""
    return GetTrajectory(task=task, actor=actor, limit_tokens=limit_tokens)


def _claim_trajectory(
    tasks: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Its tasks in order.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="ID", help="What wg trajectory shows for this task."
        ),
    ] = None,
    actor: Annotated[
        str | None,
        typer.Option("--actor", metavar="NAME", help="For whom: an actor or any name."),
    ] = None,
) -> ClaimTrajectory:
    """Reserve tasks that are to be done one after another, all or nothing."""
    if bool(tasks) == (start is not None):
        raise UsageError("name tasks, or one with --from, one of both")
    return ClaimTrajectory(task=tuple(tasks or ()), from_=start, actor=actor)
