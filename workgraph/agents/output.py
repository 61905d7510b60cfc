"""How much an agent has written, and when: what tells a silent one from a busy one."""

import os

from msgspec import Struct


class Output(Struct, frozen=True, kw_only=True):
    """What an agent has written, without the text."""

    size: int
    #: When it wrote last, in microseconds of wall time.
    written_at: int


def measure_output(folder: str) -> Output:
    """Looks at the logs of a folder: two stats."""
    size = written_at = 0
    for name in ("output.log", "stderr.log"):
        try:
            found = os.stat(f"{folder}/{name}")
        except OSError:
            continue
        size += found.st_size
        written_at = max(written_at, found.st_mtime_ns // 1_000_000 * 1000)
    return Output(size=size, written_at=written_at)
