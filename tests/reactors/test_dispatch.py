"""Dispatch and gates: which tasks get the slots, which gates are run."""

from hypothesis import given
from hypothesis import strategies as st

from tests.fake_clock import START
from tests.graph.builders import a_task
from workgraph.graph.decisions import JudgeGates, LaunchAgent
from workgraph.graph.model import Task
from workgraph.graph.status import Status
from workgraph.graph.views import DispatchView, GateView
from workgraph.reactors import dispatch, gates

TASKS = st.lists(
    st.builds(
        lambda seq, priority, chain: a_task(
            id=f"t{seq}", seq=seq, priority=priority, chain=chain
        ),
        seq=st.integers(1, 1000),
        priority=st.integers(0, 4),
        chain=st.integers(1, 9),
    ),
    unique_by=lambda task: task.seq,
    max_size=8,
)


@given(TASKS, st.integers(-2, 10), st.booleans())
def test_the_best_get_the_slots(tasks: list[Task], free: int, may: bool) -> None:
    """By priority, then the longest chain, then age; never more than are free."""
    view = DispatchView(may_start=may, free_slots=free, candidates=tuple(tasks))

    chosen = dispatch.decide(view, START)

    best = sorted(tasks, key=lambda task: (task.priority, -task.chain, task.seq))
    wanted = best[: max(free, 0)] if may else []
    assert chosen == tuple(LaunchAgent(task=task, actor=None) for task in wanted)


def test_the_daemons_gates_are_run_once_at_a_time() -> None:
    """A person's is not the daemon's, and what is being run is left alone."""
    waiting = tuple(
        a_task(id=gate, status=Status.PENDING_REVIEW, gate=gate, last_agent="agent-1")
        for gate in ("outputs", "verify", "human", "reward")
    )

    decisions = gates.decide(
        GateView(
            waiting=waiting, handed_in={"verify": 7}, running=frozenset({"outputs"})
        ),
        START,
    )

    assert decisions == (
        JudgeGates(task="verify", agent="agent-1", gate="verify", handed_in=7),
    )
