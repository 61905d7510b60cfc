"""Dispatch along trajectories: one session, one after another, and who lets go when."""

from typing import Any

import pytest

from tests.core import OPERATOR, Core, running_core
from tests.invariants import check_invariants
from workgraph.commands.transfer import import_graph
from workgraph.graph import requests as r
from workgraph.graph.ends import ClientEnd, EndKind, Report
from workgraph.graph.errors import (
    ConflictError,
    ForbiddenError,
    UserError,
    WorkgraphError,
)
from workgraph.graph.facts import AgentReported
from workgraph.graph.reservations import ClaimTrajectory, GetTrajectory
from workgraph.store import trajectories

TOOL = (
    'executors.tool.argv=["tool","--as","{new_session}"]',
    'executors.tool.resume=["tool","--resume","{session}"]',
    'executors.tool.account="mine"',
    'dispatcher.executor="tool"',
)
AUTO = "dispatcher.trajectories=true"
ONE = "dispatcher.max_agents=1"


async def add(core: Core, title: str, **options: Any) -> str:
    """Adds a task for the tool."""
    return await core.add(title, executor="tool", **options)


async def a_chain(core: Core, *titles: str) -> list[str]:
    """Adds tasks each of which waits for the one before, while nothing is started."""
    await core.do(r.Pause())
    made: list[str] = []
    for title in titles:
        made.append(await add(core, title, after=tuple(made[-1:])))
    return made


async def reserved(core: Core) -> list[str]:
    """The tasks that are reserved."""
    found = await core.store.read(trajectories.every, 0)
    await core.store.read(check_invariants, core.clock.now())
    return sorted(found)


async def answer(core: Core, task: str) -> int:
    """A model answers the agent of a task; gives its number."""
    number = await core.holder(task)
    core.engine.post(AgentReported(agent=number, report=Report(answered=True)))
    await core.settle()
    return number


async def an_actor(core: Core, name: str) -> None:
    """Makes an actor that is no person."""
    line = f'{{"kind":"actor","name":"{name}","context_limit":9000}}'
    await core.engine.ask(lambda context: import_graph(context, line), OPERATOR)


async def finish(core: Core, task: str) -> int:
    """The agent of a task says that it is done, and leaves."""
    number = await answer(core, task)
    await core.do(r.FinishTask(task=task), await core.agent_caller(task))
    core.launcher.exit(number, code=0)
    await core.settle()
    return number


async def test_three_steps_are_done_in_one_session() -> None:
    """Each attempt goes on with the session of the one before it."""
    async with running_core(*TOOL, ONE, AUTO) as core:
        chain = await a_chain(core, "a", "b", "c")
        await core.do(r.Resume())

        assert await reserved(core) == chain
        for task in chain:
            await finish(core, task)

        runs = [(await core.agents(task))[0] for task in chain]
        assert len({run.session for run in runs}) == 1
        assert [run.resumed for run in runs] == [None, *[runs[0].session] * 2]
        assert core.launcher.orders[2].argv == (
            "/usr/bin/tool",
            "--resume",
            runs[0].session,
        )
        prompt = str(core.launcher.orders[1].files["prompt.md"])
        assert "b: b" in prompt
        assert "were interrupted" not in prompt
        assert await reserved(core) == []
        kinds = [c.kind for c in await core.changes() if "trajectory" in c.kind]
        assert kinds == ["trajectory_claimed"] * 3 + ["trajectory_ended"]


async def test_without_the_setting_nothing_is_reserved() -> None:
    """And each task has a session of its own."""
    async with running_core(*TOOL, ONE) as core:
        chain = await a_chain(core, "a", "b")
        await core.do(r.Resume())
        assert await reserved(core) == []

        await finish(core, chain[0])

        (first,), (second,) = [await core.agents(task) for task in chain]
        assert second.resumed is None
        assert first.session != second.session


async def test_an_executor_that_can_not_resume_gets_none() -> None:
    """There would be nothing to go on with."""
    other = 'executors.other.argv=["other"]'
    async with running_core(other, AUTO) as core:
        a = await core.add("a", executor="other", paused=True)
        await core.add("b", executor="other", after=(a,))
        await core.do(r.Resume(task=a))

        assert await core.status(a) == "in-progress"
        assert await reserved(core) == []


