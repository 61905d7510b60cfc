"""How attempts end, and what becomes of their tasks: the retry rule, end to end."""

import pytest

from tests.core import running_core
from tests.fakes import FakeLauncher
from workgraph.agents.process import Ended, Fate
from workgraph.graph import requests as r
from workgraph.graph.model import AgentStatus, Failure, Outcome
from workgraph.graph.times import SECOND


async def test_exit_0_of_a_shell_task_is_done() -> None:
    """No verdict is needed."""
    async with running_core("agents.exit_zero=fail") as core:
        task = await core.add("t")

        await core.exit(task)

        assert await core.status(task) == "done"
        (agent,) = await core.agents(task)
        assert (agent.outcome, agent.exit_code, agent.signal) == (Outcome.DONE, 0, None)


@pytest.mark.parametrize(
    ("exit_zero", "status", "outcome"),
    [
        ("done", "done", Outcome.DONE),
        ("submit", "pending-review", Outcome.SUBMITTED),
        ("fail", "failed", Outcome.FAILED),
    ],
)
async def test_exit_0_without_a_verdict_is_as_configured(
    exit_zero: str, status: str, outcome: Outcome
) -> None:
    """For all but shell tasks."""
    async with running_core(f"agents.exit_zero={exit_zero}") as core:
        task = await core.add("t", executor="claude")

        await core.exit(task)

        assert await core.status(task) == status
        assert (await core.agents(task))[0].outcome is outcome


async def test_a_non_zero_exit_is_the_workers_verdict() -> None:
    """Final, with the status in the reason."""
    async with running_core() as core:
        task = await core.add("t")

        await core.exit(task, 3)

        row = await core.task(task)
        assert (row.status, row.failure) == (
            "failed",
            Failure(class_="failed", reason="agent-1 exited with 3"),
        )
        assert (await core.agents(task))[0].exit_code == 3


@pytest.mark.parametrize("where", ["task", "settings"])
async def test_a_non_zero_exit_is_tried_again_where_it_is_said(where: str) -> None:
    """`--retry-on failure` on the task, or `[retry] on`."""
    settings = ("retry.on=failure",) if where == "settings" else ()
    options = {"retry_on": "failure"} if where == "task" else {}
    async with running_core(*settings) as core:
        task = await core.add("t", max_attempts=2, **options)
        await core.exit(task, 1)
        assert await core.why(task) == ["backoff"]

        core.clock.advance(10)
        await core.settle()
        await core.exit(task, 1)

        assert (await core.task(task)).attempts == 2
        assert await core.status(task) == "failed"


async def test_a_signal_is_a_crash() -> None:
    """It uses up an attempt, and the next starts after a backoff."""
    async with running_core() as core:
        task = await core.add("t")

        await core.crash(task, 11)

        row = await core.task(task)
        assert (row.status, row.attempts) == ("open", 1)
        assert row.failure == Failure(
            class_="crashed", reason="agent-1 was killed by signal 11"
        )
        assert (await core.agents(task))[0].signal == 11


async def test_a_lost_agent_is_tried_again() -> None:
    """Nobody knows how it ended: the attempt counts."""
    async with running_core() as core:
        task = await core.add("t")
        core.launcher.end(
            Ended(agent=1, fate=Fate.LOST, detail="the machine restarted")
        )
        await core.settle()

        row = await core.task(task)
        assert (row.status, row.attempts) == ("open", 1)
        assert row.failure == Failure(class_="lost", reason="the machine restarted")


async def test_crashes_use_up_the_attempts() -> None:
    """After `--max-attempts` starts the task has failed, not one earlier or later."""
    async with running_core() as core:
        task = await core.add("t", max_attempts=3)

        for n in range(1, 4):
            assert (await core.task(task)).attempts == n
            await core.crash(task)
            core.clock.advance(300)
            await core.settle()

        row = await core.task(task)
        assert (row.status, row.attempts) == ("failed", 3)
        assert len(core.launcher.orders) == 3


async def test_the_backoff_doubles_up_to_its_limit() -> None:
    """10 s, 20, 40 … 300, less at most a fifth; never before, never later."""
    gaps = []
    async with running_core() as core:
        task = await core.add("t", max_attempts=8)
        for _ in range(7):
            await core.crash(task)
            row = await core.task(task)
            assert row.retry_at is not None
            gap_us = row.retry_at - core.clock.now()
            assert gap_us % 1000 == 0
            core.clock.advance((gap_us - 1000) / SECOND)
            await core.settle()
            assert await core.status(task) == "open"
            core.clock.advance(0.001)
            await core.settle()
            gaps.append(gap_us / SECOND)

    for gap, whole in zip(gaps, (10, 20, 40, 80, 160, 300, 300), strict=True):
        assert whole * 0.8 <= gap <= whole


async def test_a_success_is_not_held_back_by_an_old_backoff() -> None:
    """What a person does during the backoff counts at once."""
    async with running_core() as core:
        task = await core.add("t")
        await core.crash(task)
        await core.do(r.ClaimTask(task=task, force=True))

        await core.do(r.FinishTask(task=task))

        row = await core.task(task)
        assert (row.status, row.retry_at, row.start_after) == ("done", None, None)


async def test_a_task_is_not_started_without_end() -> None:
    """A ceiling on all starts stands behind the attempts; a retry resets it."""
    async with running_core() as core:
        task = await core.add("t")
        for _ in range(100):
            await core.do(r.KillAgents(all=True, requeue=True))

        row = await core.task(task)
        assert (row.status, row.attempts, row.starts) == ("open", 0, 100)
        assert await core.why(task) == ["quarantined"]
        await core.do(r.RetryTasks(task=task))
        assert (await core.task(task)).starts == 1


