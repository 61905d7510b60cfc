"""Learning whom to give work from scores of what was given before: a bandit. Pure.

What is believed of an actor's quality is a Beta distribution, made from its scores. An
actor is drawn with the probability that it is the best by what is believed: Thompson
sampling. The less is known of one, the wider its distribution, and the more often it is
tried; who has proved worse is tried ever more seldom.

The rule is from W. R. Thompson, "On the likelihood that one unknown probability exceeds
another in view of the evidence of two samples", Biometrika 25 (1933). That it does
well, with late rewards, too, is shown by O. Chapelle and L. Li, "An Empirical
Evaluation of Thompson Sampling", NIPS 2011; a course in it is D. Russo and others, "A
Tutorial on Thompson Sampling", Foundations and Trends in Machine Learning 11 (2018).

The probabilities are integrated on a grid, and one number decides between them, instead
of a number from each distribution. It is the same choice; the probability of it is
known, which who learns from choices later needs; and nothing hangs on how a version of
Python draws from a distribution (docs/adr/0020).
"""

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import accumulate, repeat
from math import exp, floor, log
from operator import add, mul, sub
from typing import Final

from workgraph.graph.model import Record

#: What scores of all other work of an actor count at most, in scores of this kind.
#: Little: who is good at one thing need not be good at another.
FROM_ALL: Final = 2.0
#: What scores of the same skill at other complexities count at most. More: they are
#: about the same craft, and there may be few at each complexity.
FROM_SKILL: Final = 10.0
#: What an actor's scores count at most, together: the latest of a thousand would change
#: nothing any more, and an actor may change.
MOST_SCORES: Final = 400.0
#: Steps between a quality of 0 and of 1. The narrowest belief, of `MOST_SCORES`, has a
#: standard deviation of some six of them.
STEPS: Final = 256

#: Where the logarithm of the density is this much below its peak, nothing is looked at.
_NEVER: Final = 21.0
_LOG: Final = tuple(log((step + 0.5) / STEPS) for step in range(STEPS))
_LOG_OF_REST: Final = tuple(reversed(_LOG))
#: On each side of a range in which the truth is with 95 %.
_TAIL: Final = 0.025
_BITS: Final = 53


class Belief(Record, frozen=True):
    """A Beta distribution: what is thought of the quality of somebody's work.

    Both numbers are 1 at the least, so it has one peak; 1 and 1 is to know nothing.
    """

    alpha: float = 1.0
    beta: float = 1.0

    @property
    def mean(self) -> float:
        """The expected score, 0 to 1."""
        return self.alpha / (self.alpha + self.beta)


#: Of one who has no scores: anything is as likely.
UNKNOWN: Final = Belief()


class Sum(Record, frozen=True):
    """How many scores there are, each 0 to 1, and their sum."""

    count: float = 0.0
    total: float = 0.0


def believe(cell: Sum, skill: Sum, overall: Sum) -> Belief:
    """What to think of an actor's work of one kind.

    Each score counts as a fraction of a success, and what is left of it as a fraction
    of a failure. Scores of other kinds lend a little, so that an actor's first task of
    a kind is not its first task at all.

    Args:
        cell: Of work of this skill and complexity.
        skill: Of work of this skill, at whatever complexity; these are among them.
        overall: Of all its work; all of these are among them.
    """
    others, others_total = _lend(overall, skill, FROM_ALL)
    near, near_total = _lend(skill, cell, FROM_SKILL)
    count = cell.count + near + others
    total = cell.total + near_total + others_total
    if count > MOST_SCORES:
        count, total = MOST_SCORES, total * MOST_SCORES / count
    return Belief(1.0 + total, 1.0 + max(count - total, 0.0))


