"""Waits through the engine: each wakes once, over restarts too; hopeless ones don't."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from msgspec import structs

from tests.core import OPERATOR, Core, plan_host, running_core
from tests.fake_clock import FakeClock
from tests.fakes import FakeLauncher
from workgraph.commands.context import Caller
from workgraph.graph import requests as r
from workgraph.graph.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UsageError,
    UserError,
)
from workgraph.graph.model import Outcome
from workgraph.graph.replies import WaitData
from workgraph.graph.times import to_rfc3339
from workgraph.graph.waits import Wait
from workgraph.store import messages, waits
from workgraph.store.database import Store, Tx

IDLE = "dispatcher.max_agents=0"


@asynccontextmanager
async def a_worker(*settings: str) -> AsyncGenerator[tuple[Core, Caller]]:
    """The task `t`, with an agent that works on it, and a second one that is idle."""
    async with running_core(*(settings or ("dispatcher.max_agents=1",))) as core:
        await core.add("t", executor="claude")
        yield core, await core.agent_caller("t")


async def wait_of(core: Core, task: str) -> Wait:
    """The row of a wait."""
    wait = await core.store.read(lambda tx: waits.find(tx, task), 0)
    assert wait is not None
    return wait


async def say(core: Core, task: str, text: str) -> None:
    """Writes a message as `wg msg` does."""

    def insert(tx: Tx) -> None:
        messages.send(tx, task, text, by="me")

    await core.store.transaction(insert, core.clock.now())
    core.engine.wake()
    await core.settle()


async def wakes(core: Core, task: str) -> int:
    """How often a task was woken."""
    return sum(c.task == task and c.verb == "wake" for c in await core.changes())


async def until_woken(core: Core, task: str) -> None:
    """Returns when a task does not wait any more: what is seen is not ours to time."""
    with anyio.fail_after(30):
        while True:
            ticked = core.engine.ticked
            if await core.status(task) != "waiting":
                break
            await ticked.wait()
    await core.settle()


async def test_a_wait_frees_the_slot_and_uses_no_attempt() -> None:
    """The agent leaves, its attempt is not counted, and another task gets the slot."""
    async with a_worker() as (core, agent):
        await core.add("other")

        reply = await core.do(r.WaitTask(task="t", until="message"), agent)

        assert reply.data.status == "waiting"
        assert await core.why("t") == ["waiting_for"]
        core.launcher.exit(1, code=0)
        await core.settle()
        (attempt,) = await core.agents("t")
        assert (attempt.outcome, attempt.counted) == (Outcome.WAITING, False)
        row = await core.task("t")
        assert (row.status, row.attempts, row.starts) == ("waiting", 0, 1)
        assert await core.status("other") == "in-progress"


async def test_an_agent_that_stays_is_ended_after_the_grace() -> None:
    """As after `wg done`; its outcome is still that it waits."""
    async with a_worker() as (core, agent):
        await core.do(r.WaitTask(task="t", until="message"), agent)
        assert core.launcher.stops == []

        await core.advance(11)

        assert core.launcher.stops == [(1, False)]
        (attempt,) = await core.agents("t")
        assert attempt.outcome is Outcome.WAITING
        assert await core.status("t") == "waiting"


async def test_a_timer_wakes_at_its_moment() -> None:
    """The engine wakes for it by its one alarm, and the task is started again."""
    async with a_worker() as (core, agent):
        await core.do(r.WaitTask(task="t", until="timer:5m"), agent)
        core.launcher.exit(1, code=0)
        await core.settle()
        due = core.clock.now() + 300_000_000
        assert await core.next_moment() == due

        await core.advance(299)
        assert await core.status("t") == "waiting"
        await core.advance(1)

        assert await core.status("t") == "in-progress"
        wait = await wait_of(core, "t")
        assert wait.woken_at == due
        assert "has come" in (wait.reason or "")
        await core.advance(600)
        assert await wakes(core, "t") == 1


async def test_a_message_wakes_and_what_it_says_itself_does_not() -> None:
    """Words of somebody else, written since it waits."""
    async with a_worker() as (core, agent):
        await say(core, "t", "it has this in its prompt")
        await core.advance(1)
        await core.do(r.Log(task="t", message="its own"), agent)
        reply = await core.do(r.WaitTask(task="t", until="message"), agent)
        assert reply.data.status == "waiting"
        core.launcher.exit(1, code=0)
        await core.advance(1)
        assert await core.status("t") == "waiting"

        await say(core, "t", "go on")

        assert await core.status("t") == "in-progress"
        assert (await wait_of(core, "t")).reason == "a message of me has come"
        await say(core, "t", "more")
        assert await wakes(core, "t") == 1


async def test_what_it_has_not_read_is_there_already() -> None:
    """A message that came after its start, before it said that it waits."""
    async with a_worker() as (core, agent):
        await core.advance(1)
        await say(core, "t", "look at that first")
        await core.advance(1)

        reply = await core.do(r.WaitTask(task="t", until="message"), agent)

        assert reply.data.status == "in-progress"
        assert "met already" in reply.notes[0]


async def test_a_file_wakes_when_it_is_there(tmp_path: Path) -> None:
    """Its folder is not there yet, is moved away, and is made anew."""
    host = plan_host(project_dir=str(tmp_path))
    async with running_core(IDLE, host=host) as core:
        await core.add("t", executor="claude")
        await core.do(r.ClaimTask(task="t", actor="ann"))

        await core.do(r.WaitTask(task="t", until="file:out/deep/answer,timer:1h"))
        (tmp_path / "out").mkdir()
        (tmp_path / "out").rename(tmp_path / "old")
        (tmp_path / "out/deep").mkdir(parents=True)
        (tmp_path / "out/deep/answer").mkdir()
        await until_met(core, "t", 1)
        await core.advance(3600)

        assert await core.status("t") == "open"
        wait = await wait_of(core, "t")
        assert f"{tmp_path}/out/deep/answer is there" in (wait.reason or "")
        assert core.engine.effects.paths.wanted == frozenset()


async def until_met(core: Core, task: str, count: int) -> None:
    """Returns when so many terms of a wait are met."""
    with anyio.fail_after(30):
        while True:
            ticked = core.engine.ticked
            terms = (await wait_of(core, task)).terms
            if sum(term.met_at is not None for term in terms) >= count:
                break
            await ticked.wait()


async def test_a_file_that_came_while_the_daemon_was_away(tmp_path: Path) -> None:
    """A daemon that starts looks at once."""
    store = await Store.open(":memory:")
    host = plan_host(project_dir=str(tmp_path))
    try:
        async with running_core(IDLE, host=host, store=store) as core:
            await core.add("t", executor="claude")
            await core.do(r.ClaimTask(task="t", actor="ann"))
            await core.do(r.WaitTask(task="t", until="file:answer"))
        (tmp_path / "answer").touch()

        async with running_core(IDLE, host=host, store=store) as core:
            await until_woken(core, "t")

            assert await core.status("t") == "open"
            assert await wakes(core, "t") == 1
    finally:
        await store.close()


@pytest.mark.parametrize(
    ("until", "end"),
    [
        ("task:x=done", r.FinishTask(task="x")),
        ("task:x=done", r.AbandonTask(task="x")),
        ("task:x=settled", r.FailTask(task="x", reason="no")),
        ("task:x=failed", r.FailTask(task="x", reason="no")),
        ("task:x=abandoned", r.AbandonTask(task="x")),
    ],
)
async def test_a_task_wakes_who_waits_for_it(until: str, end: r.AnyRequest) -> None:
    """By the status that is waited for; `done` as edges have it."""
    async with running_core(IDLE) as core:
        for name in ("t", "x"):
            await core.add(name, executor="claude")
            await core.do(r.ClaimTask(task=name, actor="ann"))
        await core.do(r.WaitTask(task="t", until=until))

        await core.do(end)

        row = await core.task("t")
        assert (row.status, row.reserved_for) == ("open", "ann")
        assert await wakes(core, "t") == 1


async def test_a_failed_task_keeps_waiting_whoever_wants_it_done() -> None:
    """`wg why` says so with the remedies; a retry makes it possible again."""
    async with running_core(IDLE) as core:
        for name in ("t", "x"):
            await core.add(name, executor="claude")
            await core.do(r.ClaimTask(task=name, actor="ann"))
        await core.do(r.WaitTask(task="t", until="task:x=done"))

        await core.do(r.FailTask(task="x", reason="no"))

        assert await core.status("t") == "waiting"
        (reason,) = (await core.do(r.ExplainTask(task="t"))).data.reasons
        assert "failed already" in reason.message
        assert "wg retry x" in reason.remedy
        await core.do(r.RetryTasks(task="x"))
        await core.do(r.FinishTask(task="x"))
        assert await core.status("t") == "open"


async def test_all_terms_have_to_be_met_at_the_same_time() -> None:
    """What was done and is open again does not count."""
    async with running_core(IDLE) as core:
        for name in ("t", "x", "y"):
            await core.add(name, executor="claude")
            await core.do(r.ClaimTask(task=name, actor="ann"))
        await core.do(r.WaitTask(task="t", until="task:x=done,task:y=done"))
        await core.do(r.FinishTask(task="x"))
        assert await core.why("t") == ["waiting_for"] * 3
        await core.do(r.RetryTasks(task="x"))
        await core.do(r.FinishTask(task="y"))
        assert await core.status("t") == "waiting"

        await core.do(r.FinishTask(task="x"))

        assert await core.status("t") == "open"
        assert (await wait_of(core, "t")).reason == "x is done; y is done"


async def test_any_branch_is_enough() -> None:
    """The first one that is met; what was not met is forgotten."""
    async with running_core(IDLE) as core:
        await core.add("t", executor="claude")
        await core.do(r.ClaimTask(task="t", actor="ann"))
        await core.do(r.WaitTask(task="t", until="message,timer:1m|timer:2m"))

        await core.advance(60)
        assert await core.status("t") == "waiting"
        await core.advance(60)

        assert await core.status("t") == "open"
        kinds = [term.kind for term in (await wait_of(core, "t")).terms]
        assert kinds == ["timer", "timer"]


async def test_circles_are_refused() -> None:
    """A waits for B and B for A; also by way of edges and of what others wait for."""
    async with running_core(IDLE) as core:
        for name in ("a", "b", "c", "d"):
            await core.add(name, executor="claude")
            await core.do(r.ClaimTask(task=name, actor="ann"))
        await core.add("after-a", after=("a",))
        await core.do(r.WaitTask(task="a", until="task:b=done"))
        await core.do(r.WaitTask(task="c", until="task:a=settled,timer:1h"))

        for until in ("task:a=done", "task:c=done", "task:after-a=done", "task:b=done"):
            with pytest.raises(UserError, match=r"which waits for it|for itself"):
                await core.do(r.WaitTask(task="b", until=until))
        with pytest.raises(UserError, match="b -> a -> b"):
            await core.do(r.WaitTask(task="b", until="task:a=done|task:c=done"))
        with pytest.raises(UserError, match="which waits for it"):
            await core.do(r.LinkTask(task="b", after="a"))

        reply = await core.do(r.WaitTask(task="b", until="task:a=done|timer:1m"))

        assert reply.data.status == "waiting"
        assert "which waits for it" in reply.notes[0]
        reply = await core.do(r.WaitTask(task="d", until="task:a=done"))
        assert reply.data.status == "waiting", "b has another way out"


async def test_an_agent_can_wait_for_what_it_adds_if_that_is_independent() -> None:
    """What waits for it by an edge is refused with the remedy."""
    async with a_worker() as (core, agent):
        await core.do(r.AddTask(title="bound", exec="true"), agent)
        await core.do(r.AddTask(title="free", exec="true", independent=True), agent)

        with pytest.raises(UserError, match="t -> bound -> t") as refused:
            await core.do(r.WaitTask(task="t", until="task:bound=done"), agent)
        assert "--independent" in refused.value.hint
        await core.do(r.WaitTask(task="t", until="task:free=done"), agent)
        core.launcher.exit(1, code=0)
        await core.settle()
        await core.exit("free")

        assert await core.status("t") == "in-progress"
        assert (await core.task("t")).attempts == 1


async def test_an_agent_that_ends_wakes_who_waits_for_its_task() -> None:
    """In the tick after its end, without anything else having to happen."""
    async with running_core("dispatcher.max_agents=2") as core:
        await core.add("t", executor="claude")
        agent = await core.agent_caller("t")
        await core.add("x")
        await core.do(r.WaitTask(task="t", until="task:x=done"), agent)
        core.launcher.exit(1, code=0)
        await core.settle()

        core.launcher.exit(2, code=0)
        await until_woken(core, "t")


async def test_what_can_not_happen_is_refused() -> None:
    """A task that is not there, or has settled otherwise; words that mean nothing."""
    async with running_core(IDLE) as core:
        await core.add("t", executor="claude")
        await core.add("gone")
        await core.do(r.AbandonTask(task="gone"))
        with pytest.raises(UserError, match="only what is in progress"):
            await core.do(r.WaitTask(task="t", until="message"))
        await core.do(r.ClaimTask(task="t", actor="ann"))

        with pytest.raises(NotFoundError):
            await core.do(r.WaitTask(task="t", until="task:nobody=done"))
        with pytest.raises(UserError, match="gone is abandoned already"):
            await core.do(r.WaitTask(task="t", until="task:gone=failed"))
        with pytest.raises(UsageError) as misread:
            await core.do(r.WaitTask(task="t", until="task:gone"))

        assert "task:ID=done" in misread.value.hint
        reply = await core.do(r.WaitTask(task="t", until="task:gone=done"))
        assert reply.data.status == "in-progress"
        assert "met already: gone is abandoned" in reply.notes[0]
        reply = await core.do(r.WaitTask(task="t", until="timer:2001-01-01T00:00:00Z"))
        assert reply.data.status == "in-progress"


async def test_an_agent_in_a_sandbox_waits_for_files_in_its_workspace_alone(
    tmp_path: Path,
) -> None:
    """Links in the path are followed."""
    (tmp_path / "p").mkdir()
    (tmp_path / "p/out").symlink_to("..")
    host = plan_host(project_dir=str(tmp_path / "p"))
    async with running_core("dispatcher.max_agents=1", host=host) as core:
        await core.add("t", executor="claude")
        outside = await core.agent_caller("t")
        assert outside.agent is not None
        inside = structs.replace(
            outside, agent=structs.replace(outside.agent, sandbox="bwrap")
        )

        for path in ("/etc/passwd", "../x", "out/x"):
            with pytest.raises(ForbiddenError, match="outside its workspace"):
                await core.do(r.WaitTask(task="t", until=f"file:{path}"), inside)
        await core.do(r.WaitTask(task="t", until="file:sub/x"), inside)

        assert await core.status("t") == "waiting"


async def test_to_say_it_twice_is_to_say_it_once() -> None:
    """By the agent that waits; its verdict comes too late then."""
    async with a_worker() as (core, agent):
        await core.do(r.WaitTask(task="t", until="message"), agent)

        reply = await core.do(r.WaitTask(task="t", until="message"), agent)

        assert reply.data.status == "waiting"
        with pytest.raises(UserError, match="waits already"):
            await core.do(r.WaitTask(task="t", until="timer:1h"), agent)
        with pytest.raises(ConflictError):
            await core.do(r.FinishTask(task="t"), agent)


async def test_an_operator_ends_an_agent_that_is_to_wait() -> None:
    """The answer comes when the agent is gone."""
    async with a_worker() as (core, _):
        reply = await core.do(r.WaitTask(task="t", until="message"))

        assert reply.data.status == "waiting"
        assert core.launcher.stops == [(1, False)]
        (attempt,) = await core.agents("t")
        assert (attempt.outcome, attempt.counted) == (Outcome.WAITING, False)


async def test_an_operator_ends_a_wait() -> None:
    """By `resume`, after the pause that may lie over it; or by abandoning the task."""
    async with running_core(IDLE) as core:
        for name in ("t", "u"):
            await core.add(name, executor="claude")
            await core.do(r.ClaimTask(task=name, actor="ann"))
            await core.do(r.WaitTask(task=name, until="timer:1h|message"))
        await core.do(r.Pause(task="t"))
        await core.do(r.Resume(task="t"))
        assert await core.status("t") == "waiting"

        await core.do(r.Resume(task="t"))
        await core.do(r.AbandonTask(task="u"))

        row = await core.task("t")
        assert (row.status, row.reserved_for) == ("open", "ann")
        assert (await wait_of(core, "t")).reason == "resumed by me"
        assert (await wait_of(core, "u")).reason == "it was abandoned by me"
        assert await core.next_moment() is None


async def test_a_question_waits_for_its_answer() -> None:
    """Not for a message; the answer wakes it, and there is one question at a time."""
    async with a_worker() as (core, agent):
        with pytest.raises(UserError, match="no open question"):
            await core.do(r.AnswerQuestion(task="t", text="what?"))
        await core.do(r.AskQuestion(task="t", question="red or blue?"), agent)
        core.launcher.exit(1, code=0)
        await core.settle()
        (reason,) = (await core.do(r.ExplainTask(task="t"))).data.reasons
        assert "red or blue?" in reason.message
        assert "wg answer t" in reason.remedy
        await say(core, "t", "hm")
        assert await core.status("t") == "waiting"

        await core.do(r.AnswerQuestion(task="t", text="blue"))

        assert await core.status("t") == "in-progress"
        assert (await wait_of(core, "t")).reason == "me has answered"
        with pytest.raises(UserError, match="no open question"):
            await core.do(r.AnswerQuestion(task="t", text="red"))


async def test_who_waits_for_what_is_superseded_waits_for_its_successor() -> None:
    """As those do that have an edge; not where that would be a circle."""
    async with running_core(IDLE) as core:
        for name in ("t", "x", "y"):
            await core.add(name, executor="claude")
            await core.do(r.ClaimTask(task=name, actor="ann"))
        await core.do(r.WaitTask(task="t", until="task:x=done"))

        await core.do(r.AbandonTask(task="x", superseded_by="y"))

        assert await core.status("t") == "waiting"
        await core.do(r.FinishTask(task="y"))
        assert await core.status("t") == "open"


async def test_waits_that_are_soon_over_are_slowed_down() -> None:
    """Three in a row are free; what goes on and on is started ever more rarely."""
    async with a_worker() as (core, _):
        began = core.clock.now()
        starts = 0
        while starts < 8:
            with anyio.fail_after(30):
                while await core.status("t") != "in-progress":
                    await core.advance(0.5)
            starts += 1
            agent = await core.agent_caller("t")
            await core.do(r.WaitTask(task="t", until="timer:1s"), agent)
            core.launcher.exit(agent.agent.number if agent.agent else 0, code=0)
            await core.settle()

        passed = (core.clock.now() - began) / 1e6
        assert passed > 10 + 20 + 40, passed
        assert (await core.task("t")).attempts == 0


@pytest.mark.parametrize("until", ["timer:1m", "message", "task:x=done"])
async def test_a_wait_lasts_over_restarts_and_wakes_once(until: str) -> None:
    """Whether the moment comes before or after: a killed daemon forgets none."""
    store, clock, launcher = await Store.open(":memory:"), FakeClock(), FakeLauncher()
    try:
        async with running_core(
            "dispatcher.max_agents=1", store=store, clock=clock, launcher=launcher
        ) as core:
            await core.add("t", executor="claude")
            agent = await core.agent_caller("t")
            await core.add("x", executor="claude", paused=True)
            await core.do(r.WaitTask(task="t", until=until), agent)
        launcher.crash()
        launcher.exit(1, code=0)
        async with running_core(
            IDLE, store=store, clock=clock, launcher=launcher
        ) as core:
            assert await core.status("t") == "waiting"
            if until == "message":
                await say(core, "t", "go on")
            await core.do(r.ClaimTask(task="x", actor="ann", force=True))
            await core.do(r.FinishTask(task="x"))
            await core.advance(60)
            assert await core.status("t") == "open"
        launcher.crash()

        async with running_core(
            "dispatcher.max_agents=1", store=store, clock=clock, launcher=launcher
        ) as core:
            assert await core.status("t") == "in-progress"
            assert await wakes(core, "t") == 1
            assert len(await core.agents("t")) == 2
    finally:
        await store.close()


async def test_idle_is_what_only_a_person_can_wake() -> None:
    """`wg run --until-idle` waits for timers, not for messages."""
    async with running_core("dispatcher.max_agents=1") as core:
        for name, until in (("t", "message"), ("u", "timer:1m,message")):
            await core.add(name, executor="claude")
            agent = await core.agent_caller(name)
            await core.do(r.WaitTask(task=name, until=until), agent)
            core.launcher.exit(await number_of(core, name), code=0)
            await core.settle()
        assert await is_idle(core)

        await core.add("v", executor="claude")
        agent = await core.agent_caller("v")
        await core.do(r.WaitTask(task="v", until="timer:1m"), agent)
        core.launcher.exit(await number_of(core, "v"), code=0)
        await core.settle()

        assert not await is_idle(core)


async def number_of(core: Core, task: str) -> int:
    """The number of a task's last agent."""
    return (await core.agents(task))[-1].number


async def is_idle(core: Core) -> bool:
    """Whether nothing runs, and nothing will by itself."""
    idle: bool = (await core.do(r.GetServiceStatus(), OPERATOR)).data.idle
    return idle


async def test_show_says_what_a_task_waits_for() -> None:
    """The condition, since when, and the question; nothing when it goes on."""
    async with a_worker() as (core, agent):
        await core.do(r.AskQuestion(task="t", question="red or blue?"), agent)

        task = (await core.do(r.ShowTask(task="t"))).data

        assert task.wait == WaitData(
            condition="answer",
            since=to_rfc3339(core.clock.now()),
            question="red or blue?",
        )
        await core.do(r.Resume(task="t"))
        assert (await core.do(r.ShowTask(task="t"))).data.wait is None
