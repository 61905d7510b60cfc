"""Accounts: what ends say about a provider, and who may be sent there."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.fake_clock import START
from tests.graph.builders import a_task, an_ended_agent
from workgraph.graph.decisions import HoldTask, LaunchAgent, SetAccount
from workgraph.graph.holds import (
    Account,
    AccountState,
    Breaker,
    account_key,
    allowance,
    is_troubled,
)
from workgraph.graph.model import (
    Agent,
    ClientEnd,
    EndKind,
    Failure,
    Outcome,
    Parked,
    Stop,
    StopThen,
    Task,
)
from workgraph.graph.times import SECOND
from workgraph.graph.views import (
    DispatchView,
    EndedAttempt,
    Needs,
    PatrolView,
    RetryPolicy,
)
from workgraph.reactors import accounts, dispatch, patrol

KEY = "claude"
NEW = Account(key=KEY)
OK = Account(key=KEY, state=AccountState.OK, since=START)
#: After a limit that is over.
BACK = replace(OK, since_agent=9)
MINUTE = 60 * SECOND
LIMITED = Account(
    key=KEY,
    state=AccountState.LIMITED,
    until=START + 10 * MINUTE,
    reason="no more",
    since=START,
    looks=1,
    since_agent=9,
)
BROKEN = replace(LIMITED, state=AccountState.BROKEN, until=START + 5 * MINUTE)
RETURNING = replace(LIMITED, state=AccountState.OK, until=None, reason=None, at_once=4)


def a_start(number: int = 10, end: str | None = None, **changes: Any) -> Agent:
    """An agent of claude's that has ended."""
    named = {key: changes.pop(key) for key in list(changes) if key.startswith("retry_")}
    said = ClientEnd(kind=EndKind(end), message="said", **named) if end else None
    values = {
        "number": number,
        "task": f"t{number}",
        "executor": "claude",
        "account": KEY,
        "client_end": said,
    }
    return an_ended_agent(**(values | changes))


def after(
    account: Account, agent: Agent, outcome: Outcome | None = None, now: int = START
) -> Account:
    """What is known after an end."""
    refused = agent.client_end is not None and agent.client_end.kind in {
        EndKind.AUTH,
        EndKind.LIMITED,
        EndKind.OVERLOADED,
        EndKind.NETWORK,
    }
    said = outcome or (Outcome.RATE_LIMITED if refused else Outcome.DONE)
    return accounts.after_end(account, agent, said, now, newest=12)


def gap(account: Account, now: int = START) -> float:
    """How long nobody is sent there, in minutes."""
    return ((account.until or 0) - now) / MINUTE


@pytest.mark.parametrize("account", [NEW, OK, BACK, RETURNING])
@pytest.mark.parametrize("kind", ["limited", "overloaded", "network"])
def test_a_limit_holds_until_the_reset_that_was_named(
    account: Account, kind: str
) -> None:
    """With a little slack: the provider's clock may be behind."""
    fresh = replace(account, looks=0)
    at, soon = START + 10 * MINUTE, START + 5 * SECOND

    assert after(fresh, a_start(end=kind, retry_at=at)) == replace(
        LIMITED, until=at + 2 * SECOND, reason="said", since_agent=12
    )
    assert after(fresh, a_start(end=kind, retry_after_s=3.0)).until == soon


@pytest.mark.parametrize(
    "named", [{}, {"retry_at": START - MINUTE}, {"retry_after_s": -9}]
)
def test_without_one_the_gap_doubles_up_to_a_quarter_of_an_hour(
    named: dict[str, Any],
) -> None:
    """Less a jitter that can be told beforehand."""
    found, gaps = NEW, []
    for number in range(20, 27):
        found = after(found, a_start(number, "overloaded", **named))
        gaps.append(gap(found))

    for one, longest in zip(gaps, (1, 2, 4, 8, 15, 15, 15), strict=True):
        assert 0.8 * longest <= one <= longest


