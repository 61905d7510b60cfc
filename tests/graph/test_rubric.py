"""Scores from dimensions, and what is known of their mean."""

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workgraph.graph import rubric
from workgraph.graph.errors import UsageError
from workgraph.graph.rubric import (
    FLIP_WEIGHTS,
    INVERTED,
    KNOWN,
    WEIGHTLESS,
    WEIGHTS,
    check_dimensions,
    interval_of,
    score_of,
    unknown_dimensions,
)

FRACTION = st.floats(0, 1)
SOURCES = st.sampled_from(["operator", "evaluator", "checks", "flip"])
NAMES = st.sampled_from(sorted(KNOWN)) | st.from_regex(r"x[a-z_]{0,9}", fullmatch=True)


def _weighted(source: str) -> st.SearchStrategy[dict[str, float]]:
    names = st.sampled_from(sorted(rubric.weights_of(source)))
    return st.dictionaries(names, FRACTION, min_size=1)


ANY_SCORED = SOURCES.flatmap(lambda one: st.tuples(st.just(one), _weighted(one)))


def test_the_weights_are_those_of_the_rubric() -> None:
    """Each set adds up to one, and the issue's nine dimensions are all known."""
    assert math.isclose(math.fsum(WEIGHTS.values()), 1)
    assert math.isclose(math.fsum(FLIP_WEIGHTS.values()), 1)
    assert len(WEIGHTS) + len(WEIGHTLESS) == 9
    assert len(KNOWN) == 9 + 4


def test_flip_by_hand() -> None:
    """The rate of what was made up counts against it."""
    said = {
        "semantic_match": 0.95,
        "requirement_coverage": 0.70,
        "specificity_match": 0.65,
        "hallucination_rate": 0.25,
    }

    assert score_of("flip", None, said) == (0.795, None)


def test_a_score_by_hand() -> None:
    """.3 * .9 + .2 * .5 over the half that is there; the given one is kept."""
    said = {"correctness": 0.9, "completeness": 0.5, "intent_fidelity": 0.0}

    assert score_of("evaluator", 0.9, said) == (0.74, 0.9)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("evaluator", {}),
        ("evaluator", {"intent_fidelity": 0.1, "semantic_match": 0.2, "odd": 0.3}),
        ("flip", {"correctness": 0.1}),
    ],
)
def test_without_a_dimension_of_the_rubric_the_given_score_stands(
    source: str, said: Mapping[str, float]
) -> None:
    """Without one of those either there is none."""
    assert score_of(source, 0.42, said) == (0.42, None)
    with pytest.raises(UsageError, match="neither a score nor"):
        score_of(source, None, said)


@given(ANY_SCORED, st.none() | FRACTION)
def test_a_score_lies_among_its_dimensions(
    scored: tuple[str, dict[str, float]], said: float | None
) -> None:
    """So it is from 0 to 1, and no given score moves it."""
    source, dimensions = scored
    worth = [1 - v if name in INVERTED else v for name, v in dimensions.items()]

    score, kept = score_of(source, said, dimensions)

    assert min(worth) - 1e-4 <= score <= max(worth) + 1e-4
    assert 0 <= score <= 1
    assert kept == said
    assert score_of(source, None, dimensions)[0] == score


@given(ANY_SCORED, st.data())
def test_a_score_is_monotone(
    scored: tuple[str, dict[str, float]], data: st.DataObject
) -> None:
    """Whatever gets better makes no score worse."""
    source, dimensions = scored
    name = data.draw(st.sampled_from(sorted(dimensions)))
    least, most = (0.0, dimensions[name]) if name in INVERTED else (dimensions[name], 1)
    better = dimensions | {name: data.draw(st.floats(least, most))}

    assert score_of(source, None, better) >= score_of(source, None, dimensions)


@given(ANY_SCORED, st.dictionaries(NAMES, FRACTION), st.randoms())
def test_neither_order_nor_what_weighs_nothing_counts(
    scored: tuple[str, dict[str, float]], others: dict[str, float], random: object
) -> None:
    """The same to the last digit."""
    source, dimensions = scored
    weights = rubric.weights_of(source)
    light = {name: v for name, v in others.items() if name not in weights}
    entries = [*light.items(), *dimensions.items()]
    random.shuffle(entries)  # type: ignore[attr-defined]

    assert score_of(source, None, dict(entries)) == score_of(source, None, dimensions)


@given(ANY_SCORED, FRACTION)
def test_equal_dimensions_give_their_value(
    scored: tuple[str, dict[str, float]], value: float
) -> None:
    """However few there are: the weights are those of what is present."""
    source, dimensions = scored
    same = {name: 1 - value if name in INVERTED else value for name in dimensions}

    assert math.isclose(score_of(source, None, same)[0], value, abs_tol=1e-4)


@given(st.dictionaries(NAMES, FRACTION))
def test_names_may_be_written_with_dashes_and_blanks(said: dict[str, float]) -> None:
    """They are kept in one spelling and one order."""
    words = [(name.replace("_", "-").upper(), v) for name, v in said.items()]
    blanks = [(f" {name} ".replace("_", " "), v) for name, v in said.items()]
    if any("__" in name or name.endswith("_") for name in said):
        return

    assert check_dimensions(words) == check_dimensions(blanks) == said
    assert list(check_dimensions(words)) == sorted(said)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([("correctness", 80)], "correctness: 80 is not between 0 and 1"),
        ([("correctness", -0.1)], "is not between 0 and 1"),
        ([("correctness", math.nan)], "nan is not between 0 and 1"),
        ([("correctness", math.inf)], "inf is not between 0 and 1"),
        ([("", 0.5)], "'' is no name"),
        ([("a/b", 0.5)], "'a/b' is no name"),
        ([("style adherence", 1), ("style-adherence", 1)], "is there twice"),
        ([(f"d{number}", 1) for number in range(51)], "51 dimensions are too many"),
    ],
)
def test_what_is_no_dimension_is_refused(
    said: list[tuple[str, float]], message: str
) -> None:
    """With what it would have to be."""
    with pytest.raises(UsageError, match=message) as raised:
        check_dimensions(said)

    assert raised.value.hint


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_a_given_score_is_a_fraction(value: float) -> None:
    """Even where it is computed anew."""
    with pytest.raises(UsageError, match=r"the score: .* is not between 0 and 1"):
        score_of("evaluator", value, {"correctness": 1.0})


def test_unknown_dimensions_are_named() -> None:
    """All of the issue's, and of FLIP's, are known."""
    assert unknown_dimensions(["charm", *KNOWN, "wit"]) == ("charm", "wit")


def test_of_nothing_nothing_is_known() -> None:
    """The mean lies anywhere."""
    whole = interval_of(0, 0)

    assert (whole.count, whole.mean, whole.low, whole.high) == (0, None, 0, 1)


def test_an_interval_by_hand() -> None:
    """Eight of ten."""
    whole = interval_of(10, 8)

    assert (whole.mean, whole.low, whole.high) == (0.8, 0.5408, 0.9314)


@given(st.lists(FRACTION, min_size=1, max_size=50))
def test_an_interval_holds_its_mean_and_narrows(scores: list[float]) -> None:
    """Four times as many of the same leave less room."""
    total = math.fsum(scores)
    few, many = interval_of(len(scores), total), interval_of(4 * len(scores), 4 * total)

    assert few.mean is not None
    assert 0 <= few.low <= few.mean <= few.high <= 1
    assert many.high - many.low < few.high - few.low
