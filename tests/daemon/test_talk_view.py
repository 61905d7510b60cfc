from msgspec.structs import replace

from workgraph.daemon.talk_view import Pieces, prompt, said, status
from workgraph.graph.chat_requests import ChatMessageData, ChatStandsData

STANDS = ChatStandsData(
    chat=".chat-1",
    name="plans",
    state="idle",
    answering=None,
    queued=0,
    consumers=1,
    backoff_until=None,
    problem=None,
    remedy=None,
)


def text(pieces: Pieces) -> str:
    """What is read."""
    return "".join(part for _, part in pieces)


def test_what_was_said_stands_under_who_said_it() -> None:
    """A handler speaks for the chat; nothing moves the cursor."""
    message = ChatMessageData(
        id=1,
        chat=".chat-1",
        at="2030-05-01T12:00:00.000Z",
        by="an\x1bn",
        kind="message",
        text="one\n\x1b[2Jtwo\n",
    )
    note = replace(message, kind="note", by="agent-1", text="by the way")

    shown = [text(said(one, "plans", "2030-05-02")) for one in (message, note)]

    assert shown[0].startswith("an\\x1bn  2030-05-0")
    assert shown[0].endswith("\n  one\n  \\x1b[2Jtwo\n")
    assert shown[1].startswith("plans (note)  ")


def test_how_a_chat_stands_in_a_line() -> None:
    """What it does, who waits, and who is there; why it backs off."""
    lines = [
        status(STANDS),
        status(replace(STANDS, state="live", answering=7, queued=3, consumers=2)),
        status(replace(STANDS, state="starting", queued=1)),
        status(
            replace(
                STANDS,
                state="backing-off",
                queued=1,
                backoff_until="2030-05-01T12:00:07.000Z",
                problem="it crashes",
                remedy="wg output agent-3",
            )
        ),
    ]

    assert lines[0] == ".chat-1 plans · idle"
    assert lines[1] == (
        ".chat-1 plans · answers; Ctrl-C interrupts · 2 queued · 2 are here"
    )
    assert lines[2] == ".chat-1 plans · starting · 1 queued"
    assert lines[3].startswith(".chat-1 plans · backing off until ")
    assert lines[3].endswith(":07; it crashes; wg output agent-3 · 1 queued")


def test_a_long_reply_is_shown_by_its_last_rows() -> None:
    """Wide characters take two columns; no row is wider than the terminal."""
    pieces = prompt(STANDS, "x" * 30 + "\n" + "漢" * 8 + "end", "", columns=12, rows=2)

    assert text(pieces).split("\n") == [
        "plans  …",
        "  漢漢漢漢",
        "漢漢漢漢end",
        ".chat-1 pl…",
        "> ",
    ]


def test_a_long_reply_is_broken_between_words() -> None:
    """Blanks at its breaks are left out; a word that is too long is broken itself."""
    pieces = prompt(
        STANDS, "one two  three fourteen-letters\n   x", "", columns=12, rows=9
    )

    assert text(pieces).split("\n")[1:-2] == [
        "  one two",
        "three",
        "fourteen-le",
        "tters",
        "     x",
    ]
