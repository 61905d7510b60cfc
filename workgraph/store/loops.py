"""Loops and their members: what there is of them, and the edges that they forbid."""

from collections.abc import Iterable, Sequence
from typing import Final

from workgraph.graph.errors import UserError
from workgraph.graph.loops import Loop, LoopEnd, Member
from workgraph.store.database import Row, Tx
from workgraph.store.rows import encode

_COLUMNS: Final = """
    l.number, l.most, l.until, l.until_converged, l.iteration, l.evidence, l.by,
    l.created_at, l.ended_at, l.reason
"""
INSERT_LOOP: Final = """
insert into loops (
    most, until, until_converged, iteration, evidence, by, created_at, ended_at, reason
) values (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
INSERT_MEMBER: Final = """
insert into loop_members (loop, position, task, converged, concluded, left_at)
values (?, ?, ?, ?, ?, ?)
"""
LIVE_OF: Final = f"""
select {_COLUMNS} from loop_members m join loops l on l.number = m.loop
where m.task = ? and m.left_at is null
"""  # noqa: S608 - constants
LATEST_OF: Final = f"""
select {_COLUMNS}, m.task
from json_each(?) j
join loop_members m on m.task = j.value
join loops l on l.number = m.loop
where not exists (
    select 1 from loop_members n where n.task = m.task and n.loop > m.loop)
"""  # noqa: S608 - constants
EVERY: Final = f"select {_COLUMNS} from loops l order by l.number"  # noqa: S608
MEMBERS_OF: Final = """
select task, converged, concluded from loop_members where loop = ? order by position
"""
LIVE_MEMBERS: Final = """
select task, loop from loop_members indexed by loop_members_task
where left_at is null order by loop, position
"""
#: Other members that are not done.
UNFINISHED: Final = """
select 1 from loop_members m join tasks t on t.id = m.task
where m.loop = ? and m.task <> ? and t.status <> 'done'
limit 1
"""
SET_CONVERGED: Final = """
update loop_members set converged = 1 where task = ? and left_at is null
"""
TAKE_BACK: Final = """
update loop_members set converged = 0
where task = ? and left_at is null and converged = 1
"""
NEXT_ITERATION: Final = """
update loops set iteration = iteration + 1, evidence = ? where number = ?
"""
OPEN_MEMBERS: Final = """
update loop_members
set converged = 0,
    concluded = (select summary from tasks where id = loop_members.task)
where loop = ?
"""
END: Final = """
update loops set ended_at = ?, reason = ?, evidence = coalesce(?, evidence)
where number = ?
"""
LEAVE: Final = "update loop_members set left_at = ? where loop = ?"
HAS_EDGE: Final = "select 1 from edges where task = ? and dep = ?"
#: Of the members but the last, in pairs: who waits for one and not for the last.
OUTSIDERS: Final = """
select e.task, e.dep from edges e
where e.dep in (select value from json_each(:inner))
  and e.task not in (select value from json_each(:members))
  and not exists (select 1 from edges f where f.task = e.task and f.dep = :last)
