"""Artifacts: what tasks have recorded, who is to work from it, and who has."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from workgraph.graph.inputs import (
    Input,
    StaleInput,
    find_artifact,
    split_reference,
)
from workgraph.graph.model import Artifact, Task, parse_agent_id
from workgraph.graph.status import MEETS, Status
from workgraph.store.database import Row, Tx

#: How many heirs of an abandoned task are asked one after the other.
_HEIRS: Final = 20
_FEW: Final = 50

OF_TASK: Final = """
select name, path, sha256, size, agent, kept from artifacts
where task = ? order by name
"""
NAMED: Final = """
select name, path, sha256, size, agent, kept from artifacts
where task = ? and name = ?
"""
PRODUCER: Final = "select status, superseded_by from tasks where id = ?"
WAITED_FOR: Final = "select kind from edges where task = ? and dep = ?"


#: Those that wait for a producer to record something are ready, or parked anew.
WAKE: Final = """
update tasks indexed by tasks_producer set parked = null, parked_until = null
where json_extract(parked, '$.producer') = ?
"""
WAKE_ALL: Final = """
update tasks indexed by tasks_producer set parked = null, parked_until = null
where json_extract(parked, '$.producer') is not null
"""
UPSERT: Final = """
insert into artifacts (task, name, path, sha256, size, agent, at, kept)
values (:task, :name, :path, :sha256, :size, :agent, :now, :kept)
on conflict (task, name) do update set
    path = excluded.path, sha256 = excluded.sha256, size = excluded.size,
    agent = excluded.agent, at = excluded.at, kept = excluded.kept
"""
CONSUME: Final = """
insert or replace into consumed (agent, task, name, sha256) values (?, ?, ?, ?)
"""
STALE_OF: Final = """
select c.task, c.name, c.sha256, a.sha256
from consumed c join artifacts a on a.task = c.task and a.name = c.name
where c.agent = ? and a.sha256 <> c.sha256
order by c.task, c.name
"""
#: By those that were given something: there are fewer of them than of tasks.
STALE: Final = """
select t.id, c.task, c.name, c.sha256, a.sha256
from consumed c
join agents g on g.number = c.agent
join tasks t on t.id = g.task and t.last_agent = 'agent-' || g.number
join artifacts a on a.task = c.task and a.name = c.name
where a.sha256 <> c.sha256
order by t.seq, c.task, c.name
"""
ALL: Final = """
select task, name, path, sha256, size, agent from artifacts order by task, name
"""


class KeptArtifact(Artifact, frozen=True, kw_only=True):
    """An artifact, and whether a copy of it stands."""

    kept: bool = False


def of_task(tx: Tx, task_id: str) -> tuple[KeptArtifact, ...]:
    """What a task has recorded, by name."""
    return tuple(_artifact(row) for row in tx.rows(OF_TASK, (task_id,)))


def inputs_of(tx: Tx, task: Task) -> tuple[Input, ...]:
    """What a task is to work from, in the order in which it was named.

    Of an abandoned producer that has recorded nothing its heir is asked. An input is
    missing when nothing is recorded and the task does not wait for its producer.
    """
    return tuple(_input(tx, task, ref) for ref in task.spec.inputs)


def missing_of(tx: Tx, task: Task) -> tuple[Input, ...]:
    """The inputs of a task that nobody is going to record. Free where it has none."""
    if not task.spec.inputs:
        return ()
    return tuple(one for one in inputs_of(tx, task) if one.missing)


def record(tx: Tx, task_id: str, artifact: KeptArtifact) -> None:
    """Keeps an output as it was when it was recorded; a name is recorded anew.

    Who waits for nothing else can be started with it.
    """
    tx.run(
        UPSERT,
        {
            "task": task_id,
            "name": artifact.name,
            "path": artifact.path,
            "sha256": artifact.sha256,
            "size": artifact.size,
            "agent": artifact.agent,
            "kept": artifact.kept,
            "now": tx.now,
        },
    )
    _, heir = tx.one(PRODUCER, (task_id,)) or (None, None)
    if heir is not None:
        wake_every_consumer(tx)  # they were parked for what stands in for it
    wake_consumers(tx, task_id)


def wake_consumers(tx: Tx, producer: str) -> None:
    """Has those looked at again that were parked for want of an artifact."""
    tx.run(WAKE, (producer,))


def wake_every_consumer(tx: Tx) -> None:
    """The same of all producers: who stands in for whom has changed."""
    tx.run(WAKE_ALL)


def note_consumed(tx: Tx, agent: int, inputs: Iterable[Input]) -> None:
    """Keeps which versions an attempt is given. Free where it is given none."""
    given = [
        (agent, one.producer, one.name, one.sha256)
        for one in inputs
        if one.sha256 is not None
    ]
    if given:
        tx.many(CONSUME, given)


def stale_of(tx: Tx, task: Task) -> tuple[StaleInput, ...]:
    """What was produced again since a task's last attempt was given it."""
    number = parse_agent_id(task.last_agent or "")
    if number is None:
        return ()
    return tuple(_stale(row) for row in tx.rows(STALE_OF, (number,)))


