"""The project's socket: requests as lines of JSON, and calls of `wg`.

A connection that begins with `wg1 ` is a call (see `wire`): one command, its streams,
an exit status. Any other speaks lines of JSON (CONTRACT §5): each line is a request,
each request gets one line back, in order, or a stream of lines.

What a client does harms only itself: lines, calls and frames have a greatest length,
what was read but not yet used and what was written but not yet taken are bounded, and
an error that escapes a handler ends as an error of that request. A transaction is never
cut short because its client left; a stream is.
"""

import asyncio
import select
import socket
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import anyio
import anyio.abc
import msgspec

from workgraph import __version__, wire
from workgraph.daemon.call import Call, Handler, decode_call
from workgraph.daemon.peer import Peer, peer_of
from workgraph.daemon.streams import ClientGone, Streams
from workgraph.graph.errors import WorkgraphError
from workgraph.logs import Logger

MAX_LINE_BYTES: Final = 1024 * 1024
MAX_CONNECTIONS: Final = 1000
#: Beyond the limit this many may connect to be told so; more are closed at once.
SPARE_CONNECTIONS: Final = 100
#: How long the rest of a call may take to arrive.
CALL_ARRIVAL_S: Final = 30
#: Above this a handler waits before it writes more to a connection.
WRITE_BUFFER_BYTES: Final = 256 * 1024

_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_BAD: Final = "bad_request"


class Clients:
    """All connections of a server, and what they are served with."""

    def __init__(
        self, handler: Handler, owner_uid: int, most: int, log: Logger
    ) -> None:
        self.handler = handler
        self.log = log
        self.owner_uid = owner_uid
        self.most = most
        self.is_closing = False
        self._connections: set[Connection] = set()
        self._emptied = anyio.Event()

    def admit(self, connection: "Connection") -> bool:
        """Count a connection; whether it is to be kept, if only to be refused."""
        count = len(self._connections)
        if (
            connection.peer.uid not in {0, self.owner_uid}
            or count >= self.most + SPARE_CONNECTIONS
            or self.is_closing
        ):
            return False
        self._connections.add(connection)
        return True

    @property
    def is_full(self) -> bool:
        """Whether there are more than may be served."""
        return len(self._connections) > self.most

    def leave(self, connection: "Connection") -> None:
        """Forget a connection that was lost."""
        self._connections.discard(connection)
        if not self._connections:
            self._emptied.set()

    def hang_up(self) -> None:
        """Admit no more; let what has begun come to its end."""
        self.is_closing = True
        for connection in tuple(self._connections):
            connection.hang_up()

    async def wait_empty(self) -> None:
        """Return when no connection is left."""
        while self._connections:
            self._emptied = anyio.Event()
            await self._emptied.wait()

    def abort(self) -> None:
        """Close what is left, at once."""
        for connection in tuple(self._connections):
            connection.transport.abort()


