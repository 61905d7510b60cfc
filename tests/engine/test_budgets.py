"""Budgets end to end: who is started, warned, ended, held, and when it goes on."""

from typing import Any

import pytest

from tests.core import OPERATOR, Core, running_core
from tests.fake_clock import FakeClock
from tests.fakes import FakeLauncher
from workgraph.agents.plan import Flags, PlanError
from workgraph.commands.context import Context
from workgraph.daemon.launching import launch
from workgraph.graph import requests as r
from workgraph.graph.ends import ClientEnd, EndKind, Report
from workgraph.graph.facts import AgentReported
from workgraph.graph.model import Usage
from workgraph.graph.times import SECOND
from workgraph.store import budgets, reads
from workgraph.store.database import Store, Tx

BOT = 'executors.bot.argv=["bot"]'
PRICES = (
    'prices."m*".input=1.0',
    'prices."m*".cached=0.1',
    'prices."m*".output=10.0',
)
DAY_S = 86_400


async def report(
    core: Core, task: str, tokens: int, usd: float | None = None, **said: Any
) -> None:
    """The agent of a task says what it has used so far, half in and half out."""
    half = tokens // 2
    usage = Usage(input_tokens=tokens - half, output_tokens=half, cost_usd=usd)
    number = await core.holder(task)
    words: dict[str, Any] = {"session": "s-1", "answered": True, "usage": usage} | said
    core.engine.post(AgentReported(agent=number, report=Report(**words)))
    await core.settle()


async def bot(core: Core, title: str, **options: Any) -> str:
    """A task for an agent that uses tokens."""
    return await core.add(title, executor="bot", **options)


async def child(core: Core, parent: str, title: str, **options: Any) -> str:
    """A task that the agent of another one adds beside its own."""
    caller = await core.agent_caller(parent)
    request = r.AddTask(title=title, executor="bot", independent=True, **options)
    reply = await core.do(request, caller)
    task: str = reply.data.id
    await core.advance(1)  # an executor that is on trial gets three starts a second
    return task


async def held(core: Core, task: str) -> tuple[str, str]:
    """Why a task is held by its budget: message and remedy."""
    reply = await core.do(r.ExplainTask(task=task))
    (reason,) = reply.data.reasons
    assert reason.code == "budget_exhausted"
    return reason.message, reason.remedy


async def warned(core: Core) -> list[str | None]:
    """The budgets of which somebody was warned, in order."""
    changes = await core.changes()
    return [change.to for change in changes if change.kind == "budget_warned"]


async def raise_budget(core: Core, task: str, tokens: int) -> None:
    """What an operator does about it."""
    await core.do(r.EditTask(task=task, budget_tokens=tokens))


async def test_an_attempt_is_ended_when_its_tasks_budget_is_used_up() -> None:
    """It uses up no attempt, and the reason names limit and use."""
    async with running_core(BOT) as core:
        task = await bot(core, "big", budget_tokens=1000)
        await report(core, task, 10_000)

        assert core.launcher.stops == [(1, False)]
        assert await held(core, task) == (
            "the budget of 1,000 tokens of big is used up: 10,000 tokens",
            "wg edit big --budget-tokens N",
        )
        (agent,) = await core.agents(task)
        assert agent.outcome == "budget"
        assert agent.session == "s-1"
        row = await core.task(task)
        assert (row.attempts, row.starts) == (0, 1)
        assert row.failure is not None
        assert row.failure.class_ == "budget"


async def test_raising_the_budget_starts_it_at_once() -> None:
    """And what it has used before counts."""
    async with running_core(BOT) as core:
        task = await bot(core, "big", budget_tokens=1000)
        await report(core, task, 10_000)

        await raise_budget(core, task, 9000)
        assert (await held(core, task))[0].startswith("the budget of 9,000 tokens")
        await raise_budget(core, task, 12_000)

        assert await core.status(task) == "in-progress"
        assert (await core.agents(task))[-1].reserved_tokens == 2000
        await report(core, task, 1999)
        assert await core.status(task) == "in-progress"
        await report(core, task, 2000)
        assert await core.status(task) == "open"


