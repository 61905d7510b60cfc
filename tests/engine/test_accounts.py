"""Accounts end to end: a provider's limit parks work instead of burning it."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.core import Core, running_core
from tests.fake_clock import FakeClock
from tests.fakes import FakeLauncher
from workgraph.graph import requests as r
from workgraph.graph.ends import Report
from workgraph.graph.facts import AgentReported
from workgraph.graph.model import ClientEnd, EndKind
from workgraph.graph.times import SECOND
from workgraph.store import views
from workgraph.store.database import Store

BOT = (
    'executors.bot.argv=["bot"]',
    'executors.bot.account="bot"',
)
OTHER = (
    'executors.other.argv=["other"]',
    'executors.other.account="other"',
)
MANY = (*BOT, *OTHER, "dispatcher.max_agents=16")
RESET = 600
SAMPLES = Path(__file__).parents[1] / "agents" / "samples"


async def add_many(core: Core, count: int, executor: str = "bot") -> list[str]:
    """Tasks of one account."""
    return [await core.add(f"{executor}-{n}", executor=executor) for n in range(count)]


async def answer(core: Core, agent: int) -> None:
    """A model has answered."""
    core.engine.post(AgentReported(agent=agent, report=Report(answered=True)))
    await core.settle()


async def finish(core: Core, agent: int) -> None:
    """It was answered, and its work is done."""
    await answer(core, agent)
    core.launcher.exit(agent, code=0)
    await core.settle()


async def refuse(core: Core, agent: int, kind: str = "limited", **named: Any) -> None:
    """The provider would not have it."""
    end = ClientEnd(kind=EndKind(kind), message="no more for now", **named)
    core.engine.post(AgentReported(agent=agent, report=Report(end=end)))
    core.launcher.exit(agent, code=1)
    await core.settle()


async def prove(core: Core) -> None:
    """The executors are no longer on trial."""
    for executor in ("bot", "other"):
        await core.add("first", executor=executor)
        (agent,) = core.launcher.running()
        await finish(core, agent)


async def limited(core: Core, count: int = 20, **named: Any) -> list[str]:
    """All slots are taken, and the account is found to be limited."""
    await prove(core)
    tasks = await add_many(core, count)
    running = core.launcher.running()
    assert len(running) == min(count, 16)
    await refuse(core, running[0], **(named or {"retry_after_s": float(RESET)}))
    for agent in running[1:]:
        await refuse(core, agent, "overloaded")
    assert core.launcher.running() == ()
    return tasks


async def provider(core: Core, account: str = "bot") -> tuple[str, bool]:
    """How `wg service status` says that it stands, and whether until a moment."""
    found = (await core.do(r.GetServiceStatus())).data.providers
    (one,) = [one for one in found if one.account == account]
    return one.state, one.until is not None


async def test_twenty_tasks_wait_for_one_probe_and_then_come_back_gradually() -> None:
    """No attempt is used up, and nobody has to do anything (issue: done when)."""
    async with running_core(*MANY) as core:
        tasks = await limited(core)
        assert await core.why(tasks[-1]) == ["provider_limited"]
        assert await provider(core) == ("limited", True)

        await core.advance(RESET)
        assert core.launcher.running() == ()
        await core.advance(3)
        seen = []
        for n in range(5):
            running = core.launcher.running()
            seen.append(len(running))
            await answer(core, running[n])

        assert seen == [1, 2, 4, 8, 16]
        assert await provider(core) == ("ok", False)
        while running := core.launcher.running():
            for agent in running:
                await finish(core, agent)
        for task in tasks:
            row = await core.task(task)
            assert (row.status, row.attempts) == ("done", 1)


async def test_no_attempt_is_used_up_while_it_is_limited() -> None:
    """Nor is a backoff or a quarantine due, however often it is tried."""
    async with running_core(*MANY) as core:
        tasks = await limited(core, 1)
        for _ in range(110):
            await core.advance(905)
            for agent in core.launcher.running():
                await refuse(core, agent)

        rows = [await core.task(task) for task in tasks]

        assert {(row.status, row.attempts) for row in rows} == {("open", 0)}
        assert {tuple(await core.why(task)) for task in tasks} == {
            ("provider_limited",)
        }


async def test_a_probe_that_fails_makes_the_gap_longer() -> None:
    """One at a time, after 1, 2, 4, 8 and then each 15 minutes, less a jitter."""
    async with running_core(*MANY) as core:
        await limited(core, kind="overloaded")
        gaps: list[float] = []
        known, since = len(core.launcher.orders), core.clock.now()
        while len(gaps) < 6:
            await core.advance(1)
            running = core.launcher.running()
            assert len(running) <= 1
            if len(core.launcher.orders) > known:
                known = len(core.launcher.orders)
                gaps.append((core.clock.now() - since) / SECOND)
                since = core.clock.now()
                await refuse(core, running[0], "network")

        for gap, longest in zip(gaps, (60, 120, 240, 480, 900, 900), strict=True):
            assert 0.8 * longest <= gap <= longest + 1


async def test_a_probe_that_is_killed_says_nothing() -> None:
    """The next one is tried at once."""
    async with running_core(*MANY) as core:
        await limited(core)
        await core.advance(RESET + 3)
        (probe,) = core.launcher.running()

        core.launcher.exit(probe, signal=9)
        await core.settle()

        (again,) = core.launcher.running()
        assert again != probe
        assert await provider(core) == ("limited", True)


async def test_a_task_that_the_provider_refuses_does_not_block_the_others() -> None:
    """Each probe is another task's."""
    async with running_core(*MANY) as core:
        await limited(core, 3)
        probed = set()
        for _ in range(3):
            await core.advance(905)
            (probe,) = core.launcher.running()
            probed.add((await core.agent(probe)).task)
            await refuse(core, probe)

        assert len(probed) == 3


