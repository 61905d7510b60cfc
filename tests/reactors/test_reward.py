"""What is decided of work that has ended, and what checks make of it."""

from typing import Any

import pytest

from tests.fake_clock import START
from tests.graph.builders import a_task, an_agent
from workgraph.graph.judging import (
    AskEvaluator,
    Evaluator,
    Judging,
    JudgingView,
    LeaveUnjudged,
    ScoreAttempt,
    Work,
    is_marked,
    why_not,
)
from workgraph.graph.model import Actor, AgentStatus, Outcome, Usage
from workgraph.graph.rewards import Reward
from workgraph.graph.times import SECOND
from workgraph.graph.views import RetryPolicy
from workgraph.reactors import patrol
from workgraph.reactors.reward import check, decide, judge_score

EVA = Actor(id="e" * 64, name="eva")


def work(outcome: Outcome = Outcome.DONE, **task: Any) -> Work:
    """An attempt that has ended."""
    agent = an_agent(
        status=AgentStatus.ENDED,
        outcome=outcome,
        attempt=task.get("attempts", 1),
        actor=task.pop("by", "ann"),
        ended_at=START + task.pop("took_s", 60) * SECOND,
        started_at=START,
        usage=Usage(input_tokens=task.pop("tokens", None)),
    )
    return Work(agent=agent, task=a_task(**{"attempts": 1, **task}))


@pytest.mark.parametrize(
    ("given", "dimensions"),
    [
        (work(), {"efficiency": 1.0}),
        (work(verify=("v",)), {"correctness": 1.0, "efficiency": 1.0}),
        (work(outputs=("o",)), {"correctness": 1.0, "efficiency": 1.0}),
        (work(Outcome.FAILED), {"completeness": 0.0, "efficiency": 1.0}),
        (work(Outcome.FAILED, verify=("v",)), {"correctness": 0.0, "efficiency": 1.0}),
        (work(Outcome.GATE), {"correctness": 0.0, "efficiency": 1.0}),
        (work(attempts=2), {"efficiency": 0.5}),
        (work(estimate_s=120), {"efficiency": 1.0}),
        (work(estimate_s=30), {"efficiency": 0.75}),
        (work(budget_tokens=1000, tokens=500), {"efficiency": 1.0}),
        (work(budget_tokens=1000, tokens=750), {"efficiency": 0.75}),
        (work(budget_tokens=1000, tokens=2000), {"efficiency": 0.5}),
        (work(estimate_s=0.001, took_s=0), {"efficiency": 1.0}),
    ],
)
def test_checks_say_what_has_happened(
    given: Work, dimensions: dict[str, float]
) -> None:
    """Correctness only where a gate has looked or it failed; efficiency by numbers."""
    assert dict(check(given).dimensions) == dimensions


@pytest.mark.parametrize(
    ("judging", "evaluator", "decision"),
    [
        (Judging(mode="off"), Evaluator(), LeaveUnjudged(agent=1)),
        (
            Judging(mode="actor"),
            Evaluator(name="eva", actor=EVA),
            AskEvaluator(agent=1, actor="eva"),
        ),
        (
            Judging(mode="actor", flip="all"),
            Evaluator(name="eva", actor=EVA),
            AskEvaluator(agent=1, actor="eva", parts=("score", "guess")),
        ),
        (Judging(mode="actor"), Evaluator(), LeaveUnjudged(agent=1)),
        (Judging(mode="actor"), Evaluator(name="eva"), LeaveUnjudged(agent=1)),
        (
            Judging(mode="actor"),
            Evaluator(name="ann", actor=Actor(id="a" * 64, name="ann")),
            LeaveUnjudged(agent=1),
        ),
        (
            Judging(mode="actor"),
            Evaluator(name="bob", actor=Actor(id="b" * 64, name="bob", human=True)),
            LeaveUnjudged(agent=1),
        ),
    ],
)
def test_each_mode_has_its_judge(
    judging: Judging, evaluator: Evaluator, decision: object
) -> None:
    """The evaluator where it can; nobody where it can't."""
    view = JudgingView(judging=judging, evaluator=evaluator, work=(work(),))

    assert decide(view, START) == (decision,)


def test_checks_judge_at_once() -> None:
    """Without anybody being asked."""
    view = JudgingView(judging=Judging(mode="checks"), work=(work(),))

    (decision,) = decide(view, START)

    assert isinstance(decision, ScoreAttempt)


def test_what_waits_at_the_gate_stays_marked() -> None:
    """Whoever comes later can judge it."""
    waiting = work(gate="reward", last_agent="agent-1")
    view = JudgingView(judging=Judging(mode="actor"), work=(waiting,))

    assert decide(view, START) == ()


def test_the_same_identity_under_another_name_is_still_the_same() -> None:
    """An id is what an actor is; a name may be given anew."""
    agent = an_agent(actor="old", actor_id=EVA.id)

    assert why_not(Evaluator(name="eva", actor=EVA), agent) is not None


@pytest.mark.parametrize("outcome", Outcome)
def test_only_what_shows_something_of_the_worker_is_judged(outcome: Outcome) -> None:
    """Not crashes, limits, kills and waits."""
    marked = is_marked(a_task(), outcome, Judging(mode="checks"))

    assert marked == (outcome in {"done", "submitted", "failed", "gate"})
    assert not is_marked(a_task(), outcome, Judging())


@pytest.mark.parametrize(
    ("score", "passed"), [(0.69, False), (0.7, True), (1.0, True), (0.0, False)]
)
def test_the_threshold_itself_passes(score: float, passed: bool) -> None:
    """And the rule is said with the numbers (RULES 71)."""
    reward = Reward(
        task="t", attempt=1, score=score, source="evaluator", by="eva", at=START
    )

    found, said = judge_score(reward, 0.7)

    assert found is passed
    assert f"{score:g} by eva (evaluator)" in said
    assert "the threshold of 0.7" in said


@pytest.mark.parametrize(
    ("options", "setting", "gates"),
    [
        ({}, "off", []),
        ({}, "advisory", []),
        ({}, "enforcing", ["reward"]),
        ({"review": "none"}, "enforcing", []),
        ({"review": "reward"}, "off", ["reward"]),
        ({"review": "human"}, "enforcing", ["reward", "human"]),
        ({"tags": ("reward",)}, "enforcing", []),
        ({"tags": ("assignment",), "review": "reward"}, "enforcing", []),
        (
            {"outputs": ("o",), "verify": ("v",), "review": "human"},
            "enforcing",
            ["outputs", "verify", "reward", "human"],
        ),
    ],
)
def test_the_score_comes_after_the_commands_and_before_a_person(
    options: dict[str, Any], setting: Any, gates: list[str]
) -> None:
    """Only where it is enforced or asked for, and never for the machinery."""
    task, policy = a_task(**options), RetryPolicy(reward_gate=setting)
    found = []
    gate = patrol.first_gate(task, policy)
    while gate is not None:
        found.append(gate)
        gate = patrol.gate_after(gate, task, policy)

    assert found == gates


def test_an_errand_has_one_gate_whatever_it_is_given() -> None:
    """Its verdict."""
    task = a_task(outputs=("o",), verify=("v",), review="human")
    policy = RetryPolicy(reward_gate="enforcing", errands=frozenset({"t"}))

    assert patrol.first_gate(task, policy) == "verdict"
    assert patrol.gate_after("verdict", task, policy) is None
