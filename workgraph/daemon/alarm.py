"""Time: what the clock says, and waiting until something happens or a moment comes."""

import time
from typing import Final, Protocol

import anyio

from workgraph.graph.times import SECOND

_MILLISECOND: Final = 1000
#: The longest single wait; a wait that ends early is looked at again.
_LONGEST_S: Final = 3600.0


class Clock(Protocol):
    """The seam to time."""

    def now(self) -> int:
        """The moment, in microseconds since the epoch, on a whole millisecond."""

    async def wait(self, event: anyio.Event, until: int | None) -> None:
        """Returns when the event is set, or at that moment at the latest."""


class SystemClock:
    """The machine's clock. A moment never lies before one that was given already."""

    def __init__(self) -> None:
        self._last = 0

    def now(self) -> int:
        """The moment; while wall time is set back, it stands still."""
        moment = time.time_ns() // 1_000_000 * _MILLISECOND
        self._last = max(self._last, moment)
        return self._last

    async def wait(self, event: anyio.Event, until: int | None) -> None:
        """Waits by the monotonic clock, an hour at the most."""
        if until is None:
            await event.wait()
            return
        left_s = (until - self.now()) / SECOND
        with anyio.move_on_after(min(max(left_s, 0.0), _LONGEST_S)):
            await event.wait()
