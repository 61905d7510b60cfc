"""`wg spend`: what was used, by task, actor, model and day."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tests.commands.transfer_graph import NOW, Graph, a_graph
from workgraph.commands import spending, tasks
from workgraph.commands.context import Context
from workgraph.commands.render import Style, render
from workgraph.graph import requests as r
from workgraph.graph.budgets import DAY, date_of, day_of
from workgraph.graph.ends import Report
from workgraph.graph.errors import NotFoundError, UsageError
from workgraph.graph.model import TaskSpec, Usage
from workgraph.graph.replies import Reply, SpendRow
from workgraph.store import agent_reads, agents, clients, writes

TODAY = date_of(day_of(NOW))
YESTERDAY = date_of(day_of(NOW) - 1)


async def use(graph: Graph, task: str, now: int = NOW, **said: Any) -> str:
    """An attempt at a task that has used something at a moment; gives its id."""
    actor, model = said.pop("actor", None), said.pop("model", None)

    def note(context: Context) -> str:
        tx = context.tx
        _, attempt = agents.next_agent(tx, task)
        new = agents.NewAgent(
            task=task, attempt=attempt, actor=actor, executor="bot", model=model
        )
        agent = agent_reads.by_number(tx, agents.insert_agent(tx, new))
        report = Report(usage=Usage(**said), answered=True)
        clients.note_report(tx, agent, report, None)
        agents.record_end(tx, agent.number, agents.End(exit_code=0))
        return agent.id

    agent_id: str = await graph.change(note, now)
    return agent_id


def row(key: str | None, **values: Any) -> SpendRow:
    """A row with nothing in it but what is said."""
    none: dict[str, Any] = dict.fromkeys(
        ("input_tokens", "cached_tokens", "output_tokens", "unknown_cost"), 0
    )
    return SpendRow(key=key, **({"agents": 1, "cost_usd": 0.0} | none | values))


async def spend(graph: Graph, **asked: Any) -> Reply:
    """What `wg spend` answers."""
    reply: Reply = await graph.change(
        lambda context: spending.spend(context, r.GetSpend(**asked))
    )
    return reply


@pytest.fixture
async def spent() -> AsyncGenerator[Graph]:
    """Two tasks, one added by the other's agent; three attempts on two days."""
    async with a_graph() as graph:

        def add(context: Context) -> None:
            for title in ("one", "two", "three"):
                tasks.add_task(context, r.AddTask(title=title))

        await graph.change(add)
        adder = await use(
            graph,
            "one",
            NOW - DAY,
            actor="ada",
            model="m-1",
            input_tokens=10,
            output_tokens=5,
            cached_tokens=3,
            cost_usd=0.1,
        )
        await use(graph, "one", model="m-1", input_tokens=1, cost_usd=0.2)
        await graph.change(
            lambda context: writes.insert_task(
                context.tx,
                writes.NewTask(
                    id="kid",
                    spec=TaskSpec(title="kid"),
                    priority=2,
                    added_by=adder,
                ),
                adder,
            )
        )
        await use(graph, "kid", model="m-2", input_tokens=100, output_tokens=100)
        await use(graph, "three")
        yield graph


async def test_by_task_the_dearest_first(spent: Graph) -> None:
    """With the total; what is not known is null, and counted."""
    reply = await spend(spent)

    one = row(
        "one", agents=2, input_tokens=11, cached_tokens=3, output_tokens=5, cost_usd=0.3
    )
    kid = row("kid", input_tokens=100, output_tokens=100, cost_usd=None, unknown_cost=1)
    three = row("three", cost_usd=None, unknown_cost=1)
    assert reply.data.rows == (one, kid, three)
    assert reply.data.total == row(
        None,
        agents=4,
        input_tokens=111,
        cached_tokens=3,
        output_tokens=105,
        cost_usd=0.3,
        unknown_cost=2,
    )
    assert render(r.GetSpend(), reply, Style()) == (
        "one    2  11   3  5    0.3000\n"
        "kid    1  100  0  100  -       1 of unknown cost\n"
        "three  1  0    0  0    -       1 of unknown cost\n"
        "total  4  111  3  105  0.3000  2 of unknown cost\n"
    )


async def test_by_actor_model_and_day(spent: Graph) -> None:
    """Null is nobody's; days come newest first."""

    async def keys(by: str) -> list[str | None]:
        return [row.key for row in (await spend(spent, by=by)).data.rows]

    assert await keys("actor") == [None, "ada"]
    assert await keys("model") == ["m-1", "m-2", None]
    assert await keys("day") == [TODAY, YESTERDAY]


@pytest.mark.parametrize("since", ["2h", TODAY, "1ms"])
async def test_since_counts_whole_days(spent: Graph, since: str) -> None:
    """UTC; a date, a moment, or how long ago."""
    rows = (await spend(spent, by="day", since=since)).data.rows

    assert [row.key for row in rows] == [TODAY]


async def test_of_a_task_with_what_its_agents_have_added(spent: Graph) -> None:
    """As its budget counts."""
    rows = (await spend(spent, task="one")).data.rows

    assert [row.key for row in rows] == ["one", "kid"]
    with pytest.raises(NotFoundError):
        await spend(spent, task="none")


async def test_a_time_that_is_none_is_refused(spent: Graph) -> None:
    """With what would be one."""
    with pytest.raises(UsageError, match="'soon' is not a time"):
        await spend(spent, since="soon")


async def test_nothing_was_spent() -> None:
    """A line of zeroes."""
    async with a_graph() as graph:
        reply = await spend(graph)

        assert reply.data.rows == ()
        assert reply.data.total == row(None, agents=0)
        assert render(r.GetSpend(), reply, Style()) == "total  0  0  0  0  0.0000\n"
