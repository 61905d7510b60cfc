"""Messages to whoever works on a task, and what has become of them."""

from typing import Literal

from workgraph.graph.model import Record

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
