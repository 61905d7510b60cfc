"""Whom the record is kept of: actors, roles and tradeoffs by id, also retired ones."""

from typing import Final

from workgraph.graph.errors import ConflictError, NotFoundError
from workgraph.graph.model import Actor, Record
from workgraph.store.database import Tx
from workgraph.store.service import decode_actor

NAMES: Final = """
select id, kind, name, retired_at is not null from identities order by kind, name, id
"""
BY_NAME: Final = """
select record from identities
where kind = 'actor' and name = ? order by retired_at is not null, retired_at desc
limit 1
"""
BY_PREFIX: Final = """
select record from identities
where kind = 'actor' and id >= :prefix and id < :prefix || 'g' limit 2
"""
_SHORTEST: Final = 4


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


def actor(tx: Tx, word: str) -> Actor:
    """An actor by its name, in use or retired, or by the beginning of its id.

    Raises:
        NotFoundError: There is none.
        ConflictError: There are several with such ids.
    """
    record = tx.value(BY_NAME, (word,))
    if record is None and len(word) >= _SHORTEST:
        found = tx.all(BY_PREFIX, {"prefix": word})
        if len(found) > 1:
            raise ConflictError(
                f"more than one actor has an id that begins with {word}",
                hint="say more of it, or its name",
            )
        record = found[0][0] if found else None
    if record is None:
        raise NotFoundError(f"there is no actor {word!r}", hint="wg actor stats")
    return decode_actor(record)
