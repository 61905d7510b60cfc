"""Dispatch: ready tasks get the free slots, in order."""

from typing import Final

from workgraph.graph.decisions import Decision, HoldTask, LaunchAgent
from workgraph.graph.holds import account_key
from workgraph.graph.model import Parked, Task
from workgraph.graph.views import DispatchView, Needs, dispatch_order
from workgraph.reactors import accounts, breakers

_NONE: Final = Needs()


def decide(view: DispatchView, now: int) -> tuple[Decision, ...]:
    """The first candidates that may be started, as many as there are slots."""
    if not view.may_start:
        return ()
    ordered = sorted(
        view.candidates, key=lambda task: dispatch_order(task, view.continuing)
    )
    executors = breakers.Admission(view.breakers, view.young, now)
    providers = accounts.Admission(view.accounts, view.on_account, now)
    providers.choose_probes(
        (task, needs.account)
        for task in ordered
        if task.starts < view.max_starts
        and executors.admits((needs := view.needs.get(task.id, _NONE)).executor)
    )
    decisions: list[Decision] = []
    free = view.free_slots
    for task in ordered:
        if free <= 0:
            break
        needs = view.needs.get(task.id, _NONE)
        key, account = needs.executor, needs.account
        if task.starts >= view.max_starts:
            decisions.append(HoldTask(task=task.id, parked=_worn_out(task)))
        elif account is not None and not providers.admits(task, account):
            decisions.extend(_held(task, needs, providers.hold(account)))
        elif key is not None and not executors.admits(key):
            decisions.extend(_held(task, needs, executors.hold(key)))
        else:
            decisions.append(LaunchAgent(task=task, actor=task.actor))
            providers.take(account)
            executors.take(key)
            free -= 1
    return (*decisions, *executors.changes())


def _held(task: Task, needs: Needs, parked: Parked) -> tuple[Decision, ...]:
    """Parks a task, unless it is parked for something else that it needs.

    It is let go when that is well again, and then held for what is not.
    """
    keys = {needs.executor, account_key(needs.account) if needs.account else None}
    if task.parked is not None and task.parked.key in keys - {None}:
        return ()
    return (HoldTask(task=task.id, parked=parked),)


def _worn_out(task: Task) -> Parked:
    """Behind every rule that gives another start stands this one."""
    return Parked(
        code="quarantined",
        message=f"it was started {task.starts} times and is not done",
        remedy=f"see wg log {task.id} --list, then: wg retry {task.id}",
    )
