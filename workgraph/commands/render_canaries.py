"""How an evaluator did on known answers, for people: the verdict first."""

from workgraph.commands.escape import escape_line
from workgraph.commands.render_style import Style, as_lines, section, table
from workgraph.graph.calibration import NEAR, Fit, Interval
from workgraph.graph.canary_requests import CalibrationData, CanaryData

_HEADS = ("EXPECTED", "ANSWERED", "OFF BY", "MOVED", "CASE", "")


def calibration_page(data: CalibrationData, style: Style) -> str:
    """The verdict, what it is made from, and each case."""
    fit = data.fit
    who = escape_line(data.evaluator)
    lines = [_verdict(who, fit)]
    lines += [f"  {escape_line(finding)}" for finding in fit.findings]
    lines += ["", *_measures(data)]
    lines += section("By dimension", _dimensions(fit))
    lines += section("Against earlier runs", _drifts(data))
    rows = [_cells(case) for case in data.cases]
    lines += ["", "Cases:"]
    return as_lines(lines) + table(_HEADS, rows, style, words=-1)


def difference_words(found: Interval) -> str:
    """A mean of differences with its interval."""
    if found.low is None or found.high is None:
        return _signed(found.mean, 3)
    low, high = _signed(found.low, 3), _signed(found.high, 3)
    return f"{_signed(found.mean, 3)} ({low} to {high}, 90 %)"


def _verdict(who: str, fit: Fit) -> str:
    if fit.calibrated is None:
        return f"{who}: {fit.pending} of {fit.cases} cases still wait for an answer"
    word = "calibrated" if fit.calibrated else "not calibrated"
    return f"{who}: {word} ({fit.answered} of {fit.cases} cases answered)"


def _measures(data: CalibrationData) -> list[str]:
    fit, limits = data.fit, data.fit.limits
    lines = [
        (
            f"Run: {data.run}, {data.at}, rubric {data.rubric},"
            f" actor {data.evaluator_id[:8]}"
        )
    ]
    if fit.agreement is not None:
        one = fit.agreement
        rank = "-" if one.rank_correlation is None else f"{one.rank_correlation:.2f}"
        lines.append(
            f"Agreement: off by {one.mean_error:.3f} on average"
            f" (limit {limits.mean_error:g}), {one.within:.0%} within {NEAR:g},"
            f" rank correlation {rank} (limit {limits.rank_correlation:g})"
        )
    if fit.bias is not None:
        lines.append(f"Bias: {difference_words(fit.bias)} (limit {limits.bias:g})")
    if fit.spread is not None:
        lines.append(
            f"Spread: {fit.spread.answers:.3f}, of the known answers"
            f" {fit.spread.known:.3f} (limit {limits.spread:.0%} of it)"
        )
    if fit.unanswered:
        lines.append(f"No valid answer: {fit.unanswered}")
    if fit.drift is not None:
        lines.append(
            f"Drift: {difference_words(fit.drift)} since it had them last,"
            f" in {_count(fit.drift_cases)}"
        )
    lines.append(_overrides(data))
    return lines


def _overrides(data: CalibrationData) -> str:
    found = data.overrides
    if found.difference is None:
        return "Overrides: no operator has judged what it has judged"
    return (
        f"Overrides: {found.count} by operators,"
        f" {difference_words(found.difference)} from its score"
    )


def _dimensions(fit: Fit) -> list[str]:
    return [
        f"{escape_line(one.name)}: off by {one.mean_error:.3f},"
        f" bias {_signed(one.bias, 3)} ({_count(one.cases)})"
        for one in fit.dimensions
    ]


def _drifts(data: CalibrationData) -> list[str]:
    return [
        f"run {one.run}, {one.at}: {difference_words(one.change)}"
        f" in {_count(one.cases)}"
        for one in data.drift
    ]


def _cells(case: CanaryData) -> tuple[str, ...]:
    answered = "-" if case.answered is None else f"{case.answered:.2f}"
    difference = "-" if case.difference is None else _signed(case.difference, 2)
    moved = "-"
    if case.answered is not None and case.before is not None:
        moved = _signed(case.answered - case.before, 2)
    state = ""
    if case.answered is None:
        state = f"no answer: {case.task} is {case.status}"
    expected = f"{case.expected:.2f}"
    return (expected, answered, difference, moved, escape_line(case.name), state)


def _count(cases: int) -> str:
    return f"{cases} case{'' if cases == 1 else 's'}"


def _signed(value: float, decimals: int) -> str:
    """A difference; none has a minus."""
    return f"{round(value, decimals) + 0.0:+.{decimals}f}"
