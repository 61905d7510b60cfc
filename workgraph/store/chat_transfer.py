"""Chats out of the database and into it, set by set."""

from collections.abc import Iterable, Iterator
from typing import Final

from workgraph.graph.chats import Chat, ChatMessage
from workgraph.store.chats import MESSAGE_COLUMNS, decode_message
from workgraph.store.database import Tx
from workgraph.store.rows import encode

EVERY_MESSAGE: Final = f"""
select {MESSAGE_COLUMNS} from chat_messages m order by m.number
"""  # noqa: S608 - constants
TAKEN_CHATS: Final = """
select number from chats where number in (select value from json_each(?))
"""
TAKEN_MESSAGES: Final = """
select number from chat_messages where number in (select value from json_each(?))
"""
INSERT_CHAT: Final = """
insert into chats (
    number, task, created_at, by, last_consumer_at, failures, backoff_until, answered,
    archived_at, purged_at
) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
#: Without a number it gets the next one.
INSERT_MESSAGE: Final = """
insert into chat_messages (
    number, chat, at, by, kind, text, reply_to, deliveries, answered_at
) values (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


def every_message(tx: Tx) -> Iterator[ChatMessage]:
    """All that was said in all chats, as it came up."""
    return map(decode_message, tx.rows(EVERY_MESSAGE))


def taken_chats(tx: Tx, numbers: Iterable[int]) -> set[int]:
    """Those of these numbers that chats have already."""
    return {row[0] for row in tx.rows(TAKEN_CHATS, (encode(list(numbers)).decode(),))}


def taken_messages(tx: Tx, numbers: Iterable[int]) -> set[int]:
    """Those of these numbers that something said has already."""
    params = (encode(list(numbers)).decode(),)
    return {row[0] for row in tx.rows(TAKEN_MESSAGES, params)}


def insert_chats(tx: Tx, new: Iterable[Chat]) -> None:
    """Adds chats without handlers."""
    tx.many(
        INSERT_CHAT,
        (
            (
                chat.number,
                chat.task,
                chat.created_at,
                chat.by,
                chat.last_consumer_at,
                chat.failures,
                chat.backoff_until,
                chat.answered,
                chat.archived_at,
                chat.purged_at,
            )
            for chat in new
        ),
    )


def insert_messages(tx: Tx, new: Iterable[ChatMessage]) -> None:
    """Adds what was said, in this order; a number of 0 becomes the next one."""
    tx.many(
        INSERT_MESSAGE,
        (
            (
                said.number or None,
                said.chat,
                said.at,
                said.by,
                said.kind,
                said.text,
                said.reply_to,
                said.deliveries,
                said.answered_at,
            )
            for said in new
        ),
    )