async def test_a_login_that_is_refused_waits_for_somebody() -> None:
    """It is tried rarely; `wg run --until-idle` does not wait for it."""
    async with running_core(*MANY) as core:
        await prove(core)
        tasks = await add_many(core, 4)
        for agent in core.launcher.running():
            await refuse(core, agent, "auth")

        assert await provider(core) == ("broken", True)
        (reason,) = (await core.do(r.ExplainTask(task=tasks[0]))).data.reasons
        assert reason.code == "provider_limited"
        assert "log in" in reason.remedy
        assert await core.store.read(lambda tx: views.is_idle(tx, 16), 0)
        await core.advance(200)
        assert core.launcher.running() == ()
        await core.advance(101)
        assert len(core.launcher.running()) == 1


async def test_who_waits_for_the_end_waits_for_a_limit() -> None:
    """It passes by itself."""
    async with running_core(*MANY) as core:
        await limited(core)

        assert not await core.store.read(lambda tx: views.is_idle(tx, 16), 0)


@pytest.mark.parametrize("by", ["retry", "reload"])
async def test_an_operator_has_it_tried_at_once(by: str) -> None:
    """One probe, and no more than that: nothing is known yet."""
    async with running_core(*MANY) as core:
        await prove(core)
        tasks = await add_many(core, 4)
        for agent in core.launcher.running():
            await refuse(core, agent, "auth")

        if by == "retry":
            await core.do(r.RetryTasks(task=tasks[-1]))
        else:
            await core.reload()

        (probe,) = core.launcher.running()
        assert by == "reload" or (await core.agent(probe)).task == tasks[-1]
        assert await provider(core) == ("broken", True)
        await answer(core, probe)
        assert len(core.launcher.running()) == 2
        assert await provider(core) == ("ok", False)


class SlowDisk(FakeLauncher):
    """Nothing of what agents have written can be read before it is allowed."""

    def __init__(self) -> None:
        super().__init__()
        self.may_read = anyio.Event()
        self.may_read.set()

    async def read_kept(self, agent: int, path: str, offset: int, most: int) -> bytes:
        """As every launcher's."""
        await self.may_read.wait()
        return await super().read_kept(agent, path, offset, most)