async def test_the_next_step_comes_before_all_others() -> None:
    """In the slot that its step before has freed, whatever the priorities."""
    async with running_core(*TOOL, ONE, AUTO) as core:
        chain = await a_chain(core, "a", "b")
        await core.do(r.Resume())
        urgent = await add(core, "urgent", priority=0)

        await finish(core, chain[0])

        assert await core.status(chain[1]) == "in-progress"
        assert await core.status(urgent) == "open"


async def test_a_step_waits_until_the_last_agent_is_gone() -> None:
    """Two processes would speak in one session."""
    async with running_core(*TOOL, AUTO) as core:
        chain = await a_chain(core, "a", "b")
        await core.do(r.Resume())
        number = await answer(core, chain[0])

        await core.do(r.FinishTask(task="a"), await core.agent_caller("a"))

        assert await core.status("b") == "open"
        assert "reserved" in await core.why("b")
        core.launcher.exit(number, code=0)
        await core.settle()
        assert await core.status("b") == "in-progress"


async def test_with_several_slots_nothing_is_kept_from_them() -> None:
    """Of a diamond one branch is reserved; the other goes to another slot."""
    async with running_core(*TOOL, AUTO) as core:
        await core.do(r.Pause())
        await add(core, "a")
        await add(core, "b", after=("a",))
        await add(core, "c", after=("a",))
        await add(core, "d", after=("b", "c"))
        await core.do(r.Resume())
        assert await reserved(core) == ["a", "b"]

        await finish(core, "a")

        assert await core.status("b") == await core.status("c") == "in-progress"


async def test_with_one_slot_the_whole_diamond_is_one() -> None:
    """Nobody else could do the other branch meanwhile."""
    async with running_core(*TOOL, ONE, AUTO) as core:
        await core.do(r.Pause())
        await add(core, "a")
        await add(core, "b", after=("a",))
        await add(core, "c", after=("a",))
        await add(core, "d", after=("b", "c"))
        await core.do(r.Resume())

        assert await reserved(core) == ["a", "b", "c", "d"]
        for task in "abcd":
            await finish(core, task)
        assert (await core.agents("d"))[0].resumed is not None


@pytest.mark.parametrize("how", ["kill", "signal", "lost", "fail", "exit"])
async def test_who_ends_without_finishing_lets_go(how: str) -> None:
    """At once, of all that was left."""
    async with running_core(*TOOL, ONE, AUTO) as core:
        await a_chain(core, "a", "b", "c")
        await core.do(r.Resume())
        number = await finish(core, "a") + 1
        assert await reserved(core) == ["b", "c"]
        await answer(core, "b")

        if how == "kill":
            await core.do(r.KillAgents(agent=f"agent-{number}"))
        elif how == "fail":
            caller = await core.agent_caller("b")
            await core.do(r.FailTask(task="b", reason="no"), caller)
        else:
            ends = {"signal": {"signal": 9}, "exit": {"code": 3}, "lost": {}}
            core.launcher.exit(number, **ends[how])
        await core.settle()

        assert await reserved(core) == []
        (last,) = [c for c in await core.changes() if c.kind == "trajectory_ended"]
        assert (last.task, last.from_) == ("b", "1")
        assert (await core.do(r.ShowTask(task="c"))).data.trajectory is None


async def test_who_was_only_kept_from_it_goes_on() -> None:
    """A provider's limit passes; then it is the same session."""
    async with running_core(*TOOL, ONE, AUTO) as core:
        await a_chain(core, "a", "b", "c")
        await core.do(r.Resume())
        await finish(core, "a")
        number = await answer(core, "b")
        end = ClientEnd(kind=EndKind.LIMITED, message="429", retry_after_s=5)
        core.engine.post(AgentReported(agent=number, report=Report(end=end)))
        core.launcher.exit(number, code=1)
        await core.settle()

        assert await reserved(core) == ["b", "c"]
        await core.advance(60)

        attempts = await core.agents("b")
        assert len(attempts) == 2
        assert attempts[1].resumed == attempts[0].session


