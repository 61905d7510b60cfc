"""Messages, and what has become of each with the agents that they were for.

What an attempt is given follows from rows alone. A message is over for a task when an
attempt has acknowledged it: by its own word, or by ending well after it was given the
text. Until then each new conversation is given it once. A conversation is a client's
session with all that it went on from; what was said to an attempt that no model has
answered, and that has not called `wg`, may not be in it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from workgraph.graph.changes import ChangeKind
from workgraph.graph.messages import Message, MessageKind, Notice, Receipt
from workgraph.graph.model import Agent, Outcome, Task
from workgraph.store import agent_reads
from workgraph.store.database import Row, Tx
from workgraph.store.rows import encode

#: The change log is for what happened; the whole text is in the message.
EXCERPT: Final = 200
#: So many tasks are asked about one by one, more all together.
_FEW: Final = 50
#: Before a list of columns and rows of messages; `conversation` has its sessions.
_CONVERSATION: Final = """
with recursive conversation (session) as (
    select :session
    union
    select a.resumed
    from conversation c join agents a on a.session = c.session
    where a.resumed is not null
)
"""
#: Neither over nor known in the conversation. Questions are for persons.
_IS_NEWS: Final = """
m.task = :task and m.kind <> 'question'
  and not exists (
        select 1
        from message_receipts r join agents a on a.number = r.agent
        where r.message = m.number and (
            r.acknowledged_at is not null
            or r.agent = :agent
            or (r.read_at is not null and (a.answered = 1 or a.heard = 1)
                and a.session in (select session from conversation))))
  and not exists (
        select 1 from agents a
        where a.number = cast(substr(m.agent, 7) as integer)
          and (a.number = :agent
               or a.session in (select session from conversation)))
"""
COLUMNS: Final = """
m.number, m.task, m.at, m.by, m.agent, m.kind, m.reply_to, q.text, m.text
"""
UNREAD: Final = f"""{_CONVERSATION}
select {COLUMNS}
from messages m left join messages q on q.number = m.reply_to
where {_IS_NEWS}
order by m.number
"""  # noqa: S608 - constants
NEWS: Final = f"""{_CONVERSATION}
select m.number, m.by from messages m where {_IS_NEWS} order by m.number
"""  # noqa: S608 - constants
HAS_ANY: Final = "select 1 from messages where task = ? limit 1"
OF_TASK: Final = f"""
select {COLUMNS}
from messages m left join messages q on q.number = m.reply_to
where m.task = ? order by m.number
"""  # noqa: S608 - constants
LAST: Final = f"""
select {COLUMNS}
from messages m left join messages q on q.number = m.reply_to
where m.task = ? order by m.number desc limit ?
"""  # noqa: S608 - constants
BY_NUMBER: Final = f"""
select {COLUMNS}
from messages m left join messages q on q.number = m.reply_to
where m.number = ?
"""  # noqa: S608 - constants
COUNT_UNREAD: Final = """
select count(*) from messages m
where m.task = ? and m.kind <> 'question'
  and not exists (
        select 1 from message_receipts r
        where r.message = m.number and r.read_at is not null)
"""
EVERY_UNREAD: Final = """
select m.task, count(*) from messages m
where m.kind <> 'question'
  and not exists (
        select 1 from message_receipts r
        where r.message = m.number and r.read_at is not null)
