"""What the limits of this process leave for clients, and what asyncio says of them."""

import resource
from collections.abc import Mapping
from typing import Any, Final

import anyio

from workgraph.daemon.connection import MAX_CONNECTIONS, SPARE_CONNECTIONS
from workgraph.logs import Logger

#: Open files that are not for clients: the database's, the log's, those of starts.
_KEPT_FILES: Final = 64
_FEWEST_CONNECTIONS: Final = 8
#: The same complaint is told again after this.
_TOLD_AGAIN_S: Final = 60.0


def most_connections() -> int:
    """How many clients may be connected, so that agents can still be started.

    A client too many is told so; without a file to accept it with it would wait in
    vain, and so would the next agent.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    room = limit - _KEPT_FILES - SPARE_CONNECTIONS
    return min(MAX_CONNECTIONS, max(room, _FEWEST_CONNECTIONS))


class Complaints:
    """Logs what asyncio complains of, each thing once a minute.

    Out of files it complains a thousand times a second, with a traceback each.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._told: dict[str, float] = {}

    def __call__(self, loop: object, context: Mapping[str, Any]) -> None:
        """As `loop.set_exception_handler` wants it."""
        del loop
        error = context.get("exception")
        what = f"{context.get('message')}: {error!r}"
        now = anyio.current_time()
        if now - self._told.get(what, -_TOLD_AGAIN_S) >= _TOLD_AGAIN_S:
            self._told = {what: now}
            self._log.error("loop_complained", error=what)
