"""What a client says of itself in its stream: what it does, what it cost, how it ended.

A stream is read while the agent runs. What it says of its end decides before its exit
status does, because clients exit with 0 after an error, and with 1 for anything.
"""

from workgraph.graph.model import ClientEnd, EndKind, Record, Usage
from workgraph.graph.times import SECOND

__all__ = ["ClientEnd", "EndKind", "Report", "wait_of"]


class Report(Record, frozen=True, kw_only=True):
    """All that a stream has said so far; absent is what it has not said."""

    #: What the client calls its conversation, to go on with it later.
    session: str | None = None
    #: The model that answers.
    model: str | None = None
    #: What this run has used so far.
    usage: Usage = Usage()
    #: A model has answered, at least once.
    answered: bool = False
    #: The tool that it uses just now, in a few words.
    tool: str | None = None
    #: The last message in plain words, cut to a kilobyte.
    said: str | None = None
    #: What was not allowed, each in a few words.
    denied: tuple[str, ...] = ()
    #: What it tries again just now by itself; null when it has got over it.
    trouble: ClientEnd | None = None
    #: How it ended; null while it goes on.
    end: ClientEnd | None = None


def wait_of(end: ClientEnd, now: int) -> int:
    """How long the provider says that it is to be left alone, in microseconds."""
    if end.retry_at is not None:
        return max(end.retry_at - now, 0)
    return int((end.retry_after_s or 0) * SECOND)
