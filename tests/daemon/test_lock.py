import os
import socket
import stat
import subprocess  # noqa: TID251 - locks are between processes
import sys
import tempfile
from pathlib import Path

import pytest

from tests.system.project import wait_for
from workgraph.daemon.lock import (
    Holder,
    ProjectLock,
    bind_socket,
    check_filesystem,
    find_wg_dir,
    socket_path,
    unlink_socket,
)
from workgraph.graph.errors import TryLaterError, UserError

HOLD = """
import sys
from workgraph.daemon.lock import ProjectLock
lock = ProjectLock(sys.argv[1])
print(lock.try_acquire(sys.argv[2]), flush=True)
sys.stdin.read()
"""
RACE = """
import asyncio, sys
from workgraph.daemon.lock import ProjectLock
async def add_one():
    lock = ProjectLock(sys.argv[1])
    for _ in range(int(sys.argv[3])):
        assert await lock.acquire("wg", retry_ms=1)
        count = int(open(sys.argv[2]).read())
        open(sys.argv[2], "w").write(str(count + 1))
        lock.release()
asyncio.run(add_one())
"""


@pytest.fixture
def wg_dir(tmp_path: Path) -> str:
    """A project's folder."""
    folder = tmp_path / ".wg"
    folder.mkdir(mode=0o700)
    return str(folder)


def hold(wg_dir: str, role: str) -> "subprocess.Popen[str]":
    """A process that holds the lock, if it got it."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, wg_dir, role],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout
    assert child.stdout.readline() == "True\n"
    return child


def end(child: "subprocess.Popen[str]") -> None:
    """Kill a child and wait for it."""
    child.kill()
    child.communicate()


def test_a_held_lock_is_not_given_again(wg_dir: str) -> None:
    """And says who holds it, for as long as that is so."""
    first, second = ProjectLock(wg_dir), ProjectLock(wg_dir)

    assert first.try_acquire("wgd")
    assert not second.try_acquire("wg")
    assert second.holder() == Holder(role="wgd", pid=os.getpid())
    first.release()
    assert second.holder() is None
    assert second.try_acquire("wg")
    second.release()


def test_a_killed_holder_holds_nothing(wg_dir: str) -> None:
    """What it wrote into the file means nothing any more."""
    child = hold(wg_dir, "wgd")
    lock = ProjectLock(wg_dir)
    assert lock.holder() == Holder(role="wgd", pid=child.pid)

    end(child)

    assert lock.holder() is None
    assert (Path(wg_dir) / "wgd.lock").read_text() == f"wgd {child.pid}\n"
    assert lock.try_acquire("wg")
    lock.release()


def test_deleting_the_lock_file_lets_nobody_in(wg_dir: str) -> None:
    """The folder is locked, too, and the kernel says by whom."""
    child = hold(wg_dir, "wgd")
    (Path(wg_dir) / "wgd.lock").unlink()

    lock = ProjectLock(wg_dir)

    assert not lock.try_acquire("wgd")
    holder = lock.holder()
    assert holder is not None
    assert holder.pid in {child.pid, None}
    end(child)


def test_the_lock_is_not_inherited(wg_dir: str) -> None:
    """An agent that outlives the daemon does not hold it."""
    lock = ProjectLock(wg_dir)
    assert lock.try_acquire("wgd")
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"],
        stdin=subprocess.PIPE,
        close_fds=False,
        text=True,
    )

    try:
        lock.release()

        # The kernel lets the parent go on before it closes the child's files.
        wait_for(lambda: ProjectLock(wg_dir).holder() is None, "the lock to be free")
    finally:
        end(child)


async def test_waiting_for_another_wg_ends_with_try_later(wg_dir: str) -> None:
    """Exit status 75."""
    child = hold(wg_dir, "wg")

    with pytest.raises(TryLaterError, match=f"pid {child.pid}"):
        await ProjectLock(wg_dir).acquire("wg", wait_for_wg_s=0.05)
    end(child)


async def test_waiting_for_a_daemon_ends_with_its_pid(wg_dir: str) -> None:
    """It is starting, stopping or hanging."""
    child = hold(wg_dir, "wgd")

    with pytest.raises(UserError, match=f"pid {child.pid}"):
        await ProjectLock(wg_dir).acquire("wg", wait_for_daemon_s=0.05)
    end(child)


async def test_waiting_ends_when_a_daemon_answers(wg_dir: str) -> None:
    """Without the lock."""
    holder = ProjectLock(wg_dir)
    assert holder.try_acquire("wgd")
    tries = []

    async def connect() -> bool:
        tries.append(1)
        return len(tries) == 3

    assert not await ProjectLock(wg_dir).acquire("wg", retry_ms=1, on_retry=connect)
    holder.release()


@pytest.mark.slow
def test_racing_processes_lose_no_update(wg_dir: str, tmp_path: Path) -> None:
    """Four of them, the lock file deleted again and again meanwhile."""
    count = tmp_path / "count"
    count.write_text("0")
    argv = [sys.executable, "-c", RACE, wg_dir, str(count), "25"]
    children = [subprocess.Popen(argv) for _ in range(4)]

    while any(child.poll() is None for child in children):
        (Path(wg_dir) / "wgd.lock").unlink(missing_ok=True)

    assert [child.returncode for child in children] == [0] * 4
    assert count.read_text() == "100"


def test_the_socket_is_ours_alone_and_replaces_a_stale_one(wg_dir: str) -> None:
    """Mode 0600 from the first moment."""
    path = socket_path(wg_dir, {})
    bind_socket(path).close()

    listener = bind_socket(path)

    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.close()
    listener.close()
    unlink_socket(path)
    assert not os.path.exists(path)


def test_what_is_no_socket_is_left_alone(wg_dir: str) -> None:
    """It may be somebody's work."""
    path = socket_path(wg_dir, {})
    Path(path).write_text("mine")

    with pytest.raises(UserError, match="not a socket"):
        bind_socket(path)


