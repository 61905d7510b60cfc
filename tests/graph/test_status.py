"""The table of transitions, as properties of it."""

from itertools import product

import pytest

from workgraph.graph.status import (
    CAUSES,
    MEETS,
    SETTLED,
    TRANSITIONS,
    Cause,
    Status,
    Verb,
    next_status,
)

EVERY = list(product(Status, Verb))


@pytest.mark.parametrize(("status", "verb"), EVERY)
def test_no_verb_stands_still(status: Status, verb: Verb) -> None:
    """A change of status changes it; what is not in the table leads nowhere."""
    assert next_status(status, verb) is not status


def test_each_verb_leads_to_one_status() -> None:
    """A verb means one thing, wherever it is said."""
    for verb in Verb:
        leads = {moves[verb] for moves in TRANSITIONS.values() if verb in moves}

        assert len(leads) == 1, verb


def test_only_a_claim_leads_into_progress() -> None:
    """And only an open task can be claimed."""
    into = [
        (status, verb)
        for status, verb in EVERY
        if next_status(status, verb) is Status.IN_PROGRESS
    ]

    assert into == [(Status.OPEN, Verb.CLAIM)]


def test_done_is_undone_by_an_operator_alone() -> None:
    """By `retry`, or by a loop that one has ordered; so is all that is settled."""
    assert dict(TRANSITIONS[Status.DONE]) == {
        Verb.RETRY: Status.OPEN,
        Verb.ITERATE: Status.OPEN,
    }
    for status in SETTLED:
        for verb in set(TRANSITIONS[status]) - {Verb.ITERATE}:
            assert CAUSES[verb] == {Cause.OPERATOR}, (status, verb)


def test_a_worker_judges_nobodys_work() -> None:
    """What reviewers and operators do is not in an agent's reach."""
    workers = {verb for verb in Verb if Cause.WORKER in CAUSES[verb]}

    assert workers == {Verb.FINISH, Verb.SUBMIT, Verb.FAIL, Verb.REQUEUE, Verb.WAIT}


def test_every_status_can_be_left_for_good() -> None:
    """No task is stuck: from each status an operator gets to `open` or `abandoned`."""
    for status in Status:
        ways = {to for verb, to in TRANSITIONS[status].items()}
        assert ways & {Status.OPEN, Status.ABANDONED}, status


def test_what_meets_an_edge() -> None:
    """A failure meets `settled` only; both kinds are met by nothing that goes on."""
    assert MEETS["settled"] - MEETS["done"] == {Status.FAILED}
    assert MEETS["settled"] == SETTLED
