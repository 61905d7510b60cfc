"""What `/proc` tells of a process: real ones, each with one sign."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.project import wait_for
from workgraph.agents import record, signs
from workgraph.agents.signs import Named

SLEEP = "import signal; print(flush=True); signal.pause()"
Start = Callable[..., int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process that waits; gives its pid. All are ended with the test."""
    children: list[subprocess.Popen[str]] = []

    def started(
        code: str = SLEEP, *, env: dict[str, str] | None = None, lock: int = -1
    ) -> int:
        child = subprocess.Popen(
            [sys.executable, "-ISE", "-c", code],
            env=env or {},
            pass_fds=(lock,) if lock >= 0 else (),
            stdout=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        assert child.stdout is not None
        said = child.stdout.readline().strip()
        return int(said) if said else child.pid

    yield started
    for child in children:
        child.kill()
        child.communicate()


def test_a_plain_process_shows_itself_and_its_ancestors(start: Start) -> None:
    """By pid and start time, up to init, which says nothing of anybody."""
    pid = start()

    trail = signs.look(pid)

    pids = [one for one, _ in trail.processes]
    assert pids[:2] == [pid, os.getpid()]
    assert 1 not in pids[1:]
    stat = signs.read_stat(pid)
    assert stat is not None
    assert trail.processes[0] == (pid, stat.start_ticks)
    assert {stat.session} <= trail.sessions
    assert trail.locked == ()


@pytest.mark.parametrize("name", ["WG_AGENT_ID", "WG_GATE"])
def test_the_environment_is_read_of_every_ancestor(start: Start, name: str) -> None:
    """`env -i` between the agent and its child hides nothing."""
    code = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}], env={{}},"
        " stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
        "try: child.wait()\n"
        "finally: child.kill()\n"
    )
    value = "agent-7" if name == "WG_AGENT_ID" else "verify"
    grandchild = start(code, env={name: value, "WG_DIR": "/p/.wg"})
    try:
        trail = signs.look(grandchild)
    finally:
        os.kill(grandchild, signal.SIGKILL)

    said = Named(
        agent=value if name == "WG_AGENT_ID" else "",
        gate=value if name == "WG_GATE" else "",
        wg_dir="/p/.wg",
    )
    assert said in trail.named


def test_the_lock_of_a_folder_is_seen_where_it_was_inherited(
    start: Start, tmp_path: Path
) -> None:
    """And not where the folder is merely open: that is somebody's `ls`."""
    folder = tmp_path / "agents" / "agent-12"
    folder.mkdir(parents=True)
    lock = os.open(folder, os.O_RDONLY)
    record.take_lock(lock)
    holder = start(lock=lock)
    os.close(lock)
    only_open = os.open(tmp_path / "agents" / "agent-12", os.O_RDONLY)
    reader = start(lock=only_open)
    os.close(only_open)

    (found,) = signs.look(holder).locked

    stat = folder.stat()
    assert (found.agent, found.path) == (12, str(folder))
    assert (found.device, found.inode) == (stat.st_dev, stat.st_ino)
    assert signs.look(reader).locked == ()


def test_who_was_left_by_its_parent_is_looked_at_all_the_same(start: Start) -> None:
    """A double fork: the ancestors are gone, its own signs are there."""
    code = (
        "import os, sys, signal\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        "print(os.getpid(), flush=True)\n"
        "os.close(1)\n"
        "signal.pause()\n"
    )
    orphan = start(code, env={"WG_AGENT_ID": "agent-3", "WG_DIR": "/p"})
    try:
        wait_for(lambda: _parent(orphan) != os.getpid(), "its parent to be gone")
        trail = signs.look(orphan)
    finally:
        os.kill(orphan, signal.SIGKILL)

    assert trail.processes[0][0] == orphan
    assert orphan in trail.sessions
    assert trail.named[0] == Named(agent="agent-3", gate="", wg_dir="/p")


def test_ancestors_are_remembered_and_callers_are_not(start: Start) -> None:
    """A number that is used again is another process: its start time differs."""
    memory = signs.Memory()
    pid = start(env={"WG_AGENT_ID": "agent-3", "WG_DIR": "/p"})
    stat = signs.read_stat(pid)
    assert stat is not None

    first = signs.look(pid, memory)

    assert signs.look(pid, memory) == first == signs.look(pid)
    assert memory.signs_of(pid, stat.start_ticks).named == first.named[0]
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert memory.signs_of(pid, stat.start_ticks).named == first.named[0]
    assert memory.signs_of(pid, stat.start_ticks + 1).named is None


def test_nobody_shows_nothing() -> None:
    """A number that is no process's."""
    assert signs.look(2**22 - 1) == signs.Trail()
    assert signs.read_stat(2**22 - 1) is None
    assert signs.read_named(2**22 - 1) is None


def _parent(pid: int) -> int:
    stat = signs.read_stat(pid)
    return stat.parent if stat is not None else 0


def test_who_looks_is_nobodys_sign(tmp_path: Path) -> None:
    """The daemon holds the lock of an agent that it is about to start.

    It is an ancestor of all others: they are not that agent, now or later.
    """
    folder = tmp_path / ".wg" / "agents" / "agent-54"
    folder.mkdir(parents=True)
    lock = os.open(folder, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    memory = signs.Memory()
    with subprocess.Popen(["sleep", "60"]) as child:
        trail = signs.look(child.pid, memory)
        child.kill()
    os.close(lock)

    assert os.getpid() in [pid for pid, _ in trail.processes]
    assert trail.locked == ()
