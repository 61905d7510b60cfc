"""An agent's cgroup: nothing gets out of it, and nothing of it is left."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from tests.agents import nasty
from workgraph.agents import cgroups, kill, procfs, signs
from workgraph.agents.cgroups import Cgroups, Place
from workgraph.agents.process import LaunchOrder, RealLauncher, SweepTarget
from workgraph.agents.setup import install_child_watcher
from workgraph.graph.model import ProcessId

pytestmark = pytest.mark.slow

PLACE = cgroups.find_place()
needs_cgroups = pytest.mark.skipif(
    not PLACE.path, reason=f"no cgroup can be had: {PLACE.problem}"
)


def an_order(root: Path, code: str, *, cgroup: bool = True) -> LaunchOrder:
    """A Python program whose first argument is where it reports its pid."""
    return LaunchOrder(
        agent=1,
        folder=f"{root}/.wg/agents/agent-1",
        argv=(sys.executable, "-ISE", "-c", code, f"{root}/pid"),
        env={"WG_AGENT_ID": "agent-1", "WG_DIR": f"{root}/.wg"},
        cwd=str(root),
        cgroup=cgroup,
    )


async def run(launcher: RealLauncher, order: LaunchOrder) -> ProcessId:
    """Starts it, and gives its wrapper."""
    install_child_watcher()
    assert await launcher.prepare([order]) == {}
    return (await launcher.launch(order)).process


async def pid_in(root: Path) -> int:
    """The pid that was reported."""
    with anyio.fail_after(30):
        while True:
            if (root / "pid").exists() and (said := (root / "pid").read_text()):
                return int(said)
            await anyio.sleep(0.005)


def a_sleeper() -> subprocess.Popen[bytes]:
    """A process with no mark of any agent."""
    return subprocess.Popen(["sleep", "1000"], env={}, start_new_session=True)


@pytest.fixture(autouse=True)
def emptied(tmp_path: Path) -> Iterator[None]:
    """Whatever a test has left in a cgroup is ended, and the cgroup removed."""
    yield
    for base in cgroups.find_bases(f"{tmp_path}/.wg"):
        cgroups.kill(base)
        until = time.monotonic() + 60
        while not cgroups.remove(base) and time.monotonic() < until:
            time.sleep(0.005)


def is_gone(pid: int) -> bool:
    """Whether nothing of that number runs."""
    stat = signs.read_stat(pid)
    return stat is None or not stat.alive


def target_of(order: LaunchOrder, wrapper: ProcessId) -> SweepTarget:
    """What a sweep is given."""
    return SweepTarget(agent=1, folder=order.folder, process=wrapper)


@needs_cgroups
async def test_what_sheds_everything_is_ended(tmp_path: Path) -> None:
    """A double fork, a cleared environment, no open file: by its cgroup alone."""
    launcher = RealLauncher()
    order = an_order(tmp_path, nasty.SHEDS_ALL)
    wrapper = await run(launcher, order)
    pid = await pid_in(tmp_path)
    ended = await launcher.wait_ended(1)
    assert not is_gone(pid)
    assert cgroups.agent_of(pid, f"{tmp_path}/.wg") == 1
    assert cgroups.agent_of(pid, f"{tmp_path}/other") is None

    left = await launcher.sweep([target_of(order, wrapper)])

    assert (ended.exit_code, left) == (0, {})
    assert is_gone(pid)
    await launcher.close()
    assert cgroups.find_bases(f"{tmp_path}/.wg") == ()


@needs_cgroups
async def test_without_its_cgroup_it_would_not_be_found(tmp_path: Path) -> None:
    """That the agent above is as nasty as it is meant to be."""
    launcher = RealLauncher()
    order = an_order(tmp_path, nasty.SHEDS_ALL, cgroup=False)
    wrapper = await run(launcher, order)
    pid = await pid_in(tmp_path)
    await launcher.wait_ended(1)

    await launcher.sweep([target_of(order, wrapper)])

    assert not is_gone(pid)
    os.kill(pid, 9)


@needs_cgroups
async def test_another_daemon_finds_it(tmp_path: Path) -> None:
    """One that was started elsewhere, after the first died: by the name alone."""
    order = an_order(tmp_path, nasty.SHEDS_ALL)
    first = RealLauncher()
    wrapper = await run(first, order)
    pid = await pid_in(tmp_path)
    await first.wait_ended(1)

    second = RealLauncher(cgroups=Cgroups(Place(problem="not this one")))
    seen = await second.agents_seen(f"{tmp_path}/.wg/agents")
    left = await second.sweep([target_of(order, wrapper)])

    assert seen == {1}
    assert left == {}
    assert is_gone(pid)
    assert await second.agents_seen(f"{tmp_path}/.wg/agents") == set()
    assert cgroups.find_bases(f"{tmp_path}/.wg") == ()


@needs_cgroups
async def test_a_fork_bomb_is_ended(tmp_path: Path) -> None:
    """`cgroup.kill` reaches what is forked while it kills."""
    code = """
