"""The histories of chats as files: complete, in order, each line once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.core import Core, running_core
from workgraph.daemon.chat_files import INBOX, OUTBOX, ChatFiles
from workgraph.graph.changes import Change, ChangeKind
from workgraph.graph.chat_requests import CreateChat, SendToChat
from workgraph.graph.times import to_rfc3339
from workgraph.logs import NoLog
from workgraph.store import chats
from workgraph.store.database import Tx

OFF = "dispatcher.max_agents=0"


def files_of(core: Core, folder: Path) -> ChatFiles:
    """The files of a core's chats, as a daemon that starts finds them."""
    return ChatFiles(core.store, core.clock, folder, NoLog())


def lines(folder: Path, name: str = INBOX, chat: int = 1) -> list[dict[str, Any]]:
    """What a file says; every line is whole."""
    file = folder / "chat" / str(chat) / name
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


async def conversation(core: Core) -> None:
    """Two messages, of which the first is answered."""
    await core.say(CreateChat())
    await core.say(SendToChat(task="1", text="one"))

    def reply(tx: Tx) -> None:
        chat = chats.by_number(tx, 1)
        chats.answer(tx, chat, 1, "reply", "well\nthen", by="agent-1")
        chats.say(tx, chat, "note", "by the way", by="agent-1")

    await core.store.transaction(reply, core.clock.now())
    await core.say(SendToChat(task="1", text="two"))


async def restart(core: Core, folder: Path) -> None:
    """What a daemon that starts does with all files, to its end."""
    files = files_of(core, folder)
    files.heed([Change(seq=1, at=0, kind=ChangeKind.GRAPH_IMPORTED, by="me")])
    assert await files.write()


async def test_what_is_said_becomes_lines(tmp_path: Path) -> None:
    """Messages here, answers there, in the order of their numbers."""
    async with running_core(OFF) as core:
        files = files_of(core, tmp_path)
        core.engine.listeners.append(files.heed)
        await conversation(core)
        assert await files.write()

        assert lines(tmp_path) == [
            {
                "id": number,
                "chat": ".chat-1",
                "at": to_rfc3339(core.clock.now()),
                "by": "me",
                "kind": "message",
                "text": text,
                "reply_to": None,
            }
            for number, text in ((1, "one"), (4, "two"))
        ]
        out = [
            (one["id"], one["kind"], one["reply_to"]) for one in lines(tmp_path, OUTBOX)
        ]
        assert out == [(2, "reply", 1), (3, "note", None)]


async def test_they_grow_by_nothing_but_what_was_said(tmp_path: Path) -> None:
    """A restart leaves every byte as it is."""
    async with running_core(OFF) as core:
        await conversation(core)
        await restart(core, tmp_path)
        folder = tmp_path / "chat" / "1"
        before = {file: file.read_bytes() for file in folder.iterdir()}
        assert len(before) == 2
        await restart(core, tmp_path)
        assert {file: file.read_bytes() for file in folder.iterdir()} == before


def _cut_short(content: bytes) -> bytes:
    return content[:-7]


def _without_the_last(content: bytes) -> bytes:
    return content[: content.rindex(b"\n", 0, -1) + 1]


def _half_a_line_more(content: bytes) -> bytes:
    return content + b'{"id":9,"ch'


def _gone(_: bytes) -> bytes:
    return b""


def _of_others(content: bytes) -> bytes:
    return content.replace(b'"id":1,', b'"id":7,') + content


def _without_the_first(content: bytes) -> bytes:
    return content[content.index(b"\n") + 1 :]


def _zeros_within(content: bytes) -> bytes:
    return content[:20] + bytes(12) + content[32:]


def _noise(content: bytes) -> bytes:
    return content + b"\0\0\0\0\n"


@pytest.mark.parametrize(
    "broken",
    [
        _cut_short,
        _without_the_last,
        _half_a_line_more,
        _gone,
        _of_others,
        _without_the_first,
        _zeros_within,
        _noise,
    ],
)
async def test_what_a_crash_has_left_is_mended(
    tmp_path: Path, broken: Callable[[bytes], bytes]
) -> None:
    """To the byte, at the next start."""
    async with running_core(OFF) as core:
        await conversation(core)
        await restart(core, tmp_path)
        file = tmp_path / "chat" / "1" / INBOX
        whole = file.read_bytes()
        file.write_bytes(broken(whole))
        await restart(core, tmp_path)
        assert file.read_bytes() == whole


@pytest.mark.slow
@pytest.mark.parametrize("name", [INBOX, OUTBOX])
async def test_a_power_cut_may_cut_a_file_anywhere(tmp_path: Path, name: str) -> None:
    """Its rows are on the disk, it need not be: each byte is there again."""
    async with running_core(OFF) as core:
        await conversation(core)
        await restart(core, tmp_path)
        file = tmp_path / "chat" / "1" / name
        whole = file.read_bytes()
        for end in {*range(0, len(whole), 9), len(whole) - 1}:
            file.write_bytes(whole[:end])
            await restart(core, tmp_path)
            assert file.read_bytes() == whole, end


async def test_a_crash_is_mended_without_a_daemon(tmp_path: Path) -> None:
    """By the next one who says something, of this chat."""
    async with running_core(OFF) as core:
        await conversation(core)
        await restart(core, tmp_path)
        file = tmp_path / "chat" / "1" / INBOX
        file.write_bytes(_cut_short(file.read_bytes()))
        files = files_of(core, tmp_path)
        core.engine.listeners.append(files.heed)
        core.engine.finishers.append(files.write)
        await core.say(SendToChat(task="1", text="three"))
        assert [one["text"] for one in lines(tmp_path)] == ["one", "two", "three"]


async def test_what_could_not_be_written_is_written_later(tmp_path: Path) -> None:
    """After a minute, or with what is said next."""
    async with running_core(OFF) as core:
        await conversation(core)
        (tmp_path / "chat").write_text("in the way")
        async with anyio.create_task_group() as group:
            group.start_soon(files_of(core, tmp_path).run)
            await anyio.wait_all_tasks_blocked()
            (tmp_path / "chat").unlink()
            while len(lines(tmp_path)) < 2 or len(lines(tmp_path, OUTBOX)) < 2:
                core.clock.advance(61)  # it may be writing in vain just now
                await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()


async def test_a_long_line_is_found(tmp_path: Path) -> None:
    """Longer than what is read at once."""
    async with running_core(OFF) as core:
        await core.say(CreateChat())
        await core.say(SendToChat(task="1", text="x" * 200_000))
        await restart(core, tmp_path)
        await core.say(SendToChat(task="1", text="y" * 200_000))
        await restart(core, tmp_path)
        assert [one["id"] for one in lines(tmp_path)] == [1, 2]