def test_a_reset_that_was_too_short_is_not_relied_upon() -> None:
    """A provider that says "in a second" again and again is asked ever more rarely."""
    found, gaps = NEW, []
    for number in range(20, 24):
        found = after(found, a_start(number, "limited", retry_after_s=1.0))
        gaps.append(gap(found))

    assert gaps[0] * 60 == 3
    for one, longest in zip(gaps[1:], (1, 2, 4), strict=True):
        assert 0.8 * longest <= one <= longest


def test_what_is_named_may_be_nonsense() -> None:
    """Nobody waits for longer than a week and a day."""
    for named in ({"retry_at": START * 1000}, {"retry_after_s": 1e12}):
        found = after(OK, a_start(end="limited", **named))

        assert gap(found) == 8 * 24 * 60


def test_who_was_started_before_may_lengthen_it_and_not_double_the_gap() -> None:
    """Of sixteen that meet the same limit one is enough."""
    later = START + 20 * MINUTE

    assert after(LIMITED, a_start(9, "limited")) == LIMITED
    assert after(LIMITED, a_start(9, "limited", retry_at=START + MINUTE)) == LIMITED
    assert after(LIMITED, a_start(9, "limited", retry_at=later)) == replace(
        LIMITED, until=later + 2 * SECOND, reason="said"
    )
    assert after(BROKEN, a_start(9, "limited", retry_at=later)) == BROKEN
    assert after(RETURNING, a_start(9, "limited")) == RETURNING
    assert (
        after(RETURNING, a_start(9, "limited", retry_at=later)).until
        == later + 2 * SECOND
    )


def test_a_login_that_is_refused_is_tried_ever_more_rarely() -> None:
    """After 5 minutes, doubling to half an hour; older agents say nothing new."""
    found, gaps = LIMITED, []
    for number in range(20, 25):
        found = after(found, a_start(number, "auth"))
        gaps.append(gap(found))

    assert (found.state, found.reason, found.since) == ("broken", "said", START)
    for one, longest in zip(gaps, (5, 10, 20, 30, 30), strict=True):
        assert 0.8 * longest <= one <= longest


@pytest.mark.parametrize("account", [LIMITED, BROKEN, RETURNING, BACK])
def test_who_was_started_before_has_the_login_of_before(account: Account) -> None:
    """Its refusal comes minutes after somebody has logged in anew."""
    assert after(account, a_start(9, "auth")) == account
    assert after(account, a_start(10, "auth")).state == "broken"


@pytest.mark.parametrize("account", [LIMITED, BROKEN])
def test_the_first_answer_lets_two_in_and_each_further_one_twice_as_many(
    account: Account,
) -> None:
    """Up to sixteen; then it is any number, and what was before is forgotten."""
    found = [accounts.after_answers(account, n, START) for n in range(6)]

    assert found[0] == account
    assert [one.at_once for one in found[1:]] == [2, 4, 8, 16, None]
    assert found[2] == replace(RETURNING, at_once=4)
    assert found[5] == BACK
    assert accounts.after_answers(RETURNING, 1, START) == RETURNING
    assert accounts.after_answers(OK, 9, START) == OK


def test_a_good_end_without_an_answer_is_one() -> None:
    """Of a client whose stream does not tell; what was answered is counted already."""
    answered = a_start(answered=True)

    assert after(NEW, answered) == OK
    assert after(LIMITED, a_start()).at_once == 2
    assert after(RETURNING, a_start()).at_once == 8
    assert after(RETURNING, answered) == replace(RETURNING, looks=0)
    assert after(replace(RETURNING, at_once=16), a_start()) == BACK
    assert after(LIMITED, answered) == LIMITED
    assert after(LIMITED, a_start(9)) == LIMITED


@pytest.mark.parametrize("account", [NEW, OK, LIMITED, BROKEN, RETURNING])
@pytest.mark.parametrize(
    ("agent", "outcome"),
    [
        ({"signal": 9}, Outcome.CRASHED),
        ({"exit_code": 1}, Outcome.FAILED),
        ({"end": "failed"}, Outcome.FAILED),
        ({"end": "misconfigured"}, Outcome.FAILED),
        ({"outcome": Outcome.SPAWN_FAILED}, Outcome.SPAWN_FAILED),
        # what a client says while it is being killed is our doing
        (
            {"end": "network", "stop": Stop(then=StopThen.PAUSE, by="me")},
            Outcome.KILLED,
        ),
    ],
)
def test_other_ends_say_nothing(
    account: Account, agent: dict[str, Any], outcome: Outcome
) -> None:
    """The next one may try."""
    assert after(account, a_start(**agent), outcome) == account


