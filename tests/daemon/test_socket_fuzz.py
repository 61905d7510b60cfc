"""The socket under nonsense: one answer a line or a hang-up, and a whole graph after.

A real server over a real engine runs in a thread; the requests are what the union of
requests allows, in values that do and don't make sense, then broken on the way.
"""

import asyncio
import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast, get_args

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import fields

from tests.core import Core, running_core
from tests.daemon.test_service_lines import a_service
from tests.invariants import check_invariants
from workgraph import wire
from workgraph.daemon.lock import bind_socket
from workgraph.daemon.server import Server
from workgraph.graph import requests as r
from workgraph.logs import NoLog

KINDS: Final = tuple(
    cast("Any", kind)
    for kind in get_args(r.AnyRequest)
    # A stream has many answers, a backup goes where it is told.
    if kind not in {r.Watch, r.BackUp}
)
PROBE: Final = b'{"cmd":"task_status","task":"probe"}\n'
#: How long an answer may take before the test says that there is none.
PATIENCE_S: Final = 30.0

words = st.sampled_from(
    (
        *("a", "b", "c", "agent-1", "agent-2", "a-2", "", ".", "..", "nobody", "open"),
        *("default", "shell", "done", "30m", "1d", "-1", "0", "true", "a:b", "a=b"),
        *("*", "x" * 70, "dispatcher.max_agents", "--force", "/", "a\nb", "a\0b"),
        *("\N{GRINNING FACE}", "\ud800"),
    )
)
names = st.sampled_from(["a", "b", "c", "agent-1", "agent-2", "1d"])
scalars = st.one_of(
    words,
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(max_size=20),
)
values = st.one_of(scalars, st.lists(words, max_size=4), st.dictionaries(words, words))


class Served:
    """The server in its thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".wg").mkdir(mode=0o700)
        self.path = str(folder / ".wg" / "wgd.sock")
        self.is_up = threading.Event()
        self.thread = threading.Thread(target=lambda: anyio.run(self.serve))

    async def serve(self) -> None:
        """Serves until `stop`."""
        self.loop = asyncio.get_running_loop()
        async with running_core("dispatcher.max_agents=2") as core:
            self.core: Core = core
            for task in "abc":
                await core.add(task)
            server = Server(a_service(core, self.folder), owner_uid=0, log=NoLog())
            server._clients.owner_uid = self.folder.stat().st_uid  # noqa: SLF001
            self.stopping = anyio.Event()
            async with anyio.create_task_group() as group:
                await group.start(server.serve, bind_socket(self.path))
                self.is_up.set()
                await self.stopping.wait()
                server.stop()

    def stop(self) -> None:
        """Ends the thread; the core looks at its graph a last time."""
        self.loop.call_soon_threadsafe(self.stopping.set)
        self.thread.join()

    def check(self) -> None:
        """Asserts that the graph is whole."""

        async def look() -> None:
            await self.core.store.read(check_invariants, self.core.clock.now())

        asyncio.run_coroutine_threadsafe(look(), self.loop).result(PATIENCE_S)

    def connect(self) -> socket.socket:
        """A client."""
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(PATIENCE_S)
        client.connect(self.path)
        return client


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all examples."""
    made = Served(tmp_path_factory.mktemp("fuzz"))
    made.thread.start()
    assert made.is_up.wait(PATIENCE_S)
    yield made
    made.stop()


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request that may be well formed, and may even make sense."""
    kind = draw(st.sampled_from(KINDS))
    document: dict[str, Any] = {"cmd": kind.__struct_config__.tag}
    known = [field for field in fields(kind) if field.name != "token"]
    for field in known:
        if field.required or draw(st.integers(0, len(known))) < 2:
            document[field.name] = _value_of(draw, field.type)
    spoil = draw(st.integers(0, 19))
    if spoil == 0:
        document[draw(words)] = draw(values)
    elif spoil == 1:
        document.pop(draw(st.sampled_from(list(document))))
    elif spoil == 2:
        document["token"] = draw(words)
    return json.dumps(document).encode()


def _value_of(draw: st.DrawFn, wanted: object) -> object:
    """Mostly what the field is for."""
    told = str(wanted)
    if draw(st.integers(0, 15)) == 0:
        return draw(values)
    if "Literal" in told and (literals := re.findall(r"'([\w.-]+)'", told)):
        return draw(st.sampled_from(literals))
    if "tuple" in told:
        return draw(st.lists(names, max_size=3))
    if "bool" in told:
        return draw(st.booleans())
    if "int" in told or "float" in told:
        return draw(st.integers(0, 5))
    return draw(words if draw(st.integers(0, 3)) == 0 else names)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A request with something done to its bytes."""
    line = draw(requests())
    at = draw(st.integers(0, len(line)))
    piece = draw(
        st.one_of(
            st.binary(max_size=8),
            st.sampled_from(
                [
                    b"",
                    b"[" * 3000,
                    b'{"a":' * 3000,
                    b'"\\ud800"',
                    b"\xff",
                    b"NaN",
                    b"1e999",
                ]
            ),
        )
    )
    cut = draw(st.integers(0, 3))
    return line[:at] + piece + line[at + cut :]


