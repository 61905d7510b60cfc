"""What holds of roles, tradeoffs and actors after every step."""

from workgraph.graph.identity import actor_id, role_id, tradeoff_id
from workgraph.graph.model import Actor, Role, Task, Tradeoff
from workgraph.store import identities, trajectories
from workgraph.store.database import Tx
from workgraph.store.identities import Identity

PARKED_UNTIL = "select parked_until from tasks where id = ?"


def check_identities(tx: Tx) -> None:
    """Ids are those of the content; names in use are there once; nothing dangles."""
    types: tuple[type[Identity], ...] = (Actor, Role, Tradeoff)
    for type_ in types:
        found = list(identities.every(tx, type_, retired=True))
        ids = {one.identity.id for one in found}
        living = [one.identity.name for one in found if one.retired_at is None]
        assert len(living) == len(set(living)), living
        for one in found:
            assert one.identity.id == content_id(one.identity), one
            assert set(one.identity.lineage.parents) <= ids, one
            assert (one.identity.lineage.generation > 0) == bool(
                one.identity.lineage.parents
            ), one
            if isinstance(one.identity, Actor):
                _check_actor(tx, one.identity)


def check_person(tx: Tx, task: Task) -> None:
    """What waits for a person, and for no moment, is for no machine."""
    if task.parked is None or task.parked.code != "assigned_to_person":
        return
    name = trajectories.actor_for(tx, task.id, task.actor)
    actor = None if name is None else identities.by_name(tx, Actor, name)
    looked_at = tx.value(PARKED_UNTIL, (task.id,)) is not None
    assert looked_at or actor is None or actor.human, f"{task.id} is for {name}"


def content_id(identity: Identity) -> str:
    """The id that an identity has to have."""
    match identity:
        case Actor(name=name, role=role, tradeoff=tradeoff):
            return actor_id(name=name, role=role, tradeoff=tradeoff)
        case Role(description=description, skills=skills, outcome=outcome):
            return role_id(description=description, skills=skills, outcome=outcome)
        case Tradeoff(description=description, accept=accept, reject=reject):
            return tradeoff_id(description=description, accept=accept, reject=reject)


def _check_actor(tx: Tx, actor: Actor) -> None:
    assert actor.role is None or identities.by_id(tx, Role, actor.role), actor
    if actor.tradeoff is not None:
        assert identities.by_id(tx, Tradeoff, actor.tradeoff), actor
