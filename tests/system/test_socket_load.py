"""Clients that send too much, too slowly or not at all: others don't notice."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.system.project import PATIENCE_S, Project, a_project

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

#: What `wg task-status` may take, the start of Python with it; on a machine that has
#: much else to do, so many times what it takes by a daemon that nobody ill treats.
MOST_S = 0.1
MOST_TIMES = 3
#: A machine that has stalled is asked again; a daemon that is slow stays so.
ROUNDS = 5
#: What may be held on behalf of clients that behave as these do.
MOST_MB = 40
IDLE = 500


class Daemon:
    """One that is looked at while it is ill treated; another one is left alone."""

    def __init__(self, project: Project, other: Project) -> None:
        self.project = project
        self.other = other
        other.start_daemon()
        self.pid = project.start_daemon().pid
        self.path = str(project.folder / ".wg" / "wgd.sock")
        self.status_s()
        self.usual_mb = self.resident_mb()

    def connect(self) -> socket.socket:
        """A client."""
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(PATIENCE_S)
        client.connect(self.path)
        return client

    def resident_mb(self) -> float:
        """What it has in memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def status_s(self) -> tuple[float, float]:
        """How long `wg task-status` takes, by this one and by the other, in turn.

        The third of nine each: others are at work on this machine.
        """
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(9):
            for project, times in zip((self.project, self.other), taken, strict=True):
                began = time.monotonic()
                assert project.wg("task-status", "t") == "open\n"
                times.append(time.monotonic() - began)
        this, other = (sorted(times)[2] for times in taken)
        return this, other

    def check(self) -> None:
        """Asserts that it answers as quickly as the other, and has not grown."""
        found = []
        for _ in range(ROUNDS):
            this, other = self.status_s()
            found.append((this, other))
            if this < max(MOST_S, other * MOST_TIMES):
                break
        else:
            raise AssertionError(found)
        assert self.resident_mb() < self.usual_mb + MOST_MB


@contextmanager
def a_daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon with one task, which nobody works on."""
    with a_project(tmp_path / "p") as project, a_project(tmp_path / "o") as other:
        for one in (project, other):
            one.wg("add", "t", "--paused")
        project.wg("add", "big", "--paused", "-d", "-", stdin="x" * 20_000)
        yield Daemon(project, other)


def test_a_line_of_100_mb_gets_an_error(tmp_path: Path) -> None:
    """While it is sent, others are answered; nothing of it is kept."""
    with a_daemon(tmp_path) as daemon, daemon.connect() as client:

        def send() -> None:
            for _ in range(100):
                client.sendall(b"x" * 1_000_000)
            client.sendall(b"\n")

        sending = threading.Thread(target=send)
        sending.start()
        daemon.check()
        sending.join()

        answers = client.makefile("rb")
        assert b'"code":"bad_request"' in answers.readline()
        client.sendall(b'{"cmd":"task_status","task":"t"}\n')
        assert (
            answers.readline() == b'{"ok":true,"data":{"task":"t","status":"open"}}\n'
        )
        daemon.check()


def test_nesting_of_100000_levels_gets_an_error(tmp_path: Path) -> None:
    """Of arrays, of objects, inside a field; and a hundred of them harm nobody."""
    deep = b"[" * 100_000
    lines = (
        deep,
        b'{"cmd":"done","task":' + deep,
        b'{"cmd":"done","a":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    )
    with a_daemon(tmp_path) as daemon, daemon.connect() as client:
        answers = client.makefile("rb")
        for line in lines * 34:
            client.sendall(line + b"\n")
            assert b'"code":"bad_request"' in answers.readline()

        daemon.check()


def test_500_clients_that_do_nothing_are_in_nobodys_way(tmp_path: Path) -> None:
    """Idle, half a request, half a call, a byte now and then, answers never read."""
    request = b'{"cmd":"show","task":"big"}\n'
    with a_daemon(tmp_path) as daemon, ExitStack() as open_sockets:
        clients = [open_sockets.enter_context(daemon.connect()) for _ in range(IDLE)]
        daemon.check()
        for n, client in enumerate(clients):
            match n % 5:
                case 0:
                    client.sendall(b'{"cmd":"done","task":"' + b"x" * 1000)
                case 1:
                    client.sendall(b"wg1 1000\n" + b"x" * 500)
                case 2:
                    # some 600 kB of answers: more than the buffers take
                    client.sendall(request * 30)
                case _:
                    pass
        is_over = threading.Event()

        def drip() -> None:
            while not is_over.wait(0.5):
                for client in clients[3::5]:
                    with suppress(OSError):  # its time is over
                        client.send(b" ")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            daemon.check()
        finally:
            is_over.set()
            dripping.join()


@pytest.mark.long
def test_who_takes_all_connections_locks_nobody_out(tmp_path: Path) -> None:
    """More idle clients than are served: after a while they make room."""
    with a_daemon(tmp_path) as daemon, ExitStack() as open_sockets:
        for _ in range(1000):
            open_sockets.enter_context(daemon.connect())
        until = time.monotonic() + PATIENCE_S
        while (done := daemon.project.run("task-status", "t")).returncode != 0:
            assert (done.returncode, time.monotonic() < until) == (75, True)
            time.sleep(0.5)

        assert done.stdout == "open\n"
        assert daemon.project.run("service", "stop").returncode == 0
