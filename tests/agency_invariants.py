"""What holds of choices, of errands, and of who is started, after every step."""

import json
import math
from collections import Counter

from workgraph.commands.context import officials_of
from workgraph.graph import judging
from workgraph.graph.model import Actor, Task
from workgraph.graph.rewards import effective
from workgraph.settings import Settings
from workgraph.store import (
    agent_reads,
    candidates,
    errands,
    proposals,
    reads,
    rewards,
    service,
)
from workgraph.store.database import Tx

CHOICES = "select task, attempt, actor, propensity, greedy, candidates from choices"
LIVE = "select actor, human from agents where status <> 'ended'"


def check_choices(tx: Tx) -> None:
    """Each was one of several, by chances that are those of a draw."""
    for task, attempt, actor, propensity, greedy, found in tx.all(CHOICES):
        what = f"the choice for {task}, attempt {attempt}"
        matches = json.loads(found)
        chances = {one["actor"]: one.get("propensity") or 0.0 for one in matches}
        assert 0 < propensity <= 1, what
        assert chances[actor] == propensity, what
        assert greedy in chances, what
        assert all(0 <= chance <= 1 for chance in chances.values()), what
        assert math.isclose(sum(chances.values()), 1, abs_tol=1e-6), f"{what}: {found}"
        for one in matches:
            if one.get("propensity"):
                assert one["capable"], f"{what}: {one}"
                assert not one.get("missing"), f"{what}: {one}"
        assert errands.find(tx, task) is None, f"{task} is an errand, and was matched"


def check_errands(tx: Tx, tasks: dict[str, Task]) -> None:
    """Nothing of the machinery is about its own; a task is assigned by one at most."""
    asked = Counter[str]()
    for name in errands.among(tx, list(tasks)):
        errand = errands.find(tx, name)
        assert errand is not None
        assert tasks[name].actor is not None, f"{name} is nobody's"
        if errand.about is None:
            continue
        own = errands.find(tx, errand.about)
        assert own is None, f"{name} is about {errand.about}, which is an errand"
        asked[errand.about] += errand.kind == "assignment"
    assert max(asked.values(), default=0) <= 1, f"assigned twice: {asked}"


def check_start(tx: Tx, task: Task, name: str | None) -> None:
    """Who is started on a task may be, lacks nothing, and has room."""
    actor = service.actor_by_name(tx, name) if name is not None else None
    if actor is None:
        return
    missing = [one for one in task.spec.requires_skills if not _can(actor, one)]
    assert not missing, f"{task.id} is started by {name}, which lacks {missing}"
    assert not actor.human, f"{task.id} is started by {name}, a person"
    live = sum(row[0] == name for row in tx.all(LIVE))
    most = actor.capacity
    assert most is None or live <= most, f"{name} is started on {live}, of {most}"


def check_done(tx: Tx, task: Task, settings: Settings) -> None:
    """Work that waits for a score is done by itself only when it has a good one."""
    rule = settings.agency.reward_gate == "enforcing" and task.spec.review != "none"
    is_own = errands.find(tx, task.id) is not None
    if is_own or not (rule or task.spec.review == "reward"):
        return
    assert task.last_agent is not None, f"{task.id} is done by nobody"
    attempt = agent_reads.by_id(tx, task.last_agent).attempt
    score = effective(rewards.of_attempt(tx, task.id, attempt))
    assert score is not None, f"{task.id} is done without a score"
    least = settings.agency.reward_threshold
    assert score.score >= least, f"{task.id} is done with a score of {score.score}"


def check_waits_for_actor(tx: Tx, task: Task, settings: Settings) -> None:
    """Whoever a parked task waits for, for nothing else, is not there or is busy.

    Said without the functions that decide it.
    """
    assert task.parked is not None
    code = task.parked.code
    if code not in {"no_capable_actor", "actor_busy"}:
        return
    actors = {actor.name: actor for actor in service.actors(tx)}
    live = Counter(row[0] for row in tx.all(LIVE))
    officials = officials_of(settings)
    requires = task.spec.requires_skills
    reserved = candidates.reserved(tx, [task]).get(task.id)
    name = reserved or (None if task.actor_matched else task.actor)
    if name is not None:
        actor = actors.get(name)
        if actor is None:
            assert candidates.retired(tx, [name]), f"{task.id} waits for {name}: {code}"
            return
        assert not actor.human, f"{task.id} waits for {name}, a person: {code}"
        able = [actor] if all(_can(actor, one) for one in requires) else []
    elif settings.agency.auto_assign == "off":
        assert requires, f"{task.id} could be started by nobody: {task.parked}"
        return
    else:
        able = [
            actor
            for actor in actors.values()
            if not actor.human
            and actor.name not in officials
            and all(_can(actor, one) for one in requires)
        ]
    if name is None and len(actors) > 1:
        on_trial = proposals.trials(tx)  # they get a share of what their parents do
        able = [actor for actor in able if actor.id not in on_trial]
    free = [a for a in able if a.capacity is None or live[a.name] < a.capacity]
    said = f"{task.id} waits ({code}), and {[actor.name for actor in able]} could do it"
    assert not free, f"{said}: {[actor.name for actor in free]} could do it now"
    assert code != "no_capable_actor" or not able, said


def check_gate(tx: Tx, task: Task) -> None:
    """What waits for a score has none yet that lets it go, or sends it back."""
    if task.gate != judging.GATE or task.last_agent is None:
        return
    agent = agent_reads.by_id(tx, task.last_agent)
    if agent.outcome is None or agent.outcome == "gate":
        return
    score = effective(rewards.of_attempt(tx, task.id, agent.attempt))
    assert score is None, f"{task.id} waits for a score, and has {score}"


def every_check(tx: Tx) -> None:
    """What can be told from the database alone."""
    tasks = {task.id: task for task in reads.every_task(tx)}
    check_choices(tx)
    check_errands(tx, tasks)
    for task in tasks.values():
        check_gate(tx, task)


def _can(actor: Actor, skill: str) -> bool:
    return skill in actor.skills or "*" in actor.skills
