"""What is asked about chats, and what is answered (CONTRACT §8, §3.4)."""

from collections.abc import Mapping
from typing import Literal

from msgspec import field

from workgraph.graph.model import Record
from workgraph.graph.task_options import Request


class CreateChat(Request, frozen=True, kw_only=True, tag="create_chat"):
    """Begins a conversation; starts nothing yet."""

    name: str | None = None
    executor: str | None = None
    model: str | None = None
    #: A command that answers in place of a client.
    exec: str | None = None


class PurgeChats(Request, frozen=True, kw_only=True, tag="purge_chats"):
    """Archives every chat and ends every handler; keeps nodes and histories."""

    dry_run: bool = False


class SendToChat(Request, frozen=True, kw_only=True, tag="chat_send"):
    """Queues a message; with `wait` it is answered with the reply."""

    task: str | None = None
    text: str | None = None
    #: A duration: how long the reply is waited for.
    wait: str | None = None
    #: Who says it, of people who are one user; an agent speaks for itself.
    by: str | None = None


class AttachChat(Request, frozen=True, kw_only=True, tag="chat_attach"):
    """A stream of what is said in a chat; a consumer is there while it lasts."""

    task: str | None = None
    #: How many of the last messages come first; null: all.
    last: int | None = None


class ListChats(Request, frozen=True, kw_only=True, tag="chat_list"):
    """All chats; without `all` those that can be used."""

    all: bool = False


class ShowChat(Request, frozen=True, kw_only=True, tag="chat_show"):
    """A chat, and what it does now."""

    task: str | None = None


class GetChatHistory(Request, frozen=True, kw_only=True, tag="chat_history"):
    """All that was said in a chat, or the last of it."""

    task: str | None = None
    last: int | None = None


class ArchiveChat(Request, frozen=True, kw_only=True, tag="chat_archive"):
    """Puts a chat away: its handler is ended, and none is started."""

    task: str | None = None


class RestoreChat(Request, frozen=True, kw_only=True, tag="chat_restore"):
    """Takes a chat up again."""

    task: str | None = None


class InterruptChat(Request, frozen=True, kw_only=True, tag="chat_interrupt"):
    """Stops the turn that runs; the session stays."""

    task: str | None = None
    #: As in `SendToChat`.
    by: str | None = None


#: What changes a chat and is answered in one transaction.
ChatWrite = (
    CreateChat | SendToChat | ArchiveChat | RestoreChat | InterruptChat | PurgeChats
)
ChatRead = ListChats | ShowChat | GetChatHistory
ChatRequest = ChatWrite | ChatRead | AttachChat


class ChatData(Record, frozen=True, kw_only=True):
    """A chat (CONTRACT §3.4)."""

    id: str
    name: str
    #: `idle`, `starting`, `live`, `backing-off` or `archived`.
    state: str
    #: Attached, waiting or watching just now.
    consumers: int
    #: Messages that wait for an answer.
    queued: int
    last_consumer_at: str | None
    archived_at: str | None
    purged_at: str | None
    backoff_until: str | None
    executor: str | None = None
    model: str | None = None
    exec: str | None = None
    #: The agent that answers now.
    handler: str | None = None
    session: str | None = None
    #: Crashes in a row.
    failures: int = 0
    #: What keeps it from being answered, and what can be done about that.
    problem: str | None = None
    remedy: str | None = None
    created_at: str | None = None
    by: str | None = None


class ChatsData(Record, frozen=True, kw_only=True):
    """All chats by what they do."""

    #: By the state; archived ones, too.
    counts: Mapping[str, int] = field(default_factory=dict)
    #: Of those that can be used: attached or waiting, and messages without an answer.
    consumers: int = 0
    queued: int = 0
    #: Those that can't answer just now.
    backing_off: tuple[ChatData, ...] = ()


class ChatMessageData(Record, frozen=True, kw_only=True):
    """Something that was said in a chat."""

    id: int
    chat: str
    at: str
    by: str
    #: `message`, `reply`, `note` (said by the handler, unasked) or `error`.
    kind: str
    text: str
    reply_to: int | None = None
    #: Of a message: it waits for an answer.
    waiting: bool = False


class ChatStandsData(Record, frozen=True, kw_only=True):
    """How a chat stands, told to those who are attached whenever it changes."""

    kind: Literal["state"] = "state"
    chat: str
    name: str
    #: As in `ChatData`.
    state: str
    #: The message that a handler has just now.
    answering: int | None
    queued: int
    consumers: int
    backoff_until: str | None
    problem: str | None
    remedy: str | None


class PartialData(Record, frozen=True, kw_only=True):
    """More of a text that is being said; whole, it comes as a message."""

    kind: Literal["partial"] = "partial"
    chat: str
    reply_to: int | None
    #: Another number is another text.
    part: int
    #: Where in that text this belongs, in characters.
    at: int
    text: str


class SentData(Record, frozen=True, kw_only=True):
    """A message that was queued, and what has answered it."""

    #: Its number.
    id: int
    chat: str
    reply: ChatMessageData | None = None


class PurgedData(Record, frozen=True, kw_only=True):
    """What a purge has archived, or would, and whom it has ended."""

    chats: tuple[str, ...]
    handlers: tuple[str, ...] = ()
    dry_run: bool = False
