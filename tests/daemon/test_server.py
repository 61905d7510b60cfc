import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from tests.wire.serving import FakeHandler
from workgraph.daemon.connection import Clients, Connection
from workgraph.daemon.lock import bind_socket
from workgraph.daemon.server import BOUNDS, Bounds, Peer, Server
from workgraph.logs import NoLog

ECHO = b'{"cmd":"echo","text":"hello"}\n'
HELLO = {"ok": True, "data": "hello"}


class Running:
    """A server and where it listens."""

    def __init__(self, path: str, handler: FakeHandler, server: Server) -> None:
        self.path = path
        self.handler = handler
        self.server = server
        self.writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client; it is closed with the server."""
        client = await asyncio.open_unix_connection(self.path, limit=1 << 22)
        self.writers.append(client[1])
        return client

    async def ask(self, *requests: bytes) -> list[object]:
        """Send bytes, close the sending side, decode all lines that come back."""
        reader, writer = await self.connect()
        for request in requests:
            writer.write(request)
            await writer.drain()
        writer.write_eof()
        data = await reader.read()
        writer.close()
        return [json.loads(line) for line in data.splitlines()]


@contextlib.asynccontextmanager
async def running(tmp_path: Path, bounds: Bounds = BOUNDS) -> AsyncGenerator[Running]:
    """A server in this loop."""
    wg_dir = tmp_path / ".wg"
    wg_dir.mkdir(mode=0o700)
    path = str(wg_dir / "wgd.sock")
    handler = FakeHandler()
    server = Server(handler, owner_uid=os.getuid(), log=NoLog(), bounds=bounds)
    async with anyio.create_task_group() as group:
        await group.start(server.serve, bind_socket(path))
        wg = Running(path, handler, server)
        yield wg
        for writer in wg.writers:
            writer.close()
        server.stop()


def code(answer: object) -> object:
    """The error code of an answer."""
    assert isinstance(answer, dict)
    assert answer["ok"] is False
    return answer["error"]["code"]


async def test_requests_are_answered_in_order(tmp_path: Path) -> None:
    """Pipelined ones, blank lines between them, the last without its newline."""
    async with running(tmp_path) as wg:
        requests = b"\n  \n".join(b'{"cmd":"echo","text":"%d"}' % n for n in range(500))

        answers = await wg.ask(requests)

    assert answers == [{"ok": True, "data": str(n)} for n in range(500)]


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"nonsense",
        b"wg",
        b"wgx",
        b"\xff\xfe",
        b'{"cmd":"nope"}',
        b'{"cmd":"echo","more":1}',
        b'{"cmd":"echo","text":1}',
        b'{"cmd":"echo","text":"\xff"}',
        b"[" * 100_000,
        b"{" * (1 << 20),
        b" " * (1 << 20) + b"x",
    ],
)
async def test_a_bad_line_gets_an_error_and_the_next_its_answer(
    tmp_path: Path, line: bytes
) -> None:
    """The connection goes on."""
    async with running(tmp_path) as wg:
        bad, good = await wg.ask(line + b"\n", ECHO)

    assert code(bad) == "bad_request"
    assert good == HELLO


async def test_the_rest_of_an_oversize_line_is_discarded(tmp_path: Path) -> None:
    """Of 5 MiB there is one error, and other clients don't notice."""
    async with running(tmp_path) as wg:
        oversize = [b"{" * (1 << 20)] * 5
        (bad, good), other = await asyncio.gather(  # noqa: TID251 - a test's
            wg.ask(*oversize, b"\n", ECHO), wg.ask(ECHO)
        )

    assert code(bad) == "bad_request"
    assert good == HELLO
    assert other == [HELLO]


async def test_the_longest_line_is_answered(tmp_path: Path) -> None:
    """1 MiB without its newline."""
    frame = b'{"cmd":"echo","text":""}'
    text = b"x" * ((1 << 20) - len(frame))
    async with running(tmp_path) as wg:
        (answer,) = await wg.ask(b'{"cmd":"echo","text":"%b"}\n' % text)

    assert answer == {"ok": True, "data": text.decode()}


async def test_a_bug_in_a_handler_harms_nobody(tmp_path: Path) -> None:
    """Not even the connection it happened on."""
    async with running(tmp_path) as wg:
        bug, good = await wg.ask(b'{"cmd":"fail"}\n', ECHO)

    assert code(bug) == "bug"
    assert good == HELLO


async def test_half_open_clients_are_in_nobodys_way(tmp_path: Path) -> None:
    """Connected, half a line, half a call, half a magic."""
    async with running(tmp_path) as wg:
        for start in [b"", b'{"cmd":', b"wg1 70\n0.1.0\0", b"w", b"wg1 5"] * 20:
            _, writer = await wg.connect()
            writer.write(start)

        assert await wg.ask(ECHO) == [HELLO]


@pytest.mark.parametrize(
    "call", [b"wg1 99999999\n", b"wg1 x\n", b"wg1 3\nabc", b"wg1 " + b"9" * 20]
)
async def test_a_malformed_call_is_hung_up_on(tmp_path: Path, call: bytes) -> None:
    """Without an acknowledgement: nothing was done."""
    async with running(tmp_path) as wg:
        reader, writer = await wg.connect()
        writer.write(call)

        assert await reader.read() == b""
        assert await wg.ask(ECHO) == [HELLO]


async def test_a_call_of_another_version_is_told_to_restart(tmp_path: Path) -> None:
    """With an exit status, so that it ends."""
    async with running(tmp_path) as wg:
        reader, writer = await wg.connect()
        writer.write(b"wg2 3\nabc")

        said = await reader.read()

    assert b"wg service restart" in said
    assert said.endswith(b"x1\n1")


