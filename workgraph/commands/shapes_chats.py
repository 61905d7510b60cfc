"""Chats and what is said in them, as `--json` gives them (CONTRACT §3.4)."""

from workgraph.graph.chat_requests import ChatData, ChatMessageData
from workgraph.graph.chats import Chat, ChatMessage, ChatState, chat_id
from workgraph.graph.model import Agent, AgentStatus, Task
from workgraph.graph.times import to_rfc3339


def state_of(
    chat: Chat,
    handler: Agent | None,
    now: int,
    *,
    consumers: int,
    queued: int,
    is_served: bool = True,
) -> ChatState:
    """What a chat does. Pure.

    Args:
        chat: The chat.
        handler: Who answers in it.
        now: The present moment.
        consumers: How many are there.
        queued: How many messages wait.
        is_served: A daemon is there, which starts what is wanted.
    """
    if chat.archived_at is not None:
        return ChatState.ARCHIVED
    if handler is not None and handler.status is not AgentStatus.ENDED:
        starts = handler.status is AgentStatus.STARTING
        return ChatState.STARTING if starts else ChatState.LIVE
    held = chat.problem is not None or (chat.backoff_until or 0) > now
    if held and (consumers or queued):
        return ChatState.BACKING_OFF
    # for a consumer alone not every client has a process
    return ChatState.STARTING if queued and is_served else ChatState.IDLE


def chat_data(
    chat: Chat,
    node: Task | None,
    handler: Agent | None,
    *,
    consumers: int,
    queued: int,
    now: int,
    is_served: bool,
) -> ChatData:
    """A chat with its state; its node may be gone."""
    state = state_of(
        chat, handler, now, consumers=consumers, queued=queued, is_served=is_served
    )
    is_there = handler is not None and handler.status is not AgentStatus.ENDED
    return ChatData(
        id=chat.task,
        name=node.spec.title if node else chat.task,
        state=state,
        consumers=consumers,
        queued=queued,
        last_consumer_at=_moment(chat.last_consumer_at),
        archived_at=_moment(chat.archived_at),
        purged_at=_moment(chat.purged_at),
        backoff_until=_moment(chat.backoff_until),
        executor=node.spec.executor if node else None,
        model=node.spec.model if node else None,
        exec=node.spec.exec if node else None,
        handler=handler.id if handler and is_there else None,
        session=chat.session,
        failures=chat.failures,
        problem=chat.problem,
        remedy=chat.remedy,
        created_at=to_rfc3339(chat.created_at),
        by=chat.by,
    )


def message_data(message: ChatMessage) -> ChatMessageData:
    """Something that was said."""
    return ChatMessageData(
        id=message.number,
        chat=chat_id(message.chat),
        at=to_rfc3339(message.at),
        by=message.by,
        kind=message.kind,
        text=message.text,
        reply_to=message.reply_to,
        waiting=message.kind == "message" and message.answered_at is None,
    )


def _moment(at: int | None) -> str | None:
    return None if at is None else to_rfc3339(at)
