"""Being in a chat: its stream, a reply that is waited for, and who counts as there."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from tests.core import OPERATOR, Core, running_core
from tests.daemon.test_service_lines import PEER, a_service, say
from workgraph.daemon.conversing import Conversing
from workgraph.daemon.engine import Mode
from workgraph.graph.chat_requests import ArchiveChat, CreateChat, SendToChat
from workgraph.graph.chats import MessageKind, chat_number
from workgraph.graph.errors import NeedsDaemonError, TryLaterError, UserError
from workgraph.store import chats
from workgraph.store.database import Tx


async def a_chat(core: Core, name: str = "talk") -> str:
    """A chat that a command answers; it is not started, as the slots are none."""
    reply = await core.do(CreateChat(name=name, exec="true"))
    chat: str = reply.data.id
    return chat


async def send(core: Core, chat: str, text: str) -> int:
    """Queues a message."""
    reply = await core.say(SendToChat(task=chat, text=text))
    number: int = reply.data.id
    return number


async def answer(
    core: Core, message: int, text: str, kind: MessageKind = "reply"
) -> None:
    """A handler says something to a message."""

    def write(tx: Tx) -> None:
        asked = chats.message(tx, message)
        assert asked is not None
        chat = chats.by_number(tx, asked.chat)
        if kind == "note":
            chats.say(tx, chat, kind, text, by="agent-1", reply_to=message)
        else:
            chats.answer(tx, chat, message, kind, text, by="agent-1")

    _, changes = await core.store.transaction(write, core.clock.now())
    core.engine.publish(changes)


async def queued(core: Core, chat: str) -> int:
    """How many messages wait for an answer."""
    number = chat_number(chat)
    assert number is not None
    return await core.store.read(
        lambda tx: chats.count_waiting(tx, number), core.clock.now()
    )


async def wait_queued(core: Core, chat: str, number: int) -> None:
    """Returns when so many messages wait."""
    at = chat_number(chat)
    assert at is not None
    with anyio.fail_after(100):
        while True:
            bell = core.engine.feed.bell(at)
            if await queued(core, chat) == number:
                return
            await bell.wait()


def counts(core: Core) -> dict[int, int]:
    """Who is in which chat."""
    return dict(core.engine.consumers.counts)


class Attached:
    """Somebody who is attached, and what they have been told."""

    def __init__(self, lines: AsyncGenerator[bytes]) -> None:
        self._lines = lines

    async def next(self) -> dict[str, Any]:
        """The next line."""
        with anyio.fail_after(30):
            line: dict[str, Any] = msgspec.json.decode(await anext(self._lines))
        return line

    async def texts(self, number: int) -> list[tuple[str, str]]:
        """The next lines but how it stands, each as kind and text."""
        found: list[tuple[str, str]] = []
        while len(found) < number:
            line = await self.next()
            if line["kind"] != "state":
                found.append((line["kind"], line["text"]))
        return found

    async def stands(self) -> dict[str, Any]:
        """The next line that says how it stands."""
        while (line := await self.next())["kind"] != "state":
            pass
        return line


@asynccontextmanager
async def attached(
    core: Core, folder: Path, chat: str, last: int | None = None
) -> AsyncGenerator[Attached]:
    """Attached over the socket while the block runs."""
    request = {"cmd": "chat_attach", "task": chat, "last": last}
    lines = await a_service(core, folder).answer_line(
        msgspec.json.encode(request), PEER
    )
    assert not isinstance(lines, bytes), lines
    async with aclosing(lines):
        yield Attached(lines)


async def test_history_comes_first_then_what_is_said(tmp_path: Path) -> None:
    """All that was said before, how it stands, and each word as it is committed."""
    async with running_core() as core:
        chat = await a_chat(core)
        first = await send(core, chat, "one")
        await answer(core, first, "uno")

        async with attached(core, tmp_path, chat) as one:
            before = [await one.next() for _ in range(3)]
            second = await send(core, chat, "two")
            await answer(core, second, "dos")
            after = await one.texts(2)

        assert [line["kind"] for line in before] == ["message", "reply", "state"]
        assert before[1] == {
            "id": 2,
            "chat": chat,
            "at": "2026-01-01T00:00:00.000Z",
            "by": "agent-1",
            "kind": "reply",
            "text": "uno",
            "reply_to": first,
            "waiting": False,
        }
        assert (before[2]["chat"], before[2]["name"]) == (chat, "talk")
        assert after == [("message", "two"), ("reply", "dos")]


@pytest.mark.parametrize(
    ("last", "shown"), [(0, []), (1, ["two"]), (9, ["one", "two"])]
)
async def test_no_more_of_the_history_than_is_asked_for(
    tmp_path: Path, last: int, shown: list[str]
) -> None:
    """And what was left out does not come later."""
    async with running_core() as core:
        chat = await a_chat(core)
        for text in ("one", "two"):
            await send(core, chat, text)

        async with attached(core, tmp_path, chat, last) as one:
            history = [text for _, text in await one.texts(len(shown))]
            await one.stands()
            await send(core, chat, "three")
            new = await one.texts(1)

        assert (history, new) == (shown, [("message", "three")])


async def test_all_who_are_attached_see_all(tmp_path: Path) -> None:
    """Each of them; and the chat has as many consumers."""
    async with running_core() as core:
        chat = await a_chat(core)
        number = chat_number(chat)
        assert number is not None

        async with attached(core, tmp_path, chat) as one:
            await one.stands()
            async with attached(core, tmp_path, chat) as other:
                stands = await other.stands()
                both = counts(core)
                await send(core, chat, "to all")
                seen = [await each.texts(1) for each in (one, other)]
            left = counts(core)

        assert seen == [[("message", "to all")]] * 2
        assert (both, left, counts(core)) == ({number: 2}, {number: 1}, {})
        assert stands["consumers"] == 2


async def test_a_reply_is_seen_while_it_is_written(tmp_path: Path) -> None:
    """In pieces, each with its place; one who comes late sees it from its beginning."""
    async with running_core() as core:
        chat = await a_chat(core)
        number, feed = chat_number(chat), core.engine.feed
        assert number is not None
        message = await send(core, chat, "one")

        async with attached(core, tmp_path, chat, 0) as one:
            await one.stands()
            feed.publish(number, "u")
            first = await one.texts(1)
            async with attached(core, tmp_path, chat, 0) as other:
                late = await other.texts(1)
            feed.publish(number, "no")
            second = await one.texts(1)
            await answer(core, message, "uno")
            whole = await one.texts(1)
            feed.publish(number, "next")
            while (third := await one.next())["kind"] == "state":
                pass

        assert (first, second, whole) == (
            [("partial", "u")],
            [("partial", "no")],
            [("reply", "uno")],
        )
        assert late == first
        assert (third["part"], third["at"], third["text"]) == (1, 0, "next")


async def test_it_ends_with_an_error_when_the_chat_is_archived(tmp_path: Path) -> None:
    """So that nobody goes on talking to nobody; the remedy is named."""
    async with running_core() as core:
        chat = await a_chat(core)

        async with attached(core, tmp_path, chat) as one:
            await one.stands()
            await core.do(ArchiveChat(task=chat))
            with pytest.raises(UserError) as ended:
                await one.texts(1)

        assert ended.value.hint == f"wg chat restore {chat}"
        assert counts(core) == {}


async def test_nobody_attaches_to_an_archived_chat(tmp_path: Path) -> None:
    """It is refused with the remedy, and nobody was there."""
    async with running_core() as core:
        chat = await a_chat(core)
        await core.do(ArchiveChat(task=chat))

        told = await say(a_service(core, tmp_path), cmd="chat_attach", task=chat)

        assert (told["ok"], told["error"]["code"]) == (False, "refused")
        assert told["error"]["hint"] == f"wg chat restore {chat}"
        assert counts(core) == {}


async def test_a_watcher_of_its_task_is_a_consumer(tmp_path: Path) -> None:
    """While it watches; who watches all is none."""
    async with running_core() as core:
        chat = await a_chat(core)
        number = chat_number(chat)
        service = a_service(core, tmp_path)
        seen = []

        for task in (chat, None):
            request = {"cmd": "watch", "since": 0, "task": task}
            lines = await service.answer_line(msgspec.json.encode(request), PEER)
            assert not isinstance(lines, bytes)
            async with aclosing(lines):
                await anext(lines)
                seen.append(counts(core))

        assert seen == [{number: 1}, {}]
        assert counts(core) == {}


async def test_a_reply_can_be_waited_for(tmp_path: Path) -> None:
    """Woken by its commit: who waits is a consumer, and gets the reply to its own."""
    async with running_core() as core:
        chat = await a_chat(core)
        number = chat_number(chat)
        conversing = Conversing(core.engine)
        other = await send(core, chat, "other")
        replies, during = [], {}

        async def wait() -> None:
            request = SendToChat(task=chat, text="mine", wait="30s")
            replies.append(await conversing.send(request, OPERATOR))

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await wait_queued(core, chat, 2)
            during = counts(core)
            await answer(core, other, "not this")
            await answer(core, other + 1, "nor this", "note")
            await answer(core, other + 1, "this")

        (reply,) = replies
        assert (reply.data.id, reply.data.reply.text) == (other + 1, "this")
        assert (reply.exit_code, during, counts(core)) == (0, {number: 1}, {})


async def test_an_error_in_place_of_a_reply_fails() -> None:
    """As one that was interrupted, or set aside."""
    async with running_core() as core:
        chat = await a_chat(core)
        replies = []

        async def wait() -> None:
            request = SendToChat(task=chat, text="x", wait="30s")
            replies.append(await Conversing(core.engine).send(request, OPERATOR))

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await wait_queued(core, chat, 1)
            await answer(core, 1, "interrupted by ann", "error")

        assert replies[0].exit_code == 1
        assert replies[0].data.reply.kind == "error"


async def test_a_reply_that_does_not_come_is_waited_for_no_longer() -> None:
    """The message stays queued, and its number is said."""
    async with running_core() as core:
        chat = await a_chat(core)
        errors = []

        async def wait() -> None:
            request = SendToChat(task=chat, text="x", wait="30s")
            with pytest.raises(TryLaterError) as late:
                await Conversing(core.engine).send(request, OPERATOR)
            errors.append(late.value)

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await wait_queued(core, chat, 1)
            await core.advance(29)
            before = len(errors)
            await core.advance(1)

        assert (before, errors[0].exit_code) == (0, 75)
        assert "message 1 stays queued" in errors[0].message
        assert await queued(core, chat) == 1


async def test_who_leaves_while_waiting_leaves_the_message() -> None:
    """It is answered all the same."""
    async with running_core() as core:
        chat = await a_chat(core)

        async with anyio.create_task_group() as group:
            request = SendToChat(task=chat, text="x", wait="30s")
            group.start_soon(Conversing(core.engine).send, request, OPERATOR)
            await wait_queued(core, chat, 1)
            group.cancel_scope.cancel()

        assert (counts(core), await queued(core, chat)) == ({}, 1)


async def test_without_a_daemon_nothing_is_queued_for_a_reply() -> None:
    """Nobody could give one."""
    async with running_core(mode=Mode(is_daemon=False, may_start=False)) as core:
        chat = await a_chat(core)

        with pytest.raises(NeedsDaemonError):
            await Conversing(core.engine).send(
                SendToChat(task=chat, text="x", wait="30s"), OPERATOR
            )

        assert await queued(core, chat) == 0


async def test_the_socket_waits_for_a_reply_too(tmp_path: Path) -> None:
    """As one line, when it is there; a wrong duration is refused at once."""
    async with running_core() as core:
        chat = await a_chat(core)
        service = a_service(core, tmp_path)
        request = {"cmd": "chat_send", "task": chat, "text": "x", "wait": "30s"}
        told = []

        async def wait(wish: str) -> None:
            line = msgspec.json.encode(request | {"wait": wish})
            lines = await service.answer_line(line, PEER)
            assert not isinstance(lines, bytes)
            async with aclosing(lines):
                told.append(msgspec.json.decode(await anext(lines)))

        async with anyio.create_task_group() as group:
            group.start_soon(wait, "30s")
            await wait_queued(core, chat, 1)
            await answer(core, 1, "y")
        with pytest.raises(UserError):
            await wait("soon")
        shown = await say(service, cmd="chat_show", task=chat)

        assert (told[0]["ok"], told[0]["data"]["reply"]["text"]) == (True, "y")
        assert shown["data"]["queued"] == 0
