"""The typer application: every command of `wg` is a function that returns a request."""

from typing import Annotated

import typer
from typer._click.core import Context

from workgraph import __version__
from workgraph.commands import (
    cli_actors,
    cli_agents,
    cli_assigning,
    cli_chats,
    cli_context,
    cli_evolve,
    cli_executors,
    cli_graph,
    cli_life,
    cli_loops,
    cli_matching,
    cli_messages,
    cli_rewards,
    cli_service,
    cli_trajectories,
    cli_waits,
)
from workgraph.commands.cli_call import HelpAsked, WgCommand, WgGroup, new_app
from workgraph.graph.errors import UsageError


def build_app() -> typer.Typer:
    """Builds the whole application; `parse` does it once."""
    app = new_app()
    app.callback(invoke_without_command=True)(_root)
    cli_graph.register(app)
    cli_life.register(app)
    cli_messages.register(app)
    cli_waits.register(app)
    cli_loops.register(app)
    cli_agents.register(app)
    cli_actors.register(app)
    cli_assigning.register(app)
    cli_context.register(app)
    cli_matching.register(app)
    cli_executors.register(app)
    cli_service.register(app)
    cli_trajectories.register(app)
    cli_rewards.register(app)
    cli_evolve.register(app)
    cli_chats.register(app)
    app.command("help", cls=WgCommand)(_help)
    return app


def _print_version(ctx: typer.Context, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        raise HelpAsked(f"wg {__version__}\n")


def _root(
    ctx: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            expose_value=False,
            is_eager=True,
            help="Show the version.",
        ),
    ] = False,
    # `parse` takes these two before the parser sees them; here they are for the help.
    _install: Annotated[
        bool,
        typer.Option(
            "--install-completion",
            expose_value=False,
            help="Install completion for this shell, or the one named after it.",
        ),
    ] = False,
    _show: Annotated[
        bool,
        typer.Option(
            "--show-completion",
            expose_value=False,
            help="Show what that would install.",
        ),
    ] = False,
) -> None:
    """Work a graph of tasks off with agents."""
    if ctx.invoked_subcommand is None:
        raise HelpAsked(ctx.get_help() + "\n")


def _help(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[COMMAND]...", help="Such as add, or service start."),
    ] = None,
) -> None:
    """Show what a command does."""
    here: Context = ctx.find_root()
    for word in words or ():
        group = here.command
        if not isinstance(group, WgGroup):
            raise UsageError(f"{here.command_path} has no commands of its own")
        command = group.get_command(here, word)
        if command is None:
            raise group.unknown(here, word)
        here = Context(command, info_name=word, parent=here)
    raise HelpAsked(here.get_help() + "\n")
