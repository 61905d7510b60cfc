"""Crash points: the daemon dies at every moment that matters, and another one comes.

The store and the launcher live on, as the file and the processes do. Nothing is written
down on the way out: the engine's tasks are cancelled where they stand.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.core import Core, running_core
from tests.fake_clock import FakeClock
from tests.fakes import FakeLauncher
from tests.invariants import check_invariants
from workgraph.agents.process import Adopted, Ended, Fate, LaunchOrder, Started
from workgraph.commands.context import Caller
from workgraph.graph import requests as r
from workgraph.graph.model import AgentStatus, Outcome, ProcessId
from workgraph.store import chats, legacy_chats
from workgraph.store.database import Store, Tx

ME = Caller(name="me")


class Dying(FakeLauncher):
    """A launcher that stops at a point, so that a daemon can be ended just there."""

    def __init__(self) -> None:
        super().__init__()
        #: `prepare`, `launch`, `started` or nothing.
        self.point = ""
        self.reached = anyio.Event()
        #: Agents that can't be looked at.
        self.unsettled: set[int] = set()

    async def settle(
        self,
        agent: int,
        folder: str,
        inode: int | None,
        process: ProcessId | None,
        running: Sequence[ProcessId] | None = None,
    ) -> Adopted | Ended:
        """Adopts what runs, or fails at it."""
        if agent in self.unsettled:
            raise PermissionError(folder)
        return await super().settle(agent, folder, inode, process, running)

    async def prepare(self, orders: Sequence[LaunchOrder]) -> dict[int, str]:
        """Makes folders, unless the daemon dies before that."""
        await self._die_at("prepare")
        return await super().prepare(orders)

    async def launch(self, order: LaunchOrder) -> Started:
        """Starts it, unless the daemon dies before that, or just after."""
        await self._die_at("launch")
        started = await super().launch(order)
        await self._die_at("started")
        return started

    async def _die_at(self, point: str) -> None:
        if self.point == point:
            self.reached.set()
            await anyio.sleep_forever()

    def crash(self) -> None:
        """The daemon dies."""
        super().crash()
        self.point = ""
        self.reached = anyio.Event()


class SlowToPrepare(FakeLauncher):
    """A launcher whose folders are made when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = anyio.Event()
        self.going = anyio.Event()

    async def prepare(self, orders: Sequence[LaunchOrder]) -> dict[int, str]:
        """Makes folders, some time."""
        self.asked.set()
        await self.going.wait()
        return await super().prepare(orders)


@dataclass
class World:
    """What outlives a daemon."""

    store: Store
    clock: FakeClock = field(default_factory=FakeClock)
    launcher: Dying = field(default_factory=Dying)

    @asynccontextmanager
    async def daemon(self, *settings: str) -> AsyncGenerator[Core]:
        """A daemon that dies without a word at the end of the block."""
        async with running_core(
            *settings, store=self.store, clock=self.clock, launcher=self.launcher
        ) as core:
            yield core
        self.launcher.crash()
        await self.store.read(check_invariants, self.clock.now())


@asynccontextmanager
async def a_world() -> AsyncGenerator[World]:
    """A store, a clock and processes."""
    store = await Store.open(":memory:")
    try:
        yield World(store)
    finally:
        await store.close()


@pytest.mark.parametrize("point", ["prepare", "launch"])
async def test_what_never_started_gives_its_claim_back(point: str) -> None:
    """After the claim's commit and before the start: no attempt is used."""
    async with a_world() as world:
        world.launcher.point = point
        async with world.daemon() as first:
            await first.engine.answer(r.AddTask(title="t", exec="true"), ME)
            await world.launcher.reached.wait()
            assert await first.status("t") == "in-progress"

        async with world.daemon() as second:
            row = await second.task("t")
            assert (row.status, row.attempts) == ("in-progress", 1)
            never, now = await second.agents("t")
            assert (never.status, never.outcome, never.counted) == (
                AgentStatus.ENDED,
                Outcome.SPAWN_FAILED,
                False,
            )
            assert (now.status, now.attempt) == (AgentStatus.WORKING, 2)
            assert [order.agent for order in world.launcher.orders] == [2]


async def test_one_search_is_made_for_all_that_never_started() -> None:
    """A daemon that was killed with many claims: the machine is searched once."""
    async with a_world() as world:
        world.launcher.point = "launch"
        async with world.daemon("dispatcher.max_agents=50") as first:
            async with anyio.create_task_group() as group:
                for n in range(50):
                    request = r.AddTask(title=f"t{n}", exec="true")
                    group.start_soon(first.engine.answer, request, ME)
            await world.launcher.reached.wait()
            await first.engine.tick()

        async with world.daemon("dispatcher.max_agents=0") as second:
            never = [a for n in range(50) for a in await second.agents(f"t{n}")]

    assert len(never) == 50
    assert {agent.outcome for agent in never} == {Outcome.SPAWN_FAILED}
    assert world.launcher.searches == [tuple(range(1, 51))]
    assert world.launcher.unsearched == set()


