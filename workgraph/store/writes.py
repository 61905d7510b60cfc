"""Writes to tasks. The only place in which a status changes.

Each write keeps what depends on it in the same statement or transaction: the claim with
the status, the counts of unmet dependencies with what meets them, and the change log
with everything.
"""

from typing import Final, TypeVar

import msgspec

from workgraph.graph import status as statuses
from workgraph.graph.changes import ChangeKind
from workgraph.graph.errors import ConflictError, UserError, WorkgraphBug
from workgraph.graph.model import (
    Failure,
    Parked,
    Progress,
    Record,
    Task,
    TaskSpec,
    Usage,
)
from workgraph.graph.status import Cause, Status, Verb
from workgraph.store import artifacts, loops, trajectories, waits
from workgraph.store.database import Tx
from workgraph.store.rows import to_json

N = TypeVar("N", int, float)
#: What begins anew: attempts and what was concluded.
_NEW_COUNTS: Final = frozenset({Verb.RETRY, Verb.ITERATE})

INSERT_TASK: Final = """
insert into tasks (
    id, spec, priority, paused, actor, not_before, start_after,
    added_by, depth, created_at, updated_at
) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

UPDATE_SPEC: Final = """
update tasks
set spec = ?, priority = ?, paused = ?, actor = ?, actor_matched = ?,
    not_before = ?, start_after = ?, parked_until = null, updated_at = ?,
    parked = iif(json_extract(parked, '$.code') = 'chat'
        or (json_extract(parked, '$.code') = 'quarantined'
            and json_extract(parked, '$.key') is null), parked, null)
where id = ?
"""

CHANGE_STATUS: Final = """
update tasks
set status = :new,
    claimed_by = :claimed_by,
    claimed_at = :claimed_at,
    claim_ends_at = :claim_ends_at,
    actor = :actor,
    actor_matched = :actor_matched,
    reserved_for = :reserved_for,
    attempts = :attempts,
    starts = :starts,
    retry_at = :retry_at,
    start_after = :start_after,
    paused = :paused,
    parked = null,
    parked_until = null,
    gate = :gate,
    failure = :failure,
    progress = :progress,
    summary = :summary,
    superseded_by = :superseded_by,
    last_agent = :last_agent,
    started_at = :started_at,
    completed_at = :completed_at,
    updated_at = :now
where id = :id and status = :old
"""

RELEASE_DEPENDENTS: Final = """
update tasks set unmet = unmet - 1
where id in (select task from edges where dep = ? and kind in (?, ?))
"""

HOLD_DEPENDENTS: Final = """
update tasks set unmet = unmet + 1
where id in (select task from edges where dep = ? and kind in (?, ?))
"""


SET_PAUSED: Final = "update tasks set paused = ?, updated_at = ? where id = ?"
#: A new count, as a retry gives it to what has ended.
RESTART_COUNT: Final = """
update tasks
set attempts = 0, starts = 0, quick = 0, parked = null, parked_until = null,
    updated_at = ?
where id = ?
"""
SET_QUICK: Final = "update tasks set quick = ? where id = ?"
SET_PARKED: Final = """
update tasks set parked = ?, parked_until = ?, updated_at = ? where id = ?
"""
CLEAR_DUE: Final = "update tasks set start_after = null where id = ?"
SET_ACTOR: Final = """
update tasks
set actor = ?, actor_matched = ?, updated_at = ?, parked_until = null,
    parked = iif(json_extract(parked, '$.code') = 'chat'
        or (json_extract(parked, '$.code') = 'quarantined'
            and json_extract(parked, '$.key') is null), parked, null)
