"""Roles, tradeoffs and actors: found by name or by the beginning of an id, and written.

What was changed into something else, or removed, stays as a row with `retired_at`: work
that was done refers to it, and so does the lineage of what came after it.
"""

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final, Literal, TypeVar

import msgspec

from workgraph.graph.errors import ConflictError, NotFoundError, UserError
from workgraph.graph.model import Actor, Record, Role, Tradeoff
from workgraph.store.database import Params, Row, Tx
from workgraph.store.rows import to_json

Kind = Literal["actor", "role", "tradeoff"]
Identity = Actor | Role | Tradeoff
T = TypeVar("T", Actor, Role, Tradeoff)

INSERT_IDENTITY: Final = """
insert into identities (id, kind, name, record) values (?, ?, ?, ?)
on conflict do nothing
"""
ADD: Final = "insert into identities (id, kind, name, record) values (?, ?, ?, ?)"
IDENTITY_BY_ID: Final = "select 1 from identities where id = ? and kind = ?"
KEPT_BY_ID: Final = """
select record, retired_at from identities where id = ? and kind = ?
"""
LIVING_BY_NAME: Final = """
select record, retired_at from identities
where kind = ? and name = ? and retired_at is null
"""
#: The one that bore the name last.
RETIRED_BY_NAME: Final = """
select record, retired_at from identities
where kind = ? and name = ? and retired_at is not null
order by retired_at desc, id limit 1
"""
BY_PREFIX: Final = """
select record, retired_at from identities
where id >= :low and id < :high and kind = :kind
  and (:retired or retired_at is null)
order by id limit 9
"""
EVERY: Final = """
select record, retired_at from identities
where kind = :kind and (:retired or retired_at is null)
order by name, retired_at, id
"""
LIVING_NAMES: Final = """
select name from identities where kind = ? and retired_at is null order by name
"""
UPDATE: Final = """
update identities set name = ?, record = ?, retired_at = null where id = ?
"""
RETIRE: Final = "update identities set retired_at = ? where id = ?"
#: Living actors with a role or a tradeoff of this id.
BEARERS: Final = """
select name from identities
where kind = 'actor' and retired_at is null
  and ? in (json_extract(record, '$.role'), json_extract(record, '$.tradeoff'))
order by name
"""
#: What it holds, itself or by an agent.
HELD_BY: Final = """
select task from agents where status <> 'ended' and actor = ? order by number
"""
#: Tasks that only it, or a person of its name, may take.
ASSIGNED_TO: Final = """
select id from tasks
where (actor = :name and actor_matched = 0 or reserved_for = :name)
  and status not in ('done', 'abandoned')
order by seq
"""
#: What is said of whom they wait for is said anew.
RENAME_TASKS: Final = """
with waiting (code) as (
    values ('actor_busy'), ('assigned_to_person'), ('no_capable_actor'))
update tasks set actor = :new,
    parked = iif(json_extract(parked, '$.code') in waiting, null, parked),
    parked_until = iif(
        json_extract(parked, '$.code') in waiting, null, parked_until)
where actor = :old and status not in ('done', 'abandoned')
"""
RENAME_RESERVED: Final = """
update tasks set reserved_for = :new where reserved_for = :old
"""
RENAME_TRAJECTORIES: Final = """
update trajectories set actor = :new where actor = :old and ended_at is null
"""

#: How many digits of an id people are shown.
SHOWN_DIGITS: Final = 8
_HEX: Final = frozenset("0123456789abcdef")
_ID_DIGITS: Final = 64
#: Where any name is good for a person, fewer digits are a name.
_LEAST_DIGITS: Final = 4
_MOST_NAMED: Final = 8
_TYPES: Final[Mapping[type, Kind]] = MappingProxyType(
    {Actor: "actor", Role: "role", Tradeoff: "tradeoff"}
)
_decode_record: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Kept(Record, frozen=True, kw_only=True):
    """An identity, and since when it is not in use any more; null: it is."""

    identity: Identity
    retired_at: int | None


def kind_of(identity: Identity) -> Kind:
    """What an identity is."""
    return _TYPES[type(identity)]


def find_actor(tx: Tx, text: str) -> Actor:
    """A living actor by its name, or by the beginning of its id that no other has.

    Raises:
        NotFoundError: There is none; the hint offers the nearest names.
        UserError: Several ids begin so; the message names them.
    """
    return find(tx, Actor, text)


def find(tx: Tx, type_: type[T], text: str) -> T:
    """A living identity by its name, or by the beginning of its id.

    Raises:
        NotFoundError: There is none; the hint offers the nearest names.
        UserError: Several ids begin so; the message names them.
    """
    found = _look_up(tx, type_, text, retired=False)
    if found is None:
        raise _no_such(tx, _TYPES[type_], text)
    return _as(type_, found.identity)


def find_kept(tx: Tx, type_: type[Identity], text: str) -> Kept:
    """As `find`, and what is retired where nothing that is in use is meant."""
    found = _look_up(tx, type_, text, retired=False)
    found = found or _look_up(tx, type_, text, retired=True)
    if found is None:
        raise _no_such(tx, _TYPES[type_], text)
    return found


def by_id(tx: Tx, type_: type[Identity], id_: str) -> Kept | None:
    """An identity by its whole id, in use or not; null: there is none."""
    row = tx.one(KEPT_BY_ID, (id_, _TYPES[type_]))
    return None if row is None else _kept(type_, row)


def by_name(tx: Tx, type_: type[T], name: str) -> T | None:
    """A living identity by its name; null: there is none."""
    row = tx.one(LIVING_BY_NAME, (_TYPES[type_], name))
    return None if row is None else _as(type_, _kept(type_, row).identity)


