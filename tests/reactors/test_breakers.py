"""Breakers: what ends say about an executor, and what may still be started."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.fake_clock import START
from tests.graph.builders import a_task, an_ended_agent
from workgraph.graph.decisions import HoldTask, LaunchAgent, SetBreaker
from workgraph.graph.holds import Breaker
from workgraph.graph.model import Agent, Outcome, Stop, StopThen
from workgraph.graph.times import SECOND
from workgraph.graph.views import DispatchView, Needs
from workgraph.reactors import breakers, dispatch
from workgraph.reactors.breakers import Health

KEY = "executor:claude"
NEW = Breaker(key=KEY)
PROVEN = Breaker(key=KEY, proven=True)


def a_start(number: int = 1, **changes: Any) -> Agent:
    """An agent of claude's that has ended, on a task of its own."""
    values = {"number": number, "task": f"t{number}", "executor": "claude"}
    return an_ended_agent(**(values | changes))


def after(breaker: Breaker, *numbers: int, health: Health = Health.BROKEN) -> Breaker:
    """What is known after the ends of agents, one a second."""
    for n, number in enumerate(numbers):
        now = START + n * SECOND
        breaker = breakers.after_end(breaker, a_start(number), health, "no", now)
    return breaker


def open_breaker(**changes: Any) -> Breaker:
    """One that three failures have opened."""
    return replace(after(NEW, 1, 2, 3), since_agent=3, **changes)


@pytest.mark.parametrize("breaker", [NEW, PROVEN])
def test_three_tasks_in_a_row_open_it_for_a_minute(breaker: Breaker) -> None:
    """Two don't."""
    assert after(breaker, 1, 2).opened_at is None

    found = after(breaker, 1, 2, 3)

    assert (found.opened_at, found.until, found.failed, found.reason) == (
        START + 2 * SECOND,
        START + 62 * SECOND,
        ("t1", "t2", "t3"),
        "no",
    )


def test_one_task_opens_nothing() -> None:
    """It has its own rules; a breaker is about what many need."""
    found = NEW
    for number in range(1, 9):
        agent = a_start(number, task="t")
        found = breakers.after_end(found, agent, Health.BROKEN, "no", START)

    assert found.opened_at is None


def test_a_good_end_in_between_begins_anew() -> None:
    """In a row means in a row; what says nothing does not count."""
    found = after(after(NEW, 1, 2), 3, health=Health.GOOD)

    assert found == PROVEN
    assert after(after(NEW, 1, 2), 3, health=Health.NOTHING) == after(NEW, 1, 2)


