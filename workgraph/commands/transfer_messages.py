"""Messages out to lines, and in from them, with their checks."""

from collections.abc import Collection, Iterator, Mapping, Set
from itertools import chain

from workgraph.commands.line_errors import bad_line
from workgraph.commands.message_line import MessageLine, ReceiptRef
from workgraph.commands.transfer_lines import (
    read_moment,
    write_moment,
)
from workgraph.graph.messages import Message, Receipt
from workgraph.graph.model import parse_agent_id
from workgraph.store import message_transfer
from workgraph.store.database import Tx


def message_lines(tx: Tx, live: Set[str]) -> Iterator[MessageLine]:
    """All messages; what the agents `live` have made of them is left out with these."""
    receipts = message_transfer.receipts_by_message(tx)
    for message in message_transfer.every_message(tx):
        yield MessageLine(
            number=message.number,
            task=message.task,
            at=write_moment(message.at),
            by=message.by,
            agent=message.agent,
            type=message.kind,
            reply_to=message.reply_to,
            text=message.text,
            receipts=tuple(
                ReceiptRef(
                    agent=f"agent-{receipt.agent}",
                    told_at=_moment(receipt.told_at),
                    read_at=_moment(receipt.read_at),
                    acknowledged_at=_moment(receipt.acknowledged_at),
                )
                for receipt in receipts.get(message.number, ())
                if f"agent-{receipt.agent}" not in live
            ),
        )


class MessageBatch:
    """The messages that come in: `take` each line, `settle` once, then `write`.

    Args:
        tx: The transaction.
        by: Who imports.
    """

    def __init__(self, tx: Tx, by: str) -> None:
        self._tx = tx
        self._by = by
        #: Each with its line; those with a number by that.
        self._numbered: dict[int, tuple[int, Message]] = {}
        self._unnumbered: list[tuple[int, Message]] = []
        self._receipts: list[tuple[int, str, Receipt]] = []

    def take(self, number: int, line: MessageLine) -> Message:
        """Takes a line, as far as it can be judged alone.

        Raises:
            UserError: A value is not one that a message can have.
        """
        now = self._tx.now
        at = read_moment(number, "at", line.at, now)
        message = Message(
            number=line.number or 0,
            task=line.task,
            at=now if at is None else at,
            by=line.by or self._by,
            agent=line.agent,
            kind=line.type,
            reply_to=line.reply_to,
            text=line.text,
        )
        if line.number is None:
            if line.receipts:
                raise bad_line(number, "receipts: it has no number")
            self._unnumbered.append((number, message))
            return message
        first = self._numbered.setdefault(line.number, (number, message))[0]
        if first != number:
            what = f"the message {line.number} is in line {first} already"
            raise bad_line(number, what)
        for receipt in line.receipts:
            self._take_receipt(number, line.task, line.number, receipt)
        return message

    def settle(self, tasks: Collection[str], agents: Mapping[int, str]) -> int | None:
        """Judges the messages among what else comes in.

        Args:
            tasks: The ids that come in.
            agents: The task of each attempt that comes in.

        Returns:
            The line of one whose number is taken in the graph.

        Raises:
            UserError: A line does not fit the others.
        """
        for number, message in chain(self._numbered.values(), self._unnumbered):
            if message.task not in tasks:
                raise bad_line(number, f"the task {message.task!r} is not in this file")
            asked = message.reply_to
            if asked is None:
                continue
            # One without a number gets a higher one than all these.
            if asked not in self._numbered or 0 < message.number <= asked:
                what = f"reply_to: no message {asked} is in this file before it"
                raise bad_line(number, what)
        seen: set[tuple[int, int]] = set()
        for number, task, receipt in self._receipts:
            if agents.get(receipt.agent) != task:
                what = f"receipts: agent-{receipt.agent} is no attempt of {task} here"
                raise bad_line(number, what)
            if (receipt.message, receipt.agent) in seen:
                raise bad_line(number, f"receipts: agent-{receipt.agent} is twice here")
            seen.add((receipt.message, receipt.agent))
        taken = message_transfer.taken(self._tx, self._numbered)
        return self._numbered[min(taken)][0] if taken else None

    def write(self) -> None:
        """Writes all of them; tasks and attempts are there."""
        numbered = sorted(self._numbered.items())
        message_transfer.insert_messages(
            self._tx, ((number, message) for number, (_, message) in numbered)
        )
        message_transfer.insert_messages(
            self._tx, ((None, message) for _, message in self._unnumbered)
        )
        message_transfer.insert_receipts(
            self._tx, (receipt for _, _, receipt in self._receipts)
        )

    def _take_receipt(
        self, number: int, task: str, message: int, line: ReceiptRef
    ) -> None:
        agent = parse_agent_id(line.agent)
        if agent is None:
            raise bad_line(number, f"receipts: {line.agent!r} is no agent")
        now = self._tx.now
        receipt = Receipt(
            message=message,
            agent=agent,
            told_at=read_moment(number, "told_at", line.told_at, now),
            read_at=read_moment(number, "read_at", line.read_at, now),
            acknowledged_at=read_moment(
                number, "acknowledged_at", line.acknowledged_at, now
            ),
        )
        self._receipts.append((number, task, receipt))


def _moment(micros: int | None) -> str | None:
    return None if micros is None else write_moment(micros)