async def test_nothing_is_searched_where_nothing_was_left() -> None:
    """A restart with no agents."""
    async with a_world() as world:
        async with world.daemon() as first:
            await first.add("t")
            await first.exit("t")

        async with world.daemon():
            assert world.launcher.searches == []


async def test_what_started_without_being_recorded_is_adopted() -> None:
    """Between the start and the row that says so: it is the same agent, once."""
    async with a_world() as world:
        world.launcher.point = "started"
        async with world.daemon() as first:
            await first.engine.answer(r.AddTask(title="t", exec="true"), ME)
            await world.launcher.reached.wait()

        async with world.daemon() as second:
            (agent,) = await second.agents("t")
            assert (agent.status, agent.process is not None) == (
                AgentStatus.WORKING,
                True,
            )
            assert len(world.launcher.orders) == 1

            await second.exit("t")
            assert await second.status("t") == "done"


async def test_what_runs_is_adopted_and_its_end_is_known() -> None:
    """Over any number of restarts: started once, and its exit status is its own."""
    async with a_world() as world:
        async with world.daemon() as first:
            await first.add("t")
        for _ in range(3):
            async with world.daemon() as again:
                assert await again.status("t") == "in-progress"

        async with world.daemon() as last:
            await last.exit("t", 3)

            (agent,) = await last.agents("t")
            assert (agent.exit_code, agent.outcome) == (3, Outcome.FAILED)
        assert len(world.launcher.orders) == 1


@pytest.mark.parametrize(
    ("ended", "status", "outcome"),
    [
        (Ended(agent=1, fate=Fate.EXITED, exit_code=0), "done", Outcome.DONE),
        (Ended(agent=1, fate=Fate.EXITED, exit_code=3), "failed", Outcome.FAILED),
        (Ended(agent=1, fate=Fate.SIGNALED, signal=9), "open", Outcome.CRASHED),
        (Ended(agent=1, fate=Fate.SIGNALED), "open", Outcome.CRASHED),
        (Ended(agent=1, fate=Fate.LOST), "open", Outcome.LOST),
    ],
    ids=["exit-0", "exit-3", "signal", "some-signal", "lost"],
)
async def test_what_ended_meanwhile_is_recorded(
    ended: Ended, status: str, outcome: Outcome
) -> None:
    """As it was, whoever saw it; the attempt counts once."""
    async with a_world() as world:
        async with world.daemon() as first:
            await first.add("t")
        world.launcher.end(ended)

        async with world.daemon() as second:
            row = await second.task("t")
            assert (row.status, row.attempts) == (status, 1)
            (agent,) = await second.agents("t")
            assert (agent.outcome, agent.exit_code, agent.signal) == (
                outcome,
                ended.exit_code,
                ended.signal,
            )


async def test_an_end_before_the_timeout_is_no_timeout() -> None:
    """A long absence of the daemon does not turn a success into a time-out."""
    async with a_world() as world:
        async with world.daemon() as first:
            await first.add("t", timeout="1h", abandon_after="1h")
        world.clock.advance(600)
        world.launcher.exit(1, code=0)
        world.clock.advance(86400)

        async with world.daemon() as second:
            assert await second.status("t") == "done"
            (agent,) = await second.agents("t")
            assert agent.outcome is Outcome.DONE
            assert world.launcher.stops == []


async def test_a_timeout_during_the_absence_is_acted_upon() -> None:
    """What still runs past its limit is ended by the next daemon."""
    async with a_world() as world:
        async with world.daemon() as first:
            await first.add("t", timeout="1h")
        world.clock.advance(3601)

        async with world.daemon() as second:
            (agent,) = await second.agents("t")
            assert (agent.outcome, agent.signal) == (Outcome.TIMED_OUT, 15)
            assert await second.status("t") == "open"


async def test_a_removed_folder_of_a_started_agent_is_a_loss() -> None:
    """It is not taken for one that never started."""
    async with a_world() as world:
        async with world.daemon() as first:
            await first.add("t")
        world.launcher.forget(1)

        async with world.daemon() as second:
            (agent,) = await second.agents("t")
            assert (agent.outcome, agent.counted) == (Outcome.LOST, True)
            assert await second.why("t") == ["backoff"]


async def test_an_order_to_stop_is_carried_out_by_the_next_daemon() -> None:
    """The daemon dies while the agent is being ended; what was asked for holds."""
    async with a_world() as world:
        async with world.daemon() as first:
            await first.add("t")
            world.launcher.unmoved.add(1)
            async with anyio.create_task_group() as group:
                request = r.AbandonTask(task="t", reason="no need")
                group.start_soon(first.engine.answer, request, ME)
                while not world.launcher.stops:
                    await checkpoint()
                group.cancel_scope.cancel()
        world.launcher.unmoved.clear()

        async with world.daemon() as second:
            row = await second.task("t")
            assert (row.status, row.attempts) == ("abandoned", 0)
            assert world.launcher.running() == ()


