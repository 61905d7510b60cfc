"""Chats out to lines, and in from them, with their checks."""

from collections.abc import Collection, Iterator
from typing import Final

from workgraph.commands.chat_line import ChatLine, ChatMessageLine
from workgraph.commands.line_errors import bad_line
from workgraph.commands.transfer_lines import read_moment, write_moment
from workgraph.graph.chats import ARCHIVED_TAG, Chat, ChatMessage, chat_id, chat_number
from workgraph.graph.status import Status
from workgraph.store import chat_transfer, chats, reads
from workgraph.store.database import Tx

#: The fields of a message that others do not have.
_OF_MESSAGES: Final = ("deliveries", "answered_at")


def chat_lines(tx: Tx) -> Iterator[ChatLine | ChatMessageLine]:
    """All chats, then all that was said, each as it came up."""
    for chat in chats.list_chats(tx):
        yield ChatLine(
            number=chat.number,
            created_at=write_moment(chat.created_at),
            by=chat.by,
            last_consumer_at=_moment(chat.last_consumer_at),
            failures=chat.failures,
            backoff_until=_moment(chat.backoff_until),
            answered=chat.answered,
            archived_at=_moment(chat.archived_at),
            purged_at=_moment(chat.purged_at),
        )
    for said in chat_transfer.every_message(tx):
        yield ChatMessageLine(
            number=said.number,
            chat=said.chat,
            at=write_moment(said.at),
            by=said.by,
            type=said.kind,
            reply_to=said.reply_to,
            text=said.text,
            deliveries=said.deliveries,
            answered_at=_moment(said.answered_at),
        )


class ChatBatch:
    """The chats that come in: `take` each line, `settle` once, then `write`.

    Args:
        tx: The transaction.
        by: Who imports.
    """

    def __init__(self, tx: Tx, by: str) -> None:
        self._tx = tx
        self._by = by
        self._chats: dict[int, tuple[int, Chat]] = {}
        #: How the tasks stand that are nodes of chats, and whether they are tagged.
        self._nodes: dict[int, tuple[Status, bool]] = {}
        #: Each with its line; those with a number by that.
        self._numbered: dict[int, tuple[int, ChatMessage]] = {}
        self._unnumbered: list[tuple[int, ChatMessage]] = []

    def take(self, number: int, line: ChatLine | ChatMessageLine) -> str:
        """Takes a line, as far as it can be judged alone.

        Returns:
            Who has said it, or has begun it.

        Raises:
            UserError: A value is not one that it can have.
        """
        if isinstance(line, ChatLine):
            return self._take_chat(number, line)
        return self._take_message(number, line)

    def take_task(self, task: str, status: Status, tags: Collection[str]) -> None:
        """A task comes in, which may be the node of a chat."""
        chat = chat_number(task)
        if chat is not None:
            self._nodes[chat] = (status, ARCHIVED_TAG in tags)

    def settle(self) -> int | None:
        """Judges them among what else comes in.

        Returns:
            The line of one whose number is taken in the graph.

        Raises:
            UserError: A line does not fit the others.
        """
        for number, chat in self._chats.values():
            self._check_node(number, chat)
        for number, said in (*self._numbered.values(), *self._unnumbered):
            if said.chat not in self._chats:
                what = f"the chat {said.chat} is not in this file"
                raise bad_line(number, what)
            if said.reply_to is None:
                continue
            asked = self._numbered.get(said.reply_to)
            # One without a number gets a higher one than all these.
            if (
                asked is None
                or asked[1].chat != said.chat
                or 0 < said.number <= said.reply_to
            ):
                what = f"reply_to: nothing {said.reply_to} was said before in its chat"
                raise bad_line(number, what)
        taken = chat_transfer.taken_chats(self._tx, self._chats)
        if taken:
            return self._chats[min(taken)][0]
        taken = chat_transfer.taken_messages(self._tx, self._numbered)
        return self._numbered[min(taken)][0] if taken else None

    def write(self) -> None:
        """Writes all of them; their nodes are there, and are kept out of dispatch."""
        tx = self._tx
        new = [chat for _, (_, chat) in sorted(self._chats.items())]
        chat_transfer.insert_chats(tx, new)
        numbered = sorted(self._numbered.items())
        chat_transfer.insert_messages(tx, (said for _, (_, said) in numbered))
        chat_transfer.insert_messages(tx, (said for _, said in self._unnumbered))
        for chat in new:
            if reads.is_taken(tx, chat.task):
                chats.park(tx, chat)

    def _check_node(self, number: int, chat: Chat) -> None:
        """Archived is the chat, its node's status and its tag, or none of them."""
        if chat.number not in self._nodes:
            return
        status, is_tagged = self._nodes[chat.number]
        is_archived = chat.archived_at is not None
        fits = {Status.DONE} if is_archived else {Status.OPEN, Status.IN_PROGRESS}
        if status in fits and is_tagged == is_archived:
            return
        state = "archived" if is_archived else "in use"
        tagged = "with" if is_tagged else "without"
        raise bad_line(
            number,
            f"the chat is {state}, and its task {status} {tagged} the tag"
            f" {ARCHIVED_TAG}",
        )

    def _take_chat(self, number: int, line: ChatLine) -> str:
        now = self._tx.now
        created_at = read_moment(number, "created_at", line.created_at, now)
        chat = Chat(
            number=line.number,
            task=chat_id(line.number),
            created_at=now if created_at is None else created_at,
            by=line.by or self._by,
            last_consumer_at=read_moment(
                number, "last_consumer_at", line.last_consumer_at, now
            ),
            failures=line.failures,
            backoff_until=read_moment(number, "backoff_until", line.backoff_until, now),
            answered=line.answered,
            archived_at=read_moment(number, "archived_at", line.archived_at, now),
            purged_at=read_moment(number, "purged_at", line.purged_at, now),
        )
        if chat.purged_at is not None and chat.archived_at is None:
            raise bad_line(number, "purged_at: it is not archived")
        first = self._chats.setdefault(line.number, (number, chat))[0]
        if first != number:
            what = f"the chat {line.number} is in line {first} already"
            raise bad_line(number, what)
        return chat.by

    def _take_message(self, number: int, line: ChatMessageLine) -> str:
        now = self._tx.now
        at = read_moment(number, "at", line.at, now)
        said = ChatMessage(
            number=line.number or 0,
            chat=line.chat,
            at=now if at is None else at,
            by=line.by or self._by,
            kind=line.type,
            text=line.text,
            reply_to=line.reply_to,
            deliveries=line.deliveries,
            answered_at=read_moment(number, "answered_at", line.answered_at, now),
        )
        for name in _OF_MESSAGES:
            if line.type != "message" and getattr(said, name):
                raise bad_line(number, f"{name}: a {line.type} has none")
        if line.number is None:
            self._unnumbered.append((number, said))
            return said.by
        first = self._numbered.setdefault(line.number, (number, said))[0]
        if first != number:
            what = f"what was said as {line.number} is in line {first} already"
            raise bad_line(number, what)
        return said.by


def _moment(micros: int | None) -> str | None:
    return None if micros is None else write_moment(micros)
