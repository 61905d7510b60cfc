"""The command about prompts (CONTRACT §7)."""

from typing import Annotated

import typer

from workgraph.commands.cli_call import TaskArgument, TaskOption, WgCommand, the_task
from workgraph.graph.prompt_requests import GetContext


def register(app: typer.Typer) -> None:
    """Adds this command."""
    app.command("context", cls=WgCommand)(_context)


def _context(
    ctx: typer.Context,
    *,
    task: TaskArgument = None,
    other: TaskOption = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Block by block, not the text.")
    ] = False,
    agent: Annotated[
        str | None,
        typer.Option("--agent", metavar="AGENT", help="What that one was given."),
    ] = None,
    actor: Annotated[
        str | None,
        typer.Option("--actor", metavar="NAME", help="Instead of the task's."),
    ] = None,
) -> GetContext:
    """Show what an agent would be told now."""
    named = task is not None or other is not None
    about = the_task(ctx, task, other) if agent is None or named else None
    return GetContext(task=about, agent=agent, explain=explain, actor=actor)
