"""What may be said of a role, a tradeoff or an actor: checked, and put into its fields.

All of it is pure but for the roles and tradeoffs that an actor names.
"""

import math
import re
from collections.abc import Iterable
from typing import Final, TypeVar

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from workgraph.graph import identity
from workgraph.graph.errors import UsageError, UserError
from workgraph.graph.identity_requests import ActorOptions
from workgraph.graph.model import Actor, Lineage, Role, Tradeoff, parse_agent_id
from workgraph.store import identities
from workgraph.store.database import Tx
from workgraph.store.identities import Kind

#: As long as an id of a task may be.
MOST_NAME: Final = 64
#: A number that the database surely holds, and no size or price comes near.
MOST: Final = 10**15
T = TypeVar("T")
_AN_ID: Final = re.compile("[0-9a-fA-F]{64}")


def checked_name(kind: Kind, name: str) -> str:
    """A name that can be shown, said again, and taken for nothing else.

    Raises:
        UserError: It can't be one.
    """
    problem = _problem_of(name)
    if problem is not None:
        shown = name if len(name) <= MOST_NAME else f"{name[:MOST_NAME]}…"
        raise UserError(
            f"{shown!r} can't be the name of {'an' if kind == 'actor' else 'a'} {kind}:"
            f" {problem}",
            hint="a name is a word or a few, such as programmer",
        )
    return name


def a_role(*, name: str, description: str, outcome: str, skills: Iterable[str]) -> Role:
    """A role with its id; it comes from nowhere yet.

    Raises:
        UserError: It says nothing of what is done, or a skill is none.
    """
    kept = checked_words("skill", skills)
    _require(description, "a role says what its actor does", "-d TEXT")
    return Role(
        id=identity.role_id(description=description, skills=kept, outcome=outcome),
        name=checked_name("role", name),
        description=description,
        outcome=outcome,
        skills=kept,
    )


def a_tradeoff(
    *, name: str, description: str, accept: Iterable[str], reject: Iterable[str]
) -> Tradeoff:
    """A tradeoff with its id; it comes from nowhere yet.

    Raises:
        UserError: It says nothing, or the same is accepted and rejected.
    """
    accepts, rejects = _texts(accept), _texts(reject)
    _require(description, "a tradeoff says how its actor decides", "-d TEXT")
    both = [text for text in accepts if text in rejects]
    if both:
        raise UserError(
            f"{both[0]!r} is both accepted and rejected", hint="leave one of them out"
        )
    return Tradeoff(
        id=identity.tradeoff_id(
            description=description, accept=accepts, reject=rejects
        ),
        name=checked_name("tradeoff", name),
        description=description,
        accept=accepts,
        reject=rejects,
    )


def an_actor(tx: Tx, before: Actor, options: ActorOptions, name: str) -> Actor:
    """An actor with what the options say, and its id.

    Args:
        tx: The transaction.
        before: As it is until now.
        options: What is unset stays as it is.
        name: Its name from now on.

    Raises:
        UserError: A value is none that it can have.
        NotFoundError: There is no such role or tradeoff.
    """
    _check_numbers(options)
    role, tradeoff = before.role, before.tradeoff
    if options.role is not UNSET:
        wanted = options.role
        role = identities.find(tx, Role, wanted).id if wanted else None
    if options.tradeoff is not UNSET:
        wanted = options.tradeoff
        tradeoff = identities.find(tx, Tradeoff, wanted).id if wanted else None
    trust = before.trust
    if options.trust is not UNSET:
        trust = options.trust or "unknown"
    return replace(
        before,
        id=identity.actor_id(name=name, role=role, tradeoff=tradeoff),
        name=checked_name("actor", name),
        human=_or(options.human, before.human),
        role=role,
        tradeoff=tradeoff,
        skills=checked_words("skill", _or(options.skill, before.skills)),
        trust=trust,
        context_limit=_or(options.context_limit, before.context_limit),
        capacity=_or(options.capacity, before.capacity),
        executor=_word("executor", options.executor, before.executor),
        model=_word("model", options.model, before.model),
        usd_per_hour=_or(options.usd_per_hour, before.usd_per_hour),
    )


def changed(
    before: tuple[str, ...],
    whole: tuple[str, ...] | UnsetType,
    add: tuple[str, ...],
    remove: tuple[str, ...],
) -> tuple[str, ...]:
    """A list that is given anew, then with some more and some less."""
    kept = [*_or(whole, before), *add]
    return tuple(text for text in dict.fromkeys(kept) if text not in remove)


def checked_words(option: str, words: Iterable[str]) -> tuple[str, ...]:
    """Words such as skills, each once.

    Raises:
        UserError: One can't be told from another, or not be shown.
    """
    kept = tuple(dict.fromkeys(word for word in words if word))
    for word in kept:
        if word != word.strip() or not word.isprintable() or len(word) > MOST_NAME:
            raise UserError(
                f"{word[:MOST_NAME]!r} can't be a {option}",
                hint=f"at most {MOST_NAME} characters that can be shown, with no"
                " blanks around them",
            )
    return kept


def child_of(parent: Lineage, parent_id: str, by: str) -> Lineage:
    """Where it comes from that something was made of."""
    return Lineage(parents=(parent_id,), generation=parent.generation + 1, by=by)


def _or(value: T | UnsetType, otherwise: T) -> T:
    return otherwise if value is UNSET else value


def _problem_of(name: str) -> str | None:
    if not name.strip():
        return "it is empty"
    if name != name.strip():
        return "there are blanks around it"
    if not name.isprintable():
        return "there are characters in it that can't be shown"
    if len(name) > MOST_NAME:
        return f"it is longer than {MOST_NAME} characters"
    if name.startswith("-"):
        return "it begins like an option"
    if parse_agent_id(name) is not None:
        return "agents are called so"
    if _AN_ID.fullmatch(name):
        return "ids are like that"
    return None


def _texts(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text.strip()))


def _require(text: str, what: str, hint: str) -> None:
    if not text.strip():
        raise UserError(what, hint=hint)


def _word(option: str, value: str | UnsetType, otherwise: str | None) -> str | None:
    if value is UNSET:
        return otherwise
    if value and not value.isprintable():
        raise UserError(f"{value!r} can't be the {option}", hint=f"--{option} NAME")
    return value.strip() or None


def _check_numbers(options: ActorOptions) -> None:
    for name in ("context_limit", "capacity"):
        number = getattr(options, name)
        if isinstance(number, int) and not 1 <= number <= MOST:
            raise UsageError(
                f"--{name.replace('_', '-')} takes a number from 1 on, not {number}",
                hint='an empty text ("", null on the socket) is no limit',
            )
    cost = options.usd_per_hour
    if isinstance(cost, float | int) and not (
        math.isfinite(cost) and 0 <= cost <= MOST
    ):
        raise UsageError(
            f"--usd-per-hour takes a number from 0 on, not {cost}",
            hint='an empty text ("", null on the socket) says that it is not known',
        )
