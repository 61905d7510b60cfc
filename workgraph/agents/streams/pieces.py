"""What claude writes of a text before it is whole, from its partial messages."""

from typing import Final

from msgspec import Raw, Struct
from msgspec.json import Decoder

from workgraph.agents.streams.lines import objects, piece

_MARK: Final = b'"stream_event"'


class _Line(Struct, frozen=True):
    type: str = ""
    event: Raw = Raw()
    parent_tool_use_id: Raw = Raw()


class _Delta(Struct, frozen=True):
    type: str = ""
    text: str = ""


class _Event(Struct, frozen=True):
    type: str = ""
    delta: _Delta | None = None


_LINE: Final = Decoder(_Line)
_EVENT: Final = Decoder(_Event)
_TEXT: Final = Decoder(str)


class Pieces:
    """The pieces of texts in the lines of a stream, since the last time it was asked.

    Null stands before the first piece of another text.
    """

    def __init__(self) -> None:
        self._taken: list[str | None] = []

    def take(self, line: bytes) -> None:
        """Takes in a line; most have nothing of this."""
        if _MARK not in line:
            return
        found, _ = objects(line, _LINE)
        for one in found:
            helper = piece(one.parent_tool_use_id, _TEXT)
            event = piece(one.event, _EVENT)
            if one.type != "stream_event" or helper or event is None:
                continue
            if event.delta is not None and event.delta.type == "text_delta":
                self._taken.append(event.delta.text)
            elif event.type == "message_start":
                # not where the text ends: it is read while a tool runs
                self.end()

    def end(self) -> None:
        """What comes next is another text."""
        if not self._taken or self._taken[-1] is not None:
            self._taken.append(None)

    def taken(self) -> tuple[str | None, ...]:
        """What is new."""
        taken, self._taken = tuple(self._taken), []
        return taken
