"""From rows to what is answered of roles, tradeoffs and actors."""

from workgraph.graph.identity_requests import (
    ActorData,
    AnyIdentityData,
    RecordData,
    RoleData,
    TradeoffData,
)
from workgraph.graph.model import Actor, Role, Tradeoff
from workgraph.graph.rubric import interval_of
from workgraph.graph.times import to_rfc3339
from workgraph.store import identities, rewards
from workgraph.store.database import Tx
from workgraph.store.identities import Identity, Kept


def record_of(tx: Tx, identity: Identity) -> RecordData:
    """How the work of a role, tradeoff or actor was judged so far."""
    whole = rewards.standing(tx, identities.kind_of(identity), identity.id)
    found = interval_of(whole.count, whole.total)
    if not found.count:
        return RecordData()
    return RecordData(
        count=found.count, mean=found.mean, low=found.low, high=found.high
    )


def identity_data(tx: Tx, kept: Kept) -> AnyIdentityData:
    """A role, tradeoff or actor as `show --json` gives it."""
    match kept.identity:
        case Actor():
            return _actor_data(tx, kept.identity, kept.retired_at)
        case Role() as role:
            return RoleData(
                id=role.id,
                name=role.name,
                description=role.description,
                outcome=role.outcome,
                skills=role.skills,
                actors=tuple(identities.bearers(tx, role.id)),
                lineage=role.lineage,
                record=record_of(tx, role),
                retired_at=_moment(kept.retired_at),
            )
        case Tradeoff() as tradeoff:
            return TradeoffData(
                id=tradeoff.id,
                name=tradeoff.name,
                description=tradeoff.description,
                accept=tradeoff.accept,
                reject=tradeoff.reject,
                actors=tuple(identities.bearers(tx, tradeoff.id)),
                lineage=tradeoff.lineage,
                record=record_of(tx, tradeoff),
                retired_at=_moment(kept.retired_at),
            )


def _actor_data(tx: Tx, actor: Actor, retired_at: int | None) -> ActorData:
    role = identities.by_id(tx, Role, actor.role) if actor.role else None
    tradeoff = None
    if actor.tradeoff:
        tradeoff = identities.by_id(tx, Tradeoff, actor.tradeoff)
    return ActorData(
        id=actor.id,
        name=actor.name,
        human=actor.human,
        role=actor.role,
        tradeoff=actor.tradeoff,
        role_name=role.identity.name if role else None,
        tradeoff_name=tradeoff.identity.name if tradeoff else None,
        skills=actor.skills,
        trust=actor.trust,
        context_limit=actor.context_limit,
        capacity=actor.capacity,
        executor=actor.executor,
        model=actor.model,
        usd_per_hour=actor.usd_per_hour,
        lineage=actor.lineage,
        record=record_of(tx, actor),
        retired_at=_moment(retired_at),
    )


def _moment(micros: int | None) -> str | None:
    return None if micros is None else to_rfc3339(micros)
