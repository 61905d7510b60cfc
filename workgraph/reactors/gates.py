"""Gates: what was handed in is looked at by the daemon, never by the worker itself."""

from typing import Final

from workgraph.graph.decisions import Decision, JudgeGates
from workgraph.graph.errands import GATE as VERDICT
from workgraph.graph.loops import GATE
from workgraph.graph.views import GateView

#: The gates that the daemon runs itself; the others wait for somebody.
RUN_BY_DAEMON: Final = frozenset({"outputs", "verify", GATE, VERDICT})


def decide(view: GateView, now: int) -> tuple[Decision, ...]:
    """Each task that waits for a gate of ours gets its gates run, once at a time."""
    return tuple(
        JudgeGates(
            task=task.id,
            agent=task.last_agent,
            gate=task.gate,
            handed_in=view.handed_in.get(task.id, 0),
        )
        for task in view.waiting
        if task.gate in RUN_BY_DAEMON and task.id not in view.running
    )
