"""What readers make of recorded streams, however they are cut."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agents.streams.recorded import RUNS, SAMPLES, Recorded, a_reader, read
from workgraph.graph.ends import Report

JUNK = (
    b"not JSON at all",
    b'{"type":"assistant","message":{"content":[',
    b"[1,2,3]",
    b'"a string"',
    b'{"type":"a type that nobody knows"}',
    b'{"no":"type"}',
    b'{"type":{"an":"object"}}',
    b"\xff\xfe\x00\x01",
    b"{" * 5000,
    b"[" * 5000,
)


def test_every_sample_is_in_the_table() -> None:
    """A sample that nobody looks at says nothing."""
    files = {path.stem for path in SAMPLES.glob("*/*.jsonl")}

    assert {run.name.partition("/")[2] for run in RUNS} == files
    assert len(RUNS) == len(list(SAMPLES.glob("*/*.jsonl")))


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_recorded_stream_is_understood(run: Recorded) -> None:
    """The whole report is what the table says, and no line was odd."""
    reader = a_reader(run.stream, run.earlier)
    reader.feed(run.stdout)

    assert reader.odd == 0
    assert read(run) == run.report


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_stream_byte_by_byte_says_the_same(run: Recorded) -> None:
    """Whatever is in the middle of a line or a character is waited for."""
    reader = a_reader(run.stream, run.earlier)
    for byte in run.stdout:
        reader.feed(bytes((byte,)))
    for byte in run.stderr:
        reader.feed_stderr(bytes((byte,)))

    assert reader.close(run.exit_code, run.signal) == run.report


@settings(deadline=None, max_examples=60)
@given(run=st.sampled_from(RUNS), seed=st.integers(), pieces=st.integers(1, 20))
def test_a_stream_in_any_pieces_says_the_same(
    run: Recorded, seed: int, pieces: int
) -> None:
    """Cuts anywhere, and a report asked for after each, change nothing."""
    rng = random.Random(seed)
    content = run.stdout
    cuts = sorted(rng.randrange(len(content) + 1) for _ in range(pieces))
    reader = a_reader(run.stream, run.earlier)
    for begin, end in zip((0, *cuts), (*cuts, len(content)), strict=True):
        reader.feed(content[begin:end])
        assert isinstance(reader.report, Report)
    reader.feed_stderr(run.stderr)

    assert reader.close(run.exit_code, run.signal) == run.report


@settings(deadline=None, max_examples=60)
@given(
    run=st.sampled_from(RUNS),
    planted=st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from(JUNK)), min_size=1, max_size=6
    ),
)
def test_junk_between_lines_is_counted_and_no_more(
    run: Recorded, planted: list[tuple[int, bytes]]
) -> None:
    """No line that can't be read keeps another from being read."""
    lines = run.stdout.splitlines()
    for at, junk in planted:
        lines.insert(min(at, len(lines)), junk)
    reader = a_reader(run.stream, run.earlier)
    reader.feed(b"\n".join(lines))
    reader.feed_stderr(run.stderr)

    assert reader.close(run.exit_code, run.signal) == run.report
    assert reader.odd == len(planted)


@settings(deadline=None, max_examples=200)
@given(
    run=st.sampled_from(RUNS),
    seed=st.integers(),
    changes=st.integers(1, 30),
)
def test_a_damaged_stream_never_raises(run: Recorded, seed: int, changes: int) -> None:
    """Bytes changed anywhere: something is lost, nothing breaks."""
    rng = random.Random(seed)
    damaged = bytearray(run.stdout)
    for _ in range(changes if damaged else 0):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    reader = a_reader(run.stream, run.earlier)
    reader.feed(bytes(damaged))
    reader.feed_stderr(bytes(reversed(run.stderr)))

    assert isinstance(reader.close(run.exit_code, run.signal), Report)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_every_value_of_another_shape_is_survived(run: Recorded) -> None:
    """Each string, number, list and object of a stream is once something else."""
    for number, line in enumerate(run.stdout.splitlines()):
        for damaged in _reshaped(json.loads(line)):
            reader = a_reader(run.stream, run.earlier)
            lines = run.stdout.splitlines()
            lines[number] = json.dumps(damaged).encode()
            reader.feed(b"\n".join(lines) + b"\n")
            assert isinstance(reader.close(run.exit_code, run.signal), Report)


def _reshaped(value: object) -> list[object]:
    """The value with each of its parts, two levels deep, replaced in turn."""
    others: list[object] = [None, 7, "x", [], {}, True]
    found = list(others)
    if isinstance(value, dict):
        for name, part in value.items():
            inner = (
                others
                if not isinstance(part, dict)
                else [
                    *others,
                    *({**part, key: other} for key in part for other in others),
                ]
            )
            found += [{**value, name: other} for other in inner]
    return found
