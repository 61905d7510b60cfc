"""What becomes of a proposal: a trial begins, a changed actor takes a place, or goes.

A changed actor is a new identity that lives beside its parent, by a name of its own:
its name is part of its id, and its record belongs to the id. So it keeps that name when
it takes its parent's place, and the tasks that were given to the parent by name are
given to it. Actors that `[agency]` names keep theirs: their work is not judged, so
there is no trial and no record, and what a person has approved takes effect at once.
"""

import re
from typing import Final

from msgspec.structs import replace

from workgraph.commands.context import officials_of
from workgraph.graph import identity
from workgraph.graph.changes import ChangeKind
from workgraph.graph.evolution import (
    EvolutionView,
    Subject,
    find_subject,
    is_last_able,
    needs_review,
)
from workgraph.graph.model import Actor, Lineage, Role, Tradeoff
from workgraph.graph.proposal_checks import refusal
from workgraph.graph.proposals import OPEN, Becomes, Proposal, ProposalStatus
from workgraph.settings import Settings
from workgraph.store import candidates, evolution, identities, proposals
from workgraph.store.database import Tx

_NUMBERED: Final = re.compile(r"(.*)-[0-9]+", re.DOTALL)
_FIRST_NUMBER: Final = 2
_LONGEST_NAME: Final = 64


def tell(tx: Tx, found: Proposal, by: str) -> None:
    """Tells that a proposal was made."""
    actor = _name_of(tx, found.subject)
    reason = f"{found.number}: {found.kind} of {actor}: {found.reason}"
    tx.emit(ChangeKind.PROPOSAL_ADDED, actor=actor, by=by, to="proposed", reason=reason)


def carry_out(tx: Tx, proposal: Proposal, settings: Settings, by: str) -> Proposal:
    """Begins what a proposal asks for, as far as it may and can be begun now."""
    view = evolution.view(tx, officials_of(settings), with_dimensions=False)
    wrong = refusal(proposal, view)
    if wrong is not None:
        return _move(tx, proposal, ProposalStatus.REJECTED, by, wrong)
    if needs_review(proposal, view) and proposal.approved_by is None:
        if proposal.status is ProposalStatus.WAITING:
            return proposal
        return _move(tx, proposal, ProposalStatus.WAITING, by)
    subject = find_subject(view, proposal.subject)
    assert subject is not None
    if proposal.kind == "retire":
        return _retire_subject(tx, proposal, subject.actor, by)
    if proposal.subject in view.officials:
        return _change_in_place(tx, proposal, subject, by)
    if any(one.has_trial and one.subject == proposal.subject for one in view.proposals):
        return proposal
    share = settings.agency.trial_share
    if share == 0:  # it would never end
        return proposal
    return _begin_trial(tx, proposal, subject, share, by)


def judge(
    tx: Tx, proposal: Proposal, to: ProposalStatus, settings: Settings, result: str
) -> Proposal:
    """Ends a trial as the record, or a person who was asked for a yes, says."""
    by = proposal.approved_by or "workgraph"
    if to is ProposalStatus.WAITING:
        return _move(tx, proposal, to, by, result)
    if to is ProposalStatus.PROMOTED:
        view = evolution.view(tx, officials_of(settings), with_dimensions=False)
        wrong = what_forbids(view, proposal)
        if wrong is None:
            return _promote(tx, proposal, by, result)
        result = f"{result}, but {wrong}"
    return drop(tx, proposal, ProposalStatus.RETIRED, settings, by=by, result=result)


def drop(
    tx: Tx,
    proposal: Proposal,
    to: ProposalStatus,
    settings: Settings,
    *,
    by: str,
    result: str,
) -> Proposal:
    """Takes a changed actor out of use; its tasks go back to its parent."""
    child = _actor(tx, proposal.child)
    parent = _actor(tx, proposal.subject)
    if child is not None:
        identities.retire(tx, child.id)
        _retire_unused(tx, child, proposal)
        back_to = parent.name if parent is not None else None
        proposals.hand_over(tx, child.name, back_to, by)
    moved = _move(tx, proposal, to, by, result)
    candidates.wake_parked(tx)
    _begin_next(tx, proposal.subject, settings, by)
    return moved


