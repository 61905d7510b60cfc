import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from tests.core import running_core
from workgraph.daemon.notify import (
    HANDED_OVER,
    NotifySocket,
    keep_status,
    keep_watchdog,
    take_over,
)
from workgraph.graph.errors import UserError
from workgraph.logs import NoLog

PATIENCE_S = 30


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.name = address.replace("\0", "@")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(0)

    def notify(self) -> NotifySocket:
        """A daemon's end."""
        return NotifySocket(self.name, NoLog())

    async def hear(self) -> str:
        """The next message."""
        with anyio.fail_after(PATIENCE_S):
            await anyio.wait_readable(self.socket)
            return self.socket.recv(4096).decode()

    def unheard(self) -> list[str]:
        """The messages that are there."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return found


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """One at a path."""
    manager = Manager(str(tmp_path / "notify"))
    yield manager
    manager.socket.close()


async def test_what_is_told_is_one_message(manager: Manager) -> None:
    """A line each, and no line that the text could have made."""
    await manager.notify().tell("READY=1", "STATUS=a\nb")

    assert await manager.hear() == "READY=1\nSTATUS=a b"


async def test_an_abstract_socket_is_reached() -> None:
    """`@` stands for the NUL at the beginning of its name."""
    manager = Manager(f"\0wg-test-{os.getpid()}")

    await manager.notify().tell("READY=1")

    assert await manager.hear() == "READY=1"
    manager.socket.close()


async def test_a_manager_that_is_gone_ends_nothing(tmp_path: Path) -> None:
    """It is logged once, until it can be reached again."""
    told: list[str] = []

    class Log(NoLog):
        def warning(self, event: str, **values: object) -> None:
            told.append(event)

    notify = NotifySocket(str(tmp_path / "nobody"), Log())

    await notify.tell("READY=1")
    await notify.tell("WATCHDOG=1")

    assert told == ["manager_unreachable"]
    assert not NotifySocket(None, Log()).is_heard


async def test_a_reload_is_told_with_its_moment(manager: Manager) -> None:
    """Also when the settings were refused: the daemon is ready again."""
    with pytest.raises(UserError):
        async with manager.notify().reloading():
            raise UserError("broken")

    began, _, at = (await manager.hear()).partition("\n")
    assert began == "RELOADING=1"
    assert at.startswith("MONOTONIC_USEC=")
    assert at.removeprefix("MONOTONIC_USEC=").isdigit()
    assert await manager.hear() == "READY=1"


async def test_a_long_job_is_given_time(manager: Manager) -> None:
    """Whatever comes of it; without a watchdog there is nothing to say."""
    async with manager.notify().long_job():
        pass
    assert manager.unheard() == []

    notify = NotifySocket(manager.name, NoLog(), 30)
    with pytest.raises(UserError):
        async with notify.long_job():
            raise UserError("no import")

    assert manager.unheard() == ["WATCHDOG_USEC=600000000", "WATCHDOG_USEC=30000000"]


async def test_the_watchdog_is_petted_by_ticks(manager: Manager) -> None:
    """Again and again, each time after one that was asked for."""
    async with running_core() as core, anyio.create_task_group() as group:
        group.start_soon(keep_watchdog, manager.notify(), core.engine, 0.02)

        heard = [await manager.hear() for _ in range(3)]

        group.cancel_scope.cancel()
    assert heard == ["WATCHDOG=1"] * 3


async def test_a_database_that_hangs_is_not_covered_up(manager: Manager) -> None:
    """The loop goes on, and the watchdog hears nothing of it."""
    release = threading.Event()
    async with running_core() as core, anyio.create_task_group() as group:
        hangs = threading.Event()

        def hang(_tx: object) -> None:
            hangs.set()
            release.wait(PATIENCE_S)

        group.start_soon(core.store.transaction, hang, 0)
        with anyio.fail_after(PATIENCE_S):
            while not hangs.is_set():
                await anyio.lowlevel.checkpoint()
        group.start_soon(keep_watchdog, manager.notify(), core.engine, 0.001)
        for _ in range(1000):
            await anyio.lowlevel.checkpoint()

        silent = manager.unheard()
        release.set()

        assert silent == []
        assert await manager.hear() == "WATCHDOG=1"
        group.cancel_scope.cancel()


async def test_the_status_is_what_there_is(manager: Manager) -> None:
    """Told when it has changed, and not otherwise."""
    async with running_core() as core, anyio.create_task_group() as group:
        notify = manager.notify()
        group.start_soon(lambda: keep_status(notify, core.engine, gap_s=0))
        first = await manager.hear()

        task = await core.add("a")
        await core.exit(task)
        last = first
        while last != "STATUS=0 agents, 1 task: 1 done":
            last = await manager.hear()

        assert first == "STATUS=0 agents, no tasks"
        group.cancel_scope.cancel()


def test_what_is_handed_over_is_taken_out() -> None:
    """Nobody else is to believe it."""
    env = dict.fromkeys(HANDED_OVER, "1") | {"HOME": "/home/me"}
    env |= {"NOTIFY_SOCKET": "/run/notify", "LISTEN_PID": "7", "WATCHDOG_PID": "7"}
    env |= {"WATCHDOG_USEC": "30000000"}

    taken = take_over(env, 7)

    assert taken.env == {"HOME": "/home/me"}
    assert taken.notify_path == "/run/notify"
    assert taken.watchdog_s == 30
    assert taken.listen_fd == 3


def test_what_is_for_another_process_is_not_ours() -> None:
    """A child of a service sees its variables, and must not act on them."""
    env = {"LISTEN_FDS": "1", "LISTEN_PID": "8", "WATCHDOG_USEC": "9"}
    env |= {"WATCHDOG_PID": "8"}

    taken = take_over(env, 7)

    assert (taken.env, taken.listen_fd, taken.watchdog_s) == ({}, None, None)


def test_more_than_one_socket_is_refused() -> None:
    """Which of them is meant can't be known."""
    with pytest.raises(UserError, match="handed over 2 sockets"):
        take_over({"LISTEN_FDS": "2", "LISTEN_PID": "7"}, 7)