def answers_to(served: Served, line: bytes) -> list[bytes]:
    """What comes back for a line and a probe after it, until the last answer's end."""
    received = b""
    with served.connect() as client:
        client.sendall(line + b"\n" + PROBE)
        client.shutdown(socket.SHUT_WR)
        while chunk := client.recv(1 << 16):
            received += chunk
    return received.splitlines()


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """Mostly requests; some are broken, some never were one."""
    kind = draw(st.integers(0, 9))
    if kind < 2:
        return draw(broken())
    return draw(st.binary(max_size=200) if kind == 2 else requests())


@given(line=lines())
@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_each_line_has_one_answer(served: Served, line: bytes) -> None:
    """Whatever it is; and the next is answered as if nothing had been."""
    line = line.replace(b"\n", b" ")
    if line[:3] in {b"wg%d" % n for n in range(10)} or b'"watch"' in line:
        return
    said = answers_to(served, line)

    assert len(said) == (2 if line.strip() else 1), said
    for answer in map(msgspec.json.decode, said):
        assert answer["ok"] in {True, False}
        if not answer["ok"]:
            assert answer["error"]["message"]
            assert answer["error"]["code"] != "bug", answer
    assert b"probe" in said[-1]
    assert b"not_found" in said[-1]
    served.check()


@given(
    start=st.sampled_from([b"wg1 ", b"wg1", b"wg2 ", b"wg1 5\n", b"wg1 40\n", b""]),
    fields_=st.lists(st.binary(max_size=12), max_size=12),
    argv=st.lists(words, max_size=4),
    tail=st.binary(max_size=40),
)
@settings(max_examples=120, deadline=None)
def test_each_call_has_an_end(
    served: Served, start: bytes, fields_: list[bytes], argv: list[str], tail: bytes
) -> None:
    """An exit status, or a hang-up; nobody else notices."""
    if start:
        sent = start + b"\0".join(fields_) + b"\0"
    else:
        about = (b"1", b"/", b"22", b"000", b"0", b"1")
        arguments = [a.encode("utf-8", "replace").replace(b"\0", b"") for a in argv]
        sent = wire.encode_call(about, [b"USER=me"], arguments)
    received = b""
    with served.connect() as client:
        client.sendall(sent + tail)
        client.shutdown(socket.SHUT_WR)
        while chunk := client.recv(1 << 16):
            received += chunk

    frames = wire.FrameBuffer()
    frames.data += received
    kinds = []
    while frame := frames.take():
        kinds.append(frame[0])
    assert not frames.data
    assert kinds.count(wire.EXIT) <= 1
    assert not kinds or kinds[-1] in {wire.EXIT, wire.ASK_STDIN, wire.READ_FILE}
    assert answers_to(served, PROBE.strip())[0].startswith(b'{"ok":false')
    served.check()
