"""What passes between a chat and its handler: messages in, what is said out.

Everything here is pure. A handler is one of three: `exec`, a command that reads and
writes lines of JSON (CONTRACT §8); `open`, a client that is kept open and reads one
message after the other; `turn`, a client that runs once for each message.

What is heard goes up to a place in the output, always the end of a whole line; who
reads on from there hears the rest, and nothing twice.
"""

import re
from collections.abc import Iterator
from typing import Final, Literal, Protocol, assert_never

import msgspec
from msgspec import Raw, Struct
from msgspec.json import Decoder

from workgraph.agents.streams.claude import Claude
from workgraph.agents.streams.lines import Lines, objects, piece
from workgraph.agents.streams.pieces import Pieces
from workgraph.graph.chats import ChatEvent
from workgraph.graph.ends import ClientEnd, EndKind, Report
from workgraph.graph.errors import WorkgraphBug
from workgraph.graph.model import Usage

HandlerKind = Literal["exec", "open", "turn"]

#: Ends with an answer.
WELL: Final = frozenset({EndKind.FINISHED, EndKind.DENIED})
#: Ends of which another message, or the same later, knows nothing.
NOT_THE_MESSAGES: Final = frozenset(
    {
        EndKind.AUTH,
        EndKind.LIMITED,
        EndKind.OVERLOADED,
        EndKind.NETWORK,
        EndKind.TOO_LONG,
        EndKind.MISCONFIGURED,
        EndKind.NO_SESSION,
    }
)
_NAME: Final = re.compile(r"[0-9a-f]{8}-0000-4000-8000-([0-9a-f]{12})")
_MUTE: Final = "it has ended well and said nothing"
#: What is kept of one answer, in characters; the whole is in the handler's output.
MOST_SAID: Final = 500_000
_MOST_KEPT: Final = 4 * MOST_SAID + 4
_CUT: Final = "\n[cut here: the rest is in the handler's output.log]"
_encode: Final = msgspec.json.Encoder().encode


class Heard(Struct, frozen=True, kw_only=True):
    """What was said since the last time it was asked."""

    events: tuple[ChatEvent, ...] = ()
    #: Up to where in the output.
    upto: int = 0


class LastWords(Struct, frozen=True, kw_only=True):
    """What is known of a handler when it has ended."""

    #: Null when a signal has ended it.
    exit_code: int | None
    #: What its stream has said; null where it has none.
    report: Report | None = None
    #: The last message of its stream, whole.
    said: str = ""


class Ear(Protocol):
    """Makes events of a handler's output."""

    def feed(self, data: bytes) -> None:
        """Takes in what standard output goes on with."""

    def heard(self) -> Heard:
        """What is new in whole lines; each event is given once."""

    def spoken(self) -> tuple[str | None, ...]:
        """What is being said, in pieces; null begins another text. Never an answer."""

    def close(self, last: LastWords) -> None:
        """Nothing comes any more; `heard` has the last of it afterwards."""


def make_ear(kind: HandlerKind, at: int, known: int = 0) -> Ear:
    """Hears a handler.

    Args:
        kind: Which of the three.
        at: Where in its output the reading begins.
        known: Up to where it was heard before.
    """
    match kind:
        case "exec":
            return _LinesOfJson(_Output(at, known))
        case "open":
            return _Turns(_Output(at, known))
        case "turn":
            return _OneTurn(at, known)
        case _:
            assert_never(kind)


def encode_message(kind: HandlerKind, number: int, text: str, agent: int) -> bytes:
    """A message as a handler that is kept open reads it: one line.

    Args:
        kind: Which of the three.
        number: The message's.
        text: What is said, with all that the handler is told beside it.
        agent: Who is to answer it. A client leaves out what has come before by the
            same name, and a message comes again when a handler has ended with it.

    Raises:
        WorkgraphBug: The handler runs once for each message, and reads nothing more.
    """
    match kind:
        case "exec":
            return _line(_Said(id=number, text=text))
        case "open":
            message = _UserMessage(content=text)
            return _line(_Input(message=message, uuid=name_of(number, agent)))
        case "turn":
            raise WorkgraphBug(f"message {number} is for a handler that reads nothing")
        case _:
            assert_never(kind)


def encode_interrupt(agent: int, number: int) -> bytes:
    """What ends the turn of a client that is kept open, and keeps its session."""
    asked = _Interrupt(request_id=f"interrupt-{name_of(number, agent)}")
    return _line(asked)


