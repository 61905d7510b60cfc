"""Time that does not count: a machine that sleeps, a clock that is set, a freeze."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.core import OPERATOR, Core, running_core
from tests.fake_clock import FakeClock
from tests.fakes import FakeLauncher
from workgraph.agents.process import Output
from workgraph.graph import requests as r
from workgraph.graph.errors import UserError
from workgraph.graph.times import SECOND
from workgraph.store import service
from workgraph.store.database import Store

BOT = 'executors.bot.argv=["bot"]'
HOUR = 3600.0


async def test_a_sleep_is_no_massacre() -> None:
    """Eight hours of sleep in an agent's two: what is left of these goes on."""
    async with running_core() as core:
        task = await core.add("t", timeout="2h")
        await core.advance(HOUR)

        await core.jump(8 * HOUR)

        assert core.launcher.stops == []
        await core.advance(HOUR - 1)
        assert core.launcher.stops == []
        await core.advance(1)
        assert core.launcher.stops == [(1, False)]
        failure = (await core.task(task)).failure
        assert failure is not None
        assert failure.reason == "agent-1 ran longer than its timeout of 2h"


async def test_after_a_gap_nothing_is_late_for_a_minute() -> None:
    """Connections have broken, and agents have to find out."""
    async with running_core() as core:
        await core.add("t", timeout="1h")
        await core.advance(HOUR - 1)

        await core.jump(HOUR)
        await core.advance(59)
        assert core.launcher.stops == []

        await core.advance(1)
        assert core.launcher.stops == [(1, False)]


@pytest.mark.parametrize("by", [-24 * HOUR, 24 * HOUR])
async def test_a_clock_that_is_set_moves_every_limit(by: float) -> None:
    """Backoffs, claims, looks: as long as before, whichever way it was set."""
    async with running_core(BOT) as core:
        crashed = await core.add("crashed", max_attempts=9)
        for _ in range(4):
            await core.crash(crashed)
            await core.advance(300)
        await core.crash(crashed)
        before = (await core.task(crashed)).retry_at
        assert before is not None
        left = before - core.clock.now()
        held = await core.add("held", abandon_after="2h", paused=True)
        await core.do(r.ClaimTask(task=held, actor="alice", force=True))

        await core.jump(by)

        row = await core.task(crashed)
        assert row.retry_at is not None
        assert row.retry_at - core.clock.now() == left
        assert await core.why(crashed) == ["backoff"]
        await core.advance(left / SECOND)
        assert await core.status(crashed) == "in-progress"
        await core.advance(2 * HOUR - left / SECOND - 1)
        assert await core.status(held) == "in-progress"
        await core.advance(1)
        assert await core.status(held) == "open"


async def test_a_moment_that_was_named_stays() -> None:
    """`--not-before 08:00` is eight o'clock, however long the night was."""
    async with running_core() as core:
        task = await core.add("t", not_before="8h")
        past = await core.add("past", not_before="1s")
        await core.advance(1)
        assert await core.status(past) == "in-progress"

        await core.jump(8 * HOUR)

        assert await core.status(task) == "in-progress"


async def test_a_clock_set_back_holds_what_was_due() -> None:
    """Seen from there its moment lies ahead again, and why says so."""
    async with running_core("dispatcher.max_agents=0") as core:
        task = await core.add("t", not_before="1m")
        await core.advance(60)

        await core.jump(-HOUR)

        assert await core.why(task) == ["not_before"]
        await core.advance(HOUR)
        assert await core.why(task) == ["no_free_slot"]


async def test_a_jump_while_no_daemon_ran_is_found_out() -> None:
    """The next one compares, whoever it is; it is told once."""
    async with a_world() as (store, clock, launcher):
        async with running_core(store=store, clock=clock, launcher=launcher) as core:
            await core.add("t", timeout="2h")
        launcher.crash()
        clock.jump(8 * HOUR)
        clock.catch_up()
        for _ in range(2):
            async with running_core(
                store=store, clock=clock, launcher=launcher
            ) as core:
                assert launcher.stops == []
                kinds = [change.kind for change in await core.changes()]
                assert kinds.count("clock_jumped") == 1
            launcher.crash()


async def test_a_stall_is_counted_anew_after_a_gap() -> None:
    """File times from before it say nothing."""
    async with running_core(BOT) as core:
        await core.add("t", executor="bot", stall_timeout="10m")
        await core.advance(300)
        core.launcher.outputs[1] = Output(size=9, written_at=core.clock.now())

        await core.jump(8 * HOUR)

        await core.advance(599)
        assert core.launcher.stops == []
        await core.advance(1)
        assert core.launcher.stops == [(1, False)]


@asynccontextmanager
async def a_world() -> AsyncGenerator[tuple[Store, FakeClock, FakeLauncher]]:
    """What outlives a daemon."""
    store = await Store.open(":memory:")
    try:
        yield store, FakeClock(), FakeLauncher()
    finally:
        await store.close()


