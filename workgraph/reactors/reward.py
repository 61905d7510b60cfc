"""Rewards: what has ended is judged, or somebody is asked to; and the gate that waits.

`checks` know what has happened and nothing of the work: whether its gates were passed,
at which attempt, in what time, for how many tokens. `actor` asks the evaluator, unless
the work is its own. Whoever the score is from, the gate lets pass what reaches the
threshold.
"""

from collections.abc import Iterator
from typing import Final

from workgraph.graph.judging import (
    GATE,
    AskEvaluator,
    Checked,
    JudgeScore,
    JudgingDecision,
    JudgingView,
    LeaveUnjudged,
    ScoreAttempt,
    Work,
    parts_of,
    why_not,
)
from workgraph.graph.model import Agent, Outcome, Task
from workgraph.graph.rewards import Reward
from workgraph.graph.times import SECOND, format_duration

#: What is used of a budget up to here costs nothing; what is behind it does.
_FREE_SHARE: Final = 0.5
_DECIMALS: Final = 4


def decide(view: JudgingView, now: int) -> tuple[JudgingDecision, ...]:
    """What has ended is judged; what has its score leaves its gate."""
    decisions: list[JudgingDecision] = [
        decision for work in view.work if (decision := _judge(view, work)) is not None
    ]
    for scored in view.scored:
        passed, evidence = judge_score(scored.reward, view.judging.threshold)
        decisions.append(
            JudgeScore(task=scored.task.id, passed=passed, evidence=evidence)
        )
    return tuple(decisions)


def check(work: Work) -> Checked:
    """What can be said of an attempt without a model.

    `correctness` only where the task has a gate: if failures without one had it, and
    successes not, whoever works more would look worse. `efficiency` is the mean of what
    is known: one through the number of the attempt; the estimate through the time that
    it took, where that is longer; and what is left of the second half of the budget in
    tokens.
    """
    agent, task = work.agent, work.task
    dimensions: dict[str, float] = {}
    said: list[str] = []
    has_gate = bool(task.spec.outputs or task.spec.verify)
    if agent.outcome in {Outcome.FAILED, Outcome.GATE}:
        is_seen = has_gate or agent.outcome is Outcome.GATE
        dimensions["correctness" if is_seen else "completeness"] = 0.0
        said.append(f"it ended as {agent.outcome}")
    elif has_gate:
        dimensions["correctness"] = 1.0
        said.append("its gates were passed")
    parts = []
    for value, words in _efficiency(agent, task):
        parts.append(value)
        said.append(words)
    dimensions["efficiency"] = round(sum(parts) / len(parts), _DECIMALS)
    return Checked(dimensions=dimensions, notes="; ".join(said))


def judge_score(reward: Reward, threshold: float) -> tuple[bool, str]:
    """Whether a score lets work pass, and the rule by which that was said."""
    passed = reward.score >= threshold
    rule = "reaches" if passed else "is below"
    said = (
        f"the score {reward.score:g} by {reward.by} ({reward.source}) {rule}"
        f" the threshold of {threshold:g}"
    )
    if reward.dimensions:
        listed = (f"{name} {value:g}" for name, value in reward.dimensions.items())
        said += f"; {', '.join(listed)}"
    if reward.notes:
        said += f"\n{reward.notes}"
    return passed, said


def _judge(view: JudgingView, work: Work) -> JudgingDecision | None:
    agent, task = work.agent, work.task
    # As long as its task waits for a score it stays marked: settings may change.
    waits = task.gate == GATE and task.last_agent == agent.id
    match view.judging.mode:
        case "off":
            return None if waits else LeaveUnjudged(agent=agent.number)
        case "checks":
            return ScoreAttempt(agent=agent.number, checked=check(work))
        case "actor":
            if why_not(view.evaluator, agent) is None:
                return AskEvaluator(
                    agent=agent.number,
                    actor=view.evaluator.name,
                    parts=parts_of(task, view.judging.flip),
                )
            return None if waits else LeaveUnjudged(agent=agent.number)


def _efficiency(agent: Agent, task: Task) -> Iterator[tuple[float, str]]:
    number = min(agent.attempt, max(task.attempts, 1))
    yield 1 / number, f"attempt {number}"
    if task.spec.estimate_s and agent.ended_at is not None:
        took_s = max(agent.ended_at - agent.started_at, 0) / SECOND
        value = min(task.spec.estimate_s / took_s, 1.0) if took_s else 1.0
        estimate = format_duration(task.spec.estimate_s)
        yield value, f"took {format_duration(took_s)} of an estimate of {estimate}"
    used = (agent.usage.input_tokens or 0) + (agent.usage.output_tokens or 0)
    budget = task.spec.budget_tokens
    if budget and used:
        left = (1 - used / budget) / (1 - _FREE_SHARE)
        yield min(max(left, 0.0), 1.0), f"{used} of {budget} tokens"
