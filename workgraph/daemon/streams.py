"""What a command has of the terminal of the `wg` that called it."""

import errno
import os
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Final, Protocol

import anyio
import anyio.lowlevel

from workgraph import wire
from workgraph.graph.errors import UserError

#: What a slow reader of a stream may be behind before lines are left out.
MAX_BEHIND_BYTES: Final = 1024 * 1024
#: How a client says that a file is not there.
_MISSING: Final = frozenset(map(os.strerror, (errno.ENOENT, errno.ENOTDIR)))


class ClientGone(Exception):  # noqa: N818 - an event, not a mistake
    """The client went away while something was expected of it."""


class FileMissingError(UserError):
    """A file of the caller can't be read because it is not there."""


class Link(Protocol):
    """The connection, as far as streams need it."""

    received: wire.FrameBuffer
    gone: anyio.Event

    @property
    def is_backed_up(self) -> bool:
        """Whether the client is slower than what was written for it."""
        ...

    def scope_while_here(self) -> anyio.CancelScope:
        """A scope, to be entered now, that is cancelled when the client goes away."""
        ...

    def write(self, data: bytes) -> None:
        """Hand over bytes without waiting; dropped if the client is gone."""
        ...

    async def wait_writable(self) -> None:
        """Return when little is waiting to be sent, or the client is gone."""
        ...

    async def wait_received(self) -> bool:
        """Return True when more has arrived, False when no more will come."""
        ...


