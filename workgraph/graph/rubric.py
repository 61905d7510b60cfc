"""What a judgement is worth: a score from dimensions, by a rubric that has a version.

Each dimension is a number from 0 to 1. Where at least one of them is of the rubric, the
score is their weighted mean, over those that were judged; otherwise it is the one that
was given. FLIP asks whether the task can be told from its result alone; it is a rubric
of its own, for one source. All of it is pure.
"""

import math
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from workgraph.graph.errors import UsageError
from workgraph.graph.model import Record

#: Scores of other versions are kept and shown, and count for nothing.
RUBRIC: Final = "1"
#: The source whose dimensions are those of FLIP.
FLIP: Final = "flip"

WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "correctness": 0.30,
        "completeness": 0.20,
        "downstream_usability": 0.15,
        "efficiency": 0.10,
        "style_adherence": 0.10,
        "coordination_overhead": 0.10,
        "blocking_impact": 0.05,
    }
)
FLIP_WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "semantic_match": 0.4,
        "requirement_coverage": 0.3,
        "specificity_match": 0.2,
        "hallucination_rate": 0.1,
    }
)
#: Of these less is better.
INVERTED: Final = frozenset({"hallucination_rate"})
#: Known, and shown as the others are, without a weight.
WEIGHTLESS: Final = frozenset({"intent_fidelity", "constraint_fidelity"})
KNOWN: Final = frozenset({*WEIGHTS, *FLIP_WEIGHTS, *WEIGHTLESS})

#: Scores are kept to so many decimals, so that sums of them are exact.
DECIMALS: Final = 4
#: More than any judge has to say.
MOST_DIMENSIONS: Final = 50
#: How many of a hundred intervals hold the true mean, and the quantile for that.
LEVEL: Final = 90
_Z: Final = 1.6448536269514722
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_BLANKS: Final = re.compile(r"[\s-]+")


class Interval(Record, frozen=True, kw_only=True):
    """What is known of a mean: without anything to go by it lies anywhere."""

    count: int
    mean: float | None
    low: float
    high: float


def score_of(
    source: str, given: float | None, dimensions: Mapping[str, float]
) -> tuple[float, float | None]:
    """The score of a judgement, and the one that was given where that is another.

    Args:
        source: Who judges; FLIP has weights of its own.
        given: The score that was said; null: none.
        dimensions: As `check_dimensions` gives them.

    Raises:
        UsageError: There is neither a score nor a dimension that makes one.
    """
    if given is not None:
        check_fraction("the score", given)
    weights = weights_of(source)
    present = [name for name in weights if name in dimensions]
    if present:
        total = math.fsum(weights[name] for name in present)
        score = math.fsum(
            weights[name] * _worth(name, dimensions[name]) for name in present
        )
        return round(min(max(score / total, 0.0), 1.0), DECIMALS), given
    if given is None:
        raise UsageError(
            "there is neither a score nor a dimension that makes one",
            hint=f"--score X, or --dim NAME=X with one of {', '.join(weights)}",
        )
    return round(given, DECIMALS), None


def source_for(dimensions: Mapping[str, float]) -> str | None:
    """The source that dimensions speak of where none is named; null: any."""
    mine = FLIP_WEIGHTS.keys() & dimensions.keys()
    return FLIP if mine and not WEIGHTS.keys() & dimensions.keys() else None


def weights_of(source: str) -> Mapping[str, float]:
    """The weights by which a source's dimensions count."""
    return FLIP_WEIGHTS if source == FLIP else WEIGHTS


def check_dimensions(said: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Dimensions by their names as they are kept, in the order of these.

    Raises:
        UsageError: One is out of range, is no name or there twice.
    """
    found: dict[str, float] = {}
    for word, value in said:
        name = _BLANKS.sub("_", word.strip().lower())
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{word!r} is no name of a dimension",
                hint=f"letters, digits and _, such as {', '.join(WEIGHTS)}",
            )
        if name in found:
            raise UsageError(f"the dimension {name} is there twice", hint="say it once")
        check_fraction(name, value)
        found[name] = value
    if len(found) > MOST_DIMENSIONS:
        raise UsageError(
            f"{len(found)} dimensions are too many", hint=f"at most {MOST_DIMENSIONS}"
        )
    return dict(sorted(found.items()))


def check_fraction(what: str, value: float) -> None:
    """Refuses what is not a number from 0 to 1.

    Raises:
        UsageError: It is not.
    """
    if not 0 <= value <= 1:  # false for what is not a number, too
        raise UsageError(
            f"{what}: {value:g} is not between 0 and 1",
            hint="0 is worst and 1 best: write 0.8 for 80 %",
        )


def unknown_dimensions(dimensions: Iterable[str]) -> tuple[str, ...]:
    """Those that weigh nothing because nobody knows them, in their order."""
    return tuple(name for name in dimensions if name not in KNOWN)


def interval_of(count: int, total: float) -> Interval:
    """The mean of scores from 0 to 1, and between what it truly lies (90 %).

    It is Wilson's score interval (E. B. Wilson, "Probable Inference, the Law of
    Succession, and Statistical Inference", JASA 22, 1927) with the mean in the place of
    the proportion. No variance of numbers from 0 to 1 with a mean m is above
    m * (1 - m), that of zeros and ones (R. Bhatia, C. Davis, "A Better Bound on the
    Variance", Amer. Math. Monthly 107, 2000), so for scores it is rather too wide.

    Args:
        count: How many scores there are.
        total: Their sum.
    """
    if count == 0:
        return Interval(count=0, mean=None, low=0.0, high=1.0)
    mean = min(max(total / count, 0.0), 1.0)
    square = _Z * _Z
    scale = 1 + square / count
    middle = (mean + square / (2 * count)) / scale
    spread = mean * (1 - mean) / count + square / (4 * count * count)
    half = _Z * math.sqrt(spread) / scale
    return Interval(
        count=count,
        mean=round(mean, DECIMALS),
        low=round(max(min(middle - half, mean), 0.0), DECIMALS),
        high=round(min(max(middle + half, mean), 1.0), DECIMALS),
    )


def _worth(name: str, value: float) -> float:
    return 1 - value if name in INVERTED else value
