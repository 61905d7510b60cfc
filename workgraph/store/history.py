"""Reads of the change log: what happened, to a task or to all."""

from collections.abc import Sequence
from typing import Final

from workgraph.graph.changes import Change
from workgraph.store.database import Row, Tx
from workgraph.store.rows import encode

LOG_OF: Final = """
select seq, at, kind, task, agent, attempt, actor, by, verb, "from", "to",
    reason, percent
from changes where task = ? order by seq
"""
CHANGES_SINCE: Final = """
select seq, at, kind, task, agent, attempt, actor, by, verb, "from", "to",
    reason, percent
from changes where seq > :since and (:task is null or task = :task)
order by seq limit :most
"""
TASK_HISTORY: Final = """
select seq, at, kind, task, agent, attempt, actor, by, verb, "from", "to",
    reason, percent
from changes where task is not null order by seq
"""
LATE_RESULTS: Final = """
select seq, at, kind, task, agent, attempt, actor, by, verb, "from", "to",
    reason, percent
from changes
where kind = 'late_result' and task in (select value from json_each(?))
order by seq
"""
LAST_SEQ: Final = "select coalesce(max(seq), 0) from changes"


def task_log(tx: Tx, task_id: str) -> list[Change]:
    """All that was committed about a task."""
    return [decode_change(row) for row in tx.rows(LOG_OF, (task_id,))]


def changes_since(
    tx: Tx, since: int, task_id: str | None = None, most: int = 1000
) -> list[Change]:
    """Changes after a number, `most` at the most."""
    params = {"since": since, "task": task_id, "most": most}
    return [decode_change(row) for row in tx.rows(CHANGES_SINCE, params)]


def task_history(tx: Tx) -> list[Change]:
    """All changes that are about a task."""
    return [decode_change(row) for row in tx.rows(TASK_HISTORY)]


def late_results(tx: Tx, tasks: Sequence[str]) -> dict[str, list[Change]]:
    """What attempts at some tasks have said after their end."""
    found: dict[str, list[Change]] = {}
    for row in tx.rows(LATE_RESULTS, (encode(tasks).decode(),)):
        change = decode_change(row)
        found.setdefault(change.task or "", []).append(change)
    return found


def last_seq(tx: Tx) -> int:
    """The number of the newest change."""
    return int(tx.value(LAST_SEQ))


def decode_change(row: Row) -> Change:
    """A change from its row."""
    return Change(
        seq=row[0],
        at=row[1],
        kind=row[2],
        task=row[3],
        agent=row[4],
        attempt=row[5],
        actor=row[6],
        by=row[7],
        verb=row[8],
        from_=row[9],
        to=row[10],
        reason=row[11],
        percent=row[12],
    )
