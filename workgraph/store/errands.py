"""What the tasks of the machinery are for, and what has come of them."""

from collections.abc import Sequence
from typing import Final

from workgraph.graph.errands import Errand, ErrandKind
from workgraph.store.database import Row, Tx
from workgraph.store.rows import encode

_COLUMNS: Final = "e.task, e.kind, e.about, e.attempt, e.part, e.given, e.verdict"
INSERT_ERRAND: Final = """
insert into errands (task, kind, about, attempt, part, given, verdict)
values (?, ?, ?, ?, ?, ?, ?)
"""
FIND: Final = f"select {_COLUMNS} from errands e where e.task = ?"  # noqa: S608
ABOUT: Final = f"""
select {_COLUMNS} from errands e indexed by errands_about
join tasks t on t.id = e.task
where e.about = ? and e.kind = ? order by t.seq
"""  # noqa: S608 - constants
AMONG: Final = """
select task from errands where task in (select value from json_each(?))
"""
SET_VERDICT: Final = "update errands set verdict = ? where task = ?"


def insert_errand(tx: Tx, errand: Errand) -> None:
    """Says what a task of the machinery is for."""
    tx.run(
        INSERT_ERRAND,
        (
            errand.task,
            errand.kind,
            errand.about,
            errand.attempt,
            errand.part,
            errand.given,
            errand.verdict,
        ),
    )


def find(tx: Tx, task: str) -> Errand | None:
    """What a task is for; null for one that is somebody's work."""
    row = tx.one(FIND, (task,))
    return None if row is None else _decode(row)


def among(tx: Tx, tasks: Sequence[str]) -> frozenset[str]:
    """Those of some tasks that are errands."""
    if not tasks:
        return frozenset()
    return frozenset(row[0] for row in tx.rows(AMONG, (encode(tasks).decode(),)))


def about(tx: Tx, task: str, kind: ErrandKind) -> list[Errand]:
    """The errands about a task, the first one first."""
    return [_decode(row) for row in tx.rows(ABOUT, (task, kind))]


def set_verdict(tx: Tx, task: str, verdict: str | None) -> None:
    """Keeps what has come of an errand, as JSON."""
    tx.run(SET_VERDICT, (verdict, task))


def _decode(row: Row) -> Errand:
    return Errand(
        task=row[0],
        kind=row[1],
        about=row[2],
        attempt=row[3],
        part=row[4],
        given=row[5],
        verdict=row[6],
    )
