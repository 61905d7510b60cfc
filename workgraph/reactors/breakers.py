"""Breakers: what is broken for many tasks is tried by few of them.

A breaker belongs to something that many tasks need; its key says what, such as
`executor:claude`. It is

- on trial until an agent has ended well: three at a time are started, each second;
- closed when one has: nothing is held back;
- open when the starts of three tasks in a row have failed for reasons that do not lie
  in them: after a minute one is started, then one each 20 s while none of these fails;
  with the next failure the gap begins anew, twice as long, up to half an hour.

So at most four starts a minute are spent on something that is broken, whatever the
slots. A shell is not put on trial, nor what has worked since it last failed.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from msgspec.structs import replace

from workgraph.graph.decisions import SetBreaker
from workgraph.graph.holds import Breaker
from workgraph.graph.model import Agent, Outcome, Parked
from workgraph.graph.times import SECOND

#: So many tasks in a row open it, and so many are started on trial.
_FAILURES: Final = 3
_FIRST_GAP: Final = 60 * SECOND
_LAST_GAP: Final = 1800 * SECOND
_MAX_DOUBLINGS: Final = 10
#: Between two starts of an open one while the first has not failed.
_TRICKLE: Final = 20 * SECOND
#: What lives longer has not failed by what a breaker is about.
YOUNG: Final = SECOND

_WORK: Final = frozenset(
    {
        Outcome.DONE,
        Outcome.SUBMITTED,
        Outcome.FAILED,
        Outcome.GATE,
        Outcome.WAITING,
    }
)


class Health(Enum):
    """What the end of an agent says about its executor."""

    GOOD = auto()
    BROKEN = auto()
    #: It was killed, lost, or crashed in its work.
    NOTHING = auto()


def health_of(agent: Agent, outcome: Outcome, *, too_fast: bool) -> Health:
    """What an end says about the executor."""
    if agent.stop is not None or agent.human:
        return Health.NOTHING
    if agent.outcome is Outcome.SPAWN_FAILED:
        # Not counted is what the machine has refused, or what nobody has tried.
        return Health.BROKEN if agent.counted else Health.NOTHING
    if agent.outcome is Outcome.LOST:
        return Health.NOTHING
    if outcome is Outcome.RATE_LIMITED:
        # What has told what its provider said does run.
        return Health.NOTHING if agent.client_end is None else Health.GOOD
    if too_fast and agent.exit_code != 0:
        return Health.BROKEN
    return Health.GOOD if outcome in _WORK else Health.NOTHING


def after_end(
    breaker: Breaker, agent: Agent, health: Health, reason: str, now: int
) -> Breaker:
    """What is known of an executor after one more end; pure."""
    if breaker.opened_at is not None and agent.number <= breaker.since_agent:
        return breaker
    match health:
        case Health.GOOD:
            return Breaker(key=breaker.key, proven=True)
        case Health.NOTHING:
            return breaker
        case Health.BROKEN if breaker.opened_at is not None:
            return _opened(replace(breaker, reason=reason), now)
        case Health.BROKEN:
            failed = (*(t for t in breaker.failed if t != agent.task), agent.task)
            counted = replace(breaker, proven=False, failed=failed, reason=reason)
            return _opened(counted, now) if len(failed) >= _FAILURES else counted


def allowance(breaker: Breaker, young: int, now: int) -> int:
    """How many more may be started just now by a breaker that is not closed."""
    if breaker.opened_at is None:
        return max(_FAILURES - len(breaker.failed) - young, 0)
    return int((breaker.until or 0) <= now)


class Admission:
    """Who may be started in one tick, as far as breakers are concerned.

    Args:
        breakers: Those that are not closed.
        young: How many agents are younger than a second, by key.
        now: The moment of the tick.
    """

    def __init__(
        self, breakers: Mapping[str, Breaker], young: Mapping[str, int], now: int
    ) -> None:
        self._breakers = breakers
        self._now = now
        self._left = {
            key: allowance(breaker, young.get(key, 0), now)
            for key, breaker in breakers.items()
        }
        self._changed: dict[str, Breaker] = {}

    def admits(self, key: str | None) -> bool:
        """Whether one more task that needs this may be started."""
        return key is None or self._left.get(key, 1) > 0

    def take(self, key: str | None) -> None:
        """Counts a start."""
        breaker = None if key is None else self._breakers.get(key)
        if breaker is None or key is None:
            return
        self._left[key] -= 1
        if breaker.opened_at is not None:
            until = self._now + _TRICKLE
            self._changed[key] = replace(breaker, until=until)

    def hold(self, key: str) -> Parked:
        """What keeps a task back until the breaker lets it through, or is closed."""
        breaker = self._breakers[key]
        if breaker.opened_at is None and (breaker.until or 0) <= self._now:
            # Somebody waits, so there has to be a moment at which it is looked again.
            self._changed.setdefault(key, replace(breaker, until=self._now + YOUNG))
        return _held(breaker)

    def changes(self) -> tuple[SetBreaker, ...]:
        """What has changed about the breakers by what was admitted and held."""
        return tuple(SetBreaker(breaker=breaker) for breaker in self._changed.values())


def _opened(breaker: Breaker, now: int) -> Breaker:
    gap = _FIRST_GAP << min(breaker.looks, _MAX_DOUBLINGS)
    return replace(
        breaker,
        opened_at=breaker.opened_at or now,
        looks=breaker.looks + 1,
        until=now + min(gap, _LAST_GAP),
    )


def _held(breaker: Breaker) -> Parked:
    """What the row says; `readiness` puts in how the breaker stands when asked."""
    open_ = breaker.opened_at is not None
    return Parked(
        code="quarantined" if open_ else "no_free_slot",
        message=f"{breaker.key} is {'broken' if open_ else 'on trial'}",
        remedy="wg service status",
        # On trial for a second or two: nothing that the change log has to tell.
        looks=1 if open_ else 0,
        key=breaker.key,
    )
