"""Dispatch: ready tasks get the free slots, in order."""

from workgraph.graph.decisions import Decision, LaunchAgent
from workgraph.graph.views import DispatchView


def decide(view: DispatchView, now: int) -> tuple[Decision, ...]:
    """The first candidates, as many as there are slots."""
    if not view.may_start:
        return ()
    ordered = sorted(
        view.candidates, key=lambda task: (task.priority, -task.chain, task.seq)
    )
    return tuple(
        LaunchAgent(task=task, actor=task.actor)
        for task in ordered[: max(view.free_slots, 0)]
    )
