"""The daemon is killed at every named point; the next one makes it good.

`crash_points` is the table of the points, `crash_stages` says what leads to each and
what must be so afterwards. `--rounds N` does it N times, at later calls where a point
is passed more than once.
"""

from pathlib import Path

import pytest

from tests.system.crash_lives import some_lives
from tests.system.crash_plants import PLANTS
from tests.system.crash_points import BY_NAME, POINTS, find
from tests.system.crash_stages import KINDS, STAGES, run_stages
from tests.system.den import why_no_den

#: What is played one after another in one project.
CHAINS = (
    ("work",),
    ("attack",),
    ("leave-behind",),
    ("kill", "kill-tree"),
    ("boot", "gate", "loop", "assign"),
    ("checks", "ask", "judge"),
    ("chat-send", "chat", "chat-crash", "chat-archive", "chat-purge"),
    ("verdict", "spawn", "stop", "stop-agents", "offline-add", "offline-tick"),
    ("add", "add-line", "import", "export", "backup", "migrate"),
)
needs_den = pytest.mark.skipif(bool(why_no_den()), reason=str(why_no_den()))


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.timeout(3600)
@needs_den
@pytest.mark.parametrize("stages", CHAINS, ids=lambda stages: stages[0])
def test_nothing_is_lost_at(
    tmp_path: Path, stages: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    """Each point once: nothing is lost, doubled, misreported or left behind."""
    points = [point for point in POINTS if point.stage in stages]
    assert points

    with some_lives(tmp_path / "x", kinds=KINDS) as lives:
        for round_ in range(request.config.getoption("--rounds")):
            run_stages(lives, points, round_)
        lives.start()
        lives.finish()


def test_every_point_is_still_there() -> None:
    """Each names a function that exists, and a stage that leads to it."""
    for point in POINTS:
        for target in point.target.split():
            _, _, function = find(target)
            assert callable(function) or isinstance(function, classmethod), point
        assert point.stage in STAGES, point
        assert point.says, point

    assert len(BY_NAME) == len(POINTS), "two points of one name"
    assert {point.stage for point in POINTS} == STAGES.keys()
    assert sorted(stage for chain in CHAINS for stage in chain) == sorted(STAGES)


@pytest.mark.long
@pytest.mark.system
@pytest.mark.timeout(300)
@needs_den
@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_defect_is_found(tmp_path: Path, name: str) -> None:
    """The matrix fails where the mechanism is missing that it is about."""
    with (
        some_lives(tmp_path / "x", kinds=KINDS, plant=name) as lives,
        pytest.raises(AssertionError, match=name),
    ):
        run_stages(lives, [BY_NAME[name]])
