"""Who does what, as the daemon finds it out: for the tick, and for `wg spawn`."""

from typing import Any, Final

from msgspec.structs import replace

from workgraph.agents.choices import Grounds, PlanError
from workgraph.commands import assigning as commands
from workgraph.commands.context import officials_of
from workgraph.daemon.prompting import measure_prompt
from workgraph.daemon.slate import Slate
from workgraph.graph import assigning
from workgraph.graph.decisions import AskAssigner, ClearTask, HoldTask
from workgraph.graph.errands import Errand, errand_id
from workgraph.graph.model import Actor, Failure, Outcome, Parked, Task, TaskSpec
from workgraph.graph.status import Cause, Verb
from workgraph.graph.views import AssignView, Openings
from workgraph.reactors import assign
from workgraph.store import candidates, choices, edges, errands, reads, writes
from workgraph.store.database import Tx

#: How often an errand is tried, whatever is set for work.
_TRIES: Final = 3
#: For these an assigner is waited for.
_PASSES: Final = frozenset({assigning.BUSY, "no_free_slot"})


def view(tx: Tx, openings: Openings, grounds: Grounds) -> AssignView:
    """The tasks that could be started, and what choosing for them depends on."""
    settings = grounds.layered.settings.agency
    tasks = openings.candidates
    if not tasks:
        return AssignView()
    cast = candidates.cast(tx, officials_of(grounds.layered.settings))
    names = {actor.name for actor in cast.actors}
    assigned = {task.actor for task in tasks if assigning.person_of(task) is not None}
    counts: dict[str, int] = {}
    if len(cast.actors) > 1 or any(one.capacity is not None for one in cast.actors):
        counts = choices.live(tx)
    standing = {}
    if settings.auto_assign != "off" and len(cast.actors) > 1:
        standing = {
            task.id: candidates.load(
                tx,
                task,
                cast,
                counts=counts,
                prompt_size=lambda one: measure_prompt(tx, one, grounds),
                reserve=grounds.layered.settings.context.reserve,
                only_able=True,
            )
            for task in tasks
            if _has_choice(task, cast)
        }
    is_asking = settings.auto_assign == "actor"
    return AssignView(
        mode=settings.auto_assign,
        free_slots=openings.free_slots,
        tasks=tasks,
        continuing=openings.continuing,
        cast=cast,
        reserved=candidates.reserved(tx, tasks),
        vanished=candidates.retired(tx, (n for n in assigned if n and n not in names)),
        live=counts,
        standing=standing,
        assigner=_assigner(cast, settings.assigner) if is_asking else None,
        asked=candidates.asked(tx, tasks) if is_asking else frozenset(),
        explore=settings.explore,
    )


def carry_out(tx: Tx, decision: ClearTask | AskAssigner, slate: Slate) -> None:
    """What a tick has decided about who does what."""
    match decision:
        case ClearTask():
            slate.clear(decision)
        case AskAssigner():
            _ask(tx, decision)


def park(tx: Tx, task: Task, parked: Parked, until: int | None = None) -> None:
    """Keeps a task back; what is to say who does another one fails instead.

    An assigner never blocks work: for what it can't say now, matching decides.
    """
    if parked.code not in _PASSES and "assignment" in task.spec.tags:
        errand = errands.find(tx, task.id)
        if errand is not None and errand.kind == "assignment":
            failure = Failure(class_=Outcome.SPAWN_FAILED, reason=parked.message)
            writes.change_status(
                tx,
                task,
                Verb.FAIL,
                Cause.MACHINE,
                writes.Marks(by="workgraph", reason=parked.message, failure=failure),
            )
            return
    writes.park(tx, task, parked, until)


def take_assignment(
    tx: Tx,
    errand: Errand,
    answer: dict[str, Any],
    officials: frozenset[str] = frozenset(),
) -> str | None:
    """Takes what an assigner has answered; says what is wrong with it, or null.

    Args:
        tx: The transaction.
        errand: The task that has asked it.
        answer: Its JSON; of what is unknown nothing is made.
        officials: The actors that `[agency]` names.
    """
    return commands.take_verdict(tx, errand, answer.get("actor"), officials)


def choose_now(
    tx: Tx, task: Task, grounds: Grounds, slate: Slate
) -> tuple[Task, Actor | None]:
    """A ready task with whom it would be given to now, as the tick would do it.

    Raises:
        PlanError: Nobody can do it, or has room.
    """
    openings = Openings(
        may_start=True, free_slots=1, candidates=(replace(task, parked=None),)
    )
    seen = replace(view(tx, openings, grounds), assigner=None)
    slate.actors = {actor.name: actor for actor in seen.cast.actors}
    for decision in assign.decide(seen, tx.now):
        match decision:
            case ClearTask():
                slate.clear(decision)
                mine = replace(decision.task, parked=task.parked)
                return mine, slate.actors.get(decision.actor or "")
            case HoldTask():
                parked = decision.parked
                raise PlanError(
                    f"{task.id}: {parked.message}", hint=parked.remedy, code=parked.code
                )
            case _:
                pass
    return task, None


def _ask(tx: Tx, decision: AskAssigner) -> None:
    """Adds the task that says who does another one, before it."""
    task = decision.task
    name = errand_id("assign", task.id, lambda one: reads.is_taken(tx, one))
    by = "workgraph"
    writes.insert_task(
        tx,
        writes.NewTask(
            id=name,
            spec=TaskSpec(
                title=f"assign {task.id}",
                description=commands.WHAT_TO_DO.format(task=task.id),
                tags=("assignment",),
                max_attempts=_TRIES,
                retry_on="failure",
            ),
            priority=task.priority,
            actor=decision.assigner,
        ),
        by,
    )
    errands.insert_errand(tx, Errand(task=name, kind="assignment", about=task.id))
    edges.insert_edge(tx, task.id, name, "settled", by)


def _has_choice(task: Task, cast: assigning.Cast) -> bool:
    if assigning.person_of(task) is not None or assigning.is_machinery(task):
        return False
    requires = task.spec.requires_skills
    able = cast.able(requires)
    return len(able) > 1 or bool(able and cast.tried(requires))


def _assigner(cast: assigning.Cast, name: str) -> str | None:
    """Who assigns; null where it is nobody who is started: nothing waits for that."""
    found = (one for one in cast.actors if one.name == name and not one.human)
    return next((one.name for one in found), None)
