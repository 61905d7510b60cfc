"""Who is at the other end, told by the kernel: real sockets, real processes."""

import gc
import os
import signal
import socket
import subprocess  # noqa: TID251 - real processes at the other end
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from workgraph.agents import signs
from workgraph.daemon.peer import Look, Witness, peer_of

CLIENT = """
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
print(flush=True)
sys.stdin.read()
"""


class Ends:
    """A listener, and what tests connect to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.fspath(path))
        self.listener.listen()
        self.children: list[subprocess.Popen[str]] = []

    def connect(self) -> tuple[subprocess.Popen[str], socket.socket]:
        """A process that has connected, and this end of the connection."""
        child = subprocess.Popen(
            [sys.executable, "-ISE", "-c", CLIENT, os.fspath(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.children.append(child)
        assert child.stdout is not None
        child.stdout.readline()
        return child, self.listener.accept()[0]


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    """Closed and ended with the test."""
    made = Ends(tmp_path / "s")
    yield made
    made.listener.close()
    for child in made.children:
        child.kill()
        child.communicate()


async def test_the_process_that_connected_is_looked_at(ends: Ends) -> None:
    """It, and its ancestors; once, however often it is asked."""
    child, sock = ends.connect()
    with sock:
        told = peer_of(sock)

        first = await told.look()
        child.kill()
        child.wait()
        again = await told.look()

    assert (told.pid, told.uid, told.gid) == (child.pid, os.getuid(), os.getgid())
    assert [pid for pid, _ in first.trail.processes][:2] == [child.pid, os.getpid()]
    assert again is first


@pytest.mark.parametrize("is_reaped", [False, True])
@pytest.mark.parametrize("has_pidfd", [False, True])
async def test_who_has_ended_is_gone(
    ends: Ends, is_reaped: bool, has_pidfd: bool
) -> None:
    """A zombie, too; of neither is anything said, whatever has their number."""
    child, sock = ends.connect()
    with sock:
        told = peer_of(sock)
        child.kill()
        if is_reaped:
            child.wait()
        else:
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222

        found = await (told if has_pidfd else Witness(told.pid)).look()

    assert found == Look(is_gone=True)


async def test_a_number_that_is_used_again_is_not_the_caller() -> None:
    """Without a pidfd: what started after the connection is another process."""
    stat = signs.read_stat(os.getpid())
    assert stat is not None

    same = Witness(os.getpid(), connected_at=stat.start_ticks)
    other = Witness(os.getpid(), connected_at=stat.start_ticks - 1)

    assert not (await same.look()).is_gone
    assert (await other.look()).is_gone


async def test_who_is_in_another_namespace_shows_nothing() -> None:
    """Pid 0: no agent of ours can be outside of what we see."""
    assert await Witness(0).look() == Look()


async def test_descriptors_are_not_kept(ends: Ends) -> None:
    """Neither of those that live nor of those that have ended."""
    child, sock = ends.connect()
    with sock:
        gc.collect()  # what others have left open is closed now or never
        before = len(os.listdir("/proc/self/fd"))
        await peer_of(sock).look()
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        await peer_of(sock).look()

        assert len(os.listdir("/proc/self/fd")) == before
