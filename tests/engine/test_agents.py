"""Live agents: what operators do to them, and what they may say themselves."""

from typing import Any

import anyio
import pytest

from tests.core import Core, running_core
from tests.fakes import FakeLauncher
from tests.invariants import Rows, dump
from workgraph.agents.process import LaunchOrder, Started
from workgraph.commands.context import Caller
from workgraph.graph import requests as r
from workgraph.graph.errors import (
    ConflictError,
    ForbiddenError,
    UsageError,
    UserError,
    WorkgraphError,
)
from workgraph.graph.loops import LoopTasks
from workgraph.graph.model import Agent, AgentStatus, Outcome, ProcessId

ME = Caller(name="me")


@pytest.mark.parametrize(
    ("request_", "status", "counted"),
    [
        (r.FinishTask(task="t"), "done", True),
        (r.FailTask(task="t", reason="x"), "failed", True),
        (r.UnclaimTask(task="t"), "open", False),
        (r.AbandonTask(task="t"), "abandoned", False),
    ],
    ids=["done", "fail", "unclaim", "abandon"],
)
async def test_an_operators_word_ends_the_agent_first(
    request_: r.AnyRequest, status: str, counted: bool
) -> None:
    """The answer comes when the process is gone and the task has moved."""
    async with running_core() as core:
        await core.add("t")
        core.engine.max_agents = 0

        reply = await core.engine.answer(request_, ME)

        assert reply.data.status == status
        assert core.launcher.stops == [(1, False)]
        assert core.launcher.running() == ()
        (agent,) = await core.agents("t")
        assert (agent.outcome, agent.counted) == (Outcome.KILLED, counted)


class WatchedLauncher(FakeLauncher):
    """A launcher that says when it is asked, and starts when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.go = anyio.Event()
        self.launching = anyio.Event()
        self.stopping = anyio.Event()

    async def launch(self, order: LaunchOrder) -> Started:
        """Starts it when the test says so."""
        self.launching.set()
        await self.go.wait()
        return await super().launch(order)

    async def stop(
        self,
        agent: int,
        folder: str,
        process: ProcessId | None,
        grace_s: float,
        force: bool,
    ) -> tuple[ProcessId, ...]:
        """Ends it, and says that it was asked to."""
        left = await super().stop(agent, folder, process, grace_s, force)
        self.stopping.set()
        return left


async def test_the_answer_waits_until_the_agent_is_gone() -> None:
    """While it does not leave, the task is its, and nothing is said."""
    launcher = WatchedLauncher()
    launcher.go.set()
    async with running_core(launcher=launcher) as core:
        task = await core.add("t")
        launcher.unmoved.add(1)

        async with anyio.create_task_group() as group:
            group.start_soon(core.do, r.AbandonTask(task=task))
            await launcher.stopping.wait()
            assert await core.status(task) == "in-progress"
            (agent,) = await core.agents(task)
            assert agent.status is AgentStatus.STOPPING

            launcher.exit(1, code=0)

        assert await core.status(task) == "abandoned"
        (agent,) = await core.agents(task)
        assert (agent.outcome, agent.exit_code) == (Outcome.KILLED, 0)


async def test_an_agent_killed_while_it_is_being_started_is_ended() -> None:
    """The order comes before there is a process: it is carried out afterwards."""
    launcher = WatchedLauncher()
    async with running_core(launcher=launcher) as core:
        await core.engine.answer(r.AddTask(title="t", exec="true"), ME)
        await launcher.launching.wait()

        async with anyio.create_task_group() as group:
            group.start_soon(core.engine.answer, r.KillAgents(all=True), ME)
            await launcher.stopping.wait()
            assert launcher.running() == ()
            launcher.go.set()

        assert launcher.running() == ()
        row = await core.task("t")
        assert (row.status, row.paused) == ("open", True)


async def test_abandon_of_a_running_task_names_who_is_released() -> None:
    """As it does for one that nobody works on."""
    async with running_core() as core:
        a = await core.add("a")
        heir = await core.add("heir")
        b = await core.add("b", after=(a,))

        reply = await core.do(r.AbandonTask(task=a, superseded_by=heir))

        assert reply.notes == (f"now wait for {heir}: {b}",)
        assert (await core.task(b)).unmet == 1
        assert reply.data.superseded_by == heir


async def test_done_by_an_operator_keeps_the_summary_and_passes_the_gates() -> None:
    """What an operator says of a running task goes the same way as the worker's."""
    async with running_core() as core:
        await core.add("t", review="human")

        reply = await core.do(r.FinishTask(task="t", summary="enough"))

        assert (reply.data.status, reply.data.summary) == ("pending-review", "enough")


