"""Commands about executors: which there are, and whether one works."""

from typing import Annotated

import typer

from workgraph.agents.builtin import BUILTINS
from workgraph.commands.cli_call import WgCommand, new_app
from workgraph.graph.requests import ListExecutors, TryExecutor


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    executor = new_app("executor", "The kinds of agents that there are.")
    executor.command("list", cls=WgCommand)(_list)
    executor.command("test", cls=WgCommand)(_test)
    app.add_typer(executor)


def _built_in(incomplete: str) -> list[str]:
    """Names for the shell's completion; those of the settings are not known there."""
    return [one.name for one in BUILTINS if one.name.startswith(incomplete)]


def _list() -> ListExecutors:
    """List executors, and what each lacks to run here."""
    return ListExecutors()


def _test(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Such as claude.", autocompletion=_built_in
        ),
    ],
    model: Annotated[
        str | None, typer.Option("--model", metavar="SPEC", help="Instead of its own.")
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            "--endpoint", metavar="NAME|URL", help="Instead of the settings'."
        ),
    ] = None,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="D", help="It is ended after this.")
    ] = "60s",
) -> TryExecutor:
    """Let an executor say one word, and tell how that went."""
    return TryExecutor(executor=name, model=model, endpoint=endpoint, timeout=timeout)
