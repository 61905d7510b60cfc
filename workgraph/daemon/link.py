"""A connection, as those see it who speak over it: `json_lines` and `wg_calls`."""

from typing import Protocol

from workgraph.daemon import streams
from workgraph.daemon.call import Handler
from workgraph.daemon.peer import Peer
from workgraph.logs import Logger


class Around(Protocol):
    """What the connections of a server have in common."""

    handler: Handler
    log: Logger

    @property
    def arrival_s(self) -> float:
        """How long the rest of a line, or of a call, may take to arrive."""
        ...

    @property
    def refusal(self) -> str:
        """What one connection too many is told."""
        ...


class Link(streams.Link, Protocol):
    """One client."""

    peer: Peer
    #: Nothing of it is being answered.
    is_idle: bool
    #: It is one too many.
    is_refused: bool
    #: When this much was received and not used, no more is read.
    read_limit: int
    #: Of a call: told when the client can be written to again.
    streams: streams.Streams | None

    @property
    def clients(self) -> Around:
        """What it shares with the others."""
        ...
