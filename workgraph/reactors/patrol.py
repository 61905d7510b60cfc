"""Patrol: ends, time-outs, retries. The retry rule for all outcomes stands here.

An agent that has ended is concluded exactly once: its end gives an outcome, and the
outcome, with the attempts that are left, gives the task's next status (CONTRACT §3.2).
"""

import zlib
from typing import Final, assert_never

from workgraph.graph.decisions import (
    ConcludeAttempt,
    Decision,
    LookAtLeftover,
    MakeDue,
    MoveTask,
    StopAgent,
    TakeClaim,
)
from workgraph.graph.model import (
    Agent,
    Failure,
    Outcome,
    Stop,
    StopThen,
    Task,
)
from workgraph.graph.status import Verb
from workgraph.graph.times import SECOND, format_duration
from workgraph.graph.views import EndedAttempt, PatrolView, RetryPolicy

#: Ends that have nothing to do with what the worker thinks of its work.
CRASHES: Final = frozenset(
    {
        Outcome.CRASHED,
        Outcome.LOST,
        Outcome.TIMED_OUT,
        Outcome.STALLED,
        Outcome.SPAWN_FAILED,
    }
)
_MAX_DOUBLINGS: Final = 30
#: Share of a backoff that may fall away, so that many tasks do not return at once.
_JITTER: Final = 0.2
_JITTER_STEPS: Final = 1 << 16


def decide(view: PatrolView, now: int) -> tuple[Decision, ...]:
    """What has ended is concluded, what is due is woken, what is late is stopped."""
    decisions: list[Decision] = [
        conclude(ended, view.policy, now) for ended in view.ended
    ]
    if view.due:
        decisions.append(MakeDue(tasks=view.due))
    decisions.extend(_stop_late(agent) for agent in view.overdue)
    late = {agent.number for agent in view.overdue}
    decisions.extend(
        _take_claim(agent) for agent in view.expired if agent.number not in late
    )
    decisions.extend(LookAtLeftover(agent=agent.number) for agent in view.leftover)
    return tuple(decisions)


def conclude(ended: EndedAttempt, policy: RetryPolicy, now: int) -> ConcludeAttempt:
    """Turns the end of an agent into its outcome and its task's next status."""
    agent, task = ended.agent, ended.task
    if not ended.holds_task:
        outcome = agent.verdict or agent.outcome or _outcome_of_exit(agent, policy)
        return ConcludeAttempt(
            agent=agent.number,
            task=task.id,
            outcome=outcome,
            counted=agent.counted,
            move=None,
        )
    if agent.stop is not None and agent.stop.then is not StopThen.JUDGE:
        return _conclude_stopped(agent, task, agent.stop)
    outcome = agent.verdict or agent.outcome or _outcome_of_exit(agent, policy)
    if not agent.counted:
        move = _give_back(agent, task, policy, now)
    else:
        move = judge(outcome, reason_of(agent, outcome), task, policy, now)
    return ConcludeAttempt(
        agent=agent.number,
        task=task.id,
        outcome=outcome,
        counted=agent.counted,
        move=move,
    )


def judge(
    outcome: Outcome, reason: str, task: Task, policy: RetryPolicy, now: int
) -> MoveTask:
    """The retry rule: what becomes of a task whose attempt had this outcome."""
    failure = Failure(class_=outcome, reason=reason)
    match outcome:
        case Outcome.DONE:
            gate = first_gate(task)
            if gate is None:
                return MoveTask(verb=Verb.FINISH)
            return MoveTask(verb=Verb.SUBMIT, gate=gate)
        case Outcome.SUBMITTED:
            return MoveTask(verb=Verb.SUBMIT, gate=first_gate(task) or "human")
        case Outcome.GATE:
            again = has_attempt_left(task, policy)
            verb = Verb.REQUEUE if again else Verb.FAIL
            return MoveTask(verb=verb, reason=reason, failure=failure)
        case Outcome.FAILED if (task.spec.retry_on or policy.on) != "failure":
            return MoveTask(verb=Verb.FAIL, reason=reason, failure=failure)
        case Outcome.RATE_LIMITED | Outcome.WAITING | Outcome.KILLED:
            return MoveTask(verb=Verb.RELEASE, reason=reason, failure=failure)
        case _ if has_attempt_left(task, policy):
            return MoveTask(
                verb=Verb.REQUEUE,
                reason=reason,
                failure=failure,
                retry_at=now + backoff(task, policy),
            )
        case _:
            return MoveTask(verb=Verb.FAIL, reason=reason, failure=failure)


def _give_back(agent: Agent, task: Task, policy: RetryPolicy, now: int) -> MoveTask:
    """Nothing came of the start, so it uses up no attempt.

    A full disk keeps every start from coming to anything: after the first one the next
    ones wait, ever longer.
    """
    in_vain = task.starts - task.attempts + 1
    if in_vain <= 1:
        return MoveTask(verb=Verb.RELEASE, reason=agent.reason)
    reason = reason_of(agent, Outcome.SPAWN_FAILED)
    return MoveTask(
        verb=Verb.RELEASE,
        reason=reason,
        failure=Failure(class_=Outcome.SPAWN_FAILED, reason=reason),
        retry_at=now + _gap(task, in_vain - 1, policy),
    )


