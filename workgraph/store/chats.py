"""Chats and what is said in them: rows in, rows out."""

from collections.abc import Collection
from typing import Final

from workgraph.graph.changes import ChangeKind
from workgraph.graph.chats import (
    Chat,
    ChatMessage,
    MessageKind,
    chat_number,
    parked_as_chat,
)
from workgraph.graph.errors import NotFoundError
from workgraph.store.database import Row, Tx
from workgraph.store.rows import encode, to_json

_CHAT: Final = (
    "c.number, c.task, c.created_at, c.by, c.last_consumer_at, c.handler, c.session,"
    " c.session_executor, c.session_account, c.session_workspace, c.told, c.telling,"
    " c.given, c.failures, c.backoff_until, c.answered, c.problem, c.remedy, c.looks,"
    " c.archived_at, c.purged_at"
)
MESSAGE_COLUMNS: Final = (
    "m.number, m.chat, m.at, m.by, m.kind, m.text, m.reply_to, m.agent,"
    " m.delivered_at, m.taken, m.deliveries, m.answered_at"
)

#: The number that comes next: one above every chat that there ever was.
NEXT: Final = """
select coalesce((select seq from sqlite_sequence where name = 'chats'), 0) + 1
"""
INSERT: Final = """
insert into chats (number, task, created_at, by) values (?, ?, ?, ?)
"""
FIND: Final = f"select {_CHAT} from chats c where c.number = ?"  # noqa: S608
OF_HANDLER: Final = f"select {_CHAT} from chats c where c.handler = ?"  # noqa: S608
AMONG: Final = f"""
select {_CHAT} from chats c
where c.number in (select value from json_each(?)) order by c.number
"""  # noqa: S608 - constants
ALL: Final = f"select {_CHAT} from chats c order by c.number"  # noqa: S608 - constants
USABLE: Final = f"""
select {_CHAT} from chats c indexed by chats_open
where c.archived_at is null order by c.number
"""  # noqa: S608 - constants
COUNT_ARCHIVED: Final = "select count(*) from chats where archived_at is not null"
INSERT_MESSAGE: Final = """
insert into chat_messages (chat, at, by, kind, text, reply_to)
values (?, ?, ?, ?, ?, ?)
"""
FIND_MESSAGE: Final = f"""
select {MESSAGE_COLUMNS} from chat_messages m where m.number = ?
"""  # noqa: S608 - constants
#: In the order in which it was said; of the last ones when there are too many.
HISTORY: Final = f"""
select * from (
    select {MESSAGE_COLUMNS} from chat_messages m
    where m.chat = ? and m.number > ? order by m.number desc limit ?
) order by 1
"""  # noqa: S608 - constants
#: What one of the two files of a chat has next.
SAID_AFTER: Final = f"""
select {MESSAGE_COLUMNS} from chat_messages m
where m.chat = :chat and m.number > :after and (m.kind = 'message') = :inbox
order by m.number limit :limit
"""  # noqa: S608 - constants
COUNT_SAID: Final = """
select count(*), coalesce(max(number), 0) from chat_messages
where chat = :chat and number <= :upto and (kind = 'message') = :inbox
"""
WAITING: Final = f"""
select {MESSAGE_COLUMNS} from chat_messages m indexed by chat_messages_waiting
where m.chat = ? and m.kind = 'message' and m.answered_at is null
order by m.number limit 1
"""  # noqa: S608 - constants
COUNT_WAITING: Final = """
select count(*) from chat_messages indexed by chat_messages_waiting
where chat = ? and kind = 'message' and answered_at is null
"""
#: By the name that its node has; what can be used comes first.
NAMED: Final = f"""
select {_CHAT} from chats c join tasks t on t.id = c.task
where json_extract(t.spec, '$.title') = ?
order by c.archived_at is not null, c.number
"""  # noqa: S608 - constants
NAMES: Final = """
select c.task, json_extract(t.spec, '$.title')
from chats c join tasks t on t.id = c.task
order by c.archived_at is not null, c.number desc limit ?
"""
#: What is settled is not parked.
PARK: Final = """
update tasks set parked = ?, parked_until = null where id = ? and status = 'open'
"""
ARCHIVE: Final = """
update chats
set archived_at = coalesce(archived_at, :now),
    purged_at = iif(:purged, coalesce(purged_at, :now), purged_at)
where number = :chat
"""
RESTORE: Final = """
update chats
set archived_at = null, purged_at = null, failures = 0, backoff_until = null,
    answered = 0, problem = null, remedy = null, looks = 0
where number = ?
"""
#: Something was answered since the last crash, and now there is something new.
FORGET_CRASHES: Final = """
update chats
set failures = iif(answered = 1, 0, failures), backoff_until = null, answered = 0
where number = ? and (answered = 1 or problem is not null)
"""
ANSWER_TO: Final = f"""
select {MESSAGE_COLUMNS} from chat_messages m
where m.chat = :chat and m.number > :number and m.reply_to = :number
    and m.kind in ('reply', 'error')
order by m.number limit 1
"""  # noqa: S608 - constants
#: It was told nothing yet but what has been answered.
SET_HANDLER: Final = """
update chats set handler = ?, telling = told, given = 0 where number = ?
"""
SET_CONSUMER: Final = "update chats set last_consumer_at = ? where number = ?"
DELIVER: Final = """
update chat_messages set agent = ?, delivered_at = ?
where number = ? and kind = 'message' and answered_at is null and agent is null
"""
NOTE_GIVEN: Final = """
update chats indexed by chats_handler set given = 1 where handler = ?
"""
GIVE_BACK: Final = """
update chat_messages
set agent = null, delivered_at = null, taken = 0, deliveries = deliveries + ?
where number = ? and answered_at is null
"""
ANSWER: Final = """
update chat_messages set answered_at = ?, agent = null
where number = ? and kind = 'message' and answered_at is null
"""
SET_TAKEN: Final = """
update chat_messages indexed by chat_messages_waiting
set taken = :taken
where chat = (select number from chats where handler = :agent)
  and kind = 'message' and answered_at is null and agent = :agent
"""

