"""Handlers of `wg evolve`: making proposals, looking at them, saying yes or no."""

from collections.abc import Collection

from msgspec.structs import replace

from workgraph.commands import evolver, proposal_moves
from workgraph.commands.context import Context, officials_of
from workgraph.graph.errors import ConflictError, UsageError
from workgraph.graph.evolution import needs_review, propose
from workgraph.graph.model import Actor
from workgraph.graph.proposals import (
    OPEN,
    STRATEGY,
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
)
from workgraph.graph.replies import Reply
from workgraph.graph.times import to_rfc3339
from workgraph.store import evolution, identities, proposals
from workgraph.store.database import Tx


def evolve(context: Context, request: Evolve) -> Reply:
    """Makes proposals from the record and begins what may be begun."""
    tx, settings, by = context.tx, context.settings, context.caller.by
    view = evolution.view(tx, officials_of(settings))
    drafts = propose(view)
    if request.dry_run:
        would = tuple(
            _draft_data(tx, draft, waits=needs_review(draft, view)) for draft in drafts
        )
        return Reply(data=EvolutionData(proposals=would, dry_run=True))
    queued = [one for one in view.proposals if one.status is ProposalStatus.PROPOSED]
    new = [proposals.add(tx, draft, STRATEGY) for draft in drafts]
    for one in new:
        proposal_moves.tell(tx, one, by)
    moved = [proposal_moves.carry_out(tx, one, settings, by) for one in (*queued, *new)]
    errand, notes = evolver.ask(tx, view, settings)
    held = any(one.status is ProposalStatus.PROPOSED for one in moved)
    if held and settings.agency.trial_share == 0:
        notes += ("agency.trial_share is 0: no trial begins",)
    data = EvolutionData(
        proposals=tuple(_data(tx, one) for one in moved), dry_run=False, errand=errand
    )
    return Reply(data=data, notes=notes)


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
        if proposal.status not in OPEN:
            raise _over(proposal)
        words = f"rejected by {by}" + (f": {request.reason}" if request.reason else "")
        moved = proposal_moves.drop(
            tx, proposal, ProposalStatus.REJECTED, settings, by=by, result=words
        )
        return Reply(data=_data(tx, moved))
    if proposal.status is not ProposalStatus.WAITING:
        if proposal.status not in OPEN:
            raise _over(proposal)
        raise ConflictError(
            f"proposal {proposal.number} is {proposal.status}: it waits for nobody",
            hint="wg evolve review lists what does",
        )
    approved = replace(proposal, approved_by=by)
    if approved.child is not None:
        said = f"{approved.result}; approved by {by}"
        to = ProposalStatus.PROMOTED
        moved = proposal_moves.judge(tx, approved, to, settings, said)
    else:
        proposals.update(tx, approved)
        moved = proposal_moves.carry_out(tx, approved, settings, by)
    return Reply(data=_data(tx, moved))


def list_proposals(context: Context, request: ListProposals) -> Reply:
    """Proposals, the oldest first."""
    return _list(context.tx, set(ProposalStatus) if request.all else OPEN)


def show_proposal(context: Context, request: ShowProposal) -> Reply:
    """Everything about a proposal."""
    return Reply(data=_data(context.tx, proposals.find(context.tx, request.id)))


def _over(proposal: Proposal) -> ConflictError:
    return ConflictError(
        f"proposal {proposal.number} is {proposal.status}: {proposal.result}",
        hint="wg evolve proposes it again when there is new evidence",
    )


def _list(tx: Tx, statuses: Collection[ProposalStatus]) -> Reply:
    found = (one for one in proposals.every(tx) if one.status in statuses)
    return Reply(data=tuple(_data(tx, one) for one in found))


def _name(tx: Tx, id_: str | None) -> str | None:
    kept = identities.by_id(tx, Actor, id_) if id_ is not None else None
    return None if kept is None else kept.identity.name


def _draft_data(tx: Tx, draft: Draft, *, waits: bool) -> ProposalData:
    status = ProposalStatus.WAITING if waits else ProposalStatus.PROPOSED
    return ProposalData(
        id=None,
        kind=draft.kind,
        subject=_name(tx, draft.subject) or draft.subject,
        subject_id=draft.subject,
        change=draft.change,
        reason=draft.reason,
        evidence=draft.evidence,
        by=STRATEGY,
        status=status,
    )


def _data(tx: Tx, one: Proposal) -> ProposalData:
    return replace(
        _draft_data(tx, one, waits=False),
        id=one.number,
        by=one.by,
        status=one.status,
        created_at=to_rfc3339(one.created_at),
        started_at=_moment(one.started_at),
        ended_at=_moment(one.ended_at),
        child=_name(tx, one.child),
        child_id=one.child,
        share=one.share,
        looks=tuple(
            LookData(
                number=look.number,
                at=to_rfc3339(look.at),
                child_count=look.child_count,
                child_mean=look.child_mean,
                parent_count=look.parent_count,
                parent_mean=look.parent_mean,
                probability=look.probability,
            )
            for look in one.looks
        ),
        approved_by=one.approved_by,
        result=one.result,
    )


def _moment(micros: int | None) -> str | None:
    return None if micros is None else to_rfc3339(micros)
