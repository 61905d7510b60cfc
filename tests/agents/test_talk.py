"""What passes between a chat and its handler."""

import pytest

from workgraph.agents.talk import (
    MOST_SAID,
    Ear,
    LastWords,
    encode_message,
    make_ear,
)
from workgraph.graph.chats import ChatEvent


def reply(text: str, to: int | None = None) -> ChatEvent:
    """An answer."""
    return ChatEvent(kind="reply", text=text, reply_to=to)


def test_a_command_reads_a_line_with_number_and_text() -> None:
    """All that is said is on one line, whatever is in it."""
    line = encode_message("exec", 7, 'say "hé"\nnow\0')

    assert line == '{"id":7,"text":"say \\"hé\\"\\nnow\\u0000"}\n'.encode()


@pytest.mark.parametrize(
    ("line", "events"),
    [
        (b'{"reply_to":7,"text":"yes"}', (reply("yes", 7),)),
        (b'{"text":"yes"}', (reply("yes"),)),
        (b'{"text":"a"}{"text":"b"}', (reply("a"), reply("b"))),
        (b'{"text":"a","reply_to":"7"}', (reply("a"),)),
        (b'{"text":"a","reply_to":null,"more":[1]}\r', (reply("a"),)),
        (b'{"text":""}', (reply(""),)),
        (b'{"text":"a\\u0000b\\ud83d"}', (reply("a\ufffdb?"),)),
        (b'{"text":7}', ()),
        (b'{"words":"a"}', ()),
        (b'["text"]', ()),
        (b"working on it", ()),
        (b"\xff\xfe\x00", ()),
        (b'{"text":"half', ()),
        (b"[" * 100_000, ()),
        (b"x" * 10_000_000, ()),
    ],
)
def test_an_object_with_a_text_is_an_answer(
    line: bytes, events: tuple[ChatEvent, ...]
) -> None:
    """Anything else that a command prints is its own business, and harms nobody."""
    ear = make_ear("exec", 0)

    ear.feed(line + b"\n" + b'{"text":"next"}\n')

    heard = ear.heard()
    assert heard.events == (*events, reply("next"))
    assert heard.upto == len(line) + 17


def test_a_text_that_is_not_utf_8_is_an_answer_all_the_same() -> None:
    """What can't be read of it is marked."""
    ear = make_ear("exec", 0)

    ear.feed(b'{"text":"caf\xe9"}\n')

    assert ear.heard().events == (reply("caf\ufffd"),)


def test_an_answer_of_megabytes_is_cut() -> None:
    """The whole of it is in the output."""
    ear = make_ear("exec", 0)

    ear.feed(b'{"text":"' + b"x" * 10_000_000 + b'"}\n')

    (event,) = ear.heard().events
    assert event.text.startswith("x" * MOST_SAID)
    assert event.text.endswith("in the handler's output.log]")
    assert len(event.text) < MOST_SAID + 100


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_whole_lines_are_heard_once_however_they_are_cut(size: int) -> None:
    """The place is always the end of a line, and who reads on there hears the rest."""
    out = b'noise\n{"text":"one"}\n\n{"text":"two"}\n{"text":"thr'
    ear = make_ear("exec", 0)
    heard: list[ChatEvent] = []
    for at in range(0, len(out), size):
        ear.feed(out[at : at + size])
        found = ear.heard()
        heard += found.events
        assert found.upto == 0 or out[found.upto - 1 : found.upto] == b"\n"

    place = ear.heard().upto
    later = make_ear("exec", place, place)
    later.feed((out + b'ee"}\n')[place:])

    assert heard == [reply("one"), reply("two")]
    assert later.heard().events == (reply("three"),)
    assert later.heard().upto == len(out) + 5


@pytest.mark.parametrize(
    ("last", "events"),
    [(b'{"text":"bye"}', (reply("bye"),)), (b'{"text":"by', ())],
)
def test_a_last_line_may_lack_its_end(
    last: bytes, events: tuple[ChatEvent, ...]
) -> None:
    """Half of one is no answer."""
    ear: Ear = make_ear("exec", 0)
    ear.feed(last)
    assert ear.heard().events == ()

    ear.close(LastWords(exit_code=0))

    heard = ear.heard()
    assert heard.events == events
    assert heard.upto == len(last)
