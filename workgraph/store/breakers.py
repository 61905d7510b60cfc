"""Breakers: what is known of executors, and when they are tried again."""

from collections.abc import Iterable
from typing import Final

from workgraph.graph.changes import ChangeKind
from workgraph.graph.holds import Breaker
from workgraph.store import agent_reads, holds
from workgraph.store.database import Row, Tx
from workgraph.store.rows import decode_texts, to_json

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
        since = agent_reads.newest(tx)
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
        holds.release(tx, breaker.key)
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
        holds.release(tx, key)
        if before[4] is not None:
            tx.emit(ChangeKind.BREAKER_CLOSED, to=key, by=by, reason="to be tried anew")


def forget_troubled(tx: Tx, by: str) -> None:
    """As `forget`, for all that are not closed."""
    forget(tx, tuple(troubled(tx)), by)


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
