from math import log

import pytest

from tests.graph.learning import QUALITY, work_off

TASKS = 2000
#: The default of `agency.explore`.
EXPLORE = 0.2
NEWCOMER = {**QUALITY, "dee": {"parser": 0.95, "query": 0.90, "prose": 0.90}}

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", range(20))
def test_the_best_for_a_skill_gets_its_work(seed: int) -> None:
    """The best for a skill gets its work."""
    chosen = work_off(seed, tasks=TASKS, explore=EXPLORE)

    last = chosen[-TASKS // 4 :]
    for skill in QUALITY["ada"]:
        of_skill = [one.is_best for one in last if one.skill == skill]
        assert sum(of_skill) / len(of_skill) > 0.8
    regret = [one.regret for one in chosen]
    first_half, second_half = sum(regret[: TASKS // 2]), sum(regret[TASKS // 2 :])
    assert second_half < 0.6 * first_half
    # As a power of the tasks: from an eighth of them to all.
    growth = log(sum(regret) / sum(regret[: TASKS // 8])) / log(8)
    assert growth < 0.7


@pytest.mark.parametrize("seed", range(4))
def test_a_newcomer_that_is_better_takes_over(seed: int) -> None:
    """A newcomer that is better takes over."""
    chosen = work_off(
        seed,
        tasks=TASKS,
        explore=EXPLORE,
        quality=NEWCOMER,
        joins={"dee": TASKS // 2},
    )

    last = chosen[-TASKS // 4 :]
    assert sum(one.actor == "dee" for one in last) / len(last) > 0.7


def test_without_exploring_a_newcomer_is_never_tried() -> None:
    """Without exploring a newcomer is never tried."""
    chosen = work_off(1, tasks=600, explore=0.0, quality=NEWCOMER, joins={"dee": 500})

    assert {one.actor for one in chosen[500:]} <= {"ada", "bob", "cyd"}


def test_choices_are_as_frequent_as_their_propensities_say() -> None:
    """Choices are as frequent as their propensities say."""
    chosen = work_off(4, tasks=TASKS, explore=EXPLORE)

    expected = sum(one.chance_of_best for one in chosen)
    variance = sum(one.chance_of_best * (1 - one.chance_of_best) for one in chosen)
    got = sum(one.is_best for one in chosen)
    assert abs(got - expected) < 4 * variance**0.5
