"""Time: what the clock says, and waiting until something happens or a moment comes.

Wall time is for people and for moments that they have named. All else is a duration,
and durations are the monotonic clock's, which stands still while the machine sleeps and
does not notice when its clock is set. So a clock says wall time as it was when it was
looked up, moved on by the monotonic clock; when the two have come apart, `catch_up`
takes wall time again, and `anchor` says so to whoever keeps limits as moments
(`store/moments`, docs/adr/0011).
"""

import time
from collections.abc import Callable
from typing import Final, Protocol

import anyio

from workgraph.agents.kill import read_boot_id
from workgraph.graph.times import SECOND
from workgraph.store.moments import JUMP, Anchor

_MILLISECOND: Final = 1000
#: The longest single wait; a wait that ends early is looked at again.
_LONGEST_S: Final = 3600.0


class Clock(Protocol):
    """The seam to time."""

    def now(self) -> int:
        """The moment, in microseconds since the epoch, on a whole millisecond.

        Between two calls of `catch_up` the difference of two moments is the time that
        has really passed between them.
        """

    def has_jumped(self) -> bool:
        """Whether wall time has come apart from what `now` says."""

    def catch_up(self) -> None:
        """Takes wall time again, if it has jumped."""

    def anchor(self) -> Anchor:
        """How `now` lies to the time since boot; another one after a jump."""

    async def wait(self, event: anyio.Event, until: int | None) -> None:
        """Returns when the event is set, or at that moment at the latest."""


class SystemClock:
    """The machine's clock.

    Args:
        wall: Nanoseconds since the epoch; jumps when the clock is set.
        monotonic: Nanoseconds since boot, without those of sleep.
    """

    def __init__(
        self,
        wall: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._boot_id = read_boot_id()
        self._offset = self._wall_offset()

    def now(self) -> int:
        """The moment."""
        moment = self._offset + self._monotonic() // 1000
        return moment // _MILLISECOND * _MILLISECOND

    def has_jumped(self) -> bool:
        """Compares the two clocks: two reads."""
        return abs(self._wall_offset() - self._offset) >= JUMP

    def catch_up(self) -> None:
        """Goes on from wall time."""
        if self.has_jumped():
            self._offset = self._wall_offset()

    def anchor(self) -> Anchor:
        """Good for all processes of this boot."""
        return Anchor(boot_id=self._boot_id, offset=self._offset)

    async def wait(self, event: anyio.Event, until: int | None) -> None:
        """Waits by the monotonic clock, an hour at the most."""
        if until is None:
            await event.wait()
            return
        left_s = (until - self.now()) / SECOND
        with anyio.move_on_after(min(max(left_s, 0.0), _LONGEST_S)):
            await event.wait()

    def _wall_offset(self) -> int:
        return (self._wall() - self._monotonic()) // 1000
