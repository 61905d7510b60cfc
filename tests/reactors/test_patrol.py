"""Patrol's judgement: from a view and the time to whole decisions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.fake_clock import START
from tests.graph.builders import a_claimed_task, a_task, an_agent, an_ended_agent
from workgraph.graph.decisions import (
    ConcludeAttempt,
    MakeDue,
    MoveTask,
    StopAgent,
    TakeClaim,
)
from workgraph.graph.model import (
    ClientEnd,
    EndKind,
    Failure,
    Outcome,
    Stop,
    StopThen,
)
from workgraph.graph.status import CAUSES, Cause, Status, Verb, next_status
from workgraph.graph.times import SECOND, Duration
from workgraph.graph.views import EndedAttempt, PatrolView, RetryPolicy
from workgraph.reactors import patrol

POLICY = RetryPolicy()


def conclude(agent: Any, task: Any, policy: RetryPolicy = POLICY) -> ConcludeAttempt:
    """What becomes of one ended agent."""
    return patrol.conclude(EndedAttempt(agent=agent, task=task), policy, START)


def test_nothing_to_see_is_nothing_to_do() -> None:
    """An empty view gives no decisions."""
    assert patrol.decide(PatrolView(policy=POLICY), START) == ()


def test_an_exit_with_0_finishes_a_shell_task() -> None:
    """One whole decision."""
    view = PatrolView(
        policy=POLICY,
        ended=(EndedAttempt(agent=an_ended_agent(exit_code=0), task=a_claimed_task()),),
        due=("u",),
    )

    assert patrol.decide(view, START) == (
        ConcludeAttempt(
            agent=1,
            task="t",
            outcome=Outcome.DONE,
            counted=True,
            move=MoveTask(verb=Verb.FINISH),
        ),
        MakeDue(tasks=("u",)),
    )


def test_a_crash_with_an_attempt_left_is_tried_again() -> None:
    """With the reason, and a backoff."""
    task = a_claimed_task()
    failure = Failure(class_="crashed", reason="agent-1 was killed by signal 9")

    assert conclude(an_ended_agent(signal=9), task) == ConcludeAttempt(
        agent=1,
        task="t",
        outcome=Outcome.CRASHED,
        counted=True,
        move=MoveTask(
            verb=Verb.REQUEUE,
            reason=failure.reason,
            failure=failure,
            retry_at=START + patrol.backoff(task, POLICY),
        ),
    )


def test_a_start_of_which_nothing_came_is_given_back() -> None:
    """The claim is released, whatever the number of attempts."""
    agent = an_ended_agent(
        outcome=Outcome.SPAWN_FAILED,
        counted=False,
        reason="nothing was started",
        process=None,
    )

    assert conclude(agent, a_claimed_task(attempts=99)).move == MoveTask(
        verb=Verb.RELEASE, reason="nothing was started"
    )


@pytest.mark.parametrize("kind", ["auth", "limited", "overloaded", "network"])
@pytest.mark.parametrize("account", ["claude", None])
def test_a_providers_limit_uses_up_no_attempt(kind: str, account: str | None) -> None:
    """The account says when it goes on; where there is none the task waits itself."""
    end = ClientEnd(kind=EndKind(kind), message="come back later")
    agent = an_ended_agent(
        executor="claude", exit_code=1, client_end=end, account=account
    )

    decision = conclude(agent, a_claimed_task())

    outcome = Outcome.SPAWN_FAILED if kind == "auth" else Outcome.RATE_LIMITED
    assert (decision.outcome, decision.counted) == (outcome, False)
    assert decision.move is not None
    assert decision.move.verb is Verb.RELEASE
    assert decision.move.failure == Failure(class_=outcome, reason=end.message)
    assert (decision.move.retry_at is None) == (account is not None)
    assert decision.refused
    answered = replace(agent, answered=True)
    assert not conclude(answered, a_claimed_task()).refused


@pytest.mark.parametrize(
    ("then", "move", "counted"),
    [
        (StopThen.PAUSE, MoveTask(verb=Verb.RELEASE, paused=True), False),
        (StopThen.REQUEUE, MoveTask(verb=Verb.RELEASE), False),
        (StopThen.UNCLAIM, MoveTask(verb=Verb.RELEASE), False),
        (StopThen.ABANDON, MoveTask(verb=Verb.ABANDON, superseded_by="h"), False),
        (StopThen.FINISH, MoveTask(verb=Verb.FINISH, summary="s"), True),
        (StopThen.FAIL, MoveTask(verb=Verb.FAIL), True),
    ],
)
def test_a_stopped_agents_task_goes_as_ordered(
    then: StopThen, move: MoveTask, counted: bool
) -> None:
    """Whatever its exit was."""
    stop = Stop(then=then, by="me", reason="why", superseded_by="h", summary="s")

    decision = conclude(an_ended_agent(stop=stop, exit_code=0), a_claimed_task())

    assert decision.move is not None
    assert (decision.outcome, decision.counted) == (Outcome.KILLED, counted)
    found = decision.move
    assert (found.verb, found.by, found.paused) == (move.verb, "me", move.paused)
    assert (found.superseded_by, found.summary) == (move.superseded_by, move.summary)


def test_a_task_that_has_left_its_agent_is_not_moved() -> None:
    """The verdict is the outcome; the exit is only recorded."""
    agent = an_ended_agent(verdict=Outcome.DONE, exit_code=1)

    decision = conclude(agent, a_task(status=Status.DONE))

    assert (decision.outcome, decision.move) == (Outcome.DONE, None)


def test_what_the_provider_refused_is_no_attempt_whatever_became_of_its_task() -> None:
    """Its task was taken away while it still ran."""
    end = ClientEnd(kind=EndKind.LIMITED, message="no more for now")
    agent = an_ended_agent(executor="claude", exit_code=1, client_end=end)

    decision = conclude(agent, a_task(status=Status.ABANDONED))

    assert (decision.outcome, decision.counted) == (Outcome.RATE_LIMITED, False)


def test_a_late_agent_is_stopped_as_a_timeout() -> None:
    """The limit in its own words."""
    agent = an_agent(timeout_at=START + 90 * SECOND)
    reason = "agent-1 ran longer than its timeout of 90s"

    assert patrol.decide(PatrolView(policy=POLICY, overdue=(agent,)), START) == (
        StopAgent(
            agent=1,
            stop=Stop(then=StopThen.JUDGE, by="workgraph", reason=reason),
            verdict=Outcome.TIMED_OUT,
        ),
    )


def test_a_lingering_agent_is_ended_without_a_verdict() -> None:
    """It has given its own."""
    agent = an_agent(timeout_at=START, verdict=Outcome.DONE)

    assert patrol.decide(PatrolView(policy=POLICY, overdue=(agent,)), START) == (
        StopAgent(
            agent=1, stop=Stop(then=StopThen.NOTHING, by="workgraph"), verdict=None
        ),
    )


def test_one_order_for_two_limits() -> None:
    """An agent over both is told once; a person's claim is taken."""
    late, person = an_agent(timeout_at=START), an_agent(number=2, human=True)

    decisions = patrol.decide(
        PatrolView(policy=POLICY, overdue=(late,), expired=(late, person)), START
    )

    assert [type(decision) for decision in decisions] == [StopAgent, TakeClaim]


