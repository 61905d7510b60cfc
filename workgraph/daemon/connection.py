"""The project's socket, as bytes: connections, and what bounds them.

A connection that begins with `wg1 ` is a call (see `wire`): one command, its streams,
an exit status (`wg_calls`). Any other speaks lines of JSON (`json_lines`).

What a client does harms only itself: lines, calls and frames have a greatest length and
have to arrive in time; what was read but not yet used is bounded, for each connection
and for all of them, and so is what was written but not yet taken; and an error that
escapes a handler ends as an error of that request. A transaction is never cut short
because its client left; a stream is.
"""

import asyncio
import select
import socket
from typing import Final

import anyio
import anyio.abc
from msgspec import Struct

from workgraph import wire
from workgraph.daemon import json_lines, wg_calls
from workgraph.daemon.call import Handler
from workgraph.daemon.json_lines import MAX_LINE_BYTES
from workgraph.daemon.peer import Peer, peer_of
from workgraph.daemon.streams import ClientGone, Streams
from workgraph.graph.errors import EXIT_TRY_LATER
from workgraph.logs import Logger

#: Below this a connection is not counted in that.
_FEW_BYTES: Final = 64 * 1024
#: Above this a handler waits before it writes more to a connection.
WRITE_BUFFER_BYTES: Final = 32 * 1024


class Bounds(Struct, frozen=True, kw_only=True):
    """How much clients may take."""

    #: How many connections are served.
    connections: int = 1000
    #: Beyond that this many may connect to be told so; more are closed at once.
    spare: int = 100
    #: Where all are taken, one that has said nothing for so long makes room.
    idle_s: float = 10.0
    #: How long the rest of a line, or of a call, may take to arrive.
    arrival_s: float = 30.0
    #: What all connections together may have sent and not had answered.
    unread_bytes: int = 64 * 1024 * 1024


#: What a daemon allows.
BOUNDS: Final = Bounds()


class Clients:
    """All connections of a server, and what they are served with.

    Args:
        handler: What is served.
        owner_uid: Who may connect, besides root.
        log: The daemon's log.
        bounds: How much they may take.
    """

    def __init__(
        self, handler: Handler, owner_uid: int, log: Logger, bounds: Bounds
    ) -> None:
        self.handler = handler
        self.log = log
        self.owner_uid = owner_uid
        self.bounds = bounds
        self.is_closing = False
        self._connections: set[Connection] = set()
        self._emptied = anyio.Event()

    def admit(self, connection: "Connection") -> bool:
        """Count a connection; whether it is to be kept, if only to be refused."""
        if connection.peer.uid not in {0, self.owner_uid} or self.is_closing:
            return False
        bounds = self.bounds
        if len(self._connections) >= bounds.connections:
            self._make_room()
        if len(self._connections) >= bounds.connections + bounds.spare:
            return False
        self._connections.add(connection)
        return True

    @property
    def is_full(self) -> bool:
        """Whether there are more than may be served."""
        return len(self._connections) > self.bounds.connections

    @property
    def arrival_s(self) -> float:
        """How long the rest of a line, or of a call, may take to arrive."""
        return self.bounds.arrival_s

    @property
    def refusal(self) -> str:
        """What one connection too many is told."""
        return f"the daemon has {self.bounds.connections} connections already"

    def leave(self, connection: "Connection") -> None:
        """Forget a connection that was lost."""
        self._connections.discard(connection)
        if not self._connections:
            self._emptied.set()

    def bound_unread(self) -> None:
        """Turn away who has sent most, while all together have sent too much."""
        sizes = {one: len(one.received.data) for one in self._connections}
        held = sum(size for size in sizes.values() if size > _FEW_BYTES)
        if held > self.bounds.unread_bytes:
            largest = max(sizes, key=sizes.__getitem__)
            largest.turn_away("the daemon holds too much that has not arrived whole")

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

    def _make_room(self) -> None:
        """Hang up on whoever has been idle longest, and long enough."""
        idle = [one for one in self._connections if one.is_idle]
        oldest = min(idle, key=lambda one: one.active_at, default=None)
        since = asyncio.get_running_loop().time() - self.bounds.idle_s
        if oldest is not None and oldest.active_at <= since:
            self.leave(oldest)
            oldest.transport.abort()


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
        self.read_limit = MAX_LINE_BYTES
        self.is_call = False
        #: When something was last received.
        self.active_at = asyncio.get_running_loop().time()
        self.is_refused = False
        self.is_idle = True
        self._has_task = False
        self._has_ended = False
        self._is_paused = False
        self._reader: asyncio.Future[None] | None = None
        self._writers: list[asyncio.Future[None]] = []
        self._scopes: list[anyio.CancelScope] = []
        self.streams: Streams | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, unless it is a stranger's or one too many."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.peer = peer_of(transport.get_extra_info("socket"))
        if not self.clients.admit(self):
            transport.abort()
            return
        self.is_refused = self.clients.is_full
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Keep what arrived, and wake whoever waits for it."""
        buffer = self.received.data
        buffer += data
        self.active_at = asyncio.get_running_loop().time()
        if len(buffer) > _FEW_BYTES:
            self.clients.bound_unread()
        if len(buffer) > self.read_limit and not self._is_paused:
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
        if self.streams is not None:
            self.streams.resume()
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
        if self.is_idle:
            self.transport.close()
        if self._reader is not None:
            _wake(self._reader)

    def turn_away(self, message: str) -> None:
        """Say that it is too much, drop what was received, and hang up."""
        self.received.data.clear()
        if self.is_call:
            self.write(wg_calls.refusal_frames(message, EXIT_TRY_LATER))
        else:
            self.write(json_lines.error_line("try_later", message))
        self.transport.close()

    # The connection's task.

    async def _serve(self) -> None:
        # The named boundary of a client: whatever happens in here ends here.
        try:
            self.is_call = await wg_calls.is_call(self)
            if self.is_call:
                await wg_calls.serve_call(self)
            else:
                await json_lines.serve_lines(self)
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

    def _mark_gone(self) -> None:
        self.gone.set()
        for scope in self._scopes:
            scope.cancel()
        self._scopes.clear()

    def _wake_writers(self) -> None:
        for writer in self._writers:
            _wake(writer)
        self._writers.clear()


def _is_hung_up(sock: socket.socket) -> bool:
    """Whether the client closed both directions, or only its sending one."""
    state = select.poll()
    state.register(sock.fileno(), 0)
    return bool(state.poll(0))


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
