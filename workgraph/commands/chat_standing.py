"""How chats stand: one of them, and all of them together."""

from collections import Counter
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from workgraph.commands.context import Context
from workgraph.commands.shapes_chats import chat_data
from workgraph.graph.chat_requests import ChatData, ChatsData
from workgraph.graph.chats import Chat, ChatState
from workgraph.store import agent_reads, chats, reads, service
from workgraph.store.database import Tx

_NO_DAEMON: Final = "no daemon is running, so nobody answers"
_FROZEN: Final = "the service is frozen: handlers stand still, and none are started"


def describe_chat(context: Context, task: str) -> ChatData | None:
    """How the chat stands that a task is; null for work."""
    chat = chats.of_task(context.tx, task)
    return None if chat is None else stand_of(context, chat)


def stand_of(context: Context, chat: Chat) -> ChatData:
    """How a chat stands."""
    return _stand(
        context.tx,
        chat,
        context.ask_consumers(chat.number),
        is_served=context.is_served,
    )


def all_chats(
    tx: Tx, ask_consumers: Callable[[int], int], *, is_served: bool
) -> ChatsData:
    """All chats by what they do, and those that can't answer.

    Args:
        tx: The transaction.
        ask_consumers: How many are connected to a chat, by its number.
        is_served: A daemon is there, which starts what is wanted.
    """
    found = [
        _stand(tx, chat, ask_consumers(chat.number), is_served=is_served)
        for chat in chats.list_usable(tx)
    ]
    counts = Counter({str(state): 0 for state in ChatState})
    counts.update(one.state for one in found)
    counts[ChatState.ARCHIVED] = chats.count_archived(tx)
    return ChatsData(
        counts=dict(counts),
        consumers=sum(one.consumers for one in found),
        queued=sum(one.queued for one in found),
        backing_off=tuple(one for one in found if one.state == ChatState.BACKING_OFF),
    )


def _stand(tx: Tx, chat: Chat, consumers: int, *, is_served: bool) -> ChatData:
    handler = None
    if chat.handler is not None:
        handler = agent_reads.by_number(tx, chat.handler)
    data = chat_data(
        chat,
        reads.task(tx, chat.task) if reads.is_taken(tx, chat.task) else None,
        handler,
        consumers=consumers,
        queued=chats.count_waiting(tx, chat.number),
        now=tx.now,
        is_served=is_served,
    )
    if chat.archived_at is not None or not (data.queued or data.consumers):
        return data
    if not is_served:  # whatever else keeps it, that comes first
        return replace(data, problem=_NO_DAEMON, remedy="wg service start")
    if service.frozen_since(tx) is not None:
        return replace(data, problem=_FROZEN, remedy="wg service thaw")
    return data
