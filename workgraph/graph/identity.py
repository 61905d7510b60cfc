"""The ids of roles, tradeoffs and actors: a hash of what makes them what they are.

An id is the SHA-256 of the identity-defining fields as canonical JSON: UTF-8, keys in
order, no blanks, absent values null. Skills and constraints are sets: they are sorted
and each is there once, so that the order in which somebody names them changes nothing.
All of it is pure.
"""

import hashlib
from collections.abc import Iterable, Mapping

import msgspec


def role_id(*, description: str, skills: Iterable[str], outcome: str) -> str:
    """The id of a role, 64 hex digits."""
    return _hash(
        {"description": description, "outcome": outcome, "skills": _as_set(skills)}
    )


def tradeoff_id(
    *, description: str, accept: Iterable[str], reject: Iterable[str]
) -> str:
    """The id of a tradeoff, 64 hex digits."""
    return _hash(
        {
            "accept": _as_set(accept),
            "description": description,
            "reject": _as_set(reject),
        }
    )


def actor_id(*, name: str, role: str | None = None, tradeoff: str | None = None) -> str:
    """The id of an actor, 64 hex digits.

    Args:
        role: The id of its role, whole.
        tradeoff: The id of its tradeoff, whole.
    """
    return _hash({"name": name, "role": role, "tradeoff": tradeoff})


def _as_set(texts: Iterable[str]) -> list[str]:
    return sorted(set(texts))


def _hash(fields: Mapping[str, object]) -> str:
    canonical = msgspec.json.encode(fields, order="deterministic")
    return hashlib.sha256(canonical).hexdigest()
