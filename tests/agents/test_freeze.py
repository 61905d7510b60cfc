"""Freezing real processes: the group, and what has left it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.project import wait_for
from workgraph.agents import freeze, kill, signs
from workgraph.agents.search import Target
from workgraph.graph.model import ProcessId

BOOT = kill.read_boot_id()
#: Says a pid, its own and that of a child which has left its session, each in a line.
TREE = """
setsid sh -c 'echo $$; exec sleep 600' &
sleep 600 &
echo $$; wait
"""


@contextmanager
def an_agent(root: Path) -> Iterator[tuple[Target, set[int]]]:
    """An agent with a child in its group and one in another session."""
    folder = root / ".wg" / "agents" / "agent-1"
    folder.mkdir(parents=True)
    env = {"WG_AGENT_ID": "agent-1", "WG_DIR": f"{root}/.wg", "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(
        ["/bin/sh", "-c", TREE],
        env=env,
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        pids = {int(child.stdout.readline()) for _ in range(2)}
        stat = signs.read_stat(child.pid)
        assert stat is not None
        process = ProcessId(pid=child.pid, boot_id=BOOT, start_ticks=stat.start_ticks)
        target = Target(agent=1, folder=str(folder), process=process)
        try:
            yield target, pids
        finally:
            kill.signal_group(process, BOOT, 9)
            for pid in pids - {child.pid}:
                stat = signs.read_stat(pid)
                assert stat is not None
                found = ProcessId(pid=pid, boot_id=BOOT, start_ticks=stat.start_ticks)
                kill.send(found, 9)


def stopped(pids: set[int]) -> set[bool]:
    """Whether they stand still."""
    stats = [signs.read_stat(pid) for pid in pids]
    return {stat.stopped for stat in stats if stat is not None}


def test_all_of_an_agent_stands_still_and_goes_on(tmp_path: Path) -> None:
    """The child that has a session of its own, too."""
    with an_agent(tmp_path) as (target, pids):
        assert len(pids) == 2

        assert freeze.stop_trees([target], BOOT) == (1,)
        wait_for(lambda: stopped(pids) == {True}, "all to stand still")

        assert freeze.continue_trees([target], BOOT) == (1,)
        wait_for(lambda: stopped(pids) == {False}, "all to go on")


def test_what_is_gone_can_not_be_frozen(tmp_path: Path) -> None:
    """It is not among those that run."""
    gone = ProcessId(pid=1, boot_id=BOOT, start_ticks=0)
    target = Target(agent=1, folder=f"{tmp_path}/agent-1", process=gone)

    assert freeze.stop_trees([target], BOOT) == ()
