"""Clients: what their own word of the end means for the attempt.

A client's word goes before its exit status: it exits with 0 after an error, and with 1
for anything. It comes after the worker's own verdict, and after a limit that was
reached here. docs/outcomes.md has the table, with the field of each client.
"""

from typing import Final

from workgraph.graph.decisions import ConcludeAttempt, MoveTask, StopAgent
from workgraph.graph.model import (
    Agent,
    ClientEnd,
    EndKind,
    Failure,
    Outcome,
    Parked,
    Stop,
    StopThen,
    Task,
)
from workgraph.graph.status import Verb
from workgraph.graph.times import SECOND

#: A task whose client can't be started is tried after a minute, doubling to 30 minutes.
_FIRST_LOOK: Final = 60 * SECOND
_LAST_LOOK: Final = 1800 * SECOND
_MAX_DOUBLINGS: Final = 10

_OUTCOMES: Final = {
    EndKind.DENIED: Outcome.FAILED,
    EndKind.LIMITED: Outcome.RATE_LIMITED,
    EndKind.OVERLOADED: Outcome.RATE_LIMITED,
    EndKind.NETWORK: Outcome.RATE_LIMITED,
    EndKind.AUTH: Outcome.SPAWN_FAILED,
    EndKind.MISCONFIGURED: Outcome.SPAWN_FAILED,
    EndKind.NO_SESSION: Outcome.SPAWN_FAILED,
    EndKind.TOO_LONG: Outcome.CRASHED,
    EndKind.CUT: Outcome.CRASHED,
    EndKind.OWN_LIMIT: Outcome.FAILED,
    EndKind.FAILED: Outcome.FAILED,
}
#: Ends that say something about the account, and nothing about the task.
_PROVIDERS: Final = frozenset(
    {EndKind.AUTH, EndKind.LIMITED, EndKind.OVERLOADED, EndKind.NETWORK}
)


def end_of(agent: Agent) -> ClientEnd | None:
    """How an agent's client says that it ended; null where that was our doing.

    Who was ended for trying again in vain has ended with what it tried to get over.
    """
    if agent.stop is None:
        return agent.client_end
    if agent.stop.then is not StopThen.JUDGE or agent.verdict is not None:
        return None
    return agent.client_end or agent.trouble


def outcome_of(end: ClientEnd) -> Outcome | None:
    """What its word makes of an attempt; null for a good end, whose rule is another."""
    return _OUTCOMES.get(end.kind)


def stop_talker(agent: Agent) -> StopAgent:
    """Ends a client that has said its last word, or has tried again for too long."""
    reason = None
    if agent.client_end is None and agent.trouble is not None:
        reason = f"{agent.id} was not getting over it: {agent.trouble.message}"
    stop = Stop(then=StopThen.JUDGE, by="workgraph", reason=reason)
    return StopAgent(agent=agent.number, stop=stop, verdict=None)


def conclude_refused(
    agent: Agent, task: Task, end: ClientEnd, now: int, own_gap: int
) -> ConcludeAttempt | None:
    """An attempt that came to nothing for reasons that do not lie in the task.

    It is not counted. What the provider refuses waits for the account, which says when
    it is tried again; a client that can't be started as it is asked to waits for
    somebody; one whose session is gone starts anew at once.

    Args:
        agent: The agent that has ended.
        task: Its task.
        end: What its client has ended with.
        now: The moment of the tick.
        own_gap: For how long the task waits by itself, where no account holds it.

    Returns:
        Null where the attempt is to be judged as any other.
    """
    reason, outcome = end.message, outcome_of(end)
    if outcome is None:
        return None
    failure = Failure(class_=outcome, reason=reason)
    move = MoveTask(verb=Verb.RELEASE, reason=reason, failure=failure)
    if end.kind in _PROVIDERS:
        retry_at = None if agent.account else now + own_gap
        move = MoveTask(
            verb=Verb.RELEASE, reason=reason, failure=failure, retry_at=retry_at
        )
    elif end.kind is EndKind.MISCONFIGURED:
        in_vain = max(task.starts - task.attempts, 0)
        gap = _FIRST_LOOK << min(in_vain, _MAX_DOUBLINGS)
        move = MoveTask(
            verb=Verb.RELEASE,
            reason=reason,
            failure=failure,
            parked=_misconfigured(agent, task, reason),
            parked_until=now + min(gap, _LAST_LOOK),
        )
    elif end.kind is not EndKind.NO_SESSION or agent.resumed is None:
        return None
    return ConcludeAttempt(
        agent=agent.number,
        task=task.id,
        outcome=outcome,
        counted=False,
        move=move,
        # One that was answered has cost something: the ceiling of starts counts it.
        refused=end.kind in _PROVIDERS and not agent.answered,
    )


def _misconfigured(agent: Agent, task: Task, reason: str) -> Parked:
    return Parked(
        code="misconfigured",
        message=f"{agent.executor} does not take what it is started with: {reason}",
        remedy=f"wg plan {task.id} shows where each value comes from: change it",
    )
