"""What holds of chats after every step (CONTRACT §8)."""

from itertools import pairwise

from workgraph.graph.chats import (
    ARCHIVED_TAG,
    MOST_DELIVERIES,
    Chat,
    ChatMessage,
    chat_id,
    chat_number,
)
from workgraph.graph.model import Agent, AgentStatus, Task
from workgraph.graph.status import Status
from workgraph.store import chats
from workgraph.store.database import Tx


def check_chats(tx: Tx, tasks: dict[str, Task], agents: list[Agent]) -> None:
    """Who answers is known, and each message is answered once and in order."""
    found = chats.list_chats(tx)
    by_number = {agent.number: agent for agent in agents}
    for chat in found:
        assert chat.task == chat_id(chat.number), chat
        _check_node(chat, tasks)
        _check_handler(chat, by_number)
        _check_said(chat, chats.history(tx, chat.number))
    handlers = {chat.handler for chat in found}
    for agent in agents:
        if chat_number(agent.task) is None or agent.human:
            continue
        is_live = agent.status is not AgentStatus.ENDED
        assert not is_live or agent.number in handlers, f"{agent.id} is nobody's"
        assert (agent.timeout_at, agent.stall_at) == (None, None), f"{agent.id}: limits"
        holder = tasks[agent.task].claimed_by
        assert holder != agent.id, f"{agent.id} holds {agent.task}"


def _check_node(chat: Chat, tasks: dict[str, Task]) -> None:
    """Archived is the row, the status and the tag, or none of them."""
    assert chat.purged_at is None or chat.archived_at is not None, chat
    task = tasks.get(chat.task)
    if task is None:
        return
    is_archived = chat.archived_at is not None
    assert (task.status is Status.DONE) == is_archived, f"{chat}: {task.status}"
    assert (ARCHIVED_TAG in task.spec.tags) == is_archived, f"{chat}: {task.spec.tags}"
    assert is_archived or task.parked is not None, f"{chat.task} could be started"


def _check_handler(chat: Chat, agents: dict[int, Agent]) -> None:
    if chat.handler is not None:
        assert agents[chat.handler].task == chat.task, f"{chat} is answered by another"


def _check_said(chat: Chat, said: list[ChatMessage]) -> None:
    """One is on its way at a time, the first; answers come once, and in order."""
    messages = {one.number: one for one in said if one.kind == "message"}
    waiting = [one for one in messages.values() if one.answered_at is None]
    for one in messages.values():
        assert one.deliveries <= MOST_DELIVERIES, one
        if one.agent is not None:
            assert one is waiting[0], f"{one} is on its way, and not the first"
            assert one.agent == chat.handler, f"{one} is on its way to nobody"
            assert one.delivered_at is not None, one
    answers = [one for one in said if one.kind in {"reply", "error"}]
    answered = [one.reply_to for one in answers]
    wanted = [one.number for one in messages.values() if one.answered_at is not None]
    assert sorted(answered, key=lambda n: n or 0) == wanted, f"{answered}, {wanted}"
    for before, after in pairwise(answered):
        assert (before or 0) < (after or 0), f"answered out of order: {answered}"
