"""What can be waited for: the grammar, when it is met, and circles."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workgraph.graph.errors import UsageError
from workgraph.graph.status import Status
from workgraph.graph.times import SECOND
from workgraph.graph.views import PatrolView, RetryPolicy
from workgraph.graph.waits import (
    MET_BY,
    Needs,
    Term,
    Wait,
    WaitState,
    find_circle,
    met_branch,
    parse_condition,
    write_term,
)
from workgraph.reactors import waits

NOW = 1_700_000_000_000_000

PATHS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20
).filter(lambda text: text == text.strip())
IDS = st.from_regex(r"\.?[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)
KINDS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(
        dict, kind=st.just("task"), target=IDS, status=st.sampled_from(sorted(MET_BY))
    ),
    st.builds(
        dict,
        kind=st.just("timer"),
        due=st.integers(0, 10**12).map(lambda millis: millis * 1000),
    ),
    st.just({"kind": "message"}),
    st.builds(dict, kind=st.just("file"), target=PATHS),
)
CONDITIONS = st.lists(st.lists(KINDS, min_size=1, max_size=3), min_size=1, max_size=3)


def terms_of(branches: list[list[dict[str, Any]]]) -> tuple[Term, ...]:
    """Terms as a condition has them."""
    return tuple(
        Term(branch=number, **term)
        for number, branch in enumerate(branches)
        for term in branch
    )


def a_wait(*terms: Term, **values: Any) -> Wait:
    """A wait that has just begun."""
    base: dict[str, Any] = {"task": "t", "agent": 1, "condition": "", "since": NOW}
    return Wait(**(base | values), terms=terms)


def write_condition(terms: Iterable[Term]) -> str:
    """Terms as they are said; timers as moments."""
    branches: dict[int, list[str]] = {}
    for term in terms:
        branches.setdefault(term.branch, []).append(write_term(term))
    return "|".join(",".join(branch) for branch in branches.values())


@settings(deadline=None)
@given(CONDITIONS)
def test_what_is_written_is_read_as_it_was(
    branches: list[list[dict[str, Any]]],
) -> None:
    """Whatever is in a path."""
    terms = terms_of(branches)

    assert parse_condition(write_condition(terms), NOW) == terms


@settings(deadline=None)
@given(st.text(max_size=30) | st.text("task:imer=done|,mesgfl\\ 5", max_size=30))
def test_any_text_is_a_condition_or_wrong_usage(text: str) -> None:
    """Never anything else; what is read has a term in each branch."""
    try:
        terms = parse_condition(text, NOW)
    except UsageError:
        return
    assert {term.branch for term in terms} == set(range(terms[-1].branch + 1))


def test_all_of_them_binds_stronger_than_any() -> None:
    """Spaces around terms mean nothing, and durations count from now."""
    terms = parse_condition("task:a=done , timer:5m | message,file:a\\,b c", NOW)

    assert terms == (
        Term(branch=0, kind="task", target="a", status="done"),
        Term(branch=0, kind="timer", due=NOW + 300 * SECOND),
        Term(branch=1, kind="message"),
        Term(branch=1, kind="file", target="a,b c"),
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "task:a",
        "task:=done",
        "task:a=open",
        "timer:",
        "timer:soon",
        "timer:-5m",
        "timer:9999-12-31T23:59:59-23:00",
        "message:now",
        "file:",
        "file:a\0b",
        "answer",
        "message,",
        "|message",
        "message||message",
        "wait",
    ],
)
def test_what_is_not_understood_is_wrong_usage(text: str) -> None:
    """The hint has the grammar."""
    with pytest.raises(UsageError) as refused:
        parse_condition(text, NOW)

    assert "task:ID=done" in refused.value.hint


def test_a_moment_of_long_ago_is_over() -> None:
    """And can be written down as every other one."""
    (term,) = parse_condition("timer:1900-01-01T00:00:00Z", NOW)

    assert term.due == 0


def test_too_many_terms_are_refused() -> None:
    """More than anybody means."""
    with pytest.raises(UsageError, match="101 terms"):
        parse_condition(",".join(["message"] * 101), NOW)


def test_a_branch_is_met_with_all_its_terms() -> None:
    """The first of those that are."""
    wait = a_wait(
        Term(branch=0, kind="task", target="x", status="done"),
        Term(branch=0, kind="message"),
        Term(branch=1, kind="timer", due=NOW + 1),
    )
    done = WaitState(wait=wait, statuses={"x": Status.DONE})

    assert met_branch(done, NOW) is None
    assert met_branch(done, NOW + 1) == wait.terms[2:]
    both = WaitState(wait=wait, statuses={"x": Status.DONE}, message_by="me")
    assert met_branch(both, NOW + 1) == wait.terms[:2]


def test_a_circle_is_found_through_edges_and_waits() -> None:
    """And shown; a branch that goes another way breaks it."""
    needs = {
        "b": Needs(edges=("c",)),
        "c": Needs(branches=(("d", "x"), ("a",))),
        "d": Needs(edges=("a",)),
        "x": Needs(),
    }

    assert find_circle("a", ("x", "b"), needs) == ("b", "c", "d", "a")
    free = needs | {"c": Needs(branches=(("d", "x"), ()))}
    assert find_circle("a", ("x", "b"), free) is None
    assert find_circle("a", ("a",), {}) == ("a",)


def test_a_chain_of_any_length_is_followed() -> None:
    """Without recursion."""
    needs = {f"n{i}": Needs(edges=(f"n{i + 1}",)) for i in range(20_000)}
    needs["n20000"] = Needs(edges=("a",))

    path = find_circle("a", ("n0",), needs)

    assert path is not None
    assert len(path) == 20_002


def test_waiting_again_and_again_for_what_is_there_is_slowed_down() -> None:
    """Three are free; then the next attempt starts later each time, up to a limit."""
    policy = RetryPolicy()
    due = Term(branch=0, kind="timer", due=NOW)
    gaps = []
    wait = None
    for _ in range(12):
        quick = waits.quick_after(wait, policy)
        state = WaitState(wait=a_wait(due, quick=quick))
        (woken,) = waits.decide(PatrolView(policy=policy, waits=(state,)), NOW)
        at = getattr(woken, "retry_at", None)
        gaps.append(0 if at is None else (at - NOW) // SECOND)
        wait = a_wait(due, quick=quick, woken_at=NOW, reason="it came")

    assert gaps == [0, 0, 0, 10, 20, 40, 80, 160, 300, 300, 300, 300]
    slow = a_wait(due, quick=9, woken_at=NOW + policy.backoff.micros)
    assert waits.quick_after(slow, policy) == 0
