"""Tasks that are reserved together, and what takes the reservation away.

A task is reserved while it has a step that it has not left; a unique index sees to it
that there is one at most. Steps leave when their task is done, or are released: then
all that come after them are, too. Whatever happens to a task comes by here, in the same
transaction (`follow`, `check_edge`).
"""

from collections.abc import Sequence
from typing import Final

from workgraph.graph.changes import ChangeKind
from workgraph.graph.errors import ConflictError
from workgraph.graph.model import Record
from workgraph.graph.reservations import Reserved
from workgraph.graph.status import Status, Verb
from workgraph.store.database import Row, Tx
from workgraph.store.rows import encode

#: For queries of tasks `t`: what a trajectory keeps from being started now.
NOT_RESERVED: Final = """
  not exists (
        select 1 from trajectory_steps s join trajectories r on r.number = s.trajectory
        where s.task = t.id and s.left_at is null and (
            r.human = 1
            or exists (
                select 1 from agents b where b.number = r.agent and b.status <> 'ended')
            or exists (
                select 1 from trajectory_steps p
                where p.trajectory = s.trajectory and p.step < s.step
                  and p.left_at is null)))
"""
_COLUMNS: Final = """
    s.task, r.number, r.actor, r.human, r.agent,
    not exists (
        select 1 from agents b where b.number = r.agent and b.status <> 'ended'),
    s.step,
    (select count(*) from trajectory_steps c where c.trajectory = s.trajectory),
    (select p.task from trajectory_steps p
     where p.trajectory = s.trajectory and p.step < s.step and p.left_at is null
     order by p.step limit 1)
"""
OF_TASK: Final = f"""
select {_COLUMNS}
from trajectory_steps s join trajectories r on r.number = s.trajectory
where s.task = ? and s.left_at is null
"""  # noqa: S608 - constants
EVERY: Final = f"""
select {_COLUMNS}
from trajectory_steps s indexed by trajectory_steps_task
join trajectories r on r.number = s.trajectory
where s.left_at is null
order by s.task
"""  # noqa: S608 - constants
OF_ACTOR: Final = """
select s.task
from trajectory_steps s indexed by trajectory_steps_task
join trajectories r on r.number = s.trajectory
where s.left_at is null and r.actor = ?
order by r.number, s.step
"""
INSERT: Final = """
insert into trajectories (actor, human, by, created_at, agent) values (?, ?, ?, ?, ?)
"""
INSERT_STEP: Final = """
insert into trajectory_steps (trajectory, step, task) values (?, ?, ?)
on conflict (task) where left_at is null do nothing
"""
SET_AGENT: Final = "update trajectories set agent = ? where number = ?"
LEFT: Final = """
select step, task from trajectory_steps
where trajectory = ? and left_at is null and step >= ? order by step
"""
LEAVE: Final = """
update trajectory_steps set left_at = ?
where trajectory = ? and step = ? and left_at is null
"""
IS_LEFT: Final = """
select 1 from trajectory_steps where trajectory = ? and left_at is null limit 1
"""
END: Final = "update trajectories set ended_at = ?, reason = ? where number = ?"
STEP_OF: Final = """
select step from trajectory_steps where trajectory = ? and task = ? and left_at is null
"""
BY: Final = "select by from trajectories where number = ?"
NEEDS: Final = """
select 1 from edges
where task = ? and dep in (select value from json_each(?)) limit 1
"""
STEPS_OF: Final = """
select task from trajectory_steps
where trajectory = ? and left_at is null order by step
"""

#: It is to be mended, or was put off, by who has it: it stays theirs.
_GOES_ON: Final = frozenset({Verb.WAKE, Verb.REJECT})


class NewTrajectory(Record, frozen=True, kw_only=True):
    """Tasks that are to be reserved, in order."""

    tasks: tuple[str, ...]
    actor: str | None
    human: bool
    by: str
    #: The attempt at the first task that runs already.
    agent: int | None = None


def of_task(tx: Tx, task: str) -> Reserved | None:
    """How a task is reserved, if it is."""
    row = tx.one(OF_TASK, (task,))
    return None if row is None else _reserved(row)


def every(tx: Tx) -> dict[str, Reserved]:
    """How each task is reserved that is."""
    return {row[0]: _reserved(row) for row in tx.rows(EVERY)}


def of_actor(tx: Tx, actor: str) -> list[str]:
    """The tasks that are reserved for an actor, in the order of its trajectories."""
    return [row[0] for row in tx.rows(OF_ACTOR, (actor,))]


def steps_of(tx: Tx, number: int) -> tuple[str, ...]:
    """The tasks that a trajectory still reserves, in order."""
    return tuple(row[0] for row in tx.rows(STEPS_OF, (number,)))


def actor_for(tx: Tx, task: str, assigned: str | None) -> str | None:
    """Who is to do a task: whose trajectory it is in, else whom it is assigned to."""
    reserved = of_task(tx, task)
    if reserved is None or reserved.actor is None:
        return assigned
    return reserved.actor


def reserve(tx: Tx, new: NewTrajectory) -> int:
    """Reserves tasks, all of them or, raising, none; gives the trajectory's number.

    Raises:
        ConflictError: Some are reserved already; it names by whom.
    """
    number = tx.insert(INSERT, (new.actor, new.human, new.by, tx.now, new.agent))
    taken = [
        task
        for step, task in enumerate(new.tasks, start=1)
        if not tx.run(INSERT_STEP, (number, step, task))
    ]
    if taken:
        raise refused(tx, taken)
    for step, task in enumerate(new.tasks, start=1):
        tx.emit(
            ChangeKind.TRAJECTORY_CLAIMED,
            task=task,
            actor=new.actor,
            agent=f"agent-{new.agent}" if new.agent else None,
            by=new.by,
            to=str(number),
            reason=f"step {step} of {len(new.tasks)}",
        )
    return number


