"""Trajectories go out with the graph and come in with it."""

import json

import pytest

from tests.commands.transfer_graph import a_graph, assert_round_trip, lines
from workgraph.commands import claiming, life, tasks, trajectories
from workgraph.commands.context import Context
from workgraph.graph import requests as r
from workgraph.graph.errors import ConflictError, UserError
from workgraph.graph.reservations import ClaimTrajectory

A_TASK = lines({"kind": "task", "id": "a", "title": "a"})
B_TASK = lines({"kind": "task", "id": "b", "title": "b"})


def _two(context: Context) -> None:
    """One that is over, and one whose first step is being worked on."""
    for name in "abc":
        tasks.add_task(context, r.AddTask(title=name))
    trajectories.claim_trajectory(context, ClaimTrajectory(task=("a", "b")))
    claiming.claim_task(context, r.ClaimTask(task="a"))
    life.fail_task(context, r.FailTask(task="a", reason="no"))
    bobs = ClaimTrajectory(task=("b", "c"), actor="bob")
    trajectories.claim_trajectory(context, bobs)
    claiming.claim_task(context, r.ClaimTask(task="b", actor="bob"))


async def test_they_come_along_without_what_runs() -> None:
    """The reservation stays; the attempt is not taken elsewhere."""
    async with a_graph() as graph:
        await graph.change(_two)
        text = await graph.export()

        await assert_round_trip(graph)

        kinds = [json.loads(line) for line in text.splitlines()]
        over, held = [one for one in kinds if one["kind"] == "trajectory"]
        assert (over["number"], over["agent"]) == (1, "agent-1")
        assert over["reason"] == "a: it has failed"
        assert (held["number"], held["actor"], held["human"]) == (2, "bob", True)
        assert "agent" not in held
        assert "ended_at" not in held
        assert held["steps"] == [
            {"task": "b", "left_at": None},
            {"task": "c", "left_at": None},
        ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": [{"task": "x"}]}, "'x' is not in this file"),
        ({"steps": [{"task": "a"}, {"task": "a"}]}, "a task is there twice"),
        ({"steps": []}, "steps"),
        ({"ended_at": "2026-01-01T00:00:00Z"}, "when all steps have left"),
        ({"steps": [{"task": "done"}]}, "done is done and said to be reserved"),
        ({"agent": "agent-7"}, "agent-7 is not in this file"),
        ({"number": 1}, "trajectory 1 is in line 3 already"),
        ({"steps": [{"task": "b"}]}, "b is reserved in line 3 already"),
    ],
)
async def test_what_can_not_be_is_refused(
    change: dict[str, object], message: str
) -> None:
    """With the line that has it."""
    done = {"kind": "task", "id": "done", "title": "d", "status": "done"}
    good = {"kind": "trajectory", "number": 1, "steps": [{"task": "b"}]}
    bad = {"kind": "trajectory", "number": 2, "steps": [{"task": "a"}]} | change
    text = "\n".join((lines(done), B_TASK, lines(good), A_TASK, lines(bad)))
    async with a_graph() as graph:
        with pytest.raises(UserError, match=f"line 5: .*{message}"):
            await graph.take(text)


async def test_a_number_that_is_taken_is_refused() -> None:
    """The log of its tasks tells it."""
    one = {"kind": "trajectory", "number": 1, "steps": [{"task": "a"}]}
    async with a_graph() as graph:
        await graph.take(f"{A_TASK}\n{lines(one)}")
        with pytest.raises(ConflictError, match="another trajectory 1"):
            await graph.take(f"{B_TASK}\n{lines(one | {'steps': [{'task': 'b'}]})}")