def stale_tasks(tx: Tx) -> dict[str, list[StaleInput]]:
    """Every task whose last attempt worked from an older version, oldest first."""
    found: dict[str, list[StaleInput]] = {}
    for row in tx.rows(STALE):
        found.setdefault(row[0], []).append(_stale(row[1:]))
    return found


def stale_among(tx: Tx, tasks: Sequence[Task]) -> dict[str, list[StaleInput]]:
    """The same of these tasks; a few are read one by one, many all together."""
    if len(tasks) > _FEW:
        return stale_tasks(tx)
    return {task.id: list(stale_of(tx, task)) for task in tasks}


def every(tx: Tx) -> Iterator[tuple[str, Artifact]]:
    """All artifacts as they are shown, each with its task."""
    for task, name, path, sha256, size, agent in tx.rows(ALL):
        yield (
            task,
            Artifact(name=name, path=path, sha256=sha256, size=size, agent=agent),
        )


def shown(artifact: KeptArtifact) -> Artifact:
    """An artifact as CONTRACT §3.4 has it."""
    return Artifact(
        name=artifact.name,
        path=artifact.path,
        sha256=artifact.sha256,
        size=artifact.size,
        agent=artifact.agent,
    )


def _stale(row: Row) -> StaleInput:
    return StaleInput(producer=row[0], name=row[1], given=row[2], now=row[3])


def _input(tx: Tx, task: Task, ref: str) -> Input:
    split = split_reference(ref)
    if split is None:
        return Input(ref=ref, name=ref, path=ref)
    producer, name = split
    status, heir = _producer(tx, producer)
    found = _find(tx, producer, name)
    for _ in range(_HEIRS):
        if found is not None or heir is None or status is not Status.ABANDONED:
            break
        producer = heir
        status, heir = _producer(tx, producer)
        found = _find(tx, producer, name)
    if found is None:
        return Input(
            ref=ref,
            producer=producer,
            name=name,
            path="",
            producer_status=status,
            missing=not _waits_for(tx, task, producer, status),
        )
    return Input(
        ref=ref,
        producer=producer,
        name=found.name,
        path=found.path,
        sha256=found.sha256,
        size=found.size,
        kept=found.kept,
        producer_status=status,
    )


def _find(tx: Tx, producer: str, name: str) -> KeptArtifact | None:
    """By its name, which is the common case; else among all of its producer's."""
    row = tx.one(NAMED, (producer, name))
    if row is not None:
        return _artifact(row)
    return find_artifact(name, of_task(tx, producer))


def _producer(tx: Tx, producer: str) -> tuple[Status | None, str | None]:
    row = tx.one(PRODUCER, (producer,))
    return (None, None) if row is None else (Status(row[0]), row[1])


def _waits_for(tx: Tx, task: Task, producer: str, status: Status | None) -> bool:
    """Whether an edge holds the task back until its producer may have recorded it."""
    if task.unmet == 0 or status is None:
        return False
    kind = tx.value(WAITED_FOR, (task.id, producer))
    return kind is not None and status not in MEETS[kind]


def _artifact(row: Row) -> KeptArtifact:
    return KeptArtifact(
        name=row[0],
        path=row[1],
        sha256=row[2],
        size=row[3],
        agent=row[4],
        kept=bool(row[5]),
    )
