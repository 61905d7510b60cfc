"""Messages to whoever works on a task: the nouns, what is asked, what is answered."""

from typing import Literal

from workgraph.graph.model import Record
from workgraph.graph.task_options import Request

MessageKind = Literal["message", "question", "answer"]


class Message(Record, frozen=True, kw_only=True):
    """What somebody has said to whoever works on a task.

    A question goes the other way: an agent asks it, and a person answers.
    """

    number: int
    task: str
    at: int
    by: str
    #: The agent whose word it is; null for an operator's.
    agent: str | None = None
    kind: MessageKind = "message"
    #: The number of the question that it answers, and that in words.
    reply_to: int | None = None
    question: str | None = None
    text: str


class Receipt(Record, frozen=True, kw_only=True):
    """What has become of a message with one agent."""

    message: int
    #: The number of an agent.
    agent: int
    #: It was told that there is one.
    told_at: int | None = None
    #: It was given the text, by its prompt or by a listing.
    read_at: int | None = None
    #: It was done with it.
    acknowledged_at: int | None = None


class Notice(Record, frozen=True, kw_only=True):
    """A message that an agent has not heard of."""

    number: int
    by: str


class SendMessage(Request, frozen=True, kw_only=True, tag="msg"):
    """A message to whoever works on a task; or lists them, or says that one is done.

    One of `text`, `list`, `ack` and `ack_all`.
    """

    task: str | None = None
    text: str | None = None
    list: bool = False
    #: Numbers of messages that an attempt is done with.
    ack: tuple[int, ...] = ()
    #: All that it was given.
    ack_all: bool = False


class GetInbox(Request, frozen=True, kw_only=True, tag="inbox"):
    """What waits for a person; with `actor` for that one."""

    actor: str | None = None


class ReceiptData(Record, frozen=True, kw_only=True):
    """What has become of a message with one attempt."""

    agent: str
    attempt: int
    told_at: str | None
    read_at: str | None
    acknowledged_at: str | None


class MessageData(Record, frozen=True, kw_only=True):
    """A message, and what has become of it."""

    number: int
    task: str
    at: str
    by: str
    agent: str | None
    kind: str
    reply_to: int | None
    text: str
    #: No attempt was given it. A question is for persons.
    unread: bool
    receipts: tuple[ReceiptData, ...] = ()


class InboxData(Record, frozen=True, kw_only=True):
    """Something that a person has to do, and the commands that do it."""

    #: `question`, `review`, `assigned`, `reserved`, `held`, `failed` or `claimed`.
    kind: str
    task: str
    title: str
    since: str
    #: Whose it is; null: any operator's.
    actor: str | None
    #: The question, the reason, in words; may have several lines.
    text: str
    commands: tuple[str, ...]
    #: How many more tasks are held by the same, or wait for this one.
    more: int = 0
