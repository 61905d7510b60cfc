"""Handlers of `wg evolve`: making proposals, looking at them, saying yes or no."""

from msgspec.structs import replace

from workgraph.commands import proposal_moves
from workgraph.commands.context import Context
from workgraph.graph.errors import ConflictError, UsageError
from workgraph.graph.evolution import needs_review, propose
from workgraph.graph.model import Actor
from workgraph.graph.proposals import (
    OPEN,
    Draft,
    EvolutionData,
    Evolve,
    ListProposals,
    LookData,
    Proposal,
    ProposalData,
    ProposalStatus,
    ReviewProposal,
    ShowProposal,
    STRATEGY,
)
from workgraph.graph.replies import Reply
from workgraph.graph.times import show_moment
from workgraph.store import evolution, identities, proposals
from workgraph.store.database import Tx


def evolve(context: Context, request: Evolve) -> Reply:
    """Makes proposals from the record and begins what may be begun."""
    tx, settings = context.tx, context.settings
    view = evolution.view(tx, proposal_moves.officials(settings))
    drafts = propose(view)
    if request.dry_run:
        would = tuple(
            _draft_data(tx, draft, waits=needs_review(draft, view)) for draft in drafts
        )
        return Reply(data=EvolutionData(proposals=would, dry_run=True))
    by = context.caller.by
    queued = [
        one
        for one in proposals.open_ones(tx)
        if one.status is ProposalStatus.PROPOSED
    ]
    new = [proposals.add(tx, draft, STRATEGY) for draft in drafts]
    for one in new:
        proposal_moves.tell(tx, one, by)
    done = [
        proposal_moves.carry_out(tx, one, settings, by) for one in (*queued, *new)
    ]
    moved = [one for one in done if one in new or one.status not in {
        ProposalStatus.PROPOSED
    } or one.number in {other.number for other in new}]
    data = EvolutionData(
        proposals=tuple(_data(tx, one) for one in moved), dry_run=False
    )
    return Reply(data=data)


def review(context: Context, request: ReviewProposal) -> Reply:
    """Says yes or no to a proposal; without one, those that wait for it.

    Raises:
        UsageError: One of both is missing.
        NotFoundError: There is no such proposal.
        ConflictError: Nobody is asked about it.
    """
    tx, by, settings = context.tx, context.caller.by, context.settings
    if request.id is None or request.verdict is None:
        if request.id is not None or request.verdict is not None:
            raise UsageError(
                "a review names a proposal and says approve or reject",
                hint="wg evolve review approve ID",
            )
        return _list(tx, {ProposalStatus.WAITING})
    proposal = proposals.find(tx, request.id)
    if request.verdict == "reject":
        return _reject(context, proposal, request.reason)
    if proposal.status is not ProposalStatus.WAITING:
        raise ConflictError(
            f"proposal {proposal.number} is {proposal.status}: it does not wait for"
            " anybody",
            hint="wg evolve review lists what does",
        )
    approved = replace(proposal, approved_by=by)
    if approved.child is not None:
        said = f"{approved.result}; approved by {by}"
        moved = proposal_moves.judge(
            tx, approved, ProposalStatus.PROMOTED, settings, said
        )
    else:
        moved = proposal_moves.carry_out(tx, approved, settings, by)
        if moved.status is ProposalStatus.WAITING:
            proposals.update(tx, moved)
    return Reply(data=_data(tx, moved))


def list_proposals(context: Context, request: ListProposals) -> Reply:
    """Proposals, the oldest first."""
    return _list(context.tx, set(ProposalStatus) if request.all else set(OPEN))


def show_proposal(context: Context, request: ShowProposal) -> Reply:
    """Everything about a proposal."""
    return Reply(data=_data(context.tx, proposals.find(context.tx, request.id)))
