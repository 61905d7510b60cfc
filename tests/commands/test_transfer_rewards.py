"""Judgements, choices and errands go out with the graph and come in with it."""

import json
from typing import Any

import pytest

from tests.commands.transfer_graph import (
    Graph,
    a_graph,
    an_agent,
    assert_round_trip,
    lines,
)
from workgraph.commands import claiming, tasks
from workgraph.commands.context import Context
from workgraph.graph import requests as r
from workgraph.graph.errands import Errand
from workgraph.graph.errors import UserError
from workgraph.graph.identity import actor_id
from workgraph.graph.rewards import Judgement
from workgraph.store import errands, rewards, transfer_agency
from workgraph.store.transfer_agency import StoredChoice

ANN = actor_id(name="ann")
A_TASK = lines({"kind": "task", "title": "a", "requires_skills": ["go"]})
AN_ATTEMPT = an_agent(task="a", actor="ann", actor_id=ANN)
A_REWARD: dict[str, Any] = {
    "kind": "reward",
    "task": "a",
    "attempt": 1,
    "source": "evaluator",
    "actor_id": ANN,
    "score": 0.5,
    "rubric": "1",
}
A_CHOICE: dict[str, Any] = {
    "kind": "choice",
    "task": "a",
    "attempt": 1,
    "actor": "ann",
    "propensity": 0.25,
    "greedy": "bob",
    "candidates": "[]",
}
AN_ERRAND: dict[str, Any] = {"kind": "errand", "task": "a", "errand": "evolution"}


def _all_of_it(context: Context) -> None:
    """Two judged attempts, one that runs, how they were chosen, and an errand."""
    tx = context.tx
    for attempt, source, score in (
        (1, "operator", 0.123456),
        (1, "evaluator", 0.9),
        (2, "checks", 1.0),
        (2, "flip", 0.3),
    ):
        rewards.record(
            tx,
            Judgement(
                task="a",
                attempt=attempt,
                source=source,
                by="eve",
                score=score,
                dimensions={"correctness": 0.7} if source == "evaluator" else {},
                notes="a\nb \x1b[31m\u2028" if attempt == 1 else None,
            ),
        )
    tasks.add_task(context, r.AddTask(title="judge", paused=True))
    about = Errand(
        task="judge",
        kind="reward",
        about="a",
        attempt=2,
        part="score",
        given='{"x": 1.0 }',
        verdict='{"score":0.9}',
    )
    errands.insert_errand(tx, about)
    claiming.claim_task(context, r.ClaimTask(task="a"))
    transfer_agency.insert_choices(
        tx,
        [
            StoredChoice(
                task="a",
                attempt=attempt,
                actor="ann",
                propensity=1 / 3,
                greedy="ann",
                candidates='[{"actor": "ann", "score":1.50}]',
                at=5_000,
            )
            for attempt in (2, 3)
        ],
    )
    running = Judgement(task="a", attempt=3, source="operator", by="me", score=0.1)
    rewards.record(tx, running)


async def _filled(graph: Graph) -> None:
    two = an_agent(id="agent-2", task="a", attempt=2, actor="ann", actor_id=ANN)
    judged = json.dumps(json.loads(two) | {"to_judge": True})
    who = lines({"kind": "actor", "name": "ann"})
    await graph.take("\n".join((who, A_TASK, AN_ATTEMPT, judged)))
    await graph.change(_all_of_it)