order by e.dep, e.task
limit 1
"""


def insert(tx: Tx, loop: Loop) -> None:
    """Adds a loop with its members; its number is given anew."""
    number = tx.insert(
        INSERT_LOOP,
        (
            loop.most,
            loop.until,
            loop.until_converged,
            loop.iteration,
            loop.evidence,
            loop.by,
            loop.created_at,
            loop.ended_at,
            loop.reason,
        ),
    )
    tx.many(
        INSERT_MEMBER,
        (
            (number, n, one.task, one.converged, one.concluded, loop.ended_at)
            for n, one in enumerate(loop.members, start=1)
        ),
    )


def live_of(tx: Tx, task: str) -> Loop | None:
    """The loop that a task is in; null where it is in none."""
    row = tx.one(LIVE_OF, (task,))
    return None if row is None else _decode(tx, row)


def latest_of(tx: Tx, tasks: Sequence[str]) -> dict[str, Loop]:
    """The loops that tasks are in or were in last, by task."""
    found: dict[int, Loop] = {}
    by_task = {}
    for row in tx.all(LATEST_OF, (encode(list(tasks)).decode(),)):
        loop = found.get(row[0])
        if loop is None:
            loop = found[row[0]] = _decode(tx, row)
        by_task[row[-1]] = loop
    return by_task


def every(tx: Tx) -> list[Loop]:
    """All loops, oldest first."""
    return [_decode(tx, row) for row in tx.all(EVERY)]


def live_members(tx: Tx) -> list[tuple[str, ...]]:
    """The members of all loops that have not ended, in order."""
    found: dict[int, list[str]] = {}
    for task, number in tx.rows(LIVE_MEMBERS):
        found.setdefault(number, []).append(task)
    return [tuple(members) for members in found.values()]


def is_over(tx: Tx, loop: Loop) -> bool:
    """Whether all members but the last are done."""
    return tx.one(UNFINISHED, (loop.number, loop.last)) is None


def set_converged(tx: Tx, task: str) -> None:
    """Keeps that a member says that nothing changes any more."""
    tx.run(SET_CONVERGED, (task,))


def take_back(tx: Tx, task: str) -> None:
    """A task is open again: what its attempt has said of convergence is void."""
    tx.run(TAKE_BACK, (task,))


def begin_next(tx: Tx, loop: Loop, evidence: str | None) -> None:
    """Another iteration: keeps what the members have concluded in this one.

    To be said before their summaries are cleared.
    """
    tx.run(NEXT_ITERATION, (evidence, loop.number))
    tx.run(OPEN_MEMBERS, (loop.number,))


def end(tx: Tx, loop: Loop, reason: LoopEnd, evidence: str | None = None) -> None:
    """A loop is over: its members are tasks as others are."""
    tx.run(END, (tx.now, reason, evidence, loop.number))
    tx.run(LEAVE, (tx.now, loop.number))


def exit_of(tx: Tx, task: str) -> str:
    """What others wait for when they are to come after a task: its loop's last one."""
    loop = live_of(tx, task)
    return task if loop is None else loop.last


def refuse_edge(tx: Tx, task: str, dep: str) -> None:
    """Refuses an edge by which a task would start in the middle of a loop.

    Whoever waits for the last member, too, may wait for another one (its artifacts).

    Raises:
        UserError: `dep` is in a loop that goes on, and `task` is not.
    """
    loop = live_of(tx, dep)
    if loop is None or dep == loop.last or task in loop.ids:
        return
    if tx.one(HAS_EDGE, (task, loop.last)) is None:
        raise _in_the_middle(task, dep, loop.last)


def refuse_outsiders(tx: Tx, members: Sequence[str]) -> None:
    """Refuses a loop in the middle of which others would start.

    Raises:
        UserError: Somebody waits for a member and not for the last one.
    """
    last = members[-1]
    row = tx.one(
        OUTSIDERS,
        {
            "inner": encode(list(members[:-1])).decode(),
            "members": encode(list(members)).decode(),
            "last": last,
        },
    )
    if row is not None:
        raise _in_the_middle(row[0], row[1], last)


def refuse_unlink(tx: Tx, task: str, dep: str) -> None:
    """Refuses to take an edge away that a loop needs.

    Raises:
        UserError: It holds the members in order, or keeps `task` out of the middle.
    """
    loop = live_of(tx, dep)
    if loop is None or tx.one(HAS_EDGE, (task, dep)) is None:
        return
    ids = loop.ids
    if task in ids and ids.index(task) == ids.index(dep) + 1:
        raise UserError(
            f"{task} comes after {dep} in a loop that goes on",
            hint=f"wg loop {dep} --end ends the loop",
        )
    if dep != loop.last or task in ids:
        return
    inner = (one for one in ids[:-1] if tx.one(HAS_EDGE, (task, one)) is not None)
    middle = next(inner, None)
    if middle is not None:
        raise UserError(
            f"{task} waits for {middle}, too, and would start before the loop of"
            f" {', '.join(ids)} has ended",
            hint=f"wg unlink {task} --after {middle} first",
        )


def _in_the_middle(task: str, dep: str, last: str) -> UserError:
    return UserError(
        f"{task} can't wait for {dep} alone, which runs again in a loop:"
        " it would start before the loop has ended",
        hint=f"wg link {task} --after {last}, the last one of the loop",
    )


def _decode(tx: Tx, row: Row) -> Loop:
    members: Iterable[Row] = tx.all(MEMBERS_OF, (row[0],))
    return Loop(
        number=row[0],
        most=row[1],
        until=row[2],
        until_converged=bool(row[3]),
        iteration=row[4],
        evidence=row[5],
        by=row[6],
        created_at=row[7],
        ended_at=row[8],
        reason=row[9],
        members=tuple(
            Member(task=task, converged=bool(converged), concluded=concluded)
            for task, converged, concluded in members
        ),
    )
