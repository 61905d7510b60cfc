"""The life of a task: every status, every verb, and who may cause which change.

`TRANSITIONS[status][verb]` is where a verb leads; what is not in the table is refused.
Nothing else in the tree decides it, and `store/writes.change_status` is the only write
that carries it out. *Ready* and *blocked* are derived (`readiness`), never stored;
paused is a flag beside the status.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Status(StrEnum):
    """The stored statuses (CONTRACT §3.2)."""

    OPEN = "open"
    IN_PROGRESS = "in-progress"
    WAITING = "waiting"
    PENDING_REVIEW = "pending-review"
    DONE = "done"
    FAILED = "failed"
    ABANDONED = "abandoned"


class Verb(StrEnum):
    """What happens to a task. The change log keeps the verb, not only both ends."""

    CLAIM = "claim"
    #: The claim goes back: unclaim, kill, a provider's limit, what never started.
    RELEASE = "release"
    FINISH = "finish"
    SUBMIT = "submit"
    APPROVE = "approve"
    #: A gate or a reviewer said no, and an attempt is left.
    REJECT = "reject"
    FAIL = "fail"
    #: An attempt ended badly, and the retry rule gives another one.
    REQUEUE = "requeue"
    RETRY = "retry"
    #: The next iteration of a loop that an operator has ordered begins.
    ITERATE = "iterate"
    ABANDON = "abandon"
    WAIT = "wait"
    WAKE = "wake"


class Cause(StrEnum):
    """Who may cause a change."""

    OPERATOR = "operator"
    #: The agent or person whose claim it is.
    WORKER = "worker"
    MACHINE = "machine"


_O, _W, _M = Cause.OPERATOR, Cause.WORKER, Cause.MACHINE

#: Who may cause each verb at all. Whose work it is, is asked by the handlers.
CAUSES: Final[Mapping[Verb, frozenset[Cause]]] = MappingProxyType(
    {
        Verb.CLAIM: frozenset({_O, _M}),
        Verb.RELEASE: frozenset({_O, _M}),
        Verb.FINISH: frozenset({_O, _W, _M}),
        Verb.SUBMIT: frozenset({_O, _W, _M}),
        Verb.APPROVE: frozenset({_O, _M}),
        Verb.REJECT: frozenset({_O, _M}),
        Verb.FAIL: frozenset({_O, _W, _M}),
        Verb.REQUEUE: frozenset({_M, _W, _O}),
        Verb.RETRY: frozenset({_O}),
        Verb.ITERATE: frozenset({_M}),
        Verb.ABANDON: frozenset({_O}),
        Verb.WAIT: frozenset({_W, _O}),
        Verb.WAKE: frozenset({_M, _O}),
    }
)

TRANSITIONS: Final[Mapping[Status, Mapping[Verb, Status]]] = MappingProxyType(
    {
        Status.OPEN: MappingProxyType(
            {
                Verb.CLAIM: Status.IN_PROGRESS,
                # An operator says that it has been done already.
                Verb.FINISH: Status.DONE,
                Verb.SUBMIT: Status.PENDING_REVIEW,
                # Attempts are used up while it waits for the next one.
                Verb.FAIL: Status.FAILED,
                Verb.ABANDON: Status.ABANDONED,
            }
        ),
        Status.IN_PROGRESS: MappingProxyType(
            {
                Verb.RELEASE: Status.OPEN,
                Verb.FINISH: Status.DONE,
                Verb.SUBMIT: Status.PENDING_REVIEW,
                Verb.FAIL: Status.FAILED,
                Verb.REQUEUE: Status.OPEN,
                Verb.ABANDON: Status.ABANDONED,
                Verb.WAIT: Status.WAITING,
            }
        ),
        Status.WAITING: MappingProxyType(
            {
                Verb.WAKE: Status.OPEN,
                Verb.ABANDON: Status.ABANDONED,
            }
        ),
        Status.PENDING_REVIEW: MappingProxyType(
            {
                Verb.APPROVE: Status.DONE,
                Verb.REJECT: Status.OPEN,
                Verb.ITERATE: Status.OPEN,
                Verb.FAIL: Status.FAILED,
                Verb.ABANDON: Status.ABANDONED,
            }
        ),
        Status.DONE: MappingProxyType(
            {Verb.RETRY: Status.OPEN, Verb.ITERATE: Status.OPEN}
        ),
        Status.FAILED: MappingProxyType(
            {Verb.RETRY: Status.OPEN, Verb.ABANDON: Status.ABANDONED}
        ),
        Status.ABANDONED: MappingProxyType({Verb.RETRY: Status.OPEN}),
    }
)

#: An edge is met by a dependency in one of these statuses.
MEETS: Final[Mapping[str, frozenset[Status]]] = MappingProxyType(
    {
        "done": frozenset({Status.DONE, Status.ABANDONED}),
        "settled": frozenset({Status.DONE, Status.ABANDONED, Status.FAILED}),
    }
)

#: Nothing happens to a task in one of these without an operator, or a loop of one.
SETTLED: Final = frozenset({Status.DONE, Status.FAILED, Status.ABANDONED})


def next_status(status: Status, verb: Verb) -> Status | None:
    """Where a verb leads from a status, or null where it is not allowed."""
    return TRANSITIONS[status].get(verb)
