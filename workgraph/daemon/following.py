"""`wg output -f`: a file as it grows, line by line, until its agent is gone."""

import os
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import anyio
import anyio.to_thread

from workgraph.daemon.showing import Shown
from workgraph.graph.replies import OutputData

_CHUNK: Final = 1024 * 1024
#: How often a file that grows is looked at while somebody follows it.
_LOOK_S: Final = 0.2


class Out(Protocol):
    """Standard output of who follows."""

    async def out(self, data: str | bytes) -> None:
        """Writes to it; waits while it is slow."""


async def follow(
    ask: Callable[[], Awaitable[OutputData]],
    shown: Shown | None,
    streams: Out,
) -> None:
    """Writes an agent's output from its beginning, then as it grows, until it is gone.

    Args:
        ask: Says where the output is, and whether the agent has ended.
        shown: What it is shown through; null: its bytes as they are.
        streams: Where it is written.
    """
    at = 0
    while True:
        # Asked before the file is read: what ended by then writes no more.
        data = await ask()
        began = at
        while chunk := await anyio.to_thread.run_sync(_read_at, data.path, at):
            at += len(chunk)
            if shown is None:
                await streams.out(chunk)
            else:
                # A line of a stream may be long, and others are served meanwhile.
                await streams.out(await anyio.to_thread.run_sync(shown.feed, chunk))
        if shown is not None and (data.ended or at == began):
            await streams.out(shown.rest(ended=data.ended))
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
