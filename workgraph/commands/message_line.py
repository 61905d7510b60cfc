"""The line of an export that is a message, with what has become of it."""

from typing import Annotated

from msgspec import Meta

from workgraph.commands.line_base import LineBase
from workgraph.graph.messages import MessageKind
from workgraph.graph.model import Record

#: Messages' numbers go on above those that come in, so there has to be room.
Number = Annotated[int, Meta(ge=1, le=10**12)]


class ReceiptRef(
    Record, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What has become of a message with an attempt that is over."""

    agent: str
    told_at: str | None = None
    read_at: str | None = None
    acknowledged_at: str | None = None


class MessageLine(LineBase, frozen=True, kw_only=True, tag="message"):
    """A message to whoever works on a task, a question of that one, or its answer."""

    number: Number | None = None
    task: str
    at: str | None = None
    by: str | None = None
    agent: str | None = None
    #: `kind` says which line it is.
    type: MessageKind = "message"
    reply_to: Number | None = None
    text: str
    receipts: tuple[ReceiptRef, ...] = ()
