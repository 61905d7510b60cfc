"""The judge of the real-process tests, judged: what it must find, and must let pass."""

from typing import Any

import pytest

from tests.system.evidence import Line, compare


def _row(**changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"id": "agent-1", "task": "t", "attempt": 1}
    row |= {"status": "ended", "outcome": "done", "exit_code": 0, "signal": None}
    row |= {"pid": 4711}
    return row | changes


def _line(what: str, how: str = "", number: int = 0, agent: str = "agent-1") -> Line:
    return Line(agent, 1, 4711, "t", what, how, number)


STARTED = _line("started")
EXIT_0 = _line("ended", "exit", 0)
EXIT_7 = _line("ended", "exit", 7)
KILLED_9 = _line("ended", "signal", 9)
LOST = {"outcome": "lost", "exit_code": None}

RIGHT: dict[str, tuple[list[Line], dict[str, Any]]] = {
    "an exit": ([STARTED, EXIT_0], _row()),
    "a code": ([STARTED, EXIT_7], _row(exit_code=7, outcome="failed")),
    "a signal": (
        [STARTED, KILLED_9],
        _row(exit_code=None, signal=9, outcome="crashed"),
    ),
    "a signal that can't be known": (
        [STARTED, KILLED_9],
        _row(exit_code=None, outcome="crashed"),
    ),
    "130, which may be a signal": (
        [STARTED, _line("ended", "exit", 130)],
        _row(exit_code=None, signal=2, outcome="crashed"),
    ),
    "never started": ([], _row(exit_code=None, outcome="spawn-failed")),
    "cut short by us": ([STARTED], _row(exit_code=None, signal=9, outcome="killed")),
    "lost before its first word": ([], _row(**LOST)),
    "lost by its own attack": ([STARTED, _line("attacks")], _row(**LOST)),
    "alive": ([STARTED], _row(status="working", outcome=None, exit_code=None)),
}
WRONG: dict[str, tuple[list[Line], dict[str, Any]]] = {
    "another code": ([STARTED, EXIT_7], _row()),
    "a code for a signal": ([STARTED, KILLED_9], _row(exit_code=137)),
    "another signal": ([STARTED, KILLED_9], _row(exit_code=None, signal=15)),
    "an end that was announced is lost": ([STARTED, EXIT_0], _row(**LOST)),
    "lost without a reason": ([STARTED], _row(**LOST)),
    "never started, and it ran": (
        [STARTED],
        _row(exit_code=None, outcome="spawn-failed"),
    ),
    "an end that nobody announced": ([STARTED], _row()),
    "done without a start": ([], _row()),
    "another attempt": ([STARTED, EXIT_0], _row(attempt=2)),
}


@pytest.mark.parametrize("case", RIGHT)
def test_what_is_so_passes(case: str) -> None:
    """Rows that say what was said."""
    lines, row = RIGHT[case]

    assert not any(compare(lines, [row]))


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_so_is_found(case: str) -> None:
    """Rows that say something else."""
    lines, row = WRONG[case]

    assert compare(lines, [row]).misreported


def test_a_folder_removed_before_its_start_was_recorded_tells_nothing() -> None:
    """The agent's own doing, its folder gone, its pid unknown: all three are needed."""
    unstarted = _row(exit_code=None, outcome="spawn-failed", pid=None)
    lines = [STARTED, _line("attacks"), EXIT_7]

    assert not any(compare(lines, [unstarted], gone=["agent-1"]))
    assert compare(lines, [unstarted]).misreported
    assert compare([STARTED, EXIT_7], [unstarted], gone=["agent-1"]).misreported
    assert compare(lines, [unstarted | {"pid": 4711}], gone=["agent-1"]).misreported


def test_what_was_done_twice_is_found() -> None:
    """By one agent that started twice, and by two that did the same work."""
    again = [_line("started", agent="agent-2"), _line("ended", "exit", agent="agent-2")]

    assert compare([STARTED, STARTED, EXIT_0], [_row()]).doubled
    assert compare([STARTED, EXIT_0, *again], [_row(), _row(id="agent-2")]).doubled


def test_what_has_no_row_is_found() -> None:
    """An agent that spoke and is not known."""
    assert compare([STARTED], []).lost == ("agent-1 ran and has no row",)


def test_what_the_test_has_killed_may_be_lost() -> None:
    """Its pid is among those that were killed from outside."""
    assert not any(compare([STARTED], [_row(**LOST)], killed=[4711]))
