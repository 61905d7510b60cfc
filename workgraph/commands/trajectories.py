"""Handlers of trajectories: finding them, and reserving what was found or is named."""

from typing import Final

from workgraph.agents.context import room_for
from workgraph.commands.context import Context
from workgraph.graph import reservations as v
from workgraph.graph.errors import ConflictError, UsageError, UserError
from workgraph.graph.model import Actor, Task
from workgraph.graph.replies import Reply
from workgraph.graph.status import Status
from workgraph.graph.trajectory import (
    Bounds,
    Refusal,
    Trajectory,
    check_trajectory,
    find_trajectory,
)
from workgraph.settings import Settings
from workgraph.store import reads, service, surroundings, trajectories
from workgraph.store.database import Tx

#: How many ready tasks are tried as the start of the best trajectory.
_STARTS: Final = 10
#: How many tasks are looked at around each of them.
_SHORT_LOOK: Final = 40


def get_trajectory(context: Context, request: v.GetTrajectory) -> Reply:
    """Tasks that one actor could do one after another; reserves nothing."""
    tx, name = context.tx, request.actor
    if request.task is not None:
        name = name or reads.task(tx, request.task).actor
    actor = service.actor_by_name(tx, name)
    limit = limit_of(context.settings, actor)
    if request.limit_tokens is not None:
        limit = request.limit_tokens
    if request.task is not None:
        task = reads.task(tx, request.task)
        _check_start(tx, task, name)
        found = _find(tx, task, actor, name, limit)
        if found is None:
            raise _nothing_fits(task, limit)
    else:
        best = _best_start(tx, actor, name, limit)
        found = None if best is None else _find(tx, best, actor, name, limit)
        if found is None:
            raise UserError(
                "no ready task has another one after it that shares anything with it"
                f" and fits into {limit} tokens",
                hint="wg ready lists what can be done alone",
            )
    return _reply(found, name, limit)


def claim_trajectory(context: Context, request: v.ClaimTrajectory) -> Reply:
    """Reserves tasks for an actor, all of them or none.

    Raises:
        UserError: They are no trajectory; it says why, and what would be one.
        ConflictError: Somebody has one of them.
    """
    tx = context.tx
    name = request.actor or context.caller.name
    actor = service.actor_by_name(tx, name)
    limit = limit_of(context.settings, actor)
    ids = (request.task,) if isinstance(request.task, str) else request.task
    if bool(ids) == (request.from_ is not None):
        raise UsageError(
            "name tasks, or one with --from, one of both",
            hint="wg claim-trajectory ID..., or wg claim-trajectory --from ID",
        )
    if request.from_ is not None:
        task = reads.task(tx, request.from_)
        _check_start(tx, task, name)
        found = _find(tx, task, actor, name, limit)
        if found is None:
            raise _nothing_fits(task, limit)
    else:
        if len(set(ids)) < len(ids):
            raise UsageError("a task is named twice")
        region = surroundings.named(tx, ids)
        for one in ids:
            _check_free(tx, reads.task(tx, one), name, actor)
        checked = check_trajectory(region, ids, limit=limit)
        if isinstance(checked, Refusal):
            raise UserError(checked.message, hint=checked.hint)
        found = checked
    number = trajectories.reserve(
        tx,
        trajectories.NewTrajectory(
            tasks=found.tasks,
            actor=name,
            human=actor is None or actor.human,
            by=context.caller.by,
        ),
    )
    return _reply(found, name, limit, number)


def release_unfit(context: Context, task_id: str) -> None:
    """Releases a step that was edited so that its trajectory does not hold any more."""
    tx = context.tx
    reserved = trajectories.of_task(tx, task_id)
    if reserved is None:
        return
    task = reads.task(tx, task_id)
    why = None
    if task.actor not in {None, reserved.actor} and not task.actor_matched:
        why = f"{task_id} is assigned to {task.actor} now"
    else:
        steps = trajectories.steps_of(tx, reserved.number)
        region = surroundings.named(tx, steps)
        actor = service.actor_by_name(tx, reserved.actor)
        limit = limit_of(context.settings, actor)
        checked = check_trajectory(region, steps, limit=limit)
        if isinstance(checked, Refusal):
            why = f"{task_id} was edited: {checked.message}"
    if why is not None:
        trajectories.release(tx, task_id, why, context.caller.by)


