"""Breakers: what is known of things that many tasks need, and the tasks they hold."""

from collections.abc import Iterable
from typing import Final

from workgraph.graph.changes import ChangeKind
from workgraph.graph.holds import Breaker
from workgraph.graph.model import Task
from workgraph.store.database import Row, Tx
from workgraph.store.rows import TASK_COLUMNS, decode_task, decode_texts, to_json

COLUMNS: Final = """
    key, proven, failed, reason, opened_at, looks, until, since_agent
"""
TROUBLED: Final = f"""
select {COLUMNS} from breakers indexed by breakers_troubled where proven = 0
"""  # noqa: S608 - constants
BY_KEY: Final = f"select {COLUMNS} from breakers where key = ?"  # noqa: S608
PUT: Final = f"""
insert or replace into breakers ({COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?)
"""  # noqa: S608 - constants
FORGET: Final = "delete from breakers where key = ?"
#: The best of those that a breaker keeps back, as `views.CANDIDATES` has them.
HELD: Final = f"""
select {TASK_COLUMNS} from tasks t indexed by tasks_held
where json_extract(t.parked, '$.key') = ?
  and t.status = 'open' and t.paused = 0 and t.unmet = 0
  and t.start_after is null and t.reserved_for is null
  and not exists (
        select 1 from agents a
        where a.task = t.id and a.status <> 'ended' and a.human = 0)
order by t.priority, t.chain desc, t.seq
limit ?
"""  # noqa: S608 - constants
ANY_HELD: Final = """
select 1 from tasks t indexed by tasks_held
where json_extract(t.parked, '$.key') is not null
  and t.status = 'open' and t.paused = 0 and t.unmet = 0
  and t.start_after is null and t.reserved_for is null
limit 1
"""
RELEASE: Final = """
update tasks indexed by tasks_held set parked = null, parked_until = null
where json_extract(parked, '$.key') = ?
"""
LAST_AGENT: Final = "select coalesce(max(number), 0) from agents"
YOUNG: Final = """
select executor, count(*) from agents indexed by agents_live
where status <> 'ended' and human = 0 and started_at > ?
group by executor
"""


def troubled(tx: Tx) -> dict[str, Breaker]:
    """Those that are not closed, by key."""
    return {row[0]: _decode(row) for row in tx.rows(TROUBLED)}


def find(tx: Tx, keys: Iterable[str]) -> dict[str, Breaker]:
    """Those of these keys that there are."""
    rows = (tx.one(BY_KEY, (key,)) for key in keys)
    return {row[0]: _decode(row) for row in rows if row is not None}


def put(tx: Tx, breaker: Breaker) -> None:
    """Keeps what is known; a closed one lets go what it has kept back."""
    before = tx.one(BY_KEY, (breaker.key,))
    was_open = before is not None and before[4] is not None
    since = breaker.since_agent
    if breaker.opened_at is not None and not was_open:
        # What was started before says nothing about what is tried from now on.
        since = int(tx.value(LAST_AGENT))
        tx.emit(
            ChangeKind.BREAKER_OPENED,
            to=breaker.key,
            reason=f"{len(breaker.failed)} starts in a row have failed,"
            f" the last: {breaker.reason}",
        )
    tx.run(
        PUT,
        (
            breaker.key,
            breaker.proven,
            to_json(breaker.failed),
            breaker.reason,
            breaker.opened_at,
            breaker.looks,
            breaker.until,
            since,
        ),
    )
    if breaker.proven:
        tx.run(RELEASE, (breaker.key,))
        if was_open:
            tx.emit(
                ChangeKind.BREAKER_CLOSED, to=breaker.key, reason="it has worked again"
            )


def forget(tx: Tx, keys: Iterable[str], by: str) -> None:
    """An operator says that these may be tried anew."""
    for key in keys:
        before = tx.one(BY_KEY, (key,))
        if before is None:
            continue
        tx.run(FORGET, (key,))
        tx.run(RELEASE, (key,))
        if before[4] is not None:
            tx.emit(ChangeKind.BREAKER_CLOSED, to=key, by=by, reason="to be tried anew")


def forget_troubled(tx: Tx, by: str) -> None:
    """As `forget`, for all that are not closed."""
    forget(tx, tuple(troubled(tx)), by)


def held(tx: Tx, key: str, most: int) -> list[Task]:
    """The best tasks that a breaker keeps back and nothing else does."""
    return [decode_task(row) for row in tx.rows(HELD, (key, most))]


def is_any_held(tx: Tx) -> bool:
    """Whether a task will start by itself when a breaker lets it."""
    return tx.one(ANY_HELD) is not None


def young(tx: Tx, since: int) -> dict[str, int]:
    """How many live agents of each executor were started after a moment."""
    return dict(tx.all(YOUNG, (since,)))


def _decode(row: Row) -> Breaker:
    return Breaker(
        key=row[0],
        proven=bool(row[1]),
        failed=decode_texts(row[2]),
        reason=row[3],
        opened_at=row[4],
        looks=row[5],
        until=row[6],
        since_agent=row[7],
    )
