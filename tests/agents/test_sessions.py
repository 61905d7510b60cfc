"""Sessions: which conversation the next attempt goes on with."""

from typing import Any

import pytest

from tests.graph.builders import an_ended_agent
from workgraph.agents.sessions import Whose, session_along, session_of
from workgraph.graph.model import ClientEnd, EndKind, Outcome

THERE: dict[str, Any] = {
    "executor": "claude",
    "account": "claude",
    "workspace": "/project",
    "actor_id": "a" * 64,
}
WORKED: dict[str, Any] = {**THERE, "session": "s-1", "answered": True}


def next_session(**previous: Any) -> str:
    """What follows an attempt like this one."""
    agent = an_ended_agent(**(WORKED | previous))
    return session_of(agent, Whose(**THERE), rejected=False)


@pytest.mark.parametrize(
    ("outcome", "goes_on"),
    [
        (Outcome.RATE_LIMITED, True),
        (Outcome.BUDGET, True),
        (Outcome.WAITING, True),
        (Outcome.KILLED, True),
        (Outcome.GATE, True),
        (Outcome.SPAWN_FAILED, True),
        (Outcome.CRASHED, True),
        (Outcome.LOST, True),
        (Outcome.TIMED_OUT, True),
        (Outcome.STALLED, True),
        (Outcome.FAILED, False),
        (Outcome.DONE, False),
        (Outcome.SUBMITTED, False),
    ],
)
def test_who_was_interrupted_goes_on(outcome: Outcome, goes_on: bool) -> None:
    """Who has come to a verdict does not."""
    assert bool(next_session(outcome=outcome)) == goes_on


def test_what_was_sent_back_goes_on() -> None:
    """With the reason in its prompt."""
    agent = an_ended_agent(**WORKED, outcome=Outcome.SUBMITTED)

    assert session_of(agent, Whose(**THERE), rejected=True) == "s-1"


@pytest.mark.parametrize("kind", [EndKind.TOO_LONG, EndKind.NO_SESSION])
def test_a_session_that_is_over_is_left(kind: EndKind) -> None:
    """It is too long, or gone."""
    end = ClientEnd(kind=kind, message="-")

    assert next_session(outcome=Outcome.CRASHED, client_end=end) == ""


def test_a_session_that_crashed_twice_is_left() -> None:
    """It may be what it fails on; a limit says nothing of the kind."""
    again = {"resumed": "s-1"}

    assert next_session(outcome=Outcome.CRASHED, **again) == ""
    assert next_session(outcome=Outcome.RATE_LIMITED, **again) == "s-1"


def test_a_session_that_nobody_has_answered_in_may_not_be_there() -> None:
    """But one that was gone on with is."""
    limited = {"outcome": Outcome.RATE_LIMITED, "answered": False}

    assert next_session(**limited) == ""
    assert next_session(**limited, resumed="s-1") == "s-1"


@pytest.mark.parametrize("key", THERE)
def test_it_belongs_to_a_client_a_login_a_folder_and_an_actor(key: str) -> None:
    """Elsewhere it would not be found, or be somebody else's."""
    assert next_session(**{key: "another"}, outcome=Outcome.KILLED) == ""


@pytest.mark.parametrize("key", THERE)
def test_the_next_step_of_a_trajectory_is_held_to_the_same(key: str) -> None:
    """It goes on with the session of another task, so it has to be its own."""
    done = WORKED | {"outcome": Outcome.DONE}

    assert session_along(an_ended_agent(**done), Whose(**THERE)) == "s-1"
    assert (
        session_along(an_ended_agent(**done | {key: "another"}), Whose(**THERE)) == ""
    )


def test_who_is_no_actor_goes_on_with_what_nobody_had() -> None:
    """Where nothing is assigned, attempts have no actor."""
    nobody = THERE | {"actor_id": None}
    killed = WORKED | nobody | {"outcome": Outcome.KILLED}

    assert (
        session_of(an_ended_agent(**killed), Whose(**nobody), rejected=False) == "s-1"
    )
    assert session_of(an_ended_agent(**killed), Whose(**THERE), rejected=False) == ""
