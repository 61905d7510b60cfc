"""Moments and durations: microseconds inside, RFC 3339 and `90s` outside."""

import re
import zlib
from datetime import UTC, datetime, timedelta
from typing import Final

from workgraph.graph.errors import UsageError

#: Microseconds since the Unix epoch, UTC. What the database and all structs hold.
type_micros = int
SECOND: Final = 1_000_000

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: Share of a gap that may fall away, so that many do not return at once.
_JITTER: Final = 0.2
_JITTER_STEPS: Final = 1 << 16
#: The longest duration that is taken, so that sums with a moment stay in range.
_LONGEST_S: Final = 100 * 366 * 86400.0


class Duration(float):
    """Seconds, written `200ms`, `90s`, `30m`, `2h` or `1d`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> "Duration":
        """Reads a duration as the command line and the settings write it.

        Raises:
            UsageError: The text is not a duration.
        """
        match = _DURATION.fullmatch(text.strip())
        seconds = float(match[1]) * _UNITS[match[2]] if match else -1.0
        if not 0 <= seconds <= _LONGEST_S:
            raise UsageError(
                f"{text!r} is not a duration",
                hint="write a number and a unit: 200ms, 90s, 30m, 2h or 1d",
            )
        return cls(seconds)

    @property
    def micros(self) -> int:
        """The same in microseconds."""
        return round(self * SECOND)


def format_duration(seconds: float) -> str:
    """Writes a duration in the largest unit that keeps it exact: `90s`, `2h`."""
    millis = round(seconds * 1000)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if millis and millis % size == 0:
            return f"{millis // size}{unit}"
    return f"{millis}ms" if millis else "0s"


def format_age(seconds: float) -> str:
    """Writes an age for people, in one unit: `5s`, `3m`, `2h`, `4d`."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(max(seconds, 0))}s"


def jittered(gap: int, seed: str) -> int:
    """A gap less a jitter that the seed decides, so that it can be told beforehand.

    Microseconds, on whole milliseconds.
    """
    draw = zlib.crc32(seed.encode()) % _JITTER_STEPS
    return int(gap * (1 - _JITTER * draw / _JITTER_STEPS)) // 1000 * 1000


def to_rfc3339(micros: int) -> str:
    """Writes a moment as RFC 3339 in UTC with milliseconds."""
    moment = _EPOCH + timedelta(microseconds=micros)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def moment_of(text: str) -> int:
    """An RFC 3339 text in microseconds since the epoch; 0 where it is none. Pure."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0
    return int(moment.timestamp() * SECOND) if moment.tzinfo is not None else 0


def parse_moment(text: str, now: int) -> int:
    """Reads a moment: RFC 3339, or a duration from now.

    Returns:
        Microseconds since the epoch, whole milliseconds, so that a moment survives
        being written and read.

    Raises:
        UsageError: It is neither.
    """
    if _DURATION.fullmatch(text.strip()):
        return now + Duration.parse(text).micros
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise UsageError(
            f"{text!r} is not a time",
            hint="write 2026-05-01T08:00:00Z, or a duration from now such as 30m",
        ) from error
    if moment.tzinfo is None:
        moment = moment.astimezone()
    return (moment - _EPOCH) // timedelta(milliseconds=1) * 1000