def test_a_client_that_is_stopped_in_its_trouble_tells_of_it() -> None:
    """It would have tried again by itself for hours."""
    trouble = ClientEnd(kind=EndKind.LIMITED, message="429", retry_after_s=3600)
    stop = Stop(then=StopThen.JUDGE, by="workgraph")
    agent = a_start(trouble=trouble, stop=stop)

    found = after(OK, agent, Outcome.RATE_LIMITED)

    assert (found.reason, gap(found)) == ("429", 60 + 2 / 60)


def test_patrol_hears_answers_first_and_then_ends() -> None:
    """One that was answered and then limited is not the proof that it goes on."""
    agent = a_start(end="limited", answered=True)
    task = a_task(id="t10", status="in-progress", claimed_by="agent-10")
    view = PatrolView(
        policy=RetryPolicy(),
        ended=(EndedAttempt(agent=agent, task=task),),
        accounts={KEY: LIMITED},
        answers={KEY: 1},
        newest_agent=12,
    )

    (*_, told) = patrol.decide(view, START)

    assert isinstance(told, SetAccount)
    assert (told.account.state, told.account.looks) == ("limited", 2)
    assert told.account.since_agent == 12


def a_view(account: Account, tasks: list[Task], **changes: Any) -> DispatchView:
    """Tasks of claude's, and one of a shell's behind them."""
    values: dict[str, Any] = {
        "may_start": True,
        "free_slots": 8,
        "candidates": (*tasks, a_task(id="s", seq=99)),
        "needs": {task.id: Needs(account=KEY) for task in tasks},
        "accounts": {KEY: account} if is_troubled(account) else {},
    }
    return DispatchView(**(values | changes))


def some(count: int = 8, **changes: Any) -> list[Task]:
    """So many tasks."""
    return [a_task(id=f"t{n}", seq=n, **changes) for n in range(1, count + 1)]


def launched(view: DispatchView, now: int) -> list[str]:
    """The tasks that are started; each other one is held by its account."""
    decisions = dispatch.decide(view, now)
    held = {one.task for one in decisions if isinstance(one, HoldTask)}
    started = [one.task.id for one in decisions if isinstance(one, LaunchAgent)]
    assert all(
        one.parked.key == account_key(KEY) and one.parked.code == "provider_limited"
        for one in decisions
        if isinstance(one, HoldTask)
    )
    assert not held & set(started)
    return started


@pytest.mark.parametrize(
    ("account", "live", "after_s", "count"),
    [
        (NEW, 0, 0, 8),
        (OK, 0, 0, 8),
        (LIMITED, 0, 599, 0),
        (LIMITED, 0, 600, 1),
        (LIMITED, 1, 600, 0),
        (BROKEN, 0, 299, 0),
        (BROKEN, 0, 300, 1),
        (RETURNING, 0, 0, 4),
        (RETURNING, 3, 0, 1),
        (RETURNING, 9, 0, 0),
    ],
)
def test_who_may_be_started(
    account: Account, live: int, after_s: int, count: int
) -> None:
    """Nobody who needs no account waits behind the others."""
    view = a_view(account, some(), on_account={KEY: live}, free_slots=9)

    found = launched(view, START + after_s * SECOND)

    assert (len(found) - 1, found[-1]) == (count, "s")


def test_each_probe_is_another_tasks() -> None:
    """It may be this one task that the provider does not take."""
    refused = Failure(class_="rate-limited", reason="no")
    tasks = some(3, failure=refused)
    tasks = [
        replace(task, last_agent=f"agent-{n}")
        for task, n in zip(tasks, (9, 7, 8), strict=True)
    ]

    assert launched(a_view(LIMITED, tasks), START + 600 * SECOND) == ["t2", "s"]


