"""What becomes of a loop whose iteration is over: whole decisions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fake_clock import START
from workgraph.graph.loops import Loop, LoopEnd, Member, describe
from workgraph.reactors.loops import Verdict, decide


def a_loop(**changes: Any) -> Loop:
    """The first of three iterations of `a` and `b`."""
    values: dict[str, Any] = {
        "number": 1,
        "most": 3,
        "by": "ada",
        "created_at": START,
        "members": (Member(task="a"), Member(task="b")),
    }
    return Loop(**(values | changes))


SAID = (Member(task="a", converged=True), Member(task="b"))
MET = Verdict(end=LoopEnd.MET)
AGAIN = Verdict(end=None)
CONVERGED = Verdict(end=LoopEnd.CONVERGED)
MAX = Verdict(end=LoopEnd.MAX_REACHED)
UNMET = Verdict(
    end=LoopEnd.UNMET,
    succeeded=False,
    note="the loop's condition was not met after 3 of 3 iterations: no",
)
NEVER = Verdict(
    end=LoopEnd.MAX_REACHED,
    note="The loop of a, b has not converged in 3 of 3 iterations.",
)


@pytest.mark.parametrize(
    ("loop", "met", "verdict"),
    [
        ({}, True, AGAIN),
        ({"iteration": 3}, True, MAX),
        ({"until": "x"}, True, MET),
        ({"until": "x"}, False, AGAIN),
        ({"until": "x", "iteration": 3}, True, MET),
        ({"until": "x", "iteration": 3}, False, UNMET),
        ({"until": "x", "members": SAID}, False, AGAIN),
        ({"until_converged": True}, True, AGAIN),
        ({"until_converged": True, "members": SAID}, True, CONVERGED),
        ({"until_converged": True, "members": SAID, "iteration": 3}, True, CONVERGED),
        ({"until_converged": True, "iteration": 3}, True, NEVER),
        ({"members": SAID}, True, AGAIN),
    ],
)
def test_an_iteration_is_over(
    loop: dict[str, Any], met: bool, verdict: Verdict
) -> None:
    """Again, or an end with its reason."""
    evidence = "" if met else "no"

    assert decide(a_loop(**loop), met=met, evidence=evidence) == verdict


@given(st.integers(1, 1000), st.booleans(), st.sampled_from([None, "x"]))
def test_no_loop_goes_on_for_ever(most: int, met: bool, until: str | None) -> None:
    """After its last iteration there is no other."""
    loop = a_loop(most=most, iteration=most, until=until)

    assert decide(loop, met=met, evidence="").end is not None


@pytest.mark.parametrize(
    ("loop", "said"),
    [
        ({}, "iteration 1 of 3 of a, b, that often"),
        ({"until": "make"}, "iteration 1 of 3 of a, b, until 'make' succeeds"),
        (
            {"until_converged": True, "members": SAID},
            (
                "iteration 1 of 3 of a, b, until a member says that it has converged"
                " (a has said so)"
            ),
        ),
        (
            {"ended_at": START, "reason": "ended", "iteration": 2},
            "ended after iteration 2 of 3, of a, b",
        ),
    ],
)
def test_where_it_stands_is_one_line(loop: dict[str, Any], said: str) -> None:
    """For `wg show` and `wg why`."""
    assert describe(a_loop(**loop)) == said
