"""What handlers are saying just now, for those who are attached: never state.

Committed words are read from the graph; what is here is only what a client writes of a
reply before it is whole. For each chat one text is kept, from the last `finish` on, and
each reader has a place in it: one that is slow reads more at once, one that comes late
reads it from its beginning, and nobody is waited for.
"""

from collections.abc import Iterable
from typing import Final

import anyio

from workgraph.graph.changes import Change, ChangeKind
from workgraph.graph.chats import chat_number
from workgraph.graph.model import Record

#: What is kept of one unfinished text, in characters; the rest comes when it is whole.
MOST_PARTIAL: Final = 256 * 1024
#: What ends a turn, as `chat_said` has it.
_ENDS_TURN: Final = frozenset({"reply", "error"})


class Partial(Record, frozen=True, kw_only=True):
    """What has come of an unfinished text since a reader's last look."""

    #: Which text it is, among all of its chat since the daemon began.
    part: int
    #: Where in that text this begins.
    at: int
    text: str


class _Said:
    """What is being said in one chat."""

    __slots__ = ("part", "text")

    def __init__(self) -> None:
        self.part = 0
        self.text = ""


class Feed:
    """Unfinished texts by chat, and a bell for each chat."""

    def __init__(self) -> None:
        self._said: dict[int, _Said] = {}
        self._bells: dict[int, anyio.Event] = {}

    def bell(self, chat: int) -> anyio.Event:
        """Rings when more is said in a chat, or it changes. Take it before reading."""
        return self._bells.setdefault(chat, anyio.Event())

    def publish(self, chat: int, text: str) -> None:
        """A handler has written more of a text; it may never come to its end."""
        said = self._said.setdefault(chat, _Said())
        room = MOST_PARTIAL - len(said.text)
        if text and room > 0:
            said.text += text[:room]
            self.ring(chat)

    def finish(self, chat: int) -> None:
        """That text is whole, or given up: what comes next is another one."""
        said = self._said.get(chat)
        if said is not None and said.text:
            said.part += 1
            said.text = ""

    def since(self, chat: int, part: int, at: int) -> Partial | None:
        """What a reader has not seen of the text that is being said.

        Args:
            chat: The chat.
            part: The text that the reader has read of.
            at: Up to where.
        """
        said = self._said.get(chat)
        if said is None:
            return None
        begin = at if part == said.part else 0
        if begin >= len(said.text):
            return None
        return Partial(part=said.part, at=begin, text=said.text[begin:])

    def ring(self, chat: int) -> None:
        """Wakes those who are in a chat."""
        bell = self._bells.pop(chat, None)
        if bell is not None:
            bell.set()

    def heed(self, changes: Iterable[Change]) -> None:
        """Wakes those in the chats that were changed by a commit.

        What was being said ends with the reply, and with who said it.
        """
        for change in changes:
            if change.task is None or not change.task.startswith("."):
                continue
            number = chat_number(change.task)
            if number is None:
                continue
            if change.kind == ChangeKind.AGENT_ENDED or change.verb in _ENDS_TURN:
                self.finish(number)
            self.ring(number)
