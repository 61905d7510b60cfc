"""The command that makes tasks run again in a loop."""

from typing import Annotated

import typer

from workgraph.commands.cli_call import WgCommand
from workgraph.graph.errors import UsageError
from workgraph.graph.loops import LoopTasks


def register(app: typer.Typer) -> None:
    """Adds it."""
    app.command("loop", cls=WgCommand)(_loop)


def _loop(
    tasks: Annotated[
        list[str], typer.Argument(metavar="ID...", help="The tasks, in order.")
    ],
    max: Annotated[
        int | None,
        typer.Option("--max", metavar="N", help="Iterations at the most."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="CMD", help="Until this command exits with 0."),
    ] = None,
    until_converged: Annotated[
        bool,
        typer.Option("--until-converged", help="Until one says done --converged."),
    ] = False,
    end: Annotated[
        bool, typer.Option("--end", help="End the loop that the task is in.")
    ] = False,
) -> LoopTasks:
    """Run tasks again, in order, until a condition or so many times."""
    if max is None and not end:
        raise UsageError("--max is missing: a loop has a last iteration")
    return LoopTasks(
        task=tuple(tasks),
        max=max,
        until=until,
        until_converged=until_converged,
        end=end,
    )
