"""Handlers of who takes a task: a claim by name, and the best one that there is."""

from workgraph.commands.context import Context, describe, task_facts, task_reply
from workgraph.commands.life import claimant
from workgraph.graph import readiness
from workgraph.graph import requests as r
from workgraph.graph.assigning import BUSY, NOBODY
from workgraph.graph.errors import ConflictError, UserError
from workgraph.graph.matching import missing_skills
from workgraph.graph.model import Task
from workgraph.graph.reasons import Weight
from workgraph.graph.replies import Reply
from workgraph.graph.status import Cause, Status, Verb
from workgraph.graph.times import Duration
from workgraph.store import agents, artifacts, reads, service, trajectories, writes

#: The executor of a person's claim.
PERSON = "person"
#: What keeps others from a task, and not who may take it: actors that lack a skill or
#: have no room.
_NOT_OURS = frozenset({"reserved", NOBODY, BUSY})


def claim_task(context: Context, request: r.ClaimTask) -> Reply:
    """Takes a task for a person: a compare-and-set that exactly one caller wins."""
    tx = context.tx
    task = reads.task(tx, request.task or "")
    name = request.actor or context.caller.name
    if task.status is Status.IN_PROGRESS:
        raise ConflictError(
            f"{task.id} is held by {_holder(context, task)}",
            hint=f"wg next gives another one; wg show {task.id}",
        )
    if task.status is not Status.OPEN:
        raise UserError(
            f"{task.id} is {task.status}: it can't be claimed",
            hint=f"wg why {task.id}",
        )
    if task.reserved_for not in {None, name} and not request.force:
        raise ConflictError(
            f"{task.id} is reserved for {task.reserved_for}",
            hint=f"wg unclaim {task.id}, or wg claim --force",
        )
    if not request.force:
        _check_unreserved(context, task, name)
        reasons = readiness.blocks_claim(task_facts(tx, task), tx.now)
        if reasons:
            raise UserError(
                f"{task.id} is not ready: "
                + "; ".join(reason.message for reason in reasons),
                hint=f"wg why {task.id}, or wg claim --force {task.id}",
            )
    _take(context, task, name, forced=request.force)
    return task_reply(context, task.id)


def next_task(context: Context, request: r.NextTask) -> Reply:
    """The best ready task for an actor, claimed in the same step where asked for."""
    tx = context.tx
    name = request.actor or context.caller.name
    actor = service.actor_by_name(tx, name)
    own = trajectories.of_actor(tx, name)
    reserved = trajectories.every(tx)
    for task in (*(reads.task(tx, one) for one in own), *reads.ready_tasks(tx)):
        mine = task.id in own
        if task.id in reserved and not (mine and reserved[task.id].is_next):
            continue
        if task.actor not in {None, name} and not mine:
            continue
        if task.reserved_for not in {None, name} or (
            actor is not None and missing_skills(actor, task.spec.requires_skills)
        ):
            continue
        if not _is_open_to(task_facts(tx, task, reserved), tx.now):
            continue
        if request.claim:
            _take(context, task, name, forced=False)
            return task_reply(context, task.id)
        return Reply(data=describe(context, [task])[0])
    return Reply(data=None, exit_code=1)


def _take(context: Context, task: Task, name: str, *, forced: bool) -> None:
    """A person's claim: an agent of its own, without a process."""
    tx = context.tx
    _, attempt = agents.next_agent(tx, task.id)
    actor = service.actor_by_name(tx, name)
    number = agents.insert_agent(
        tx,
        agents.NewAgent(
            task=task.id,
            attempt=attempt,
            actor=name,
            actor_id=actor.id if actor else None,
            executor=PERSON,
            human=True,
        ),
    )
    artifacts.note_consumed(tx, number, artifacts.inputs_of(tx, task))
    after = task.spec.abandon_after_s
    writes.change_status(
        tx,
        task,
        Verb.CLAIM,
        Cause.OPERATOR,
        writes.Marks(
            by=context.caller.by,
            agent=f"agent-{number}",
            attempt=attempt,
            actor=name,
            reason="forced" if forced else None,
            claim_ends_at=tx.now + Duration(after).micros if after else None,
        ),
    )


def _holder(context: Context, task: Task) -> str:
    agent = claimant(context, task)
    return f"{agent.actor} ({agent.id})" if agent.human and agent.actor else agent.id


def _is_open_to(facts: readiness.TaskFacts, now: int) -> bool:
    """Whether somebody whom a task is reserved for, or is for anybody, can begin."""
    return facts.task.status is Status.OPEN and all(
        reason.code in _NOT_OURS or reason.weight is Weight.SERVICE
        for reason in readiness.explain_task(facts, now)
    )


def _check_unreserved(context: Context, task: Task, name: str) -> None:
    reserved = trajectories.of_task(context.tx, task.id)
    if reserved is not None and reserved.actor != name:
        raise ConflictError(
            f"{task.id} is reserved for {reserved.whose}: step {reserved.step} of"
            f" {reserved.steps} of trajectory {reserved.number}",
            hint=f"wg unclaim {task.id} releases it and what comes after it,"
            " or wg claim --force",
        )
