"""What the reconciler of chats reads in every tick, and what it writes down."""

from collections.abc import Collection
from typing import Final

from workgraph.graph.changes import ChangeKind
from workgraph.graph.chats import (
    Chat,
    ChatEvent,
    ChatMessage,
    MessageKind,
    SettleHandler,
)
from workgraph.graph.model import Agent, Record, Task
from workgraph.graph.times import to_rfc3339
from workgraph.store import chats, reads
from workgraph.store.database import Tx
from workgraph.store.rows import decode_task, encode

#: Most projects have none, and pay for no more than this.
ANY: Final = "select 1 from chats limit 1"
#: All others need nothing, whatever the time: nobody is there, nothing waits, and there
#: is no process.
NEEDY: Final = """
select number from chats indexed by chats_handler where handler is not null
union
select chat from chat_messages indexed by chat_messages_waiting
where kind = 'message' and answered_at is null
union
select number from chats where number in (select value from json_each(?))
union
select c.number from chats c indexed by chats_open
where c.archived_at is null and not exists (select 1 from tasks t where t.id = c.task)
order by 1
"""
NOTE_START: Final = """
update chats
set handler = :agent, problem = null, remedy = null, looks = 0, backoff_until = null
where number = :chat
"""
SETTLE: Final = """
update chats
set handler = null, failures = :failures, backoff_until = :backoff_until,
    session = iif(:is_session_lost, null, session),
    answered = max(answered, :is_forgivable)
where number = :chat and handler = :agent
"""
HOLD: Final = """
update chats
set problem = :problem, remedy = :remedy, backoff_until = :until, looks = looks + 1
where number = :chat
"""
LOOK_AT_ALL: Final = """
update chats set backoff_until = null, looks = 0
where archived_at is null and problem is not null
"""
SET_SESSION: Final = """
update chats
set session = ?, session_executor = ?, session_account = ?, session_workspace = ?
where number = ?
"""
#: What its handler was told of counts as told now: it has lived to answer.
NOTE_ANSWERED: Final = """
update chats set answered = 1, told = max(told, telling) where number = ?
"""
#: How far its output was taken in; what was told before is not told again.
NOTE_READ: Final = """
update agents set output_read = :read where number = :agent and output_read < :read
"""
LIVE_HANDLERS: Final = """
select c.handler from chats c indexed by chats_handler
join agents a on a.number = c.handler
where c.handler is not null and a.status <> 'ended'
"""
ENDED_HANDLERS: Final = """
select c.handler from chats c indexed by chats_handler
join agents a on a.number = c.handler
where c.handler is not null and a.status = 'ended'
"""


class Hold(Record, frozen=True, kw_only=True):
    """Why a chat can't be answered now, and when that is looked at again."""

    problem: str
    remedy: str | None
    until: int


def needy(tx: Tx, used: Collection[int]) -> list[int]:
    """The chats for which something may have to be done, by number.

    Args:
        tx: The transaction.
        used: Those in which somebody is.
    """
    if tx.one(ANY) is None:
        return []
    return [row[0] for row in tx.rows(NEEDY, (encode(tuple(used)).decode(),))]


def find_node(tx: Tx, task: str) -> Task | None:
    """A chat's task; null: it is not in the graph."""
    row = tx.one(reads.TASK_BY_ID, (task,))
    return None if row is None else decode_task(row)


def live_handlers(tx: Tx) -> list[int]:
    """The handlers whose processes have not ended."""
    return [row[0] for row in tx.rows(LIVE_HANDLERS)]


def ended_handlers(tx: Tx) -> list[int]:
    """The handlers that have ended, and were not settled."""
    return [row[0] for row in tx.rows(ENDED_HANDLERS)]


def note_start(tx: Tx, chat: Chat, agent: int) -> None:
    """An agent answers from now on; nothing keeps the chat back any more."""
    tx.run(NOTE_START, {"chat": chat.number, "agent": agent})


def settle(tx: Tx, chat: Chat, decision: SettleHandler) -> None:
    """A handler's end is dealt with: the session is free, what it had waits again."""
    if not tx.run(
        SETTLE,
        {
            "chat": chat.number,
            "agent": decision.agent,
            "failures": decision.failures,
            "backoff_until": decision.backoff_until,
            "is_session_lost": decision.is_session_lost,
            "is_forgivable": decision.is_forgivable,
        },
    ):
        return
    name = f"agent-{decision.agent}"
    if decision.crashed:
        until = to_rfc3339(decision.backoff_until) if decision.backoff_until else None
        tx.emit(
            ChangeKind.CHAT_CRASHED,
            task=chat.task,
            agent=name,
            to=until,
            reason=decision.reason,
        )
    if decision.message is None:
        return
    if decision.set_aside is not None:
        chats.answer(
            tx, chat, decision.message, "error", decision.set_aside, by="workgraph"
        )
    else:
        chats.give_back(tx, decision.message, counts=decision.counts)


def hold(tx: Tx, chat: Chat, found: Hold) -> None:
    """Nothing can be started: that is told once, and looked at again later."""
    tx.run(
        HOLD,
        {
            "chat": chat.number,
            "problem": found.problem,
            "remedy": found.remedy,
            "until": found.until,
        },
    )
    if found.problem != chat.problem:
        tx.emit(ChangeKind.CHAT_HELD, task=chat.task, reason=found.problem)


def look_at_all(tx: Tx) -> None:
    """Has what keeps chats from being answered looked at in the next tick."""
    tx.run(LOOK_AT_ALL)


def hear(tx: Tx, agent: Agent, upto: int, events: Collection[ChatEvent]) -> None:
    """Writes down what a handler has said, and how far that goes in its output.

    What lies before that place was written down already, and is not again.
    """
    if not tx.run(NOTE_READ, {"agent": agent.number, "read": upto}):
        return
    chat = chats.of_task(tx, agent.task)
    assert chat is not None
    for event in events:
        _note_event(tx, chat, agent, event)


def _note_event(tx: Tx, chat: Chat, agent: Agent, event: ChatEvent) -> None:
    if event.kind == "session":
        found = (event.text, agent.executor, agent.account, agent.workspace)
        tx.run(SET_SESSION, (*found, chat.number))
        return
    had = _message_of(tx, chat, agent, event)
    if had is None:
        chats.say(tx, chat, "note", event.text, by=agent.id)
        return
    kind: MessageKind = "error" if event.kind == "error" else "reply"
    chats.answer(tx, chat, had.number, kind, event.text, by=agent.id)
    if kind == "reply":
        tx.run(NOTE_ANSWERED, (chat.number,))


def _message_of(
    tx: Tx, chat: Chat, agent: Agent, event: ChatEvent
) -> ChatMessage | None:
    """What a handler's words answer: the message that it has, or nothing.

    Nobody else's words answer it, nor those that name another.
    """
    if event.kind == "note":
        return None
    head = chats.head(tx, chat.number)
    if head is None or head.agent != agent.number:
        return None
    return head if event.reply_to in {None, head.number} else None
