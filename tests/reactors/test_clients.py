"""Clients: what their word of the end makes of an attempt, before its exit status."""

from typing import Any

import pytest

from tests.fake_clock import START
from tests.graph.builders import a_claimed_task, an_ended_agent
from workgraph.graph.decisions import ConcludeAttempt
from workgraph.graph.model import ClientEnd, EndKind, Outcome, Stop, StopThen
from workgraph.graph.status import Verb
from workgraph.graph.times import SECOND
from workgraph.graph.views import EndedAttempt, RetryPolicy
from workgraph.reactors import clients, patrol

POLICY = RetryPolicy()
LATE = Stop(then=StopThen.JUDGE, by="workgraph")


def conclude(kind: str, **changed: Any) -> ConcludeAttempt:
    """What becomes of an attempt whose client has ended so."""
    end = ClientEnd(kind=EndKind(kind), message="its own words")
    agent = an_ended_agent(
        **({"executor": "claude", "exit_code": 0, "client_end": end} | changed)
    )
    ended = EndedAttempt(agent=agent, task=a_claimed_task())
    return patrol.conclude(ended, POLICY, START)


@pytest.mark.parametrize(
    ("kind", "outcome", "verb", "counted"),
    [
        ("finished", "done", Verb.FINISH, True),
        ("denied", "failed", Verb.FAIL, True),
        ("failed", "failed", Verb.FAIL, True),
        ("own-limit", "failed", Verb.FAIL, True),
        ("too-long", "crashed", Verb.REQUEUE, True),
        ("cut", "crashed", Verb.REQUEUE, True),
        ("limited", "rate-limited", Verb.RELEASE, False),
        ("overloaded", "rate-limited", Verb.RELEASE, False),
        ("network", "rate-limited", Verb.RELEASE, False),
        ("auth", "spawn-failed", Verb.RELEASE, False),
        ("misconfigured", "spawn-failed", Verb.RELEASE, False),
        ("no-session", "spawn-failed", Verb.RELEASE, False),
    ],
)
@pytest.mark.parametrize("exit_code", [0, 1])
def test_the_clients_word_decides(
    kind: str, outcome: str, verb: Verb, counted: bool, exit_code: int
) -> None:
    """Whatever it exits with; what the client said is the reason."""
    decision = conclude(kind, exit_code=exit_code, resumed="s-1")

    assert (decision.outcome, decision.counted) == (outcome, counted)
    assert decision.move is not None
    assert decision.move.verb is verb
    if outcome != "done":
        assert decision.move.reason == "its own words"


def test_its_own_verdict_goes_before() -> None:
    """`wg done` was said, and then the client broke."""
    assert conclude("overloaded", verdict=Outcome.DONE).outcome is Outcome.DONE


def test_a_limit_that_was_reached_goes_before() -> None:
    """It was ended for it: what it says then is no news."""
    decision = conclude("finished", verdict=Outcome.TIMED_OUT, stop=LATE, signal=15)

    assert decision.outcome is Outcome.TIMED_OUT


def test_who_stays_after_the_last_word_has_finished() -> None:
    """It is ended by a signal, and that says nothing."""
    decision = conclude(
        "finished", stop=LATE, exit_code=None, signal=9, outcome=Outcome.CRASHED
    )

    assert decision.outcome is Outcome.DONE


def test_who_tries_in_vain_has_ended_with_that() -> None:
    """Its trouble is its end when it was ended for it, and only then."""
    trouble = ClientEnd(kind=EndKind.NETWORK, message="Reconnecting... 3/5")
    killed: dict[str, Any] = {
        "client_end": None,
        "trouble": trouble,
        "exit_code": None,
        "signal": 15,
    }
    killed["outcome"] = Outcome.CRASHED

    assert conclude("failed", **killed, stop=LATE).outcome is Outcome.RATE_LIMITED
    assert conclude("failed", **killed).outcome is Outcome.CRASHED


def test_a_client_that_is_misconfigured_waits_for_somebody() -> None:
    """And is looked at again after a minute, all the same."""
    decision = conclude("misconfigured")

    assert decision.move is not None
    assert decision.move.parked is not None
    assert decision.move.parked.code == "misconfigured"
    assert decision.move.parked_until == START + 60 * SECOND


def test_a_session_that_is_gone_costs_no_time() -> None:
    """The next attempt begins a new one, at once; one that had a new one may not."""
    decision = conclude("no-session", resumed="s-1")
    fresh = conclude("no-session")

    assert decision.move is not None
    assert (decision.move.retry_at, decision.move.parked) == (None, None)
    assert fresh.counted
    assert fresh.move is not None
    assert fresh.move.retry_at is not None


def test_why_one_is_stopped() -> None:
    """For the last word nothing has to be said; for trouble its words are."""
    end = ClientEnd(kind=EndKind.FINISHED, message="done")
    trouble = ClientEnd(kind=EndKind.LIMITED, message="429")

    said = clients.stop_talker(an_ended_agent(client_end=end))
    tried = clients.stop_talker(an_ended_agent(trouble=trouble))

    assert (said.verdict, said.stop.reason) == (None, None)
    assert tried.verdict is None
    assert tried.stop.reason is not None
    assert "429" in tried.stop.reason
