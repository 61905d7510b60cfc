"""What is asked and told of roles, tradeoffs and actors.

`name` is what it is called, or shall be. Which one is meant is said by its kind,
`role`, `tradeoff` or `actor`: a name or the beginning of an id.
"""

from typing import Final

from msgspec import UNSET, UnsetType

from workgraph.graph.model import Lineage, Record, Trust
from workgraph.graph.task_options import Request, Texts


class AddRole(Request, frozen=True, kw_only=True, tag="add_role"):
    """Adds what an actor does; of a name that is taken, its next version."""

    name: str
    description: str
    outcome: str = ""
    skill: Texts = ()


class EditRole(Request, frozen=True, kw_only=True, tag="edit_role"):
    """Changes a role: all but its name makes the next version."""

    role: str
    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    outcome: str | UnsetType = UNSET
    skill: Texts | UnsetType = UNSET
    add_skill: Texts = ()
    remove_skill: Texts = ()


class ListRoles(Request, frozen=True, kw_only=True, tag="roles"):
    """All roles; those that are not in use any more only with `all`."""

    all: bool = False


class ShowRole(Request, frozen=True, kw_only=True, tag="show_role"):
    """Everything about a role."""

    role: str


class RemoveRole(Request, frozen=True, kw_only=True, tag="remove_role"):
    """Takes a role out of use."""

    role: str


class TraceRole(Request, frozen=True, kw_only=True, tag="role_lineage"):
    """A role and what it comes from, the latest first."""

    role: str


class AddTradeoff(Request, frozen=True, kw_only=True, tag="add_tradeoff"):
    """Adds why an actor acts as it does; of a name that is taken, its next version."""

    name: str
    description: str
    #: Acceptable compromises, and hard constraints.
    accept: Texts = ()
    reject: Texts = ()


class EditTradeoff(Request, frozen=True, kw_only=True, tag="edit_tradeoff"):
    """Changes a tradeoff: all but its name makes the next version."""

    tradeoff: str
    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    accept: Texts | UnsetType = UNSET
    reject: Texts | UnsetType = UNSET
    add_accept: Texts = ()
    remove_accept: Texts = ()
    add_reject: Texts = ()
    remove_reject: Texts = ()


class ListTradeoffs(Request, frozen=True, kw_only=True, tag="tradeoffs"):
    """All tradeoffs; those that are not in use any more only with `all`."""

    all: bool = False


class ShowTradeoff(Request, frozen=True, kw_only=True, tag="show_tradeoff"):
    """Everything about a tradeoff."""

    tradeoff: str


class RemoveTradeoff(Request, frozen=True, kw_only=True, tag="remove_tradeoff"):
    """Takes a tradeoff out of use."""

    tradeoff: str


class TraceTradeoff(Request, frozen=True, kw_only=True, tag="tradeoff_lineage"):
    """A tradeoff and what it comes from, the latest first."""

    tradeoff: str


class ActorOptions(Request, frozen=True, kw_only=True):
    """What `add` and `edit` share; what is unset stays as it is, or is the default.

    An empty text takes a value away; for numbers and choices that is null.
    """

    human: bool | UnsetType = UNSET
    role: str | UnsetType = UNSET
    tradeoff: str | UnsetType = UNSET
    skill: Texts | UnsetType = UNSET
    trust: Trust | UnsetType | None = UNSET
    context_limit: int | UnsetType | None = UNSET
    capacity: int | UnsetType | None = UNSET
    executor: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    usd_per_hour: float | UnsetType | None = UNSET


class AddActor(ActorOptions, frozen=True, kw_only=True, tag="add_actor"):
    """Adds an identity that can do work."""

    name: str


class EditActor(ActorOptions, frozen=True, kw_only=True, tag="edit_actor"):
    """Changes an actor; another name, role or tradeoff makes it another one."""

    actor: str
    name: str | UnsetType = UNSET
    add_skill: Texts = ()
    remove_skill: Texts = ()


class ListActors(Request, frozen=True, kw_only=True, tag="actors"):
    """All actors; those that are not in use any more only with `all`."""

    all: bool = False


class ShowActor(Request, frozen=True, kw_only=True, tag="show_actor"):
    """Everything about an actor."""

    actor: str


class RemoveActor(Request, frozen=True, kw_only=True, tag="remove_actor"):
    """Takes an actor out of use."""

    actor: str


class TraceActor(Request, frozen=True, kw_only=True, tag="actor_lineage"):
    """An actor and what it comes from, the latest first."""

    actor: str


class InitActors(Request, frozen=True, kw_only=True, tag="init_actors"):
    """Adds the starters that are not there."""


Adds = AddRole | AddTradeoff | AddActor
Edits = EditRole | EditTradeoff | EditActor
Lists = ListRoles | ListTradeoffs | ListActors
Shows = ShowRole | ShowTradeoff | ShowActor
Removes = RemoveRole | RemoveTradeoff | RemoveActor
Traces = TraceRole | TraceTradeoff | TraceActor
IdentityWrite = Adds | Edits | Removes | InitActors
IdentityRead = Lists | Shows | Traces
IdentityRequest = IdentityWrite | IdentityRead

READS: Final[tuple[type, ...]] = (
    *(ListRoles, ListTradeoffs, ListActors),
    *(ShowRole, ShowTradeoff, ShowActor),
    *(TraceRole, TraceTradeoff, TraceActor),
)
WRITES: Final[tuple[type, ...]] = (
    *(AddRole, AddTradeoff, AddActor),
    *(EditRole, EditTradeoff, EditActor),
    *(RemoveRole, RemoveTradeoff, RemoveActor),
    InitActors,
)


class RecordData(Record, frozen=True, kw_only=True):
    """How work was judged: a mean with its interval, null while there is none."""

    count: int = 0
    mean: float | None = None
    low: float | None = None
    high: float | None = None


class IdentityData(Record, frozen=True, kw_only=True):
    """What roles, tradeoffs and actors have in common."""

    id: str
    name: str
    lineage: Lineage
    record: RecordData
    #: Since when it is not in use any more: it was changed or removed.
    retired_at: str | None = None


class RoleData(IdentityData, frozen=True, kw_only=True):
    """What an actor does."""

    description: str
    outcome: str
    skills: tuple[str, ...]
    #: The actors that have it.
    actors: tuple[str, ...]


class TradeoffData(IdentityData, frozen=True, kw_only=True):
    """Why an actor acts as it does."""

    description: str
    accept: tuple[str, ...]
    reject: tuple[str, ...]
    #: The actors that have it.
    actors: tuple[str, ...]


class ActorData(IdentityData, frozen=True, kw_only=True):
    """A lasting identity that can do work."""

    human: bool
    #: Whole ids; the names beside them are for people.
    role: str | None
    tradeoff: str | None
    role_name: str | None
    tradeoff_name: str | None
    skills: tuple[str, ...]
    trust: Trust
    context_limit: int | None
    capacity: int | None
    executor: str | None
    model: str | None
    usd_per_hour: float | None


AnyIdentityData = RoleData | TradeoffData | ActorData


class StartersData(Record, frozen=True, kw_only=True):
    """What `init_actors` has added."""

    roles: tuple[RoleData, ...]
    tradeoffs: tuple[TradeoffData, ...]
    actors: tuple[ActorData, ...]
