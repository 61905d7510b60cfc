"""Handlers of roles, tradeoffs and actors: adding, changing, removing, listing them.

What makes an identity what it is makes its id, so a change of that is a new row: the
old one is retired, and is a parent of the new one. Whoever refers to the old one goes
on with it, and is named.
"""

import shlex
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from workgraph.agents.builtin import BUILTINS
from workgraph.commands.context import Context, officials_of
from workgraph.commands.identity_fields import (
    a_role,
    a_tradeoff,
    an_actor,
    changed,
    checked_name,
    child_of,
)
from workgraph.commands.shapes_agency import identity_data
from workgraph.graph import identity_requests as q
from workgraph.graph.changes import ChangeKind
from workgraph.graph.errors import ConflictError, UserError
from workgraph.graph.identity import actor_id
from workgraph.graph.model import Actor, Lineage, Role, Tradeoff
from workgraph.graph.replies import Reply
from workgraph.settings import Settings
from workgraph.store import candidates
from workgraph.store import identities as kept
from workgraph.store.database import Tx
from workgraph.store.identities import SHOWN_DIGITS, Identity, Kept, kind_of

_quoted: Final = shlex.quote
_OFFICES: Final = ("assigner", "evaluator", "evolver")
#: Tasks that are named, of many.
_NAMED: Final = 5


def add_identity(context: Context, request: q.Adds) -> Reply:
    """Adds a role, tradeoff or actor; what is there with the same content stays.

    Raises:
        UserError: Something said of it can't be so.
        NotFoundError: An actor's role or tradeoff is not there.
        ConflictError: Its name is another actor's, or its content has another name.
    """
    tx = context.tx
    match request:
        case q.AddRole():
            role = a_role(
                name=request.name,
                description=request.description,
                outcome=request.outcome,
                skills=request.skill,
            )
            return _put(context, kept.by_name(tx, Role, role.name), role)
        case q.AddTradeoff():
            tradeoff = a_tradeoff(
                name=request.name,
                description=request.description,
                accept=request.accept,
                reject=request.reject,
            )
            before = kept.by_name(tx, Tradeoff, tradeoff.name)
            return _put(context, before, tradeoff)
        case q.AddActor():
            return _add_actor(context, request)


def edit_identity(context: Context, request: q.Edits) -> Reply:
    """Changes a role, tradeoff or actor.

    Raises:
        NotFoundError: There is none of that name or id.
        UserError: Something said of it can't be so; it has work and can't be renamed.
        ConflictError: The name is taken, or the content is another one's.
    """
    tx = context.tx
    match request:
        case q.EditRole():
            role = kept.find(tx, Role, request.role)
            edited = a_role(
                name=role.name if request.name is UNSET else request.name,
                description=role.description
                if request.description is UNSET
                else request.description,
                outcome=role.outcome if request.outcome is UNSET else request.outcome,
                skills=changed(
                    role.skills, request.skill, request.add_skill, request.remove_skill
                ),
            )
            return _put(context, role, edited)
        case q.EditTradeoff():
            old = kept.find(tx, Tradeoff, request.tradeoff)
            new = a_tradeoff(
                name=old.name if request.name is UNSET else request.name,
                description=old.description
                if request.description is UNSET
                else request.description,
                accept=changed(
                    old.accept,
                    request.accept,
                    request.add_accept,
                    request.remove_accept,
                ),
                reject=changed(
                    old.reject,
                    request.reject,
                    request.add_reject,
                    request.remove_reject,
                ),
            )
            return _put(context, old, new)
        case q.EditActor():
            return _edit_actor(context, request)


def remove_identity(context: Context, request: q.Removes) -> Reply:
    """Takes a role, tradeoff or actor out of use; what it did stays.

    Raises:
        NotFoundError: There is none in use of that name or id.
        UserError: An actor has it, or it holds tasks.
    """
    tx = context.tx
    match request:
        case q.RemoveRole():
            gone: Identity = kept.find(tx, Role, request.role)
            _check_unused(tx, gone)
            notes: tuple[str, ...] = ()
        case q.RemoveTradeoff():
            gone = kept.find(tx, Tradeoff, request.tradeoff)
            _check_unused(tx, gone)
            notes = ()
        case q.RemoveActor():
            gone = kept.find(tx, Actor, request.actor)
            _check_idle(tx, gone.name, "removed")
            notes = (*_left_behind(tx, gone.name), *_offices(context, gone.name))
    kept.retire(tx, gone.id)
    _tell(context, ChangeKind.IDENTITY_RETIRED, gone, before=gone.id)
    candidates.wake_parked(tx, officials_of(context.settings))
    return _reply(context, gone, notes)


