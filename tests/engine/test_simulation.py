"""Stories of the whole core, made up by hypothesis; see `simulation`.

A story that fails is printed as short as it can be made, with the line that replays it.
They are the same each time; `--hypothesis-profile search` tells others.
"""

import asyncio

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.engine.simulation import NAMES, Step, play

NUMBERS = st.integers(0, 63)
STORIES = st.lists(
    st.tuples(st.sampled_from(NAMES), NUMBERS, NUMBERS), min_size=30, max_size=60
)


def stories(count: int) -> settings:
    """How many stories are told."""
    return settings(
        max_examples=count,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
@stories(30)
@given(STORIES)
def test_whatever_happens_the_invariants_hold(steps: list[Step]) -> None:
    """Commands, ends, crashes, restarts, jumps in time, a full disk: in any order."""
    asyncio.run(play(steps))


@pytest.mark.long
@pytest.mark.timeout(3600)
@stories(5000)
@given(STORIES)
def test_whatever_happens_for_long(steps: list[Step]) -> None:
    """The same, for minutes."""
    asyncio.run(play(steps))
