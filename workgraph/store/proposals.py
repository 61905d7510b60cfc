"""Proposals to change who does the work, and what is judged of those on trial."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from workgraph.graph.changes import ChangeKind
from workgraph.graph.errors import NotFoundError
from workgraph.graph.model import Record
from workgraph.graph.proposals import (
    Draft,
    Look,
    Proposal,
    ProposalStatus,
    decode_becomes,
    encode_becomes,
)
from workgraph.graph.rewards import Reward, effective
from workgraph.store import identities, writes
from workgraph.store.database import Row, Tx
from workgraph.store.rows import encode

_COLUMNS: Final = """
    p.number, p.kind, p.subject, p.change, p.evidence, p.reason, p.by, p.status,
    p.created_at, p.started_at, p.ended_at, p.child, p.share, p.looks, p.approved_by,
    p.result
"""
INSERT: Final = """
insert into proposals (
    number, kind, subject, change, evidence, reason, by, status,
    created_at, started_at, ended_at, child, share, looks, approved_by, result
) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
UPDATE: Final = """
update proposals
set status = ?, started_at = ?, ended_at = ?, child = ?, share = ?, looks = ?,
    approved_by = ?, result = ?
where number = ?
"""
BY_NUMBER: Final = f"""
select {_COLUMNS} from proposals p where p.number = ?
"""  # noqa: S608 - constants
EVERY: Final = f"""
select {_COLUMNS} from proposals p order by p.number
"""  # noqa: S608 - constants
OPEN: Final = f"""
select {_COLUMNS} from proposals p indexed by proposals_open
where p.status in ('proposed', 'waiting', 'trial') order by p.number
"""  # noqa: S608 - constants
ON_TRIAL: Final = f"""
select {_COLUMNS} from proposals p indexed by proposals_open
where p.status in ('proposed', 'waiting', 'trial') and p.status = 'trial'
"""  # noqa: S608 - constants
TRIALS: Final = """
select p.child, p.subject, p.share from proposals p indexed by proposals_open
where p.status in ('proposed', 'waiting', 'trial') and p.child is not null
order by p.number
"""
TAKEN: Final = """
select number from proposals where number in (select value from json_each(?))
"""
#: Tasks of an actor that may still be worked on.
ASSIGNED: Final = """
select id, actor_matched from tasks
where actor = ? and status not in ('done', 'abandoned')
  and not (status = 'in-progress' and actor_matched = 1)
order by seq
"""
#: What decides which reward of an attempt counts, and when the work began.
OF_ACTOR: Final = """
select r.task, r.attempt, r.source, r.score, r.rubric, r.at, r.dimensions, a.started_at
from rewards r indexed by rewards_actor
join agents a on a.task = r.task and a.attempt = r.attempt
where r.actor_id = ?
"""

_decode_evidence: Final = msgspec.json.Decoder(dict[str, Any]).decode
_decode_looks: Final = msgspec.json.Decoder(tuple[Look, ...]).decode
_decode_dimensions: Final = msgspec.json.Decoder(dict[str, float]).decode


class Judged(Record, frozen=True, kw_only=True):
    """A piece of work whose reward counts."""

    started_at: int
    score: float


def add(
    tx: Tx, draft: Draft, by: str, status: ProposalStatus = ProposalStatus.PROPOSED
) -> Proposal:
    """Keeps what is proposed."""
    proposal = Proposal(
        kind=draft.kind,
        subject=draft.subject,
        change=draft.change,
        reason=draft.reason,
        evidence=draft.evidence,
        number=0,
        by=by,
        status=status,
        created_at=tx.now,
    )
    number = tx.insert(INSERT, _params(proposal, None))
    return msgspec.structs.replace(proposal, number=number)


def insert(tx: Tx, new: Iterable[Proposal]) -> None:
    """Adds proposals as they are, with their numbers."""
    tx.many(INSERT, (_params(one, one.number) for one in new))


def update(tx: Tx, proposal: Proposal) -> None:
    """Writes down what has become of a proposal."""
    touched = tx.run(
        UPDATE,
        (
            proposal.status,
            proposal.started_at,
            proposal.ended_at,
            proposal.child,
            proposal.share,
            encode(proposal.looks).decode(),
            proposal.approved_by,
            proposal.result,
            proposal.number,
        ),
    )
    assert touched == 1


