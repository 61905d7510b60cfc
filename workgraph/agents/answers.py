"""What an agent has answered: the JSON object that its output ends with. Pure."""

import json
from collections.abc import Iterator
from typing import Final

from workgraph.agents.streams.reader import make_reader
from workgraph.graph.model import Usage
from workgraph.settings import Stream

#: How much of plain text is looked at, from its end.
MOST_TEXT: Final = 64 * 1024
#: How much of a structured stream: a line of it has more around its words.
MOST_STREAM: Final = 2 * 1024 * 1024
_FENCE: Final = "```"


def most_of(stream: Stream) -> int:
    """How many bytes of an output are looked at, from its end."""
    return MOST_TEXT if stream == "text" else MOST_STREAM


def last_words(stream: Stream, out: bytes) -> str:
    """What an agent has said last, as text: of a stream, its client's last message.

    Args:
        stream: What it prints.
        out: The end of its standard output, cut anywhere.
    """
    reader = make_reader(stream, Usage())
    if reader is None:
        return out[-MOST_TEXT:].decode("utf-8", "replace")
    reader.feed(out)
    reader.close(0, None)
    return reader.last_message


def find_object(text: str) -> str | None:
    """The last line of a text that is a JSON object, as it stands there.

    An object over several lines counts where a fence (```) is around it.
    """
    for candidate in _candidates(text):
        if _is_object(candidate):
            return candidate
    return None


def _candidates(text: str) -> Iterator[str]:
    """What could be one, the last first."""
    lines = text.splitlines()
    closing: int | None = None
    for number in range(len(lines) - 1, -1, -1):
        line = lines[number].strip()
        if line.startswith(_FENCE):
            if closing is not None:
                yield "\n".join(lines[number + 1 : closing]).strip()
            closing = number
        elif line.startswith("{"):
            yield line


def _is_object(text: str) -> bool:
    if not (text.startswith("{") and text.endswith("}")):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
