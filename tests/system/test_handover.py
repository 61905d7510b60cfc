"""What a service manager does to `wgd`, done by hand: real sockets, real processes."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from threading import Thread

import pytest

from tests.system.project import BIN, PATIENCE_S, Project, a_project, wait_for
from workgraph import wg

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

#: LISTEN_PID is the daemon's own pid, which nobody knows before it is there.
START = """
import os, sys
fd = int(sys.argv[1])
os.dup2(fd, 3)
if fd != 3:
    os.close(fd)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.argv[2], sys.argv[2:])
"""
#: Says what it got of its starter: variables, and open files but for the first three.
LOOK = "env; for fd in /proc/self/fd/*; do readlink $fd; done; echo over; sleep 600"


class Manager:
    """Listens at a project's socket, and hears what its daemon says."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.path = str(project.folder / ".wg" / "wgd.sock")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.told.bind(str(project.folder / "notify"))
        #: Taken as they come, as systemd does: a queue that is full keeps the daemon.
        self.messages: Queue[str] = Queue()
        self.listening = Thread(target=self._listen)
        self.listening.start()
        self.daemons: list[subprocess.Popen[bytes]] = []

    def start(self, **env: str) -> "subprocess.Popen[bytes]":
        """A daemon that gets the socket, as systemd would start it."""
        fd = self.listener.fileno()
        notify = {"NOTIFY_SOCKET": str(self.project.folder / "notify")}
        daemon = subprocess.Popen(
            [sys.executable, "-c", START, str(fd), str(BIN / "wgd")],
            cwd=self.project.folder,
            env=self.project.env | notify | env,
            pass_fds=(fd,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.daemons.append(daemon)
        return daemon

    def hear(self, *skipped: str) -> str:
        """The next message that is no pet and no status, or none of these."""
        until = time.monotonic() + PATIENCE_S
        while True:
            message = self.messages.get(timeout=max(until - time.monotonic(), 0.001))
            if not message.startswith(skipped or ("WATCHDOG=1", "STATUS=")):
                return message

    def _listen(self) -> None:
        while (message := self.told.recv(4096)) != b"over":
            self.messages.put(message.decode())

    def close(self) -> None:
        """Ends what it has started."""
        for daemon in self.daemons:
            daemon.kill()
            daemon.wait()
        self.listener.close()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"over", self.told.getsockname())
        self.listening.join()
        self.told.close()
        os.unlink(self.path)
        os.unlink(self.project.folder / "notify")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One without a daemon of its own."""
    with a_project(tmp_path_factory.mktemp("handover") / "p") as project:
        yield project


@pytest.fixture
def manager(project: Project) -> Iterator[Manager]:
    """One for that project."""
    (project.folder / ".wg" / "config.toml").write_text("")
    made = Manager(project)
    yield made
    made.close()


def test_a_daemon_tells_how_it_stands(manager: Manager) -> None:
    """Ready when it answers, around a reload, alive by ticks, and when it ends."""
    daemon = manager.start(WATCHDOG_USEC="200000")

    assert manager.hear() == "READY=1"
    assert manager.hear("STATUS=") == "WATCHDOG=1"
    assert manager.hear("STATUS=") == "WATCHDOG=1"
    assert manager.project.json("service", "status")["pid"] == daemon.pid
    for ask in ("request", "signal"):
        if ask == "request":
            manager.project.wg("service", "reload")
        else:
            daemon.send_signal(signal.SIGHUP)
        assert manager.hear().startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert manager.hear() == "READY=1"
    daemon.send_signal(signal.SIGTERM)
    assert manager.hear() == "STOPPING=1"
    assert daemon.wait(PATIENCE_S) == 0


def test_a_daemon_that_fails_says_why(manager: Manager) -> None:
    """`systemctl status` shows it, and so does `wg service start`."""
    (manager.project.folder / ".wg" / "config.toml").write_text("nonsense = 1\n")

    daemon = manager.start()

    message = manager.hear("WATCHDOG=1")
    assert message.startswith("STATUS=")
    assert "nonsense" in message
    assert daemon.wait(PATIENCE_S) == 1


def test_a_broken_reload_by_signal_keeps_the_old_settings(manager: Manager) -> None:
    """Nobody is there to be told but the log."""
    daemon = manager.start()
    assert manager.hear() == "READY=1"
    (manager.project.folder / ".wg" / "config.toml").write_text("nonsense = 1\n")

    daemon.send_signal(signal.SIGHUP)

    assert manager.hear().startswith("RELOADING=1")
    assert manager.hear() == "READY=1"
    log = manager.project.folder / ".wg" / "log" / "wgd.jsonl"
    wait_for(lambda: "settings_refused" in log.read_text(), "the log to say so")
    assert manager.project.json("service", "status")["pid"] == daemon.pid


def test_the_socket_is_the_managers(manager: Manager) -> None:
    """Who connects before the daemon is there is answered; its end leaves the path."""
    early = socket.socket(socket.AF_UNIX)
    early.settimeout(PATIENCE_S)
    early.connect(manager.path)
    early.sendall(b'{"cmd":"status"}\n')
    first = manager.start()

    answer = early.makefile("rb").readline()

    assert b'"running":true' in answer
    assert f'"socket":"{manager.path}"'.encode() in answer
    first.send_signal(signal.SIGTERM)
    assert first.wait(PATIENCE_S) == 0
    assert os.path.exists(manager.path)
    second = manager.start()
    assert manager.project.wg("list") == ""
    assert manager.project.json("service", "status")["pid"] == second.pid
    early.close()


def test_agents_get_nothing_of_it(manager: Manager) -> None:
    """Neither the variables, not even when all may pass, nor the sockets."""
    project = manager.project
    (project.folder / ".wg" / "config.toml").write_text('[env]\npass = ["*"]\n')
    manager.start(WATCHDOG_USEC="30000000", MARKED="yes")
    # `wg` takes this listener for a daemon that runs, and waits five seconds for it.
    assert manager.hear() == "READY=1"
    project.wg("add", "Look", "--id", "look", "--exec", LOOK)
    output = project.folder / ".wg" / "agents" / "agent-1" / "output.log"
    wait_for(lambda: output.exists() and "over" in output.read_text(), "the agent")

    said = output.read_text()

    assert "MARKED=yes" in said
    for word in ("NOTIFY_SOCKET", "LISTEN_", "WATCHDOG_", "socket:"):
        assert word not in said, word


@pytest.mark.parametrize(
    ("name", "ends", "coming"),
    [("systemd", False, True), ("wgd", False, False), ("wgd", True, True)],
)
def test_a_client_knows_that_the_daemon_is_coming_up(
    tmp_path: Path, name: str, ends: bool, coming: bool
) -> None:
    """By who listened last: systemd, or one that is gone."""
    path = str(tmp_path / "s")
    code = (
        "import os, socket, sys\n"
        "open('/proc/self/comm', 'w').write(sys.argv[2])\n"
        "socket.socket(fileno=int(sys.argv[1])).listen()\n"
        "print('listens', flush=True)\n"
        "sys.stdin.read()\n"
    )
    ours = socket.socket(socket.AF_UNIX)
    ours.bind(path)
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(ours.fileno()), name],
        pass_fds=(ours.fileno(),),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout
    assert child.stdout.readline() == b"listens\n"
    if ends:
        child.communicate()
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)

    assert wg.is_coming_up(client) is coming

    child.communicate()
    client.close()
    ours.close()
