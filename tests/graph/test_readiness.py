"""Why a task is not running: over all combinations of what can hold it back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.fake_clock import START
from tests.graph.builders import a_task
from workgraph.graph import readiness
from workgraph.graph.holds import Account, AccountState
from workgraph.graph.model import Edge, Failure, Parked, Task
from workgraph.graph.readiness import ServiceFacts, TaskFacts
from workgraph.graph.reasons import Weight
from workgraph.graph.status import Status

MOMENTS = st.sampled_from([None, START - 1000, START, START + 1000])
PARKED = st.sampled_from(
    [None]
    + [
        Parked(code=code, message="m", remedy="r")
        for code in ("misconfigured", "assigned_to_person", "no_capable_actor")
    ]
)
ACCOUNT = Account(
    key="claude",
    state=AccountState.LIMITED,
    until=START + 1000,
    reason="no more",
    looks=1,
)
#: How an account may stand that holds a task, and what is said of it.
ACCOUNTS = (
    (
        ACCOUNT,
        (
            "account claude is limited: no more; one agent is tried from"
            " 2026-01-01T00:00:00.001Z on, and the others follow"
        ),
    ),
    (
        replace(ACCOUNT, until=START),
        "account claude is limited: no more; one agent at a time is tried",
    ),
    (
        replace(ACCOUNT, state=AccountState.BROKEN, until=START),
        "account claude is broken: no more; one agent at a time is tried",
    ),
    (
        replace(ACCOUNT, state=AccountState.OK, until=None, at_once=4),
        (
            "account claude answers again: at most 4 agents at a time are sent there,"
            " and more with each that is answered"
        ),
    ),
)
#: The codes of CONTRACT §3.4.
CODES = frozenset(
    {
        "dependency_open",
        "dependency_failed",
        "paused",
        "service_paused",
        "not_before",
        "backoff",
        "no_free_slot",
        "no_capable_actor",
        "awaiting_assignment",
        "missing_input",
        "attempts_exhausted",
        "waiting_for",
        "pending_review",
        "provider_limited",
        "budget_exhausted",
        "misconfigured",
        "reserved",
        "daemon_not_running",
        "settled",
        "leftover",
        "actor_busy",
        "assigned_to_person",
        "quarantined",
    }
)
SERVICES = st.builds(
    ServiceFacts,
    daemon_running=st.booleans(),
    paused=st.booleans(),
    draining=st.booleans(),
    live_agents=st.integers(0, 5),
    max_agents=st.integers(0, 5),
)


@st.composite
def facts(draw: st.DrawFn) -> TaskFacts:
    """A task in any state that it can be in, and more."""
    status = draw(st.sampled_from(Status))
    held = status is Status.IN_PROGRESS
    task: Task = a_task(
        status=status,
        claimed_by="agent-1" if held else None,
        claimed_at=START if held else None,
        paused=draw(st.booleans()),
        not_before=draw(MOMENTS),
        retry_at=draw(MOMENTS),
        reserved_for=draw(st.sampled_from([None, "alice"])),
        parked=draw(PARKED),
        last_agent="agent-1",
        failure=draw(st.sampled_from([None, Failure(class_="crashed", reason="x")])),
        gate=draw(st.sampled_from([None, "outputs", "verify", "human", "reward"])),
    )
    edges = st.builds(
        Edge, id=st.sampled_from("abc"), on=st.sampled_from(["done", "settled"])
    )
    return TaskFacts(
        task=task,
        dependencies=tuple(
            draw(st.lists(st.tuples(edges, st.sampled_from(Status)), max_size=3))
        ),
        leftover=draw(st.sampled_from([(), (4711,)])),
        account=draw(st.sampled_from([None, *(account for account, _ in ACCOUNTS)])),
    )


@pytest.mark.parametrize(("account", "said"), ACCOUNTS)
def test_an_account_is_told_of_as_it_stands_now(account: Account, said: str) -> None:
    """Whatever it was when the task was parked; a person may do the task meanwhile."""
    parked = Parked(code="provider_limited", message="then", remedy="r", key="x")
    found = TaskFacts(task=a_task(parked=parked), account=account)

    (reason,) = readiness.explain_task(found, START)

    assert (reason.code, reason.message) == ("provider_limited", said)
    assert not readiness.blocks_claim(found, START)
    assert ("log in" in reason.remedy) == (account.state is AccountState.BROKEN)


@given(facts(), SERVICES)
def test_a_task_that_is_not_running_has_a_reason(
    given_facts: TaskFacts, service: ServiceFacts
) -> None:
    """Never an empty list, each with a known code, a message and a remedy."""
    reasons = readiness.explain(given_facts, service, START)

    assert bool(reasons) == (given_facts.task.status is not Status.IN_PROGRESS)
    for reason in reasons:
        assert reason.code in CODES
        assert reason.message
        assert reason.remedy


@given(facts())
def test_ready_blocked_and_claim_agree(given_facts: TaskFacts) -> None:
    """They are three questions to one list of reasons."""
    reasons = readiness.explain_task(given_facts, START)
    ready = readiness.is_ready(given_facts, START)
    blocks = readiness.blocks_claim(given_facts, START)

    if given_facts.task.status is Status.OPEN:
        assert ready == all(reason.weight is Weight.SERVICE for reason in reasons)
        assert not (ready and blocks)
    else:
        assert not ready
    assert set(blocks) <= set(reasons)


@given(facts())
def test_what_waits_is_what_is_unmet(given_facts: TaskFacts) -> None:
    """One reason for each dependency that is not met, and none for the others."""
    if given_facts.task.status is not Status.OPEN:
        return
    reasons = readiness.explain_task(given_facts, START)
    unmet = readiness.unmet(given_facts.dependencies)

    codes = [r.code for r in reasons if r.code.startswith("dependency_")]

    assert codes == [
        "dependency_failed" if at is Status.FAILED else "dependency_open"
        for _, at in unmet
    ]


@given(facts(), st.integers(0, 10_000))
def test_time_alone_takes_reasons_away(given_facts: TaskFacts, later: int) -> None:
    """Waiting never adds a reason."""
    now = {reason.code for reason in readiness.explain_task(given_facts, START)}
    then = {
        reason.code for reason in readiness.explain_task(given_facts, START + later)
    }

    assert then <= now
