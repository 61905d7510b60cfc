"""What could not be ended: named, waited for, looked at again, ended by force."""

from collections.abc import Sequence

import anyio
import pytest

from tests.core import Core, running_core
from tests.fake_clock import FakeClock
from tests.fakes import FakeLauncher
from workgraph.agents.kill import LIMIT_S
from workgraph.agents.plan import Flags, PlanError
from workgraph.agents.process import SweepTarget
from workgraph.daemon import launching
from workgraph.graph import requests as r
from workgraph.graph.model import ProcessId
from workgraph.store import reads
from workgraph.store.database import Store, Tx

LEFT = ProcessId(pid=4711, boot_id="fake", start_ticks=9)
OTHER = ProcessId(pid=4712, boot_id="fake", start_ticks=9)


async def a_leftover(core: Core, *, requeue: bool = False) -> str:
    """A task whose first agent was killed and left something behind."""
    task = await core.add("t")
    core.launcher.leftovers[1] = (LEFT,)
    await core.do(r.KillAgents(agent="agent-1", requeue=requeue))
    return task


async def kinds(core: Core) -> list[str]:
    """The kinds of changes that tell of leftovers."""
    changes = await core.changes()
    return [c.kind for c in changes if c.kind.startswith("leftover")]


async def test_what_could_not_be_ended_is_named() -> None:
    """Leftover processes are on the agent, and `why` names them with the remedy."""
    async with running_core() as core:
        task = await a_leftover(core)

        (agent,) = await core.agents(task)
        assert agent.leftover == (LEFT,)
        assert set(await core.why(task)) == {"paused", "leftover"}
        reply = await core.do(r.ExplainTask(task=task))
        [left] = [one for one in reply.data.reasons if one.code == "leftover"]
        assert "4711" in left.message
        assert left.remedy == "wg kill agent-1 --force"
        assert await kinds(core) == ["leftover_found"]


async def test_the_next_attempt_waits_for_what_shares_its_workspace() -> None:
    """It would find its files changed by somebody unseen (DESIGN §7)."""
    async with running_core() as core:
        task = await a_leftover(core, requeue=True)

        def start(tx: Tx) -> None:
            launching.launch(tx, reads.task(tx, task), None, Flags(), core.engine.host)

        assert await core.status(task) == "open"
        assert await core.why(task) == ["leftover"]
        assert len(await core.agents(task)) == 1
        with pytest.raises(PlanError, match="4711") as refused:
            await core.store.transaction(start, core.clock.now())
        assert refused.value.code == "leftover"


async def test_the_next_attempt_elsewhere_does_not_wait() -> None:
    """What is left works in another folder."""
    async with running_core() as core:
        task = await a_leftover(core, requeue=True)

        await core.do(r.EditTask(task=task, working_dir="elsewhere"))

        assert await core.status(task) == "in-progress"
        assert len(await core.agents(task)) == 2


async def test_leftovers_hold_back_nobody_else() -> None:
    """Not the slots, nor the tasks of others, though they share the folder."""
    async with running_core("dispatcher.max_agents=1") as core:
        await a_leftover(core, requeue=True)

        other = await core.add("u")

        assert await core.status(other) == "in-progress"


async def test_leftovers_that_go_by_themselves_are_noticed() -> None:
    """By an alarm that is set while there are any, at growing gaps."""
    async with running_core() as core:
        task = await a_leftover(core, requeue=True)
        gaps = []
        for _ in range(4):
            moment = await core.next_moment()
            assert moment is not None
            gaps.append((moment - core.clock.now()) // 1_000_000)
            await _advance(core, gaps[-1])
        assert (await core.agents(task))[0].leftover == (LEFT,)
        core.launcher.leftovers.clear()

        await _advance(core, 40)

        first, second = await core.agents(task)
        assert first.leftover == ()
        assert second.ended_at is None
        assert gaps == [5, 5, 10, 20]
        assert await kinds(core) == ["leftover_found", "leftover_gone"]


async def _advance(core: Core, seconds: float) -> None:
    clock = core.clock
    assert isinstance(clock, FakeClock)
    clock.advance(seconds)
    await anyio.wait_all_tasks_blocked()
    await core.settle()


async def test_without_leftovers_nothing_is_looked_at() -> None:
    """No alarm, no search but the one at the end."""
    async with running_core() as core:
        await core.exit(await core.add("t"))

        assert await core.next_moment() is None
        assert core.launcher.swept == [1]


async def test_some_that_are_gone_are_named_no_more() -> None:
    """The list is what is left now."""
    async with running_core() as core:
        task = await core.add("t")
        core.launcher.leftovers[1] = (LEFT, OTHER)
        await core.do(r.KillAgents(agent="agent-1"))
        core.launcher.leftovers[1] = (OTHER,)

        await _advance(core, 5)

        assert (await core.agents(task))[0].leftover == (OTHER,)


async def test_kill_force_ends_what_an_ended_agent_left() -> None:
    """Answered when it is gone; without --force nothing is done to ended agents."""
    async with running_core() as core:
        task = await a_leftover(core)
        await core.do(r.KillAgents(agent="agent-1"))
        assert (await core.agents(task))[0].leftover == (LEFT,)
        core.launcher.leftovers.clear()

        reply = await core.do(r.KillAgents(agent="agent-1", force=True))

        assert reply.data[0].leftover == ()
        assert (await core.agents(task))[0].leftover == ()
        assert await core.why(task) == ["paused"]


async def test_kill_all_force_means_leftovers_too() -> None:
    """And says what still could not be ended."""
    async with running_core() as core:
        await a_leftover(core)
        await core.add("u")

        reply = await core.do(r.KillAgents(all=True, force=True))

        assert {(one.agent, one.leftover) for one in reply.data} == {
            ("agent-1", (4711,)),
            ("agent-2", ()),
        }


class Noting(FakeLauncher):
    """Notes by what it is to find what is left."""

    def __init__(self) -> None:
        super().__init__()
        self.known: list[tuple[ProcessId, ...]] = []

    async def sweep(
        self, agents: Sequence[SweepTarget], limit_s: float = LIMIT_S
    ) -> dict[int, tuple[ProcessId, ...]]:
        """Notes the targets."""
        self.known.extend(target.known for target in agents)
        return await super().sweep(agents, limit_s)


async def test_a_restart_still_knows_what_is_left() -> None:
    """By number and start time, whatever else could tell it."""
    store, clock, launcher = await Store.open(":memory:"), FakeClock(), Noting()
    async with running_core(store=store, clock=clock, launcher=launcher) as core:
        await a_leftover(core)
    launcher.crash()
    launcher.known.clear()

    async with running_core(store=store, clock=clock, launcher=launcher) as core:
        await _advance(core, 5)

        assert launcher.known == [(LEFT,)]
    await store.close()


async def test_strays_of_ended_agents_are_ended_at_the_start() -> None:
    """A daemon that was killed may not have come to its search."""
    store, clock, launcher = await Store.open(":memory:"), FakeClock(), FakeLauncher()
    async with running_core(store=store, clock=clock, launcher=launcher) as core:
        await core.exit(await core.add("t"))
        await core.add("u")
    launcher.crash()
    launcher.swept.clear()
    launcher.strays = {1, 77}

    async with running_core(store=store, clock=clock, launcher=launcher) as core:
        assert launcher.swept == [1]
        assert await core.status("u") == "in-progress"
    await store.close()
