"""What the reconciler of chats reads in every tick, and what it writes down."""

from collections.abc import Collection, Iterable, Mapping
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
from workgraph.graph.times import Duration, to_rfc3339
from workgraph.store import chats
from workgraph.store.database import Tx
from workgraph.store.rows import (
    AGENT_COLUMNS,
    TASK_COLUMNS,
    decode_agent,
    decode_task,
    encode,
)

#: Most projects have none, and pay for no more than this.
ANY: Final = "select 1 from chats limit 1"
#: Chats for which something may have to be done, and when each is to be looked at; a
#: null says: not by time alone. All others need nothing, whatever the time: nobody is
#: there, nothing waits, and there is no process. It may say a moment that is too soon,
#: but none that is too late: what is to be done then, `reactors.chats` decides alone.
NEEDY: Final = """
with needy (number) as (
    select number from chats indexed by chats_handler where handler is not null
    union
    select chat from chat_messages indexed by chat_messages_waiting
    where kind = 'message' and answered_at is null
    union
    select number from chats where number in (select value from json_each(:used))
    union
    select c.number from chats c indexed by chats_open
    where c.archived_at is null
      and not exists (select 1 from tasks t where t.id = c.task)
)
select c.number, case
    when c.archived_at is not null or t.id is null then 0
    when c.handler is null then coalesce(c.backoff_until, 0)
    when a.status <> 'working' then 0
    when m.agent = c.handler then m.delivered_at + :turn_limit
    when m.number is not null then 0
    when c.handler not in (select value from json_each(:inputs)) then 0
    when c.number in (select value from json_each(:used)) then null
    else coalesce(c.last_consumer_at, 0) + :idle_after
end
from needy y
join chats c on c.number = y.number
left join tasks t on t.id = c.task
left join agents a on a.number = c.handler
left join chat_messages m on m.number = (
    select min(w.number) from chat_messages w indexed by chat_messages_waiting
    where w.chat = c.number and w.kind = 'message' and w.answered_at is null
)
order by c.number
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
NODES: Final = f"""
select {TASK_COLUMNS} from tasks t where t.id in (select value from json_each(?))
"""  # noqa: S608 - constants
HANDLERS: Final = f"""
select json_extract(a.plan, '$.stdin.value') = 'pipe', {AGENT_COLUMNS} from agents a
where a.number in (select value from json_each(?))
"""  # noqa: S608 - constants
QUEUES: Final = f"""
select q.size, {chats.MESSAGE_COLUMNS}
from (
    select min(number) as head, count(*) as size
    from chat_messages indexed by chat_messages_waiting
    where chat in (select value from json_each(?))
      and kind = 'message' and answered_at is null
    group by chat
) q
join chat_messages m on m.number = q.head
"""  # noqa: S608 - constants
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


class Used(Record, frozen=True, kw_only=True):
    """What of chats is known to the daemon alone, and what is set for all of them."""

    #: How many are connected to each chat, by its number.
    consumers: Mapping[int, int]
    #: The agents that this daemon can write to.
    inputs: Collection[int]
    idle_after: Duration
    #: How long one message may take.
    turn_limit: Duration


class Needy(Record, frozen=True, kw_only=True):
    """The chats for which something may have to be done."""

    #: Those that are to be looked at now, by their numbers.
    due: tuple[int, ...] = ()
    #: When the first of the others is to be; null: time alone brings nothing.
    rest_until: int | None = None


class Found(Record, frozen=True, kw_only=True):
    """A chat with all that its rows say of it."""

    chat: Chat
    #: Its task; null: it is not in the graph.
    node: Task | None
    handler: Agent | None
    #: The handler reads one message after the other.
    is_kept_open: bool
    queued: int
    head: ChatMessage | None


def needy(tx: Tx, used: Used) -> Needy:
    """Which chats may need something now, and when others may."""
    if tx.one(ANY) is None:
        return Needy()
    named = {
        "used": _list(used.consumers),
        "inputs": _list(used.inputs),
        "idle_after": used.idle_after.micros,
        "turn_limit": used.turn_limit.micros,
    }
    timed = [row for row in tx.rows(NEEDY, named) if row[1] is not None]
    return Needy(
        due=tuple(chat for chat, at in timed if at <= tx.now),
        rest_until=min((at for _, at in timed if at > tx.now), default=None),
    )


def look_up(tx: Tx, numbers: Collection[int]) -> list[Found]:
    """What is known of some chats, by their numbers: four queries for all of them."""
    if not numbers:
        return []
    found = chats.among(tx, numbers)
    nodes = {
        row[1]: row for row in tx.rows(NODES, (_list(chat.task for chat in found),))
    }
    held = _list(chat.handler for chat in found if chat.handler is not None)
    handlers = {row[1]: row for row in tx.rows(HANDLERS, (held,))}
    queues = {row[2]: row for row in tx.rows(QUEUES, (_list(numbers),))}
    return [
        Found(
            chat=chat,
            node=None if node is None else decode_task(node),
            handler=None if handler is None else decode_agent(handler[1:]),
            is_kept_open=handler is not None and bool(handler[0]),
            queued=0 if queue is None else queue[0],
            head=None if queue is None else chats.decode_message(queue[1:]),
        )
        for chat in found
        for node in [nodes.get(chat.task)]
        for handler in [handlers.get(chat.handler or 0)]
        for queue in [queues.get(chat.number)]
    ]


def _list(values: Iterable[object]) -> str:
    """Values as a query takes them: a list in JSON."""
    return encode(tuple(values)).decode()


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