_NO_LIMIT: Final = -1


def next_number(tx: Tx) -> int:
    """The number of the next chat; never one that was used before."""
    number: int = tx.value(NEXT)
    return number


def insert_chat(tx: Tx, chat: Chat) -> None:
    """Adds a chat; its task is there."""
    tx.run(INSERT, (chat.number, chat.task, chat.created_at, chat.by))
    tx.emit(ChangeKind.CHAT_CREATED, task=chat.task, by=chat.by)


def find(tx: Tx, number: int) -> Chat | None:
    """A chat by its number."""
    row = tx.one(FIND, (number,))
    return None if row is None else decode_chat(row)


def by_number(tx: Tx, number: int) -> Chat:
    """A chat that is there.

    Raises:
        NotFoundError: It is not.
    """
    chat = find(tx, number)
    if chat is None:
        raise NotFoundError(f"there is no chat {number}", hint="wg chat list")
    return chat


def among(tx: Tx, numbers: Collection[int]) -> list[Chat]:
    """Some chats, by their numbers."""
    some = encode(tuple(numbers)).decode()
    return [decode_chat(row) for row in tx.rows(AMONG, (some,))]


def of_task(tx: Tx, task: str) -> Chat | None:
    """The chat whose node a task is; null for somebody's work."""
    number = chat_number(task)
    return None if number is None else find(tx, number)


def of_handler(tx: Tx, agent: int) -> Chat | None:
    """The chat that an agent answers in, or has answered in and was not settled."""
    row = tx.one(OF_HANDLER, (agent,))
    return None if row is None else decode_chat(row)


def named(tx: Tx, name: str) -> list[Chat]:
    """The chats of a name; those that can be used come first."""
    return [decode_chat(row) for row in tx.rows(NAMED, (name,))]


def names(tx: Tx, most: int) -> list[str]:
    """What chats are called, by their ids and names, each once: the newest of them."""
    return list(dict.fromkeys(name for row in tx.rows(NAMES, (most,)) for name in row))


def list_chats(tx: Tx) -> list[Chat]:
    """All chats, archived ones among them, by their numbers."""
    return [decode_chat(row) for row in tx.rows(ALL)]


def list_usable(tx: Tx) -> list[Chat]:
    """The chats that are not archived, by their numbers."""
    return [decode_chat(row) for row in tx.rows(USABLE)]


def count_archived(tx: Tx) -> int:
    """How many are archived."""
    return int(tx.value(COUNT_ARCHIVED))


def park(tx: Tx, chat: Chat) -> None:
    """Keeps a chat's node out of dispatch, whatever it was parked for before."""
    tx.run(PARK, (to_json(parked_as_chat(chat.number)), chat.task))


def archive(tx: Tx, chat: Chat, by: str, *, purged: bool, reason: str | None) -> None:
    """Puts a chat away; the moment at which that was done first stays."""
    tx.run(ARCHIVE, {"chat": chat.number, "now": tx.now, "purged": purged})
    kind = ChangeKind.CHAT_PURGED if purged else ChangeKind.CHAT_ARCHIVED
    tx.emit(kind, task=chat.task, by=by, reason=reason)


def restore(tx: Tx, chat: Chat, by: str) -> None:
    """Takes a chat up again; what has gone wrong with it before is forgotten."""
    tx.run(RESTORE, (chat.number,))
    tx.emit(ChangeKind.CHAT_RESTORED, task=chat.task, by=by)


def forget_crashes(tx: Tx, chat: int) -> None:
    """What is new is not kept back by crashes that came before the last success.

    Nor by what kept the chat from being answered: that is looked at again.
    """
    tx.run(FORGET_CRASHES, (chat,))


