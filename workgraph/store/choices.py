"""How actors were chosen for tasks, and how much each works on."""

from typing import Final

from workgraph.graph.matching import Choice
from workgraph.graph.model import Record
from workgraph.store.database import Tx
from workgraph.store.rows import encode

#: By processes and by people's claims.
LIVE: Final = """
select actor, count(*) from agents indexed by agents_live
where status <> 'ended' and actor is not null group by actor
"""
LAST: Final = """
select actor, attempt, propensity, greedy, at from choices
where task = ? order by attempt desc limit 1
"""

PUT_CHOICE: Final = """
insert or replace into choices
    (task, attempt, actor, propensity, greedy, candidates, at)
values (?, ?, ?, ?, ?, ?, ?)
"""


class KeptChoice(Record, frozen=True, kw_only=True):
    """A choice as it was written down."""

    actor: str
    attempt: int
    propensity: float
    greedy: str
    at: int


def live(tx: Tx) -> dict[str, int]:
    """How many tasks each actor works on, by name."""
    return dict(tx.all(LIVE))


def last_of(tx: Tx, task: str) -> KeptChoice | None:
    """The last choice that was made for a task; null where there was none."""
    row = tx.one(LAST, (task,))
    if row is None:
        return None
    actor, attempt, propensity, greedy, at = row
    return KeptChoice(
        actor=actor, attempt=attempt, propensity=propensity, greedy=greedy, at=at
    )


def put(tx: Tx, task: str, attempt: int, choice: Choice) -> None:
    """Keeps how an actor was chosen for an attempt, for learning from it."""
    tx.run(
        PUT_CHOICE,
        (
            task,
            attempt,
            choice.actor,
            choice.propensity,
            choice.greedy,
            encode(choice.matches).decode(),
            tx.now,
        ),
    )
