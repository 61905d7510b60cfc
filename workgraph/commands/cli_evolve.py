"""The commands about changes to who does the work."""

from typing import Annotated

import typer

from workgraph.commands.cli_call import WgCommand, new_app
from workgraph.graph.errors import UsageError
from workgraph.graph.proposals import (
    Evolve,
    ListProposals,
    ReviewProposal,
    ShowProposal,
)

Id = Annotated[int, typer.Argument(metavar="ID", help="The proposal.", min=1)]
Reason = Annotated[
    str | None,
    typer.Option("--reason", metavar="R", help="Why; - reads it."),
]


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    evolve = new_app("evolve", "Make proposals from the record, and try them.")
    evolve.callback(invoke_without_command=True)(_evolve)
    evolve.command("list", cls=WgCommand)(_list)
    evolve.command("show", cls=WgCommand)(_show)
    review = new_app("review", "What a person has to say yes or no to.")
    review.callback(invoke_without_command=True)(_review)
    review.command("approve", cls=WgCommand)(_approve)
    review.command("reject", cls=WgCommand)(_reject)
    evolve.add_typer(review)
    app.add_typer(evolve)


def _evolve(
    ctx: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be, and change nothing.")
    ] = False,
) -> Evolve | None:
    """Make proposals from the record, and try them."""
    if ctx.invoked_subcommand is None:
        return Evolve(dry_run=dry_run)
    if dry_run:
        raise UsageError("--dry-run goes with wg evolve alone")
    return None


def _review(ctx: typer.Context) -> ReviewProposal | None:
    """List what a person has to say yes or no to."""
    return ReviewProposal() if ctx.invoked_subcommand is None else None


def _approve(id: Id) -> ReviewProposal:
    """Carry out a proposal that waits for a person."""
    return ReviewProposal(id=id, verdict="approve")


def _reject(id: Id, reason: Reason = None) -> ReviewProposal:
    """Refuse a proposal; one that is on trial ends."""
    return ReviewProposal(id=id, verdict="reject", reason=reason)


def _list(
    all: Annotated[
        bool, typer.Option("--all", help="Those of which nothing more comes, too.")
    ] = False,
) -> ListProposals:
    """List proposals, the oldest first."""
    return ListProposals(all=all)


def _show(id: Id) -> ShowProposal:
    """Show a proposal: what it is made from, and how its trial stands."""
    return ShowProposal(id=id)
