"""Dispatch: what is started, when, and in which order."""

import pytest

from tests.core import OPERATOR, running_core
from tests.fakes import FakeLauncher
from workgraph.graph import requests as r
from workgraph.graph.errors import ConflictError, UserError


async def test_a_ready_task_is_started_at_once() -> None:
    """Adding a ready task starts an agent, without any time passing."""
    async with running_core() as core:
        task = await core.add("build")

        assert await core.status(task) == "in-progress"
        assert [order.argv for order in core.launcher.orders] == [
            ("/usr/bin/sh", "-c", "true")
        ]


async def test_a_finished_task_releases_its_heirs() -> None:
    """B starts when A is done, and not before."""
    async with running_core() as core:
        a = await core.add("a")
        b = await core.add("b", after=(a,))
        assert await core.status(b) == "open"

        await core.exit(a)

        assert await core.status(a) == "done"
        assert await core.status(b) == "in-progress"


async def test_no_more_than_max_agents_run() -> None:
    """The slots bound the processes, and a free one is used at once."""
    async with running_core("dispatcher.max_agents=2") as core:
        tasks = [await core.add(f"t{n}") for n in range(4)]
        assert len(core.launcher.running()) == 2

        await core.exit(tasks[0])

        assert len(core.launcher.running()) == 2
        assert await core.status(tasks[2]) == "in-progress"


async def test_order_is_priority_then_chain_then_age() -> None:
    """An urgent task first, then the one with the longest chain behind it."""
    async with running_core("dispatcher.max_agents=0") as core:
        old = await core.add("old")
        head = await core.add("head")
        middle = await core.add("middle", after=(head,))
        await core.add("tail", after=(middle,))
        urgent = await core.add("urgent", priority=0)

        reply = await core.do(r.ListReady())

        assert [task.id for task in reply.data] == [urgent, head, old]


async def test_nothing_starts_while_the_service_is_paused() -> None:
    """`pause` holds starts back and `resume` lets them go."""
    async with running_core() as core:
        await core.do(r.Pause())
        task = await core.add("t")
        assert await core.status(task) == "open"
        why = (await core.do(r.ExplainTask(task=task))).data
        assert [reason.code for reason in why.reasons] == ["service_paused"]

        await core.do(r.Resume())

        assert await core.status(task) == "in-progress"


async def test_pause_is_kept_over_a_restart() -> None:
    """A daemon that starts anew is still paused (rule 17)."""
    from workgraph.store.database import Store  # noqa: PLC0415

    store = await Store.open(":memory:")
    async with running_core(store=store) as core:
        await core.do(r.Pause())
        task = await core.add("t")
    async with running_core(store=store, clock=core.clock) as core:
        assert await core.status(task) == "open"
    await store.close()


async def test_a_paused_task_waits_until_it_is_resumed() -> None:
    """The flag beside the status holds a single task back."""
    async with running_core() as core:
        task = await core.add("t", paused=True)
        assert await core.status(task) == "open"

        await core.do(r.Resume(task=task))

        assert await core.status(task) == "in-progress"


async def test_not_before_wakes_by_one_alarm() -> None:
    """A task with a moment starts when it has come, and not a moment before."""
    async with running_core() as core:
        task = await core.add("t", not_before="30m")
        core.clock.advance(29 * 60)
        await core.settle()
        assert await core.status(task) == "open"

        core.clock.advance(60)
        await core.settle()

        assert await core.status(task) == "in-progress"


async def test_a_start_that_fails_counts_and_backs_off() -> None:
    """`spawn-failed` uses up an attempt and the next one waits (rule 37)."""
    launcher = FakeLauncher()
    launcher.fail_next("no more processes")
    async with running_core(launcher=launcher) as core:
        task = await core.add("t")

        row = await core.task(task)
        assert (row.status, row.attempts) == ("open", 1)
        assert row.failure is not None
        assert row.failure.class_ == "spawn-failed"
        assert row.retry_at is not None

        core.clock.advance(11)
        await core.settle()
        assert await core.status(task) == "in-progress"


async def test_an_unknown_executor_is_misconfigured_and_uses_no_attempt() -> None:
    """A plan that can't be made parks the task until it changes (rule 38)."""
    async with running_core() as core:
        task = await core.add("t", executor="nobody")
        row = await core.task(task)
        assert (row.status, row.attempts) == ("open", 0)
        why = (await core.do(r.ExplainTask(task=task))).data
        assert [reason.code for reason in why.reasons] == ["misconfigured"]

        await core.do(r.EditTask(task=task, executor="", exec="true"))

        assert await core.status(task) == "in-progress"


async def test_a_parked_task_is_looked_at_again_ever_more_rarely() -> None:
    """After one minute, then two: by an alarm, and with one entry in the log."""
    async with running_core() as core:
        task = await core.add("t", executor="nobody")
        core.clock.advance(61)
        await core.settle()

        parked = (await core.task(task)).parked
        assert parked is not None
        assert parked.looks == 2
        log = (await core.do(r.Log(task=task, list=True))).data
        assert [entry.kind for entry in log].count("task_parked") == 1


async def test_a_task_of_a_person_is_never_started() -> None:
    """A name that is no actor's is a person's."""
    async with running_core() as core:
        task = await core.add("t", actor="alice")

        assert await core.status(task) == "open"
        ready = (await core.do(r.ListReady())).data
        assert [found.id for found in ready] == [task]
        why = (await core.do(r.ExplainTask(task=task))).data
        assert [reason.code for reason in why.reasons] == ["assigned_to_person"]


async def test_claim_is_a_compare_and_set() -> None:
    """The second claim of a task is a conflict that names the holder."""
    async with running_core("dispatcher.max_agents=0") as core:
        task = await core.add("t")
        await core.do(r.ClaimTask(task=task, actor="alice"))

        with pytest.raises(ConflictError, match="alice"):
            await core.do(r.ClaimTask(task=task, actor="bob"))


async def test_done_with_open_dependencies_names_them() -> None:
    """`done` on a task that waits is refused with the names."""
    async with running_core("dispatcher.max_agents=0") as core:
        a = await core.add("a")
        b = await core.add("b", after=(a,))

        with pytest.raises(UserError, match="a \\(open\\)"):
            await core.do(r.FinishTask(task=b))


async def test_done_twice_is_done_once() -> None:
    """The second `done` changes nothing and is no error."""
    async with running_core("dispatcher.max_agents=0") as core:
        task = await core.add("t")
        await core.do(r.FinishTask(task=task), OPERATOR)
        log = (await core.do(r.Log(task=task, list=True))).data

        await core.do(r.FinishTask(task=task))

        assert (await core.do(r.Log(task=task, list=True))).data == log


async def test_a_tick_without_input_writes_nothing() -> None:
    """A second tick finds nothing to do."""
    async with running_core() as core:
        await core.add("t")
        before = await core.store.read(
            lambda tx: tx.value("select count(*) from changes"), 0
        )

        assert await core.engine.tick() is False

        after = await core.store.read(
            lambda tx: tx.value("select count(*) from changes"), 0
        )
        assert after == before
