"""Moments and durations survive being written and read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fake_clock import START
from workgraph.graph.errors import UsageError
from workgraph.graph.times import (
    SECOND,
    Duration,
    format_age,
    format_duration,
    parse_moment,
    to_rfc3339,
)

#: Up to the year 9999, in milliseconds.
MILLIS = st.integers(0, 253_402_300_799_999)


@given(MILLIS)
def test_a_moment_survives(millis: int) -> None:
    """RFC 3339 in UTC with milliseconds, and back to the same number."""
    text = to_rfc3339(millis * 1000)

    assert text.endswith("Z")
    assert parse_moment(text, 0) == millis * 1000


@given(st.integers(0, 100 * 365 * 86_400_000))
def test_a_duration_survives(millis: int) -> None:
    """To the millisecond."""
    text = format_duration(millis / 1000)

    assert round(Duration.parse(text) * 1000) == millis


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("200ms", 200_000),
        ("90s", 90 * SECOND),
        ("30m", 1800 * SECOND),
        ("2h", 7200 * SECOND),
        ("1d", 86400 * SECOND),
        ("1.5h", 5400 * SECOND),
        ("0s", 0),
    ],
)
def test_the_units_of_a_duration(text: str, micros: int) -> None:
    """Those of the contract."""
    assert Duration.parse(text).micros == micros


@pytest.mark.parametrize(
    "text",
    ["", "5", "s", "-1s", "1w", "1 s", "1e3s", "\uff11s", "inf", "1s1", "99999999999d"],
)
def test_what_is_no_duration(text: str) -> None:
    """Is wrong usage, with the units as the remedy."""
    with pytest.raises(UsageError, match="is not a duration") as raised:
        Duration.parse(text)

    assert "30m" in raised.value.hint


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01", "12:00", "-5m"])
def test_what_is_no_moment(text: str) -> None:
    """Neither a time nor a duration."""
    with pytest.raises(UsageError, match="is not a time"):
        parse_moment(text, 0)


def test_a_moment_may_be_a_duration_from_now() -> None:
    """Or have an offset, or no finer part than a day."""
    assert parse_moment("30m", START) == START + 1800 * SECOND
    assert parse_moment("2026-01-01T01:00:00+01:00", 0) == START
    assert parse_moment("2026-01-01T00:00:00.0009Z", 0) == START


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0s"), (5.9, "5s"), (60, "1m"), (7199, "1h"), (86400 * 4, "4d")],
)
def test_an_age_is_one_unit(seconds: float, text: str) -> None:
    """Rounded down."""
    assert format_age(seconds) == text
