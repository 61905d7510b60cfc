"""The handler of `wg actor init`: starters are added, and nothing is overwritten."""

from workgraph.commands import identities
from workgraph.commands.context import Context
from workgraph.graph import identity_requests as q
from workgraph.graph import starters
from workgraph.graph.errors import ConflictError
from workgraph.graph.model import Actor, Role, Tradeoff
from workgraph.graph.replies import Reply
from workgraph.store import identities as kept
from workgraph.store.database import Tx


def add_starters(context: Context) -> Reply:
    """Adds the roles, tradeoffs and actors to begin with that are not there.

    A name that is in use stays what it is, and so does what bears another name by now.
    """
    tx = context.tx
    roles = [
        _added(context, _role_request(one))
        for one in starters.ROLES
        if kept.by_name(tx, Role, one.name) is None
    ]
    tradeoffs = [
        _added(context, _tradeoff_request(one))
        for one in starters.TRADEOFFS
        if kept.by_name(tx, Tradeoff, one.name) is None
    ]
    actors = [
        _added(
            context,
            q.AddActor(name=one.name, role=one.role, tradeoff=one.tradeoff),
        )
        for one in starters.ACTORS
        if kept.by_name(tx, Actor, one.name) is None
        and kept.by_name(tx, Role, one.role) is not None
        and kept.by_name(tx, Tradeoff, one.tradeoff) is not None
    ]
    data = q.StartersData(
        roles=tuple(one for one in roles if isinstance(one, q.RoleData)),
        tradeoffs=tuple(one for one in tradeoffs if isinstance(one, q.TradeoffData)),
        actors=tuple(one for one in actors if isinstance(one, q.ActorData)),
    )
    return Reply(data=data, notes=_next_steps(context, tx))


def _added(context: Context, request: q.Adds) -> q.AnyIdentityData | None:
    """What was added; null where the same is there under another name."""
    try:
        data: q.AnyIdentityData = identities.add_identity(context, request).data
    except ConflictError:
        return None
    return data


def _role_request(one: starters.StarterRole) -> q.AddRole:
    return q.AddRole(
        name=one.name,
        description=one.description,
        outcome=one.outcome,
        skill=one.skills,
    )


def _tradeoff_request(one: starters.StarterTradeoff) -> q.AddTradeoff:
    return q.AddTradeoff(
        name=one.name,
        description=one.description,
        accept=one.accept,
        reject=one.reject,
    )


def _next_steps(context: Context, tx: Tx) -> tuple[str, ...]:
    """How an office is filled that nobody has; the setting first.

    So its actor is never one that ordinary work could go to.
    """
    return tuple(
        f"nobody is {office} yet: wg config set agency.{office} {role}, then"
        f" wg actor add {role} --role {role} --tradeoff careful"
        for role, office in starters.OFFICES
        if not getattr(context.settings.agency, office)
        and kept.by_name(tx, Role, role) is not None
        and kept.by_name(tx, Actor, role) is None
    )
