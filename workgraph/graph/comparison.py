"""Which of two does the work better, by what was recorded of both since a trial began.

A trial is looked at three times at the most, when so much work of the child has been
judged; whoever looks after each reward finds by chance alone what is not there. At a
look the child is promoted when it is the better one with a probability of `SURE`, and
retired when it is likely to be worse. After the last one the parent stays: what has
changed has to show that it is worth it. All of it is pure.

The probability is that of the normal distribution for the difference of two means, each
with its own variance (B. L. Welch, Biometrika 34, 1947). The variances of small samples
are drawn towards that of scores as they are spread in practice; ten equal scores
would otherwise make anything certain.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean
from typing import Final, Literal

from workgraph.graph.model import Record
from workgraph.graph.proposals import Proposal

Finding = Literal["promote", "retire", "go on"]

#: How much work of the child has been judged at each look. With a fifth of its parent's
#: work these are 60, 120 and 240 tasks of both.
LOOKS: Final = (12, 24, 48)
#: At each look. Of children that are as good as their parents, all three together
#: promote two to six in a hundred (tests/graph/test_comparison.py).
SURE: Final = 0.995
#: A child that is so unlikely to be better is not tried further.
HOPELESS: Final = 0.05
#: Of the parent as much is wanted at least; its earlier work fills that up.
LEAST_OF_PARENT: Final = 10
#: As if so many more scores had been seen, spread with a deviation of 0.2.
_PRIOR_COUNT: Final = 2
_PRIOR_VARIANCE: Final = 0.04
_NORMAL: Final = NormalDist()


class Comparison(Record, frozen=True, kw_only=True):
    """Two samples of scores, and what follows from them."""

    child_count: int
    child_mean: float
    parent_count: int
    parent_mean: float
    #: That the child does the work better.
    probability: float
    finding: Finding


class Trial(Record, frozen=True, kw_only=True):
    """A proposal on trial, and what has been judged of both since it began."""

    proposal: Proposal
    child: tuple[float, ...] = ()
    #: Filled up with its earlier work to `LEAST_OF_PARENT`; only where a look is due.
    parent: tuple[float, ...] = ()
    #: Why there is nothing left to compare, in words.
    void: str | None = None
    #: A person has to say yes before the child takes its parent's place.
    needs_review: bool = False


class TrialsView(Record, frozen=True, kw_only=True):
    """All trials that are to be judged."""

    trials: tuple[Trial, ...] = ()


def next_look(looked_at: int) -> int | None:
    """How much judged work the next look asks for; null: there is none left.

    Args:
        looked_at: How much there was at the last look, 0 before the first.
    """
    return next((wanted for wanted in LOOKS if wanted > looked_at), None)


def is_due(looked_at: int, judged: int) -> bool:
    """Whether a trial is to be looked at, with so much work of the child judged."""
    wanted = next_look(looked_at)
    return wanted is not None and judged >= wanted


def compare(
    child: Sequence[float], parent: Sequence[float], looked_at: int
) -> Comparison | None:
    """What the next look finds; null where too little has been judged.

    Args:
        child: Scores of its work, 0 to 1.
        parent: Scores of its parent's.
        looked_at: How much of the child's work was judged at the last look.
    """
    if not is_due(looked_at, len(child)):
        return None
    is_last = next_look(len(child)) is None
    is_known = len(parent) >= LEAST_OF_PARENT
    if not is_known and not is_last:
        return None
    probability = better(child, parent) if is_known else 0.0
    finding: Finding = "go on"
    if probability >= SURE:
        finding = "promote"
    elif is_last or probability <= HOPELESS:
        finding = "retire"
    return Comparison(
        child_count=len(child),
        child_mean=fmean(child),
        parent_count=len(parent),
        parent_mean=fmean(parent) if parent else 0.0,
        probability=probability,
        finding=finding,
    )


def better(one: Sequence[float], other: Sequence[float]) -> float:
    """How likely it is that the mean behind one sample is above the other's."""
    error = math.sqrt(_variance(one) / len(one) + _variance(other) / len(other))
    return _NORMAL.cdf((fmean(one) - fmean(other)) / error)


def _variance(scores: Sequence[float]) -> float:
    mean = fmean(scores)
    squares = math.fsum((score - mean) ** 2 for score in scores)
    return (squares + _PRIOR_COUNT * _PRIOR_VARIANCE) / (len(scores) - 1 + _PRIOR_COUNT)