@pytest.mark.parametrize("until", ["task:c=done", "task:far=settled", "task:c=failed"])
async def test_who_waits_for_a_later_step_lets_go_of_it(until: str) -> None:
    """Else each would wait for the other; the waiter's own step stays reserved."""
    async with running_core(*TOOL, ONE, AUTO) as core:
        await core.do(r.Pause())
        await add(core, "a")
        await add(core, "b", after=("a",), priority=1)
        await add(core, "c", after=("a",))
        await add(core, "d", after=("b", "c"))
        await core.add("far", after=("c",), paused=True)
        await core.do(r.Resume())
        await finish(core, "a")
        number = await answer(core, "b")
        assert await reserved(core) == ["b", "c", "d"]

        reply = await core.do(
            r.WaitTask(task="b", until=until), await core.agent_caller("b")
        )
        core.launcher.exit(number, code=0)
        await core.settle()

        assert reply.data.status == "waiting"
        assert "c" in reply.notes[0]
        assert await reserved(core) == ["b"]
        assert await core.status("c") == "in-progress"


async def test_a_step_that_waits_keeps_nobody_from_what_does_not_need_it() -> None:
    """With one slot, that would be idle until a person has answered."""
    async with running_core(*TOOL, ONE, AUTO) as core:
        await core.do(r.Pause())
        await add(core, "a")
        await add(core, "b", after=("a",), priority=1)
        await add(core, "after-b", after=("b",), priority=0)
        await add(core, "c", after=("a",))
        await core.do(r.Resume())
        await finish(core, "a")
        number = await answer(core, "b")
        assert await reserved(core) == ["after-b", "b", "c"]

        request = r.AskQuestion(task="b", question="which?")
        await core.do(request, await core.agent_caller("b"))
        core.launcher.exit(number, code=0)
        await core.settle()

        assert await reserved(core) == ["after-b", "b"]
        assert await core.status("c") == "in-progress"


async def test_who_waits_for_anything_else_keeps_its_trajectory() -> None:
    """What a later step does not stand in the way of is no reason to let go."""
    async with running_core(*TOOL, ONE, AUTO) as core:
        await a_chain(core, "a", "b", "c")
        await core.add("e", paused=True)
        await core.do(r.Resume())
        caller = await core.agent_caller("a")

        with pytest.raises(UserError, match="which waits for it"):
            await core.do(r.WaitTask(task="a", until="task:c=done"), caller)
        await core.do(r.WaitTask(task="a", until="task:e=done"), caller)

        assert await core.status("a") == "waiting"
        assert await reserved(core) == ["a", "b", "c"]


async def test_a_reserved_task_is_for_nobody_else() -> None:
    """Not claimed, not given, not dispatched; `why` names the way out."""
    async with running_core(*TOOL) as core:
        await core.do(r.Pause())
        await add(core, "a", context_file=("n.md",))
        await add(core, "b", context_file=("n.md",))
        await add(core, "c", after=("a",))
        await core.do(ClaimTrajectory(task=("a", "b", "c"), actor="bob"))
        await core.do(r.Resume())

        assert [await core.status(task) for task in "abc"] == ["open"] * 3
        reply = await core.do(r.ExplainTask(task="a"))
        assert [reason.code for reason in reply.data.reasons] == ["reserved"]
        assert "wg unclaim a" in reply.data.reasons[0].remedy
        for task in "ab":
            with pytest.raises(ConflictError, match="reserved for bob"):
                await core.do(r.ClaimTask(task=task, actor="ann"))
        assert (await core.do(r.NextTask(actor="ann"))).exit_code == 1
        assert (await core.do(r.ListReady())).data == ()


async def test_a_person_is_offered_the_steps_in_order() -> None:
    """First of all that there is, each when its time has come."""
    async with running_core(*TOOL) as core:
        await core.do(r.Pause())
        await add(core, "urgent", priority=0)
        await add(core, "a")
        await add(core, "b", after=("a",))
        await core.do(ClaimTrajectory(from_="a", actor="bob"))

        first = (await core.do(r.NextTask(actor="bob", claim=True))).data.id
        then = (await core.do(r.NextTask(actor="bob"))).data.id
        await core.do(r.FinishTask(task="a"))
        second = (await core.do(r.NextTask(actor="bob", claim=True))).data.id
        await core.do(r.FinishTask(task="b"))

        assert (first, then, second) == ("a", "urgent", "b")
        assert await reserved(core) == []