async def test_they_come_along_without_what_is_about_what_runs() -> None:
    """To the byte; the next attempt has the number of the one that stays behind."""
    async with a_graph() as graph:
        await _filled(graph)

        found = await assert_round_trip(graph)

        kept = [one for one in found if one["kind"] == "reward"]
        assert [(one["attempt"], one["source"], one["score"]) for one in kept] == [
            (1, "evaluator", 0.7),
            (1, "operator", 0.1235),
            (2, "checks", 1.0),
            (2, "flip", 0.3),
        ]
        assert (kept[0]["given"], kept[0]["skills"]) == (0.9, ["go"])
        [choice] = [one for one in found if one["kind"] == "choice"]
        assert (choice["attempt"], choice["propensity"]) == (2, 1 / 3)
        [errand] = [one for one in found if one["kind"] == "errand"]
        assert (errand["errand"], errand["given"]) == ("reward", '{"x": 1.0 }')
        agents = [one for one in found if one["kind"] == "agent"]
        assert [one.get("to_judge") for one in agents] == [None, True]
        assert {one["actor_id"] for one in agents} == {ANN}
        told = [one for one in found if one.get("change") == "reward_recorded"]
        assert len(told) == 4


async def test_the_record_is_counted_anew() -> None:
    """From what comes in, whatever stood in the sums of the other graph."""
    async with a_graph() as graph, a_graph() as other:
        await _filled(graph)
        await other.take(await graph.export())

        whole = await other.change(lambda c: rewards.record_of(c.tx, ANN))
        assert (whole.count, whole.mean) == (2, 0.5617)
        assert await other.change(lambda c: rewards.recount(c.tx)) == ()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (A_REWARD | {"task": "x"}, "the task 'x' is not in this file"),
        (A_REWARD | {"attempt": 2}, "attempt 2 at a is not in this file"),
        (A_REWARD | {"attempt": 0}, "attempt"),
        (A_REWARD | {"score": 1.5}, "score"),
        (A_REWARD | {"source": "A B"}, "source: 'A B' is no name"),
        (A_REWARD | {"role": "r"}, "role: 'r' is no id"),
        (A_REWARD | {"dimensions": {"a/b": 1}}, "'a/b' is no name of a dimension"),
        (
            A_REWARD | {"dimensions": {"correctness": 1}},
            "0.5, and its dimensions make 1",
        ),
        (A_REWARD | {"at": "soon"}, "at: 'soon' is not a time"),
        (A_CHOICE | {"task": "x"}, "the task 'x' is not in this file"),
        (A_CHOICE | {"propensity": 0}, "propensity"),
        (A_CHOICE | {"candidates": "["}, "candidates: it is not JSON"),
        (AN_ERRAND | {"task": "x"}, "the task 'x' is not in this file"),
        (AN_ERRAND | {"about": "x"}, "the task 'x' is not in this file"),
        (AN_ERRAND | {"errand": "chat"}, "errand"),
        (AN_ERRAND | {"verdict": "{"}, "verdict: it is not JSON"),
    ],
)
async def test_what_can_not_be_is_refused(bad: dict[str, Any], message: str) -> None:
    """With the line that has it."""
    async with a_graph() as graph:
        before = await graph.dump()
        with pytest.raises(UserError, match=f"line 3: .*{message}"):
            await graph.take("\n".join((A_TASK, AN_ATTEMPT, lines(bad))))
        assert await graph.dump() == before


@pytest.mark.parametrize("line", [A_REWARD, A_CHOICE, AN_ERRAND])
async def test_the_same_twice_is_refused(line: dict[str, Any]) -> None:
    """It names the first."""
    async with a_graph() as graph:
        text = "\n".join((A_TASK, AN_ATTEMPT, lines(line, line)))
        with pytest.raises(UserError, match=r"line 4: .* is in line 3 already"):
            await graph.take(text)


async def test_what_reward_show_gives_can_come_in() -> None:
    """What it shows besides is passed over without a warning."""
    shown = A_REWARD | {"counts": True, "given": None, "notes": None, "by": "eve"}
    async with a_graph() as graph:
        data = await graph.take("\n".join((A_TASK, AN_ATTEMPT, lines(shown))))
        assert data.warnings == ()
        [one] = await graph.change(lambda c: rewards.of_task(c.tx, "a"))
        assert (one.by, one.actor_id) == ("eve", ANN)
