"""Requests about prompts."""

from workgraph.graph.model import Record
from workgraph.graph.task_options import Request


class GetContext(Request, frozen=True, kw_only=True, tag="context"):
    """What an agent would be told now, or what one was told."""

    task: str | None = None
    #: `agent-17` or `17`: what that one was given.
    agent: str | None = None
    #: Block by block, not the text.
    explain: bool = False
    #: As whom.
    actor: str | None = None


class BlockData(Record, frozen=True, kw_only=True):
    """A block of a prompt."""

    name: str
    source: str
    #: The estimate of the text up to its end, less that up to its start.
    tokens: int
    cut: bool
    sha256: str
    #: What it would have taken whole.
    whole: int


class ContextData(Record, frozen=True, kw_only=True):
    """A prompt (CONTRACT §3.4)."""

    task: str
    limit: int
    tokens: int
    #: Null where what was given is not there any more.
    text: str | None
    blocks: tuple[BlockData, ...]
    #: Whose it was; null where it is what the next one would be given.
    agent: str | None = None
