"""How well an evaluator's answers fit the known ones: agreement, bias, spread, drift.

All of it is pure, and none of it depends on the order of the cases. The measures are
standard ones, each with its source; the limits, above which an evaluator is not called
calibrated, are ours, stand here as constants and are in every report.
"""

from collections.abc import Mapping, Sequence
from math import cos, pi, sin, sqrt, tan
from statistics import fmean, median, stdev
from typing import Final

from msgspec import field

from workgraph.graph.model import Record

#: An answer this near to the known one agrees with it.
NEAR: Final = 0.1
#: Answers that lie no further apart than this are one and the same.
SAME: Final = 0.02
#: How much of the probability an interval holds.
COVERAGE: Final = 0.9
#: Sums of decimal fractions miss their bounds by less than this.
_EPSILON: Final = 1e-9
#: Halvings of a quarter turn; more than a float can tell apart.
_HALVINGS: Final = 60
_LEAST_FOR_SPREAD: Final = 2


class Limits(Record, frozen=True, kw_only=True):
    """Within which an evaluator is called calibrated."""

    #: The mean absolute difference, at most.
    mean_error: float = 0.15
    #: The mean difference, to either side, at most.
    bias: float = 0.1
    #: The rank correlation, at least.
    rank_correlation: float = 0.5
    #: The spread of the answers by that of the known ones, at least.
    spread: float = 0.5
    #: The share of cases without a valid answer, at most.
    unanswered: float = 0.1


LIMITS: Final = Limits()


class Interval(Record, frozen=True, kw_only=True):
    """A mean of differences, and where the true one lies with 90 % probability."""

    mean: float
    #: Null where there are too few to tell.
    low: float | None = None
    high: float | None = None


class Agreement(Record, frozen=True, kw_only=True):
    """How near the answers are to the known ones."""

    #: Mean absolute error.
    mean_error: float
    #: The share of answers within 0.1 of the known one.
    within: float
    #: Spearman's; null where either side says the same of everything.
    rank_correlation: float | None


class Spread(Record, frozen=True, kw_only=True):
    """How far apart the answers are, beside the known ones."""

    #: Standard deviations.
    answers: float
    known: float
    #: The one by the other; null where the known answers are all alike.
    ratio: float | None
    #: What it says whatever it is shown; null where its answers differ.
    says: float | None


class DimensionFit(Record, frozen=True, kw_only=True):
    """Agreement and bias in one dimension."""

    name: str
    cases: int
    mean_error: float
    bias: float


class CanaryCase(Record, frozen=True, kw_only=True):
    """A case with a known answer, and what the evaluator answered."""

    name: str
    expected: float
    dimensions: Mapping[str, float] = field(default_factory=dict)
    #: Null: there is none yet, or there was no valid one.
    answered: float | None = None
    answered_dimensions: Mapping[str, float] = field(default_factory=dict)
    #: It has had its tries, or its answer.
    settled: bool = True
    #: What the same evaluator answered to the same case the last time.
    before: float | None = None


class Fit(Record, frozen=True, kw_only=True):
    """What the answers of one run come to; null where there are none."""

    cases: int
    answered: int
    #: Cases that had no valid answer in all their tries.
    unanswered: int
    #: Cases that still wait for one.
    pending: int
    agreement: Agreement | None
    bias: Interval | None
    spread: Spread | None
    dimensions: tuple[DimensionFit, ...]
    #: How the answers to cases that it had before have moved; null: there are none.
    drift: Interval | None
    drift_cases: int
    #: Null while a case waits for its answer.
    calibrated: bool | None
    #: What is wrong, and what the cases can't show, in plain words.
    findings: tuple[str, ...]
    limits: Limits = LIMITS