group by m.task
"""
COUNT_SENT: Final = "select count(*) from messages where task = ? and agent = ?"
RECEIPTS_OF: Final = """
select r.message, r.agent, r.told_at, r.read_at, r.acknowledged_at
from messages m join message_receipts r on r.message = m.number
where m.task = ? order by r.message, r.agent
"""
INSERT: Final = """
insert into messages (task, at, by, agent, kind, reply_to, text)
values (?, ?, ?, ?, ?, ?, ?)
"""
NOTE_TOLD: Final = """
insert into message_receipts (message, agent, told_at)
select value, :agent, :now from json_each(:numbers) where true
on conflict do nothing
"""
NOTE_READ: Final = """
insert into message_receipts (message, agent, read_at)
select value, :agent, :now from json_each(:numbers) where true
on conflict do update set read_at = excluded.read_at where read_at is null
returning message
"""
ACKNOWLEDGE: Final = """
insert into message_receipts (message, agent, read_at, acknowledged_at)
select value, :agent, :now, :now from json_each(:numbers) where true
on conflict do update set
    read_at = coalesce(read_at, excluded.read_at),
    acknowledged_at = excluded.acknowledged_at
    where acknowledged_at is null
returning message
"""
#: What an attempt, and those before it in its conversation, were given.
SETTLE: Final = f"""{_CONVERSATION}
update message_receipts set acknowledged_at = :now
where acknowledged_at is null and (message, agent) in (
    select r.message, r.agent
    from messages m
    join message_receipts r on r.message = m.number
    join agents a on a.number = r.agent
    where m.task = :task and r.read_at is not null and (
        a.number = :agent
        or ((a.answered = 1 or a.heard = 1)
            and a.session in (select session from conversation))))
returning message
"""  # noqa: S608 - constants


def unread_of(tx: Tx, task_id: str, session: str | None) -> tuple[Message, ...]:
    """What a task's next attempt has not been given, oldest first.

    Args:
        tx: The transaction.
        task_id: The task.
        session: The session that the attempt goes on with; null or empty: none.
    """
    params = {"task": task_id, "session": session or None, "agent": None}
    return tuple(decode_message(row) for row in tx.rows(UNREAD, params))


def news_for(tx: Tx, agent: Agent) -> tuple[Notice, ...]:
    """The messages that a running agent has neither been told of nor given."""
    params = {"task": agent.task, "session": agent.session, "agent": agent.number}
    return tuple(Notice(number=row[0], by=row[1]) for row in tx.rows(NEWS, params))


def has_any(tx: Tx, task_id: str) -> bool:
    """Whether a task has messages at all, which most have not."""
    return tx.one(HAS_ANY, (task_id,)) is not None


def of_task(tx: Tx, task_id: str) -> tuple[Message, ...]:
    """All messages of a task, questions and answers among them, oldest first."""
    return tuple(decode_message(row) for row in tx.rows(OF_TASK, (task_id,)))


def last_of(tx: Tx, task_id: str, most: int) -> tuple[Message, ...]:
    """The newest messages of a task, oldest first."""
    return tuple(decode_message(row) for row in tx.all(LAST, (task_id, most))[::-1])


def find(tx: Tx, number: int) -> Message | None:
    """A message by its number, if there is one."""
    row = tx.one(BY_NUMBER, (number,))
    return None if row is None else decode_message(row)


def receipts_of(tx: Tx, task_id: str) -> Iterator[Receipt]:
    """What has become of a task's messages, by message and agent."""
    for message, agent, told, read, acknowledged in tx.rows(RECEIPTS_OF, (task_id,)):
        yield Receipt(
            message=message,
            agent=agent,
            told_at=told,
            read_at=read,
            acknowledged_at=acknowledged,
        )


def count_unread(tx: Tx, task_id: str) -> int:
    """How many messages of a task no attempt has been given."""
    return int(tx.value(COUNT_UNREAD, (task_id,)))


def unread_among(tx: Tx, tasks: Sequence[str]) -> Mapping[str, int]:
    """How many messages no attempt was given, of these tasks that have any."""
    if len(tasks) <= _FEW:
        counts = {task: count_unread(tx, task) for task in tasks}
        return {task: count for task, count in counts.items() if count}
    return {row[0]: row[1] for row in tx.rows(EVERY_UNREAD)}


def count_sent(tx: Tx, agent: Agent) -> int:
    """How many messages an attempt has left at its task."""
    return int(tx.value(COUNT_SENT, (agent.task, agent.id)))


