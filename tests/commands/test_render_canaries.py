"""How a try of an evaluator reads."""

from workgraph.commands.render import Style
from workgraph.commands.render_canaries import calibration_page
from workgraph.graph.calibration import CanaryCase, Interval, measure
from workgraph.graph.canary_requests import (
    CalibrationData,
    CanaryData,
    DriftData,
    OverridesData,
)

CASES = (
    CanaryCase(name="a\x1b[31m", expected=0.9, answered=0.9, before=0.7),
    CanaryCase(name="b", expected=0.1, answered=0.9),
    CanaryCase(name="c", expected=0.5),
)


def a_report() -> CalibrationData:
    """One that always says the same, once not at all."""
    return CalibrationData(
        run=2,
        evaluator="eva",
        evaluator_id="e" * 64,
        rubric="1",
        at="2026-01-01T00:00:00Z",
        fit=measure(CASES),
        cases=tuple(
            CanaryData(
                name=case.name,
                task=f"reward-{number}",
                status="failed" if case.answered is None else "done",
                expected=case.expected,
                answered=case.answered,
                difference=None
                if case.answered is None
                else case.answered - case.expected,
                given=None,
                expected_dimensions={},
                dimensions={},
                notes=None,
                before=case.before,
            )
            for number, case in enumerate(CASES)
        ),
        drift=(
            DriftData(
                run=1, at="2025-01-01T00:00:00Z", cases=1, change=Interval(mean=0.2)
            ),
        ),
        overrides=OverridesData(
            count=3, difference=Interval(mean=-0.1, low=-0.30001, high=0.10001)
        ),
    )


def test_the_verdict_comes_first_then_what_it_is_made_from() -> None:
    """And each case, its name escaped."""
    page = calibration_page(a_report(), Style())

    assert page == (
        "eva: not calibrated (2 of 3 cases answered)\n"
        "  it gave no valid answer to 1 of 3 cases\n"
        "  it says 0.90 whatever it is shown\n"
        "  it is off by 0.40 on average\n"
        "  it answers too high by 0.40 on average\n"
        "  its answers have moved by +0.20 on average since it was shown the same"
        " cases before\n"
        "\n"
        "Run: 2, 2026-01-01T00:00:00Z, rubric 1, actor eeeeeeee\n"
        "Agreement: off by 0.400 on average (limit 0.15), 50% within 0.1,"
        " rank correlation - (limit 0.5)\n"
        "Bias: +0.400 (-2.126 to +2.926, 90 %) (limit 0.1)\n"
        "Spread: 0.000, of the known answers 0.566 (limit 50% of it)\n"
        "No valid answer: 1\n"
        "Drift: +0.200 since it had them last, in 1 case\n"
        "Overrides: 3 by operators, -0.100 (-0.300 to +0.100, 90 %) from its score\n"
        "\n"
        "Against earlier runs:\n"
        "  run 1, 2025-01-01T00:00:00Z: +0.200 in 1 case\n"
        "\n"
        "Cases:\n"
        "0.90  0.90  +0.00  +0.20  a\\x1b[31m\n"
        "0.10  0.90  +0.80  -      b\n"
        "0.50  -     -      -      c          no answer: reward-2 is failed\n"
    )
