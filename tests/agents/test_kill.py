import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec import structs

from workgraph.agents import kill, record, signs
from workgraph.agents.kill import Target
from workgraph.graph.model import ProcessId

BOOT = kill.read_boot_id()


class _Children:
    def __init__(self) -> None:
        self.started: list[subprocess.Popen[str]] = []

    def start(
        self, *, env: dict[str, str] | None = None, session: bool = True, lock: int = -1
    ) -> ProcessId:
        code = "import signal; print(flush=True); signal.pause()"
        child = subprocess.Popen(
            [sys.executable, "-ISE", "-c", code],
            env=env or {},
            start_new_session=session,
            pass_fds=(lock,) if lock >= 0 else (),
            stdout=subprocess.PIPE,
            text=True,
        )
        self.started.append(child)
        assert child.stdout is not None
        child.stdout.readline()
        stat = signs.read_stat(child.pid)
        assert stat is not None
        return ProcessId(pid=child.pid, boot_id=BOOT, start_ticks=stat.start_ticks)


@pytest.fixture
def children() -> Iterator[_Children]:
    """Processes that wait for a signal, ended with the test."""
    made = _Children()
    yield made
    for child in made.started:
        child.kill()
        child.communicate()


def _target(root: Path, agent: int = 1) -> Target:
    folder = root / ".wg" / "agents" / f"agent-{agent}"
    folder.mkdir(parents=True, exist_ok=True)
    return Target(agent=agent, folder=str(folder))


def _env(where: Path, agent: int = 1) -> dict[str, str]:
    return {"WG_AGENT_ID": f"agent-{agent}", "WG_DIR": str(where)}


@pytest.mark.parametrize("named", [".wg", "."])
def test_found_by_environment(children: _Children, tmp_path: Path, named: str) -> None:
    """`WG_DIR` is the folder or the one that contains it."""
    target = _target(tmp_path)
    child = children.start(env=_env(tmp_path / named))

    assert kill.search((target,), BOOT) == {1: (child,)}


def test_found_by_environment_though_its_folder_is_a_link(
    children: _Children, tmp_path: Path
) -> None:
    """Where an agent has made its folder lead says nothing of the project."""
    target = _target(tmp_path)
    away = tmp_path / "away" / "far"
    away.mkdir(parents=True)
    Path(target.folder).rmdir()
    Path(target.folder).symlink_to(away)
    child = children.start(env=_env(tmp_path / ".wg"))

    assert kill.search((target,), BOOT) == {1: (child,)}


def test_agents_of_other_projects_are_left_alone(
    children: _Children, tmp_path: Path
) -> None:
    """Agents of all projects have the same ids."""
    target = _target(tmp_path / "a")
    children.start(env=_env(tmp_path / "b"))

    assert kill.search((target,), BOOT) == {1: ()}


def test_found_by_the_lock_with_the_folder_gone(
    children: _Children, tmp_path: Path
) -> None:
    """A cleared environment, a session of its own, and the folder removed."""
    target = _target(tmp_path)
    lock = os.open(target.folder, os.O_RDONLY)
    record.take_lock(lock)
    inode = os.fstat(lock).st_ino
    child = children.start(lock=lock)
    os.close(lock)
    Path(target.folder).rmdir()

    found = kill.search((structs.replace(target, inode=inode),), BOOT)

    assert found == {1: (child,)}


def test_who_only_reads_the_folder_is_left_alone(
    children: _Children, tmp_path: Path
) -> None:
    """The user's `ls` has it open without the lock."""
    target = _target(tmp_path)
    fd = os.open(target.folder, os.O_RDONLY)
    children.start(lock=fd)
    os.close(fd)

    assert kill.search((target,), BOOT) == {1: ()}


def test_a_session_whose_number_is_used_again_is_left_alone(
    children: _Children, tmp_path: Path
) -> None:
    """A leader with another start time is another's."""
    child = children.start()
    older = structs.replace(child, start_ticks=child.start_ticks - 1)
    target = structs.replace(_target(tmp_path), process=older)

    assert kill.search((target,), BOOT) == {1: ()}


async def test_all_that_is_found_is_ended(children: _Children, tmp_path: Path) -> None:
    """Of several agents in one search."""
    targets = [_target(tmp_path, agent) for agent in (1, 2)]
    found = [children.start(env=_env(tmp_path, agent)) for agent in (1, 2, 2)]

    left = await kill.end_all(targets, boot_id=BOOT)

    assert left == {}
    assert not any(kill.is_alive(process, BOOT) for process in found)


def test_a_signal_is_not_sent_to_another_process(children: _Children) -> None:
    """A number that is used again is told by its start time."""
    child = children.start()
    other = structs.replace(child, start_ticks=child.start_ticks + 1)

    kill.send(other, signal.SIGKILL)
    sent = kill.signal_group(other, BOOT, signal.SIGKILL)

    assert not sent
    assert kill.is_alive(child, BOOT)


async def test_a_dead_process_is_not_waited_for() -> None:
    """Nobody's number, or somebody else's."""
    own = signs.read_stat(os.getpid())
    assert own is not None

    await kill.wait_gone(
        ProcessId(pid=os.getpid(), boot_id=BOOT, start_ticks=own.start_ticks + 1)
    )


@contextmanager
def _no_more_files() -> Iterator[None]:
    """This process may open nothing, as if it had too many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = os.open(os.devnull, os.O_RDONLY)
    os.close(spare)
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_cannot_be_looked_at_is_not_taken_for_gone(
    children: _Children, tmp_path: Path
) -> None:
    """Out of files nothing is known of a process, a record, or what is left."""
    target = _target(tmp_path)
    child = children.start(env=_env(tmp_path / ".wg"))
    (Path(target.folder) / "run").write_text("12\n0\n")
    looks: list[Callable[[], object]] = [
        lambda: kill.is_alive(child, BOOT),
        lambda: kill.search((target,), BOOT),
        lambda: record.look(target.folder),
        lambda: kill.send(child, signal.SIGCONT),
    ]

    for look in looks:
        with _no_more_files(), pytest.raises(OSError, match="Too many open files"):
            look()

    assert kill.is_alive(child, BOOT)
    assert kill.search((target,), BOOT) == {1: (child,)}
