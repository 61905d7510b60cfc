"""Writes of roles, tradeoffs and actors."""

from typing import Final

from workgraph.graph.errors import ConflictError
from workgraph.graph.model import Actor
from workgraph.store.database import Tx
from workgraph.store.rows import to_json

INSERT_IDENTITY: Final = """
insert into identities (id, kind, name, record) values (?, ?, ?, ?)
on conflict do nothing
"""
IDENTITY_BY_ID: Final = "select 1 from identities where id = ? and kind = ?"


def insert_actor(tx: Tx, actor: Actor) -> bool:
    """Adds an actor; whether it is new. One that is there by the same id stays.

    Raises:
        ConflictError: Another actor has that name.
    """
    if tx.run(INSERT_IDENTITY, (actor.id, "actor", actor.name, to_json(actor))):
        return True
    if tx.one(IDENTITY_BY_ID, (actor.id, "actor")):
        return False
    raise ConflictError(
        f"there is another actor {actor.name!r}", hint="choose another name"
    )
