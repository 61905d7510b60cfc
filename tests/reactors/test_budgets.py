"""Budgets as plain functions: who may start, who is warned, who is ended."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fake_clock import START
from workgraph.graph.budgets import (
    DAY,
    Budget,
    BudgetView,
    Held,
    Reservation,
    Scope,
    Unit,
    Warned,
    date_of,
    day_named,
)
from workgraph.graph.decisions import StopAgent, WarnAgent
from workgraph.graph.model import Outcome, Stop, StopThen
from workgraph.reactors.budgets import SHARES, decide, overruns, reserve

TOMORROW = "2026-01-02T00:00:00.000Z"


def a_budget(scope: Scope = Scope.TASK, **changes: Any) -> Budget:
    """A thousand tokens, none of them used."""
    names = {
        Scope.ATTEMPT: "agent-1",
        Scope.TASK: "t",
        Scope.SUBTREE: "root",
        Scope.DAY: "2026-01-01",
    }
    values: dict[str, Any] = {
        "scope": scope,
        "name": names[scope],
        "unit": Unit.TOKENS,
        "limit": 1000,
    }
    return Budget(**(values | changes))


USD: dict[str, Any] = {"unit": Unit.USD, "limit": 2.5, "used": 2.505}
#: A budget that is used up; the message, the remedy, until when.
USED_UP = {
    "attempt": (
        a_budget(Scope.ATTEMPT, used=1000),
        "the budget of 1,000 tokens of an attempt is used up: 1,000 tokens",
        "wg config set budget.tokens_per_attempt N, or wg retry t",
        None,
    ),
    "attempt, USD": (
        a_budget(Scope.ATTEMPT, **USD),
        "the budget of 2.50 USD of an attempt is used up: 2.505 USD",
        "wg config set budget.usd_per_attempt N, or wg retry t",
        None,
    ),
    "task": (
        a_budget(used=1500),
        "the budget of 1,000 tokens of t is used up: 1,500 tokens",
        "wg edit t --budget-tokens N, or wg config set budget.tokens_per_task N",
        None,
    ),
    "task, USD": (
        a_budget(**USD, unknown=2),
        (
            "the budget of 2.50 USD of t is used up: 2.505 USD;"
            " the cost of 2 attempts is not known"
        ),
        "wg edit t --budget-usd X, or wg config set budget.usd_per_task N",
        None,
    ),
    "its own": (
        a_budget(Scope.SUBTREE, name="t", used=1000),
        "the budget of 1,000 tokens of t is used up: 1,000 tokens",
        "wg edit t --budget-tokens N",
        None,
    ),
    "subtree": (
        a_budget(Scope.SUBTREE, used=1000),
        (
            "the budget of 1,000 tokens of root and what its agents have added"
            " is used up: 1,000 tokens"
        ),
        "wg edit root --budget-tokens N",
        None,
    ),
    "subtree, USD": (
        a_budget(Scope.SUBTREE, **USD),
        (
            "the budget of 2.50 USD of root and what its agents have added is used up:"
            " 2.505 USD"
        ),
        "wg edit root --budget-usd X",
        None,
    ),
    "day": (
        a_budget(Scope.DAY, used=1000),
        "the budget of 1,000 tokens of 2026-01-01 (UTC) is used up: 1,000 tokens",
        (
            f"wait: it goes on by itself at {TOMORROW};"
            " or wg config set budget.tokens_per_day N"
        ),
        START + DAY,
    ),
    "day, USD": (
        a_budget(Scope.DAY, **USD),
        "the budget of 2.50 USD of 2026-01-01 (UTC) is used up: 2.505 USD",
        (
            f"wait: it goes on by itself at {TOMORROW};"
            " or wg config set budget.usd_per_day N"
        ),
        START + DAY,
    ),
}


@pytest.mark.parametrize("row", USED_UP.values(), ids=USED_UP)
def test_nothing_starts_where_a_budget_is_used_up(
    row: tuple[Budget, str, str, int | None],
) -> None:
    """Each scope says limit, use and remedy; a day until when."""
    budget, message, remedy, until = row

    held = reserve("t", (a_budget(Scope.DAY, limit=10**9), budget), START + 5)

    assert isinstance(held, Held)
    assert held.parked.code == "budget_exhausted"
    assert (held.parked.message, held.parked.remedy) == (message, remedy)
    assert (held.parked.budget, held.until) == (budget.key, until)


def test_what_is_set_aside_can_be_waited_for() -> None:
    """It is said to be no more than that."""
    budget = a_budget(Scope.SUBTREE, used=400, reserved=600)

    held = reserve("t", (budget,), START)

    assert isinstance(held, Held)
    assert held.until is None
    assert held.parked.message == (
        "what is left of the budget of 1,000 tokens of root and what its agents have"
        " added is set aside for agents that run: 600 tokens"
    )
    assert held.parked.remedy == (
        "wait until one of them has ended, or wg edit root --budget-tokens N"
    )


#: What a start is under, and what it sets aside.
PORTIONS: dict[str, tuple[tuple[Budget, ...], Reservation]] = {
    "none": ((), Reservation()),
    "its own alone: all": (
        (a_budget(limit=10**6, used=1),),
        Reservation(tokens=999_999),
    ),
    "shared: a share": (
        (a_budget(Scope.DAY, limit=10**6),),
        Reservation(tokens=int(SHARES.tokens)),
    ),
    "shared: what is left": (
        (a_budget(Scope.DAY, limit=10**6, used=999_000, reserved=900),),
        Reservation(tokens=100),
    ),
    "the least of all": (
        (
            a_budget(Scope.ATTEMPT, limit=30_000),
            a_budget(limit=10**6, used=980_000),
            a_budget(Scope.SUBTREE, limit=10**6),
            a_budget(Scope.DAY, limit=10**6),
        ),
        Reservation(tokens=20_000),
    ),
    "each unit by itself": (
        (
            a_budget(Scope.DAY, unit=Unit.USD, limit=9.0, used=8.75),
            a_budget(limit=10),
        ),
        Reservation(tokens=10, usd=0.25),
    ),
}


@pytest.mark.parametrize("row", PORTIONS.values(), ids=PORTIONS)
def test_a_start_sets_aside(row: tuple[tuple[Budget, ...], Reservation]) -> None:
    """All of what is its own, no more than a share of what others draw on, too."""
    budgets, reservation = row

    assert reserve("t", budgets, START) == reservation


def test_what_adding_up_leaves_is_nothing() -> None:
    """Fractions of cents are no budget."""
    budget = a_budget(Scope.DAY, unit=Unit.USD, limit=0.3, used=0.1, reserved=0.2)

    assert budget.limit - budget.used - budget.reserved != 0
    assert isinstance(reserve("t", (budget,), START), Held)


def a_view(*budgets: Budget, warned: tuple[Warned, ...] = ()) -> BudgetView:
    """Agent 1 under these, and agent 2 under the last of them."""
    return BudgetView(
        budgets={budget.key: budget for budget in budgets},
        under={1: tuple(b.key for b in budgets), 2: (budgets[-1].key,)},
        warned={1: warned},
    )


def test_from_90_percent_on_it_is_told() -> None:
    """Not at 89.9, and again only when there is something new to say."""
    assert decide(a_view(a_budget(limit=10_000, used=8999)), START) == ()

    view = a_view(a_budget(used=920), a_budget(Scope.DAY, limit=10**6))
    (decision,) = decide(view, START)

    assert isinstance(decision, WarnAgent)
    assert decision.agent == 1
    (warned,) = decision.warnings
    assert warned == Warned(
        budget="task:t:tokens",
        percent=92,
        line="92 % of the budget of 1,000 tokens is used; finish or say what is left",
    )
    told = BudgetView(budgets=view.budgets, under=view.under, warned={1: (warned,)})
    assert decide(told, START) == ()
    raised = a_view(a_budget(limit=10_000, used=920), warned=(warned,))
    assert decide(raised, START) == (WarnAgent(agent=1, warnings=()),)


def test_at_100_percent_all_that_share_it_are_ended() -> None:
    """With a reason that names scope, limit and use."""
    shared = a_budget(Scope.SUBTREE, used=1001)
    reason = "the budget of 1,000 tokens of root is used up: 1,001 tokens"
    stop = Stop(then=StopThen.JUDGE, by="workgraph", reason=reason)

    decisions = decide(a_view(a_budget(used=950), shared), START)

    assert decisions == tuple(
        StopAgent(agent=agent, stop=stop, verdict=Outcome.BUDGET) for agent in (1, 2)
    )


def test_what_is_overdrawn_is_told_of_an_end() -> None:
    """What is used to the last token is not."""
    budgets = (a_budget(used=1000), a_budget(Scope.SUBTREE, used=1200))

    assert overruns(budgets) == (
        "the budget of 1,000 tokens of root is overdrawn: 1,200 tokens used",
    )


@given(st.integers(0, 100_000))
def test_days_are_written_and_read(day: int) -> None:
    """As dates."""
    assert day_named(date_of(day)) == day


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.integers(0, 5)),
        st.tuples(st.just("use"), st.integers(0, 5), st.integers(0, 60_000)),
        st.tuples(st.just("end"), st.integers(0, 5)),
    ),
    max_size=60,
)


@given(st.integers(1, 200_000), st.integers(1, 120_000), STEPS)
def test_nothing_ever_starts_where_nothing_is_left(
    shared: int, own: int, steps: list[tuple[Any, ...]]
) -> None:
    """In any order of starts, reports and ends, of any number of tasks.

    What was used and what is set aside are more than a limit only by what agents have
    used beyond what they had set aside.
    """
    ended = dict.fromkeys(range(6), 0)
    live: dict[int, tuple[int, int]] = {}  # what it has used, and set aside
    beyond = 0

    def day() -> Budget:
        aside = sum(max(kept - used, 0) for used, kept in live.values())
        used = sum(ended.values()) + sum(used for used, _ in live.values())
        return a_budget(Scope.DAY, limit=shared, used=used, reserved=aside)

    for kind, task, *more in steps:
        if kind == "start" and task not in live:
            before = (a_budget(limit=own, used=ended[task]), day())
            result = reserve(f"t{task}", before, START)
            assert isinstance(result, Held) == any(b.left <= 0 for b in before)
            if isinstance(result, Reservation):
                assert result.tokens is not None
                assert result.tokens >= 1
                live[task] = (0, result.tokens)
        elif kind == "use" and task in live:
            used, kept = live[task]
            beyond += max(used + more[0] - kept, 0) - max(used - kept, 0)
            live[task] = (used + more[0], kept)
        elif kind == "end" and task in live:
            ended[task] += live.pop(task)[0]
        now = day()
        assert now.used + now.reserved <= shared + beyond
