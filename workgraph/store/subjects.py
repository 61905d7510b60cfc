"""Whom the record is kept of: actors, roles and tradeoffs by id, also retired ones."""

from typing import Final

from workgraph.graph.model import Record
from workgraph.store.database import Tx

NAMES: Final = """
select id, kind, name, retired_at is not null from identities order by kind, name, id
"""


class Subject(Record, frozen=True, kw_only=True):
    """An actor, role or tradeoff, as far as it is named."""

    kind: str
    name: str
    retired: bool


def every(tx: Tx) -> dict[str, Subject]:
    """All of them, by id."""
    return {
        row[0]: Subject(kind=row[1], name=row[2], retired=bool(row[3]))
        for row in tx.rows(NAMES)
    }
