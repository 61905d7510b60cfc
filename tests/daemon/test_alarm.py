"""The clock: what it makes of two clocks that come apart."""

from itertools import count

from workgraph.daemon.alarm import SystemClock
from workgraph.graph.times import SECOND

HOUR_NS = 3600 * 10**9


class _Machine:
    """A machine whose clocks tests move."""

    def __init__(self) -> None:
        self.wall = 1_767_225_600 * 10**9
        self.monotonic = 5 * HOUR_NS

    def pass_time(self, ns: int) -> None:
        self.wall += ns
        self.monotonic += ns

    def sleep(self, ns: int) -> None:
        self.wall += ns

    def clock(self) -> SystemClock:
        return SystemClock(lambda: self.wall, lambda: self.monotonic)


def test_time_passes_by_the_monotonic_clock() -> None:
    """A machine that has slept is not older until that is asked for."""
    machine = _Machine()
    clock = machine.clock()
    start = clock.now()

    machine.pass_time(HOUR_NS)
    machine.sleep(8 * HOUR_NS)

    assert clock.now() - start == 3600 * SECOND
    assert clock.has_jumped()
    before = clock.anchor()
    clock.catch_up()
    assert not clock.has_jumped()
    assert clock.now() - start == 9 * 3600 * SECOND
    assert clock.anchor().offset - before.offset == 8 * 3600 * SECOND


def test_a_clock_that_is_set_back_goes_back() -> None:
    """When it is caught up with; the difference is the anchor's."""
    machine = _Machine()
    clock = machine.clock()
    start, before = clock.now(), clock.anchor()

    machine.sleep(-HOUR_NS)
    clock.catch_up()

    assert clock.now() - start == -3600 * SECOND
    assert clock.anchor().offset - before.offset == -3600 * SECOND


def test_small_steps_are_no_jump() -> None:
    """A clock that is adjusted is not set."""
    machine = _Machine()
    clock = machine.clock()

    machine.sleep(10**9 - 1000)

    assert not clock.has_jumped()
    before = clock.anchor()
    clock.catch_up()
    assert clock.anchor() == before


def test_two_processes_of_a_boot_agree() -> None:
    """What one has kept, the next one compares with."""
    machine = _Machine()
    first = machine.clock().anchor()

    machine.pass_time(HOUR_NS)

    assert machine.clock().anchor() == first


def test_moments_are_on_whole_milliseconds() -> None:
    """As everything that is kept."""
    ticks = count(1_234_567, 1_000_003)
    clock = SystemClock(lambda: 1_767_225_600_123_456_789, lambda: next(ticks))

    assert all(clock.now() % 1000 == 0 for _ in range(100))