def name_of(number: int, agent: int) -> str:
    """What a message is called in a client's stream: a UUID with both numbers in it."""
    return f"{agent % 2**32:08x}-0000-4000-8000-{number % 2**48:012x}"


class _Said(Struct, frozen=True):
    id: int
    text: str


class _UserMessage(Struct, frozen=True, kw_only=True):
    role: str = "user"
    content: str


class _Input(Struct, frozen=True, kw_only=True):
    type: str = "user"
    message: _UserMessage
    parent_tool_use_id: None = None
    session_id: str = ""
    uuid: str


class _InterruptRequest(Struct, frozen=True):
    subtype: str = "interrupt"


class _Interrupt(Struct, frozen=True, kw_only=True):
    type: str = "control_request"
    request_id: str
    request: _InterruptRequest = _InterruptRequest()


class _Answer(Struct, frozen=True):
    text: Raw = Raw()
    reply_to: Raw = Raw()


_ANSWER: Final = Decoder(_Answer)
_TEXT: Final = Decoder(str)
_NUMBER: Final = Decoder(int)


class _Output:
    """The lines of an output with their places, and what is new of what they say."""

    def __init__(self, at: int, known: int) -> None:
        self._lines = Lines()
        #: The end of the line that is taken in.
        self.at = at
        self._known = known
        self._events: list[ChatEvent] = []

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that end in a piece."""
        *whole, begun = data.split(b"\n")
        for part in whole:
            self.at += len(part) + 1
            yield from self._lines.feed(part + b"\n")
        self.at += len(begun)
        self._lines.feed(begun)

    def rest(self) -> Iterator[bytes]:
        """The line that has begun, ended here."""
        yield from self._lines.rest()

    @property
    def is_new(self) -> bool:
        """Whether the line that was taken in last was not heard before."""
        return self.at > self._known

    def say(self, event: ChatEvent) -> None:
        """Keeps what a line says, if it was not heard before."""
        if self.is_new:
            self._events.append(event)

    def heard(self) -> Heard:
        """What is new, and up to where whole lines were read."""
        events, self._events = tuple(self._events), []
        return Heard(events=events, upto=self.at - self._lines.held)


class _LinesOfJson:
    """A command's words: each object with a `text` is a reply, all else is its own."""

    def __init__(self, output: "_Output") -> None:
        self._output = output

    def feed(self, data: bytes) -> None:
        """Takes in a piece."""
        for line in self._output.feed(data):
            self._take(line)

    def heard(self) -> Heard:
        """What is new."""
        return self._output.heard()

    def spoken(self) -> tuple[str | None, ...]:
        """Its words are whole when they come."""
        return ()

    def close(self, last: LastWords) -> None:
        """A last line may lack its end, if it is whole otherwise."""
        del last
        for line in self._output.rest():
            self._take(line)

    def _take(self, line: bytes) -> None:
        found, _ = objects(line, _ANSWER)
        for answer in found:
            text = piece(answer.text, _TEXT)
            if text is None:
                continue
            to = piece(answer.reply_to, _NUMBER)
            self._output.say(ChatEvent(kind="reply", text=as_said(text), reply_to=to))


class _Result(Struct, frozen=True):
    """A line of the client's, as far as it says which turn it belongs to."""

    type: Raw = Raw()
    uuid: Raw = Raw()
    isReplay: Raw = Raw()  # noqa: N815 - the client's name
    user_message_uuid: Raw = Raw()
    terminal_reason: Raw = Raw()
    result: Raw = Raw()


_RESULT: Final = Decoder(_Result)
_TRUTH: Final = Decoder(bool)
#: Its turn was ended by an interrupt: whoever asked for that has answered the message.
_INTERRUPTED: Final = "aborted"


