"""Trajectories as their rows have them, whole, for export and import."""

from collections.abc import Iterable, Iterator
from typing import Final

from workgraph.graph.model import Record
from workgraph.store.database import Tx
from workgraph.store.rows import encode

TRAJECTORIES: Final = """
select number, actor, human, by, created_at, agent, ended_at, reason
from trajectories order by number
"""
STEPS: Final = """
select trajectory, task, left_at from trajectory_steps order by trajectory, step
"""
TAKEN: Final = """
select number from trajectories where number in (select value from json_each(?))
"""
INSERT: Final = """
insert into trajectories (
    number, actor, human, by, created_at, agent, ended_at, reason
) values (?, ?, ?, ?, ?, ?, ?, ?)
"""
INSERT_STEP: Final = """
insert into trajectory_steps (trajectory, step, task, left_at) values (?, ?, ?, ?)
"""


class StoredTrajectory(Record, frozen=True, kw_only=True):
    """A trajectory with all its steps."""

    number: int
    actor: str | None
    human: bool
    by: str
    created_at: int
    agent: int | None
    ended_at: int | None
    reason: str | None
    #: Each task, and when it left.
    steps: tuple[tuple[str, int | None], ...]


def every(tx: Tx) -> Iterator[StoredTrajectory]:
    """All trajectories in the order of their numbers."""
    steps: dict[int, list[tuple[str, int | None]]] = {}
    for number, task, left_at in tx.rows(STEPS):
        steps.setdefault(number, []).append((task, left_at))
    for number, actor, human, by, created_at, agent, ended_at, reason in tx.rows(
        TRAJECTORIES
    ):
        yield StoredTrajectory(
            number=number,
            actor=actor,
            human=bool(human),
            by=by,
            created_at=created_at,
            agent=agent,
            ended_at=ended_at,
            reason=reason,
            steps=tuple(steps.get(number, ())),
        )


def taken(tx: Tx, numbers: Iterable[int]) -> set[int]:
    """Those of these numbers that are in use."""
    return {row[0] for row in tx.rows(TAKEN, (encode(list(numbers)).decode(),))}


def insert(tx: Tx, new: Iterable[StoredTrajectory]) -> None:
    """Adds trajectories with the numbers that they have."""
    for one in new:
        tx.insert(
            INSERT,
            (
                one.number,
                one.actor,
                one.human,
                one.by,
                one.created_at,
                one.agent,
                one.ended_at,
                one.reason,
            ),
        )
        tx.many(
            INSERT_STEP,
            (
                (one.number, place, task, left_at)
                for place, (task, left_at) in enumerate(one.steps, start=1)
            ),
        )
