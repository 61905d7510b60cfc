"""What passes between a chat and its handler."""

import json
import re

import pytest

from tests.agents.streams.recorded import a_reader, recorded
from workgraph.agents.talk import (
    MOST_SAID,
    Ear,
    HandlerKind,
    LastWords,
    encode_interrupt,
    encode_message,
    make_ear,
    number_of,
)
from workgraph.graph.chats import ChatEvent
from workgraph.graph.ends import ClientEnd, EndKind, Report
from workgraph.graph.errors import WorkgraphBug


def reply(text: str, to: int | None = None) -> ChatEvent:
    """An answer."""
    return ChatEvent(kind="reply", text=text, reply_to=to)


def test_a_command_reads_a_line_with_number_and_text() -> None:
    """All that is said is on one line, whatever is in it."""
    line = encode_message("exec", 7, 'say "hé"\nnow\0', agent=1)

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


def heard_of(kind: HandlerKind, out: bytes, last: LastWords) -> tuple[ChatEvent, ...]:
    """All that is heard of a handler that has ended."""
    ear = make_ear(kind, 0)
    ear.feed(out)
    before = ear.heard().events
    ear.close(last)
    return (*before, *ear.heard().events)


def test_a_client_that_is_kept_open_reads_one_line_for_each_message() -> None:
    """Its name has both numbers in it: a message that comes again is another one."""
    line = json.loads(encode_message("open", 7, "hé\nthere", agent=17))

    assert line == {
        "type": "user",
        "message": {"role": "user", "content": "hé\nthere"},
        "parent_tool_use_id": None,
        "session_id": "",
        "uuid": "00000011-0000-4000-8000-000000000007",
    }
    assert number_of(line["uuid"]) == 7
    assert number_of("1234") is None
    assert number_of(None) is None


def test_an_interrupt_is_one_line_too() -> None:
    """It names its turn, so that one that comes twice is seen to be the same."""
    line = encode_interrupt(17, 7)

    assert json.loads(line) == {
        "type": "control_request",
        "request_id": "interrupt-00000011-0000-4000-8000-000000000007",
        "request": {"subtype": "interrupt"},
    }
    assert line.endswith(b"}\n")


def test_a_client_that_runs_for_each_message_reads_nothing_more() -> None:
    """Whoever asks for it has made a mistake."""
    with pytest.raises(WorkgraphBug):
        encode_message("turn", 7, "there", agent=1)


CONVERSATION = (
    ChatEvent(kind="session", text="11111111-2222-4333-8444-00006b027832"),
    reply("Hello one.", 1),
    reply("Hello two.", 2),
    # the third was interrupted, and is answered by who has asked for that
    reply("Hello three.", 4),
)


@pytest.mark.parametrize("size", [1000, 100_000])
def test_a_real_conversation_is_heard_turn_by_turn(size: int) -> None:
    """Each answer is known to be that of its message."""
    out = recorded("claude/conversation").stdout
    ear = make_ear("open", 0)
    heard: list[ChatEvent] = []

    for at in range(0, len(out), size):
        ear.feed(out[at : at + size])
        heard += ear.heard().events

    assert tuple(heard) == CONVERSATION
    assert ear.heard().upto == len(out)


def test_a_conversation_that_is_read_anew_says_only_what_is_new() -> None:
    """A stream makes sense from its start on; what was taken in is left out."""
    out = recorded("claude/conversation").stdout
    known = out.index(b"Hello two.", out.index(b'"result":"Hello two."')) + 10
    place = out.index(b"\n", known) + 1
    ear = make_ear("open", 0, place)

    ear.feed(out)

    assert ear.heard().events == CONVERSATION[3:]


def test_a_turn_of_an_older_client_answers_what_it_has_repeated() -> None:
    """Its last lines name no message."""
    out = recorded("claude/conversation").stdout
    older = re.sub(rb'"user_message_uuids?":("[^"]*"|\[[^]]*\]),', b"", out)
    assert older != out

    events = heard_of("open", older, LastWords(exit_code=0))

    assert events == CONVERSATION


