"""Whether a changed actor is better: what a look finds, and how often it errs."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workgraph.graph.comparison import (
    HOPELESS,
    LEAST_OF_PARENT,
    LOOKS,
    SURE,
    better,
    compare,
    is_due,
    next_look,
)

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=60)
#: How much of its parent's work a child gets, as `agency.trial_share` has it.
SHARE = 0.2


def _score(random: Random, mean: float, deviation: float) -> float:
    """A score from a beta distribution with this mean and deviation."""
    size = mean * (1 - mean) / deviation**2 - 1
    return random.betavariate(mean * size, (1 - mean) * size)


def _outcome(seed: int, parent: float, child: float, deviation: float = 0.2) -> str:
    """What a whole trial ends with, reward by reward as in a project."""
    random = Random(seed)
    of_child: list[float] = []
    of_parent: list[float] = []
    looked_at = 0
    while True:
        if random.random() < SHARE:
            of_child.append(_score(random, child, deviation))
        else:
            of_parent.append(_score(random, parent, deviation))
        found = compare(of_child, of_parent, looked_at)
        if found is not None:
            looked_at = found.child_count
            if found.finding != "go on":
                return found.finding


def _promoted(parent: float, child: float, seeds: int, deviation: float = 0.2) -> int:
    return sum(
        _outcome(seed, parent, child, deviation) == "promote" for seed in range(seeds)
    )


def test_a_better_child_is_promoted_in_most_of_20_seeds() -> None:
    """.15 better: 97 of 100 are; .1 better: 7 of 10."""
    assert _promoted(0.6, 0.75, 20) >= 18
    assert _promoted(0.6, 0.7, 20) >= 12


def test_a_worse_child_is_practically_never_promoted() -> None:
    """.1 worse: not one of 200; .05 worse: one of a thousand."""
    assert _promoted(0.6, 0.5, 200) == 0
    assert _promoted(0.6, 0.55, 200) <= 2


@pytest.mark.parametrize(
    ("mean", "deviation"), [(0.6, 0.2), (0.5, 0.3), (0.9, 0.15), (0.8, 0.1)]
)
def test_a_child_that_is_as_good_is_seldom_promoted(
    mean: float, deviation: float
) -> None:
    """Two to six in a hundred, over all three looks, whatever the spread."""
    assert _promoted(mean, mean, 200, deviation) <= 14


def test_a_trial_ends_with_its_last_look() -> None:
    """What has shown nothing until then is retired: the parent stays."""
    child, parent = [0.6, 0.7] * 24, [0.6, 0.7] * 96

    assert [next_look(n) for n in (0, 11, 12, 24, 48)] == [12, 12, 24, 48, None]
    for looked_at, count in ((0, 12), (12, 24)):
        found = compare(child[:count], parent, looked_at)
        assert found is not None
        assert found.finding == "go on"
    last = compare(child, parent, 24)
    assert last is not None
    assert last.finding == "retire"
    assert compare(child, parent, 48) is None


@pytest.mark.parametrize("count", range(LOOKS[0]))
def test_too_little_is_not_looked_at(count: int) -> None:
    """However good it is."""
    assert compare([1.0] * count, [0.0] * 50, 0) is None


def test_a_look_that_was_missed_is_taken_with_what_there_is() -> None:
    """Rewards come in heaps, too; the same ones are not looked at twice."""
    found = compare([0.6, 0.7] * 15, [0.6, 0.7] * 40, 0)

    assert found is not None
    assert (found.child_count, found.finding) == (30, "go on")
    assert not is_due(30, 30)
    assert is_due(30, LOOKS[2])


def test_without_a_parents_work_there_is_nothing_to_compare() -> None:
    """So the parent stays in the end."""
    little = [0.1] * (LEAST_OF_PARENT - 1)

    assert compare([0.9] * 12, little, 0) is None
    last = compare([0.9] * LOOKS[-1], little, 24)
    assert last is not None
    assert (last.finding, last.probability) == ("retire", 0.0)


@pytest.mark.parametrize(
    ("child", "finding"), [(0.9, "promote"), (0.1, "retire"), (0.52, "go on")]
)
def test_the_first_look_decides_what_is_plain(child: float, finding: str) -> None:
    """Equal scores are taken for less sure than they look."""
    found = compare([child] * 12, [0.5] * 48, 0)

    assert found is not None
    assert found.finding == finding
    assert (found.probability >= SURE) == (finding == "promote")
    assert (found.probability <= HOPELESS) == (finding == "retire")


@given(SCORES, SCORES)
def test_the_probability_is_one(one: Sequence[float], other: Sequence[float]) -> None:
    """Between 0 and 1, and the other way round it is the rest."""
    assert 0 <= better(one, other) <= 1
    assert better(one, other) == pytest.approx(1 - better(other, one))
