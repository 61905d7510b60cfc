"""Writes to edges, and what is kept with them: unmet counts and chains."""

from typing import Final

from workgraph.graph import status as statuses
from workgraph.graph import topology
from workgraph.graph.changes import ChangeKind
from workgraph.graph.errors import UserError
from workgraph.graph.model import EdgeKind
from workgraph.store import loops, trajectories, waits
from workgraph.store.database import Tx

INSERT_EDGE: Final = "insert into edges (task, dep, kind) values (?, ?, ?)"
DELETE_EDGE: Final = "delete from edges where task = ? and dep = ?"
ADD_UNMET: Final = "update tasks set unmet = unmet + ? where id = ?"
SELECT_EDGE: Final = "select kind from edges where task = ? and dep = ?"
SELECT_DEPENDENTS: Final = "select task, kind from edges where dep = ? order by task"
SELECT_DEPENDENCIES: Final = "select dep from edges where task = ?"
SELECT_CHAIN: Final = "select chain from tasks where id = ?"
SELECT_STATUS: Final = "select status from tasks where id = ?"
SET_CHAIN: Final = "update tasks set chain = ? where id = ?"
LONGER_DEPENDENTS: Final = """
select e.task from edges e join tasks t on t.id = e.task
where e.dep = ? and t.chain >= ?
"""
RAISE_DEPENDENCIES: Final = """
select t.id from edges e join tasks t on t.id = e.dep
where e.task = ? and t.chain < ?
"""
MEASURE_CHAIN: Final = """
select 1 + coalesce(max(t.chain), 0)
from edges e join tasks t on t.id = e.task
where e.dep = ?
"""


def insert_edge(  # noqa: PLR0913 - the edge, and whose it is
    tx: Tx, task: str, dep: str, kind: EdgeKind, by: str, *, is_new: bool = False
) -> bool:
    """Makes `task` wait for `dep`.

    Args:
        tx: The transaction.
        task: The id of the task that is to wait.
        dep: The id of the task that it waits for.
        kind: Which ends of `dep` meet the edge.
        by: Who says so.
        is_new: `task` was added in this transaction, so nothing can depend on it.

    Returns:
        False when the edge is there already.

    Raises:
        UserError: It would close a cycle, which the message shows; or `task` would
            start in the middle of a loop.
    """
    if task == dep:
        raise UserError(
            f"{task} can't wait for itself: {task} -> {task}",
            hint="name another task",
        )
    known = tx.value(SELECT_EDGE, (task, dep))
    if known == kind:
        return False
    loops.refuse_edge(tx, task, dep)
    if known is not None:
        delete_edge(tx, task, dep, by)
    chain = tx.value(SELECT_CHAIN, (task,))
    if not is_new:
        _refuse_cycle(tx, task, dep)
        _refuse_circle(tx, task, dep)
    tx.run(INSERT_EDGE, (task, dep, kind))
    is_met = tx.value(SELECT_STATUS, (dep,)) in statuses.MEETS[kind]
    if not is_met:
        tx.run(ADD_UNMET, (1, task))
    _raise_chain(tx, dep, chain + 1)
    tx.emit(ChangeKind.EDGE_ADDED, task=task, by=by, to=dep, reason=kind)
    if not is_new:
        trajectories.check_edge(tx, task, dep, by, is_met=is_met)
    return True


def delete_edge(tx: Tx, task: str, dep: str, by: str) -> bool:
    """Ends the wait of `task` for `dep`; false when there was none."""
    kind = tx.value(SELECT_EDGE, (task, dep))
    if kind is None:
        return False
    tx.run(DELETE_EDGE, (task, dep))
    if tx.value(SELECT_STATUS, (dep,)) not in statuses.MEETS[kind]:
        tx.run(ADD_UNMET, (-1, task))
    _measure_chain(tx, dep)
    tx.emit(ChangeKind.EDGE_REMOVED, task=task, by=by, from_=dep, reason=kind)
    return True


def _refuse_cycle(tx: Tx, task: str, dep: str) -> None:
    floor = tx.value(SELECT_CHAIN, (dep,))

    def dependents(of: str) -> list[str]:
        return [row[0] for row in tx.all(LONGER_DEPENDENTS, (of, floor))]

    # Chains fall along every edge: `task` is before `dep` only if its own is longer.
    if tx.value(SELECT_CHAIN, (task,)) <= floor:
        return
    path = topology.find_path(task, dep, dependents)
    if path is not None:
        cycle = topology.show_cycle((dep, *path))
        raise UserError(
            f"{task} can't wait for {dep}, which waits for it: {cycle}",
            hint=f"wg unlink one of them, e.g. wg unlink {path[1]} --after {task}",
        )


def _refuse_circle(tx: Tx, task: str, dep: str) -> None:
    """A task in waiting may wait for this one in another way than by an edge."""
    path = waits.circle_of_edge(tx, task, dep)
    if path is not None:
        raise UserError(
            f"{task} can't wait for {dep}, which waits for it:"
            f" {topology.show_cycle((task, *path))}",
            hint=f"wg why {dep} says what it waits for",
        )


def _raise_chain(tx: Tx, start: str, length: int) -> None:
    work = [(start, length)]
    while work:
        task, least = work.pop()
        if tx.value(SELECT_CHAIN, (task,)) >= least:
            continue
        tx.run(SET_CHAIN, (least, task))
        longer = least + 1
        work.extend(
            (row[0], longer) for row in tx.all(RAISE_DEPENDENCIES, (task, longer))
        )


def _measure_chain(tx: Tx, start: str) -> None:
    work = [start]
    while work:
        task = work.pop()
        measured = tx.value(MEASURE_CHAIN, (task,))
        if tx.value(SELECT_CHAIN, (task,)) == measured:
            continue
        tx.run(SET_CHAIN, (measured, task))
        work.extend(row[0] for row in tx.all(SELECT_DEPENDENCIES, (task,)))


def supersede(tx: Tx, task: str, successor: str, by: str) -> tuple[str, ...]:
    """Makes all that wait for `task` wait for `successor` instead; gives their ids."""
    moved = []
    waits.supersede(tx, task, successor)
    for dependent, kind in tx.all(SELECT_DEPENDENTS, (task,)):
        delete_edge(tx, dependent, task, by)
        if dependent != successor:
            insert_edge(tx, dependent, successor, kind, by)
            moved.append(dependent)
    return tuple(moved)
