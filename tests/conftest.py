"""Options of the whole suite."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long what can go on for ever goes on."""
    parser.addoption(
        "--rounds",
        type=int,
        default=1,
        help="how often the daemon is killed at each named point",
    )
