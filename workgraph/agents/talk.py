"""What passes between a chat and its handler: messages in, what is said out.

Everything here is pure. A handler is one of three: `exec`, a command that reads and
writes lines of JSON (CONTRACT §8); `open`, a client that is kept open and reads one
message after the other; `turn`, a client that runs once for each message.

What is heard goes up to a place in the output, always the end of a whole line; who
reads on from there hears the rest, and nothing twice.
"""

from collections.abc import Iterator
from typing import Final, Literal, Protocol, assert_never

import msgspec
from msgspec import Raw, Struct
from msgspec.json import Decoder

from workgraph.agents.streams.lines import Lines, objects, piece
from workgraph.graph.chats import ChatEvent
from workgraph.graph.ends import Report

HandlerKind = Literal["exec", "open", "turn"]

#: What is kept of one answer, in characters; the whole is in the handler's output.
MOST_SAID: Final = 500_000
_CUT: Final = "\n[cut here: the rest is in the handler's output.log]"
_encode: Final = msgspec.json.Encoder().encode


class Heard(Struct, frozen=True, kw_only=True):
    """What was said since the last time it was asked."""

    events: tuple[ChatEvent, ...] = ()
    #: Up to where in the output.
    upto: int = 0


class Ear(Protocol):
    """Makes events of a handler's output."""

    def feed(self, data: bytes) -> None:
        """Takes in what standard output goes on with."""

    def heard(self) -> Heard:
        """What is new in whole lines; each event is given once."""

    def close(self, report: Report | None, exit_code: int | None) -> None:
        """Nothing comes any more; `heard` has the last of it afterwards.

        Args:
            report: What its stream has said by its end; null where it has none.
            exit_code: Null when a signal has ended it.
        """


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
        case "open" | "turn":
            raise NotImplementedError
        case _:
            assert_never(kind)


def encode_message(kind: HandlerKind, number: int, text: str) -> bytes:
    """A message as a handler that is kept open reads it: one line.

    Args:
        kind: Which of the three.
        number: The message's.
        text: What is said, with all that the handler is told beside it.
    """
    match kind:
        case "exec":
            return _line(_Said(id=number, text=text))
        case "open" | "turn":
            raise NotImplementedError
        case _:
            assert_never(kind)


class _Said(Struct, frozen=True):
    id: int
    text: str


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

    def say(self, event: ChatEvent) -> None:
        """Keeps what a line says, if it was not heard before."""
        if self.at > self._known:
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

    def close(self, report: Report | None, exit_code: int | None) -> None:
        """A last line may lack its end, if it is whole otherwise."""
        del report, exit_code
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


def as_said(text: str) -> str:
    """A text as it is kept: without NUL characters and lone surrogates, and cut."""
    if len(text) > MOST_SAID:
        text = text[:MOST_SAID] + _CUT
    plain = text.encode("utf-8", "replace").decode()
    return plain.replace("\0", "\ufffd")


def _line(message: Struct) -> bytes:
    return _encode(message) + b"\n"
