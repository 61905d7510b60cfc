"""Options of the whole suite, and what it leaves behind."""

import os

import pytest
import sniffio
from hypothesis import HealthCheck, settings

from workgraph.agents import cgroups

# As `anyio.run` does it for the daemon: where sniffio is installed (the `native` extra
# brings it), anyio asks it which loop runs, also in callbacks that are in no task.
sniffio.current_async_library_cvar.set("asyncio")

# No example is judged by how long it takes: the machine may have other work to do. What
# is drawn follows from the test alone, so that a run fails for what is in the sources
# and nothing else; `--hypothesis-profile search` draws others each time.
settings.register_profile(
    "steady",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("search", settings.get_profile("steady"), derandomize=False)
settings.load_profile("steady")

# Their assertions say what they have found, as those of tests do.
pytest.register_assert_rewrite(
    "tests.soak.soak", "tests.system.crash_lives", "tests.system.crash_stages"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long what can go on for ever goes on."""
    parser.addoption(
        "--rounds",
        type=int,
        default=1,
        help="how often the daemon is killed at each named point",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts real processes comes first, for it takes longest.

    At the end, when one worker after the other runs out of files, those that are left
    take seconds each.
    """
    items.sort(key=lambda item: item.get_closest_marker("system") is None)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Removes the cgroups of daemons that were killed; those in use stay."""
    ran_tests = not session.config.option.collectonly
    if ran_tests and os.environ.get("PYTEST_XDIST_WORKER") is None:
        place = cgroups.find_place()
        if place.path:
            for entry in os.scandir(place.path):
                if entry.name.startswith(cgroups.PREFIX):
                    cgroups.remove(entry.path)