@pytest.mark.parametrize(
    ("options", "status", "paused", "counted"),
    [
        ({}, "open", True, False),
        ({"requeue": True}, "open", False, False),
        ({"fail": True}, "failed", False, True),
    ],
    ids=["pause", "requeue", "fail"],
)
async def test_kill_says_what_becomes_of_the_task(
    options: dict[str, Any], status: str, paused: bool, counted: bool
) -> None:
    """Open and paused, open, or failed; the attempt counts only when it failed."""
    async with running_core() as core:
        task = await core.add("t")
        core.engine.max_agents = 0

        reply = await core.do(r.KillAgents(agent="agent-1", **options))

        (killed,) = reply.data
        assert (killed.agent, killed.task) == ("agent-1", task)
        assert (killed.status, killed.paused) == (status, paused)
        row = await core.task(task)
        assert (row.status, row.paused, row.attempts) == (status, paused, int(counted))


async def test_kill_all_spares_persons() -> None:
    """A person's claim has no process; naming it is refused."""
    async with running_core("dispatcher.max_agents=2") as core:
        mine = await core.add("mine", actor="alice")
        await core.do(r.ClaimTask(task=mine, actor="alice"))
        for name in ("a", "b"):
            await core.add(name)

        reply = await core.do(r.KillAgents(all=True))

        assert [killed.task for killed in reply.data] == ["a", "b"]
        assert await core.status(mine) == "in-progress"
        with pytest.raises(UserError, match="a person's claim"):
            await core.do(r.KillAgents(agent="agent-1"))


async def test_kill_of_what_has_ended_changes_nothing() -> None:
    """It says how the task stands."""
    async with running_core() as core:
        task = await core.add("t")
        await core.exit(task)
        before = await core.changes()

        (killed,) = (await core.do(r.KillAgents(agent="agent-1"))).data

        assert (killed.status, killed.paused) == ("done", False)
        assert await core.changes() == before


@pytest.mark.parametrize(
    "request_",
    [
        r.KillAgents(),
        r.KillAgents(agent="agent-1", all=True),
        r.KillAgents(all=True, requeue=True, fail=True),
    ],
    ids=["nobody", "both", "requeue-and-fail"],
)
async def test_kill_wants_to_be_clear(request_: r.KillAgents) -> None:
    """Contradictions are wrong usage."""
    async with running_core() as core:
        with pytest.raises(UsageError):
            await core.do(request_)


async def test_kill_force_does_not_wait_for_the_grace() -> None:
    """The order says so to the launcher."""
    async with running_core() as core:
        await core.add("t")

        await core.do(r.KillAgents(agent="agent-1", force=True))

        assert core.launcher.stops == [(1, True)]


async def test_an_agents_own_done_leaves_it_the_grace() -> None:
    """The task is done at once; the process is ended if it has not left by then."""
    async with running_core() as core:
        task = await core.add("t")
        agent = await core.agent_caller(task)

        await core.do(r.FinishTask(task=task, summary="ok"), agent)

        assert await core.status(task) == "done"
        assert core.launcher.stops == []
        core.clock.advance(9)
        await core.settle()
        assert core.launcher.stops == []
        core.clock.advance(1)
        await core.settle()
        assert core.launcher.stops == [(1, False)]
        (row,) = await core.agents(task)
        assert (row.status, row.outcome, row.signal) == (
            AgentStatus.ENDED,
            Outcome.DONE,
            15,
        )


