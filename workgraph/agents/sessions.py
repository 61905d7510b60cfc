"""Which conversation an attempt goes on with: an earlier attempt's, or none.

An attempt that was cut short goes on where it was: the client has read the task and
the files already, and paid for it. One that has come to its own verdict is not asked to
come to another in the same breath: the next attempt looks at it afresh.
"""

from typing import Final

from workgraph.graph.model import Agent, EndKind, Outcome

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


def session_of(
    previous: Agent,
    *,
    executor: str,
    account: str | None,
    workspace: str,
    rejected: bool,
) -> str:
    """The session of an earlier attempt that the next one goes on with; empty: none.

    A session belongs to a client, a login and a folder. One in which no model has
    answered may not be there at all.

    Args:
        previous: The last attempt at the task.
        executor: What the next one runs, and the following two where and as whom.
        account: As whom.
        workspace: Where.
        rejected: What the last attempt handed in was sent back by a person.
    """
    if not _is_of_use(previous, executor, account, workspace):
        return ""
    assert previous.session is not None
    again = previous.outcome in _GOES_ON or (
        previous.outcome in _ONCE_MORE and previous.resumed is None
    )
    return previous.session if again or rejected else ""


def session_along(
    previous: Agent, *, executor: str, account: str | None, workspace: str
) -> str:
    """The session in which a trajectory's next step is done; empty: a new one.

    Args:
        previous: The attempt at the step before.
        executor: What the next one runs, and the following two where and as whom.
        account: As whom.
        workspace: Where.
    """
    if previous.outcome not in _HANDED_IN:
        return ""
    if not _is_of_use(previous, executor, account, workspace):
        return ""
    return previous.session or ""


def _is_of_use(
    previous: Agent, executor: str, account: str | None, workspace: str
) -> bool:
    """Whether its session is there, and one for this client, login and folder."""
    if previous.session is None or not (previous.answered or previous.resumed):
        return False
    if (previous.executor, previous.account, previous.workspace) != (
        executor,
        account,
        workspace,
    ):
        return False
    end = previous.client_end
    return end is None or end.kind not in _OVER
