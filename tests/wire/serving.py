"""A server with a handler that does what its first argument says; also as a process."""

import os
import sys
from collections.abc import AsyncGenerator

import anyio
import msgspec

from workgraph.daemon.lock import bind_socket
from workgraph.daemon.server import Call, Peer, Server, Streams
from workgraph.graph.errors import NotFoundError
from workgraph.logs import NoLog


class Request(
    msgspec.Struct, tag_field="cmd", tag=str.lower, forbid_unknown_fields=True
):
    """The base of what the fake understands."""


class Echo(Request):
    """Answered with its text."""

    text: str = ""


class Watch(Request):
    """Answered with endless lines."""

    bytes_each: int = 10


class Hang(Request):
    """Never answered; tells whether it was cancelled."""


class Fail(Request):
    """Raises what is a bug."""


DECODER = msgspec.json.Decoder(Echo | Watch | Hang | Fail)


class FakeHandler:
    """Does as it is told, and counts how it ended."""

    def __init__(self) -> None:
        self.started = anyio.Event()
        self.ended = anyio.Event()
        self.sent = 0
        self.calls: list[Call] = []

    async def answer_line(
        self, line: bytes, peer: Peer
    ) -> bytes | AsyncGenerator[bytes]:
        """One line, or a stream."""
        assert peer.uid == os.getuid()
        request: Echo | Watch | Hang | Fail = DECODER.decode(line)
        match request:
            case Echo(text):
                return msgspec.json.encode({"ok": True, "data": text})
            case Watch(size):
                return self._watch(size)
            case Hang():
                self.started.set()
                await anyio.sleep_forever()
            case Fail():
                raise ZeroDivisionError
        return b""

    async def _watch(self, size: int) -> AsyncGenerator[bytes]:
        try:
            while True:
                self.sent += 1
                yield b'"%d%s"' % (self.sent, b"x" * size)
                if self.sent % 100 == 0:
                    await anyio.lowlevel.checkpoint()
        finally:
            self.ended.set()

    async def run_call(  # noqa: C901, PLR0912 - a table of behaviours
        self, call: Call, streams: Streams
    ) -> int:
        """Do what the arguments say."""
        self.calls.append(call)
        match call.argv:
            case ("task-status", _):
                await streams.out("open\n")
            case ("exit", status):
                return int(status)
            case ("show", thing):
                raise NotFoundError(f"no task {thing}", hint="did you mean it?")
            case ("argv", *rest):
                await streams.out("\n".join([*rest, ""]))
            case ("describe",):
                await streams.out(msgspec.json.encode(call, enc_hook=str) + b"\n")
            case ("stdin", limit):
                await streams.out(await streams.read_stdin(int(limit)))
            case ("cat",):
                async for chunk in streams.stdin_chunks():
                    await streams.out(chunk)
            case ("read", path):
                await streams.out(await streams.read_file(path, 1 << 30))
            case ("write", path, size):
                left = int(size)
                chunk = b"y" * 70_000
                chunks = (chunk[: left - at] for at in range(0, left, len(chunk)))
                await streams.write_file(path, chunks)
            case ("flood",):
                async with streams.interruptible():
                    while True:
                        await streams.out("line\n" * 1000)
            case ("follow", path):
                await self._follow(streams, path)
            case ("hang",):
                await streams.out("started\n")
                async with streams.interruptible():
                    await anyio.sleep_forever()
                self.ended.set()
            case ("commit", path):
                # A transaction: not to be cut short.
                await streams.out("started\n")
                await streams.closed.wait()
                await anyio.lowlevel.checkpoint()
                await anyio.Path(path).write_text("committed")
            case ("bug",):
                raise ZeroDivisionError
            case _:
                await streams.err("what?\n")
                return 2
        return 0

    async def _follow(self, streams: Streams, path: str) -> None:
        for number in range(400):
            lines = (f"line {number * 1000 + n}\n" for n in range(1000))
            await streams.out_or_drop("".join(lines))
        await anyio.Path(path).write_text("all said")


async def _serve(path: str) -> None:
    server = Server(FakeHandler(), owner_uid=os.getuid(), log=NoLog())
    async with anyio.create_task_group() as group:
        await group.start(server.serve, bind_socket(path))
        sys.stdout.write("ready\n")
        sys.stdout.flush()


if __name__ == "__main__":
    anyio.run(_serve, sys.argv[1])