def test_the_gap_doubles_up_to_half_an_hour() -> None:
    """With each try that fails."""
    found, gaps = open_breaker(), []
    for number in range(4, 12):
        found = breakers.after_end(found, a_start(number), Health.BROKEN, "no", START)
        gaps.append(((found.until or 0) - START) // SECOND)

    assert gaps == [120, 240, 480, 960, 1800, 1800, 1800, 1800]


@pytest.mark.parametrize("health", list(Health))
def test_an_open_one_does_not_listen_to_older_agents(health: Health) -> None:
    """They were started before, and say nothing about what is tried now."""
    assert after(open_breaker(), 3, health=health) == open_breaker()


def test_a_good_end_closes_it() -> None:
    """Of an agent that was started since."""
    assert after(open_breaker(), 4, health=Health.GOOD) == PROVEN


@pytest.mark.parametrize(
    ("agent", "outcome", "fast", "health"),
    [
        ({"outcome": Outcome.SPAWN_FAILED}, Outcome.SPAWN_FAILED, False, "BROKEN"),
        ({"exit_code": 1}, Outcome.FAILED, True, "BROKEN"),
        ({"signal": 11}, Outcome.CRASHED, True, "BROKEN"),
        ({"exit_code": 0}, Outcome.DONE, True, "GOOD"),
        ({"exit_code": 1}, Outcome.FAILED, False, "GOOD"),
        ({"verdict": Outcome.SUBMITTED}, Outcome.SUBMITTED, False, "GOOD"),
        ({"signal": 11}, Outcome.CRASHED, False, "NOTHING"),
        ({"outcome": Outcome.LOST}, Outcome.LOST, True, "NOTHING"),
        ({"human": True}, Outcome.DONE, False, "NOTHING"),
        (
            {"exit_code": 1, "stop": Stop(then=StopThen.PAUSE, by="me")},
            Outcome.KILLED,
            True,
            "NOTHING",
        ),
        # settled at a start-up: nobody has tried it
        (
            {"outcome": Outcome.SPAWN_FAILED, "counted": False, "process": None},
            Outcome.SPAWN_FAILED,
            False,
            "NOTHING",
        ),
    ],
)
def test_what_an_end_says(
    agent: dict[str, Any], outcome: Outcome, fast: bool, health: str
) -> None:
    """About the executor, not about the task."""
    found = breakers.health_of(a_start(**agent), outcome, too_fast=fast)

    assert found is Health[health]


def a_view(breaker: Breaker, free: int, **changes: Any) -> DispatchView:
    """Eight tasks of claude's, and one of a shell's behind them."""
    tasks = tuple(a_task(id=f"t{n}", seq=n) for n in range(1, 9))
    shell = a_task(id="s", seq=9)
    values: dict[str, Any] = {
        "may_start": True,
        "free_slots": free,
        "candidates": (*tasks, shell),
        "needs": {task.id: Needs(executor=KEY) for task in tasks}
        | {"s": Needs(executor="executor:shell")},
        "breakers": {} if breaker.proven else {KEY: breaker},
    }
    return DispatchView(**(values | changes))


def launched(decisions: tuple[Any, ...]) -> list[str]:
    """The tasks that are started."""
    return [one.task.id for one in decisions if isinstance(one, LaunchAgent)]


def held(decisions: tuple[Any, ...]) -> list[str]:
    """The tasks that are kept back."""
    return [one.task for one in decisions if isinstance(one, HoldTask)]


def test_what_is_unknown_is_tried_three_at_a_time() -> None:
    """The others are kept back for a second, and nobody waits behind them."""
    decisions = dispatch.decide(a_view(NEW, 6), START)

    assert launched(decisions) == ["t1", "t2", "t3", "s"]
    assert held(decisions) == ["t4", "t5", "t6", "t7", "t8"]
    assert decisions[-1] == SetBreaker(breaker=replace(NEW, until=START + SECOND))


def test_what_is_proven_is_not_held_back() -> None:
    """All slots are used."""
    assert len(launched(dispatch.decide(a_view(PROVEN, 6), START))) == 6


def test_failures_and_young_agents_leave_fewer() -> None:
    """Never more than three whose fate is not known."""
    view = a_view(after(NEW, 20), 6, young={KEY: 1})

    assert launched(dispatch.decide(view, START)) == ["t1", "s"]


def test_an_open_one_lets_one_through_when_its_time_has_come() -> None:
    """And the next one 20 s later, should that one live."""
    breaker = open_breaker()
    due = breaker.until or 0

    assert launched(dispatch.decide(a_view(breaker, 6), due - 1)) == ["s"]
    decisions = dispatch.decide(a_view(breaker, 6), due)

    assert launched(decisions) == ["t1", "s"]
    assert decisions[-1] == SetBreaker(
        breaker=replace(breaker, until=due + 20 * SECOND)
    )


@given(
    st.lists(st.tuples(st.integers(0, 90), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 30),
)
def test_never_more_than_four_starts_a_minute_of_what_is_broken(
    steps: list[tuple[int, bool]], slots: int
) -> None:
    """Whatever the slots and the pace, if each start fails at once or in a second."""
    breaker, now, number = NEW, START, 0
    starts: list[int] = []
    alive: list[tuple[int, int]] = []
    for seconds, slow in steps:
        now += seconds * SECOND
        for agent, until in list(alive):
            if until <= now:
                alive.remove((agent, until))
                one = a_start(agent)
                was_open = breaker.opened_at is not None
                breaker = breakers.after_end(breaker, one, Health.BROKEN, "no", now)
                if not was_open and breaker.opened_at is not None:
                    breaker = replace(breaker, since_agent=number)
        young = sum(now - at < SECOND for at in starts[-len(alive) :]) if alive else 0
        view = a_view(breaker, slots - len(alive), young={KEY: young})
        for decision in dispatch.decide(view, now):
            if isinstance(decision, SetBreaker):
                breaker = decision.breaker
            elif isinstance(decision, LaunchAgent) and decision.task.id != "s":
                number += 1
                starts.append(now)
                alive.append((number, now + slow * SECOND // 2))
    for at in starts:
        assert sum(at <= one < at + 60 * SECOND for one in starts) <= 4