async def test_an_actors_agent_does_what_is_reserved_for_it() -> None:
    """Without the setting, too: somebody has said so."""
    async with running_core(*TOOL) as core:
        await core.do(r.Pause())
        await an_actor(core, "ada")
        await add(core, "a")
        await add(core, "b", after=("a",))
        reply = await core.do(ClaimTrajectory(task=("a", "b"), actor="ada"))
        await core.do(r.Resume())

        await finish(core, "a")

        assert (reply.data.actor, reply.data.number) == ("ada", 1)
        (first,), (second,) = await core.agents("a"), await core.agents("b")
        assert (first.actor, second.actor) == ("ada", "ada")
        assert second.resumed == first.session


async def test_all_or_nothing() -> None:
    """Who comes second gets none of them, and is told who has which."""
    async with running_core(*TOOL) as core:
        await core.do(r.Pause())
        for title in "abc":
            await add(core, title, context_file=("n.md",))
        await core.do(ClaimTrajectory(task=("a", "b"), actor="bob"))

        with pytest.raises(ConflictError, match=r"b is reserved for bob"):
            await core.do(ClaimTrajectory(task=("c", "b"), actor="ann"))

        assert await reserved(core) == ["a", "b"]


@pytest.mark.parametrize(
    ("step", "left"),
    [
        (r.AbandonTask(task="b"), ["a"]),
        (r.UnclaimTask(task="b"), ["a"]),
        (r.LinkTask(task="b", after="x"), ["a"]),
        (r.EditTask(task="c", actor="ann"), ["a", "b"]),
        (r.EditTask(task="c", description="x" * 400_000), ["a", "b"]),
        (r.EditTask(task="c", priority=0), ["a", "b", "c"]),
        (r.ClaimTask(task="a", actor="ann", force=True), []),
        (r.AbandonTask(task="a"), []),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, list) else None,
)
async def test_what_does_not_fit_any_more_is_released(
    step: r.AnyRequest, left: list[str]
) -> None:
    """And what comes after it; what comes before it stays."""
    async with running_core(*TOOL) as core:
        await a_chain(core, "a", "b", "c")
        await add(core, "x")
        await core.do(ClaimTrajectory(task=("a", "b", "c"), actor="bob"))

        await core.do(step)

        assert await reserved(core) == left


async def test_whom_the_start_is_assigned_to_decides() -> None:
    """The actor's limit counts, and what is assigned to others is left out."""
    async with running_core(*TOOL) as core:
        await core.do(r.Pause())
        await an_actor(core, "ada")
        await add(core, "a", actor="ada")
        await add(core, "b", after=("a",), actor="ada")
        await add(core, "c", after=("a",), actor="bob")

        found = (await core.do(GetTrajectory(task="a"))).data

        assert (found.actor, found.limit) == ("ada", 6750)
        assert [step.task for step in found.steps] == ["a", "b"]


async def test_an_agent_may_look_and_not_claim() -> None:
    """It is the operator's."""
    async with running_core(*TOOL) as core:
        await add(core, "a")
        caller = await core.agent_caller("a")
        await core.do(r.Pause())
        await add(core, "b")

        found = await core.do(GetTrajectory(task="b"), caller)
        with pytest.raises(ForbiddenError):
            await core.do(ClaimTrajectory(task=("b",)), caller)

        assert [step.task for step in found.data.steps] == ["b"]


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (GetTrajectory(task="b"), UserError, "b can't be the first step"),
        (GetTrajectory(task="a", limit_tokens=0), UserError, "does not fit into 0"),
        (GetTrajectory(limit_tokens=0), UserError, "no ready task has another"),
        (GetTrajectory(task="nobody"), WorkgraphError, "there is no task"),
        (ClaimTrajectory(task=("b",)), UserError, "b waits for a"),
        (ClaimTrajectory(task=("a", "a")), WorkgraphError, "named twice"),
        (ClaimTrajectory(), WorkgraphError, "one of both"),
        (ClaimTrajectory(task=("a", "d")), ConflictError, "in progress"),
    ],
)
async def test_what_is_refused(
    request_: r.AnyRequest, error: type[WorkgraphError], message: str
) -> None:
    """With the reason."""
    async with running_core(*TOOL) as core:
        await add(core, "d")
        await a_chain(core, "a", "b")

        with pytest.raises(error, match=message):
            await core.do(request_)

        assert await reserved(core) == []