def what_forbids(view: EvolutionView, proposal: Proposal) -> str | None:
    """Why a changed actor can't take its parent's place; null: it can."""
    subject = find_subject(view, proposal.subject)
    if subject is None:
        return "its parent is not in use any more"
    if find_subject(view, proposal.child or "") is None:
        return "the changed actor is not in use any more"
    kept = proposal.change.skills
    if kept is not None:
        for skill in sorted(set(subject.actor.skills) - set(kept)):
            if is_last_able(view, proposal.subject, skill):
                return f"nobody else could do {skill} then"
    return None


def both(tx: Tx, proposal: Proposal) -> tuple[Actor | None, Actor | None]:
    """The changed actor and its parent, as far as they are in use."""
    return _actor(tx, proposal.child), _actor(tx, proposal.subject)


def _begin_trial(
    tx: Tx, proposal: Proposal, subject: Subject, share: float, by: str
) -> Proposal:
    child = _changed(tx, proposal, subject, _free_name(tx, Actor, subject.actor.name))
    identities.keep(tx, child)
    begun = replace(proposal, child=child.id, share=share, started_at=tx.now)
    told = f"{child.name} gets {share:.0%} of the work of {subject.actor.name}"
    moved = _move(tx, begun, ProposalStatus.TRIAL, by, told=told)
    candidates.wake_parked(tx)
    return moved


def _promote(tx: Tx, proposal: Proposal, by: str, result: str) -> Proposal:
    child, parent = _actor(tx, proposal.child), _actor(tx, proposal.subject)
    assert child is not None
    assert parent is not None
    identities.retire(tx, parent.id)
    proposals.hand_over(tx, parent.name, child.name, by)
    moved = _move(tx, proposal, ProposalStatus.PROMOTED, by, result)
    candidates.wake_parked(tx)  # what was on trial may be chosen from now on
    for other in proposals.open_ones(tx):
        if other.subject == parent.id and other.status in OPEN:
            why = f"{child.name} has taken the place of {parent.name}"
            _move(tx, other, ProposalStatus.REJECTED, by, why)
    return moved


def _change_in_place(tx: Tx, proposal: Proposal, subject: Subject, by: str) -> Proposal:
    parent = subject.actor
    changed = _changed(tx, proposal, subject, parent.name)
    if changed.id != parent.id:
        identities.retire(tx, parent.id)
    identities.keep(tx, changed)
    candidates.wake_parked(tx)
    moved = replace(proposal, child=changed.id)
    result = f"approved by {proposal.approved_by}: {parent.name} is changed"
    return _move(tx, moved, ProposalStatus.PROMOTED, by, result)


def _retire_subject(tx: Tx, proposal: Proposal, actor: Actor, by: str) -> Proposal:
    identities.retire(tx, actor.id)
    proposals.hand_over(tx, actor.name, None, by)
    candidates.wake_parked(tx)
    for other in proposals.open_ones(tx):
        if other.number != proposal.number and other.subject == actor.id:
            why = f"{actor.name} is retired"
            child = _actor(tx, other.child)
            if child is not None:
                identities.retire(tx, child.id)
                proposals.hand_over(tx, child.name, None, by)
            _move(tx, other, ProposalStatus.REJECTED, by, why)
    return _move(tx, proposal, ProposalStatus.RETIRED, by, f"{actor.name} is retired")


def _begin_next(tx: Tx, subject: str, settings: Settings, by: str) -> None:
    """What has waited for another trial of the same actor goes on."""
    for one in proposals.open_ones(tx):
        if one.subject == subject and one.status is ProposalStatus.PROPOSED:
            carry_out(tx, one, settings, by)
            return


def _move(
    tx: Tx,
    proposal: Proposal,
    to: ProposalStatus,
    by: str,
    result: str | None = None,
    *,
    told: str | None = None,
) -> Proposal:
    moved = replace(
        proposal,
        status=to,
        ended_at=None if to in OPEN else tx.now,
        result=result if result is not None else proposal.result,
    )
    proposals.update(tx, moved)
    words = result or told
    tx.emit(
        ChangeKind.PROPOSAL_CHANGED,
        actor=_name_of(tx, proposal.subject),
        by=by,
        from_=proposal.status,
        to=to,
        reason=f"{proposal.number}: {words}" if words else str(proposal.number),
    )
    return moved


