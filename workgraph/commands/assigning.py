"""Handlers of who is to do a task: an operator's word, an assigner's, matching's."""

from collections.abc import Sequence
from typing import Final

from workgraph.commands.context import Context, officials_of, task_reply
from workgraph.commands.trajectories import release_unfit
from workgraph.graph import assigning
from workgraph.graph.assigning import AssignTask
from workgraph.graph.changes import ChangeKind
from workgraph.graph.errands import Errand
from workgraph.graph.errors import ConflictError, UsageError, UserError
from workgraph.graph.matching import Choice, choose, missing_skills, seed_of
from workgraph.graph.model import Actor, Task
from workgraph.graph.replies import Reply
from workgraph.graph.status import SETTLED, Status, Verb
from workgraph.store import (
    candidates,
    choices,
    edges,
    errands,
    identities,
    proposals,
    reads,
    service,
    writes,
)
from workgraph.store.database import Tx
from workgraph.store.rows import to_json

#: What the agent of `assign-T` is told to do.
WHAT_TO_DO: Final = """\
Choose who does the task {task}. The block `assignment` has the task, and the actors
that can do it, with the parts of their scores. End your output with one line of JSON
and nothing after it, such as {{"actor": "NAME"}}, or say: wg assign {task} NAME
"""


def assign_task(context: Context, request: AssignTask) -> Reply:
    """Says who is to do a task, or that it is open who does.

    Raises:
        UsageError: Not exactly one of the three is asked for.
        ConflictError: Somebody works on it.
        UserError: It is settled; who is named can't do it; nobody can; it is an errand,
            and nobody is named.
    """
    tx = context.tx
    wishes = [request.actor is not None, request.auto, request.clear]
    if sum(wishes) != 1:
        raise UsageError("name an actor, or say --auto or --clear: one of the three")
    task = _assignable(tx, request.task)
    agent = context.caller.agent
    if agent is not None:
        return _by_assigner(context, task, request, agent.task)
    if request.actor is None:
        check_may_be_open(tx, task.id)
    if request.auto:
        return _by_matching(context, task)
    name = None
    if request.actor is not None:
        name = identities.actor_name(tx, request.actor)
        check_capable(tx, name, task.spec.requires_skills, task.id)
    writes.set_actor(tx, task.id, name, matched=False)
    _tell(context, task, name, None)
    if name is not None:
        _call_off(context, task)
    release_unfit(context, task.id)
    return task_reply(context, task.id)


def check_capable(
    tx: Tx, name: str | None, requires: Sequence[str], task: str | None = None
) -> None:
    """Refuses to assign an actor to what it can't do; any name is good for a person.

    Raises:
        UserError: It lacks a skill that is required.
    """
    actor = service.actor_by_name(tx, name)
    missing = missing_skills(actor, requires) if actor is not None else ()
    if actor is None or not missing:
        return
    skills = " ".join(f"--skill {one}" for one in missing)
    other = f", or wg edit {task} --remove-skill {missing[0]}" if task else ""
    raise UserError(
        f"{actor.name} lacks {', '.join(missing)}, which {task or 'it'} requires",
        hint=f"wg actor edit {actor.name} {skills}{other}",
    )


def check_may_be_open(tx: Tx, task: str) -> None:
    """Refuses to leave open who does an errand: it is somebody's, and never matched.

    Raises:
        UserError: The task is an errand.
    """
    errand = errands.find(tx, task)
    if errand is None:
        return
    raise UserError(
        f"{task} is an errand ({errand.kind}): it is not assigned by itself",
        hint=f"wg assign {task} NAME, or wg abandon {task}",
    )


def take_verdict(
    tx: Tx, errand: Errand, name: object, officials: frozenset[str]
) -> str | None:
    """Takes an assigner's word; says what is wrong with it, or null.

    Args:
        tx: The transaction.
        errand: The task that has asked it.
        name: Whom it names.
        officials: The actors that `[agency]` names.
    """
    if not isinstance(name, str) or not name:
        return 'it names no actor: {"actor": "NAME"} is asked for'
    try:
        actor = identities.find_actor(tx, name)
    except UserError as error:
        return error.message
    assert errand.about is not None
    task = reads.task(tx, errand.about)
    missing = missing_skills(actor, task.spec.requires_skills)
    if missing:
        return f"{actor.name} lacks {', '.join(missing)}"
    if actor.human:
        return f"{actor.name} is a person: people are assigned by people"
    if actor.name in officials:
        return f"{actor.name} assigns or judges: it is assigned by people alone"
    if actor.id in proposals.trials(tx):
        return f"{actor.name} is on trial: it gets a share of its parent's work"
    errands.set_verdict(tx, errand.task, to_json({"actor": actor.name}))
    if task.status is Status.OPEN and assigning.person_of(task) is None:
        name = _tried_or(tx, task, actor, officials)
        writes.set_actor(tx, task.id, name, matched=True)
        tx.emit(
            ChangeKind.ASSIGNED,
            task=task.id,
            actor=name,
            to=name,
            reason=f"by {errand.task}",
        )
    return None


