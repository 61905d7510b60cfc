"""`wg chat attach`, as people and scripts use it: a real wg, on a real terminal."""

import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from msgspec.structs import replace

from tests.core import Core, running_core
from tests.daemon.test_service_lines import PEER, a_service
from tests.engine.test_conversing import a_chat, answer, counts, send, wait_queued
from tests.system.project import BIN, PATIENCE_S
from tests.system.screen import Terminal, a_terminal
from workgraph.daemon.lock import bind_socket
from workgraph.daemon.server import Call, Peer, Server, Streams
from workgraph.daemon.service import Service
from workgraph.graph.chat_requests import ArchiveChat, GetChatHistory
from workgraph.graph.chats import chat_number
from workgraph.logs import NoLog

pytestmark = [pytest.mark.system, pytest.mark.slow]


class FromElsewhere:
    """The service for children of this process: the daemon's own may only read."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def answer_line(
        self, line: bytes, peer: Peer
    ) -> bytes | AsyncGenerator[bytes]:
        """As of somebody else."""
        del peer
        return await self._service.answer_line(line, PEER)

    async def run_call(self, call: Call, streams: Streams) -> int:
        """As of somebody else."""
        return await self._service.run_call(replace(call, peer=PEER), streams)


@asynccontextmanager
async def served(core: Core, folder: Path) -> AsyncGenerator[dict[str, str]]:
    """An engine behind a real socket; gives the environment of those who call it."""
    path = os.fspath(folder / "socket")
    handler = FromElsewhere(a_service(core, folder))
    server = Server(handler, owner_uid=os.getuid(), log=NoLog())
    async with anyio.create_task_group() as group:
        await group.start(server.serve, bind_socket(path))
        yield {"PATH": f"{BIN}:/usr/bin:/bin", "WG_SOCKET": path, "WG_ACTOR": "ann"}
        server.stop()


@asynccontextmanager
async def at_terminal(
    env: dict[str, str], chat: str, folder: Path, name: str = "ann"
) -> AsyncGenerator[Terminal]:
    """Somebody who has attached."""
    argv = [str(BIN / "wg"), "chat", "attach", chat]
    with a_terminal(argv, cwd=folder, env=env | {"WG_ACTOR": name}) as terminal:
        await off(terminal.wait_shows, f"{chat} ")
        yield terminal


async def off(job: Callable[..., object], *args: object) -> None:
    """Does what waits in a thread, so that the daemon goes on."""
    await anyio.to_thread.run_sync(job, *args)


async def texts(core: Core, chat: str) -> list[tuple[str, str]]:
    """Who has said what."""
    reply = await core.say(GetChatHistory(task=chat))
    return [(one.by, one.text) for one in reply.data]


async def test_a_conversation(tmp_path: Path) -> None:
    """History, what is typed, a reply as it is written and then whole, and leaving."""
    async with running_core() as core, served(core, tmp_path) as env:
        chat = await a_chat(core, "plans")
        number = chat_number(chat)
        assert number is not None
        first = await send(core, chat, "what was said before")
        await answer(core, first, "and answered")

        async with at_terminal(env, chat, tmp_path) as terminal:
            there = counts(core)
            await off(terminal.wait_shows, "and answered")
            terminal.type("hello\r")
            await wait_queued(core, chat, 1)
            await off(terminal.wait_shows, "  hello")
            core.engine.feed.publish(number, "half a re")
            await off(terminal.wait_shows, "half a re")
            await answer(core, first + 2, "half a reply, and the rest")
            await off(terminal.wait_shows, "and the rest")
            terminal.type("\x04")
            status = await anyio.to_thread.run_sync(terminal.wait_ended)

        shown = terminal.screen.text()
        assert (status, there) == (0, {number: 1})
        assert shown.count("half a re") == 1
        assert shown.index("what was said before") < shown.index("and answered")
        assert await texts(core, chat) == [
            ("me", "what was said before"),
            ("agent-1", "and answered"),
            ("ann", "hello"),
            ("agent-1", "half a reply, and the rest"),
        ]
    assert counts(core) == {}


async def test_several_lines(tmp_path: Path) -> None:
    """By Alt-Enter, by a backslash, or pasted; and a line can be edited."""
    async with running_core() as core, served(core, tmp_path) as env:
        chat = await a_chat(core)

        async with at_terminal(env, chat, tmp_path) as terminal:
            terminal.type("one\x1b\rtwo\r")
            await wait_queued(core, chat, 1)
            terminal.type("three\\\rfour\r")
            await wait_queued(core, chat, 2)
            terminal.type("\x1b[200~five\rsix\n\x1b[201~seven\r")
            await wait_queued(core, chat, 3)
            terminal.type("helo\x1b[Dl\r")
            await wait_queued(core, chat, 4)

        assert [text for _, text in await texts(core, chat)] == [
            "one\ntwo",
            "three\nfour",
            "five\nsix\nseven",
            "hello",
        ]


async def test_two_who_are_attached_see_each_other(tmp_path: Path) -> None:
    """With their names, above what each is typing; one who is killed is gone."""
    async with running_core() as core, served(core, tmp_path) as env:
        chat = await a_chat(core)
        number = chat_number(chat)

        async with (
            at_terminal(env, chat, tmp_path, "ann") as ann,
            at_terminal(env, chat, tmp_path, "bob") as bob,
        ):
            both = counts(core)
            bob.type("not yet sent")
            await off(bob.wait_shows, "> not yet sent")
            ann.type("from ann\r")
            shown = await anyio.to_thread.run_sync(
                bob.wait_shows, "  from ann", "> not yet sent"
            )
            ann.process.kill()
            await gone(core, number)

        assert both == {number: 2}
        assert shown.index("ann ") < shown.index("from ann")
        assert shown.index("from ann") < shown.index("> not yet sent")
        assert [who for who, _ in await texts(core, chat)] == ["ann"]


async def gone(core: Core, number: int | None) -> None:
    """Returns when one alone is in a chat."""
    assert number is not None
    with anyio.fail_after(100):
        while True:
            bell = core.engine.feed.bell(number)
            if counts(core) == {number: 1}:
                return
            await bell.wait()


async def test_ctrl_c_where_nothing_runs(tmp_path: Path) -> None:
    """Clears what is typed; and says how to leave where nothing is."""
    async with running_core() as core, served(core, tmp_path) as env:
        chat = await a_chat(core)

        async with at_terminal(env, chat, tmp_path) as terminal:
            terminal.type("a mistake")
            await off(terminal.wait_shows, "> a mistake")
            terminal.type("\x03")
            await off(
                terminal.wait, lambda: not terminal.shows("a mistake"), "a clear line"
            )
            terminal.type("\x03")
            await off(terminal.wait_shows, "nothing to interrupt; Ctrl-D leaves")


async def test_a_window_that_becomes_smaller(tmp_path: Path) -> None:
    """What is typed is still there, and what comes fits."""
    async with running_core() as core, served(core, tmp_path) as env:
        chat = await a_chat(core)

        async with at_terminal(env, chat, tmp_path) as terminal:
            terminal.type("a line")
            await off(terminal.wait_shows, "> a line")
            terminal.resize(10, 40)
            await off(terminal.wait_shows, "> a line")
            terminal.type(" goes on\r")
            await wait_queued(core, chat, 1)
            await answer(core, 1, "word " * 30 + "end")
            await off(terminal.wait_shows, "end")


async def test_an_archived_chat_ends_it(tmp_path: Path) -> None:
    """With the remedy, and a terminal that is as it was."""
    async with running_core() as core, served(core, tmp_path) as env:
        chat = await a_chat(core)

        async with at_terminal(env, chat, tmp_path) as terminal:
            await core.do(ArchiveChat(task=chat))
            status = await anyio.to_thread.run_sync(terminal.wait_ended)

        assert status == 1
        assert f"hint: wg chat restore {chat}" in terminal.screen.text()


async def by_lines(
    env: dict[str, str], *argv: str, stdin: str
) -> subprocess.CompletedProcess[str]:
    """`wg` in a pipe."""

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / "wg"), *argv],
            env=env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    return await anyio.to_thread.run_sync(run)


async def test_by_lines(tmp_path: Path) -> None:
    """Each line is a message; the answers are printed, and it ends with the last."""
    async with running_core() as core, served(core, tmp_path) as env:
        chat = await a_chat(core)
        done = []

        async def talk() -> None:
            done.append(await by_lines(env, "chat", "attach", chat, stdin="one\n\ntwo"))

        async with anyio.create_task_group() as group:
            group.start_soon(talk)
            await wait_queued(core, chat, 2)
            await answer(core, 1, "uno\ndue")
            await answer(core, 2, "that failed", "error")

        (one,) = done
        assert (one.returncode, one.stdout, one.stderr) == (
            1,
            "uno\ndue\n",
            "that failed\n",
        )


async def test_a_daemon_that_comes_back(tmp_path: Path) -> None:
    """It is waited for; what was said meanwhile is told, and nothing twice."""
    async with running_core() as core:
        chat = await a_chat(core)
        await send(core, chat, "before")
        argv = [str(BIN / "wg"), "chat", "attach", chat]

        with ExitStack() as stack:
            async with served(core, tmp_path) as env:
                terminal = stack.enter_context(a_terminal(argv, cwd=tmp_path, env=env))
                await off(terminal.wait_shows, f"{chat} ")
            await off(terminal.wait_shows, "the daemon is away")
            await send(core, chat, "meanwhile")
            async with served(core, tmp_path):
                await off(terminal.wait_shows, "  meanwhile")
                terminal.type("afterwards\r")
                await off(terminal.wait_shows, "  afterwards")
                terminal.type("\x04")
                status = await anyio.to_thread.run_sync(terminal.wait_ended)

        assert status == 0
        assert terminal.screen.text().count("  before") == 1


async def test_the_terminals_library_is_imported_by_who_attaches_alone() -> None:
    """Other commands that run in the process of `wg` don't pay for it."""
    code = (
        "import sys, workgraph.daemon.offline; print('prompt_toolkit' in sys.modules)"
    )

    out = await anyio.to_thread.run_sync(
        lambda: subprocess.check_output([sys.executable, "-c", code], text=True)
    )

    assert out == "False\n"


async def test_no_daemon_and_no_chat(tmp_path: Path) -> None:
    """Each is said in a line, with its exit status."""
    async with running_core() as core, served(core, tmp_path) as env:
        unknown = await by_lines(env, "chat", "attach", "nobody", stdin="")
        missing = await by_lines(env, "chat", "attach", stdin="")
    away = await by_lines(env, "chat", "attach", "1", stdin="hello\n")

    assert (unknown.returncode, missing.returncode, away.returncode) == (3, 2, 5)
    assert "wg: there is no chat 'nobody'" in unknown.stderr
    assert "hint: wg service start" in away.stderr
