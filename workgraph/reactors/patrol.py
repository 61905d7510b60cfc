"""Patrol: ends, time-outs, retries. The retry rule for all outcomes stands here.

An agent that has ended is concluded exactly once: its end gives an outcome, and the
outcome, with the attempts that are left, gives the task's next status (CONTRACT §3.2).

What ends at once with nothing to show has not worked, whatever it exits with. Of one
task's attempts in a row the first is taken at its word, the second is a crash, and with
the third the task is put in quarantine. A shell task may well be that quick.
"""

from typing import Final, assert_never

from workgraph.graph.budgets import EXHAUSTED
from workgraph.graph.chats import chat_number, is_let_go
from workgraph.graph.decisions import (
    ConcludeAttempt,
    Decision,
    LookAtLeftover,
    LookForLife,
    MakeDue,
    MoveTask,
    SetBreaker,
    StopAgent,
    TakeClaim,
)
from workgraph.graph.errands import GATE as VERDICT
from workgraph.graph.errands import TAGS
from workgraph.graph.holds import SHELL_BREAKER, Breaker, breaker_key
from workgraph.graph.model import (
    Agent,
    Failure,
    Outcome,
    Parked,
    Stop,
    StopThen,
    Task,
)
from workgraph.graph.status import Verb
from workgraph.graph.times import SECOND, format_duration, jittered
from workgraph.graph.views import EndedAttempt, PatrolView, RetryPolicy
from workgraph.reactors import accounts, breakers, clients, waits

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
_SHELL: Final = "shell"
_MAX_DOUBLINGS: Final = 30
#: Nothing that works with a model ends sooner.
_TOO_FAST: Final = SECOND
#: Ends in a row that were too fast: from so many on a crash, and a quarantine.
_QUICK_CRASHES: Final = 2
_QUICK_QUARANTINE: Final = 3


def decide(view: PatrolView, now: int) -> tuple[Decision, ...]:
    """What has ended is concluded, what is due is woken, what is late is stopped."""
    ends = [conclude(ended, view.policy, now) for ended in view.ended]
    decisions: list[Decision] = [
        *ends,
        *_judge_executors(view, ends, now),
        *accounts.judge(view, ends, now),
    ]
    if view.due:
        decisions.append(MakeDue(tasks=view.due))
    decisions.extend(_stop_late(agent, view) for agent in view.overdue)
    late = {agent.number for agent in view.overdue}
    decisions.extend(
        _take_claim(agent) for agent in view.expired if agent.number not in late
    )
    decisions.extend(LookAtLeftover(agent=agent.number) for agent in view.leftover)
    late |= {agent.number for agent in view.expired}
    talkers = [agent for agent in view.talked if agent.number not in late]
    decisions.extend(clients.stop_talker(agent) for agent in talkers)
    late |= {agent.number for agent in talkers}
    decisions.extend(
        _look_or_stop(agent)
        for agent in view.silent
        if agent.number not in late | view.looking
    )
    decisions.extend(waits.decide(view, now))
    return tuple(decisions)


def conclude(ended: EndedAttempt, policy: RetryPolicy, now: int) -> ConcludeAttempt:
    """Turns the end of an agent into its outcome and its task's next status."""
    agent, task = ended.agent, ended.task
    outcome = _outcome_of(agent, policy)
    if not ended.holds_task:
        return ConcludeAttempt(
            agent=agent.number,
            task=task.id,
            outcome=outcome,
            # What has stopped to wait goes on later, and is one attempt with that; what
            # the provider has refused is none, whatever became of its task.
            counted=agent.counted
            and outcome not in {Outcome.WAITING, Outcome.RATE_LIMITED},
            move=None,
        )
    if agent.stop is not None and agent.stop.then is not StopThen.JUDGE:
        return _conclude_stopped(agent, task, agent.stop, policy)
    end = clients.end_of(agent) if agent.verdict is None else None
    if end is not None:
        gap = _gap(task, task.starts, policy)
        refused = clients.conclude_refused(agent, task, end, now, gap)
        if refused is not None:
            return refused
    if not agent.counted:
        return _conclude_unstarted(agent, task, outcome, policy, now)
    reason = reason_of(agent, outcome)
    if not is_too_fast(agent) or _is_looked_at(outcome, task, policy):
        move = judge(outcome, reason, task, policy, now)
        quick = 0 if task.quick and outcome is not Outcome.SPAWN_FAILED else None
    else:
        quick = task.quick + 1
        if quick >= _QUICK_CRASHES and outcome not in CRASHES:
            outcome = Outcome.CRASHED
            reason += " within a second and with nothing to show, as before"
        # One that is for another task fails, so that this one goes on without it.
        if quick >= _QUICK_QUARANTINE and task.id not in policy.errands:
            move = _quarantine(task, outcome, reason, quick)
        else:
            move = judge(outcome, reason, task, policy, now)
    return ConcludeAttempt(
        agent=agent.number,
        task=task.id,
        outcome=outcome,
        # It can't go on before somebody has raised the budget, so it can't loop.
        counted=outcome is not Outcome.BUDGET,
        move=move,
        quick=quick,
    )