async def test_it_is_warned_once_for_each_budget() -> None:
    """From 90 % on; what its calls are told follows what it uses."""
    async with running_core(BOT, "budget.tokens_per_attempt=1000") as core:
        task = await bot(core, "big", budget_tokens=1000)

        async def line() -> str | None:
            number = await core.holder(task)
            return await core.store.read(
                lambda tx: budgets.gravest_warning(tx, number), core.clock.now()
            )

        await report(core, task, 899)
        assert (await warned(core), await line()) == ([], None)
        for tokens in (900, 920, 920, 999):
            await report(core, task, tokens)

        assert await warned(core) == ["attempt:agent-1:tokens", "subtree:big:tokens"]
        assert await line() == (
            "99 % of the budget of 1,000 tokens is used; finish or say what is left"
        )
        assert core.launcher.stops == []


async def test_a_warning_goes_when_the_budget_is_raised() -> None:
    """And comes again for the new one."""
    async with running_core(BOT) as core:
        task = await bot(core, "big", budget_tokens=1000)
        await report(core, task, 950)
        number = await core.holder(task)

        await raise_budget(core, task, 2000)

        gone = await core.store.read(
            lambda tx: budgets.gravest_warning(tx, number), core.clock.now()
        )
        assert gone is None
        await report(core, task, 1800)
        assert await warned(core) == ["subtree:big:tokens"] * 2


async def test_a_limit_of_each_attempt_holds_until_it_is_raised_or_retried() -> None:
    """A new attempt would end as the last one did, so none is started by itself."""
    limit = "budget.tokens_per_attempt=1000"
    store = await Store.open(":memory:")
    launcher, clock = FakeLauncher(), FakeClock()
    try:
        async with running_core(
            BOT, limit, store=store, launcher=launcher, clock=clock
        ) as core:
            task = await bot(core, "big")
            await report(core, task, 1000)
            assert await held(core, task) == (
                "the budget of 1,000 tokens of an attempt is used up: 1,000 tokens",
                "wg config set budget.tokens_per_attempt N, or wg retry big",
            )
            await core.do(r.EditTask(task=task, description="other words"))
            assert await core.status(task) == "open"

            await core.do(r.RetryTasks(task=(task,)))
            assert await core.status(task) == "in-progress"
            await report(core, task, 1000)
            assert await core.status(task) == "open"
        launcher.crash()
        raised = "budget.tokens_per_attempt=2000"
        async with running_core(
            BOT, raised, store=store, launcher=launcher, clock=clock
        ) as core:
            await core.do(r.EditTask(task=task, description="looked at again"))
            assert await core.status(task) == "in-progress"
            assert (await core.agents(task))[-1].reserved_tokens == 2000
    finally:
        await store.close()


async def test_what_has_said_done_is_done() -> None:
    """However much its last words cost."""
    async with running_core(BOT) as core:
        task = await bot(core, "big", budget_tokens=1000)
        caller = await core.agent_caller(task)
        number = await core.holder(task)
        await core.do(r.FinishTask(task=task), caller)
        usage = Usage(input_tokens=5000)
        core.engine.post(AgentReported(agent=number, report=Report(usage=usage)))
        await core.settle()
        core.launcher.exit(number, code=0)
        await core.settle()

        assert await core.status(task) == "done"
        (agent,) = await core.agents(task)
        assert agent.outcome == "done"


async def test_what_has_ended_by_itself_is_done_with_a_word_in_the_log() -> None:
    """A client that tells what it has used with its last line can't be cut before."""
    async with running_core(BOT) as core:
        task = await bot(core, "big", budget_tokens=1000)
        end = ClientEnd(kind=EndKind.FINISHED, message="")
        await report(core, task, 5000, end=end)
        if await core.status(task) == "in-progress":
            await core.exit(task)

        assert await core.status(task) == "done"
        log = [c for c in await core.changes() if c.kind == "budget_overdrawn"]
        assert [change.reason for change in log] == [
            "the budget of 1,000 tokens of big is overdrawn: 5,000 tokens used"
        ]


async def test_two_siblings_in_one_tick_do_not_both_take_the_last() -> None:
    """One starts; the other one waits for its end, and then for more."""
    async with running_core(BOT, "budget.tokens_per_day=1000") as core:
        await core.do(r.Pause())
        one, two = await bot(core, "one"), await bot(core, "two")
        await core.do(r.Resume())

        assert await core.status(one) == "in-progress"
        message, _ = await held(core, two)
        assert message == (
            "what is left of the budget of 1,000 tokens of 2026-01-01 (UTC) is set"
            " aside for agents that run: 1,000 tokens"
        )
        await report(core, one, 600)
        await core.exit(one)

        assert await core.status(two) == "in-progress"
        assert (await core.agents(two))[0].reserved_tokens == 400


