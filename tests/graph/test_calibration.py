"""How well answers fit known ones: measures whose values are known."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from workgraph.graph.calibration import (
    CanaryCase,
    Interval,
    are_alike,
    interval,
    measure,
    rank_correlation,
    student_quantile,
)

SCORES = st.lists(
    st.integers(min_value=0, max_value=100).map(lambda number: number / 100),
    min_size=2,
    max_size=30,
)


def cases_of(
    known: Sequence[float], answers: Sequence[float | None]
) -> list[CanaryCase]:
    """A case for each known score, answered so."""
    return [
        CanaryCase(name=f"case {index}", expected=score, answered=answer)
        for index, (score, answer) in enumerate(zip(known, answers, strict=True))
    ]


@given(SCORES)
def test_a_perfect_evaluator_agrees_without_bias(known: list[float]) -> None:
    """Whatever the cases are, as long as they differ."""
    assume(not are_alike(known))

    fit = measure(cases_of(known, known))

    assert fit.agreement is not None
    assert fit.spread is not None
    assert (fit.agreement.mean_error, fit.agreement.within) == (0, 1)
    assert fit.agreement.rank_correlation == pytest.approx(1)
    assert fit.bias == Interval(mean=0, low=0, high=0)
    assert fit.spread.ratio == 1
    assert fit.calibrated
    assert fit.findings == ()


@given(SCORES, st.floats(min_value=-1, max_value=1))
def test_who_answers_too_high_by_so_much_has_that_bias(
    known: list[float], shift: float
) -> None:
    """And orders the cases as well as before."""
    assume(not are_alike(known))

    fit = measure(cases_of(known, [score + shift for score in known]))

    assert fit.agreement is not None
    assert fit.bias is not None
    assert fit.bias.mean == pytest.approx(shift, abs=1e-9)
    assert fit.bias.low == pytest.approx(shift, abs=1e-9)
    assert fit.agreement.mean_error == pytest.approx(abs(shift), abs=1e-9)
    assert fit.calibrated or abs(shift) > 0.1 - 1e-6


@given(SCORES, st.floats(min_value=0, max_value=1))
def test_who_says_one_thing_of_everything_is_told_so(
    known: list[float], answer: float
) -> None:
    """The spread is none, and no agreement makes up for it."""
    assume(not are_alike(known))

    fit = measure(cases_of(known, [answer] * len(known)))

    assert fit.spread is not None
    assert (fit.spread.answers, fit.spread.ratio) == (0, 0)
    assert fit.spread.says == answer
    assert fit.calibrated is False
    assert fit.findings[0] == f"it says {answer:.2f} whatever it is shown"


@given(SCORES, st.randoms(use_true_random=False))
def test_the_order_of_the_cases_changes_nothing(
    known: list[float], random: Random
) -> None:
    """To the last digits of sums."""
    cases = cases_of(known, [random.random() for _ in known])
    shuffled = random.sample(cases, len(cases))

    first, second = measure(cases), measure(shuffled)

    assert first.agreement is not None
    assert second.agreement is not None
    assert first.bias is not None
    assert second.bias is not None
    assert first.agreement.mean_error == pytest.approx(second.agreement.mean_error)
    assert first.agreement.rank_correlation == pytest.approx(
        second.agreement.rank_correlation
    )
    assert first.bias.mean == pytest.approx(second.bias.mean)
    assert (first.calibrated, first.findings) == (second.calibrated, second.findings)


def test_nearly_one_answer_is_one_answer() -> None:
    """Noise around 0.9 is no judgement."""
    fit = measure(cases_of([0.1, 0.5, 0.9], [0.91, 0.9, 0.89]))

    assert fit.spread is not None
    assert fit.spread.says == 0.9
    assert fit.findings[0] == "it says 0.90 whatever it is shown"


def test_answers_that_lie_together_are_too_close() -> None:
    """They are ordered well, and say too little."""
    fit = measure(cases_of([0, 0.5, 1], [0.45, 0.5, 0.55]))

    assert fit.findings[0] == (
        "its answers lie too close together: they spread by 0.05, the known ones by"
        " 0.50"
    )


def test_who_has_it_the_wrong_way_round_is_told_so() -> None:
    """The mean difference alone is none."""
    fit = measure(cases_of([0, 0.5, 1], [1, 0.5, 0]))

    assert fit.bias is not None
    assert fit.bias.mean == 0
    assert "it does not tell better from worse: rank correlation -1.00" in fit.findings


def test_known_answers_that_are_alike_show_nothing() -> None:
    """So nobody is called calibrated by them."""
    fit = measure(cases_of([0.9, 0.9, 0.9], [0.9, 0.9, 0.9]))

    assert fit.calibrated is False
    assert fit.findings == (
        (
            "the known answers are all alike: these cases can't show whether it tells"
            " better from worse"
        ),
    )


def test_cases_without_a_valid_answer_are_counted() -> None:
    """They are left out of the measures."""
    fit = measure(cases_of([0, 0.5, 1], [0, None, 1]))

    assert (fit.answered, fit.unanswered, fit.pending) == (2, 1, 0)
    assert fit.calibrated is False
    assert fit.findings == ("it gave no valid answer to 1 of 3 cases",)


def test_nothing_is_said_while_a_case_waits() -> None:
    """What there is is measured."""
    known, waiting = cases_of([0, 1], [0, None])

    fit = measure([known, replace(waiting, settled=False)])

    assert (fit.calibrated, fit.pending, fit.unanswered) == (None, 1, 0)


def test_dimensions_are_compared_where_both_are_there() -> None:
    """Others are passed over."""
    case = CanaryCase(
        name="a",
        expected=0.5,
        dimensions={"correctness": 0.5, "completeness": 0.1},
        answered=0.6,
        answered_dimensions={"correctness": 0.75, "efficiency": 1},
    )

    fit = measure([case, replace(case, name="b", answered_dimensions={})])

    assert [(one.name, one.cases, one.bias) for one in fit.dimensions] == [
        ("correctness", 1, 0.25)
    ]


def test_drift_is_the_change_since_the_last_time() -> None:
    """Of the cases that it had been shown."""
    cases = cases_of([0.2, 0.5, 0.8], [0.4, 0.7, 0.9])

    fit = measure([replace(one, before=0.25) for one in cases[:2]] + cases[2:])

    assert fit.drift is not None
    assert fit.drift.mean == pytest.approx(0.3)
    assert fit.drift_cases == 2
    assert fit.findings[-1].startswith("its answers have moved by +0.30 on average")


@pytest.mark.parametrize(
    ("freedom", "value"),
    [(1, 6.3138), (2, 2.92), (5, 2.015), (10, 1.8125), (30, 1.6973), (120, 1.6577)],
)
def test_students_quantiles_are_those_of_the_tables(freedom: int, value: float) -> None:
    """For an interval of 90 %."""
    assert student_quantile(0.95, freedom) == pytest.approx(value, abs=5e-5)


def test_an_interval_is_as_worked_out_by_hand() -> None:
    """1, 2, 3, 4: s = 1.29099, t = 2.35336, so 2.5 ± 1.51910."""
    found = interval([1, 2, 3, 4])

    assert found.mean == 2.5
    assert found.low == pytest.approx(0.98090, abs=5e-5)
    assert found.high == pytest.approx(4.01910, abs=5e-5)
    assert interval([0.5]) == Interval(mean=0.5)


def test_equal_values_share_their_ranks() -> None:
    """Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4."""
    pairs = [(0.1, 0.1), (0.5, 0.2), (0.5, 0.3), (0.9, 0.4)]

    assert rank_correlation(pairs) == pytest.approx(4.5 / (4.5 * 5) ** 0.5)
    assert rank_correlation([(0.5, 0.1), (0.5, 0.9)]) is None