where id = ?
"""
SET_PROGRESS: Final = "update tasks set progress = ?, updated_at = ? where id = ?"
CLEAR_RESERVATION: Final = """
update tasks set reserved_for = null, updated_at = ? where id = ?
"""
SET_GATE: Final = """
update tasks set gate = ?, updated_at = ?
where id = ? and status = 'pending-review'
"""
ADD_ATTEMPTS: Final = "update tasks set attempts = max(attempts + ?, 0) where id = ?"
SET_ADDED_USAGE: Final = "update tasks set usage = ? where id = ?"


class Marks(Record, frozen=True, kw_only=True):
    """What goes with a change of status, apart from where it leads."""

    by: str
    reason: str | None = None
    #: The agent whose attempt this is about.
    agent: str | None = None
    attempt: int | None = None
    actor: str | None = None
    #: With CLAIM: when a person's claim is taken away.
    claim_ends_at: int | None = None
    reserved_for: str | None = None
    #: When the next attempt may start.
    retry_at: int | None = None
    failure: Failure | None = None
    gate: str | None = None
    summary: str | None = None
    superseded_by: str | None = None
    #: Null leaves the flag as it is.
    paused: bool | None = None
    #: False gives the start back (`attempts`).
    counted: bool = True
    #: Gives it back to the ceiling of starts, too.
    refused: bool = False


def change_status(tx: Tx, task: Task, verb: Verb, cause: Cause, marks: Marks) -> Status:
    """Moves a task by a verb: a compare-and-set from the status that was read.

    Returns:
        The new status.

    Raises:
        UserError: The status does not allow the verb.
        ConflictError: The task is in another status by now.
        WorkgraphBug: This cause may never cause that verb.
    """
    if cause not in statuses.CAUSES[verb]:
        raise WorkgraphBug(f"{cause} may not {verb} a task")
    new = statuses.next_status(task.status, verb)
    if new is None:
        raise UserError(
            f"{task.id} is {task.status}: it can't be moved by '{verb}'",
            hint=f"wg why {task.id}",
        )
    touched = tx.run(CHANGE_STATUS, _columns(tx, task, verb, new, marks))
    if touched != 1:
        raise ConflictError(
            f"{task.id} is no longer {task.status}", hint=f"wg show {task.id}"
        )
    _pass_on(tx, task, new)
    if task.superseded_by or marks.superseded_by:
        artifacts.wake_every_consumer(tx)
    if task.status is Status.WAITING:
        waits.end(tx, task.id, marks.reason or f"it was {new} by {marks.by}")
    if new in statuses.SETTLED:
        waits.mark(tx, task.id)
    if new is Status.OPEN:
        loops.take_back(tx, task.id)
    tx.emit(
        ChangeKind.STATUS_CHANGED,
        task=task.id,
        agent=marks.agent,
        attempt=marks.attempt,
        actor=marks.actor or task.actor,
        by=marks.by,
        verb=verb,
        from_=task.status,
        to=new,
        reason=marks.reason,
    )
    trajectories.follow(
        tx,
        task.id,
        verb,
        new,
        by=marks.by,
        agent=marks.agent,
        actor=marks.actor,
    )
    return new


def _columns(
    tx: Tx, task: Task, verb: Verb, new: Status, marks: Marks
) -> dict[str, object]:
    """Every column that a verb sets, and what the others keep."""
    claim = verb is Verb.CLAIM
    retry = verb in _NEW_COUNTS
    ended = new in statuses.SETTLED
    # A machine's choice of actor ends with the attempt; a person's stays. What has
    # waited goes on in the same session, and so with the same actor.
    drops_actor = new is Status.OPEN and task.actor_matched and verb is not Verb.WAKE
    attempts = 0 if retry else task.attempts + claim
    if not claim and not marks.counted:
        attempts = max(attempts - 1, 0)
    starts = 0 if retry else max(task.starts + claim - marks.refused, 0)
    waits_until = max(task.not_before or 0, marks.retry_at or 0)
    completed_at = tx.now if ended else None
    return {
        "id": task.id,
        "old": task.status,
        "new": new,
        "now": tx.now,
        "claimed_by": marks.agent if claim else None,
        "claimed_at": tx.now if claim else None,
        "claim_ends_at": marks.claim_ends_at if claim else None,
        "actor": None if drops_actor else task.actor,
        "actor_matched": task.actor_matched and not drops_actor,
        "reserved_for": marks.reserved_for,
        "attempts": attempts,
        "starts": starts,
        "retry_at": marks.retry_at,
        "start_after": waits_until if waits_until > tx.now else None,
        "paused": task.paused if marks.paused is None else marks.paused,
        "gate": marks.gate if new is Status.PENDING_REVIEW else None,
        "failure": to_json(marks.failure),
        "progress": None if claim or retry else to_json(task.progress),
        "summary": None if retry else marks.summary or task.summary,
        "superseded_by": marks.superseded_by,
        "last_agent": marks.agent if claim else task.last_agent,
        "started_at": task.started_at or (tx.now if claim else None),
        "completed_at": completed_at,
    }


def _pass_on(tx: Tx, task: Task, new: Status) -> None:
    """Keeps the dependents' counts of unmet dependencies."""
    released: list[str] = []
    held: list[str] = []
    for kind, met in statuses.MEETS.items():
        if (task.status in met) != (new in met):
            (released if new in met else held).append(kind)
    for sql, kinds in ((RELEASE_DEPENDENTS, released), (HOLD_DEPENDENTS, held)):
        if kinds:
            tx.run(sql, (task.id, kinds[0], kinds[-1]))


class NewTask(Record, frozen=True, kw_only=True):
    """A task that is to be added."""

    id: str
    spec: TaskSpec
    priority: int
    paused: bool = False
    actor: str | None = None
    not_before: int | None = None
    added_by: str | None = None
    depth: int = 0