class _Turns:
    """What a client says that is kept open: a line of type `result` ends each turn.

    It repeats each message that it begins with, by the name that it was given, so an
    answer is known to be that message's: other turns are the client's own affair.
    """

    def __init__(self, output: _Output) -> None:
        self._output = output
        self._client = Claude(Usage())
        self._pieces = Pieces()
        self._asked: int | None = None
        self._session: str | None = None

    def feed(self, data: bytes) -> None:
        """Takes in a piece."""
        for line in self._output.feed(data):
            self._take(line)

    def heard(self) -> Heard:
        """What is new."""
        return self._output.heard()

    def spoken(self) -> tuple[str | None, ...]:
        """What it writes of its texts, before they are whole."""
        return self._pieces.taken()

    def close(self, last: LastWords) -> None:
        """A last line may lack its end, if it is whole otherwise."""
        del last
        for line in self._output.rest():
            self._take(line)

    def _take(self, line: bytes) -> None:
        self._client.take(line)
        if self._output.is_new:
            self._pieces.take(line)
        found, _ = objects(line, _RESULT)
        for one in found:
            type_ = piece(one.type, _TEXT)
            if type_ == "user" and piece(one.isReplay, _TRUTH):
                self._asked = number_of(piece(one.uuid, _TEXT))
            elif type_ == "result":
                self._end_turn(one)

    def _end_turn(self, line: _Result) -> None:
        asked = number_of(piece(line.user_message_uuid, _TEXT)) or self._asked
        self._asked = None
        told = self._client.told
        if told.session is not None and told.session != self._session and told.answered:
            self._session = told.session
            self._output.say(ChatEvent(kind="session", text=told.session))
        reason = piece(line.terminal_reason, _TEXT) or ""
        if told.end is None or reason.startswith(_INTERRUPTED):
            return
        event = end_of_turn(told.end, piece(line.result, _TEXT) or "", asked)
        if event is not None:
            self._output.say(event)


class _OneTurn:
    """What a client says that runs once for each message: its last words.

    Its end is a place in its output, too, one byte behind all of it: even what has
    said nothing is heard once.
    """

    def __init__(self, at: int, known: int) -> None:
        self._at = at
        self._known = known
        self._kept = bytearray()
        self._events: tuple[ChatEvent, ...] = ()

    def feed(self, data: bytes) -> None:
        """Takes in a piece."""
        self._at += len(data)
        room = _MOST_KEPT - len(self._kept)
        if room > 0:
            self._kept += data[:room]

    def heard(self) -> Heard:
        """Nothing before its end."""
        events, self._events = self._events, ()
        return Heard(events=events, upto=self._at)

    def spoken(self) -> tuple[str | None, ...]:
        """Its words are whole when they come."""
        return ()

    def close(self, last: LastWords) -> None:
        """Its last message is the answer, or all of its output where that is plain."""
        self._at += 1
        if self._at <= self._known:
            return
        report = last.report
        if report is None:
            if last.exit_code == 0:
                text = self._kept.decode("utf-8", "replace").strip()
                self._events = (_answer(text, None),)
            return
        events = []
        if report.session is not None and report.answered:
            events.append(ChatEvent(kind="session", text=report.session))
        if report.end is not None and not _is_cut(report.end, last.exit_code):
            event = end_of_turn(report.end, last.said, None)
            events += [event] if event is not None else []
        elif report.end is None and last.exit_code == 0:
            events.append(_answer("", None))
        self._events = tuple(events)


def end_of_turn(end: ClientEnd, text: str, asked: int | None) -> ChatEvent | None:
    """The answer that a turn has ended with.

    Null where a provider, a login or the session has failed: the message waits.
    """
    if end.kind in WELL:
        return _answer(text.strip(), asked)
    if end.kind in NOT_THE_MESSAGES:
        return None
    words = end.message or end.kind.value
    return ChatEvent(kind="error", text=as_said(words), reply_to=asked)


def number_of(name: str | None) -> int | None:
    """The message that a client calls by a name; null for what is none of ours."""
    match = _NAME.fullmatch(name or "")
    return int(match[1], 16) if match else None


def _answer(text: str, asked: int | None) -> ChatEvent:
    if text:
        return ChatEvent(kind="reply", text=as_said(text), reply_to=asked)
    return ChatEvent(kind="error", text=_MUTE, reply_to=asked)


def _is_cut(end: ClientEnd, exit_code: int | None) -> bool:
    """Whether it has crashed in the middle, which is not the message's answer."""
    return end.kind is EndKind.CUT and exit_code != 0


def as_said(text: str) -> str:
    """A text as it is kept: without NUL characters and lone surrogates, and cut."""
    if len(text) > MOST_SAID:
        text = text[:MOST_SAID] + _CUT
    plain = text.encode("utf-8", "replace").decode()
    return plain.replace("\0", "\ufffd")


def _line(message: Struct) -> bytes:
    return _encode(message) + b"\n"