async def test_too_many_connections_are_told_so(tmp_path: Path) -> None:
    """By an error line, and only until others leave."""
    async with running(tmp_path, Bounds(connections=3)) as wg:
        clients = [await wg.connect() for _ in range(3)]
        for reader, writer in clients:
            writer.write(ECHO)
            await reader.readline()

        (refused,) = await wg.ask(ECHO)

        assert code(refused) == "try_later"


@pytest.mark.parametrize(("uid", "admitted"), [(4711, True), (0, True), (4712, False)])
async def test_a_stranger_is_not_admitted(uid: int, admitted: bool) -> None:
    """Whose uid is neither the owner's nor root's."""
    clients = Clients(FakeHandler(), 4711, NoLog(), BOUNDS)
    async with anyio.create_task_group() as group:
        connection = Connection(clients, group)
        connection.peer = Peer(pid=1, uid=uid, gid=uid)

        assert clients.admit(connection) is admitted


async def test_a_watch_ends_with_its_client(tmp_path: Path) -> None:
    """Its generator is closed."""
    async with running(tmp_path) as wg:
        reader, writer = await wg.connect()
        writer.write(b'{"cmd":"watch"}\n')
        await reader.readline()

        writer.close()

        await wg.handler.ended.wait()
        assert wg.handler.ended.is_set()


async def test_a_watch_whose_client_does_not_read_waits(tmp_path: Path) -> None:
    """Instead of filling the daemon's memory."""
    async with running(tmp_path) as wg:
        client = socket.socket(socket.AF_UNIX)
        client.connect(wg.path)
        client.sendall(b'{"cmd":"watch","bytes_each":10000}\n')
        sent = -1
        while sent != wg.handler.sent or not sent:
            sent = wg.handler.sent
            for _ in range(50):
                await anyio.lowlevel.checkpoint()

        client.close()

    assert sent < 200


async def test_a_request_goes_on_without_its_client_until_the_end(
    tmp_path: Path,
) -> None:
    """`stop` waits for it no longer than the grace."""
    async with running(tmp_path) as wg:
        _, writer = await wg.connect()
        writer.write(b'{"cmd":"hang"}\n')
        await wg.handler.started.wait()
        writer.close()
        assert await wg.ask(ECHO) == [HELLO]
        assert wg.server._clients._connections  # noqa: SLF001
        wg.server._clients.abort()  # noqa: SLF001 - not to wait for the grace


async def test_a_request_that_drips_is_turned_away(tmp_path: Path) -> None:
    """With an error; one that is whole by then has its answer."""
    async with running(tmp_path, Bounds(arrival_s=0.2)) as wg:
        reader, writer = await wg.connect()
        writer.write(ECHO)
        assert json.loads(await reader.readline()) == HELLO
        await anyio.sleep(0.3)  # longer than a request may take: this one is over
        writer.write(ECHO + ECHO[:5])
        assert json.loads(await reader.readline()) == HELLO

        refused = json.loads(await reader.readline())

        assert code(refused) == "bad_request"
        assert "0.2 s" in refused["error"]["message"]
        assert await reader.read() == b""


@pytest.mark.parametrize("start", [b"w", b"wg1", b"wg1 70\n0.1.0\0"])
async def test_a_call_that_drips_is_turned_away(tmp_path: Path, start: bytes) -> None:
    """At each of its parts; what it is told has an end."""
    async with running(tmp_path, Bounds(arrival_s=0.1)) as wg:
        reader, writer = await wg.connect()
        writer.write(start)

        said = await reader.read()

    assert said.endswith((b"x1\n1", b"}\n"))


async def test_what_all_have_sent_is_bounded(tmp_path: Path) -> None:
    """Whoever has sent most is told to try later; requests that fit are answered."""
    half = b'{"cmd":"echo","text":"' + b"x" * 200_000
    async with running(tmp_path, Bounds(unread_bytes=1_000_000)) as wg:
        clients = []
        for n in range(8):
            client = await wg.connect()
            client[1].write(half + b"x" * n)
            await client[1].drain()
            clients.append(client)

        refused = 0
        for reader, writer in clients:
            writer.write(b'"}\n')
            answer = json.loads(await reader.readline())
            refused += not answer["ok"] and code(answer) == "try_later"

        assert refused >= 3
        assert refused < 8
        assert await wg.ask(ECHO) == [HELLO]


async def test_who_is_idle_makes_room(tmp_path: Path) -> None:
    """The longest first; whoever waits for an answer is never hung up on."""
    async with running(tmp_path, Bounds(connections=3, idle_s=0)) as wg:
        waiting = await wg.connect()
        waiting[1].write(b'{"cmd":"hang"}\n')
        await wg.handler.started.wait()
        idle = [await wg.connect() for _ in range(2)]
        for reader, writer in idle:
            writer.write(ECHO)
            await reader.readline()

        assert await wg.ask(ECHO) == [HELLO]

        assert await idle[0][0].read() == b""
        assert not idle[1][0].at_eof()
        assert not waiting[0].at_eof()
        wg.server._clients.abort()  # noqa: SLF001 - not to wait for the grace


async def test_who_never_reads_holds_little(tmp_path: Path) -> None:
    """Of 2,000 answers of 10 kB those are made that fit the buffers."""
    text = b"x" * 10_000
    request = b'{"cmd":"echo","text":"%b"}\n' % text
    async with running(tmp_path) as wg:
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        client.connect(wg.path)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 2000:
                client.send(request)
                sent += 1
                await anyio.lowlevel.checkpoint()
        assert await wg.ask(ECHO) == [HELLO]
        (held,) = [
            one.transport.get_write_buffer_size() + len(one.received.data)
            for one in wg.server._clients._connections  # noqa: SLF001
        ]
        client.close()

    assert sent < 2000
    assert held < 2 * 1024 * 1024
