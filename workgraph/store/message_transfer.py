"""Messages and receipts out of the database and into it, set by set."""

from collections.abc import Iterable, Iterator
from typing import Final

from workgraph.graph.messages import Message, Receipt
from workgraph.store.database import Tx
from workgraph.store.messages import COLUMNS, decode_message
from workgraph.store.rows import encode

ALL: Final = f"""
select {COLUMNS}
from messages m left join messages q on q.number = m.reply_to
order by m.number
"""  # noqa: S608 - constants
RECEIPTS: Final = """
select message, agent, told_at, read_at, acknowledged_at
from message_receipts order by message, agent
"""
TAKEN: Final = """
select number from messages where number in (select value from json_each(?))
"""
#: Without a number it gets the next one.
INSERT: Final = """
insert into messages (number, task, at, by, agent, kind, reply_to, text)
values (?, ?, ?, ?, ?, ?, ?, ?)
"""
INSERT_RECEIPT: Final = """
insert into message_receipts (message, agent, told_at, read_at, acknowledged_at)
values (?, ?, ?, ?, ?)
"""


def every_message(tx: Tx) -> Iterator[Message]:
    """All messages, as they came up."""
    return map(decode_message, tx.rows(ALL))


def receipts_by_message(tx: Tx) -> dict[int, list[Receipt]]:
    """All receipts, in order, by their message."""
    found: dict[int, list[Receipt]] = {}
    for message, agent, told, read, acknowledged in tx.rows(RECEIPTS):
        receipt = Receipt(
            message=message,
            agent=agent,
            told_at=told,
            read_at=read,
            acknowledged_at=acknowledged,
        )
        found.setdefault(message, []).append(receipt)
    return found


def taken(tx: Tx, numbers: Iterable[int]) -> set[int]:
    """Those of these numbers that messages have already."""
    return {row[0] for row in tx.rows(TAKEN, (encode(list(numbers)).decode(),))}


def insert_messages(tx: Tx, new: Iterable[tuple[int | None, Message]]) -> None:
    """Adds messages with the numbers that they have, or with new ones."""
    tx.many(
        INSERT,
        (
            (number, m.task, m.at, m.by, m.agent, m.kind, m.reply_to, m.text)
            for number, m in new
        ),
    )


def insert_receipts(tx: Tx, new: Iterable[Receipt]) -> None:
    """Adds what has become of messages; those and the agents are there."""
    tx.many(
        INSERT_RECEIPT,
        ((r.message, r.agent, r.told_at, r.read_at, r.acknowledged_at) for r in new),
    )