def _is_looked_at(outcome: Outcome, task: Task, policy: RetryPolicy) -> bool:
    """Whether a gate will say if the work is there, however little is heard of it."""
    return outcome is Outcome.DONE and first_gate(task, policy) in {
        "outputs",
        "verify",
        "reward",
    }


def is_too_fast(agent: Agent) -> bool:
    """Whether an agent has ended so soon, and so silently, that it can't have worked.

    `output_bytes` of one whose end nobody watched is not known: it gets the doubt.
    """
    return (
        agent.executor != _SHELL
        and not agent.human
        and not agent.heard
        and agent.output_bytes == 0
        and agent.verdict is None
        and agent.stop is None
        and agent.ended_at is not None
        and agent.ended_at - agent.started_at < _TOO_FAST
    )


def judge(
    outcome: Outcome, reason: str, task: Task, policy: RetryPolicy, now: int
) -> MoveTask:
    """The retry rule: what becomes of a task whose attempt had this outcome."""
    failure = Failure(class_=outcome, reason=reason)
    match outcome:
        case Outcome.DONE:
            gate = first_gate(task, policy)
            if gate is None:
                return MoveTask(verb=Verb.FINISH)
            return MoveTask(verb=Verb.SUBMIT, gate=gate)
        case Outcome.SUBMITTED:
            return MoveTask(verb=Verb.SUBMIT, gate=first_gate(task, policy) or "human")
        case Outcome.GATE:
            again = has_attempt_left(task, policy)
            verb = Verb.REQUEUE if again else Verb.FAIL
            return MoveTask(verb=verb, reason=reason, failure=failure)
        case Outcome.FAILED if (task.spec.retry_on or policy.on) != "failure":
            return MoveTask(verb=Verb.FAIL, reason=reason, failure=failure)
        case Outcome.BUDGET:
            return MoveTask(
                verb=Verb.RELEASE,
                reason=reason,
                failure=failure,
                parked=Parked(
                    code=EXHAUSTED,
                    message=reason,
                    remedy=f"raise the budget, or wg retry {task.id}",
                ),
            )
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
    return jittered(gap, f"{task.id}/{times}")


def first_gate(task: Task, policy: RetryPolicy) -> str | None:
    """The first gate that finished work has to pass."""
    if task.id in policy.errands:
        return VERDICT
    if task.spec.outputs:
        return "outputs"
    return gate_after("outputs", task, policy)


def gate_after(gate: str, task: Task, policy: RetryPolicy) -> str | None:
    """The gate that follows one that was passed; null when that was the last."""
    if gate == "outputs" and task.spec.verify:
        return "verify"
    if gate in {"outputs", "verify"} and has_reward_gate(task, policy):
        return "reward"
    if gate in {"outputs", "verify", "reward"} and task.spec.review == "human":
        return "human"
    return None


def has_reward_gate(task: Task, policy: RetryPolicy) -> bool:
    """Whether work is not done before it was judged well enough.

    Never what the machinery has added: nobody would judge the last judge.
    """
    if task.id in policy.errands or not TAGS.isdisjoint(task.spec.tags):
        return False
    if task.spec.review == "reward":
        return True
    return policy.reward_gate == "enforcing" and task.spec.review != "none"


def reason_of(agent: Agent, outcome: Outcome) -> str:
    """One line that says how an attempt ended."""
    if agent.reason:
        return agent.reason
    end = clients.end_of(agent)
    if end is not None and clients.outcome_of(end) is not None:
        return end.message
    if agent.signal is not None:
        return f"{agent.id} was killed by signal {agent.signal}"
    if agent.exit_code is not None:
        return f"{agent.id} exited with {agent.exit_code}"
    return f"{agent.id}: {outcome}"


def _outcome_of(agent: Agent, policy: RetryPolicy) -> Outcome:
    """The worker's verdict or a limit's, then its client's word, then the exit."""
    if agent.verdict is not None:
        return agent.verdict
    end = clients.end_of(agent)
    if end is not None and agent.outcome is not Outcome.SPAWN_FAILED:
        return clients.outcome_of(end) or _good_end(agent, policy)
    outcome = agent.outcome or _outcome_of_exit(agent, policy)
    is_bad = outcome in {Outcome.CRASHED, Outcome.FAILED, Outcome.LOST}
    return Outcome.KILLED if is_bad and is_let_go(agent) else outcome


def _outcome_of_exit(agent: Agent, policy: RetryPolicy) -> Outcome:
    if agent.signal is not None:
        return Outcome.CRASHED
    if agent.exit_code is None:
        return Outcome.LOST
    if agent.exit_code != 0:
        return Outcome.FAILED
    return _good_end(agent, policy)


