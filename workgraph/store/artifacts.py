"""Artifacts: what tasks have recorded, who is to work from it, and who has."""

from typing import Final

from workgraph.graph.inputs import Input, find_artifact, split_reference
from workgraph.graph.model import Artifact, Task
from workgraph.graph.status import MEETS, Status
from workgraph.store.database import Row, Tx

#: How many heirs of an abandoned task are asked one after the other.
_HEIRS: Final = 20

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
