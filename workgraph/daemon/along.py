"""Starts along a trajectory: the session that a step goes on with, and new ones.

Where `[dispatcher] trajectories` is on, a start of an agent whose client can go on with
a session reserves what can follow it. The rule is that no other slot loses work by
that: each step has to wait for the one right before it, so nothing is reserved that
could be started earlier elsewhere. Only where there is one slot at all may steps follow
that merely have to wait for some of the others.
"""

from typing import Final

from workgraph.agents.plan import Grounds, SpawnPlan
from workgraph.agents.sessions import Whose, session_along
from workgraph.commands.trajectories import limit_of
from workgraph.graph.model import Actor, Agent, Task
from workgraph.graph.trajectory import Bounds, find_trajectory
from workgraph.store import agent_reads, surroundings, trajectories
from workgraph.store.database import Tx

#: How many tasks behind the one that is started are looked at.
_MOST_NEAR: Final = 40


def previous_of(tx: Tx, task: Task) -> Agent | None:
    """The last attempt of a task's trajectory at an earlier step, if that is over."""
    reserved = trajectories.of_task(tx, task.id)
    if reserved is None or reserved.agent is None or not reserved.is_agent_gone:
        return None
    agent = agent_reads.find(tx, reserved.agent)
    return agent if agent is not None and agent.task != task.id else None


def session_of_step(tx: Tx, task: Task, whose: Whose) -> str:
    """The session in which the step before a task was done; empty: none."""
    previous = previous_of(tx, task)
    return "" if previous is None else session_along(previous, whose)


def reserve_along(
    tx: Tx, task: Task, actor: Actor | None, plan: SpawnPlan, grounds: Grounds
) -> None:
    """Reserves what can follow a task that an agent was just claimed for."""
    settings = grounds.layered.settings
    executor = grounds.executors.by_name.get(plan.executor.value)
    if not settings.dispatcher.trajectories or task.spec.exec is not None:
        return
    if executor is None or not executor.can_resume:
        return
    if trajectories.of_task(tx, task.id) is not None:
        return
    name = actor.name if actor is not None else None
    wish = surroundings.Wish(
        actor=name, skills=None if actor is None else frozenset(actor.skills)
    )
    region = surroundings.behind(tx, task, wish, _MOST_NEAR)
    bounds = Bounds(
        limit=limit_of(settings, actor), chained=settings.dispatcher.max_agents != 1
    )
    found = find_trajectory(region, task.id, bounds)
    if found is None or len(found.steps) == 1:
        return
    trajectories.reserve(
        tx,
        trajectories.NewTrajectory(
            tasks=found.tasks, actor=name, human=False, by="workgraph"
        ),
    )
