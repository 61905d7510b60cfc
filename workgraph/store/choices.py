"""How actors were chosen for tasks, and how much each works on."""

from typing import Final

from workgraph.graph.model import Record
from workgraph.store.database import Tx

#: By processes and by people's claims.
LIVE: Final = """
select actor, count(*) from agents indexed by agents_live
where status <> 'ended' and actor is not null group by actor
"""
LAST: Final = """
select actor, attempt, propensity, greedy, at from choices
where task = ? order by attempt desc limit 1
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
