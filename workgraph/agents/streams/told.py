"""What a stream has said so far, whichever client it is from."""

from typing import Final

from workgraph.agents.streams.kinds import one_line
from workgraph.graph.ends import ClientEnd, EndKind, Report
from workgraph.graph.model import Usage

#: What is kept of the last message, in bytes.
_SAID_BYTES: Final = 1024
_ENDING_CHARS: Final = 65_536
#: What is shown of a tool and its argument, in characters.
_TOOL_CHARS: Final = 80
#: A client that is refused everything it tries is understood after so many.
_MOST_DENIED: Final = 20


class Told:
    """Collects it; each client's module says what its lines mean."""

    def __init__(self) -> None:
        self.session: str | None = None
        self.model: str | None = None
        self.usage = Usage()
        self.answered = False
        self.said: str | None = None
        #: The last message again, by its end: what is asked for as JSON stands there.
        self.ending = ""
        self.denied: list[str] = []
        self.trouble: ClientEnd | None = None
        self.end: ClientEnd | None = None
        self._tools: dict[str, str] = {}

    def answer(self) -> None:
        """A model has answered: whatever was in the way is no longer."""
        self.answered = True
        self.trouble = None

    def say(self, text: str) -> None:
        """Keeps a message, if there is anything in it."""
        if text.strip():
            self.said = cut(text, _SAID_BYTES)
            self.ending = text[-_ENDING_CHARS:]

    def say_more(self, text: str) -> None:
        """Adds to the last message."""
        self.ending = (self.ending + text)[-_ENDING_CHARS:]
        if self.said is None or len(self.said.encode()) < _SAID_BYTES:
            self.said = cut((self.said or "") + text, _SAID_BYTES)

    def begin_tool(self, tool: str, words: str) -> None:
        """A tool is used from now on, known by an id."""
        self._tools[tool] = tool_words(words)

    def return_tool(self, tool: str) -> None:
        """It has returned."""
        self._tools.pop(tool, None)

    def deny(self, words: str) -> None:
        """Something was not allowed."""
        words = tool_words(words)
        if words not in self.denied and len(self.denied) < _MOST_DENIED:
            self.denied.append(words)

    def finish(self, end: ClientEnd | None = None) -> None:
        """It has ended; null: well, or as well as what it was denied lets it."""
        if end is None:
            kind = EndKind.DENIED if self.denied else EndKind.FINISHED
            words = ", ".join(self.denied) if self.denied else self.said
            end = ClientEnd(kind=kind, message=one_line(words or ""))
        self.end = end
        self.trouble = None
        self._tools.clear()

    def go_on(self) -> None:
        """It was not the end: another turn has begun."""
        self.end = None

    def report(self) -> Report:
        """All of it as one value."""
        tool = next(reversed(self._tools.values()), None)
        return Report(
            session=self.session,
            model=self.model,
            usage=self.usage,
            answered=self.answered,
            tool=tool,
            said=self.said,
            denied=tuple(self.denied),
            trouble=self.trouble,
            end=self.end,
        )


def cut(text: str, size_bytes: int) -> str:
    """The beginning of a text, cut at a character, and without NUL characters."""
    encoded = text[:size_bytes].encode("utf-8", "replace")[:size_bytes]
    return encoded.decode("utf-8", "ignore").replace("\0", "\ufffd")


def tool_words(words: str) -> str:
    """A tool and what it is used on, as far as a line has room for it."""
    return one_line(words, _TOOL_CHARS)
