"""The lines of an export that a chat is, and what was said in it."""

from typing import Annotated

from msgspec import Meta

from workgraph.commands.line_base import Count, LineBase
from workgraph.commands.message_line import Number
from workgraph.graph.chats import MessageKind

#: From 0 on: what was `.coordinator` has that.
ChatNumber = Annotated[int, Meta(ge=0, le=10**12)]


class ChatLine(LineBase, frozen=True, kw_only=True, tag="chat"):
    """A conversation; its name, executor, model and command are in its task's line.

    Who answers, and in which session, is the machine's, and stays.
    """

    number: ChatNumber
    created_at: str | None = None
    by: str | None = None
    last_consumer_at: str | None = None
    failures: Count = 0
    backoff_until: str | None = None
    #: A message was answered since the last crash was forgotten.
    answered: bool = False
    archived_at: str | None = None
    purged_at: str | None = None


class ChatMessageLine(LineBase, frozen=True, kw_only=True, tag="chat_message"):
    """Something that was said in a chat. One that was on its way waits again."""

    number: Number | None = None
    #: The chat's number.
    chat: ChatNumber
    at: str | None = None
    by: str | None = None
    #: `kind` says which line it is.
    type: MessageKind = "message"
    reply_to: Number | None = None
    text: str
    #: Handlers that have ended with it.
    deliveries: Count = 0
    #: Of a message: when it was answered, or set aside.
    answered_at: str | None = None