def limit_of(settings: Settings, actor: Actor | None) -> int:
    """How many tokens of context an actor has for a trajectory."""
    return room_for(actor, settings.context)


def _best_start(
    tx: Tx, actor: Actor | None, name: str | None, limit: int
) -> Task | None:
    """The ready task from which the most is shared, as a short look around tells."""
    best, most = None, 0
    for start in surroundings.ready(tx, _STARTS):
        task = reads.task(tx, start)
        if name is not None and task.actor not in {None, name}:
            continue
        one = _find(tx, task, actor, name, limit, near=_SHORT_LOOK)
        if one is not None and one.saved > most:
            best, most = task, one.saved
    return best


def _find(
    tx: Tx,
    start: Task,
    actor: Actor | None,
    name: str | None,
    limit: int,
    *,
    near: int = surroundings.MOST_NEAR,
) -> Trajectory | None:
    skills = None if actor is None else frozenset(actor.skills)
    wish = surroundings.Wish(actor=name, skills=skills)
    region = surroundings.around(tx, start, wish, near)
    return find_trajectory(region, start.id, Bounds(limit=limit))


def _check_start(tx: Tx, task: Task, name: str | None) -> None:
    """Refuses to begin with what can't be begun now."""
    _check_free(tx, task, name, service.actor_by_name(tx, name))
    if task.paused:
        raise UserError(f"{task.id} is paused", hint=f"wg resume {task.id}")
    if task.unmet:
        waits = [
            edge.id
            for edge, at in reads.dependencies(tx, task.id)
            if at not in {Status.DONE, Status.ABANDONED}
        ]
        raise UserError(
            f"{task.id} can't be the first step: it waits for {', '.join(waits)}",
            hint=f"begin with {waits[0]}" if waits else f"wg why {task.id}",
        )


def _check_free(tx: Tx, task: Task, name: str | None, actor: Actor | None) -> None:
    if task.status is Status.IN_PROGRESS:
        raise ConflictError(
            f"{task.id} is in progress: {task.claimed_by}",
            hint=f"wg why {task.id}",
        )
    reserved = trajectories.of_task(tx, task.id)
    if reserved is not None:
        raise trajectories.refused(tx, [task.id])
    if task.status is not Status.OPEN:
        raise UserError(f"{task.id} is {task.status}", hint=f"wg why {task.id}")
    if task.reserved_for not in {None, name}:
        raise ConflictError(
            f"{task.id} is reserved for {task.reserved_for}",
            hint=f"wg unclaim {task.id}",
        )
    if name is not None and task.actor not in {None, name} and not task.actor_matched:
        raise UserError(
            f"{task.id} is assigned to {task.actor}",
            hint=f"wg edit {task.id} --actor {name}, or leave it out",
        )
    required = set(task.spec.requires_skills)
    if actor is not None and "*" not in actor.skills:
        lacking = required - set(actor.skills)
        if lacking:
            raise UserError(
                f"{actor.name} lacks {', '.join(sorted(lacking))} for {task.id}",
                hint="leave it out, or name another actor",
            )


def _nothing_fits(task: Task, limit: int) -> UserError:
    return UserError(
        f"{task.id} alone does not fit into {limit} tokens",
        hint="--limit-tokens N, or an actor with a higher context limit",
    )


def _reply(
    found: Trajectory, actor: str | None, limit: int, number: int | None = None
) -> Reply:
    data = v.TrajectoryData(
        actor=actor,
        tokens=found.tokens,
        limit=limit,
        steps=tuple(
            v.StepData(
                task=step.task,
                receives=step.receives,
                shares=step.shares,
                tokens=step.tokens,
            )
            for step in found.steps
        ),
        number=number,
    )
    notes: tuple[str, ...] = ()
    if len(found.steps) == 1:
        notes = (f"nothing that shares anything with {found.steps[0].task} follows it",)
    return Reply(data=data, notes=notes)
