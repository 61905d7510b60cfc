"""What the sums over agents are, against a count by hand."""

from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.commands.transfer_graph import NOW, a_graph
from workgraph.commands.context import Context
from workgraph.graph.budgets import DAY, Budget, Limits, Scope, Shares, Unit
from workgraph.graph.ends import Report
from workgraph.graph.model import TaskSpec, Usage
from workgraph.store import agent_reads, agents, budgets, clients, reads, writes

SHARES = Shares(tokens=50, usd=0.5)
LIMITS = Limits(
    tokens_per_task=10**6, usd_per_task=1e6, tokens_per_day=10**6, usd_per_day=1e6
)
AMOUNT = st.none() | st.integers(0, 200)
#: Quarters add up without a rest.
DOLLARS = st.none() | st.integers(0, 8).map(lambda n: n / 4)
ATTEMPTS = st.lists(
    st.fixed_dictionaries(
        {
            "task": st.integers(0, 5),
            "days_ago": st.integers(0, 2),
            "ended": st.booleans(),
            "human": st.sampled_from([False, False, False, True]),
            "answered": st.booleans(),
            "input": AMOUNT,
            "output": AMOUNT,
            "usd": DOLLARS,
            "reserved": AMOUNT,
            "reserved_usd": DOLLARS,
        }
    ),
    max_size=12,
)
#: Of each task but the first: who has added it, an operator or an agent of which task.
PARENTS = st.tuples(*(st.none() | st.integers(0, n) for n in range(5)))


def tokens(attempt: dict[str, Any]) -> int:
    """What an attempt has used."""
    return (attempt["input"] or 0) + (attempt["output"] or 0)


def aside(attempt: dict[str, Any], most: float) -> float:
    """What it has set aside and not used."""
    kept: int | None = attempt["reserved"]
    if attempt["ended"] or kept is None:
        return 0
    return min(max(kept - tokens(attempt), 0), most)


def aside_usd(attempt: dict[str, Any], most: float) -> float:
    """The same in dollars."""
    kept: float | None = attempt["reserved_usd"]
    if attempt["ended"] or kept is None:
        return 0
    return min(max(kept - (attempt["usd"] or 0), 0), most)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(ATTEMPTS, PARENTS)
async def test_the_sums_are_as_counted_by_hand(
    attempts: list[dict[str, Any]], parents: tuple[int | None, ...]
) -> None:
    """Of the task, of the task above all, and of the day."""
    async with a_graph() as graph:

        def build(context: Context) -> None:
            tx = context.tx
            for number, parent in enumerate((None, *parents)):
                adder = None
                if parent is not None:
                    rows = tx.all(
                        "select number from agents where task = ?", (f"t{parent}",)
                    )
                    adder = f"agent-{rows[0][0]}"
                spec = TaskSpec(title="t", budget_tokens=10**6, budget_usd=1e6)
                if number:
                    spec = TaskSpec(title="t")
                new = writes.NewTask(
                    id=f"t{number}", spec=spec, priority=2, added_by=adder
                )
                writes.insert_task(tx, new, "ada")
                # one attempt at each that has cost nothing, for it to add tasks
                boring = agents.NewAgent(
                    task=f"t{number}", attempt=1, actor=None, executor="bot"
                )
                agents.record_end(tx, agents.insert_agent(tx, boring), agents.End())

        def attempt_at(context: Context, attempt: dict[str, Any]) -> None:
            tx = context.tx
            task = f"t{attempt['task']}"
            new = agents.NewAgent(
                task=task,
                attempt=agents.next_agent(tx, task)[1],
                actor=None,
                executor="bot",
                human=attempt["human"],
                reserved_tokens=attempt["reserved"],
                reserved_usd=attempt["reserved_usd"],
            )
            agent = agent_reads.by_number(tx, agents.insert_agent(tx, new))
            if not attempt["human"]:
                usage = Usage(
                    input_tokens=attempt["input"],
                    output_tokens=attempt["output"],
                    cost_usd=attempt["usd"],
                )
                report = Report(usage=usage, answered=attempt["answered"])
                clients.note_report(tx, agent, report, None)
            if attempt["ended"]:
                agents.record_end(tx, agent.number, agents.End(exit_code=0))

        await graph.change(build)
        for attempt in attempts:
            then = NOW - attempt["days_ago"] * DAY
            await graph.change(partial(attempt_at, attempt=attempt), then)
        found = await graph.change(
            lambda c: {
                number: budgets.of_start(
                    c.tx, reads.task(c.tx, f"t{number}"), LIMITS, SHARES
                )
                for number in range(6)
            }
        )

        real = [one for one in attempts if not one["human"]]
        for number, under in found.items():
            wanted = _wanted(number, real, parents)
            assert {(b.scope, b.unit): _figures(b) for b in under} == wanted


def _figures(budget: Budget) -> tuple[float, float]:
    return budget.used, budget.reserved


def _wanted(
    number: int, real: list[dict[str, Any]], parents: tuple[int | None, ...]
) -> dict[tuple[Scope, Unit], tuple[float, float]]:
    def root_of(task: int) -> int:
        parent = parents[task - 1] if task else None
        return task if parent is None else root_of(parent)

    wanted: dict[tuple[Scope, Unit], tuple[float, float]] = {}
    own = [one for one in real if one["task"] == number]
    below = [one for one in real if root_of(one["task"]) == 0]
    today = [one for one in real if one["days_ago"] == 0]
    if number:
        wanted |= _pair(Scope.TASK, own, own, 2.0**53, 2.0**53)
    if root_of(number) == 0:
        wanted |= _pair(Scope.SUBTREE, below, below, SHARES.tokens, SHARES.usd)
    return wanted | _pair(Scope.DAY, today, real, SHARES.tokens, SHARES.usd)


def _pair(
    scope: Scope,
    users: list[dict[str, Any]],
    keepers: list[dict[str, Any]],
    most: float,
    most_usd: float,
) -> dict[tuple[Scope, Unit], tuple[float, float]]:
    return {
        (scope, Unit.TOKENS): (
            sum(tokens(one) for one in users),
            sum(aside(one, most) for one in keepers),
        ),
        (scope, Unit.USD): (
            sum(one["usd"] or 0 for one in users),
            sum(aside_usd(one, most_usd) for one in keepers),
        ),
    }


async def test_a_circle_of_adders_ends() -> None:
    """A file can say anything of who has added what."""
    async with a_graph() as graph:

        def build(context: Context) -> tuple[Budget, ...]:
            tx = context.tx
            for number, adder in ((1, "agent-2"), (2, "agent-1")):
                spec = TaskSpec(title="t", budget_tokens=10)
                task = f"t{number}"
                new = writes.NewTask(id=task, spec=spec, priority=2, added_by=adder)
                writes.insert_task(tx, new, "ada")
                boring = agents.NewAgent(
                    task=task, attempt=1, actor=None, executor="bot"
                )
                agents.insert_agent(tx, boring)
            return budgets.of_start(tx, reads.task(tx, "t1"), Limits(), SHARES)

        found = await graph.change(build)

        assert [budget.name for budget in found] == ["t1", "t2"]