def list_identities(context: Context, request: q.Lists) -> Reply:
    """All of a kind, by name."""
    match request:
        case q.ListRoles():
            type_: type[Identity] = Role
        case q.ListTradeoffs():
            type_ = Tradeoff
        case q.ListActors():
            type_ = Actor
    found = list(kept.every(context.tx, type_, retired=request.all))
    return Reply(data=tuple(identity_data(context.tx, one) for one in found))


def show_identity(context: Context, request: q.Shows) -> Reply:
    """Everything about a role, tradeoff or actor, in use or not.

    Raises:
        NotFoundError: There never was one of that name or id.
    """
    found = _meant(context.tx, request)
    return Reply(data=identity_data(context.tx, found))


def trace_identity(context: Context, request: q.Traces) -> Reply:
    """An identity, its parents, theirs, and so on: the latest generation first.

    Raises:
        NotFoundError: There never was one of that name or id.
    """
    tx = context.tx
    first = _meant(tx, request)
    type_ = type(first.identity)
    found, to_look_at = {first.identity.id: first}, [first]
    for one in to_look_at:  # which grows: each is looked at once
        for parent in one.identity.lineage.parents:
            ancestor = None if parent in found else kept.by_id(tx, type_, parent)
            if ancestor is not None:
                found[parent] = ancestor
                to_look_at.append(ancestor)
    return Reply(data=tuple(identity_data(tx, one) for one in to_look_at))


def _meant(tx: Tx, request: q.Shows | q.Traces) -> Kept:
    match request:
        case q.ShowRole() | q.TraceRole():
            return kept.find_kept(tx, Role, request.role)
        case q.ShowTradeoff() | q.TraceTradeoff():
            return kept.find_kept(tx, Tradeoff, request.tradeoff)
        case q.ShowActor() | q.TraceActor():
            return kept.find_kept(tx, Actor, request.actor)


def _add_actor(context: Context, request: q.AddActor) -> Reply:
    tx, name = context.tx, checked_name("actor", request.name)
    nobody = Actor(id=actor_id(name=name), name=name)
    new = an_actor(tx, nobody, request, name)
    if request.skill is UNSET and new.role is not None:
        role = kept.by_id(tx, Role, new.role)
        assert role is not None
        assert isinstance(role.identity, Role)
        new = replace(new, skills=role.identity.skills)
    there = kept.by_name(tx, Actor, name)
    if there is not None and not _is_same(new, there):
        raise ConflictError(
            f"there is an actor {name!r} already, and it is not the same",
            hint=f"wg actor edit {_quoted(name)} changes it",
        )
    return _put(context, there, new)


def _edit_actor(context: Context, request: q.EditActor) -> Reply:
    tx = context.tx
    old = kept.find(tx, Actor, request.actor)
    name = old.name if request.name is UNSET else request.name
    new = an_actor(tx, old, request, name)
    skills = changed(new.skills, UNSET, request.add_skill, request.remove_skill)
    new = an_actor(tx, new, q.ActorOptions(skill=skills), name)
    notes: tuple[str, ...] = ()
    if name != old.name:
        _check_idle(tx, old.name, "renamed")
        kept.rename_in_tasks(tx, old.name, name)
        notes = _offices(context, old.name)
    reply = _put(context, old, new)
    return replace(reply, notes=(*reply.notes, *notes, *_unlike_role(tx, new)))


def _put(context: Context, old: Identity | None, new: Identity) -> Reply:
    """Makes `old`, where there is one, into `new`: the same row by the same id."""
    tx, kind = context.tx, kind_of(new)
    there = kept.by_id(tx, type(new), new.id)
    _check_name(tx, old, new)
    if there is None:
        by = context.caller.by
        lineage = child_of(old.lineage, old.id, by) if old else Lineage(by=by)
        new = replace(new, lineage=lineage)
    else:
        # A former version that comes back has the parents that it had.
        new = replace(new, lineage=there.identity.lineage)
        if there.retired_at is None and (old is None or old.id != new.id):
            raise ConflictError(
                f"the {kind} {there.identity.name!r} is the same",
                hint=f"use that one, or wg {kind} edit"
                f" {_quoted(there.identity.name)} --name NEW",
            )
    if old is not None and _is_same(new, old):
        return _reply(context, old, (f"the {kind} {old.name} is so already",))
    if old is not None and old.id != new.id:
        kept.retire(tx, old.id)
    kept.keep(tx, new)
    what = ChangeKind.IDENTITY_ADDED if old is None else ChangeKind.IDENTITY_CHANGED
    _tell(context, what, new, before=old.id if old else None)
    candidates.wake_parked(tx, officials_of(context.settings))
    return _reply(context, new, _notes_of(context, old, there, new))


