"""Breakers end to end: what is broken costs little, and others nothing."""

import pytest

from tests.core import Core, running_core
from tests.fake_clock import FakeClock
from tests.fakes import FakeLauncher
from workgraph.agents.process import Ended, Fate
from workgraph.graph import requests as r
from workgraph.graph.times import SECOND
from workgraph.store.database import Store

BOT = 'executors.bot.argv=["bot"]'
MANY = (BOT, "dispatcher.max_agents=16")


async def add_many(core: Core, count: int) -> list[str]:
    """Tasks of one executor."""
    return [await core.add(f"t{n}", executor="bot") for n in range(count)]


async def fail_all(core: Core) -> None:
    """Whatever runs ends at once, with an error and without a word."""
    while running := core.launcher.running():
        for agent in running:
            core.launcher.exit(agent, code=1)
        await core.settle()


async def test_a_broken_executor_is_started_four_times_a_minute_at_most() -> None:
    """With 50 tasks waiting and 16 slots (DESIGN §8)."""
    async with running_core(*MANY) as core:
        core.launcher.silent = True
        await add_many(core, 50)
        starts: list[float] = []
        known = 0
        for second in range(1200):
            await fail_all(core)
            starts += [second] * (len(core.launcher.orders) - known)
            known = len(core.launcher.orders)
            await core.advance(1)

        for at in starts:
            assert sum(at <= one < at + 60 for one in starts) <= 4, starts
        assert starts[3] >= 60
        assert len(starts) == 3 + 4  # after 1, 2, 4 and 8 minutes


async def test_how_long_an_agent_has_lived_is_told_by_the_clock_alone() -> None:
    """However long the machine takes to get that far: that opens or spares nothing."""
    for seconds, state in ((0.9, "open"), (1.1, "ok")):
        async with running_core(*MANY) as core:
            core.launcher.silent = True
            await add_many(core, 4)
            await core.advance(seconds)

            await fail_all(core)

            (provider,) = (await core.do(r.GetServiceStatus())).data.providers or (
                None,
            )
            assert (provider.state if provider else "ok") == state


async def test_others_do_not_wait_behind_a_broken_one() -> None:
    """A shell task behind fifty that are held is started at once."""
    async with running_core(BOT) as core:
        core.launcher.silent = True
        tasks = await add_many(core, 50)
        await fail_all(core)

        other = await core.add("other", priority=4)

        assert await core.status(other) == "in-progress"
        why = (await core.do(r.ExplainTask(task=tasks[-1]))).data
        (reason,) = why.reasons
        assert reason.code == "quarantined"
        assert "executor bot is held back" in reason.message
        (provider,) = (await core.do(r.GetServiceStatus())).data.providers
        assert (provider.account, provider.state) == ("executor:bot", "open")
        kinds = [change.kind for change in await core.changes()]
        assert kinds.count("breaker_opened") == 1


async def test_it_closes_with_the_first_good_end_and_lets_all_go() -> None:
    """One is tried after a minute; when it has worked the rest follow."""
    async with running_core(*MANY) as core:
        core.launcher.silent = True
        await add_many(core, 12)
        await fail_all(core)
        assert len(core.launcher.running()) == 0

        await core.advance(61)
        core.launcher.silent = False
        (probe,) = core.launcher.running()
        core.launcher.exit(probe, code=0)
        await core.settle()

        assert len(core.launcher.running()) == 8
        assert (await core.do(r.GetServiceStatus())).data.providers == ()
        kinds = [change.kind for change in await core.changes()]
        assert kinds.count("breaker_closed") == 1


async def test_a_probe_that_lives_lets_another_through_each_20_s() -> None:
    """So nobody waits two hours for one agent's end."""
    async with running_core(*MANY) as core:
        core.launcher.silent = True
        await add_many(core, 12)
        await fail_all(core)

        await core.advance(61)
        assert len(core.launcher.running()) == 1
        await core.advance(19)
        assert len(core.launcher.running()) == 1
        await core.advance(1)
        assert len(core.launcher.running()) == 2


async def test_starts_that_fail_open_it_too() -> None:
    """No process at all: of a shell as well."""
    async with running_core() as core:
        for _ in range(3):
            core.launcher.fail_next("EAGAIN")
        tasks = [await core.add(f"t{n}") for n in range(6)]

        assert await core.why(tasks[0]) == ["backoff"]
        assert await core.why(tasks[5]) == ["quarantined"]
        await core.advance(61)
        assert len(core.launcher.running()) >= 1


async def test_an_unknown_executor_is_tried_three_at_a_time() -> None:
    """Each second three more, and all of them when one has ended well."""
    async with running_core(*MANY) as core:
        tasks = await add_many(core, 12)
        assert len(core.launcher.running()) == 3
        assert await core.why(tasks[-1]) == ["no_free_slot"]

        await core.advance(1)
        assert len(core.launcher.running()) == 6
        core.launcher.exit(1, code=0)
        await core.settle()

        assert len(core.launcher.running()) == 11
        assert "task_parked" not in [change.kind for change in await core.changes()]


@pytest.mark.parametrize("by", ["retry", "reload"])
async def test_an_operator_lets_it_be_tried_anew(by: str) -> None:
    """After mending it; a restart alone does not."""
    store = await Store.open(":memory:")
    clock, launcher = FakeClock(), FakeLauncher()
    async with running_core(*MANY, store=store, clock=clock, launcher=launcher) as core:
        launcher.silent = True
        tasks = await add_many(core, 12)
        await fail_all(core)
    launcher.crash()
    async with running_core(*MANY, store=store, clock=clock, launcher=launcher) as core:
        assert launcher.running() == ()

        if by == "retry":
            await core.do(r.RetryTasks(task=tasks[-1]))
        else:
            await core.do(r.RetryTasks(failed=True))

        assert len(launcher.running()) == 3
    await store.close()


async def test_a_program_that_can_not_be_run_is_a_failed_start() -> None:
    """The wrapper's shell says so, and the attempt counts, with a backoff."""
    async with running_core(BOT) as core:
        task = await core.add("t", executor="bot")

        said = "wg-agent: 4: exec: /bot: not found"
        core.launcher.end(Ended(agent=1, fate=Fate.EXITED, exit_code=127, detail=said))
        await core.settle()

        row = await core.task(task)
        assert (row.status, row.attempts) == ("open", 1)
        assert row.failure is not None
        assert row.failure.class_ == "spawn-failed"
        assert row.retry_at is not None
        assert row.retry_at - core.clock.now() >= 8 * SECOND
