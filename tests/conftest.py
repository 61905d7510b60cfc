"""Options of the whole suite, and what it leaves behind."""

import inspect
import os
from collections.abc import Generator

import pytest
from sniffio import current_async_library_cvar

from workgraph.agents import cgroups

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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Says that asyncio runs, as `anyio.run` does, which starts the daemon.

    With sniffio installed anyio asks it, and in the callback of a protocol, where there
    is no task, sniffio knows by this alone.
    """
    is_async = inspect.iscoroutinefunction(getattr(item, "function", None))
    token = current_async_library_cvar.set("asyncio" if is_async else None)
    try:
        return (yield)
    finally:
        current_async_library_cvar.reset(token)


def pytest_sessionfinish() -> None:
    """Removes the cgroups of daemons that were killed; those in use stay."""
    if os.environ.get("PYTEST_XDIST_WORKER") is None:
        place = cgroups.find_place()
        if place.path:
            for entry in os.scandir(place.path):
                if entry.name.startswith(cgroups.PREFIX):
                    cgroups.remove(entry.path)
