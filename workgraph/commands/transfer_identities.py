"""Roles, tradeoffs and actors of an import, gathered and checked as a whole.

One that is there by the same id is the same one, and stays as it is here. Any other one
whose name is in use refuses the whole import.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from workgraph.commands.identity_line import ActorLine, IdentityLine, RoleLine
from workgraph.commands.line_errors import bad_line, conflict_in
from workgraph.commands.transfer_lines import check_depth, encode, read_moment
from workgraph.graph import identity
from workgraph.store import transfer
from workgraph.store.database import Tx
from workgraph.store.transfer import StoredIdentity

_IDENTITY: Final = re.compile(r"[0-9a-f]{64}")


class IdentityBatch:
    """Those that come in: `take` each, `settle` once, then `write`.

    Args:
        tx: The transaction.
    """

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._new: dict[str, tuple[int, StoredIdentity]] = {}
        #: Ids, and names in use, with their lines.
        self._marks: dict[str, int] = {}
        #: The roles and tradeoffs that actors have, with the lines that say so.
        self._named: dict[str, int] = {}
        #: Those that name another id than their content has.
        self._forged: dict[str, int] = {}

    @property
    def count(self) -> int:
        """How many come in that are not there."""
        return len(self._new)

    def take(self, number: int, line: IdentityLine) -> None:
        """Takes a line, as far as it can be judged alone.

        Raises:
            UserError: Its id or name is none, or is in an earlier line.
        """
        new = _stored(number, line, self._tx.now)
        marks = [new.id]
        if new.retired_at is None:
            marks.append(f"{new.kind} {new.name}")
        for mark in marks:
            first = self._marks.setdefault(mark, number)
            if first != number:
                what = f"{new.kind} {new.name!r} is in line {first} already"
                raise bad_line(number, f"the {what}")
        self._new[new.id] = (number, new)
        if new.id != _id_of(line):
            self._forged[new.id] = number
        if isinstance(line, ActorLine):
            for id_ in (line.role, line.tradeoff):
                if id_:
                    self._named.setdefault(id_, number)

    def settle(self) -> list[str]:
        """Judges all of them against the graph; gives what is to be warned of.

        Raises:
            UserError: An id is not that of its content.
            ConflictError: A name is in use by another one, or an id by other content.
        """
        by_id = {one.id: one for one in transfer.identities(self._tx)}
        names = {(o.kind, o.name) for o in by_id.values() if o.retired_at is None}
        for id_, number in self._forged.items():
            if id_ in by_id:
                raise conflict_in(number, f"the id {id_} is another one's")
            raise bad_line(number, f"the id {id_} is not that of what is in it")
        known = by_id.keys() | self._new.keys()
        warnings = [
            f"the role or tradeoff {id_} of an actor (line {number}) is neither in"
            " this file nor in the graph"
            for id_, number in self._named.items()
            if id_ not in known
        ]
        for number, new in list(self._new.values()):
            same = by_id.get(new.id)
            if same is not None and same.kind == new.kind:
                warnings += _differences(number, same, new)
                del self._new[new.id]
            elif same is not None or (
                new.retired_at is None and (new.kind, new.name) in names
            ):
                raise conflict_in(number, f"there is another {new.kind} {new.name!r}")
        return warnings

    def write(self) -> None:
        """Adds those that are not there."""
        for _, new in self._new.values():
            transfer.insert_identity(self._tx, new)


def identity_line(stored: StoredIdentity, retired_at: str | None) -> bytes:
    """The line of a role, tradeoff or actor, as its row has it."""
    record = msgspec.json.decode(stored.record, type=dict[str, object])
    line: Mapping[str, object] = {"kind": stored.kind} | record
    return encode(line if retired_at is None else {**line, "retired_at": retired_at})


def _differences(number: int, here: StoredIdentity, new: StoredIdentity) -> list[str]:
    what = f"the {here.kind} {here.name!r} is there already"
    if here.record != new.record:
        return [f"{what} with other settings (line {number}): left as it is here"]
    if (here.retired_at is None) != (new.retired_at is None):
        how = "in use" if here.retired_at is None else "not in use any more"
        return [f"{what} and {how} (line {number}): left as it is here"]
    return []


def _stored(number: int, line: IdentityLine, now: int) -> StoredIdentity:
    id_ = line.id or _id_of(line)
    if not _IDENTITY.fullmatch(id_):
        raise bad_line(number, f"{id_!r} is not an id: 64 hex digits")
    if not line.name.strip():
        raise bad_line(number, "name: it is empty")
    check_depth(number, line.metadata)
    record = msgspec.to_builtins(replace(line, id=id_))
    kind = record.pop("kind")
    del record["retired_at"]
    if not line.metadata:
        del record["metadata"]
    return StoredIdentity(
        kind=kind,
        name=line.name,
        id=id_,
        record=encode(record).decode(),
        retired_at=read_moment(number, "retired_at", line.retired_at, now),
    )


def _id_of(line: IdentityLine) -> str:
    if isinstance(line, ActorLine):
        return identity.actor_id(name=line.name, role=line.role, tradeoff=line.tradeoff)
    if isinstance(line, RoleLine):
        return identity.role_id(
            description=line.description, skills=line.skills, outcome=line.outcome
        )
    return identity.tradeoff_id(
        description=line.description, accept=line.accept, reject=line.reject
    )
