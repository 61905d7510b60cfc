"""Handlers of judgements: giving one, and showing what was given.

An operator judges by any name but those of workgraph itself. An attempt judges only
what its errand is about, and never the work of its own actor (RULES 103).
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

import msgspec

from workgraph.commands import judging
from workgraph.commands.context import Context
from workgraph.graph.errands import Errand
from workgraph.graph.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UsageError,
    UserError,
)
from workgraph.graph.judging import is_same_actor
from workgraph.graph.model import Agent, Task
from workgraph.graph.replies import Reply
from workgraph.graph.reward_requests import RecordReward, RewardData, ShowRewards
from workgraph.graph.rewards import (
    EVALUATOR,
    OPERATOR,
    Judgement,
    Reward,
    check_source,
    effective,
)
from workgraph.graph.rubric import (
    FLIP,
    check_dimensions,
    source_for,
    unknown_dimensions,
)
from workgraph.graph.times import to_rfc3339
from workgraph.store import agent_reads, errands, reads, rewards

#: How many are shown where nobody says of which task.
MOST_SHOWN: Final = 20
#: Bytes: it is read by people, and by the next attempt.
MOST_NOTES: Final = 64 * 1024
#: Of FLIP's two steps the first one does not know the task, and so can't judge.
_GUESS: Final = "guess"
_COMPARE: Final = "compare"
#: A source that is named much like one of these may be a slip.
_SOURCES: Final = (OPERATOR, EVALUATOR, FLIP)


def record_reward(context: Context, request: RecordReward) -> Reply:
    """Judges an attempt; of its sources one counts.

    Raises:
        UserError: Nobody has worked on the task, or still does.
        UsageError: A number is out of range, or the source can't be.
        NotFoundError: There was no such attempt.
        ForbiddenError: An attempt judges what it must not.
    """
    tx, agent = context.tx, context.caller.agent
    task = reads.task(tx, request.task or "")
    dimensions = check_dimensions(request.dim.items())
    if len((request.notes or "").encode()) > MOST_NOTES:
        raise UsageError(
            f"notes: more than {MOST_NOTES} bytes",
            hint="name a file that has the rest",
        )
    if agent is None:
        said = request.source or source_for(dimensions) or OPERATOR
        source, by = check_source(said), context.caller.name
        attempt = attempt_of(context, task, request.attempt)
    else:
        errand = _errand_of(context, agent, request)
        source, by = _source_of(errand), agent.actor or agent.id
        assert errand.attempt is not None
        attempt = errand.attempt
    reward = rewards.record(
        tx,
        Judgement(
            task=task.id,
            attempt=attempt,
            source=source,
            by=by,
            score=request.score,
            dimensions=dimensions,
            notes=request.notes,
        ),
    )
    if agent is not None:
        verdict = {
            "score": request.score,
            "dimensions": dimensions,
            "notes": request.notes,
        }
        errands.set_verdict(tx, agent.task, msgspec.json.encode(verdict).decode())
    counting = effective(rewards.of_attempt(tx, task.id, attempt))
    judging.settle_gate(tx, task.id, context.settings)
    return Reply(
        data=reward_data(reward, counts=reward == counting),
        notes=tuple(_notes(reward, counting)),
    )


def show_rewards(context: Context, request: ShowRewards) -> Reply:
    """All judgements of a task, by attempt and source; else the newest of all."""
    tx = context.tx
    if request.task is not None:
        task = reads.task(tx, request.task)
        return Reply(data=_shown(context, rewards.of_task(tx, task.id)))
    return Reply(data=_shown(context, rewards.newest(tx, MOST_SHOWN)))


def reward_data(reward: Reward, *, counts: bool) -> RewardData:
    """A reward as the world sees it."""
    return RewardData(
        task=reward.task,
        attempt=reward.attempt,
        actor=reward.actor,
        score=reward.score,
        dimensions=reward.dimensions,
        source=reward.source,
        by=reward.by,
        rubric=reward.rubric,
        notes=reward.notes,
        at=to_rfc3339(reward.at),
        given=reward.given,
        counts=counts,
    )


def _shown(context: Context, found: Iterable[Reward]) -> tuple[RewardData, ...]:
    shown, counting = [], dict[tuple[str, int], Reward | None]()
    for one in found:
        key = (one.task, one.attempt)
        if key not in counting:
            counting[key] = effective(rewards.of_attempt(context.tx, *key))
        shown.append(reward_data(one, counts=one == counting[key]))
    return tuple(shown)


def attempt_of(context: Context, task: Task, attempt: int | None) -> int:
    """The attempt that an operator means: the last one that is over."""
    there = agent_reads.agents_of(context.tx, task.id)
    over = [one for one in there if one.id != task.claimed_by]
    if attempt is None and over:
        return over[-1].attempt
    if not there:
        raise UserError(
            f"nobody has worked on {task.id}: there is no attempt to judge",
            hint=f"wg why {task.id}",
        )
    named = there[-1].attempt if attempt is None else attempt
    if any(one.attempt == named for one in over):
        return named
    if all(one.attempt != named for one in there):
        numbers = ", ".join(str(one.attempt) for one in there)
        raise NotFoundError(
            f"there was no attempt {named} at {task.id}", hint=f"there was {numbers}"
        )
    raise ConflictError(
        f"attempt {named} at {task.id} is not over",
        hint=f"wait until {task.claimed_by} has ended, or wg kill {task.claimed_by}",
    )


def _errand_of(context: Context, agent: Agent, request: RecordReward) -> Errand:
    """What the attempt that speaks is to judge.

    Raises:
        ForbiddenError: It is not that, or the work of its own actor.
    """
    tx = context.tx
    errand = errands.find(tx, agent.task)
    if errand is None or errand.kind != "reward" or errand.about != request.task:
        raise ForbiddenError(
            f"{agent.id} is not there to judge {request.task}",
            hint="an attempt judges what its own task says, and nothing else",
        )
    if errand.part == _GUESS or errand.attempt is None:
        raise ForbiddenError(
            f"{agent.task} has no score to give",
            hint="end the output with one line of JSON, as its prompt says",
        )
    if request.attempt not in {None, errand.attempt}:
        raise ForbiddenError(
            f"{agent.task} is about attempt {errand.attempt} at {errand.about},"
            f" not {request.attempt}",
            hint="leave --attempt out",
        )
    if request.source not in {None, _source_of(errand)}:
        raise ForbiddenError(
            f"{agent.id} can't judge as {request.source!r}",
            hint=f"leave --source out: it is {_source_of(errand)}",
        )
    work = agent_reads.agents_of(tx, errand.about or "")
    judged = next((one for one in work if one.attempt == errand.attempt), None)
    if judged is not None and _is_same(judged, agent):
        raise ForbiddenError(
            f"{agent.actor} can't judge its own work",
            hint="agency.evaluator names an actor that does no other work",
        )
    return errand


def _is_same(judged: Agent, judge: Agent) -> bool:
    return judged.number == judge.number or is_same_actor(judged, judge)


def _source_of(errand: Errand) -> str:
    return FLIP if errand.part == _COMPARE else EVALUATOR


def _notes(reward: Reward, counting: Reward | None) -> Iterable[str]:
    if reward.source not in _SOURCES:
        for near in get_close_matches(reward.source, _SOURCES, n=1):
            yield f"{reward.source} is a source of its own: did you mean {near}?"
    for name in unknown_dimensions(reward.dimensions):
        yield f"warning: the dimension {name} is not known: it weighs nothing"
    if reward.given is not None and reward.given != reward.score:
        yield f"its dimensions make {reward.score:g}; {reward.given:g} was given"
    if counting is not None and counting != reward:
        yield f"what counts is the {counting.score:g} by {counting.source}"
    elif counting is None:
        yield f"by {reward.source} it is shown, and never counts"
    elif reward.actor_id is None:
        yield "it counts for nobody: the attempt was no actor's"
