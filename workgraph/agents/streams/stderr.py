"""What a client has printed on standard error, and what kind of end that tells of.

It is the last that is looked at: for a client that ended before its first line, there
is nothing else.
"""

import re
from collections.abc import Sequence
from typing import Final

from workgraph.agents.streams.kinds import classify, one_line
from workgraph.graph.ends import ClientEnd, EndKind

#: What is kept: the first lines name a mistake in front of a page of help, the last
#: ones what a long run has ended with.
_FIRST_LINES: Final = 10
_LAST_LINES: Final = 30
_LINE_CHARS: Final = 2000
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
#: What gemini prints of itself, whatever happens.
_BANNERS: Final = (
    "Warning: Basic terminal",
    "Warning: 256-color",
    "YOLO mode is enabled",
    "Ripgrep is not available",
    "Approval mode overridden",
    "Warning: --allowed-tools",
)
#: opencode's log, which tells of much that is no end.
_LOGGED: Final = re.compile(r"timestamp=\S+ level=")


class ErrorLines:
    """The lines that are kept."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._last: list[str] = []

    @property
    def lines(self) -> tuple[str, ...]:
        """In order."""
        return (*self._first, *self._last)

    def add(self, line: bytes) -> str:
        """Keeps a line as text, if it says anything; gives it without colours.

        A line of a log is given, and not kept.
        """
        text = _COLOURS.sub("", line.decode("utf-8", "replace")).strip()[:_LINE_CHARS]
        if not text or text.startswith(_BANNERS):
            return ""
        if _LOGGED.match(text):
            return text
        if len(self._first) < _FIRST_LINES:
            self._first.append(text)
        else:
            self._last.append(text)
            del self._last[:-_LAST_LINES]
        return text


def classify_errors(
    lines: Sequence[str], default: EndKind = EndKind.FAILED
) -> ClientEnd:
    """The first line that tells of a kind of end, or the one that looks most like it.

    Args:
        lines: Of standard error, at least one.
        default: What it is when none tells of any.
    """
    for line in lines:
        end = classify(line)
        if end.kind is not EndKind.FAILED:
            return end
    telling = next((line for line in lines if "error" in line.lower()), lines[0])
    return ClientEnd(kind=default, message=one_line(telling))
