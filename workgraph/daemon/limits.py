"""What the limits of this process leave for clients, and what asyncio says of them."""

import resource
from collections.abc import Mapping
from typing import Any, Final

import anyio
from msgspec import structs

from workgraph.daemon.connection import BOUNDS, Bounds
from workgraph.logs import Logger

#: Open files that are not for clients: the database's, the log's, those of starts.
_KEPT_FILES: Final = 64
_FEWEST_CONNECTIONS: Final = 8
#: The same complaint is told again after this.
_TOLD_AGAIN_S: Final = 60.0


def bounds() -> Bounds:
    """How much clients may take, so that agents can still be started.

    A client too many is told so; without a file to accept it with it would wait in
    vain, and so would the next agent.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    room = limit - _KEPT_FILES - BOUNDS.spare
    if limit == resource.RLIM_INFINITY or room >= BOUNDS.connections:
        return BOUNDS
    return structs.replace(BOUNDS, connections=max(room, _FEWEST_CONNECTIONS))


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
