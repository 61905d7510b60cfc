"""The commands that try the evaluator on known answers (CONTRACT §6)."""

from typing import Annotated

import typer

from workgraph.commands.cli_call import WgCommand, the_call
from workgraph.graph.canary_requests import GetCanaries, RunCanaries

CanaryOption = Annotated[
    str | None,
    typer.Option(
        "--canary",
        metavar="FILE",
        help="Try the evaluator on cases with known answers; - is standard input.",
    ),
]


def register_in(group: typer.Typer) -> None:
    """Adds this command to those of rewards."""
    group.command("canary", cls=WgCommand)(_canary)


def run_canaries(ctx: typer.Context, file: str) -> RunCanaries:
    """The request to try the evaluator on the cases of a file."""
    call = the_call(ctx)
    call.read_file = "-" if file == "-" else call.absolute(file)
    return RunCanaries(text="")


def _canary(
    run: Annotated[
        int | None,
        typer.Argument(metavar="[RUN]", min=1, help="Its number; else the last one."),
    ] = None,
) -> GetCanaries:
    """Show how the evaluator did on cases with known answers."""
    return GetCanaries(run=run)