def _is_same(one: Identity, other: Identity) -> bool:
    """Whether nothing differs but the order of what is a set."""
    if (one.id, one.name) != (other.id, other.name):
        return False
    if not isinstance(one, Actor) or not isinstance(other, Actor):
        return True
    skills = tuple(sorted(one.skills))
    return replace(one, skills=skills, lineage=other.lineage) == replace(
        other, skills=tuple(sorted(other.skills))
    )


def _check_name(tx: Tx, old: Identity | None, new: Identity) -> None:
    if old is not None and old.name == new.name:
        return
    kind = kind_of(new)
    if kept.is_taken(tx, kind, new.name):
        raise ConflictError(
            f"there is another {kind} {new.name!r}",
            hint=f"choose another name, or wg {kind} rm {_quoted(new.name)}",
        )


def _notes_of(
    context: Context, old: Identity | None, there: Kept | None, new: Identity
) -> tuple[str, ...]:
    kind, notes = kind_of(new), []
    if old is None and there is not None:
        notes.append(f"the {kind} {new.name} was there before, and is in use again")
    if old is not None and old.id != new.id:
        notes += [
            f"{name} still has the {kind} as it was ({old.id[:SHOWN_DIGITS]}):"
            f" wg actor edit {_quoted(name)} --{kind} {_quoted(new.name)}"
            for name in kept.bearers(context.tx, old.id)
        ]
    if isinstance(new, Actor) and new.executor:
        known = {executor.name for executor in BUILTINS} | set(
            context.settings.executors
        )
        if new.executor not in known:
            notes.append(
                f"{new.executor} is no executor that comes with it or that the"
                " settings have: wg executor list"
            )
    return tuple(notes)


def _unlike_role(tx: Tx, actor: Actor) -> tuple[str, ...]:
    """What is to be said where an actor has not all the skills of its role."""
    role = kept.by_id(tx, Role, actor.role) if actor.role else None
    if role is None or not isinstance(role.identity, Role) or "*" in actor.skills:
        return ()
    lacks = [skill for skill in role.identity.skills if skill not in actor.skills]
    if not lacks:
        return ()
    options = " ".join(f"--add-skill {_quoted(skill)}" for skill in lacks)
    note = (
        f"the role {role.identity.name} has skills that {actor.name} has not:"
        f" wg actor edit {_quoted(actor.name)} {options}"
    )
    return (note,)


def _check_unused(tx: Tx, gone: Identity) -> None:
    names = kept.bearers(tx, gone.id)
    if names:
        kind, first = kind_of(gone), _quoted(names[0])
        raise UserError(
            f"the {kind} {gone.name!r} is in use by {', '.join(names)}",
            hint=f"wg actor edit {first} --{kind} OTHER, or wg actor rm {first}",
        )


def _check_idle(tx: Tx, name: str, what: str) -> None:
    held = kept.held_by(tx, name)
    if held:
        raise UserError(
            f"{name} can't be {what}: it works on {_some(held)}",
            hint=f"wait until it has ended, or wg unclaim {held[0]}",
        )


def _left_behind(tx: Tx, name: str) -> tuple[str, ...]:
    tasks = kept.assigned_to(tx, name)
    if not tasks:
        return ()
    one = len(tasks) == 1
    note = (
        f"{_some(tasks)} {'is' if one else 'are'} still assigned to {name}, and"
        f" {'waits' if one else 'wait'}: wg assign {tasks[0]} --clear, or OTHER"
    )
    return (note,)


def _offices(context: Context, name: str) -> tuple[str, ...]:
    return tuple(
        f"the setting agency.{office} still names {name}:"
        f" wg config set agency.{office} OTHER"
        for office in _named_in(context.settings, name)
    )


def _named_in(settings: Settings, name: str) -> list[str]:
    return [one for one in _OFFICES if getattr(settings.agency, one) == name]


def _some(tasks: list[str]) -> str:
    more = len(tasks) - _NAMED
    named = ", ".join(tasks[:_NAMED])
    return f"{named} and {more} more" if more > 0 else named


def _tell(
    context: Context, what: ChangeKind, identity: Identity, before: str | None
) -> None:
    context.tx.emit(
        what,
        actor=identity.name if isinstance(identity, Actor) else None,
        by=context.caller.by,
        verb=kind_of(identity),
        from_=before,
        to=None if what is ChangeKind.IDENTITY_RETIRED else identity.id,
        reason=identity.name,
    )


def _reply(context: Context, identity: Identity, notes: tuple[str, ...]) -> Reply:
    found = kept.by_id(context.tx, type(identity), identity.id)
    assert found is not None
    return Reply(data=identity_data(context.tx, found), notes=notes)