async def test_siblings_share_what_is_enough_for_both() -> None:
    """Each sets aside a share, not all."""
    async with running_core(BOT, "budget.usd_per_day=1.2") as core:
        tasks = [await bot(core, f"t{n}") for n in range(4)]

        assert [await core.status(task) for task in tasks] == [
            *["in-progress"] * 3,
            "open",
        ]
        (last,) = await core.agents(tasks[2])
        assert last.reserved_usd == 0.2


async def test_a_subtrees_budget_counts_what_its_agents_have_added() -> None:
    """Three deep; when it is used up, all that run in it are ended, and none start."""
    deep = ("agents.max_depth=5", "dispatcher.max_agents=8")
    async with running_core(BOT, *deep) as core:
        root = await bot(core, "root", budget_tokens=200_000)
        one = await child(core, root, "one")
        two = await child(core, one, "two")
        three = await child(core, two, "three")
        other = await bot(core, "other")
        await report(core, root, 40_000)
        await report(core, one, 50_000)
        await report(core, two, 60_000)
        assert core.launcher.stops == []
        await report(core, three, 50_000)

        assert sorted(core.launcher.stops) == [(n, False) for n in (1, 2, 3, 4)]
        for task in (root, one, two, three):
            message, remedy = await held(core, task)
            assert message.endswith("is used up: 200,000 tokens")
            assert remedy == "wg edit root --budget-tokens N"
        assert await core.status(other) == "in-progress"

        await raise_budget(core, root, 400_000)
        await core.advance(1)
        for task in (root, one, two, three):
            assert await core.status(task) == "in-progress"


async def test_the_budget_of_a_root_that_is_done_can_be_raised() -> None:
    """Its descendants still draw on it."""
    async with running_core(BOT) as core:
        root = await bot(core, "root", budget_tokens=1000)
        one = await child(core, root, "one")
        assert "set aside" in (await held(core, one))[0]
        await report(core, root, 999)
        caller = await core.agent_caller(root)
        number = await core.holder(root)
        await core.do(r.FinishTask(task=root), caller)
        core.launcher.exit(number, code=0)
        await core.settle()
        assert await core.status(one) == "in-progress"
        await report(core, one, 1)
        assert await core.status(one) == "open"

        await raise_budget(core, root, 2000)

        assert await core.status(root) == "done"
        assert await core.status(one) == "in-progress"


async def test_a_day_ends_at_midnight_and_not_before() -> None:
    """What it holds back waits for that moment, and nothing is asked meanwhile."""
    async with running_core(BOT, "budget.tokens_per_day=1000") as core:
        await core.advance(3600)
        one, two = await bot(core, "one"), await bot(core, "two")
        await report(core, one, 1500)

        for task in (one, two):
            message, remedy = await held(core, task)
            assert message == (
                "the budget of 1,000 tokens of 2026-01-01 (UTC) is used up:"
                " 1,500 tokens"
            )
            assert remedy == (
                "wait: it goes on by itself at 2026-01-02T00:00:00.000Z;"
                " or wg config set budget.tokens_per_day N"
            )
        midnight = core.clock.now() + (DAY_S - 3600) * SECOND
        assert await core.next_moment() == midnight
        before = len(await core.changes())
        await core.advance(DAY_S - 3601)
        assert len(await core.changes()) == before
        await core.advance(1)

        assert await core.status(one) == "in-progress"
        assert await core.status(two) == "open"  # what is left is set aside


async def test_midnight_stays_where_it_is_when_the_machine_sleeps() -> None:
    """Only durations move with the clock."""
    async with running_core(BOT, "budget.tokens_per_day=1000") as core:
        one = await bot(core, "one")
        await report(core, one, 1000)
        assert await core.status(one) == "open"

        await core.jump(DAY_S - 60)
        assert await core.status(one) == "open"
        await core.advance(60)

        assert await core.status(one) == "in-progress"


