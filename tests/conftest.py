"""Options of the whole suite."""

import pytest

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
