"""What the tasks of the machinery are for: `assign-T`, `reward-T` and their like."""

from collections.abc import Callable
from hashlib import sha256
from typing import Final, Literal

from workgraph.graph.model import Record

ErrandKind = Literal["assignment", "reward", "evolution"]
#: What marks them, and what is never assigned or judged itself.
TAGS: Final[frozenset[str]] = frozenset({"assignment", "reward", "evolution"})
#: What the ids begin with of tasks that say who does another one.
ASSIGN: Final = "assign-"
#: The gate of an errand: its verdict is read, and taken or not (docs/adr/0018).
GATE: Final = "verdict"

_LONGEST: Final = 64
_DIGITS: Final = 8


class Errand(Record, frozen=True, kw_only=True):
    """A task of the machinery, and what it is about."""

    task: str
    kind: ErrandKind
    #: The task that is to be assigned, or was worked on.
    about: str | None = None
    #: The attempt that is judged.
    attempt: int | None = None
    #: Which part of the work: `score`, `guess` and `compare` (FLIP), `canary` …
    part: str = ""
    #: What it is given besides, as JSON.
    given: str | None = None
    #: What has come of it, as JSON; null while nothing has.
    verdict: str | None = None


def errand_id(prefix: str, about: str, is_taken: Callable[[str], bool]) -> str:
    """A free id for an errand: `assign-T`, else `assign-T-2`, and so on.

    Args:
        prefix: `assign` or `reward`.
        about: The task's id; one that is too long is cut and told apart by a hash.
        is_taken: Whether there is a task of that id.
    """
    number = 1
    while True:
        tail = "" if number == 1 else f"-{number}"
        name = f"{prefix}-{about}"
        room = _LONGEST - len(tail)
        if len(name) > room:
            digest = sha256(about.encode()).hexdigest()[:_DIGITS]
            name = f"{name[: room - _DIGITS - 1]}-{digest}"
        if not is_taken(name + tail):
            return name + tail
        number += 1
