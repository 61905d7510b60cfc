"""`wg match`: every actor for a task, and what speaks for it."""

from collections.abc import Callable

from workgraph.commands.chat_tasks import refuse_work
from workgraph.commands.context import Context, officials_of
from workgraph.graph.bandit import credible
from workgraph.graph.match_requests import (
    ChosenData,
    EvidenceData,
    MatchActors,
    MatchData,
)
from workgraph.graph.matching import (
    Candidate,
    Choice,
    Match,
    Need,
    choose,
    match,
    seed_of,
)
from workgraph.graph.model import Task
from workgraph.graph.replies import Reply
from workgraph.graph.scoring import belief_of, kind_of
from workgraph.graph.times import to_rfc3339
from workgraph.settings import Settings
from workgraph.store import candidates, choices, reads
from workgraph.store.choices import KeptChoice
from workgraph.store.database import Tx

#: How many tokens a task's prompt would take uncut; null: that is not known.
PromptSize = Callable[[Tx, Task], int | None]


def match_actors(
    context: Context, request: MatchActors, prompt_size: PromptSize | None = None
) -> Reply:
    """How every actor fits a task, the best first.

    Args:
        context: The request's surroundings.
        request: The task.
        prompt_size: Asked where an actor has a context limit of its own.
    """
    tx, settings = context.tx, context.settings
    refuse_work(tx, request)
    task = reads.task(tx, request.task or "")
    need, found_actors = load_candidates(tx, task, settings, prompt_size)
    explore = settings.agency.explore
    found = match(need, found_actors, explore=explore)
    choice = choose(need, found_actors, explore=explore, seed=seed_of(need))
    last = choices.last_of(tx, task.id)
    by_id = {one.actor.id: one for one in found_actors}
    return Reply(
        data=tuple(
            _match_data(one, need, by_id[one.actor_id], choice, last) for one in found
        ),
        notes=_notes(task, settings, choice),
    )


def load_candidates(
    tx: Tx, task: Task, settings: Settings, prompt_size: PromptSize | None
) -> tuple[Need, tuple[Candidate, ...]]:
    """What a task asks, and how all actors stand.

    Args:
        tx: The transaction.
        task: The task.
        settings: Who is named for other work, and what is kept back of a limit.
        prompt_size: Asked where an actor has a context limit of its own.
    """
    return candidates.load(
        tx,
        task,
        candidates.cast(tx, officials_of(settings)),
        prompt_size=(lambda one: prompt_size(tx, one)) if prompt_size else None,
        reserve=settings.context.reserve,
    )


def _match_data(
    one: Match,
    need: Need,
    candidate: Candidate,
    choice: Choice | None,
    last: KeptChoice | None,
) -> MatchData:
    was_last = last is not None and last.actor == one.actor
    return MatchData(
        actor=one.actor,
        actor_id=one.actor_id,
        capable=one.capable,
        missing=one.missing,
        score=one.score,
        parts=one.parts,
        unknown=one.unknown,
        reason=one.reason,
        busy=one.busy,
        propensity=one.propensity or 0.0,
        greedy=choice is not None and choice.greedy == one.actor,
        chosen=choice is not None and choice.actor_id == one.actor_id,
        attempt=need.attempt,
        record=_evidence(need, candidate) if one.capable else None,
        last=_chosen_data(last) if was_last else None,
    )


def _evidence(need: Need, candidate: Candidate) -> EvidenceData:
    cell, skill = kind_of(need, candidate)
    belief = belief_of(need, candidate)
    low, high = credible(belief)
    return EvidenceData(
        count=cell.count,
        of_skill=skill.count,
        of_all=candidate.overall.count,
        mean=belief.mean,
        low=low,
        high=high,
    )


def _chosen_data(last: KeptChoice | None) -> ChosenData | None:
    if last is None:
        return None
    return ChosenData(
        attempt=last.attempt,
        propensity=last.propensity,
        greedy=last.greedy,
        at=to_rfc3339(last.at),
    )


def _notes(task: Task, settings: Settings, choice: Choice | None) -> tuple[str, ...]:
    notes = []
    if choice is None:
        notes.append(f"nobody can be given {task.id} now")
    if task.actor is not None and not task.actor_matched:
        notes.append(
            f"{task.id} is assigned to {task.actor}: matching is not asked"
            f" (wg assign {task.id} --clear)"
        )
    elif settings.agency.auto_assign == "off":
        notes.append('agency.auto_assign is "off": matching is not asked')
    elif settings.agency.auto_assign == "actor" and settings.agency.assigner:
        notes.append(f"{settings.agency.assigner} is asked first, then matching")
    return tuple(notes)