async def test_a_stopping_agent_that_left_meanwhile_is_settled_as_ordered() -> None:
    """Its end came while nobody looked."""
    async with a_world() as world:
        async with world.daemon() as first:
            await first.add("t")
            world.launcher.unmoved.add(1)
            async with anyio.create_task_group() as group:
                group.start_soon(first.engine.answer, r.KillAgents(all=True), ME)
                while not world.launcher.stops:
                    await checkpoint()
                group.cancel_scope.cancel()
        world.launcher.exit(1, code=0)

        async with world.daemon() as second:
            row = await second.task("t")
            assert (row.status, row.paused) == ("open", True)
            (agent,) = await second.agents("t")
            assert (agent.outcome, agent.exit_code) == (Outcome.KILLED, 0)


async def test_a_lingering_agent_is_ended_by_the_next_daemon() -> None:
    """It has said `done`, and its grace ends under another daemon."""
    async with a_world() as world:
        async with world.daemon() as first:
            await first.add("t")
            await first.do(r.FinishTask(task="t"), await first.agent_caller("t"))
        world.clock.advance(11)

        async with world.daemon() as second:
            assert await second.status("t") == "done"
            (agent,) = await second.agents("t")
            assert (agent.outcome, agent.signal) == (Outcome.DONE, 15)


async def test_a_persons_claim_outlives_every_daemon() -> None:
    """There is no process to look for."""
    async with a_world() as world:
        async with world.daemon("dispatcher.max_agents=0") as first:
            await first.add("t")
            await first.do(r.ClaimTask(task="t", actor="alice"))

        async with world.daemon() as second:
            assert await second.status("t") == "in-progress"
            assert world.launcher.orders == []


async def test_one_bad_row_does_not_stop_the_others() -> None:
    """An agent that can't be settled is left, and the rest is."""
    async with a_world() as world:
        async with world.daemon() as first:
            await first.add("a")
            await first.add("b")
        world.launcher.exit(1, code=0)
        world.launcher.exit(2, code=0)
        world.launcher.unsettled.add(1)

        async with world.daemon() as second:
            assert await second.status("a") == "in-progress"
            assert await second.status("b") == "done"


async def test_ready_work_at_the_start_is_started_once() -> None:
    """What the first tick starts is not taken for what an earlier daemon left."""
    async with a_world() as world:
        async with world.daemon("dispatcher.max_agents=0") as first:
            for n in range(3):
                await first.add(f"t{n}")

        async with world.daemon() as second:
            assert world.launcher.running() == (1, 2, 3)
            for n in range(3):
                (agent,) = await second.agents(f"t{n}")
                assert agent.status is AgentStatus.WORKING


async def test_a_gate_that_was_running_is_run_again() -> None:
    """Its verdict was not written down, so it has none."""
    async with a_world() as world:
        async with world.daemon() as first:
            await first.add("t", output=("/dev/null",))
            world.launcher.exit(1, code=0)
            while await first.status("t") == "in-progress":
                await first.engine.tick()

        async with world.daemon() as second:
            await second.settle()
            assert await second.status("t") == "done"


async def test_misconfigured_tasks_are_looked_at_again_at_the_start() -> None:
    """The machine may have changed."""
    async with a_world() as world:
        async with world.daemon() as first:
            await first.add("t", executor="mine")
            assert await first.why("t") == ["misconfigured"]

        setting = 'executors.mine.argv=["mine"]'
        async with world.daemon(setting) as second:
            assert await second.status("t") == "in-progress"


async def test_what_is_on_its_way_at_an_orderly_end_is_left_to_the_next() -> None:
    """Folders that are ready when the engine ends are not used any more."""
    launcher = SlowToPrepare()
    async with running_core(launcher=launcher) as core:
        await core.engine.answer(r.AddTask(title="t", exec="true"), ME)
        await launcher.asked.wait()

        await core.engine.flush()
        launcher.going.set()
        await anyio.wait_all_tasks_blocked()

        assert launcher.running() == ()
        assert [one.status for one in await core.agents("t")] == [AgentStatus.STARTING]


async def test_a_coordinator_that_is_at_work_becomes_a_chat() -> None:
    """Its attempt is ended, and counts for nothing; a second start changes nothing."""
    async with a_world() as world:
        async with world.daemon() as first:
            await first.add("t")
            await first.add("then", after=("t",))
            assert world.launcher.running() == (1,)

        def rename(tx: Tx) -> None:
            tx.run(legacy_chats.DEFER)
            for table, column in legacy_chats.COLUMNS:
                sql = f"update {table} set {column} = ? where {column} = ?"
                tx.run(sql, (".coordinator-4", "t"))

        await world.store.transaction(rename, world.clock.now())

        async with world.daemon() as second:
            row = await second.task(".chat-4")
            assert (row.status, row.claimed_by) == ("open", None)
            assert world.launcher.running() == ()
            (chat,) = await world.store.read(chats.list_chats, world.clock.now())
            assert (chat.number, chat.handler, chat.failures) == (4, None, 0)
            count = len(world.launcher.orders)
        async with world.daemon() as third:
            await third.settle()
            assert len(world.launcher.orders) == count
            assert (await third.task("then")).status == "open"
            (again,) = await world.store.read(chats.list_chats, world.clock.now())
            assert again == chat
