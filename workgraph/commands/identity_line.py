"""The lines of an export that are roles, tradeoffs and actors."""

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, UnsetType, field

from workgraph.graph.model import Actor, Lineage, Record, Role


class ActorLine(
    Actor,
    frozen=True,
    kw_only=True,
    tag_field="kind",
    tag="actor",
    forbid_unknown_fields=True,
):
    """An actor. Its id is made where it is left out."""

    id: str = ""
    #: Since when it is not in use any more.
    retired_at: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


class RoleLine(
    Role,
    frozen=True,
    kw_only=True,
    tag_field="kind",
    tag="role",
    forbid_unknown_fields=True,
):
    """A role. Its id is made where it is left out."""

    id: str = ""
    retired_at: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


class TradeoffLine(
    Record,
    frozen=True,
    kw_only=True,
    tag_field="kind",
    tag="tradeoff",
    forbid_unknown_fields=True,
):
    """A tradeoff. Its id is made where it is left out."""

    id: str = ""
    name: str
    description: str
    accept: tuple[str, ...] = ()
    reject: tuple[str, ...] = ()
    lineage: Lineage | UnsetType = UNSET
    retired_at: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


IdentityLine = ActorLine | RoleLine | TradeoffLine