def say(  # noqa: PLR0913 - its columns
    tx: Tx,
    chat: Chat,
    kind: MessageKind,
    text: str,
    *,
    by: str,
    reply_to: int | None = None,
) -> int:
    """Adds what was said, and returns its number."""
    number = tx.insert(INSERT_MESSAGE, (chat.number, tx.now, by, kind, text, reply_to))
    tx.emit(ChangeKind.CHAT_SAID, task=chat.task, by=by, verb=kind, to=str(number))
    return number


def message(tx: Tx, number: int) -> ChatMessage | None:
    """Something that was said, by its number."""
    row = tx.one(FIND_MESSAGE, (number,))
    return None if row is None else decode_message(row)


def history(
    tx: Tx, chat: int, *, last: int | None = None, after: int = 0
) -> list[ChatMessage]:
    """What was said in a chat, the first of it first.

    Args:
        last: No more than the last so many.
        after: What came after this message.
    """
    limit = _NO_LIMIT if last is None else last
    return [decode_message(row) for row in tx.rows(HISTORY, (chat, after, limit))]


def said_after(
    tx: Tx, chat: int, after: int, *, inbox: bool, limit: int
) -> list[ChatMessage]:
    """What was said in a chat after something, as one of its two files has it.

    Args:
        tx: The transaction.
        chat: The chat's number.
        after: The number of what is in the file already.
        inbox: Messages; otherwise what was answered.
        limit: How much is read at once.
    """
    named = {"chat": chat, "after": max(after, 0), "inbox": inbox, "limit": limit}
    return [decode_message(row) for row in tx.rows(SAID_AFTER, named)]


def count_said(tx: Tx, chat: int, upto: int, *, inbox: bool) -> tuple[int, int]:
    """How many lines such a file has up to a number, and the number of the last."""
    named = {"chat": chat, "upto": upto, "inbox": inbox}
    count, last = tx.all(COUNT_SAID, named)[0]
    return count, last


def head(tx: Tx, chat: int) -> ChatMessage | None:
    """The first message that waits for an answer, on its way or not."""
    row = tx.one(WAITING, (chat,))
    return None if row is None else decode_message(row)


def count_waiting(tx: Tx, chat: int) -> int:
    """How many messages wait for an answer."""
    count: int = tx.value(COUNT_WAITING, (chat,))
    return count


def answer_to(tx: Tx, chat: int, number: int) -> ChatMessage | None:
    """What has answered a message; null while it waits."""
    row = tx.one(ANSWER_TO, {"chat": chat, "number": number})
    return None if row is None else decode_message(row)


def set_handler(tx: Tx, chat: int, agent: int | None) -> None:
    """Says who answers: who is named holds the chat's session."""
    tx.run(SET_HANDLER, (agent, chat))


def note_consumer(tx: Tx, chat: int) -> None:
    """Somebody is there, or was until now."""
    tx.run(SET_CONSUMER, (tx.now, chat))


def deliver(tx: Tx, number: int, agent: int) -> bool:
    """Gives a message to a handler; false where somebody has it, or has answered."""
    if tx.run(DELIVER, (agent, tx.now, number)) != 1:
        return False
    tx.run(NOTE_GIVEN, (agent,))
    return True


def note_taken(tx: Tx, agent: int, *, taken: bool) -> None:
    """Whether a handler has read the message that it was given, if it has one."""
    tx.run(SET_TAKEN, {"agent": agent, "taken": int(taken)})


def give_back(tx: Tx, number: int, *, counts: bool) -> None:
    """Puts a message back: its handler has ended, by the message's doing or not."""
    tx.run(GIVE_BACK, (int(counts), number))


def answer(  # noqa: PLR0913 - its columns
    tx: Tx, chat: Chat, number: int, kind: MessageKind, text: str, *, by: str
) -> int | None:
    """Answers a message; null, and nothing was done, where it was answered before."""
    if tx.run(ANSWER, (tx.now, number)) != 1:
        return None
    return say(tx, chat, kind, text, by=by, reply_to=number)


def decode_chat(row: Row) -> Chat:
    """A chat from its columns."""
    return Chat(
        number=row[0],
        task=row[1],
        created_at=row[2],
        by=row[3],
        last_consumer_at=row[4],
        handler=row[5],
        session=row[6],
        session_executor=row[7],
        session_account=row[8],
        session_workspace=row[9],
        told=row[10],
        telling=row[11],
        given=bool(row[12]),
        failures=row[13],
        backoff_until=row[14],
        answered=bool(row[15]),
        problem=row[16],
        remedy=row[17],
        looks=row[18],
        archived_at=row[19],
        purged_at=row[20],
    )


def decode_message(row: Row) -> ChatMessage:
    """Something that was said, from its columns."""
    return ChatMessage(
        number=row[0],
        chat=row[1],
        at=row[2],
        by=row[3],
        kind=row[4],
        text=row[5],
        reply_to=row[6],
        agent=row[7],
        delivered_at=row[8],
        taken=bool(row[9]),
        deliveries=row[10],
        answered_at=row[11],
    )