class Connection(asyncio.Protocol):
    """One client. A task is started for it when its first byte arrives."""

    transport: asyncio.Transport
    peer: Peer

    def __init__(self, clients: Clients, group: anyio.abc.TaskGroup) -> None:
        self.clients = clients
        self.group = group
        self.received = wire.FrameBuffer()
        self.gone = anyio.Event()
        self.is_backed_up = False
        self._read_limit = MAX_LINE_BYTES
        self._is_refused = False
        self._is_idle = True
        self._has_task = False
        self._has_ended = False
        self._is_paused = False
        self._reader: asyncio.Future[None] | None = None
        self._writers: list[asyncio.Future[None]] = []
        self._scopes: list[anyio.CancelScope] = []
        self._streams: Streams | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, unless it is a stranger's or one too many."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.peer = peer_of(transport.get_extra_info("socket"))
        if not self.clients.admit(self):
            transport.abort()
            return
        self._is_refused = self.clients.is_full
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Keep what arrived, and wake whoever waits for it."""
        buffer = self.received.data
        buffer += data
        if len(buffer) > self._read_limit and not self._is_paused:
            self._is_paused = True
            self.transport.pause_reading()
        if self._reader is not None:
            _wake(self._reader)
        elif not self._has_task:
            self._has_task = True
            self.group.start_soon(self._serve)

    def eof_received(self) -> bool:
        """Note the end; who only closed their sending side still gets answers."""
        self._has_ended = True
        if _is_hung_up(self.transport.get_extra_info("socket")):
            self._mark_gone()
        if self._reader is not None:
            _wake(self._reader)
        return self._has_task

    def pause_writing(self) -> None:
        """The client is slow."""
        self.is_backed_up = True

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.is_backed_up = False
        if self._streams is not None:
            self._streams.resume()
        if not self.is_backed_up:
            self._wake_writers()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, or was sent away."""
        self._has_ended = True
        self.is_backed_up = False
        self._mark_gone()
        if self._reader is not None:
            _wake(self._reader)
        self._wake_writers()
        self.clients.leave(self)

    # What the server and the streams call.

    def write(self, data: bytes) -> None:
        """Send bytes, without waiting; dropped if the client is gone."""
        if not self.transport.is_closing():
            self.transport.write(data)

    async def wait_writable(self) -> None:
        """Return when little waits to be sent, or the client is gone."""
        while self.is_backed_up:
            writer = asyncio.get_running_loop().create_future()
            self._writers.append(writer)
            await writer

    async def wait_received(self) -> bool:
        """Return True when more arrived, False when no more will come."""
        if self._has_ended:
            return False
        if self._is_paused:
            self._is_paused = False
            self.transport.resume_reading()
        size = len(self.received.data)
        self._reader = asyncio.get_running_loop().create_future()
        try:
            await self._reader
        finally:
            self._reader = None
        return len(self.received.data) > size

    def scope_while_here(self) -> anyio.CancelScope:
        """A scope, to be entered now, that is cancelled when the client goes away."""
        scope = anyio.CancelScope()
        if self.gone.is_set():
            scope.cancel()
        else:
            self._scopes.append(scope)
        return scope

    def hang_up(self) -> None:
        """Let what has begun come to its end; take nothing new."""
        self._has_ended = True
        self._mark_gone()
        if self._is_idle:
            self.transport.close()
        if self._reader is not None:
            _wake(self._reader)

    # The connection's task.

    async def _serve(self) -> None:
        # The named boundary of a client: whatever happens in here ends here.
        try:
            if await self._is_call():
                await self._serve_call()
            else:
                await self._serve_lines()
        except ClientGone:
            pass
        except wire.WireError as error:
            self.clients.log.info(
                "client_misspoke", reason=str(error), pid=self.peer.pid
            )
        except Exception:
            self.clients.log.exception("client_failed", pid=self.peer.pid)
        finally:
            self.transport.close()

    async def _is_call(self) -> bool:
        data = self.received.data
        while len(data) < len(wire.MAGIC) and data == wire.MAGIC[: len(data)]:
            if not await self.wait_received():
                return False
        return data.startswith(wire.MAGIC[:2]) and data[2:3].isdigit()

    async def _serve_lines(self) -> None:
        while True:
            line = self._next_line()
            if line is None:
                self._is_idle = True
                if await self.wait_received():
                    continue
                line = bytes(self.received.data)
                self.received.data.clear()
                # Cut off, unless its sender still waits for the answer.
                if self.gone.is_set() or not line:
                    return
            if not line or line.isspace():
                continue
            self._is_idle = False
            if self._is_refused:
                self.write(_error_line("try_later", self._refusal()))
                return
            if len(line) > MAX_LINE_BYTES:
                message = f"a request is at most {MAX_LINE_BYTES} bytes long"
                self.write(_error_line(_BAD, message))
                await self._skip_line(line)
            else:
                await self._answer(line)
            if self.is_backed_up:
                await self.wait_writable()

    def _next_line(self) -> bytes | None:
        """The next line; as much as there is of one that is too long; else None."""
        data = self.received.data
        end = data.find(b"\n")
        if end < 0:
            if len(data) <= MAX_LINE_BYTES:
                return None
            line = bytes(data)
            data.clear()
            return line
        line = bytes(data[:end])
        # An oversize line keeps its end, so that `_skip_line` knows that it has one.
        if end > MAX_LINE_BYTES:
            line += b"\n"
        del data[: end + 1]
        return line

    async def _skip_line(self, line: bytes) -> None:
        data = self.received.data
        while not line.endswith(b"\n"):
            end = data.find(b"\n")
            if end >= 0:
                del data[: end + 1]
                return
            data.clear()
            if not await self.wait_received():
                return

    async def _answer(self, line: bytes) -> None:
        try:
            answer = await self.clients.handler.answer_line(line, self.peer)
            if not isinstance(answer, bytes):
                await self._stream(answer)
                return
        except _UNREADABLE as error:
            self.write(_error_line(_BAD, str(error)))
        except WorkgraphError as error:
            self.write(_error_line(error.code, error.message, error.hint))
        except Exception:
            self.clients.log.exception("request_failed", pid=self.peer.pid)
            message = "something went wrong in the daemon; its log says what"
            self.write(_error_line("bug", message))
        else:
            self.write(answer + b"\n")

    async def _stream(self, lines: AsyncGenerator[bytes]) -> None:
        with self.scope_while_here():
            async with aclosing(lines):
                async for line in lines:
                    self.write(line + b"\n")
                    await self.wait_writable()

    async def _serve_call(self) -> None:
        self._is_idle = False
        call = await self._receive_call()
        if call is None:
            return
        streams = Streams(self)
        self._streams = streams
        as_json = wire.wants_json(call.argv)
        try:
            if self._is_refused:
                await streams.err(
                    wire.error_text(self._refusal(), "", "try_later", as_json=as_json)
                )
                status = 75
            else:
                self.write(wire.encode_frame(wire.ACK))
                status = await self.clients.handler.run_call(call, streams)
        except WorkgraphError as error:
            text = wire.error_text(
                error.message, error.hint, error.code, as_json=as_json
            )
            await streams.err(text)
            status = error.exit_code
        except (ClientGone, wire.WireError):
            raise
        except Exception:
            self.clients.log.exception("call_failed", pid=self.peer.pid)
            message = "something went wrong in the daemon"
            hint = ".wg/log/wgd.jsonl says what"
            await streams.err(wire.error_text(message, hint, "bug", as_json=as_json))
            status = 1
        await streams.finish(status)

    async def _receive_call(self) -> Call | None:
        data = self.received.data
        self._read_limit = wire.MAX_CALL_BYTES
        with anyio.move_on_after(CALL_ARRIVAL_S):
            while (end := data.find(b"\n", 0, wire.MAX_HEADER_BYTES)) < 0:
                if len(data) >= wire.MAX_HEADER_BYTES:
                    message = "a call without a length"
                    raise wire.WireError(message)
                if not await self.wait_received():
                    return None
            header = bytes(data[:end])
            if header.partition(b" ")[0] != wire.MAGIC:
                self._refuse_version()
                return None
            size = wire.call_length(header)
            while len(data) < end + 1 + size:
                if not await self.wait_received():
                    return None
            payload = bytes(data[end + 1 : end + 1 + size])
            del data[: end + 1 + size]
            self._read_limit = MAX_LINE_BYTES
            return decode_call(payload, self.peer)
        return None

    def _refuse_version(self) -> None:
        text = wire.error_text(
            f"this daemon is of version {__version__} and does not know this wg",
            "restart it: `wg service restart`",
            "failed",
            as_json=False,
        )
        self.write(
            wire.encode_frame(wire.ERR, text.encode())
            + wire.encode_frame(wire.EXIT, b"1")
        )

    def _refusal(self) -> str:
        return f"the daemon has {self.clients.most} connections already"

    def _mark_gone(self) -> None:
        self.gone.set()
        for scope in self._scopes:
            scope.cancel()
        self._scopes.clear()

    def _wake_writers(self) -> None:
        for writer in self._writers:
            _wake(writer)
        self._writers.clear()


def _error_line(code: str, message: str, hint: str = "") -> bytes:
    error = {"code": code, "message": message}
    if hint:
        error["hint"] = hint
    return msgspec.json.encode({"ok": False, "error": error}) + b"\n"


def _is_hung_up(sock: socket.socket) -> bool:
    """Whether the client closed both directions, or only its sending one."""
    state = select.poll()
    state.register(sock.fileno(), 0)
    return bool(state.poll(0))


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