async def test_an_agent_that_leaves_after_its_word_is_not_ended() -> None:
    """Its exit status does not matter any more."""
    async with running_core() as core:
        task = await core.add("t")
        await core.do(r.FinishTask(task=task), await core.agent_caller(task))

        core.launcher.exit(1, code=3)
        core.clock.advance(60)
        await core.settle()

        assert core.launcher.stops == []
        (row,) = await core.agents(task)
        assert (row.outcome, row.exit_code) == (Outcome.DONE, 3)
        assert await core.status(task) == "done"


async def test_no_second_agent_while_the_first_lingers() -> None:
    """The next attempt waits until the last process is gone."""
    async with running_core() as core:
        task = await core.add("t", retry_on="failure")
        agent = await core.agent_caller(task)
        await core.do(r.FailTask(task=task, reason="again"), agent)
        core.launcher.unmoved.add(1)
        core.clock.advance(20)
        await core.settle()
        assert await core.status(task) == "open"

        core.launcher.exit(1, code=0)
        await core.settle()

        assert [a.attempt for a in await core.agents(task)] == [1, 2]
        assert core.launcher.running() == (2,)


@pytest.mark.parametrize("before", [r.FinishTask(task="t"), r.SubmitTask(task="t")])
async def test_handing_in_twice_is_once(before: r.AnyRequest) -> None:
    """The second word of an agent that has handed in changes nothing."""
    async with running_core() as core:
        task = await core.add("t", review="human")
        agent = await core.agent_caller(task)
        await core.do(before, agent)
        log = await core.changes()

        await core.do(r.FinishTask(task=task), await _again(core, agent))

        assert await core.changes() == log


async def _again(core: Core, caller: Caller) -> Caller:
    """The same agent as its token is looked up anew."""
    (agent,) = await core.agents("t")
    return Caller(name=caller.name, agent=agent)


@pytest.mark.parametrize(
    "late",
    [r.FinishTask(task="t"), r.SubmitTask(task="t"), r.FailTask(task="t", reason="x")],
    ids=["done", "submit", "fail"],
)
async def test_a_verdict_on_what_is_no_longer_its_is_a_conflict(
    late: r.AnyRequest,
) -> None:
    """An agent that has failed can't then finish what is open, or another's, again."""
    async with running_core() as core:
        task = await core.add("t", retry_on="failure")
        agent = await core.agent_caller(task)
        core.launcher.unmoved.add(1)
        await core.do(r.FailTask(task=task, reason="again"), agent)
        for _ in range(2):
            before = await core.changes()

            with pytest.raises(ConflictError):
                await core.do(late, await _again_first(core))

            assert await core.changes() == before
            if await core.status(task) == "open":
                await core.do(r.ClaimTask(task=task, actor="alice", force=True))


async def _again_first(core: Core) -> Caller:
    agent = (await core.agents("t"))[0]
    return Caller(name=agent.id, agent=agent)


LATE = (
    r.FinishTask(task="t"),
    r.SubmitTask(task="t"),
    r.FailTask(task="t", reason="x"),
    r.Log(task="t", message="x"),
    r.Heartbeat(task="t"),
    r.ReportProgress(task="t", percent=1),
    r.AddTask(title="more"),
)


@pytest.mark.parametrize("late", LATE, ids=lambda request: type(request).__name__)
@pytest.mark.parametrize("is_stale", [False, True])
async def test_what_comes_after_the_end_changes_no_row(
    late: r.AnyRequest, is_stale: bool
) -> None:
    """An ended token is a conflict, also when the attempt ended a moment ago.

    `is_stale`: the token was looked up before the end, the request comes after it.
    """
    async with running_core() as core:
        task = await core.add("t")
        caller = await core.agent_caller(task)
        await core.exit(task)
        if not is_stale:
            caller = await _again(core, caller)
        before = await _dump(core)

        with pytest.raises(ConflictError):
            await core.do(late, caller)

        assert await _dump(core) == before


