"""How attempts come to be judged, as it is written down: marks, errands, scores, gates.

The reactor `reward` decides; handlers that judge at once come here, too.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType
from typing import Final, assert_never

import msgspec
from msgspec import field

from workgraph.commands import passing
from workgraph.commands.context import retry_policy
from workgraph.graph.changes import ChangeKind
from workgraph.graph.chats import chat_number
from workgraph.graph.errands import TAGS, Errand, errand_id
from workgraph.graph.errors import UserError
from workgraph.graph.judging import (
    CANARY,
    COMPARE,
    GATE,
    GUESS,
    SCORE,
    AskEvaluator,
    Awaited,
    Checked,
    Evaluator,
    JudgeScore,
    Judging,
    JudgingDecision,
    JudgingView,
    LeaveUnjudged,
    ScoreAttempt,
    is_marked,
    is_same_actor,
    why_not,
)
from workgraph.graph.model import Agent, AgentStatus, Outcome, Record, Task, TaskSpec
from workgraph.graph.rewards import CHECKS, EVALUATOR, Judgement, Reward
from workgraph.graph.rubric import FLIP, FLIP_WEIGHTS
from workgraph.reactors.reward import judge_score
from workgraph.settings import Settings
from workgraph.store import (
    agent_reads,
    calibration,
    errands,
    reads,
    rewards,
    service,
    writes,
)
from workgraph.store import judging as store
from workgraph.store.database import Tx

#: How often an evaluator may give an answer that can't be taken.
TRIES: Final = 3
_MACHINE: Final = "workgraph"
_LONGEST_NOTES: Final = 8000
_LONGEST_GUESS: Final = 20_000
_TITLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        SCORE: "judge attempt {} at {}",
        CANARY: "judge attempt {} at {}",
        GUESS: "say what was asked for, from what came of it",
        COMPARE: "compare what was guessed of attempt {} at {} with the task",
    }
)


class Answer(Record, frozen=True, kw_only=True):
    """What an evaluator answers."""

    score: float | None = None
    dimensions: dict[str, float] = field(default_factory=dict)
    notes: str | None = None


class Guess(Record, frozen=True, kw_only=True):
    """What it answers where it guesses what was asked for."""

    task: str


_decode_answer: Final = msgspec.json.Decoder(Answer).decode
_decode_guess: Final = msgspec.json.Decoder(Guess).decode


def judging_of(settings: Settings) -> Judging:
    """What of the settings decides how attempts are judged."""
    agency = settings.agency
    return Judging(
        mode=agency.auto_reward,
        gate=agency.reward_gate,
        threshold=agency.reward_threshold,
        flip=agency.flip,
        evaluator=agency.evaluator,
    )


def evaluator_of(tx: Tx, judging: Judging) -> Evaluator:
    """Whom the settings name to judge."""
    name = judging.evaluator
    actor = service.actor_by_name(tx, name) if name else None
    return Evaluator(name=name, actor=actor)


def load(tx: Tx, settings: Settings) -> JudgingView:
    """What the reactor `reward` looks at."""
    judging = judging_of(settings)
    if not store.is_any(tx):
        return JudgingView(judging=judging)
    work = tuple(store.to_judge(tx))
    scored = tuple(store.scored(tx))
    evaluator = evaluator_of(tx, judging)
    return JudgingView(judging=judging, evaluator=evaluator, work=work, scored=scored)


def is_to_judge(tx: Tx, task: Task, outcome: Outcome, settings: Settings) -> bool:
    """Whether an attempt that is concluded now is to be judged."""
    judging = judging_of(settings)
    return is_marked(task, outcome, judging) and not _is_of_machinery(tx, task)


def carry_out(tx: Tx, decision: JudgingDecision, settings: Settings) -> None:
    """Makes a decision of the reactor true."""
    match decision:
        case ScoreAttempt():
            agent = agent_reads.by_number(tx, decision.agent)
            score(tx, agent, decision.checked, settings)
        case AskEvaluator():
            ask(tx, decision.agent, decision.actor, decision.parts)
        case LeaveUnjudged():
            store.clear(tx, decision.agent)
        case JudgeScore():
            _judge_gate(tx, decision, settings)
        case _:
            assert_never(decision)


def score(tx: Tx, agent: Agent, checked: Checked, settings: Settings) -> None:
    """Keeps what checks say of an attempt, and lets its gate go by it."""
    store.clear(tx, agent.number)
    reward = rewards.record(
        tx,
        Judgement(
            task=agent.task,
            attempt=agent.attempt,
            source=CHECKS,
            by=_MACHINE,
            dimensions=checked.dimensions,
            notes=checked.notes,
        ),
    )
    _advise(tx, reward, settings)
    settle_gate(tx, agent.task, settings)


def ask(tx: Tx, number: int, actor: str, parts: Sequence[str]) -> list[str]:
    """Adds the errands of an evaluator about an attempt.

    Returns:
        Their ids.
    """
    store.clear(tx, number)
    agent = agent_reads.by_number(tx, number)
    task = reads.task(tx, agent.task)
    return [
        add_errand(
            tx,
            task.id,
            task.priority,
            Errand(
                task="",
                kind="reward",
                about=task.id,
                attempt=agent.attempt,
                part=part,
            ),
            actor,
        )
        for part in parts
    ]


def add_errand(tx: Tx, task: str, priority: int, errand: Errand, actor: str) -> str:
    """Adds a task of the machinery that judges an attempt; gives its id.

    The one that guesses what was asked for gets an id that does not tell it.

    Args:
        tx: The transaction.
        task: Whose attempt it is, as the evaluator is told; of a case with a known
            answer there is none of that id.
        priority: The errand's.
        errand: What it is about; its own id is made here.
        actor: Whose errand it is.
    """
    about = task
    if errand.part == GUESS:
        told = f"{task}/{errand.attempt}".encode()
        about = f"flip-{sha256(told).hexdigest()[:12]}"
    name = errand_id("reward", about, lambda taken: reads.is_taken(tx, taken))
    spec = TaskSpec(
        title=_TITLES[errand.part].format(errand.attempt, task),
        tags=("reward",),
        context_scope="clean",
        max_attempts=TRIES,
        retry_on="failure",
        independent=True,
    )
    writes.insert_task(
        tx,
        writes.NewTask(id=name, spec=spec, priority=priority, actor=actor),
        _MACHINE,
    )
    errands.insert_errand(tx, msgspec.structs.replace(errand, task=name, verdict=None))
    return name


def settle_gate(tx: Tx, task_id: str, settings: Settings) -> None:
    """Lets a task leave the gate that waits for a score, if one is there now."""
    for scored in store.scored(tx, task_id):
        passed, evidence = judge_score(scored.reward, judging_of(settings).threshold)
        decision = JudgeScore(task=task_id, passed=passed, evidence=evidence)
        _judge_gate(tx, decision, settings)


def awaited_of(tx: Tx, task: Task, settings: Settings) -> Awaited | None:
    """Whose score a task waits for; null where it waits for none."""
    if task.gate != GATE:
        return None
    judging = judging_of(settings)
    threshold = judging.threshold
    agent = agent_reads.by_id(tx, task.last_agent) if task.last_agent else None
    if agent is None:
        return Awaited(threshold=threshold, problem="nobody's attempt is there")
    errand = store.errand_for(tx, task.id, agent.attempt)
    if errand is not None:
        who = service.actor_by_name(tx, errand.actor) if errand.actor else None
        gone = who is None or who.human
        return Awaited(
            threshold=threshold,
            errand=errand.task,
            status=errand.status,
            evaluator=errand.actor,
            problem=f"{errand.actor} is no actor that could do it" if gone else None,
        )
    if agent.status is not AgentStatus.ENDED and not agent.human:
        return Awaited(threshold=threshold, running=agent.id)
    evaluator = evaluator_of(tx, judging)
    match judging.mode:
        case "off":
            problem: str | None = '[agency] auto_reward is "off"'
        case "checks":
            problem = None
        case "actor":
            problem = why_not(evaluator, agent)
    if problem is None and not store.is_marked(tx, agent.number):
        problem = f"an attempt that ended as {agent.outcome} is not judged by itself"
    return Awaited(threshold=threshold, problem=problem)


def take_verdict(tx: Tx, errand: Errand, answer: str, settings: Settings) -> str | None:
    """Takes what an evaluator has answered.

    Args:
        tx: The transaction.
        errand: What it was asked.
        answer: A JSON object.
        settings: What is set.

    Returns:
        What is wrong with it; null: it was taken.
    """
    if errand.part not in _TITLES:
        return f"nobody takes the answer of an errand of the part {errand.part!r}"
    try:
        if errand.part == GUESS:
            return _take_guess(tx, errand, answer)
        return _take_score(tx, errand, answer, settings)
    except msgspec.ValidationError as error:
        return f"the answer is not of the shape that was asked for: {error}"
    except msgspec.DecodeError as error:
        return f"the answer is no JSON: {error}"
    except UserError as error:
        return f"the answer can't be taken: {error.message}"


def _take_guess(tx: Tx, errand: Errand, answer: str) -> str | None:
    guess = _decode_guess(answer)
    if not guess.task.strip():
        return '"task" is empty: say what was asked for'
    if len(guess.task) > _LONGEST_GUESS:
        return f'"task" has more than {_LONGEST_GUESS} characters'
    assert errand.about is not None
    assert errand.attempt is not None
    errands.set_verdict(tx, errand.task, answer)
    task = reads.task(tx, errand.about)
    actor = reads.task(tx, errand.task).actor or ""
    compare = msgspec.structs.replace(errand, part=COMPARE, given=answer)
    add_errand(tx, task.id, task.priority, compare, actor)
    return None


def _take_score(tx: Tx, errand: Errand, answer: str, settings: Settings) -> str | None:
    said = _decode_answer(answer)
    if errand.part == CANARY:
        notes = said.notes and said.notes[:_LONGEST_NOTES]
        calibration.keep_answer(tx, errand.task, said.score, said.dimensions, notes)
        errands.set_verdict(tx, errand.task, answer)
        return None
    source = FLIP if errand.part == COMPARE else EVALUATOR
    if source == FLIP:
        missing = [name for name in FLIP_WEIGHTS if name not in said.dimensions]
        if missing:
            return f"these dimensions are missing: {', '.join(missing)}"
    judge = reads.task(tx, errand.task)
    last = agent_reads.by_id(tx, judge.last_agent) if judge.last_agent else None
    assert errand.about is not None
    assert errand.attempt is not None
    judged = store.attempt(tx, errand.about, errand.attempt)
    if judged is not None and last is not None and is_same_actor(judged, last):
        return f"{last.actor} can't judge its own work"
    with tx.savepoint():
        reward = rewards.record(
            tx,
            Judgement(
                task=errand.about,
                attempt=errand.attempt,
                source=source,
                by=(last.actor if last else None) or judge.actor or EVALUATOR,
                score=said.score,
                dimensions=said.dimensions,
                notes=said.notes and said.notes[:_LONGEST_NOTES],
            ),
        )
    errands.set_verdict(tx, errand.task, answer)
    if source != FLIP:
        _advise(tx, reward, settings)
    return None


def _advise(tx: Tx, reward: Reward, settings: Settings) -> None:
    """Says of a score that an enforcing gate would not let pass that it would not."""
    judging = judging_of(settings)
    if judging.gate != "advisory" or reward.score >= judging.threshold:
        return
    task = reads.task(tx, reward.task)
    if task.gate == GATE or task.spec.review == "none":
        return
    _, evidence = judge_score(reward, judging.threshold)
    tx.emit(
        ChangeKind.GATE_JUDGED,
        task=task.id,
        attempt=reward.attempt,
        to="advisory",
        reason=f'reward: {evidence} (reward_gate = "advisory": nothing is held back)',
    )


def _judge_gate(tx: Tx, decision: JudgeScore, settings: Settings) -> None:
    task = reads.task(tx, decision.task)
    if task.gate != GATE:
        return  # another score has moved it in the same tick
    agent = agent_reads.by_id(tx, task.last_agent) if task.last_agent else None
    policy = retry_policy(settings)
    forced = task.spec.review == "reward"
    rule = "--review reward" if forced else f'reward_gate = "{policy.reward_gate}"'
    evidence = f"{decision.evidence} ({rule})"
    to = "passed" if decision.passed else "failed"
    passing.note_judged(tx, task, agent, to, evidence)
    if decision.passed:
        passing.let_pass(tx, task, agent, policy)
    else:
        passing.send_back(tx, task, agent, evidence, policy)


def _is_of_machinery(tx: Tx, task: Task) -> bool:
    return (
        chat_number(task.id) is not None
        or not TAGS.isdisjoint(task.spec.tags)
        or bool(errands.among(tx, [task.id]))
    )
