"""Loops in an export: they round-trip, and what does not fit is refused."""

from typing import Any

import msgspec
import pytest

from tests.commands.transfer_graph import a_graph, assert_round_trip, lines
from workgraph.commands import claiming, life, loops, tasks
from workgraph.commands.context import Context
from workgraph.graph import requests as r
from workgraph.graph.errors import UserError
from workgraph.graph.loops import LoopTasks


def _two_loops(context: Context) -> None:
    """One that has ended, one in its second iteration, one at its gate."""
    for name in ("a", "b", "c", "d", "e"):
        tasks.add_task(context, r.AddTask(title=name))
    loops.loop_tasks(context, LoopTasks(task="a", max=3))
    loops.loop_tasks(context, LoopTasks(task="a", end=True))
    pair = LoopTasks(task=("b", "c"), max=4, until_converged=True)
    loops.loop_tasks(context, pair)
    for name in ("b", "c"):
        life.finish_task(context, r.FinishTask(task=name, summary=f"{name} said"))
    life.finish_task(context, r.FinishTask(task="b", converged=True))
    loops.loop_tasks(context, LoopTasks(task=("d", "e"), max=9, until="false"))
    for name in ("d", "e"):
        life.finish_task(context, r.FinishTask(task=name))


async def test_loops_round_trip() -> None:
    """Those that go on and those that have ended, with all that was said in them."""
    async with a_graph() as graph:
        await graph.change(_two_loops)

        rows = await assert_round_trip(graph)

    found = [row for row in rows if row["kind"] == "loop"]
    at = found[0]["created_at"]
    assert found == [
        {
            "kind": "loop",
            "members": [{"task": "a", "converged": False, "concluded": None}],
            "max": 3,
            "by": "ada",
            "created_at": at,
            "ended_at": at,
            "reason": "ended",
        },
        {
            "kind": "loop",
            "members": [
                {"task": "b", "converged": True, "concluded": "b said"},
                {"task": "c", "converged": False, "concluded": "c said"},
            ],
            "max": 4,
            "until_converged": True,
            "iteration": 2,
            "by": "ada",
            "created_at": at,
        },
        {
            "kind": "loop",
            "members": [
                {"task": "d", "converged": False, "concluded": None},
                {"task": "e", "converged": False, "concluded": None},
            ],
            "max": 9,
            "until": "false",
            "by": "ada",
            "created_at": at,
        },
    ]


async def test_a_word_that_goes_with_a_claim_stays_here() -> None:
    """A task in progress comes in as open, and has said nothing yet."""

    def prepare(context: Context) -> None:
        tasks.add_task(context, r.AddTask(title="a"))
        loops.loop_tasks(context, LoopTasks(task="a", max=3, until_converged=True))
        claiming.claim_task(context, r.ClaimTask(task="a"))
        loops.keep_word(context, r.FinishTask(task="a", converged=True))

    async with a_graph() as graph:
        await graph.change(prepare)

        rows = await assert_round_trip(graph)

    (loop,) = (row for row in rows if row["kind"] == "loop")
    assert loop["members"] == [{"task": "a", "converged": False, "concluded": None}]


A, B = {"id": "a", "title": "a"}, {"id": "b", "title": "b", "after": ["a"]}
PAIR: dict[str, Any] = {
    "kind": "loop",
    "members": [{"task": "a"}, {"task": "b"}],
    "max": 2,
}
REFUSED: dict[str, tuple[list[dict[str, Any]], str]] = {
    "nobody": ([PAIR], "the task 'a' is not in this file"),
    "no members": ([A, {**PAIR, "members": []}], "members: there are none"),
    "twice": ([A, {**PAIR, "members": [{"task": "a"}] * 2}], "is there twice"),
    "no last one": ([A, B, {**PAIR, "max": 0}], "iteration 1 of 0"),
    "too many": ([A, B, {**PAIR, "max": 1001}], "iteration 1 of 1001"),
    "over": ([A, B, {**PAIR, "iteration": 3}], "iteration 3 of 2"),
    "both": ([A, B, {**PAIR, "until": "x", "until_converged": True}], "exclude"),
    "no command": ([A, B, {**PAIR, "until": " "}], "until: it is not a command"),
    "half ended": ([A, B, {**PAIR, "reason": "ended"}], "go together"),
    "odd end": (
        [A, B, {**PAIR, "ended_at": "2026-01-01T00:00:00Z", "reason": "tired"}],
        "reason: 'tired'",
    ),
    "out of order": ([A, {**B, "after": []}, PAIR], "b does not wait for a"),
    "two loops": ([A, B, PAIR, PAIR], "a is in the loop of line 3 already"),
    "abandoned": ([{**A, "status": "abandoned"}, B, PAIR], "a is abandoned"),
    "done": ([A, {**B, "status": "done"}, PAIR], "b is done"),
    "middle": ([A, B, PAIR, {"title": "x", "after": ["a"]}], "it has to wait for b"),
    "said": (
        [A, B, {**PAIR, "members": [{"task": "a", "converged": True}, {"task": "b"}]}],
        "a is open, and has said nothing",
    ),
    "gate": ([{**A, "status": "pending-review", "gate": "loop"}], "not the last one"),
    "inner gate": (
        [{**A, "status": "pending-review", "gate": "loop"}, B, PAIR],
        "a is not the last one",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_no_loop_is_refused(name: str) -> None:
    """The line is named, and nothing comes in."""
    objects, said = REFUSED[name]
    async with a_graph() as graph:
        before = await graph.dump()

        with pytest.raises(UserError, match="line") as refused:
            await graph.take(lines(*objects))

        assert said in refused.value.message
        assert await graph.dump() == before


async def test_nobody_comes_into_the_middle_of_a_loop_that_is_here() -> None:
    """A task of the file that would start in it is refused; behind it, it is fine."""
    async with a_graph() as graph:
        await graph.take(lines(A, B, PAIR))

        with pytest.raises(UserError, match="has to wait for b"):
            await graph.take(lines({"title": "x", "after": ["a"]}))
        await graph.take(lines({"title": "x", "after": ["a", "b"]}))
        await graph.take(lines({"title": "y", "after": ["b"]}))

        text = await graph.export()
        assert msgspec.json.decode(text.split("\n")[-1])["task"] == "y"
