"""How attempts come to be judged: what is looked at, and what can be decided of it.

A score comes from an operator, from an evaluator (an actor whose errand it is), or from
checks, which know no more than what has happened. An attempt is marked when it is
concluded, and the mark goes when somebody has been asked or has answered.
"""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import field

from workgraph.graph.model import Actor, Agent, Outcome, Record, RewardGate, Task
from workgraph.graph.reasons import Reason
from workgraph.graph.rewards import Reward
from workgraph.graph.status import Status

RewardMode = Literal["off", "checks", "actor"]
FlipMode = Literal["off", "tagged", "all"]
#: The parts of an evaluator's work, as an errand names them.
SCORE: Final = "score"
GUESS: Final = "guess"
COMPARE: Final = "compare"
#: A case with a known answer; to the evaluator it is as any other.
CANARY: Final = "canary"
#: The gate that waits for a score.
GATE: Final = "reward"
#: What marks tasks of which the intent is guessed, too.
FLIP_TAG: Final = "flip-eval"
#: Attempts that have shown something of the worker; others ended by no fault of it.
JUDGED: Final = frozenset(
    {Outcome.DONE, Outcome.SUBMITTED, Outcome.FAILED, Outcome.GATE}
)


class Judging(Record, frozen=True, kw_only=True):
    """What of the settings decides how attempts are judged."""

    mode: RewardMode = "off"
    gate: RewardGate = "off"
    threshold: float = 0.7
    flip: FlipMode = "tagged"
    #: The name that the settings give; empty: none.
    evaluator: str = ""


class Evaluator(Record, frozen=True, kw_only=True):
    """Whom the settings name to judge, and who that is."""

    name: str = ""
    actor: Actor | None = None


class Work(Record, frozen=True, kw_only=True):
    """An attempt that has ended, and its task."""

    agent: Agent
    task: Task


class Scored(Record, frozen=True, kw_only=True):
    """A task that waits for a score, and the one that it has got."""

    task: Task
    reward: Reward


class JudgingView(Record, frozen=True, kw_only=True):
    """What is to be judged, and what has been."""

    judging: Judging = Judging()
    evaluator: Evaluator = Evaluator()
    work: tuple[Work, ...] = ()
    scored: tuple[Scored, ...] = ()


class Checked(Record, frozen=True, kw_only=True):
    """What checks say of an attempt."""

    dimensions: Mapping[str, float] = field(default_factory=dict)
    notes: str = ""


class ScoreAttempt(Record, frozen=True, kw_only=True):
    """An attempt is scored from what is known of it."""

    agent: int
    checked: Checked


class AskEvaluator(Record, frozen=True, kw_only=True):
    """Somebody is to judge an attempt: an errand for each part."""

    agent: int
    actor: str
    parts: tuple[str, ...] = (SCORE,)


class LeaveUnjudged(Record, frozen=True, kw_only=True):
    """Nobody judges an attempt by itself."""

    agent: int


class JudgeScore(Record, frozen=True, kw_only=True):
    """The score that a task has waited for is there."""

    task: str
    passed: bool
    evidence: str


JudgingDecision = ScoreAttempt | AskEvaluator | LeaveUnjudged | JudgeScore


class Awaited(Record, frozen=True, kw_only=True):
    """Whose score a task in pending-review waits for, as `wg why` tells it."""

    threshold: float
    #: The errand that is to bring it, how that stands, and whose it is.
    errand: str | None = None
    status: Status | None = None
    evaluator: str | None = None
    #: The agent whose process has not ended yet.
    running: str | None = None
    #: Why nobody judges it by itself.
    problem: str | None = None

    @property
    def needs_person(self) -> bool:
        """Whether nothing happens before somebody decides."""
        return self.has_failed or self.problem is not None

    @property
    def has_failed(self) -> bool:
        """Whether the evaluator was asked, and gave no score."""
        return self.status in {Status.FAILED, Status.ABANDONED, Status.DONE}


def explain_score(task: Task, score: Awaited) -> Reason:
    """Why a task waits at the gate that wants a score, and what leads on."""
    lets_pass = f"one of {score.threshold:g} lets it pass"
    decide = f"wg approve {task.id}, or wg reject {task.id} --reason R"
    again = f"{decide}, or wg reward run {task.id}"
    remedy = decide
    if score.has_failed:
        outcome = "has failed" if score.status is Status.FAILED else "gave no score"
        message = f"its evaluator {outcome} ({score.errand}): a person decides"
        remedy = again
    elif score.problem is not None:
        message = (
            f"it waits for a score, {lets_pass}, and nobody gives one by itself:"
            f" {score.problem}; a person decides"
        )
        remedy = f"{decide}, or wg reward record {task.id} --score X"
    elif score.errand is not None:
        message = (
            f"it waits for the score of {score.errand} by {score.evaluator}:"
            f" {lets_pass}"
        )
        remedy = f"wg why {score.errand}, or {decide}"
    elif score.running is not None:
        message = f"it waits for {score.running} to end, and is judged then"
    else:
        message = f"it is about to be judged: {lets_pass}"
    return Reason(code="pending_review", message=message, remedy=remedy)


def why_not(evaluator: Evaluator, agent: Agent | None) -> str | None:
    """Why the evaluator can't judge an attempt; null: it can."""
    if not evaluator.name:
        return "[agency] evaluator names nobody"
    if evaluator.actor is None:
        return f"[agency] evaluator names {evaluator.name}, and there is no such actor"
    if evaluator.actor.human:
        return f"{evaluator.name}, whom [agency] evaluator names, is a person"
    if agent is not None and (
        agent.actor == evaluator.name or agent.actor_id == evaluator.actor.id
    ):
        return f"it is the work of {evaluator.name}, who is the evaluator"
    return None


def is_same_actor(judged: Agent, judge: Agent) -> bool:
    """Whether the one who judges has done the work, by id or by name."""
    if judged.actor_id is not None and judged.actor_id == judge.actor_id:
        return True
    return judged.actor is not None and judged.actor == judge.actor


def parts_of(task: Task, flip: FlipMode) -> tuple[str, ...]:
    """What an evaluator is asked about an attempt at a task."""
    if flip == "all" or (flip == "tagged" and FLIP_TAG in task.spec.tags):
        return (SCORE, GUESS)
    return (SCORE,)


def is_marked(task: Task, outcome: Outcome, judging: Judging) -> bool:
    """Whether an attempt that is concluded now is to be judged. Errands never are."""
    if outcome not in JUDGED:
        return False
    return judging.mode != "off" or task.spec.review == "reward"
