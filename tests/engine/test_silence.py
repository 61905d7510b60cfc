"""Agents that say nothing: too soon gone, or too long quiet."""

from typing import Any

import pytest

from tests.core import Core, running_core
from workgraph.agents.process import Output
from workgraph.graph import requests as r
from workgraph.graph.model import Outcome
from workgraph.graph.times import SECOND

#: An executor that is no shell, and one whose agents write nothing.
BOT = 'executors.bot.argv=["bot"]'
QUICK = (BOT, "agents.stall_timeout=20m")


async def a_silent(core: Core, **options: Any) -> str:
    """A task of an agent that writes nothing."""
    core.launcher.silent = True
    return await core.add("t", executor="bot", **options)


async def test_the_first_quick_end_is_taken_at_its_word() -> None:
    """An exit with 0 is done (CONTRACT §3.2)."""
    async with running_core(BOT) as core:
        task = await a_silent(core)

        await core.exit(task)

        assert await core.status(task) == "done"


async def test_the_second_quick_end_is_a_crash_whatever_its_status() -> None:
    """An exit with 0, after one that a review has sent back (rule 96)."""
    async with running_core(BOT) as core:
        task = await a_silent(core, review="human")
        await core.exit(task)
        await core.do(r.RejectTask(task=task, reason="nothing there"))

        await core.exit(task)

        row = await core.task(task)
        assert (row.status, row.quick) == ("open", 2)
        assert row.failure is not None
        assert row.failure.class_ == "crashed"
        assert await core.why(task) == ["backoff"]


async def crash_three_times(core: Core, task: str) -> None:
    """Three attempts that end at once with nothing to show."""
    for _ in range(3):
        await core.crash(task)
        await core.advance(300)


async def test_the_third_quick_end_is_a_quarantine() -> None:
    """Until an operator says so, over restarts, too, and with a reason."""
    async with running_core(BOT) as core:
        task = await a_silent(core)
        await crash_three_times(core, task)

        await core.advance(86400)

        assert len(core.launcher.orders) == 3
        why = (await core.do(r.ExplainTask(task=task))).data
        (reason,) = why.reasons
        assert reason.code == "quarantined"
        assert "3 attempts in a row" in reason.message
        assert f"wg retry {task}" in reason.remedy
        await core.do(r.EditTask(task=task, priority=0))
        assert await core.why(task) == ["quarantined"]

        await core.do(r.RetryTasks(task=task))

        row = await core.task(task)
        assert (row.status, row.attempts, row.quick) == ("in-progress", 1, 0)


async def test_what_has_worked_in_between_is_not_in_a_row() -> None:
    """An attempt that wrote something, or lived longer, counts from nothing."""
    async with running_core(BOT, "retry.max_attempts=9") as core:
        task = await a_silent(core)
        for _ in range(3):
            await core.crash(task)
            await core.advance(300)
            await core.advance(2)  # this one lives
            await core.crash(task)
            assert (await core.task(task)).quick == 0
            await core.advance(300)

        assert await core.status(task) == "in-progress"


@pytest.mark.parametrize("sign", ["output", "call", "shell"])
async def test_what_has_given_a_sign_was_not_too_fast(sign: str) -> None:
    """Output, a call of `wg`, or being a shell task."""
    async with running_core(BOT, "retry.max_attempts=9") as core:
        task = await (core.add("t") if sign == "shell" else a_silent(core))
        for _ in range(4):
            if sign == "output":
                core.launcher.silent = False
            if sign == "call":
                await core.do(
                    r.Log(task=task, message="hello"), await core.agent_caller(task)
                )
            await core.crash(task)
            await core.advance(300)

        row = await core.task(task)
        assert (row.status, row.quick, row.attempts) == ("in-progress", 0, 5)


async def test_a_silent_agent_is_stalled_at_the_limit_and_not_before() -> None:
    """After one look at what it has written, at the earliest moment it could be."""
    async with running_core(*QUICK) as core:
        task = await core.add("t", executor="bot", max_attempts=2)
        core.launcher.outputs[1] = Output(size=0, written_at=0)

        await core.advance(20 * 60 - 0.001)
        assert core.launcher.stops == []
        await core.advance(0.001)

        assert core.launcher.stops == [(1, False)]
        (agent,) = await core.agents(task)
        assert agent.outcome is Outcome.STALLED
        row = await core.task(task)
        assert (row.status, row.attempts) == ("open", 1)
        assert row.failure is not None
        assert row.failure.class_ == "stalled"
        assert "for 20m" in row.failure.reason
        assert await core.why(task) == ["backoff"]


async def test_output_is_a_sign_of_life_until_a_limit_after_it() -> None:
    """The next look is a limit after the last word, not after the last look."""
    async with running_core(*QUICK) as core:
        await core.add("t", executor="bot")
        began = core.clock.now()
        written = began + 15 * 60 * SECOND
        core.launcher.outputs[1] = Output(size=10, written_at=written)

        await core.advance(20 * 60)

        assert core.launcher.stops == []
        assert await core.next_moment() == written + 20 * 60 * SECOND
        await core.advance(15 * 60)
        assert core.launcher.stops == [(1, False)]


async def test_an_older_file_time_is_no_sign_of_life() -> None:
    """Only what has grown since the last look counts."""
    async with running_core(*QUICK) as core:
        await core.add("t", executor="bot")
        core.launcher.outputs[1] = Output(size=10, written_at=core.clock.now())
        await core.advance(20 * 60)
        assert core.launcher.stops == [(1, False)]


async def test_a_call_of_wg_is_a_sign_of_life() -> None:
    """One that only reads, too: it comes with the token."""
    async with running_core(*QUICK) as core:
        task = await core.add("t", executor="bot")
        core.launcher.outputs[1] = Output(size=0, written_at=0)
        token = core.launcher.orders[0].env["WG_TOKEN"]
        await core.advance(19 * 60)

        caller = await core.engine.caller_of(token, "")
        await core.do(r.GetTaskStatus(task=task), caller)
        await core.advance(19 * 60)
        assert core.launcher.stops == []

        await core.advance(60)
        assert core.launcher.stops == [(1, False)]


async def test_a_shell_task_is_silent_for_good_reasons() -> None:
    """Unless it says itself how long."""
    async with running_core(*QUICK) as core:
        await core.add("quiet", timeout="2d")
        await core.add("limited", stall_timeout="1m", timeout="2d")

        await core.advance(86400)

        assert core.launcher.stops == [(2, False)]


async def test_what_has_handed_in_is_not_stalled() -> None:
    """It has the grace to leave, and nothing else to do."""
    async with running_core(BOT, "agents.kill_grace=1h") as core:
        task = await core.add("t", executor="bot", stall_timeout="1m")
        await core.do(r.FinishTask(task=task), await core.agent_caller(task))

        await core.advance(600)

        assert core.launcher.stops == []
        assert await core.status(task) == "done"
