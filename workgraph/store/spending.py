"""What agents have used, day by day, for those who ask what it was spent on."""

from collections.abc import Iterator
from typing import Final

from workgraph.graph.model import Record
from workgraph.store.budgets import BELOW, UNKNOWN
from workgraph.store.database import Tx

#: What was used on which day, and what was used by agents that have not said how much.
SPENT: Final = f"""
{BELOW}
select s.day, a.number, a.task, a.actor, a.model,
       s.input_tokens, s.cached_tokens, s.output_tokens, s.cost_usd, {UNKNOWN}
from spend s join agents a on a.number = s.agent
where s.day >= :since and (:id is null or a.task in (select id from below))
union all
select a.started_at / 86400000000, a.number, a.task, a.actor, a.model, 0, 0, 0, 0.0, 1
from agents a
where a.human = 0 and a.answered = 1
  and json_extract(a.usage, '$.input_tokens') is null
  and json_extract(a.usage, '$.cost_usd') is null
  and a.started_at / 86400000000 >= :since
  and (:id is null or a.task in (select id from below))
"""  # noqa: S608 - constants


class Spent(Record, frozen=True, kw_only=True, gc=False):
    """What one attempt has used on one day."""

    day: int
    agent: int
    task: str
    actor: str | None
    model: str | None
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cost_usd: float
    #: What it has cost is not known, or not whole.
    is_cost_unknown: bool


def spent(tx: Tx, since: int, task: str | None) -> Iterator[Spent]:
    """What was used from a day on.

    Args:
        tx: The transaction.
        since: The first day that counts.
        task: Null for all; else this one and what its agents have added.
    """
    for row in tx.rows(SPENT, {"since": since, "id": task}):
        yield Spent(
            day=row[0],
            agent=row[1],
            task=row[2],
            actor=row[3],
            model=row[4],
            input_tokens=row[5],
            cached_tokens=row[6],
            output_tokens=row[7],
            cost_usd=row[8],
            is_cost_unknown=bool(row[9]),
        )
