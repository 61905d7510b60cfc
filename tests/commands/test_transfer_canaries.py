"""Runs on known answers in an export and an import."""

import msgspec
import pytest

from tests.commands.transfer_graph import Graph, a_graph, assert_round_trip, lines
from workgraph.commands import tasks, transfer
from workgraph.commands.context import Caller, Context
from workgraph.graph import requests as r
from workgraph.graph.errors import ConflictError, UserError
from workgraph.store import agent_reads, agents, calibration
from workgraph.store.calibration import CanaryRun, StoredCase


async def prepare(graph: Graph) -> None:
    """Two runs, of which one case was answered."""

    def write(context: Context) -> None:
        tx = context.tx
        for number in (1, 2):
            cases = []
            for place, name in enumerate("ba", start=1):
                title = f"judge {name} {number}"
                task = tasks.add_task(context, r.AddTask(title=title)).data.id
                cases.append(
                    StoredCase(
                        place=place,
                        name=f"case\n{name}",
                        digest=name * 64,
                        expected=0.25,
                        dimensions={"correctness": 1} if name == "a" else {},
                        task=task,
                    )
                )
            run = CanaryRun(
                number=number,
                actor="eva",
                actor_id="e" * 64,
                rubric="1",
                by="me",
                at=1_000_000,
            )
            calibration.insert_run(tx, run, cases)
        said = {"correctness": 0.5}
        calibration.keep_answer(tx, "judge-b-1", 0.9, said, "with a note")

    await graph.change(write)


async def test_they_round_trip() -> None:
    """With their cases in order, and what was answered."""
    async with a_graph() as graph:
        await prepare(graph)

        exported = await assert_round_trip(graph)

        first, second = (one for one in exported if one["kind"] == "canary")
        assert [case["name"] for case in first["cases"]] == ["case\nb", "case\na"]
        assert first["cases"][0]["answer"] == {
            "score": 0.5,
            "given": 0.9,
            "dimensions": {"correctness": 0.5},
            "notes": "with a note",
        }
        assert "answer" not in second["cases"][0]


async def test_an_agent_gets_none_of_them() -> None:
    """It may be the one that is asked."""
    async with a_graph() as graph:
        await prepare(graph)

        def export(context: Context) -> list[bytes]:
            new = agents.NewAgent(
                task="judge-b-1", attempt=1, actor="eva", executor="shell"
            )
            number = agents.insert_agent(context.tx, new)
            agent = agent_reads.by_number(context.tx, number)
            caller = Caller(name=agent.id, agent=agent)
            return transfer.export_lines(
                msgspec.structs.replace(context, caller=caller)
            )

        found = await graph.change(export)

        assert not any(b"canary" in line or b"0.25" in line for line in found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"number": 3, "at": "soon"}, "line 1: at: 'soon' is not a time"),
        ({"cases": []}, "line 1: cases: expected `array` of length >= 1"),
        ({"number": 0}, "line 1: number: expected `int` >= 1"),
        ({"number": 2}, "line 2: run 2 is in line 1 already"),
    ],
)
async def test_a_line_that_can_not_be_is_refused(
    change: dict[str, object], message: str
) -> None:
    """By its number."""
    case = {"name": "a", "digest": "a" * 64, "score": 1, "task": "t"}
    run = {
        "kind": "canary",
        "number": 2,
        "actor": "eva",
        "actor_id": "e",
        "rubric": "1",
        "by": "me",
        "at": "2026-01-01T00:00:00Z",
        "cases": [case],
    }
    again = [run] if change == {"number": 2} else []
    text = lines(run | change, *again, {"title": "t"})
    async with a_graph() as graph:
        with pytest.raises(UserError, match=message):
            await graph.take(text)


async def test_what_does_not_fit_the_rest_is_refused() -> None:
    """A run without its errands, two cases of one errand, a number that is taken."""
    async with a_graph() as graph:
        await prepare(graph)
        text = (await graph.export()).split("\n")
        run = next(line for line in text if '"canary"' in line)
        tasks_alone = [line for line in text if '"kind":"task"' in line]

        async with a_graph() as other:
            with pytest.raises(UserError, match="'judge-b-1' is not in this file"):
                await other.take(run)
            twice = run.replace("judge-a-1", "judge-b-1")
            with pytest.raises(UserError, match="judge-b-1 is of two cases"):
                await other.take("\n".join([*tasks_alone, twice]))
        renamed = [line.replace("judge-", "x-") for line in [*tasks_alone, run]]
        with pytest.raises(ConflictError, match="there is another run 1"):
            await graph.take("\n".join(renamed))