async def test_an_agent_over_midnight_is_counted_on_both_days() -> None:
    """Each day by what was used on it."""
    async with running_core(BOT, "budget.tokens_per_day=1000") as core:
        await core.advance(DAY_S - 600)
        one = await bot(core, "one")
        await report(core, one, 800)
        await core.advance(600)
        await report(core, one, 1700)
        assert await warned(core) == ["day:2026-01-02:tokens"]

        await report(core, one, 1800)

        message, _ = await held(core, one)
        assert message.startswith("the budget of 1,000 tokens of 2026-01-02 (UTC)")


async def test_a_day_that_is_over_warns_nobody() -> None:
    """Though nothing has happened since that would have been looked at."""
    async with running_core(BOT, "budget.tokens_per_day=1000") as core:
        await core.advance(DAY_S - 60)
        one = await bot(core, "one")
        await report(core, one, 950)
        number = await core.holder(one)

        def line(tx: Tx) -> str | None:
            return budgets.gravest_warning(tx, number)

        assert await core.store.read(line, core.clock.now()) is not None
        later = core.clock.now() + 60 * SECOND
        assert await core.store.read(line, later) is None


async def test_a_command_costs_nothing() -> None:
    """Shell tasks run, whatever is used up."""
    async with running_core(BOT, "budget.tokens_per_day=10") as core:
        one = await bot(core, "one")
        await report(core, one, 10)
        assert await core.status(one) == "open"

        shell = await core.add("shell")

        assert await core.status(shell) == "in-progress"


async def test_cost_is_priced_where_the_client_does_not_say() -> None:
    """By the table of the settings; the client's own word goes before."""
    async with running_core(BOT, *PRICES, "budget.usd_per_task=1.0") as core:
        task = await bot(core, "priced")
        usage = Usage(input_tokens=100_000, cached_tokens=1_000_000, output_tokens=1000)
        await report(core, task, 0, usage=usage, model="m-1")
        (agent,) = await core.agents(task)
        assert agent.usage.cost_usd == 0.1 + 0.1 + 0.01

        await report(core, task, 0, 0.95, model="m-1")
        (agent,) = await core.agents(task)
        assert agent.usage.cost_usd == 0.95
        assert await warned(core) == ["task:priced:USD"]


async def test_a_cost_that_is_not_known_counts_as_nothing_and_is_told() -> None:
    """Never guessed."""
    async with running_core(BOT, "budget.usd_per_task=1.0") as core:
        task = await bot(core, "dear")
        await report(core, task, 1_000_000, model="who-knows")
        await core.do(r.KillAgents(agent=("agent-1",), requeue=True))
        assert await core.status(task) == "in-progress"
        await report(core, task, 10, 1.0)

        assert (await held(core, task))[0] == (
            "the budget of 1.00 USD of dear is used up: 1.00 USD; the cost of 1"
            " attempt is not known"
        )


async def test_a_restart_in_between_forgets_nothing() -> None:
    """Neither what is used, nor who was warned, nor who is held."""
    store = await Store.open(":memory:")
    launcher, clock = FakeLauncher(), FakeClock()
    core_of = {"store": store, "launcher": launcher, "clock": clock}
    try:
        async with running_core(BOT, **core_of) as core:  # type: ignore[arg-type]
            task = await bot(core, "big", budget_tokens=1000)
            await report(core, task, 950)
        launcher.crash()
        async with running_core(BOT, **core_of) as core:  # type: ignore[arg-type]
            assert await core.status(task) == "in-progress"
            assert await warned(core) == ["subtree:big:tokens"]
            await report(core, task, 1000)
            assert (await held(core, task))[0].endswith("is used up: 1,000 tokens")
        launcher.crash()
        async with running_core(BOT, **core_of) as core:  # type: ignore[arg-type]
            await held(core, task)
            await raise_budget(core, task, 2000)
            assert await core.status(task) == "in-progress"
            assert await warned(core) == ["subtree:big:tokens"]
    finally:
        await store.close()


async def test_spawn_keeps_to_budgets_too() -> None:
    """By the same path as the dispatcher."""
    async with running_core(BOT, "dispatcher.max_agents=0") as core:
        task = await bot(core, "none", budget_tokens=0)

        def spawn(context: Context) -> object:
            row = reads.task(context.tx, task)
            return launch(context.tx, row, None, Flags(), core.engine.host)

        with pytest.raises(PlanError) as refused:
            await core.engine.ask(spawn, OPERATOR)

        assert refused.value.code == "budget_exhausted"
        assert refused.value.hint == "wg edit none --budget-tokens N"
        assert await core.status(task) == "open"