async def limits(core: Core) -> None:
    """Three agents, each near one of its limits, and a person's claim."""
    await core.add("timeout", timeout="1h")
    await core.add("stall", executor="bot", stall_timeout="1h")
    await core.add("abandon", abandon_after="1h")
    person = await core.add("person", abandon_after="1h", paused=True)
    await core.do(r.ClaimTask(task=person, actor="alice", force=True))
    core.launcher.outputs[2] = Output(size=0, written_at=0)


async def test_frozen_time_counts_for_no_limit() -> None:
    """A day, and all of them have the time that they had."""
    async with running_core(BOT) as core:
        await limits(core)
        await core.advance(HOUR - 10)

        await core.freeze()
        assert core.launcher.frozen == {1, 2, 3}
        await core.advance(24 * HOUR)
        assert core.launcher.stops == []
        assert await core.status("person") == "in-progress"
        await core.thaw()

        assert core.launcher.frozen == set()
        await core.advance(9)
        assert core.launcher.stops == []
        await core.advance(1)
        assert sorted(core.launcher.stops) == [(1, False), (3, False)]
        assert await core.status("person") == "open"


async def test_a_freeze_outlives_the_daemon() -> None:
    """The next one adopts, freezes what was not, starts nothing, and thaws."""
    async with a_world() as (store, clock, launcher):
        async with running_core(store=store, clock=clock, launcher=launcher) as core:
            await core.add("t", timeout="1h")
            await core.freeze()
        launcher.crash()
        launcher.frozen.clear()  # as if it had died before the signal
        clock.advance(24 * HOUR)
        async with running_core(store=store, clock=clock, launcher=launcher) as core:
            assert launcher.frozen == {1}
            late = await core.add("late")
            status = (await core.do(r.GetServiceStatus())).data
            assert (status.paused, status.frozen) == (True, True)
            why = (await core.do(r.ExplainTask(task=late))).data
            assert [(one.code, one.remedy) for one in why.reasons] == [
                ("service_paused", "wg service thaw")
            ]

            await core.thaw()

            assert launcher.frozen == set()
            assert await core.status(late) == "in-progress"
            assert launcher.stops == []


async def test_a_start_on_its_way_is_frozen_when_it_comes() -> None:
    """The order was given before, the process is there after."""
    async with running_core() as core:
        await core.engine.answer(r.AddTask(title="t", exec="true"), OPERATOR)
        await core.freeze()

        assert core.launcher.frozen == set(core.launcher.running())


async def test_a_frozen_agent_can_be_killed() -> None:
    """And its task goes where the kill says; the service stays frozen."""
    async with running_core() as core:
        task = await core.add("t")
        await core.freeze()

        await core.do(r.KillAgents(all=True, requeue=True))

        assert core.launcher.running() == ()
        assert await core.why(task) == ["service_paused"]


async def test_a_frozen_service_is_not_resumed_by_accident() -> None:
    """New agents beside old ones that stand still is what nobody means."""
    async with running_core() as core:
        await core.freeze()

        with pytest.raises(UserError, match="frozen"):
            await core.do(r.Resume())


async def test_freezing_and_thawing_twice_is_once() -> None:
    """The moment of the first freeze holds."""
    async with running_core() as core:
        await core.freeze()
        since = await core.store.read(service.frozen_since, 0)
        await core.advance(10)
        await core.freeze()
        assert await core.store.read(service.frozen_since, 0) == since

        await core.thaw()
        await core.thaw()

        kinds = [change.kind for change in await core.changes()]
        assert (kinds.count("service_frozen"), kinds.count("service_thawed")) == (1, 1)


@pytest.mark.parametrize("thaws", [True, False])
async def test_it_may_be_cancelled_at_any_time(thaws: bool) -> None:
    """Whether it is frozen by then or not: agents stand still exactly if it is."""
    async with running_core() as core:
        await core.add("t")
        for turns in range(60):
            if thaws:
                await core.freeze()
            async with anyio.create_task_group() as group:
                group.start_soon(core.thaw if thaws else core.freeze)
                for _ in range(turns % 12):
                    await checkpoint()
                if turns % 3:
                    # Until the database's thread, too, has done what it had to do.
                    await core.store.read(service.frozen_since, 0)
                group.cancel_scope.cancel()
            await core.settle()

            since = await core.store.read(service.frozen_since, 0)
            assert core.launcher.frozen == ({1} if since is not None else set()), turns
            await core.thaw()


async def test_a_jump_during_a_freeze_is_counted_once() -> None:
    """The machine slept while agents were frozen."""
    async with running_core() as core:
        await core.add("t", timeout="2h")
        await core.advance(HOUR)
        await core.freeze()
        await core.advance(HOUR)

        await core.jump(24 * HOUR)
        await core.thaw()

        await core.advance(HOUR - 1)
        assert core.launcher.stops == []
        await core.advance(1)
        assert core.launcher.stops == [(1, False)]
