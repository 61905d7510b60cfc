"""Being in a chat: the stream of what is said in it, and waiting for a reply.

Who is in a chat is woken by its bell, which commits to it ring; what is read then is
the graph, from the reader's own place on, so nothing that was said is missed.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from msgspec.structs import replace

from workgraph.commands import chats as commands
from workgraph.commands.context import Caller, Context
from workgraph.commands.shapes_chats import message_data
from workgraph.daemon.engine import Engine
from workgraph.graph.chat_requests import (
    AttachChat,
    ChatData,
    ChatMessageData,
    ChatStandsData,
    PartialData,
    SendToChat,
    SentData,
    ShowChat,
)
from workgraph.graph.chats import Chat, chat_number
from workgraph.graph.errors import (
    EXIT_FAILED,
    TryLaterError,
    UsageError,
    UserError,
)
from workgraph.graph.model import Record
from workgraph.graph.replies import Reply
from workgraph.graph.times import Duration
from workgraph.store import chats, reads

_encode: Final = msgspec.json.Encoder().encode


class _Look(Record, frozen=True, kw_only=True):
    """What there is to be told to one who is attached."""

    said: tuple[ChatMessageData, ...]
    #: The last of all that was said, shown or not.
    last: int
    stands: ChatStandsData
    is_archived: bool


class Conversing:
    """Answers those who stay in a chat for a while.

    Args:
        engine: The engine.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def send(self, request: SendToChat, caller: Caller) -> Reply:
        """Queues a message; with `wait`, answers with the reply to it.

        Cancelling it while it waits leaves the message in the queue.

        Raises:
            NeedsDaemonError: There is nobody who could answer; nothing was queued.
            TryLaterError: No reply came in time; the message stays queued.
            UserError: The chat is archived, before or while the reply is waited for.
        """
        engine = self._engine
        if request.wait is None:
            return await engine.answer(request, caller)
        limit = Duration.parse(request.wait)
        chat = await self._usable(request.task, caller)
        if not engine.mode.is_daemon:
            raise commands.needs_daemon_to_wait()
        async with engine.consumers.connected(chat.number):
            queued = await engine.answer(replace(request, wait=None), caller)
            sent: SentData = queued.data
            reply = await self._wait_reply(chat, sent.id, limit, caller)
        return Reply(
            data=replace(sent, reply=reply),
            notes=queued.notes,
            exit_code=EXIT_FAILED if reply.kind == "error" else 0,
        )

    async def attach(
        self, request: AttachChat, caller: Caller
    ) -> AsyncGenerator[bytes]:
        """All that is said in a chat, as lines of JSON, until it is archived.

        First what was said before, then how it stands, then whatever comes. A consumer
        is connected from the first line that is asked for until it is closed.

        Raises:
            NeedsDaemonError: There is nobody to talk with.
            UserError: The chat is archived; in the midst of the lines, too.
        """
        if request.last is not None and request.last < 0:
            message = f"{request.last} is no number of messages"
            raise UsageError(message, hint="0 or more")
        chat = await self._usable(request.task, caller)
        if not self._engine.mode.is_daemon:
            raise commands.needs_daemon_to_attach(chat)
        return self._lines(chat, request.last, caller)

    async def _lines(
        self, chat: Chat, last: int | None, caller: Caller
    ) -> AsyncGenerator[bytes]:
        engine = self._engine
        number, feed = chat.number, engine.feed
        stands: ChatStandsData | None = None
        seen, part, at = -1, 0, 0
        async with engine.consumers.connected(number):
            while True:
                bell = feed.bell(number)
                look = await self._look(chat, seen, last, caller)
                seen = look.last
                for message in look.said:
                    yield _encode(message)
                if look.is_archived:
                    raise UserError(
                        f"{chat.task} was archived",
                        hint=f"wg chat restore {chat.task}",
                    )
                if look.stands != stands:
                    stands = look.stands
                    yield _encode(stands)
                if (partial := feed.since(number, part, at)) is not None:
                    part, at = partial.part, partial.at + len(partial.text)
                    yield _encode(
                        PartialData(
                            chat=chat.task,
                            reply_to=stands.answering,
                            part=part,
                            at=partial.at,
                            text=partial.text,
                        )
                    )
                await bell.wait()

    @asynccontextmanager
    async def watching(self, task: str | None) -> AsyncGenerator[None]:
        """Whoever watches the task of a chat is in it while the block runs.

        Raises:
            NotFoundError: There is no such task.
        """
        if task is not None:
            await self._engine.store.read(
                lambda tx: reads.task(tx, task), self._engine.clock.now()
            )
        number = None if task is None else chat_number(task)
        if number is None or not self._engine.mode.is_daemon:
            yield
            return
        engine = self._engine
        chat = await engine.store.read(
            lambda tx: chats.find(tx, number), engine.clock.now()
        )
        if chat is None or chat.archived_at is not None:
            yield
            return
        async with engine.consumers.connected(number):
            yield

    async def _usable(self, task: str | None, caller: Caller) -> Chat:
        return await self._engine.read(
            lambda context: commands.usable(context.tx, task), caller
        )

    async def _wait_reply(
        self, chat: Chat, message: int, limit: Duration, caller: Caller
    ) -> ChatMessageData:
        clock, feed = self._engine.clock, self._engine.feed
        until = clock.now() + limit.micros

        def look(context: Context) -> tuple[ChatMessageData | None, Chat]:
            reply = chats.answer_to(context.tx, chat.number, message)
            said = None if reply is None else message_data(reply)
            return said, chats.by_number(context.tx, chat.number)

        while True:
            bell = feed.bell(chat.number)
            reply, now = await self._engine.read(look, caller)
            if reply is not None:
                return reply
            if now.archived_at is not None:
                raise UserError(
                    f"{chat.task} was archived; message {message} waits in it",
                    hint=f"wg chat restore {chat.task}",
                )
            if clock.now() >= until:
                raise _too_late(now, message)
            await clock.wait(bell, until)

    async def _look(
        self, chat: Chat, seen: int, last: int | None, caller: Caller
    ) -> _Look:
        def look(context: Context) -> _Look:
            tx = context.tx
            if seen >= 0:
                said = chats.history(tx, chat.number, after=seen)
                shown = said
            else:
                # One at least: its number is where the reader begins.
                most = None if last is None else max(last, 1)
                said = chats.history(tx, chat.number, last=most)
                shown = [] if last == 0 else said
            data: ChatData = commands.show_chat(context, ShowChat(task=chat.task)).data
            head = chats.head(tx, chat.number)
            is_answering = head is not None and head.agent is not None
            return _Look(
                said=tuple(map(message_data, shown)),
                last=said[-1].number if said else max(seen, 0),
                stands=_stands(data, head.number if head and is_answering else None),
                is_archived=data.archived_at is not None,
            )

        return await self._engine.read(look, caller)


def _stands(data: ChatData, answering: int | None) -> ChatStandsData:
    return ChatStandsData(
        chat=data.id,
        name=data.name,
        state=data.state,
        answering=answering,
        queued=data.queued,
        consumers=data.consumers,
        backoff_until=data.backoff_until,
        problem=data.problem,
        remedy=data.remedy,
    )


def _too_late(chat: Chat, message: int) -> TryLaterError:
    """No reply came: what keeps it from coming is said, as far as it is known."""
    words, hint = f"message {message} stays queued", f"wg chat history {chat.task}"
    if chat.problem is not None:
        words, hint = f"{words}: {chat.problem}", chat.remedy or hint
    elif chat.failures:
        words, hint = f"{words}: its handler crashes", f"wg chat show {chat.task}"
    return TryLaterError(f"no reply came in time; {words}", hint=hint)