import os, sys
for _ in range(4):
    os.fork()
if os.getpid() == os.getsid(0):
    os._exit(1)
open(sys.argv[1], "w").write("1")
import time
until = time.monotonic() + 20
while time.monotonic() < until:
    if os.fork():
        os._exit(0)
"""
    launcher = RealLauncher()
    order = an_order(tmp_path, code)
    wrapper = await run(launcher, order)
    await pid_in(tmp_path)

    with anyio.fail_after(60):
        left = await launcher.stop(1, order.folder, wrapper, 0.0, force=True)
        await launcher.wait_ended(1)
        left_later = await launcher.sweep([target_of(order, wrapper)])

    assert (left, left_later) == ((), {})
    [base] = cgroups.find_bases(f"{tmp_path}/.wg")
    assert cgroups.pids(base) == frozenset()


async def test_without_a_place_agents_run_as_before(tmp_path: Path) -> None:
    """No cgroup is no reason to start nothing."""
    launcher = RealLauncher(cgroups=Cgroups(Place(problem="none here")))
    order = an_order(tmp_path, "import sys; sys.exit(7)")
    wrapper = await run(launcher, order)

    ended = await launcher.wait_ended(1)

    assert ended.exit_code == 7
    assert await launcher.sweep([target_of(order, wrapper)]) == {}


async def test_a_cgroup_that_has_gone_keeps_no_agent_from_running(
    tmp_path: Path,
) -> None:
    """Removed between its making and the start: it runs without one."""
    launcher = RealLauncher(cgroups=Cgroups(Place(path=str(tmp_path))))
    order = an_order(tmp_path, "import sys; sys.exit(7)")
    install_child_watcher()
    assert await launcher.prepare([order]) == {}
    os.rmdir(f"{tmp_path}/{cgroups.project_name(f'{tmp_path}/.wg')}/agent-1")

    await launcher.launch(order)

    ended = await launcher.wait_ended(1)
    assert ended.exit_code == 7
    assert (tmp_path / ".wg/agents/agent-1/output.log").read_bytes() == b""


@pytest.mark.parametrize("kind", nasty.ALL)
async def test_what_is_left_behind_is_ended_without_one(
    tmp_path: Path, kind: str
) -> None:
    """By session, environment and lock (rule 93)."""
    launcher = RealLauncher()
    order = an_order(tmp_path, nasty.ALL[kind], cgroup=False)
    wrapper = await run(launcher, order)
    pid = await pid_in(tmp_path)
    ended = await launcher.wait_ended(1)

    left = await launcher.sweep([target_of(order, wrapper)])

    assert ended.exit_code == (7 if kind == "deaf" else 0)
    assert left == {}
    assert is_gone(pid)


async def test_what_was_found_before_is_found_by_its_number(tmp_path: Path) -> None:
    """Another daemon's search has no session to go by, and here nothing else."""
    child = a_sleeper()
    stat = signs.read_stat(child.pid)
    assert stat is not None
    boot_id = procfs.read_boot_id()
    known = ProcessId(pid=child.pid, boot_id=boot_id, start_ticks=stat.start_ticks)
    other = ProcessId(pid=child.pid, boot_id=boot_id, start_ticks=1)
    folder = f"{tmp_path}/.wg/agents/agent-1"

    not_it = kill.search(
        (kill.Target(agent=1, folder=folder, known=(other,)),), boot_id
    )
    left = await RealLauncher().sweep(
        [SweepTarget(agent=1, folder=folder, known=(known,))]
    )

    assert (not_it, left) == ({1: ()}, {})
    assert child.wait(60) == -9


def test_where_no_cgroup_can_be_made_says_why(tmp_path: Path) -> None:
    """For `wg doctor`."""
    none = tmp_path / "mounts"
    none.write_text("31 1 0:1 / /proc rw - proc proc rw\n")
    gone = tmp_path / "gone"
    gone.write_text(f"41 31 0:38 / {tmp_path}/x rw - cgroup2 cgroup2 rw\n")

    assert "cgroup v2" in cgroups.find_place(str(none)).problem
    assert str(tmp_path) in cgroups.find_place(str(gone)).problem
