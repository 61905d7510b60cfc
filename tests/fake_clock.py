"""A clock that tests move."""

import anyio

from workgraph.graph.times import SECOND
from workgraph.store.moments import Anchor

#: 2026-01-01T00:00:00Z
START = 1_767_225_600 * SECOND


class FakeClock:
    """Time stands still until a test advances it."""

    def __init__(self, now: int = START) -> None:
        self._now = now
        self._offset = 0
        #: How far wall time has jumped since it was last caught up with.
        self._ahead = 0
        self._waiting: list[tuple[int, anyio.Event]] = []

    def now(self) -> int:
        """The moment that tests have set."""
        return self._now

    def elapsed(self) -> float:
        """Seconds that only go on: jumps are none of them."""
        return (self._now - self._offset) / SECOND

    def has_jumped(self) -> bool:
        """Whether a test has made wall time jump since."""
        return self._ahead != 0

    def catch_up(self) -> None:
        """Goes on from wall time."""
        ahead, self._ahead = self._ahead, 0
        self._offset += ahead
        self.advance(ahead / SECOND)

    def anchor(self) -> Anchor:
        """How far wall time has jumped in all."""
        return Anchor(boot_id="fake", offset=self._offset)

    def jump(self, seconds: float) -> None:
        """The machine sleeps for so long, or its clock is set; nobody is told."""
        self._ahead += round(seconds * SECOND)

    async def wait(self, event: anyio.Event, until: int | None) -> None:
        """Returns when the event is set, or when time was moved to that moment."""
        if until is None or event.is_set():
            await event.wait()
            return
        if until <= self._now:
            return
        self._waiting.append((until, event))
        await event.wait()

    def advance(self, seconds: float) -> None:
        """Moves time on, and rings for all who wait for a moment that has come."""
        self._now += round(seconds * SECOND)
        due = [event for until, event in self._waiting if until <= self._now]
        self._waiting = [w for w in self._waiting if w[0] > self._now]
        for event in due:
            event.set()