def check_start(tx: Tx, task: str) -> None:
    """Refuses to start an agent on what is reserved, if it is not its agent's turn.

    Raises:
        ConflictError: It is a person's, or a later step.
    """
    reserved = of_task(tx, task)
    if reserved is not None and (reserved.human or not reserved.is_next):
        raise ConflictError(
            f"{task} is reserved for {reserved.whose} (trajectory {reserved.number})",
            hint=f"wg unclaim {task} releases it and what comes after it",
        )


def refused(tx: Tx, taken: Sequence[str]) -> ConflictError:
    """The error for tasks that are reserved already."""
    held = ((task, of_task(tx, task)) for task in taken)
    told = [
        f"{task} is reserved for {one.whose} (trajectory {one.number})"
        for task, one in held
        if one is not None
    ]
    return ConflictError(
        f"{'; '.join(told)}: nothing was reserved",
        hint=f"choose others, or wg unclaim {taken[0]}, which releases it"
        " and what comes after it",
    )


def release(tx: Tx, task: str, why: str, by: str = "workgraph") -> bool:
    """Releases a task and the steps after it; false when it was not reserved."""
    reserved = of_task(tx, task)
    if reserved is None:
        return False
    _release(tx, reserved, why, by)
    return True


def release_behind(tx: Tx, task: str, why: str) -> tuple[str, ...]:
    """Releases the steps that come after a task's own; gives them, in order."""
    reserved = of_task(tx, task)
    if reserved is None:
        return ()
    steps = steps_of(tx, reserved.number)
    later = steps[steps.index(task) + 1 :]
    if later:
        release(tx, later[0], why)
    return later


def follow(  # noqa: PLR0913 - a change of status, as it is
    tx: Tx,
    task: str,
    verb: Verb,
    new: Status,
    *,
    by: str,
    agent: str | None,
    actor: str | None,
) -> None:
    """What a change of its status does to a task's reservation.

    What an agent was kept from by others (a limit, a budget, a start that came to
    nothing) is its again when that has passed. Whatever else takes the work from it
    releases the rest.
    """
    reserved = of_task(tx, task)
    if reserved is None:
        return
    match new:
        case Status.DONE:
            tx.run(LEAVE, (tx.now, reserved.number, reserved.step))
            _end_if_empty(tx, reserved, task, "done", by)
        case Status.IN_PROGRESS:
            for_machine = by == "workgraph" and not reserved.human
            if for_machine or (reserved.actor is not None and actor == reserved.actor):
                number = None if agent is None else int(agent.removeprefix("agent-"))
                tx.run(SET_AGENT, (number, reserved.number))
            else:
                _release(tx, reserved, f"{task} was taken by {actor or by}", by)
        case Status.WAITING:
            _release_others(tx, reserved, task)
        case Status.PENDING_REVIEW:
            pass
        case Status.OPEN if verb in _GOES_ON or (
            verb is Verb.RELEASE and by == "workgraph"
        ):
            pass
        case _:
            _release(tx, reserved, f"{task}: {_WORDS.get(verb, verb.value)}", by)


def check_edge(tx: Tx, task: str, dep: str, by: str, *, is_met: bool) -> None:
    """Releases a step, and those after it, that waits for what is not before it."""
    reserved = of_task(tx, task)
    if reserved is None or is_met:
        return
    earlier = tx.value(STEP_OF, (reserved.number, dep))
    if earlier is None or earlier > reserved.step:
        _release(tx, reserved, f"{task} waits for {dep} now", by)


def _release_others(tx: Tx, reserved: Reserved, task: str) -> None:
    """Nobody knows for how long a task waits: what does not need it need not, too.

    Only of what dispatch has reserved by itself: who names steps wants them in order.
    """
    if reserved.human or tx.value(BY, (reserved.number,)) != "workgraph":
        return
    steps = steps_of(tx, reserved.number)
    held = [task]
    for later in steps[steps.index(task) + 1 :]:
        if tx.one(NEEDS, (later, encode(held).decode())) is None:
            release(tx, later, f"{task} waits, and {later} can do without it")
            return
        held.append(later)


_WORDS: Final = {
    Verb.RELEASE: "the claim was given back",
    Verb.REQUEUE: "its attempt ended badly",
    Verb.FAIL: "it has failed",
    Verb.ABANDON: "it was abandoned",
    Verb.RETRY: "it begins anew",
}


def _release(tx: Tx, reserved: Reserved, why: str, by: str) -> None:
    left = tx.all(LEFT, (reserved.number, reserved.step))
    for step, task in left:
        tx.run(LEAVE, (tx.now, reserved.number, step))
        tx.emit(
            ChangeKind.TRAJECTORY_RELEASED,
            task=task,
            actor=reserved.actor,
            by=by,
            from_=str(reserved.number),
            reason=why,
        )
    _end_if_empty(tx, reserved, left[0][1], why, by)


def _end_if_empty(tx: Tx, reserved: Reserved, task: str, why: str, by: str) -> None:
    if tx.one(IS_LEFT, (reserved.number,)) is not None:
        return
    tx.run(END, (tx.now, why, reserved.number))
    tx.emit(
        ChangeKind.TRAJECTORY_ENDED,
        task=task,
        actor=reserved.actor,
        by=by,
        from_=str(reserved.number),
        reason=why,
    )


def _reserved(row: Row) -> Reserved:
    return Reserved(
        number=row[1],
        actor=row[2],
        human=bool(row[3]),
        agent=row[4],
        is_agent_gone=bool(row[5]),
        step=row[6],
        steps=row[7],
        behind=row[8],
    )