def test_what_is_not_held_is_the_first_to_be_tried() -> None:
    """An operator has named it, or it is new: it may be the one that has failed."""
    held = Parked(code="x", message="m", remedy="r", key=account_key(KEY))
    refused = Failure(class_="rate-limited", reason="no")
    named = a_task(id="t9", seq=9, failure=refused, last_agent="agent-9")
    view = a_view(LIMITED, [*some(3, parked=held), named])

    assert launched(view, START + 600 * SECOND) == ["t9", "s"]


def test_a_broken_executor_does_not_cost_the_probe() -> None:
    """Another executor of the same account may be well."""
    breaker = Breaker(key="executor:a", opened_at=START, until=START + 9000 * SECOND)
    tasks = some(2)
    view = a_view(
        LIMITED,
        tasks,
        needs={
            "t1": Needs(account=KEY, executor="executor:a"),
            "t2": Needs(account=KEY, executor="executor:b"),
        },
        breakers={"executor:a": breaker},
    )

    decisions = dispatch.decide(view, START + 600 * SECOND)

    started = [one.task.id for one in decisions if isinstance(one, LaunchAgent)]
    assert started == ["t2", "s"]
    again = replace(tasks[0], parked=breakers_hold(decisions))
    assert (
        dispatch.decide(
            replace(view, candidates=(again,), on_account={KEY: 1}),
            START + 600 * SECOND,
        )
        == ()
    )


def breakers_hold(decisions: tuple[Any, ...]) -> Any:
    """What the first task that is held is parked with."""
    return next(one.parked for one in decisions if isinstance(one, HoldTask))


STEPS = st.lists(
    st.tuples(
        st.integers(0, 1200),
        st.sampled_from(["limited", "overloaded", "auth", "good", "answer", "kill"]),
        st.integers(0, 15),
        st.one_of(st.none(), st.integers(-10, 4000)),
    ),
    min_size=1,
    max_size=60,
)


@given(STEPS, st.integers(1, 16))
def test_never_two_probes_and_never_more_than_at_once(
    steps: list[tuple[int, str, int, int | None]], slots: int
) -> None:
    """Whatever ends how and when; and there is always something that is waited for."""
    account, now, number = NEW, START, 0
    live: dict[int, bool] = {}
    answered: list[int] = []
    for seconds, what, which, named in steps:
        now += seconds * SECOND
        ended = None
        if live:
            who = sorted(live)[which % len(live)]
            if what == "answer":
                live[who] = True
                answered.append(who)
            else:
                was_answered = live.pop(who)
                kind = what if what in {"limited", "overloaded", "auth"} else None
                after_s = None if named is None or kind is None else float(named)
                ended = a_start(
                    who,
                    kind,
                    answered=was_answered,
                    ended_at=now,
                    **({} if after_s is None else {"retry_after_s": after_s}),
                )
        told = {one for one in answered if one > account.since_agent}
        account = accounts.after_answers(account, len(told), now)
        if ended is not None:
            outcome = {"good": Outcome.DONE, "kill": Outcome.CRASHED}.get(
                what, Outcome.RATE_LIMITED
            )
            account = accounts.after_end(account, ended, outcome, now, number)
            if what == "good" and not ended.answered:
                answered.append(ended.number)
        since = [one for one in live if one > account.since_agent]
        view = a_view(
            account,
            some(20),
            free_slots=slots - len(live),
            on_account={KEY: len(since)},
            candidates=tuple(some(20)),
        )
        for decision in dispatch.decide(view, now):
            if isinstance(decision, LaunchAgent):
                number += 1
                live[number] = False
        since = [one for one in live if one > account.since_agent]
        if is_troubled(account):
            assert len(since) <= (account.at_once or 1)
            waits = live or (account.until or 0) > now
            assert waits, f"nothing will happen: {account}"
            if account.at_once is None and (account.until or 0) > now:
                assert allowance(account, 0, now) == 0
        else:
            assert len(live) == slots