def measure(cases: Sequence[CanaryCase]) -> Fit:
    """What the answers of a run come to, and whether that is within the limits."""
    answered = [case for case in cases if case.answered is not None]
    pairs = [(case.expected, _answer(case)) for case in answered]
    moved = [
        _answer(case) - case.before for case in answered if case.before is not None
    ]
    pending = sum(case.answered is None and not case.settled for case in cases)
    unanswered = len(cases) - len(answered) - pending
    agreement = agreement_of(pairs) if pairs else None
    bias = interval([answer - known for known, answer in pairs]) if pairs else None
    spread = spread_of(pairs) if len(pairs) >= _LEAST_FOR_SPREAD else None
    faults = _faults(len(cases), unanswered, agreement, bias, spread)
    notes = _notes(pairs, spread, moved)
    return Fit(
        cases=len(cases),
        answered=len(answered),
        unanswered=unanswered,
        pending=pending,
        agreement=agreement,
        bias=bias,
        spread=spread,
        dimensions=tuple(dimension_fits(answered)),
        drift=interval(moved) if moved else None,
        drift_cases=len(moved),
        calibrated=None if pending else not faults and _shows_enough(spread),
        findings=(*faults, *notes),
    )


def agreement_of(pairs: Sequence[tuple[float, float]]) -> Agreement:
    """How near answers are to the known ones.

    The mean absolute error is (1/n) Σ |answer - known|, which unlike its square does
    not depend on how the errors are distributed (Willmott and Matsuura 2005, Climate
    Research 30, 79-82).

    Args:
        pairs: Known answer and answer, at least one pair.
    """
    errors = [abs(answer - known) for known, answer in pairs]
    return Agreement(
        mean_error=fmean(errors),
        within=sum(error <= NEAR + _EPSILON for error in errors) / len(errors),
        rank_correlation=rank_correlation(pairs),
    )


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Spearman's rho, from -1 to 1: whether what is better is called better.

    It is Pearson's correlation of the ranks, where equal values share the mean of their
    ranks (Spearman 1904, American Journal of Psychology 15, 72-101; for ties Kendall
    and Gibbons, Rank Correlation Methods, 5th edition, chapter 3).

    Returns:
        Null where either side is the same for all, which has no ranks.
    """
    if len(pairs) < _LEAST_FOR_SPREAD:
        return None
    known = _ranks([pair[0] for pair in pairs])
    said = _ranks([pair[1] for pair in pairs])
    middle = (len(pairs) + 1) / 2
    both = sum((a - middle) * (b - middle) for a, b in zip(known, said, strict=True))
    squares = sum((a - middle) ** 2 for a in known) * sum(
        (b - middle) ** 2 for b in said
    )
    if squares == 0:
        return None
    return max(-1.0, min(1.0, both / sqrt(squares)))


def spread_of(pairs: Sequence[tuple[float, float]]) -> Spread:
    """How far apart answers are, beside the known ones.

    Args:
        pairs: Known answer and answer, at least two pairs.
    """
    known = [pair[0] for pair in pairs]
    said = [pair[1] for pair in pairs]
    differs = not are_alike(known)
    return Spread(
        answers=_deviation(said),
        known=_deviation(known),
        ratio=_deviation(said) / _deviation(known) if differs else None,
        says=median(said) if differs and are_alike(said) else None,
    )


def interval(values: Sequence[float]) -> Interval:
    """The mean of some values, with Student's interval of 90 %.

    mean ± t(0.95, n-1) s / √n (Student 1908, Biometrika 6, 1-25), with s the standard
    deviation with n-1 below. One value has no interval.

    Args:
        values: At least one.
    """
    mean = fmean(values)
    if len(values) < _LEAST_FOR_SPREAD:
        return Interval(mean=mean)
    reach = student_quantile((1 + COVERAGE) / 2, len(values) - 1)
    half = reach * stdev(values) / sqrt(len(values))
    return Interval(mean=mean, low=mean - half, high=mean + half)


def student_quantile(probability: float, freedom: int) -> float:
    """Below which a value of Student's distribution is with this probability.

    Solved for by halving from the finite series of its distribution function for whole
    degrees of freedom (Abramowitz and Stegun, Handbook of Mathematical Functions,
    26.7.3 and 26.7.4).

    Args:
        probability: From 0.5 to below 1.
        freedom: Degrees of freedom, at least 1.
    """
    within = 2 * probability - 1
    low, high = 0.0, pi / 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _student_within(middle, freedom) < within:
            low = middle
        else:
            high = middle
    return sqrt(freedom) * tan(low)


def are_alike(values: Sequence[float]) -> bool:
    """Whether some values are one and the same, as far as a judgement goes."""
    return _range(values) <= SAME + _EPSILON


def dimension_fits(cases: Sequence[CanaryCase]) -> list[DimensionFit]:
    """Agreement and bias by dimension, of those that are known and were answered."""
    differences: dict[str, list[float]] = {}
    for case in cases:
        for name, known in case.dimensions.items():
            answer = case.answered_dimensions.get(name)
            if answer is not None:
                differences.setdefault(name, []).append(answer - known)
    return [
        DimensionFit(
            name=name,
            cases=len(found),
            mean_error=fmean(map(abs, found)),
            bias=fmean(found),
        )
        for name, found in sorted(differences.items())
    ]


def _faults(
    cases: int,
    unanswered: int,
    agreement: Agreement | None,
    bias: Interval | None,
    spread: Spread | None,
) -> list[str]:
    """What keeps it from being called calibrated."""
    found = []
    if unanswered > LIMITS.unanswered * cases + _EPSILON:
        found.append(f"it gave no valid answer to {unanswered} of {cases} cases")
    if spread is not None and spread.says is not None:
        found.append(f"it says {spread.says:.2f} whatever it is shown")
    elif spread is not None and spread.ratio is not None and agreement is not None:
        rank = agreement.rank_correlation
        if spread.ratio < LIMITS.spread - _EPSILON:
            found.append(
                "its answers lie too close together: they spread by"
                f" {spread.answers:.2f}, the known ones by {spread.known:.2f}"
            )
        if rank is not None and rank < LIMITS.rank_correlation - _EPSILON:
            found.append(
                f"it does not tell better from worse: rank correlation {rank:.2f}"
            )
    if agreement is not None and agreement.mean_error > LIMITS.mean_error + _EPSILON:
        found.append(f"it is off by {agreement.mean_error:.2f} on average")
    if bias is not None and abs(bias.mean) > LIMITS.bias + _EPSILON:
        how = "too high" if bias.mean > 0 else "too low"
        found.append(f"it answers {how} by {abs(bias.mean):.2f} on average")
    return found


def _notes(
    pairs: Sequence[tuple[float, float]], spread: Spread | None, moved: Sequence[float]
) -> list[str]:
    """What is worth knowing and is no fault of its answers."""
    found = []
    if pairs and spread is None:
        found.append("one answer says nothing of how it tells cases apart")
    if spread is not None and are_alike([known for known, _ in pairs]):
        found.append(
            "the known answers are all alike: these cases can't show whether it"
            " tells better from worse"
        )
    if moved and abs(fmean(moved)) > NEAR + _EPSILON:
        change = fmean(moved)
        found.append(
            f"its answers have moved by {change:+.2f} on average since it was shown"
            " the same cases before"
        )
    return found


def _answer(case: CanaryCase) -> float:
    assert case.answered is not None
    return case.answered


def _ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value, from 1 on; equal ones share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for index in order[start:end]:
            ranks[index] = (start + 1 + end) / 2
        start = end
    return ranks


def _student_within(angle: float, freedom: int) -> float:
    """The probability of a value between -t and t, where angle is atan(t/√freedom)."""
    term = cos(angle) if freedom % 2 else 1.0
    total = 0.0
    for step in range(freedom // 2):
        total += term
        above = 2 * step + 2 if freedom % 2 else 2 * step + 1
        term *= cos(angle) ** 2 * above / (above + 1)
    if freedom % 2:
        return (angle + sin(angle) * total) * 2 / pi
    return sin(angle) * total


def _shows_enough(spread: Spread | None) -> bool:
    return spread is not None and spread.ratio is not None


def _deviation(values: Sequence[float]) -> float:
    return 0.0 if _range(values) < _EPSILON else stdev(values)


def _range(values: Sequence[float]) -> float:
    return max(values) - min(values)
