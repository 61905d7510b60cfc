"""What waits for a person: questions, reviews, tasks of persons, and what is stuck."""

from collections.abc import Iterator
from typing import Final

from workgraph.graph.model import Task
from workgraph.store.database import Tx
from workgraph.store.rows import TASK_COLUMNS, decode_task

QUESTIONS: Final = f"""
select {TASK_COLUMNS}, m.at, m.text
from tasks t
join waits w on w.task = t.id
join messages m on m.number = w.question
where t.status = 'waiting' and w.woken_at is null
order by m.number
"""  # noqa: S608 - constants
#: Gates of commands and files need nobody; an evaluator's may.
REVIEWS: Final = f"""
select {TASK_COLUMNS} from tasks t
where t.status = 'pending-review'
  and (t.gate is null or t.gate in ('human', 'reward'))
order by t.updated_at, t.seq
"""  # noqa: S608 - constants
#: Ready ones that no machine may take.
OF_PERSONS: Final = f"""
select {TASK_COLUMNS} from tasks t
where t.status = 'open' and t.paused = 0 and t.unmet = 0 and t.start_after is null
  and (t.reserved_for is not null
       or json_extract(t.parked, '$.code') = 'assigned_to_person'
       or (t.actor is not null and t.actor_matched = 0 and not exists (
            select 1 from identities i
            where i.kind = 'actor' and i.name = t.actor
              and i.retired_at is null
              and not coalesce(json_extract(i.record, '$.human'), 0))))
order by t.updated_at, t.seq
"""  # noqa: S608 - constants
#: The first of those that are kept back by the same thing, and how many there are.
HELD: Final = f"""
select {TASK_COLUMNS}, count(*), min(t.seq)
from tasks t indexed by tasks_parked
where t.parked is not null
  and t.status = 'open' and t.paused = 0 and t.unmet = 0
  and json_extract(t.parked, '$.code') not in ('assigned_to_person', 'chat')
group by json_extract(t.parked, '$.code'),
    coalesce(json_extract(t.parked, '$.key'), json_extract(t.parked, '$.message'))
order by min(t.seq)
"""  # noqa: S608 - constants
#: With how many tasks wait for each; those that keep others back come first.
FAILED: Final = f"""
select {TASK_COLUMNS}, (
        select count(*) from edges e join tasks d on d.id = e.task
        where e.dep = t.id and e.kind = 'done' and d.status = 'open'
    ) as behind
from tasks t
where t.status = 'failed' and not exists (
        select 1 from json_each(t.spec, '$.tags')
        where value in ('assignment', 'reward', 'evolution', 'chat'))
order by behind = 0, t.completed_at, t.seq
"""  # noqa: S608 - constants
CLAIMED: Final = f"""
select {TASK_COLUMNS}, a.actor
from tasks t join agents a on a.number = cast(substr(t.claimed_by, 7) as integer)
where t.status = 'in-progress' and a.human = 1
order by t.claimed_at, t.seq
"""  # noqa: S608 - constants


def questions(tx: Tx) -> Iterator[tuple[Task, int, str]]:
    """Tasks that wait for an answer: since when, and to what."""
    for row in tx.rows(QUESTIONS):
        yield decode_task(row), row[-2], row[-1]


def reviews(tx: Tx) -> Iterator[Task]:
    """Work that a person has to look at."""
    return map(decode_task, tx.rows(REVIEWS))


def of_persons(tx: Tx) -> Iterator[Task]:
    """Ready tasks that are assigned to a person, or reserved for one."""
    return map(decode_task, tx.rows(OF_PERSONS))


def held(tx: Tx) -> Iterator[tuple[Task, int]]:
    """Ready tasks that are kept back, one for each reason, and how many it keeps."""
    for row in tx.rows(HELD):
        yield decode_task(row), row[-2]


def failed(tx: Tx) -> Iterator[tuple[Task, int]]:
    """Failed tasks, and how many open ones wait for each."""
    for row in tx.rows(FAILED):
        yield decode_task(row), row[-1]


def claimed(tx: Tx) -> Iterator[tuple[Task, str]]:
    """Tasks that persons hold, and who."""
    for row in tx.rows(CLAIMED):
        yield decode_task(row), row[-1]