async def test_whose_files_are_being_read_has_its_place_already() -> None:
    """No other probe is started meanwhile."""
    launcher = SlowDisk()
    async with running_core(*MANY, launcher=launcher) as core:
        await prove(core)
        tasks = await add_many(core, 4)
        for agent in launcher.running():
            await refuse(core, agent, "auth")

        launcher.may_read = anyio.Event()
        await core.say(r.RetryTasks(task=tasks[-1]))
        for _ in range(3):
            ticked = core.engine.ticked
            core.engine.wake()
            await ticked.wait()
        launcher.may_read.set()
        await core.settle()

        (probe,) = launcher.running()
        assert (await core.agent(probe)).task == tasks[-1]


@pytest.mark.parametrize("kind", ["limited", "auth"])
async def test_a_restart_forgets_nothing(kind: str) -> None:
    """But a login may have been mended meanwhile: that is tried at once."""
    store = await Store.open(":memory:")
    clock, launcher = FakeClock(), FakeLauncher()
    async with running_core(*MANY, store=store, clock=clock, launcher=launcher) as core:
        await prove(core)
        await add_many(core, 4)
        for agent in launcher.running():
            await refuse(core, agent, kind, retry_after_s=float(RESET))
    launcher.crash()

    async with running_core(*MANY, store=store, clock=clock, launcher=launcher) as core:
        assert len(launcher.running()) == (kind == "auth")
        await core.advance(RESET + 3)
        (probe,) = launcher.running()
        launcher.crash()
    async with running_core(*MANY, store=store, clock=clock, launcher=launcher) as core:
        assert launcher.running() == (probe,)
        await answer(core, probe)
        assert len(launcher.running()) == 2
    await store.close()


async def test_two_accounts_do_not_disturb_one_another() -> None:
    """What is behind twenty that are held is started at once."""
    async with running_core(*MANY) as core:
        await limited(core)

        tasks = await add_many(core, 3, "other")

        assert len(core.launcher.running()) == 3
        for agent in core.launcher.running():
            await finish(core, agent)
        assert {await core.status(task) for task in tasks} == {"done"}
        assert await provider(core) == ("limited", True)
        assert await provider(core, "other") == ("ok", False)


@pytest.mark.parametrize(("by", "waits_s"), [(300, 300), (-300, 600)])
async def test_when_the_clock_jumps_it_is_tried_early_rather_than_late(
    by: int, waits_s: int
) -> None:
    """A night of sleep is one for the provider, too."""
    async with running_core(*MANY) as core:
        await limited(core)

        await core.jump(by)

        await core.advance(waits_s - 1)
        assert core.launcher.running() == ()
        await core.advance(4)
        assert len(core.launcher.running()) == 1


async def test_what_a_client_writes_is_enough() -> None:
    """Its stream says that the provider would not have it: a recorded one."""
    said = (SAMPLES / "claude" / "error_429_2.1.197.jsonl").read_bytes()
    async with running_core(*MANY) as core:
        task = await core.add("t", executor="claude")
        (agent,) = core.launcher.running()
        core.launcher.write(agent, said)
        await core.exit(task, code=1)

        row = await core.task(task)
        assert (row.status, row.attempts, row.starts) == ("open", 0, 0)
        assert await core.why(task) == ["provider_limited"]
        assert await provider(core, "claude") == ("limited", True)


async def test_the_change_log_tells_it_once() -> None:
    """Of sixteen agents that were refused, one line; and one when it answers again."""
    async with running_core(*MANY) as core:
        await limited(core)
        await core.advance(RESET + 3)
        (probe,) = core.launcher.running()
        await answer(core, probe)

        told = [
            change.kind
            for change in await core.changes()
            if change.kind.startswith("account_")
        ]
        assert told == ["account_limited", "account_ok"]
