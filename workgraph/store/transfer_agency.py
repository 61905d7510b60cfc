"""Choices of actors and errands out of the database and into it, set by set."""

from collections.abc import Iterable, Iterator
from typing import Final

from workgraph.graph.errands import Errand
from workgraph.graph.model import Record
from workgraph.store import errands
from workgraph.store.database import Tx

CHOICES: Final = """
select c.task, c.attempt, c.actor, c.propensity, c.greedy, c.candidates, c.at
from choices c join tasks t on t.id = c.task order by t.seq, c.attempt
"""
INSERT_CHOICE: Final = """
insert into choices (task, attempt, actor, propensity, greedy, candidates, at)
values (?, ?, ?, ?, ?, ?, ?)
"""
ERRANDS: Final = """
select e.task, e.kind, e.about, e.attempt, e.part, e.given, e.verdict
from errands e join tasks t on t.id = e.task order by t.seq
"""
#: As `transfer.LIVE_AGENTS`.
LIVE_ATTEMPTS: Final = """
select a.task, a.attempt
from agents a join tasks t on t.id = a.task
where a.status <> 'ended' or (
        a.concluded = 0 and t.claimed_by is 'agent-' || a.number)
"""


class StoredChoice(Record, frozen=True, kw_only=True):
    """How an actor was chosen, as its row has it."""

    task: str
    attempt: int
    actor: str
    propensity: float
    greedy: str
    #: As JSON.
    candidates: str
    at: int


def live_attempts(tx: Tx) -> set[tuple[str, int]]:
    """The attempts that can't be taken elsewhere, as (task, attempt)."""
    return {(row[0], row[1]) for row in tx.rows(LIVE_ATTEMPTS)}


def choices(tx: Tx) -> Iterator[StoredChoice]:
    """All choices one by one, by tasks and attempts."""
    for row in tx.rows(CHOICES):
        yield StoredChoice(
            task=row[0],
            attempt=row[1],
            actor=row[2],
            propensity=row[3],
            greedy=row[4],
            candidates=row[5],
            at=row[6],
        )


def every_errand(tx: Tx) -> Iterator[Errand]:
    """All errands one by one, by tasks."""
    for row in tx.rows(ERRANDS):
        yield Errand(
            task=row[0],
            kind=row[1],
            about=row[2],
            attempt=row[3],
            part=row[4],
            given=row[5],
            verdict=row[6],
        )


def insert_choices(tx: Tx, new: Iterable[StoredChoice]) -> None:
    """Adds choices."""
    tx.many(
        INSERT_CHOICE,
        (
            (c.task, c.attempt, c.actor, c.propensity, c.greedy, c.candidates, c.at)
            for c in new
        ),
    )


def insert_errands(tx: Tx, new: Iterable[Errand]) -> None:
    """Adds errands; their tasks are there."""
    for errand in new:
        errands.insert_errand(tx, errand)