def has_attempt_left(task: Task, policy: RetryPolicy) -> bool:
    """Whether a task may be started once more."""
    most = task.spec.max_attempts or policy.max_attempts
    return task.attempts < most and task.starts < policy.max_starts


def backoff(task: Task, policy: RetryPolicy) -> int:
    """The gap before the next attempt, in microseconds, on whole milliseconds.

    `min(backoff · 2^(n-1), backoff_max)` after the n-th attempt (DESIGN §8), less a
    jitter that the task and the attempt decide, so that it can be told beforehand.
    """
    return _gap(task, task.attempts, policy)


def _gap(task: Task, times: int, policy: RetryPolicy) -> int:
    doublings = min(max(times - 1, 0), _MAX_DOUBLINGS)
    gap = min(policy.backoff.micros << doublings, policy.backoff_max.micros)
    draw = zlib.crc32(f"{task.id}/{times}".encode()) % _JITTER_STEPS
    return int(gap * (1 - _JITTER * draw / _JITTER_STEPS)) // 1000 * 1000


def first_gate(task: Task) -> str | None:
    """The first gate that finished work has to pass."""
    if task.spec.outputs:
        return "outputs"
    return gate_after("outputs", task)


def gate_after(gate: str, task: Task) -> str | None:
    """The gate that follows one that was passed; null when that was the last."""
    if gate == "outputs" and task.spec.verify:
        return "verify"
    if gate in {"outputs", "verify"} and task.spec.review == "human":
        return "human"
    return None


def reason_of(agent: Agent, outcome: Outcome) -> str:
    """One line that says how an attempt ended."""
    if agent.reason:
        return agent.reason
    if agent.signal is not None:
        return f"{agent.id} was killed by signal {agent.signal}"
    if agent.exit_code is not None:
        return f"{agent.id} exited with {agent.exit_code}"
    return f"{agent.id}: {outcome}"


def _outcome_of_exit(agent: Agent, policy: RetryPolicy) -> Outcome:
    if agent.signal is not None:
        return Outcome.CRASHED
    if agent.exit_code is None:
        return Outcome.LOST
    if agent.exit_code != 0:
        return Outcome.FAILED
    if agent.executor == "shell":
        return Outcome.DONE
    return {"submit": Outcome.SUBMITTED, "fail": Outcome.FAILED}.get(
        policy.exit_zero, Outcome.DONE
    )


def _conclude_stopped(agent: Agent, task: Task, stop: Stop) -> ConcludeAttempt:
    reason = stop.reason or f"{agent.id} was killed"
    failure = Failure(class_=Outcome.KILLED, reason=reason)
    counted = False
    match stop.then:
        case StopThen.PAUSE:
            move = MoveTask(verb=Verb.RELEASE, by=stop.by, reason=reason, paused=True)
        case StopThen.REQUEUE | StopThen.UNCLAIM | StopThen.NOTHING | StopThen.JUDGE:
            move = MoveTask(verb=Verb.RELEASE, by=stop.by, reason=reason)
        case StopThen.FAIL:
            counted = True
            move = MoveTask(verb=Verb.FAIL, by=stop.by, reason=reason, failure=failure)
        case StopThen.ABANDON:
            move = MoveTask(
                verb=Verb.ABANDON,
                by=stop.by,
                reason=stop.reason,
                superseded_by=stop.superseded_by,
            )
        case StopThen.FINISH:
            gate = first_gate(task)
            move = MoveTask(
                verb=Verb.SUBMIT if gate else Verb.FINISH,
                by=stop.by,
                gate=gate,
                summary=stop.summary,
            )
            counted = True
        case _:
            assert_never(stop.then)
    return ConcludeAttempt(
        agent=agent.number,
        task=task.id,
        outcome=Outcome.KILLED,
        counted=counted,
        move=move,
    )


def _stop_late(agent: Agent) -> StopAgent:
    if agent.verdict is not None:
        stop = Stop(then=StopThen.NOTHING, by="workgraph")
        return StopAgent(agent=agent.number, stop=stop, verdict=None)
    assert agent.timeout_at is not None
    limit = format_duration((agent.timeout_at - agent.started_at) / SECOND)
    reason = f"{agent.id} ran longer than its timeout of {limit}"
    stop = Stop(then=StopThen.JUDGE, by="workgraph", reason=reason)
    return StopAgent(agent=agent.number, stop=stop, verdict=Outcome.TIMED_OUT)


def _take_claim(agent: Agent) -> Decision:
    if agent.human:
        return TakeClaim(agent=agent.number)
    reason = f"{agent.id} held the task longer than --abandon-after"
    stop = Stop(then=StopThen.JUDGE, by="workgraph", reason=reason)
    return StopAgent(agent=agent.number, stop=stop, verdict=Outcome.TIMED_OUT)
