"""What a service manager hands to `wgd`, and what `wgd` tells it (sd_notify(3)).

systemd names a datagram socket in NOTIFY_SOCKET, and leaves a listening socket as
descriptor 3 where LISTEN_FDS says so. Both are for this process alone: the variables
are taken out of the environment before anything else sees it, and the descriptor, once
adopted, does not pass to children. Without a service manager all of this does nothing.
"""

import socket
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import anyio
import anyio.to_thread

from workgraph.daemon.engine import Engine
from workgraph.graph.errors import UserError
from workgraph.graph.model import Record
from workgraph.logs import Logger
from workgraph.store import service
from workgraph.store.database import Tx

#: Variables that speak to one process: another one must not believe them.
HANDED_OVER: Final = frozenset(
    {
        *("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"),
        *("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID"),
    }
)
_FIRST_FD: Final = 3
#: How long a manager that does not read may keep us.
_SEND_S: Final = 10.0
#: What one transaction may take: ten million tasks are imported in less.
_LONG_JOB_S: Final = 600.0
#: How often the status line may change: a person reads it.
_STATUS_GAP_S: Final = 5.0


class Handover(Record, frozen=True, kw_only=True):
    """What came with the start; all of it null when no service manager did it."""

    #: The environment without what was meant for this process alone.
    env: Mapping[str, str]
    notify_path: str | None = None
    #: Within which time the manager wants to hear from us.
    watchdog_s: float | None = None
    #: The descriptor of a socket that listens already.
    listen_fd: int | None = None


def take_over(env: Mapping[str, str], pid: int) -> Handover:
    """Takes what a service manager left for the process of that pid.

    Raises:
        UserError: It handed over something else than one socket.
    """
    path = env.get("NOTIFY_SOCKET", "")
    watchdog = env.get("WATCHDOG_USEC", "")
    for_us = env.get("WATCHDOG_PID", str(pid)) == str(pid)
    count = env.get("LISTEN_FDS", "0") if env.get("LISTEN_PID") == str(pid) else "0"
    if count not in {"0", "1"}:
        raise UserError(
            f"the service manager handed over {count} sockets, and wgd has one",
            hint="`wg service install` writes the units anew",
        )
    return Handover(
        env=without_handover(env),
        notify_path=path if path.startswith(("/", "@")) else None,
        watchdog_s=int(watchdog) / 1e6 if for_us and watchdog.isdigit() else None,
        listen_fd=_FIRST_FD if count == "1" else None,
    )


def without_handover(env: Mapping[str, str]) -> dict[str, str]:
    """An environment without what spoke to one process alone. Pure."""
    return {name: value for name, value in env.items() if name not in HANDED_OVER}


class NotifySocket:
    """Tells the service manager; without one, tells nobody.

    Args:
        path: NOTIFY_SOCKET; one that begins with `@` is in the abstract namespace.
        log: Told when the manager can't be reached; it is no reason to end.
        watchdog_s: Within which time it wants to hear from us.
    """

    def __init__(
        self, path: str | None, log: Logger, watchdog_s: float | None = None
    ) -> None:
        self._watchdog_s = watchdog_s
        self._address = path and path.replace("@", "\0", 1)
        self._log = log
        self._failed = False

    @property
    def is_heard(self) -> bool:
        """Whether there is somebody to tell."""
        return bool(self._address)

    async def tell(self, *lines: str) -> None:
        """Sends assignments such as `READY=1`, as one message."""
        if self._address:
            await anyio.to_thread.run_sync(self.tell_now, *lines)

    def tell_now(self, *lines: str) -> None:
        """The same, for where no loop runs. It may block for seconds."""
        if not self._address:
            return
        data = "\n".join(line.replace("\n", " ") for line in lines).encode()
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
        with socket.socket(socket.AF_UNIX, kind) as sender:
            sender.settimeout(_SEND_S)
            try:
                sender.sendto(data, self._address)
            except OSError as error:
                if not self._failed:
                    self._log.warning("manager_unreachable", error=str(error))
                self._failed = True
            else:
                self._failed = False

    @asynccontextmanager
    async def long_job(self) -> AsyncGenerator[None]:
        """A block in which one transaction may keep the engine: an import of millions.

        The watchdog waits longer meanwhile.
        """
        if self._watchdog_s is None:
            yield
            return
        await self.tell(_watchdog_line(_LONG_JOB_S))
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await self.tell(_watchdog_line(self._watchdog_s))

    @asynccontextmanager
    async def reloading(self) -> AsyncGenerator[None]:
        """A block in which the settings are read again, whatever comes of it."""
        at_us = time.monotonic_ns() // 1000
        await self.tell("RELOADING=1", f"MONOTONIC_USEC={at_us}")
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await self.tell("READY=1")


async def keep_watchdog(notify: NotifySocket, engine: Engine, within_s: float) -> None:
    """Tells the manager twice in `within_s` that the engine gets its work done.

    Each word follows a tick that was asked for: one that went through the engine's
    loop and a transaction in the database's thread. Where either hangs, none is said.
    """
    while True:
        # The first that ends may have begun before; the second has not.
        for _ in range(2):
            ticked = engine.ticked
            engine.wake()
            await ticked.wait()
        await notify.tell("WATCHDOG=1")
        await anyio.sleep(within_s / 2)


async def keep_status(
    notify: NotifySocket, engine: Engine, *, gap_s: float = _STATUS_GAP_S
) -> None:
    """Tells the manager in a line what there is, whenever it has changed."""
    told = ""
    while True:
        committed = engine.committed
        line = await engine.store.read(_status_line, engine.clock.now())
        if line != told:
            await notify.tell(f"STATUS={line}")
            told = line
        await committed.wait()
        await anyio.sleep(gap_s)


def _watchdog_line(within_s: float) -> str:
    return f"WATCHDOG_USEC={round(within_s * 1e6)}"


def _status_line(tx: Tx) -> str:
    agents = service.count_live(tx)
    counts = service.counts(tx)
    parts = [f"{n} {status}" for status, n in counts.items() if n]
    tasks = f"{_of(sum(counts.values()), 'task')}: {', '.join(parts)}"
    if not parts:
        tasks = "no tasks"
    paused = "paused, " if service.is_service_paused(tx) else ""
    return f"{paused}{_of(agents, 'agent')}, {tasks}"


def _of(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
