"""Inputs of agents that are kept open: pipes whose other ends are ours.

They end with this process, and so does whoever reads to the end of its input.
"""

import fcntl
import os
import termios
from array import array

import anyio


class Inputs:
    """The writing ends, by agent."""

    def __init__(self) -> None:
        self._fds: dict[int, int] = {}
        self._writing: dict[int, anyio.Lock] = {}

    def keep(self, agent: int, fd: int) -> None:
        """Takes over the writing end of a started agent's input."""
        os.set_blocking(fd, False)
        self._fds[agent] = fd
        self._writing[agent] = anyio.Lock()

    def has(self, agent: int) -> bool:
        """Whether an agent can be written to, as far as that is known."""
        return agent in self._fds

    def is_unread(self, agent: int) -> bool:
        """Whether something that was written for it is left in its pipe."""
        fd = self._fds.get(agent)
        if fd is None:
            return False
        size = array("i", [0])
        fcntl.ioctl(fd, termios.FIONREAD, size)
        return size[0] > 0

    async def write(self, agent: int, data: bytes) -> bool:
        """Writes all of it, one writer at a time; false where nobody reads it."""
        lock = self._writing.get(agent)
        if lock is None:
            return False
        rest = memoryview(data)
        async with lock:
            while rest:
                fd = self._fds.get(agent)
                if fd is None:
                    return False
                try:
                    rest = rest[os.write(fd, rest) :]
                except BlockingIOError:
                    await anyio.wait_writable(fd)
                except BrokenPipeError:
                    self.close(agent)
                    return False
        return True

    def close(self, agent: int) -> None:
        """Ends an agent's input; nothing where it has none."""
        fd = self._fds.pop(agent, None)
        self._writing.pop(agent, None)
        if fd is not None:
            anyio.notify_closing(fd)
            os.close(fd)

    def close_all(self) -> None:
        """Ends the inputs of all."""
        for agent in tuple(self._fds):
            self.close(agent)
