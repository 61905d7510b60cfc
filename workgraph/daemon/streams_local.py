"""Standard streams and files of this process, for a call that no daemon answers."""

import os
import stat
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread

from workgraph.daemon.streams import file_refusal
from workgraph.daemon.writing import sync_folder
from workgraph.graph.errors import UserError


class ReaderGoneError(BrokenPipeError):
    """Nobody reads what is written any more: `wg` ends as of SIGPIPE, quietly."""


class LocalStreams:
    """What `Streams` is over the socket, in this process."""

    async def out(self, data: str | bytes) -> None:
        """Writes to standard output."""
        _write(1, data)

    async def err(self, data: str | bytes) -> None:
        """Writes to standard error."""
        _write(2, data)

    async def out_or_drop(self, data: str | bytes) -> None:
        """Writes to standard output; nobody else waits for this process."""
        _write(1, data)

    @asynccontextmanager
    async def interruptible(self) -> AsyncGenerator[None]:
        """Nobody can go away but this process itself."""
        yield

    async def read_stdin(self, limit: int) -> bytes:
        """All of standard input."""
        content = await anyio.to_thread.run_sync(sys.stdin.buffer.read, limit + 1)
        return _bounded(content, "standard input", limit)

    async def read_file(self, path: str, limit: int) -> bytes:
        """All of a file that the user named."""
        try:
            content = await anyio.Path(path).read_bytes()
        except OSError as error:
            raise file_refusal("read", path, str(error.strerror)) from error
        return _bounded(content, path, limit)

    async def write_file(self, path: str, chunks: AsyncGenerator[bytes]) -> None:
        """Writes a file that the user named, whole or not at all."""
        real = await anyio.to_thread.run_sync(os.path.realpath, path)
        beside = f"{real}.{os.getpid()}.tmp"
        try:
            mode = await anyio.to_thread.run_sync(_mode_of, real)
            if mode is not None and not stat.S_ISREG(mode):
                # A terminal, a pipe, /dev/null: nothing to put in its place.
                async with await anyio.open_file(real, "wb") as file:
                    async for chunk in chunks:
                        await file.write(chunk)
                return
            async with await anyio.open_file(beside, "xb") as file:
                async for chunk in chunks:
                    await file.write(chunk)
                await file.flush()
                if mode is not None:
                    os.fchmod(file.wrapped.fileno(), stat.S_IMODE(mode))
                await anyio.to_thread.run_sync(os.fsync, file.wrapped.fileno())
            await anyio.to_thread.run_sync(os.replace, beside, real)
            await anyio.to_thread.run_sync(sync_folder, os.path.dirname(real))
        except OSError as error:
            await anyio.Path(beside).unlink(missing_ok=True)
            raise file_refusal("write", path, str(error.strerror)) from error


def _mode_of(path: str) -> int | None:
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _write(fd: int, data: str | bytes) -> None:
    left = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    try:
        while left:
            left = left[os.write(fd, left) :]
    except BrokenPipeError as error:
        raise ReaderGoneError(*error.args) from error


def _bounded(content: bytes, name: str, limit: int) -> bytes:
    if len(content) > limit:
        raise UserError(f"{name} is larger than {limit} bytes")
    return content