def _tried_or(tx: Tx, task: Task, actor: Actor, officials: frozenset[str]) -> str:
    """Who gets what an assigner gives to an actor: it, or one on trial for its work."""
    known = candidates.cast(tx, officials)
    if all(parent != actor.id for parent, _ in known.trials.values()):
        return actor.name
    need, found = candidates.load(tx, task, known, only_able=True)
    mine = [one for one in found if actor.id in {one.actor.id, one.trial_of}]
    choice = choose(need, mine, explore=0.0, seed=seed_of(need))
    return actor.name if choice is None else choice.actor


def _assignable(tx: Tx, task_id: str | None) -> Task:
    task = reads.task(tx, task_id or "")
    if task.status is Status.IN_PROGRESS:
        raise ConflictError(
            f"{task.id} is in progress: {task.claimed_by}",
            hint=f"wg kill {task.claimed_by} --requeue, or wg unclaim {task.id}, first",
        )
    if task.status in SETTLED:
        raise UserError(
            f"{task.id} is {task.status}: nobody is to work on it",
            hint=f"wg retry {task.id} opens it again",
        )
    return task


def _by_assigner(
    context: Context, task: Task, request: AssignTask, errand_task: str
) -> Reply:
    """`check_access` has seen that it is its errand."""
    errand = errands.find(context.tx, errand_task)
    assert errand is not None
    officials = officials_of(context.settings)
    wrong = take_verdict(context.tx, errand, request.actor, officials)
    if wrong is not None:
        raise UserError(wrong, hint="name one of the block `assignment`")
    return task_reply(context, task.id)


def _by_matching(context: Context, task: Task) -> Reply:
    """What a machine chooses stands until it can't be had, or the attempt has ended."""
    tx = context.tx
    known = candidates.cast(tx, officials_of(context.settings))
    reserve = context.settings.context.reserve
    need, found = candidates.load(tx, task, known, reserve=reserve, only_able=True)
    choice = choose(
        need,
        found,
        explore=context.settings.agency.explore,
        seed=seed_of(need),
    )
    if choice is None:
        able = known.able(task.spec.requires_skills)
        parked = (
            assigning.busy(task, None, able)
            if able
            else assigning.nobody_able(task, known)
        )
        raise UserError(f"{task.id}: {parked.message}", hint=parked.remedy)
    writes.set_actor(tx, task.id, choice.actor, matched=True)
    is_tried = any(one.trial_of is not None for one in found)
    others = assigning.beside_default([one.actor for one in found])
    was_open = is_tried or len(others) > 1
    if was_open:
        choices.put(tx, task.id, need.attempt, choice)
    _tell(context, task, choice.actor, choice if was_open else None)
    _call_off(context, task)
    release_unfit(context, task.id)
    return task_reply(context, task.id)


def _call_off(context: Context, task: Task) -> None:
    """Nobody need say any more who does a task: it does not wait for that."""
    tx, by = context.tx, context.caller.by
    for errand in errands.about(tx, task.id, "assignment"):
        asked = reads.task(tx, errand.task)
        if asked.status in SETTLED:
            continue
        edges.delete_edge(tx, task.id, asked.id, by)
        if asked.status is Status.OPEN:
            marks = writes.Marks(by=by, reason=f"{task.id} is assigned")
            writes.change_status(tx, asked, Verb.ABANDON, context.caller.cause, marks)


def _tell(
    context: Context, task: Task, name: str | None, choice: Choice | None
) -> None:
    context.tx.emit(
        ChangeKind.ASSIGNED,
        task=task.id,
        actor=name,
        by=context.caller.by,
        from_=task.actor,
        to=name,
        reason=assigning.describe(choice) if choice is not None else None,
    )
