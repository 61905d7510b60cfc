"""Dispatch: ready tasks get the free slots, in order."""

from workgraph.graph.decisions import Decision, HoldTask, LaunchAgent
from workgraph.graph.model import Parked, Task
from workgraph.graph.views import DispatchView
from workgraph.reactors.breakers import Admission


def decide(view: DispatchView, now: int) -> tuple[Decision, ...]:
    """The first candidates that may be started, as many as there are slots."""
    if not view.may_start:
        return ()
    ordered = sorted(
        view.candidates, key=lambda task: (task.priority, -task.chain, task.seq)
    )
    admission = Admission(view.breakers, view.young, now)
    decisions: list[Decision] = []
    free = view.free_slots
    for task in ordered:
        if free <= 0:
            break
        key = view.keys.get(task.id)
        if task.starts >= view.max_starts:
            decisions.append(HoldTask(task=task.id, parked=_worn_out(task)))
        elif key is not None and not admission.admits(key):
            decisions.extend(admission.hold(task, key))
        else:
            decisions.append(LaunchAgent(task=task, actor=task.actor))
            free -= 1
    return (*decisions, *admission.changes())


def _worn_out(task: Task) -> Parked:
    """Behind every rule that gives another start stands this one."""
    return Parked(
        code="quarantined",
        message=f"it was started {task.starts} times and is not done",
        remedy=f"see wg log {task.id} --list, then: wg retry {task.id}",
    )
