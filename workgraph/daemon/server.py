"""Accepts connections on the project's socket until the daemon ends."""

import asyncio
import socket
import sys
from functools import partial
from typing import Final

import anyio
import anyio.abc

from workgraph.daemon.call import Call, Handler, decode_call
from workgraph.daemon.connection import BOUNDS, Bounds, Clients, Connection
from workgraph.daemon.peer import Peer
from workgraph.daemon.streams import ClientGone, Streams
from workgraph.logs import Logger

__all__ = (
    "BOUNDS",
    "Bounds",
    "Call",
    "ClientGone",
    "Handler",
    "Peer",
    "Server",
    "Streams",
    "decode_call",
)

BACKLOG: Final = 1024


class Server:
    """Serves connections until it is stopped."""

    def __init__(
        self,
        handler: Handler,
        *,
        owner_uid: int,
        log: Logger,
        bounds: Bounds = BOUNDS,
    ) -> None:
        self._clients = Clients(handler, owner_uid, log, bounds)
        self._stopping = anyio.Event()

    async def serve(
        self,
        listener: socket.socket,
        *,
        grace_s: float = 5,
        task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept connections until `stop`; then answer what has begun, and return.

        Cancelling it cancels the handlers.

        Args:
            listener: Bound and listening, from `lock.bind_socket` or systemd.
            grace_s: How long requests in progress may take after `stop`.
            task_status: Told when connections are accepted.
        """
        loop = asyncio.get_running_loop()
        async with anyio.create_task_group() as group:
            create = loop.create_unix_server
            if sys.version_info >= (3, 13):
                # It would unlink the path; that is its owner's to do, under the lock.
                create = partial(create, cleanup_socket=False)
            accepting = await create(
                partial(Connection, self._clients, group),
                sock=listener,
                backlog=BACKLOG,
            )
            try:
                task_status.started()
                await self._stopping.wait()
                accepting.close()
                self._clients.hang_up()
                with anyio.move_on_after(grace_s):
                    await self._clients.wait_empty()
            finally:
                accepting.close()
                self._clients.abort()
                group.cancel_scope.cancel()

    def stop(self) -> None:
        """Accept no more, end idle connections and streams."""
        self._stopping.set()