def insert_task(tx: Tx, new: NewTask, by: str) -> None:
    """Adds an open task without edges."""
    tx.insert(
        INSERT_TASK,
        (
            new.id,
            to_json(new.spec),
            new.priority,
            new.paused,
            new.actor,
            new.not_before,
            _ahead(tx, new.not_before),
            new.added_by,
            new.depth,
            tx.now,
            tx.now,
        ),
    )
    tx.emit(
        ChangeKind.TASK_ADDED,
        task=new.id,
        by=by,
        agent=new.added_by,
        to=Status.OPEN,
        reason=new.spec.title,
    )


class SpecUpdate(Record, frozen=True, kw_only=True):
    """What `edit` leaves a task with."""

    spec: TaskSpec
    priority: int
    paused: bool
    actor: str | None
    actor_matched: bool
    not_before: int | None


def update_spec(tx: Tx, task: Task, update: SpecUpdate, by: str, what: str) -> None:
    """Changes what was set for a task; a parked one is looked at again."""
    waits_until = max(update.not_before or 0, task.retry_at or 0)
    tx.run(
        UPDATE_SPEC,
        (
            to_json(update.spec),
            update.priority,
            update.paused,
            update.actor,
            update.actor_matched,
            update.not_before,
            waits_until if waits_until > tx.now else None,
            tx.now,
            task.id,
        ),
    )
    tx.emit(ChangeKind.TASK_EDITED, task=task.id, by=by, reason=what)


def set_paused(tx: Tx, task: Task, by: str, *, paused: bool) -> bool:
    """Sets the flag beside the status; false when it was so already."""
    if task.paused == paused:
        return False
    tx.run(SET_PAUSED, (paused, tx.now, task.id))
    kind = ChangeKind.TASK_PAUSED if paused else ChangeKind.TASK_RESUMED
    tx.emit(kind, task=task.id, by=by)
    return True


def park(tx: Tx, task: Task, parked: Parked, until: int | None) -> None:
    """Takes a task out of the dispatcher's sight until something changes.

    The change log tells it once, not at each look.
    """
    tx.run(SET_PARKED, (to_json(parked), until, tx.now, task.id))
    if parked.looks == 1:
        tx.emit(
            ChangeKind.TASK_PARKED,
            task=task.id,
            to=parked.code,
            reason=parked.message,
        )


def restart_count(tx: Tx, task: Task, by: str, reason: str | None) -> None:
    """An operator lets an open task that was parked be started again."""
    tx.run(RESTART_COUNT, (tx.now, task.id))
    tx.emit(ChangeKind.TASK_UNPARKED, task=task.id, by=by, reason=reason)


def set_quick(tx: Tx, task: str, quick: int) -> None:
    """Keeps how many ends in a row were too fast."""
    tx.run(SET_QUICK, (quick, task))


def clear_due(tx: Tx, task: str) -> None:
    """The moment that a task waited for has come."""
    tx.run(CLEAR_DUE, (task,))


def set_actor(tx: Tx, task: str, actor: str | None, *, matched: bool) -> None:
    """Says who is to do a task; a parked one is looked at again."""
    tx.run(SET_ACTOR, (actor, matched, tx.now, task))


def clear_reservation(tx: Tx, task: Task) -> None:
    """Anybody may take the task again."""
    tx.run(CLEAR_RESERVATION, (tx.now, task.id))


def set_gate(tx: Tx, task: str, gate: str | None) -> None:
    """Names the gate that a task in pending-review has to pass next."""
    tx.run(SET_GATE, (gate, tx.now, task))


def set_progress(tx: Tx, task: str, progress: Progress) -> None:
    """Keeps what a worker says of how far it is."""
    tx.run(SET_PROGRESS, (to_json(progress), tx.now, task))


def add_attempts(tx: Tx, task: str, count: int) -> None:
    """Corrects the count of starts that count."""
    tx.run(ADD_ATTEMPTS, (count, task))


def add_usage(tx: Tx, task: Task, usage: Usage) -> None:
    """Adds what an attempt cost to its task's sum."""
    if usage == Usage():
        return
    total = Usage(
        input_tokens=_sum(task.usage.input_tokens, usage.input_tokens),
        output_tokens=_sum(task.usage.output_tokens, usage.output_tokens),
        cost_usd=_sum(task.usage.cost_usd, usage.cost_usd),
        cached_tokens=_sum(task.usage.cached_tokens, usage.cached_tokens),
    )
    tx.run(SET_ADDED_USAGE, (to_json(total), task.id))


def edited_spec(spec: TaskSpec, **changes: object) -> TaskSpec:
    """A spec with some fields changed."""
    return msgspec.structs.replace(spec, **changes)


def _ahead(tx: Tx, moment: int | None) -> int | None:
    return moment if moment is not None and moment > tx.now else None


def _sum(one: N | None, other: N | None) -> N | None:
    if one is None:
        return other
    return one if other is None else one + other
