"""The command that says who is to do a task."""

from typing import Annotated

import typer

from workgraph.commands.cli_call import WgCommand
from workgraph.graph.assigning import AssignTask
from workgraph.graph.errors import UsageError


def register(app: typer.Typer) -> None:
    """Adds it."""
    app.command("assign", cls=WgCommand)(_assign)


def _assign(
    task: Annotated[str, typer.Argument(metavar="ID", help="The task.")],
    actor: Annotated[
        str | None,
        typer.Argument(
            metavar="[ACTOR]",
            help="An actor by name or by the beginning of its id, or a person's name.",
        ),
    ] = None,
    auto: Annotated[
        bool, typer.Option("--auto", help="Whom matching chooses now.")
    ] = False,
    clear: Annotated[
        bool, typer.Option("--clear", help="Nobody: it is open again who does it.")
    ] = False,
) -> AssignTask:
    """Say who is to do a task."""
    if (actor is not None) + auto + clear != 1:
        raise UsageError("name an actor, or say --auto or --clear: one of the three")
    return AssignTask(task=task, actor=actor, auto=auto, clear=clear)