def find(tx: Tx, number: int) -> Proposal:
    """A proposal by its number.

    Raises:
        NotFoundError: There is none.
    """
    row = tx.one(BY_NUMBER, (number,))
    if row is None:
        raise NotFoundError(
            f"there is no proposal {number}", hint="wg evolve list --all"
        )
    return _decode(row)


def every(tx: Tx) -> list[Proposal]:
    """All proposals, oldest first."""
    return [_decode(row) for row in tx.rows(EVERY)]


def open_ones(tx: Tx) -> list[Proposal]:
    """Those of which more may become, oldest first."""
    return [_decode(row) for row in tx.rows(OPEN)]


def on_trial(tx: Tx) -> list[Proposal]:
    """Those whose changed actor works beside its parent, oldest first."""
    found = [_decode(row) for row in tx.rows(ON_TRIAL)]
    return sorted(found, key=lambda one: one.number)


def trials(tx: Tx) -> Mapping[str, tuple[str, float]]:
    """By the id of each actor on trial its parent's, and its share of that one's work.

    It is what the choice of an actor needs of them.
    """
    return {child: (parent, share) for child, parent, share in tx.rows(TRIALS)}


def taken(tx: Tx, numbers: Iterable[int]) -> set[int]:
    """Which of these numbers proposals have."""
    return {row[0] for row in tx.rows(TAKEN, (encode(list(numbers)).decode(),))}


def judged(tx: Tx, actor_id: str) -> list[Judged]:
    """What counts of an actor's work and says how well it was done, as it began."""
    rewards: dict[tuple[str, int], list[Reward]] = {}
    started: dict[tuple[str, int], int] = {}
    for row in tx.rows(OF_ACTOR, (actor_id,)):
        key = (row[0], row[1])
        started[key] = row[7]
        rewards.setdefault(key, []).append(
            Reward(
                task=row[0],
                attempt=row[1],
                source=row[2],
                score=row[3],
                rubric=row[4],
                at=row[5],
                by="",
                dimensions={} if row[6] == "{}" else _decode_dimensions(row[6]),
            )
        )
    counting = ((key, effective(these)) for key, these in rewards.items())
    found = [
        (started[key], key, one.score)
        for key, one in counting
        if one is not None and one.teaches
    ]
    return [Judged(started_at=at, score=score) for at, _, score in sorted(found)]


def hand_over(tx: Tx, old: str, new: str | None, by: str) -> int:
    """Gives the tasks that an actor was to do to another one, or to nobody.

    What a machine has chosen is chosen anew; a choice that runs ends with its attempt.

    Returns:
        How many there were.
    """
    found = tx.all(ASSIGNED, (old,))
    for task, matched in found:
        writes.set_actor(tx, task, None if matched else new, matched=False)
        tx.emit(ChangeKind.TASK_EDITED, task=task, by=by, reason="actor")
    if new is not None:  # what is reserved for it, too
        identities.rename_in_tasks(tx, old, new)
    return len(found)


def _params(proposal: Proposal, number: int | None) -> tuple[object, ...]:
    return (
        number,
        proposal.kind,
        proposal.subject,
        encode_becomes(proposal.change).decode(),
        encode(proposal.evidence).decode(),
        proposal.reason,
        proposal.by,
        proposal.status,
        proposal.created_at,
        proposal.started_at,
        proposal.ended_at,
        proposal.child,
        proposal.share,
        encode(proposal.looks).decode(),
        proposal.approved_by,
        proposal.result,
    )


def _decode(row: Row) -> Proposal:
    return Proposal(
        number=row[0],
        kind=row[1],
        subject=row[2],
        change=decode_becomes(row[3]),
        evidence=_decode_evidence(row[4]),
        reason=row[5],
        by=row[6],
        status=ProposalStatus(row[7]),
        created_at=row[8],
        started_at=row[9],
        ended_at=row[10],
        child=row[11],
        share=row[12],
        looks=_decode_looks(row[13]),
        approved_by=row[14],
        result=row[15],
    )