async def _dump(core: Core) -> Rows:
    return await core.store.read(dump, 0)


FORBIDDEN = (
    r.EditTask(task="t", title="x"),
    r.LinkTask(task="t", after="other"),
    r.UnlinkTask(task="t", after="other"),
    LoopTasks(task="other", max=2),
    r.ClaimTask(task="other"),
    r.UnclaimTask(task="t"),
    r.NextTask(claim=True),
    r.ApproveTask(task="t"),
    r.RejectTask(task="t", reason="x"),
    r.RetryTasks(task="t"),
    r.AbandonTask(task="t"),
    r.Pause(),
    r.Resume(),
    r.Pause(task="t"),
    r.KillAgents(all=True),
    r.FinishTask(task="other"),
    r.FailTask(task="other", reason="x"),
    r.Log(task="other", message="x"),
    r.ReportProgress(task="other", percent=1),
)


@pytest.mark.parametrize(
    "request_", FORBIDDEN, ids=lambda request: type(request).__name__
)
async def test_what_an_agent_may_not_do(request_: r.AnyRequest) -> None:
    """Exit 1, `forbidden`, and no row is touched, its sign of life neither."""
    async with running_core("dispatcher.max_agents=1") as core:
        task = await core.add("t")
        await core.add("other")
        agent = await core.agent_caller(task)
        core.clock.advance(1)
        before = await _dump(core)

        with pytest.raises(ForbiddenError) as raised:
            await core.do(request_, agent)

        assert (raised.value.code, raised.value.exit_code) == ("forbidden", 1)
        assert await _dump(core) == before


async def test_every_word_of_an_agent_is_a_sign_of_life() -> None:
    """A heartbeat is one that says nothing else."""
    async with running_core() as core:
        task = await core.add("t")
        agent = await core.agent_caller(task)
        core.clock.advance(5)

        await core.do(r.Heartbeat(task=task), agent)

        (row,) = await core.agents(task)
        assert row.last_activity_at == core.clock.now()


async def test_a_task_that_an_agent_adds_waits_for_its_own() -> None:
    """Unless it is independent; and it is named as its."""
    async with running_core("dispatcher.max_agents=1") as core:
        task = await core.add("t")
        agent = await core.agent_caller(task)

        for title, independent in (("behind", False), ("beside", True)):
            await core.do(r.AddTask(title=title, independent=independent), agent)

        behind, beside = await core.task("behind"), await core.task("beside")
        assert (behind.unmet, behind.added_by, behind.depth) == (1, "agent-1", 1)
        assert (beside.unmet, beside.added_by, beside.depth) == (0, "agent-1", 1)


async def test_an_agent_adds_no_more_than_it_may() -> None:
    """At most ten tasks an attempt."""
    async with running_core("dispatcher.max_agents=1") as core:
        task = await core.add("t")
        agent = await core.agent_caller(task)
        for n in range(10):
            await core.do(r.AddTask(title=f"n{n}"), agent)

        with pytest.raises(ForbiddenError, match="10 tasks"):
            await core.do(r.AddTask(title="too many"), agent)


async def test_a_token_says_who_speaks() -> None:
    """The attempt's own token is its agent; any other is a conflict; none a person."""
    async with running_core() as core:
        await core.add("t")
        token = core.launcher.orders[0].env["WG_TOKEN"]

        agent = await core.engine.caller_of(token, "me")
        person = await core.engine.caller_of(None, "me")

        assert isinstance(agent.agent, Agent)
        assert (agent.name, person) == ("agent-1", ME)
        with pytest.raises(WorkgraphError) as raised:
            await core.engine.caller_of(token + "x", "me")
        assert raised.value.exit_code == 4