async def test_a_timeout_ends_the_agent_and_is_told_as_one() -> None:
    """Not a moment early; a time-out even when KILL was needed."""
    async with running_core() as core:
        task = await core.add("t", timeout="30m")
        core.launcher.stubborn.add(1)
        core.clock.advance(30 * 60 - 0.001)
        await core.settle()
        assert core.launcher.stops == []

        core.clock.advance(0.001)
        await core.settle()

        assert core.launcher.stops == [(1, False)]
        row = await core.task(task)
        assert (row.status, row.attempts) == ("open", 1)
        assert row.failure == Failure(
            class_="timed-out", reason="agent-1 ran longer than its timeout of 30m"
        )
        (agent,) = await core.agents(task)
        assert (agent.outcome, agent.signal) == (Outcome.TIMED_OUT, 9)


async def test_an_end_before_the_timeout_is_seen_wins() -> None:
    """Both in one tick: the agent has ended, so there is nothing to stop."""
    async with running_core() as core:
        task = await core.add("t", timeout="30m")
        core.launcher.exit(1, code=0)
        core.clock.advance(3600)
        await core.settle()

        assert await core.status(task) == "done"


async def test_abandon_after_takes_a_persons_claim_away() -> None:
    """The only limit on a person's claim; then the retry rule."""
    async with running_core("dispatcher.max_agents=0") as core:
        task = await core.add("t", abandon_after="1h", timeout="1m")
        await core.do(r.ClaimTask(task=task, actor="alice"))
        core.clock.advance(3599)
        await core.settle()
        assert await core.status(task) == "in-progress"

        core.clock.advance(1)
        await core.settle()

        row = await core.task(task)
        assert (row.status, row.attempts) == ("open", 1)
        assert row.failure == Failure(
            class_="timed-out", reason="alice held the task longer than --abandon-after"
        )
        (attempt,) = await core.agents(task)
        assert (attempt.status, attempt.outcome) == (
            AgentStatus.ENDED,
            Outcome.TIMED_OUT,
        )


async def test_abandon_after_ends_an_agent() -> None:
    """The process is ended first; until it is gone the task is its."""
    async with running_core() as core:
        task = await core.add("t", abandon_after="1h")
        core.launcher.unmoved.add(1)
        core.clock.advance(3600)
        await core.settle()
        assert core.launcher.stops == [(1, False)]
        assert await core.status(task) == "in-progress"

        core.launcher.exit(1, code=0)
        await core.settle()

        failure = (await core.task(task)).failure
        assert failure is not None
        assert failure.class_ == "timed-out"


async def test_two_limits_at_once_are_one_order() -> None:
    """After a gap in time an agent may be over both: it is told to go once."""
    async with running_core() as core:
        task = await core.add("t", timeout="1h", abandon_after="1h")
        core.launcher.unmoved.add(1)

        core.clock.advance(7200)
        await core.settle()

        kinds = [change.kind for change in await core.changes()]
        assert kinds.count("agent_stopping") == 1
        assert core.launcher.stops == [(1, False)]
        assert await core.status(task) == "in-progress"


async def test_an_engine_with_nothing_to_wait_for_sleeps() -> None:
    """What lies behind is no moment to wake at: no busy loop while one is stopping."""
    async with running_core() as core:
        await core.add("t", abandon_after="1h", timeout="2d")
        core.launcher.unmoved.add(1)
        core.clock.advance(3600)
        await core.settle()

        assert await core.next_moment() is None


async def test_a_start_that_raises_counts_and_backs_off() -> None:
    """`spawn-failed` (rule 37); of files that can't be made: test_machine_faults."""
    launcher = FakeLauncher()
    launcher.fail_next("no room")
    launcher.fail_next("no processes")
    async with running_core(launcher=launcher) as core:
        task = await core.add("t", max_attempts=3)
        for n, reason in ((1, "no room"), (2, "no processes")):
            row = await core.task(task)
            assert (row.status, row.attempts) == ("open", n)
            assert row.failure == Failure(class_="spawn-failed", reason=reason)
            core.clock.advance(20)
            await core.settle()

        assert await core.status(task) == "in-progress"
        assert [agent.outcome for agent in await core.agents(task)] == [
            Outcome.SPAWN_FAILED,
            Outcome.SPAWN_FAILED,
            None,
        ]


async def test_a_failed_dependency_blocks_and_says_so() -> None:
    """Dependents wait, `why` names it; an edge `--on settled` is met."""
    async with running_core() as core:
        a = await core.add("a")
        b = await core.add("b", after=(a,))
        await core.add("c", paused=True)
        await core.do(r.LinkTask(task="c", after=a, on="settled"))
        await core.do(r.Resume(task="c"))

        await core.exit(a, 1)

        assert await core.why(b) == ["dependency_failed"]
        assert await core.status("c") == "in-progress"


async def test_ends_are_swept_success_included() -> None:
    """The whole tree is looked for at every end (rule 93)."""
    async with running_core() as core:
        await core.exit(await core.add("a"))

        assert core.launcher.swept == [1]


@pytest.mark.parametrize("executor", ["shell", "claude"])
async def test_what_an_agent_makes_of_its_files_ends_nobody(executor: str) -> None:
    """How it ended can't be told, so it is lost; the daemon goes on."""
    async with running_core('executors.claude.argv=["claude"]') as core:
        options = {"exec": "true"} if executor == "shell" else {"executor": executor}
        task = await core.add("t", **options)
        (number,) = core.launcher.running()
        core.launcher.unreadable.add(number)

        await core.exit(task)

        (agent,) = await core.agents(task)
        assert agent.outcome is Outcome.LOST
        assert agent.reason is not None
        assert "Permission denied" in agent.reason
        other = await core.add("u")
        await core.exit(other)
        assert await core.status(other) == "done"
