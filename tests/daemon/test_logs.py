"""The daemon's log, where it can be written and where it can't."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from workgraph.logs import Logger, open_log


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Writes end at a size, in the middle of a line if need be, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def lines_of(file: Path) -> list[dict[str, Any]]:
    """The lines of a log, each of them whole."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def a_log(file: Path) -> Logger:
    """A log that is a file alone."""
    return open_log(file, terminal=False, stderr=False)


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """What was lost is counted, and told when there is room; no line is torn."""
    file = tmp_path / "log" / "wgd.jsonl"
    log = a_log(file)
    log.info("one")
    room = file.stat().st_size
    with no_file_beyond(room + 20):
        log.info("two")
        log.warning("three")
        assert file.stat().st_size == room
    log.info("four")

    told = [(line["event"], line.get("count")) for line in lines_of(file)]
    assert told == [("one", None), ("log_lines_lost", 2), ("four", None)]


def test_a_log_is_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines that do not fit begin a new file."""
    monkeypatch.setattr("workgraph.logs._MAX_BYTES", 200)
    file = tmp_path / "wgd.jsonl"
    log = a_log(file)
    for number in range(4):
        log.info("event", number=number)

    older = lines_of(file.with_name("wgd.jsonl.1"))
    assert [line["number"] for line in older + lines_of(file)] == [0, 1, 2, 3]
