"""Which conversation an attempt goes on with: an earlier attempt's, or none.

An attempt that was cut short goes on where it was: the client has read the task and
the files already, and paid for it. One that has come to its own verdict is not asked to
come to another in the same breath: the next attempt looks at it afresh. Nor does an
actor go on with what another one has said: it begins with the whole prompt.
"""

from typing import Final

from workgraph.graph.model import Agent, EndKind, Outcome, Record

#: Ends by which the work was interrupted, or came back with something to be mended.
_GOES_ON: Final = frozenset(
    {
        Outcome.RATE_LIMITED,
        Outcome.BUDGET,
        Outcome.WAITING,
        Outcome.KILLED,
        Outcome.GATE,
        Outcome.SPAWN_FAILED,
    }
)
#: Once more in the same session: it may be what it fails on.
_ONCE_MORE: Final = frozenset(
    {Outcome.CRASHED, Outcome.LOST, Outcome.TIMED_OUT, Outcome.STALLED}
)
#: What was handed in: who has done it can do the next step of a trajectory.
_HANDED_IN: Final = frozenset({Outcome.DONE, Outcome.SUBMITTED})
#: The session is gone, or too long.
_OVER: Final = frozenset({EndKind.NO_SESSION, EndKind.TOO_LONG})


class Whose(Record, frozen=True, kw_only=True):
    """What a session belongs to."""

    executor: str
    account: str | None
    workspace: str | None
    #: The identity of who works in it; null: none of ours.
    actor_id: str | None


def session_of(previous: Agent, whose: Whose, *, rejected: bool) -> str:
    """The session of an earlier attempt that the next one goes on with; empty: none.

    A session belongs to a client, a login, a folder and an actor. One in which no model
    has answered may not be there at all.

    Args:
        previous: The last attempt at the task.
        whose: What the next one runs, as whom, where and for which actor.
        rejected: What the last attempt handed in was sent back by a person.
    """
    if not _is_of_use(previous, whose):
        return ""
    assert previous.session is not None
    again = previous.outcome in _GOES_ON or (
        previous.outcome in _ONCE_MORE and previous.resumed is None
    )
    return previous.session if again or rejected else ""


def session_along(previous: Agent, whose: Whose) -> str:
    """The session in which a trajectory's next step is done; empty: a new one.

    Args:
        previous: The attempt at the step before.
        whose: What the next one runs, as whom, where and for which actor.
    """
    if previous.outcome not in _HANDED_IN or not _is_of_use(previous, whose):
        return ""
    return previous.session or ""


def _is_of_use(previous: Agent, whose: Whose) -> bool:
    """Whether its session is there, and one of the same."""
    if previous.session is None or not (previous.answered or previous.resumed):
        return False
    had = Whose(
        executor=previous.executor,
        account=previous.account,
        workspace=previous.workspace,
        actor_id=previous.actor_id,
    )
    if had != whose:
        return False
    end = previous.client_end
    return end is None or end.kind not in _OVER