def win_chances(beliefs: Sequence[Belief], offsets: Sequence[float]) -> list[float]:
    """With which probability each is the best; they sum to 1.

    Args:
        beliefs: What is thought of each, one at least.
        offsets: What speaks for each besides, in units of quality.
    """
    if len(beliefs) == 1:
        return [1.0]
    spans = [
        _shifted(_cumulative(one.alpha, one.beta), offset * STEPS)
        for one, offset in zip(beliefs, offsets, strict=True)
    ]
    # Below the best of the least, somebody is surely better; nobody is above the last.
    first = max(start for start, _ in spans)
    last = max(start + len(values) - 1 for start, values in spans)
    rows = [_cut(start, values, first, last) for start, values in spans]
    below = [[*map(mul, map(add, row, row[1:]), repeat(0.5))] for row in rows]
    # Of all others: those before times those behind, as what may be 0 can't be divided.
    behind = [[1.0] * (last - first)]
    for row in reversed(below[1:]):
        behind.append([*map(mul, behind[-1], row)])
    before = behind[0]
    chances = []
    for row, under, after in zip(rows, below, reversed(behind), strict=True):
        masses = map(sub, row[1:], row)
        chances.append(sum(map(mul, masses, map(mul, before, after))))
        before = [*map(mul, before, under)]
    whole = sum(chances)
    return [chance / whole for chance in chances]


def credible(belief: Belief) -> tuple[float, float]:
    """Between which qualities the truth is, with a probability of 95 %."""
    start, values = _cumulative(belief.alpha, belief.beta)
    low, high = (start + _place(values, share) for share in (_TAIL, 1 - _TAIL))
    return low / STEPS, high / STEPS


def draw(seed: str) -> float:
    """A number from 0 up to 1 that the seed alone decides."""
    number = int.from_bytes(sha256(seed.encode()).digest()[:8])
    return (number >> (64 - _BITS)) / (1 << _BITS)


def _place(values: Sequence[float], share: float) -> float:
    """At which edge, or between which, a distribution reaches a share."""
    at = bisect_left(values, share)
    return at - (values[at] - share) / (values[at] - values[at - 1])


def _lend(broad: Sum, narrow: Sum, most: float) -> tuple[float, float]:
    """How many scores the broader lends, and their sum: at the mean of the others."""
    count = broad.count - narrow.count
    if count <= 0:
        return 0.0, 0.0
    mean = min(max((broad.total - narrow.total) / count, 0.0), 1.0)
    lent = min(count, most)
    return lent, lent * mean


@lru_cache(maxsize=512)
def _cumulative(alpha: float, beta: float) -> tuple[int, tuple[float, ...]]:
    """The distribution at the edges of the steps, from 0 to 1, and the first edge."""
    a, b = alpha - 1.0, beta - 1.0
    top = min(int(a / (a + b) * STEPS), STEPS - 1) if a + b > 0 else STEPS // 2
    scale = a * _LOG[top] + b * _LOG_OF_REST[top]

    def fall(step: int) -> float:
        """How far the logarithm of the density is below that at its peak."""
        return scale - a * _LOG[step] - b * _LOG_OF_REST[step]

    start = bisect_left(range(top), -_NEVER, key=lambda step: -fall(step))
    end = bisect_left(range(STEPS), _NEVER, lo=top + 1, key=fall)
    sums = [
        *accumulate(
            [
                exp(a * x + b * y - scale)
                for x, y in zip(_LOG[start:end], _LOG_OF_REST[start:end], strict=True)
            ]
        )
    ]
    whole = sums[-1]
    return start, (0.0, *[value / whole for value in sums])


def _shifted(
    table: tuple[int, tuple[float, ...]], shift: float
) -> tuple[int, Sequence[float]]:
    """The same, moved by so many steps; between two edges it is a straight line."""
    start, values = table
    steps = floor(shift)
    part = shift - steps
    if part == 0.0:
        return start + steps, values
    rest = 1.0 - part
    moved = map(add, map(mul, values[1:], repeat(rest)), map(mul, values, repeat(part)))
    return start + steps, [0.0, *moved, 1.0]


def _cut(start: int, values: Sequence[float], first: int, last: int) -> list[float]:
    """The values from the first edge to the last, 1 behind the end."""
    row = [*values[first - start : last + 1 - start]]
    return row + [1.0] * (last + 1 - first - len(row))
