"""`wg output -f`: a file as it grows, line by line, until its agent is gone."""

import os
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import anyio
import anyio.to_thread

from workgraph.graph.replies import OutputData

_CHUNK: Final = 1024 * 1024
#: A line that is longer is shown in pieces.
_LONGEST_LINE: Final = 64 * 1024
#: How often a file that grows is looked at while somebody follows it.
_LOOK_S: Final = 0.2


class Out(Protocol):
    """Standard output of who follows."""

    async def out(self, data: str | bytes) -> None:
        """Writes to it; waits while it is slow."""


class Lines:
    """Bytes as they come to text that is shown, whole lines where that is possible.

    What is hidden of a line, and what is one character of it, could be cut in two
    otherwise.
    """

    def __init__(self, show: Callable[[str], str]) -> None:
        self._show = show
        self._held = b""

    def feed(self, data: bytes) -> str:
        """What can be shown of it now; an unfinished line is held back."""
        data = self._held + data
        end = data.rfind(b"\n") + 1
        if len(data) - end > _LONGEST_LINE:
            end = len(data)
        self._held = data[end:]
        return self._show(data[:end].decode("utf-8", "replace"))

    def rest(self) -> str:
        """What was held back: nothing has come after it."""
        held, self._held = self._held, b""
        return self._show(held.decode("utf-8", "replace"))


async def follow(
    ask: Callable[[], Awaitable[OutputData]],
    show: Callable[[str], str] | None,
    streams: Out,
) -> None:
    """Writes an agent's output from its beginning, then as it grows, until it is gone.

    Args:
        ask: Says where the output is, and whether the agent has ended.
        show: What is done to its text before it is shown; null: its bytes as they are.
        streams: Where it is written.
    """
    lines = Lines(show or str)
    at = 0
    while True:
        # Asked before the file is read: what ended by then writes no more.
        data = await ask()
        began = at
        while chunk := await anyio.to_thread.run_sync(_read_at, data.path, at):
            at += len(chunk)
            await streams.out(chunk if show is None else lines.feed(chunk))
        if data.ended or at == began:
            await streams.out(lines.rest())
        if data.ended:
            return
        await anyio.sleep(_LOOK_S)


def _read_at(path: str, at: int) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(fd, _CHUNK, at)
    finally:
        os.close(fd)
