"""Lines out of bytes, objects out of lines, whatever comes."""

import json
import time

import pytest
from msgspec import Raw, Struct
from msgspec.json import Decoder

from tests.agents.streams.recorded import a_reader
from workgraph.agents.streams.lines import Lines, objects, piece

MEGABYTE = 1024 * 1024


class Line(Struct):
    """What a line is decoded as."""

    type: Raw = Raw()


LINE = Decoder(Line)
TEXT = Decoder(str)


def types(line: bytes) -> tuple[list[str | None], bool]:
    """The types of the objects of a line."""
    found, odd = objects(line, LINE)
    return [piece(one.type, TEXT) for one in found], odd


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"type":"a"}', (["a"], False)),
        (b'  {"type":"a"}\r', (["a"], False)),
        (b'{"type":"a"}{"type":"b"}', (["a", "b"], False)),
        (b'{"type":"a"} {"type":"b"} ', (["a", "b"], False)),
        (b'\0\0{"type":"a"}\0\0', (["a"], False)),
        (b'\xef\xbb\xbf{"type":"a"}', (["a"], False)),
        (b'a warning without an end{"type":"a"}', (["a"], True)),
        (b'{"type":"a"}and words', (["a"], True)),
        (b'{"type":"a"}[1]{"type":"b"}', (["a", "b"], True)),
        (b'{"type":"a","m":{"type":"inner"}', ([], True)),
        (b'{"type":"cut{"type":"inner"}', ([], True)),
        (b'{"type":"\\ud83d"}', (["?"], False)),
        (b'{"type":"\xff"}', (["\ufffd"], False)),
        (b'{"type":"a\tb"}', (["a\tb"], False)),
        (b'{"type":NaN}', ([], True)),
        (b'{"type":7}', ([None], False)),
        (b"\0\0\0", ([], False)),
        (b"7", ([], True)),
        (b"[" * 100_000, ([], True)),
        (b'{"a":' * 100_000, ([], True)),
        (b"{" * 100_000, ([], True)),
    ],
)
def test_objects_of_a_line(line: bytes, expected: object) -> None:
    """All that can be read is read, and whether there was anything else is told."""
    assert types(line) == expected


def test_a_line_that_is_too_long_is_dropped_and_counted() -> None:
    """What comes after it is read; what was held of it is let go."""
    lines = Lines(longest=10)

    assert lines.feed(b"12345678") == []
    assert lines.feed(b"9012345") == []
    assert lines.feed(b"6789\nshort\n0123456789\n0123456789a\n") == [
        b"short",
        b"0123456789",
    ]
    assert lines.dropped == 2
    assert lines.rest() == []


def test_an_unfinished_line_is_given_at_the_end() -> None:
    """A client that was killed may have written all but the end of the line."""
    lines = Lines()

    assert lines.feed(b"one\n\n\ntw") == [b"one"]
    assert lines.feed(b"o") == []
    assert lines.rest() == [b"two"]
    assert lines.rest() == []


def test_a_line_of_many_megabytes_costs_what_it_weighs() -> None:
    """In pieces of a pipe's size it is a few times the work of decoding it once."""
    text = "a line of some text\n" * (10 * MEGABYTE // 20)
    message = {"id": "m", "model": "x", "content": [{"type": "text", "text": text}]}
    line = json.dumps({"type": "assistant", "message": message}).encode() + b"\n"
    began = time.thread_time()
    json.loads(line)
    once = time.thread_time() - began
    reader = a_reader("claude")

    began = time.thread_time()
    for at in range(0, len(line), 4096):
        reader.feed(line[at : at + 4096])
    took = time.thread_time() - began

    assert (reader.report.said or "").startswith("a line of some text\n")
    assert len((reader.report.said or "").encode()) == 1024
    assert took < 20 * once + 0.2


def test_a_line_of_many_objects_costs_what_it_weighs() -> None:
    """Objects without a line's end between them are found in one go."""
    line = b'{"type":"thread.started","thread_id":"t"}' * 20_000
    began = time.thread_time()
    for _ in range(20_000):
        json.loads(b'{"type":"thread.started","thread_id":"t"}')
    once = time.thread_time() - began
    reader = a_reader("codex")

    began = time.thread_time()
    reader.feed(line + b"\n")
    took = time.thread_time() - began

    assert reader.odd == 0
    assert took < 30 * once + 0.2
