"""What an agent has written, as people are shown it: plain, or made from its stream."""

import os
from collections.abc import Callable
from typing import Final, Protocol

from workgraph.agents.streams.readable import Readable
from workgraph.graph.model import Agent, Usage
from workgraph.store import clients
from workgraph.store.database import Tx

#: How much is answered at once, from the end; and how much of a stream is read for it,
#: as less is shown of one than there is.
_MOST: Final = 8 * 1024 * 1024
_MOST_OF_STREAM: Final = 32 * 1024 * 1024
#: A line that is longer is shown in pieces.
_LONGEST_LINE: Final = 64 * 1024


class Shown(Protocol):
    """Bytes as they come to text that is shown."""

    def feed(self, data: bytes) -> str:
        """What can be shown of it now."""

    def rest(self, *, ended: bool) -> str:
        """What was held back, as nothing has come for a while.

        Args:
            ended: Nothing will come any more.
        """


class Lines:
    """Shows plain text, in whole lines where that is possible.

    What is hidden of a line, and what is one character of it, could be cut in two
    otherwise.
    """

    def __init__(self, clean: Callable[[str], str]) -> None:
        self._clean = clean
        self._held = b""

    def feed(self, data: bytes) -> str:
        """What can be shown of it now; an unfinished line is held back."""
        data = self._held + data
        end = data.rfind(b"\n") + 1
        if len(data) - end > _LONGEST_LINE:
            end = len(data)
        self._held = data[end:]
        return self._clean(data[:end].decode("utf-8", "replace"))

    def rest(self, *, ended: bool) -> str:
        """What was held back, whether or not the line goes on."""
        del ended
        held, self._held = self._held, b""
        return self._clean(held.decode("utf-8", "replace"))


def shown_as(tx: Tx, agent: Agent, clean: Callable[[str], str]) -> Shown:
    """What an agent's output is shown through.

    Args:
        tx: The transaction.
        agent: Whose it is.
        clean: What is done to each text before it is shown.
    """
    stream, resumed = clients.stream_of(tx, agent.number)
    if stream == "text":
        return Lines(clean)
    earlier = Usage()
    if resumed is not None:
        earlier = clients.usage_of_session(tx, resumed, agent.number)
    return Readable(stream, earlier, clean)


def read_output(
    path: str, shown: Shown | None, clean: Callable[[str], str], *, ended: bool
) -> tuple[str, str | None]:
    """The end of an output, and of standard error where that is apart; it blocks.

    Args:
        path: Of the output.
        shown: What it is shown through; null: as it is.
        clean: What is done to standard error, unless all is shown as it is.
        ended: Whether the agent has, so that nothing more will come.
    """
    errors, _ = _tail(os.path.join(os.path.dirname(path), "stderr.log"), _MOST)
    most = _MOST_OF_STREAM if isinstance(shown, Readable) else _MOST
    output, is_whole = _tail(path, most)
    if shown is None:
        as_is = None if errors is None else errors.decode("utf-8", "replace")
        return (output or b"").decode("utf-8", "replace"), as_is
    output = output or b""
    if not is_whole and isinstance(shown, Readable):
        # Half a line of a stream is no text.
        output = output.partition(b"\n")[2]
    text = shown.feed(output) + shown.rest(ended=ended)
    if len(text) > _MOST:
        text = text[-_MOST:].partition("\n")[2]
    said = None if errors is None else clean(errors.decode("utf-8", "replace"))
    return text, said


def _tail(path: str, most: int) -> tuple[bytes | None, bool]:
    """The end of a file, and whether that is all of it; null if there is none."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - most, 0))
            return file.read(), size <= most
    except FileNotFoundError:
        return None, True
