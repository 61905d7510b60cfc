"""Artifacts, and who was given them, out of the database and into it, set by set."""

from collections.abc import Iterable
from typing import Final

from workgraph.graph.model import Record
from workgraph.store.artifacts import KeptArtifact
from workgraph.store.database import Tx

ARTIFACTS: Final = """
select task, name, path, sha256, size, agent, at, kept
from artifacts
order by task, name
"""
CONSUMED: Final = """
select agent, task, name, sha256 from consumed order by agent, task, name
"""
INSERT_ARTIFACT: Final = """
insert into artifacts (task, name, path, sha256, size, agent, at, kept)
values (?, ?, ?, ?, ?, ?, ?, ?)
"""
INSERT_CONSUMED: Final = """
insert into consumed (agent, task, name, sha256) values (?, ?, ?, ?)
"""


class StoredArtifact(KeptArtifact, frozen=True, kw_only=True):
    """An artifact, and when it was recorded."""

    at: int


class Consumed(Record, frozen=True, kw_only=True):
    """A version of an artifact that an attempt was given."""

    agent: int
    task: str
    name: str
    sha256: str


def artifacts_by_task(tx: Tx) -> dict[str, list[StoredArtifact]]:
    """All artifacts, in order, by their task."""
    found: dict[str, list[StoredArtifact]] = {}
    for task, name, path, sha256, size, agent, at, kept in tx.rows(ARTIFACTS):
        artifact = StoredArtifact(
            name=name,
            path=path,
            sha256=sha256,
            size=size,
            agent=agent,
            at=at,
            kept=bool(kept),
        )
        found.setdefault(task, []).append(artifact)
    return found


def consumed_by_agent(tx: Tx) -> dict[int, list[Consumed]]:
    """What attempts were given, in order, by their numbers."""
    found: dict[int, list[Consumed]] = {}
    for agent, task, name, sha256 in tx.rows(CONSUMED):
        one = Consumed(agent=agent, task=task, name=name, sha256=sha256)
        found.setdefault(agent, []).append(one)
    return found


def insert_artifacts(tx: Tx, new: Iterable[tuple[str, StoredArtifact]]) -> None:
    """Adds artifacts, each with its task."""
    tx.many(
        INSERT_ARTIFACT,
        (
            (task, a.name, a.path, a.sha256, a.size, a.agent, a.at, a.kept)
            for task, a in new
        ),
    )


def insert_consumed(tx: Tx, new: Iterable[Consumed]) -> None:
    """Adds what attempts were given."""
    tx.many(INSERT_CONSUMED, ((c.agent, c.task, c.name, c.sha256) for c in new))