def _changed(tx: Tx, proposal: Proposal, subject: Subject, name: str) -> Actor:
    """The actor as it becomes, with the role or tradeoff that it needs."""
    actor, change = subject.actor, proposal.change
    role, tradeoff = actor.role, actor.tradeoff
    if proposal.kind == "role":
        role = _changed_role(tx, subject, change, proposal.by)
    if proposal.kind == "tradeoff":
        tradeoff = _changed_tradeoff(tx, subject, change, proposal.by)
    id_ = identity.actor_id(name=name, role=role, tradeoff=tradeoff)
    lineage = actor.lineage
    if id_ != actor.id:
        lineage = _lineage(actor.id, actor.lineage, proposal.by)
    return replace(
        actor,
        id=id_,
        name=name,
        role=role,
        tradeoff=tradeoff,
        skills=actor.skills if change.skills is None else change.skills,
        model=actor.model if change.model is None else change.model,
        lineage=lineage,
    )


def _changed_role(tx: Tx, subject: Subject, change: Becomes, by: str) -> str:
    actor, old = subject.actor, subject.role
    described = old.description if old else f"What {actor.name} does."
    description = change.description or described
    outcome = change.outcome or (old.outcome if old else "")
    skills = old.skills if old else actor.skills
    id_ = identity.role_id(description=description, skills=skills, outcome=outcome)
    kept = identities.by_id(tx, Role, id_)
    if kept is None or kept.retired_at is not None:
        name = old.name if old else actor.name
        role = Role(
            id=id_,
            name=_free_name(tx, Role, name),
            description=description,
            outcome=outcome,
            skills=skills,
            lineage=_lineage(old.id, old.lineage, by) if old else Lineage(by=by),
        )
        identities.keep(tx, role)
    return id_


def _changed_tradeoff(tx: Tx, subject: Subject, change: Becomes, by: str) -> str:
    actor, old = subject.actor, subject.tradeoff
    described = old.description if old else f"How {actor.name} works."
    description = change.description or described
    accept = change.accept if change.accept is not None else old.accept if old else ()
    reject = change.reject if change.reject is not None else old.reject if old else ()
    id_ = identity.tradeoff_id(description=description, accept=accept, reject=reject)
    kept = identities.by_id(tx, Tradeoff, id_)
    if kept is None or kept.retired_at is not None:
        name = old.name if old else actor.name
        tradeoff = Tradeoff(
            id=id_,
            name=_free_name(tx, Tradeoff, name),
            description=description,
            accept=accept,
            reject=reject,
            lineage=_lineage(old.id, old.lineage, by) if old else Lineage(by=by),
        )
        identities.keep(tx, tradeoff)
    return id_


def _retire_unused(tx: Tx, child: Actor, proposal: Proposal) -> None:
    """What was made for a trial goes with it, unless somebody has taken it up."""
    made = child.role if proposal.kind == "role" else None
    made = child.tradeoff if proposal.kind == "tradeoff" else made
    if made is not None and not identities.bearers(tx, made):
        identities.retire(tx, made)


def _lineage(parent: str, before: Lineage, by: str) -> Lineage:
    return Lineage(parents=(parent,), generation=before.generation + 1, by=by)


def _free_name(
    tx: Tx, type_: type[Actor] | type[Role] | type[Tradeoff], name: str
) -> str:
    """`NAME-2` and so on: one that nobody has had, so that its id is a new one."""
    had = {one.identity.name for one in identities.every(tx, type_, retired=True)}
    match = _NUMBERED.fullmatch(name)
    stem = match[1] if match else name
    number = _FIRST_NUMBER
    while True:
        tail = f"-{number}"
        free = stem[: _LONGEST_NAME - len(tail)] + tail
        if free not in had:
            return free
        number += 1


def _actor(tx: Tx, id_: str | None) -> Actor | None:
    """An actor that is in use, by its id."""
    kept = identities.by_id(tx, Actor, id_) if id_ is not None else None
    if kept is None or kept.retired_at is not None:
        return None
    assert isinstance(kept.identity, Actor)
    return kept.identity


def _name_of(tx: Tx, id_: str) -> str | None:
    kept = identities.by_id(tx, Actor, id_)
    return None if kept is None else kept.identity.name
