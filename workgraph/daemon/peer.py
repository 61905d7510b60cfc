"""Who is at the other end of a connection, by the kernel's word.

The process is looked at once for each connection, when first a request needs it. The
kernel's descriptor for it, where there is one (SO_PEERPIDFD, Linux 6.5), says whether
it was still there afterwards: a number alone may have become another's.
"""

import os
import select
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import anyio
import anyio.to_thread
from msgspec import Struct

from workgraph.agents import signs
from workgraph.agents.signs import Memory, Trail
from workgraph.graph.errors import TryLaterError, may_pass

#: `SO_PEERPIDFD` of asm-generic/socket.h; `socket` has no name for it.
_SO_PEERPIDFD: Final = 77
#: Where that number means something else.
_OTHER_NUMBERS: Final = ("sparc", "parisc", "alpha")
_UCRED: Final = struct.Struct("3i")
_INT: Final = struct.Struct("i")
#: A look takes some tenths of a millisecond; this long, if something hangs.
_LOOK_S: Final = 10.0
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


class Look(Struct, frozen=True, kw_only=True):
    """What a look at the process has found."""

    trail: Trail = Trail()
    #: It had ended by then: the trail says nothing.
    is_gone: bool = False


class Witness:
    """One process, looked at when first somebody asks, and not again.

    Args:
        pid: Its number here; 0 when it is in no namespace that can be seen from here.
        open_pidfd: Gives a descriptor of the process: -1 where the kernel knows none,
            null when it has ended.
        connected_at: Clock ticks after boot at which it was surely alive; a process
            that started later only has the number of one that is gone.
    """

    def __init__(
        self,
        pid: int,
        open_pidfd: Callable[[], int | None] | None = None,
        connected_at: int | None = None,
    ) -> None:
        self._pid = pid
        self._open_pidfd = open_pidfd
        self._connected_at = connected_at
        self._found: Look | None = None

    async def look(self, memory: Memory | None = None) -> Look:
        """What tells whose it is; blocks nobody.

        Args:
            memory: What is known of the ancestors of other callers.

        Raises:
            TryLaterError: It could not be looked at in time.
        """
        if self._found is None:
            pidfd = self._open_pidfd() if self._open_pidfd is not None else -1
            if pidfd is None:
                self._found = Look(is_gone=True)
            else:
                self._found = await self._look_in_time(pidfd, memory)
        return self._found

    async def _look_in_time(self, pidfd: int, memory: Memory | None) -> Look:
        with anyio.move_on_after(_LOOK_S):
            # a thread: what is read can be held up by whoever is looked at
            try:
                return await anyio.to_thread.run_sync(
                    self._look, pidfd, memory, abandon_on_cancel=True
                )
            except (OSError, RuntimeError) as error:
                if not may_pass(error):
                    raise
                what = f"whose process {self._pid} is can't be seen: {error}"
                raise TryLaterError(what, hint="try again") from error
        raise TryLaterError(
            f"whose process {self._pid} is could not be seen within {_LOOK_S:g} s",
            hint="try again",
        )

    def _look(self, pidfd: int, memory: Memory | None) -> Look:
        try:
            trail = signs.look(self._pid, memory)
            is_gone = self._has_ended(pidfd)
        finally:
            if pidfd >= 0:
                os.close(pidfd)
        return Look(is_gone=True) if is_gone else Look(trail=trail)

    def _has_ended(self, pidfd: int) -> bool:
        if self._pid == 0:
            return False
        if pidfd >= 0:
            state = select.poll()
            state.register(pidfd, select.POLLIN)
            return bool(state.poll(0))
        stat = signs.read_stat(self._pid)
        if stat is None or not stat.alive:
            return True
        return self._connected_at is not None and stat.start_ticks > self._connected_at


class Peer(Struct, frozen=True, kw_only=True):
    """Who is at the other end."""

    pid: int
    uid: int
    gid: int
    witness: Witness | None = None

    async def look(self, memory: Memory | None = None) -> Look:
        """What tells whose process it is."""
        return await (self.witness or Witness(self.pid)).look(memory)


def peer_of(sock: socket.socket) -> Peer:
    """Who has connected this socket."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(credentials)

    def open_pidfd() -> int | None:
        return _peer_pidfd(sock, pid)

    connected_at = int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS_PER_S)
    witness = Witness(pid, open_pidfd, connected_at)
    return Peer(pid=pid, uid=uid, gid=gid, witness=witness)


def _peer_pidfd(sock: socket.socket, pid: int) -> int | None:
    """A descriptor of who connected: -1 where there is none to be had, null: gone."""
    if not os.uname().machine.startswith(_OTHER_NUMBERS):
        with suppress(OSError):  # an old kernel, or the process has been reaped
            return sock.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    return -1 if pid == 0 or os.path.exists(f"/proc/{pid}") else None
