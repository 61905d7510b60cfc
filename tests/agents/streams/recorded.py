"""The recorded streams, how each run ended, and what a reader must make of it.

`samples/reports.json` is the table: compared with the streams by eye, and changed only
when a reader is meant to say something else of them.
"""

from pathlib import Path
from typing import Final, cast

import msgspec

from workgraph.agents.streams.reader import Reader, make_reader
from workgraph.graph.ends import Report
from workgraph.graph.model import Usage
from workgraph.settings import Stream

SAMPLES: Final = Path(__file__).parents[1] / "samples"
NOTHING: Final = Usage()


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    exit_code: int | None
    signal: int | None
    report: Report
    earlier: Usage = NOTHING


class Recorded(msgspec.Struct, frozen=True):
    """A run of a real client."""

    name: str
    exit_code: int | None
    signal: int | None
    report: Report
    #: What earlier runs in its session had used.
    earlier: Usage = NOTHING

    @property
    def stream(self) -> Stream:
        """Which client's it is."""
        return cast("Stream", self.name.partition("/")[0])

    @property
    def stdout(self) -> bytes:
        """What it printed."""
        return (SAMPLES / f"{self.name}.jsonl").read_bytes()

    @property
    def stderr(self) -> bytes:
        """What it printed there; empty for most."""
        path = SAMPLES / f"{self.name}.stderr.txt"
        return path.read_bytes() if path.exists() else b""


def a_reader(stream: Stream, earlier: Usage = NOTHING) -> Reader:
    """A reader of a structured stream."""
    reader = make_reader(stream, earlier)
    assert reader is not None
    return reader


def read(run: Recorded, earlier: Usage | None = None) -> Report:
    """What comes of a run that is read in one piece."""
    reader = a_reader(run.stream, run.earlier if earlier is None else earlier)
    reader.feed(run.stdout)
    reader.feed_stderr(run.stderr)
    return reader.close(run.exit_code, run.signal)


def recorded(name: str) -> Recorded:
    """The run of that name."""
    return next(run for run in RUNS if run.name == name)


RUNS: Final = tuple(
    Recorded(name, row.exit_code, row.signal, row.report, row.earlier)
    for name, row in msgspec.json.decode(
        (SAMPLES / "reports.json").read_bytes(), type=dict[str, _Row]
    ).items()
)