OUTCOMES = st.sampled_from(Outcome)


@given(
    outcome=OUTCOMES,
    attempts=st.integers(1, 5),
    most=st.sampled_from([None, 1, 3]),
    retry_on=st.sampled_from([None, "crash", "failure"]),
    gates=st.sampled_from([{}, {"verify": ("x",)}, {"review": "human"}]),
)
def test_every_outcome_moves_a_task_where_the_table_allows(
    outcome: Outcome,
    attempts: int,
    most: int | None,
    retry_on: str | None,
    gates: dict[str, Any],
) -> None:
    """And never to another attempt when none is left."""
    task = a_claimed_task(
        attempts=attempts, max_attempts=most, retry_on=retry_on, **gates
    )

    move = patrol.judge(outcome, "why", task, POLICY, START)

    assert next_status(Status.IN_PROGRESS, move.verb) is not None
    assert Cause.MACHINE in CAUSES[move.verb]
    if move.verb is Verb.REQUEUE:
        assert attempts < (most or POLICY.max_attempts)
    if outcome in patrol.CRASHES:
        left = attempts < (most or POLICY.max_attempts)
        assert move.verb is (Verb.REQUEUE if left else Verb.FAIL)
    if move.verb is Verb.FINISH:
        assert outcome is Outcome.DONE
        assert not gates
    assert (move.gate is None) == (move.verb is not Verb.SUBMIT)


@given(
    st.integers(0, 200),
    st.text(max_size=20),
    st.floats(0.1, 100),
    st.floats(0.1, 1000),
)
def test_a_backoff_stays_in_its_bounds(
    attempts: int, name: str, first: float, most: float
) -> None:
    """`min(backoff · 2^(n-1), max)` less a fifth at most, and the same each time."""
    policy = RetryPolicy(backoff=Duration(first), backoff_max=Duration(most))
    task = a_task(id=name, attempts=attempts)
    whole = min(first * 2 ** max(attempts - 1, 0), most) * SECOND

    gap = patrol.backoff(task, policy)

    assert 0.8 * whole - 1001 <= gap <= whole + 1
    assert gap % 1000 == 0
    assert gap == patrol.backoff(task, policy)


@pytest.mark.parametrize(
    ("options", "gates"),
    [
        ({}, []),
        ({"review": "none"}, []),
        ({"outputs": ("o",)}, ["outputs"]),
        ({"verify": ("v",)}, ["verify"]),
        ({"review": "human"}, ["human"]),
        (
            {"outputs": ("o",), "verify": ("v",), "review": "human"},
            ["outputs", "verify", "human"],
        ),
    ],
)
def test_the_gates_come_in_order(options: dict[str, Any], gates: list[str]) -> None:
    """Outputs, then commands, then a person."""
    task = a_task(**options)
    found = []
    gate = patrol.first_gate(task, POLICY)
    while gate is not None:
        found.append(gate)
        gate = patrol.gate_after(gate, task, POLICY)

    assert found == gates