def is_taken(tx: Tx, kind: Kind, name: str) -> bool:
    """Whether something in use has this name."""
    return tx.one(LIVING_BY_NAME, (kind, name)) is not None


def actor_name(tx: Tx, text: str) -> str:
    """The name that is meant where any name is good for a person.

    The beginning of a living actor's id stands for its name. A text is taken for one
    from eight digits on, and from four on where there is a decimal one among them: so
    Ada and Abe stay who they are.

    Raises:
        UserError: Several ids begin so; the message names them.
    """
    is_long = len(text) >= SHOWN_DIGITS or any(map(str.isdecimal, text))
    if not _is_digits(text) or len(text) < _LEAST_DIGITS or not is_long:
        return text
    if is_taken(tx, "actor", text):
        return text
    found = _by_prefix(tx, Actor, text, retired=False)
    return text if found is None else found.identity.name


def near_actors(tx: Tx, name: str) -> list[str] | None:
    """Names of living actors that are much like a name; null where it is one."""
    return None if is_taken(tx, "actor", name) else _near(tx, "actor", name)


def every(tx: Tx, type_: type[Identity], *, retired: bool = False) -> Iterator[Kept]:
    """All of a kind by name, those of the same name by when they were in use."""
    params = {"kind": _TYPES[type_], "retired": retired}
    for row in tx.rows(EVERY, params):
        yield _kept(type_, row)


def bearers(tx: Tx, id_: str) -> list[str]:
    """The names of the living actors that have this role or tradeoff."""
    return [row[0] for row in tx.rows(BEARERS, (id_,))]


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


def keep(tx: Tx, identity: Identity) -> None:
    """Writes an identity: adds it, or what has changed of it, and it is in use.

    Its name is nobody's else. What an import brought with it stays.
    """
    kind = kind_of(identity)
    row = tx.one(KEPT_BY_ID, (identity.id, kind))
    if row is None:
        params: Params = (identity.id, kind, identity.name, to_json(identity))
        tx.run(ADD, params)
        return
    record = _decode_record(row[0]) | msgspec.to_builtins(identity)
    tx.run(UPDATE, (identity.name, to_json(record), identity.id))


def retire(tx: Tx, id_: str) -> None:
    """It is not in use any more from now on; its name is free."""
    tx.run(RETIRE, (tx.now, id_))


def held_by(tx: Tx, name: str) -> list[str]:
    """The tasks that an actor works on, or a person of that name holds."""
    return [row[0] for row in tx.rows(HELD_BY, (name,))]


def assigned_to(tx: Tx, name: str) -> list[str]:
    """The tasks that wait for an actor by its name and for nobody else."""
    return [row[0] for row in tx.rows(ASSIGNED_TO, {"name": name})]


def rename_in_tasks(tx: Tx, old: str, new: str) -> None:
    """What is for an actor of one name is for that of the other from now on."""
    names = {"old": old, "new": new}
    for statement in (RENAME_TASKS, RENAME_RESERVED, RENAME_TRAJECTORIES):
        tx.run(statement, names)


def _look_up(tx: Tx, type_: type[Identity], text: str, *, retired: bool) -> Kept | None:
    kind = _TYPES[type_]
    row = tx.one(RETIRED_BY_NAME if retired else LIVING_BY_NAME, (kind, text))
    if row is not None:
        return _kept(type_, row)
    return _by_prefix(tx, type_, text, retired=retired) if _is_digits(text) else None


def _by_prefix(
    tx: Tx, type_: type[Identity], text: str, *, retired: bool
) -> Kept | None:
    low = text.lower()
    params = {
        "low": low,
        "high": f"{low}g",
        "kind": _TYPES[type_],
        "retired": retired,
    }
    found = [_kept(type_, row) for row in tx.rows(BY_PREFIX, params)]
    if len(found) > 1:
        shown = ", ".join(
            f"{_digits(one.identity.id, len(text))} {one.identity.name}"
            for one in found[:_MOST_NAMED]
        )
        more = ", …" if len(found) > _MOST_NAMED else ""
        raise UserError(
            f"{text!r} is the beginning of several {_TYPES[type_]}s: {shown}{more}",
            hint="say more digits, or the name",
        )
    return found[0] if found else None


def _digits(id_: str, said: int) -> str:
    """So many that it can be told from the others in most cases."""
    return id_[: max(SHOWN_DIGITS, said + 2)]


def _is_digits(text: str) -> bool:
    return 0 < len(text) <= _ID_DIGITS and _HEX.issuperset(text.lower())


def _no_such(tx: Tx, kind: Kind, text: str) -> NotFoundError:
    near = _near(tx, kind, text)
    shown = text if len(text) <= _ID_DIGITS else f"{text[:_ID_DIGITS]}…"
    return NotFoundError(
        f"there is no {kind} {shown!r}",
        hint=f"did you mean {' or '.join(near)}?" if near else f"wg {kind} list",
    )


def _near(tx: Tx, kind: Kind, text: str) -> list[str]:
    if len(text) > _ID_DIGITS:
        return []
    return get_close_matches(text, [row[0] for row in tx.rows(LIVING_NAMES, (kind,))])


def _kept(type_: type[Identity], row: Row) -> Kept:
    return Kept(identity=_DECODERS[type_](row[0]), retired_at=row[1])


def _as(type_: type[T], identity: Identity) -> T:
    assert isinstance(identity, type_)
    return identity


_DECODERS: Final[Mapping[type, Callable[[bytes | str], Identity]]] = MappingProxyType(
    {type_: msgspec.json.Decoder(type_).decode for type_ in _TYPES}
)