def test_a_folder_that_others_can_enter_is_refused(wg_dir: str) -> None:
    """The hint says what to do."""
    os.chmod(wg_dir, 0o755)

    with pytest.raises(UserError) as caught:
        bind_socket(socket_path(wg_dir, {}))

    assert caught.value.hint == f"chmod 700 {wg_dir}"


def test_a_long_path_is_served_from_the_runtime_folder(tmp_path: Path) -> None:
    """Its folders are made, for us alone."""
    deep = tmp_path.joinpath("d" * 100, ".wg")
    deep.mkdir(parents=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir="/tmp") as runtime:  # a short path
        path = socket_path(str(deep), {"XDG_RUNTIME_DIR": runtime})
        bind_socket(path).close()
        mode = os.stat(os.path.dirname(path)).st_mode

    assert path.startswith(f"{runtime}/workgraph/")
    assert stat.S_IMODE(mode) == 0o700


def test_a_runtime_folder_that_is_not_private_is_refused(tmp_path: Path) -> None:
    """In /tmp somebody else may have made it first."""
    folder = tmp_path / "workgraph" / "0123"
    folder.mkdir(parents=True, mode=0o700)
    folder.parent.chmod(0o777)

    with pytest.raises(UserError, match="nobody else can enter"):
        bind_socket(str(folder / "s"))


def test_no_project_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    """Whether one was named or looked for."""
    with pytest.raises(UserError, match="no project in nowhere"):
        find_wg_dir(None, str(tmp_path), {"WG_DIR": "nowhere"})


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs"])
def test_an_unsafe_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    r"""By the innermost, latest mount; a space in its path is written \\040."""
    folder = tmp_path / "a b" / "c"
    mounts = tmp_path / "mounts"
    point = str(tmp_path / "a b").replace(" ", "\\040")
    mounts.write_text(
        "21 1 8:1 / / rw - ext4 /dev/sda rw\n"
        f"22 21 0:5 / {point} rw shared:1 - {kind} there:/x rw\n"
    )

    check_filesystem(str(tmp_path), str(mounts))
    with pytest.raises(UserError, match=kind):
        check_filesystem(str(folder), str(mounts))