def send(  # noqa: PLR0913 - what a message is
    tx: Tx,
    task_id: str,
    text: str,
    *,
    by: str,
    agent: Agent | None = None,
    kind: MessageKind = "message",
    reply_to: int | None = None,
) -> int:
    """Leaves a message at a task, and says so in the log; gives its number.

    Args:
        tx: The transaction.
        task_id: A task that exists.
        text: What is said.
        by: Who says it.
        agent: Whose word it is; null: an operator's.
        kind: A question is an agent's, its answer an operator's.
        reply_to: The question that it answers.
    """
    sender = agent.id if agent is not None else None
    number = tx.insert(INSERT, (task_id, tx.now, by, sender, kind, reply_to, text))
    tx.emit(
        ChangeKind.MESSAGE_SENT,
        task=task_id,
        agent=sender,
        attempt=agent.attempt if agent is not None else None,
        actor=agent.actor if agent is not None else None,
        by=by,
        verb=kind,
        to=str(number),
        reason=_excerpt(text),
    )
    return number


def note_told(tx: Tx, numbers: Iterable[int], agent: int) -> None:
    """An agent has been told that there are these messages."""
    tx.run(NOTE_TOLD, _of(tx, numbers, agent))


def note_read(tx: Tx, numbers: Iterable[int], agent: int) -> None:
    """An agent has been given the text of these messages.

    Args:
        tx: The transaction.
        numbers: Of all that it was given; one that was cut down to nothing is not.
        agent: Its row is there. A command that reads no prompt is given nothing by it.
    """
    rows = tx.all(NOTE_READ, _of(tx, numbers, agent))
    _tell(tx, ChangeKind.MESSAGE_READ, agent, rows)


def acknowledge(tx: Tx, numbers: Iterable[int], agent: int) -> None:
    """An agent is done with these messages: no attempt is given them again."""
    rows = tx.all(ACKNOWLEDGE, _of(tx, numbers, agent))
    _tell(tx, ChangeKind.MESSAGE_ACKNOWLEDGED, agent, rows)


def settle(tx: Tx, agent: Agent) -> None:
    """An attempt is done with all its conversation was given: it ended well."""
    if not has_any(tx, agent.task):
        return
    params = {
        "task": agent.task,
        "agent": agent.number,
        "session": agent.session,
        "now": tx.now,
    }
    _tell(tx, ChangeKind.MESSAGE_ACKNOWLEDGED, agent.number, tx.all(SETTLE, params))


def go_on(tx: Tx, task: Task) -> None:
    """The next attempt goes on with the last one's session.

    One that has waited knew what it waited for: it has dealt with what it was given.
    """
    if task.last_agent is None:
        return
    last = agent_reads.by_id(tx, task.last_agent)
    if last.outcome is Outcome.WAITING:
        settle(tx, last)


def _of(tx: Tx, numbers: Iterable[int], agent: int) -> dict[str, object]:
    listed = encode(list(numbers)).decode()
    return {"numbers": listed, "agent": agent, "now": tx.now}


def _tell(tx: Tx, kind: ChangeKind, number: int, rows: list[Row]) -> None:
    """One row of the log for all that happened at once; none where nothing did."""
    if not rows:
        return
    agent = agent_reads.by_number(tx, number)
    tx.emit(
        kind,
        task=agent.task,
        agent=agent.id,
        attempt=agent.attempt,
        actor=agent.actor,
        by=agent.id,
        to=" ".join(str(message) for message in sorted({row[0] for row in rows})),
    )


def _excerpt(text: str) -> str:
    """As much of a message as the change log tells."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= EXCERPT else f"{line[:EXCERPT]}…"


def decode_message(row: Row) -> Message:
    """A message from its `COLUMNS`."""
    return Message(
        number=row[0],
        task=row[1],
        at=row[2],
        by=row[3],
        agent=row[4],
        kind=row[5],
        reply_to=row[6],
        question=row[7],
        text=row[8],
    )
