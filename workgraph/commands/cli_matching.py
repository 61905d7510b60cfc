"""The command that says who could do a task (CONTRACT §6)."""

from typing import Annotated

import typer

from workgraph.commands.cli_call import TaskArgument, TaskOption, WgCommand, the_task
from workgraph.graph.match_requests import MatchActors


def register(app: typer.Typer) -> None:
    """Adds this command."""
    app.command("match", cls=WgCommand)(_match)


def _match(
    ctx: typer.Context,
    *,
    task: TaskArgument = None,
    other: TaskOption = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="What would be chosen, and by which record."),
    ] = False,
) -> MatchActors:
    """Show how well each actor fits a task, or why it can't do it."""
    return MatchActors(task=the_task(ctx, task, other), explain=explain)
