"""What the machine refuses: a disk that is full, files that can't be made."""

import errno
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import anyio
import pytest

from tests.core import WG_DIR, running_core
from tests.fakes import FakeLauncher
from tests.faulty import FULL, FaultyTx
from tests.invariants import check_invariants
from workgraph.agents.process import Ended, LaunchOrder, Started, SweepTarget
from workgraph.graph import requests as r
from workgraph.graph.changes import Change
from workgraph.graph.model import Outcome, ProcessId
from workgraph.store.database import Store, Tx

T = TypeVar("T")
NO_ROOM = f"can't make {WG_DIR}/agents/agent-1: No space left on device"


class BadDisk(Store):
    """A store that can't be written for as long as a test wants."""

    full = False

    async def transaction(
        self, job: Callable[[Tx], T], now: int
    ) -> tuple[T, list[Change]]:
        """As the store's; with no room, the first write fails."""
        if not self.full:
            return await super().transaction(job, now)
        return await super().transaction(lambda tx: job(FaultyTx(tx, FULL)), now)


async def bad_disk() -> BadDisk:
    """A store in memory."""
    store = await BadDisk.open(":memory:")
    assert isinstance(store, BadDisk)
    return store


async def test_files_that_cannot_be_made_use_up_no_attempt() -> None:
    """The disk is full: nothing was started, and the task waits, ever longer."""
    async with running_core() as core:
        for _ in range(5):
            core.launcher.fail_next_prepare(NO_ROOM)
        task = await core.add("write")
        waits = []
        while not core.launcher.orders:
            row = await core.task(task)
            assert row.status == "open"
            assert row.attempts == 0
            assert row.retry_at is not None
            waits.append((row.retry_at - core.clock.now()) / 1_000_000)
            why = await core.do(r.ExplainTask(task=task))
            assert [reason.code for reason in why.data.reasons] == ["backoff"]
            assert NO_ROOM in why.data.reasons[0].message
            core.clock.advance(waits[-1])
            await core.settle()

        # the first one was tried again at once
        assert len(waits) == 4
        assert waits == sorted(waits)
        assert 8 <= waits[0] <= 10
        assert 64 <= waits[-1] <= 80
        assert (await core.task(task)).attempts == 1
        await core.exit(task)
        assert await core.status(task) == "done"
        outcomes = [agent.outcome for agent in await core.agents(task)]
        assert outcomes == [*[Outcome.SPAWN_FAILED] * 5, Outcome.DONE]


async def test_a_start_that_fails_otherwise_counts() -> None:
    """No process could be made: an attempt each, with a backoff (DESIGN §8)."""
    async with running_core() as core:
        core.launcher.fail_next("/bin/sh can't be started: no more processes")
        task = await core.add("fork")

        row = await core.task(task)

        assert (row.status, row.attempts) == ("open", 1)
        assert await core.why(task) == ["backoff"]


async def test_a_full_disk_is_told_and_gets_over_by_itself() -> None:
    """Status and why say what is wrong; the end learnt meanwhile is written later."""
    store = await bad_disk()
    try:
        async with running_core(store=store) as core:
            first = await core.add("first")
            second = await core.add("second", after=(first,))
            store.full = True
            core.launcher.exit(await core.holder(first), code=0)
            await core.settle()

            assert await core.status(first) == "in-progress"
            ill = [one for one in core.engine.reactors if not one.ok]
            assert [one.name for one in ill] == ["store"]
            assert "the disk is full" in (ill[0].error or "")
            other = await core.store.read(core.engine.service_facts, core.clock.now())
            assert "the disk is full" in (other.trouble or "")

            store.full = False
            core.clock.advance(1)
            await core.settle()
            assert await core.status(first) == "done"
            assert await core.status(second) == "in-progress"
            assert all(one.ok for one in core.engine.reactors)
            await store.read(check_invariants, core.clock.now())
    finally:
        await store.close()


async def test_why_does_not_promise_a_start_on_a_full_disk() -> None:
    """A task that is ready says that the daemon can't write, not "the next tick"."""
    store = await bad_disk()
    try:
        async with running_core(store=store) as core:
            task = await core.add("later", not_before="1m")
            store.full = True
            core.clock.advance(61)
            await core.settle()

            reply = await core.do(r.ExplainTask(task=task))

            messages: list[Any] = [reason.message for reason in reply.data.reasons]
            assert any("the disk is full" in message for message in messages), messages
    finally:
        await store.close()


class NoFiles(FakeLauncher):
    """A launcher that may open no more files, once for each thing that it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()
        self.launched = anyio.Event()
        self.has_swept = anyio.Event()

    def _refuse_once(self, what: str) -> None:
        if what not in self.refused:
            self.refused.add(what)
            raise OSError(errno.EMFILE, "Too many open files")

    async def prepare(self, orders: Sequence[LaunchOrder]) -> dict[int, str]:
        """Fails once: no thread can be started."""
        if "prepare" not in self.refused:
            self.refused.add("prepare")
            message = "can't start new thread"
            raise RuntimeError(message)
        return await super().prepare(orders)

    async def launch(self, order: LaunchOrder) -> Started:
        """Says that it has been asked."""
        self.launched.set()
        return await super().launch(order)

    async def wait_ended(self, agent: int) -> Ended:
        """Fails once."""
        self._refuse_once("wait")
        return await super().wait_ended(agent)

    async def sweep(
        self, agents: Sequence[SweepTarget], limit_s: float = 1
    ) -> dict[int, tuple[ProcessId, ...]]:
        """Fails once."""
        self._refuse_once("sweep")
        self.has_swept.set()
        return await super().sweep(agents, limit_s)


@pytest.mark.slow
async def test_a_machine_without_room_is_asked_again() -> None:
    """No thread, no file: the engine lives, and the end is what it was."""
    launcher = NoFiles()
    async with running_core(launcher=launcher) as core:
        task = (await core.do(r.AddTask(title="t", exec="true"))).data.id
        with anyio.fail_after(30):
            await launcher.launched.wait()
        await core.exit(task, code=3)
        with anyio.fail_after(30):
            while True:
                ticked = core.engine.ticked
                if await core.status(task) == "failed":
                    break
                await ticked.wait()
            await launcher.has_swept.wait()

        assert launcher.refused == {"prepare", "wait", "sweep"}
        assert [agent.exit_code for agent in await core.agents(task)] == [3]