def test_a_turn_that_nobody_asked_for_answers_nothing_by_name() -> None:
    """A client may go on by itself, when something in the background is done."""
    line = b'{"type":"result","subtype":"success","is_error":false,"result":"Done."}\n'

    assert heard_of("open", line, LastWords(exit_code=0)) == (reply("Done."),)


@pytest.mark.parametrize(
    "name",
    ["error_401", "error_429", "error_529", "no_session", "too_long", "unreachable"],
)
@pytest.mark.parametrize("kind", ["open", "turn"])
def test_what_the_provider_has_refused_is_no_answer(
    kind: HandlerKind, name: str
) -> None:
    """The message waits."""
    run = recorded(f"claude/{name}")

    last = LastWords(exit_code=run.exit_code, report=run.report)
    events = heard_of(kind, run.stdout, last)

    assert [event for event in events if event.kind != "session"] == []


@pytest.mark.parametrize("kind", ["open", "turn"])
def test_an_error_of_its_own_answers_a_message(kind: HandlerKind) -> None:
    """The same message would have it again."""
    run = recorded("claude/error_400")

    last = LastWords(exit_code=run.exit_code, report=run.report)
    (event,) = heard_of(kind, run.stdout, last)

    assert event.kind == "error"
    assert run.report.end is not None
    assert event.text == run.report.end.message


@pytest.mark.parametrize(
    "name",
    [
        "claude/success",
        "claude/denied",
        "codex/success",
        "gemini/success",
        "opencode/success",
    ],
)
def test_the_last_message_of_a_client_answers(name: str) -> None:
    """Whole, and with the name of its session; once, also where it is read anew."""
    run = recorded(name)
    reader = a_reader(run.stream)
    reader.feed(run.stdout)
    report = reader.close(run.exit_code, run.signal)
    last = LastWords(exit_code=0, report=report, said=reader.last_message)
    ear = make_ear("turn", 0)
    ear.feed(run.stdout)
    assert ear.heard().events == ()

    ear.close(last)

    heard = ear.heard()
    assert report.session is not None
    assert heard.events == (
        ChatEvent(kind="session", text=report.session),
        reply(reader.last_message),
    )
    again = make_ear("turn", 0, heard.upto)
    again.feed(run.stdout)
    again.close(last)
    assert again.heard().events == ()


@pytest.mark.parametrize(
    ("out", "exit_code", "events"),
    [
        (b" All of it,\nline by line.\n", 0, (reply("All of it,\nline by line."),)),
        (b"caf\xe9\0", 0, (reply("caf\ufffd\ufffd"),)),
        (b"half of it", 1, ()),
        (b"half of it", None, ()),
    ],
)
def test_plain_output_is_the_answer_where_it_ends_well(
    out: bytes, exit_code: int | None, events: tuple[ChatEvent, ...]
) -> None:
    """What has crashed has answered nothing."""
    assert heard_of("turn", out, LastWords(exit_code=exit_code)) == events


@pytest.mark.parametrize(
    "last",
    [
        LastWords(exit_code=0),
        LastWords(exit_code=0, report=Report()),
        LastWords(
            exit_code=0,
            report=Report(end=ClientEnd(kind=EndKind.FINISHED, message="")),
        ),
    ],
)
def test_a_good_end_without_a_word_is_an_error(last: LastWords) -> None:
    """It would be the same once more; and who asked is told."""
    (event,) = heard_of("turn", b"", last)

    assert event == ChatEvent(kind="error", text="it has ended well and said nothing")


def test_what_was_cut_off_in_the_middle_is_no_answer() -> None:
    """A crash is for the reconciler to count."""
    end = ClientEnd(kind=EndKind.CUT, message="it was ended by signal 15")
    last = LastWords(exit_code=None, report=Report(end=end), said="I will now")

    assert heard_of("turn", b"", last) == ()