def _good_end(agent: Agent, policy: RetryPolicy) -> Outcome:
    """It has ended well and said nothing of its task; an errand's output says it."""
    if agent.executor == _SHELL or agent.task in policy.errands:
        return Outcome.DONE
    return {"submit": Outcome.SUBMITTED, "fail": Outcome.FAILED}.get(
        policy.exit_zero, Outcome.DONE
    )


def _conclude_stopped(
    agent: Agent, task: Task, stop: Stop, policy: RetryPolicy
) -> ConcludeAttempt:
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
            gate = first_gate(task, policy)
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


def _conclude_unstarted(
    agent: Agent, task: Task, outcome: Outcome, policy: RetryPolicy, now: int
) -> ConcludeAttempt:
    """Nothing came of the start, so it uses up no attempt.

    What failed under our eyes, or a second time, may fail in the same way at once: a
    full disk keeps every start from coming to anything. So the next ones wait, ever
    longer. One that a restart has found is started again without a gap.
    """
    move = MoveTask(verb=Verb.RELEASE, reason=agent.reason)
    in_vain = task.starts - task.attempts
    if agent.process is not None or in_vain > 0:
        reason = reason_of(agent, Outcome.SPAWN_FAILED)
        move = MoveTask(
            verb=Verb.RELEASE,
            reason=reason,
            failure=Failure(class_=Outcome.SPAWN_FAILED, reason=reason),
            retry_at=now + _gap(task, max(in_vain, 1), policy),
        )
    return ConcludeAttempt(
        agent=agent.number,
        task=task.id,
        outcome=outcome,
        counted=False,
        move=move,
    )


def _quarantine(task: Task, outcome: Outcome, reason: str, quick: int) -> MoveTask:
    parked = Parked(
        code="quarantined",
        message=f"{quick} attempts in a row ended within a second with nothing to show,"
        f" the last: {reason}",
        remedy=f"mend what keeps it from working, then: wg retry {task.id}",
    )
    return MoveTask(
        verb=Verb.REQUEUE,
        reason=reason,
        failure=Failure(class_=outcome, reason=reason),
        parked=parked,
    )


def _judge_executors(
    view: PatrolView, ends: list[ConcludeAttempt], now: int
) -> list[SetBreaker]:
    """What the ends say about the executors, one after the other."""
    changed: dict[str, Breaker] = {}
    for ended, end in zip(view.ended, ends, strict=True):
        agent = ended.agent
        if _answers_by_command(ended):
            continue
        key = breaker_key(agent.executor)
        before = changed.get(key, view.breakers.get(key))
        health = breakers.health_of(agent, end.outcome, too_fast=is_too_fast(agent))
        if before is None:
            if key == SHELL_BREAKER and health is breakers.Health.GOOD:
                continue
            before = Breaker(key=key)
        reason = reason_of(agent, end.outcome)
        after = breakers.after_end(before, agent, health, reason, now)
        if after != before:
            changed[key] = after
    return [SetBreaker(breaker=breaker) for breaker in changed.values()]


def _answers_by_command(ended: EndedAttempt) -> bool:
    """Whether it answered in a chat: that tells nothing of the tasks of a shell."""
    return chat_number(ended.task.id) is not None and ended.task.spec.exec is not None


def _look_or_stop(agent: Agent) -> Decision:
    assert agent.stall_at is not None
    assert agent.stall_after is not None
    if agent.looked_at is None or agent.looked_at < agent.stall_at:
        return LookForLife(agent=agent.number, known_bytes=agent.output_bytes or 0)
    limit = format_duration(agent.stall_after / SECOND)
    reason = f"{agent.id} has written nothing and not called wg for {limit}"
    stop = Stop(then=StopThen.JUDGE, by="workgraph", reason=reason)
    return StopAgent(agent=agent.number, stop=stop, verdict=Outcome.STALLED)


def _stop_late(agent: Agent, view: PatrolView) -> StopAgent:
    if agent.verdict is not None:
        stop = Stop(then=StopThen.NOTHING, by="workgraph")
        return StopAgent(agent=agent.number, stop=stop, verdict=None)
    assert agent.timeout_at is not None
    # The moment may have been shifted since (a suspend), and the limit was not.
    since_start = (agent.timeout_at - agent.started_at) / SECOND
    limit = format_duration(view.limits.get(agent.number, since_start))
    reason = f"{agent.id} ran longer than its timeout of {limit}"
    stop = Stop(then=StopThen.JUDGE, by="workgraph", reason=reason)
    return StopAgent(agent=agent.number, stop=stop, verdict=Outcome.TIMED_OUT)


def _take_claim(agent: Agent) -> Decision:
    if agent.human:
        return TakeClaim(agent=agent.number)
    reason = f"{agent.id} held the task longer than --abandon-after"
    stop = Stop(then=StopThen.JUDGE, by="workgraph", reason=reason)
    return StopAgent(agent=agent.number, stop=stop, verdict=Outcome.TIMED_OUT)