class Streams:
    """Standard streams and files of one call; see `wire` for the frames.

    Output blocks while the client is slow, and is dropped once it is gone: a
    transaction goes on to its end. A stream that has no end runs inside
    `interruptible()`.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._reading = anyio.Lock()
        self._behind: deque[bytes] = deque()
        self._behind_bytes = 0
        self._left_out = 0

    @property
    def closed(self) -> anyio.Event:
        """Set when the client went away (Ctrl-C, a closed terminal)."""
        return self._link.gone

    async def out(self, data: str | bytes) -> None:
        """Write to the client's standard output; waits while the client is slow."""
        await self._write(wire.OUT, data)

    async def err(self, data: str | bytes) -> None:
        """Write to the client's standard error; waits while the client is slow."""
        await self._write(wire.ERR, data)

    async def out_or_drop(self, data: str | bytes) -> None:
        """Write whole lines to standard output without waiting for a slow client.

        Once the client is `MAX_BEHIND_BYTES` behind, its oldest lines are left out,
        and standard error says how many.
        """
        for line in _encoded(data).splitlines(keepends=True):
            self._behind.append(line)
            self._behind_bytes += len(line)
        while self._behind_bytes > MAX_BEHIND_BYTES and len(self._behind) > 1:
            if not self._link.is_backed_up:
                self._catch_up()
                continue
            self._behind_bytes -= len(self._behind.popleft())
            self._left_out += 1
        self._catch_up()
        # A stream that never waits must still let others run, and be cancelled.
        await anyio.lowlevel.checkpoint()

    def resume(self) -> None:
        """Send what `out_or_drop` kept; the connection calls it when it can."""
        self._catch_up()

    async def finish(self, status: int) -> None:
        """Send what is left, then the exit status."""
        await self._flush()
        self._link.write(wire.encode_frame(wire.EXIT, b"%d" % status))

    @asynccontextmanager
    async def interruptible(self) -> AsyncGenerator[None]:
        """Within it the client's going away cancels; what follows the block runs."""
        with self._link.scope_while_here():
            yield

    async def read_stdin(self, limit: int) -> bytes:
        """All of the client's standard input.

        Args:
            limit: The most bytes that are accepted.

        Raises:
            UserError: There is more, or it can't be read.
            ClientGone: The client went away before its end.
        """
        ask = wire.encode_frame(wire.ASK_STDIN, b"%d" % (limit + 1))
        return await self._gather(ask, "standard input", limit)

    async def stdin_chunks(self) -> AsyncGenerator[bytes]:
        """The client's standard input as it comes; close it only to end the call."""
        ask = wire.encode_frame(wire.ASK_STDIN, b"0")
        async with aclosing(self._chunks(ask, "standard input")) as chunks:
            async for chunk in chunks:
                yield chunk

    async def read_file(self, path: str, limit: int) -> bytes:
        """All of a file that the user named, read by the client.

        Args:
            path: Relative to the client's folder, or absolute.
            limit: The most bytes that are accepted.

        Raises:
            UserError: It can't be read, or is longer.
            ClientGone: The client went away before its end.
        """
        return await self._gather(_path_frame(wire.READ_FILE, path), path, limit)

    async def file_chunks(self, path: str) -> AsyncGenerator[bytes]:
        """A file that the user named, in pieces; errors as for `read_file`.

        Close it early only to end the call.
        """
        async with aclosing(
            self._chunks(_path_frame(wire.READ_FILE, path), path)
        ) as chunks:
            async for chunk in chunks:
                yield chunk

    async def write_file(
        self, path: str, chunks: Iterable[bytes] | AsyncIterator[bytes]
    ) -> None:
        """Write a file that the user named: by the client, whole or not at all.

        Args:
            path: Relative to the client's folder, or absolute.
            chunks: Its content. When making it fails, the file stays as it was.

        Raises:
            UserError: It can't be written.
            ClientGone: The client went away before it was.
        """
        async with self._reading:
            await self._ask(_path_frame(wire.WRITE_FILE, path))
            await self._expect_done(path)
            try:
                if isinstance(chunks, AsyncIterator):
                    async for chunk in chunks:
                        await self._write(wire.WRITE_CHUNK, chunk)
                else:
                    for chunk in chunks:
                        await self._write(wire.WRITE_CHUNK, chunk)
            except BaseException:
                self._link.write(wire.encode_frame(wire.WRITE_ABANDON))
                raise
            await self._ask(wire.encode_frame(wire.WRITE_END))
            await self._expect_done(path)

    async def _write(self, kind: bytes, data: str | bytes) -> None:
        await self._flush()
        encoded = _encoded(data)
        size = wire.CHUNK_BYTES
        for at in range(0, len(encoded), size):
            self._link.write(wire.encode_frame(kind, encoded[at : at + size]))
            await self._link.wait_writable()

    async def _flush(self) -> None:
        while self._behind:
            await self._link.wait_writable()
            self._catch_up()

    def _catch_up(self) -> None:
        if self._left_out and not self._link.is_backed_up:
            word = f"wg: {self._left_out} lines left out: the reader is too slow\n"
            self._link.write(wire.encode_frame(wire.ERR, word.encode()))
            self._left_out = 0
        while self._behind and not self._link.is_backed_up:
            batch = bytearray()
            while self._behind and len(batch) < wire.CHUNK_BYTES:
                line = self._behind.popleft()
                room = wire.CHUNK_BYTES - len(batch)
                batch += line[:room]
                if len(line) > room:
                    self._behind.appendleft(line[room:])
            self._behind_bytes -= len(batch)
            self._link.write(wire.encode_frame(wire.OUT, bytes(batch)))

    async def _gather(self, ask: bytes, name: str, limit: int) -> bytes:
        content = bytearray()
        async with aclosing(self._chunks(ask, name)) as chunks:
            async for chunk in chunks:
                content += chunk
                if len(content) > limit:
                    message = f"{name} is longer than {limit} bytes"
                    raise UserError(message)
        return bytes(content)

    async def _chunks(self, ask: bytes, name: str) -> AsyncGenerator[bytes]:
        async with self._reading:
            await self._ask(ask)
            while True:
                kind, body = await self._next_frame()
                if kind == wire.DATA:
                    yield body
                elif kind == wire.END:
                    return
                else:
                    raise _failure("read", name, kind, body)

    async def _expect_done(self, name: str) -> None:
        kind, body = await self._next_frame()
        if kind != wire.DONE:
            raise _failure("write", name, kind, body)

    async def _ask(self, frame: bytes) -> None:
        await self._flush()
        self._link.write(frame)

    async def _next_frame(self) -> tuple[bytes, bytes]:
        while (frame := self._link.received.take()) is None:
            if not await self._link.wait_received():
                raise ClientGone
        return frame


def file_refusal(verb: str, name: str, reason: str) -> UserError:
    """The error for a file of the caller that can't be read or written."""
    remedies = {"read": "name a file that you can read"}
    remedy = remedies.get(verb, "name a place that you can write to, with room in it")
    error = FileMissingError if reason in _MISSING else UserError
    return error(f"can't {verb} {name}: {reason}", hint=remedy)


def _encoded(data: str | bytes) -> bytes:
    if isinstance(data, bytes):
        return data
    try:
        return data.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate that JSON brought in
        return data.encode("utf-8", "replace")


def _path_frame(kind: bytes, path: str) -> bytes:
    encoded = _encoded(path)
    if b"\0" in encoded or len(encoded) > wire.CHUNK_BYTES:
        message = f"not a path: {path[:80]!r}"
        raise UserError(message)
    return wire.encode_frame(kind, encoded)


def _failure(verb: str, name: str, kind: bytes, body: bytes) -> Exception:
    if kind != wire.FAILED:
        return wire.WireError(f"a frame {kind!r} that was not asked for")
    return file_refusal(verb, name, body.decode("utf-8", "replace"))
