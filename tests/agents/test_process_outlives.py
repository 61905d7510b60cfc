import os
import subprocess
import sys
from pathlib import Path

import anyio.to_thread
import pytest

from workgraph.agents import kill, record, signs
from workgraph.agents.process import (
    Adopted,
    Ended,
    Fate,
    RealLauncher,
)
from workgraph.agents.setup import install_child_watcher
from workgraph.graph.model import ProcessId

#: A daemon: launches an agent for each FIFO, says that they run, and ends as it is
#: told, `wait` to be killed or `exit` for the orderly end. Agents obey their lines.
DAEMON = """
import asyncio
import os
import sys

from workgraph.agents.process import LaunchOrder, RealLauncher
from workgraph.agents.setup import install_child_watcher


AGENT = 'echo >"$1"; read -r x <"$1"; eval "$x"'


async def main(root: str, end: str, fifos: list[str]) -> None:
    install_child_watcher()
    launcher = RealLauncher()
    orders = [
        LaunchOrder(
            agent=agent,
            folder=f"{root}/.wg/agents/agent-{agent}",
            argv=("/bin/sh", "-c", AGENT, "sh", fifo),
            env={"PATH": "/bin:/usr/bin", "WG_AGENT_ID": f"agent-{agent}"},
            cwd=root,
        )
        for agent, fifo in enumerate(fifos, start=1)
    ]
    assert await launcher.prepare(orders) == {}
    for order in orders:
        await launcher.launch(order)
    os.write(1, b"running\\n")
    if end == "wait":
        await asyncio.Event().wait()
    await launcher.close()
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
"""
REPOSITORY = str(Path(__file__).parents[2])

pytestmark = [pytest.mark.slow]

EXPECTED = {
    "exit 0": (Fate.EXITED, 0, None),
    "exit 7": (Fate.EXITED, 7, None),
    "kill -9 $$": (Fate.SIGNALED, None, 9),
}


def _run_daemon(root: Path, end: str, agents: int) -> list[Path]:
    """Runs a daemon to its end, killed with -9 or its own; the agents live on."""
    fifos = [root / f"fifo-{agent}" for agent in range(agents)]
    for fifo in fifos:
        os.mkfifo(fifo)
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(root), end, *map(str, fifos)],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": REPOSITORY},
    )
    assert daemon.stdout is not None
    assert daemon.stdout.readline() == b"running\n"
    for fifo in fifos:
        fifo.read_text()  # its agent has come so far that a signal reaches it
    if end == "wait":
        daemon.kill()
    daemon.communicate()
    return fifos


def _folder(root: Path, agent: int) -> str:
    return f"{root}/.wg/agents/agent-{agent}"


async def _gone(root: Path, agent: int) -> None:
    """Waits for the wrapper, whose pid is in `run`."""
    pid = record.look(_folder(root, agent)).record.pid
    stat = signs.read_stat(pid) if pid else None
    if pid and stat:
        await kill.wait_gone(
            ProcessId(
                pid=pid, boot_id=kill.read_boot_id(), start_ticks=stat.start_ticks
            )
        )


@pytest.mark.parametrize("end", ["wait", "exit"])
async def test_agents_are_adopted_after_the_daemons_end(
    tmp_path: Path, end: str
) -> None:
    """Killed with -9 or ended in order: each agent lives, and its end is known."""
    install_child_watcher()
    fifos = await anyio.to_thread.run_sync(_run_daemon, tmp_path, end, len(EXPECTED))
    launcher = RealLauncher()

    ends = []
    for agent, (fifo, line) in enumerate(zip(fifos, EXPECTED, strict=True), start=1):
        found = await launcher.settle(agent, _folder(tmp_path, agent), None, None)
        assert isinstance(found, Adopted)
        await anyio.to_thread.run_sync(fifo.write_text, f"{line}\n")
        ended = await launcher.wait_ended(agent)
        ends.append((ended.fate, ended.exit_code, ended.signal))

    assert ends == list(EXPECTED.values())


async def test_ends_while_no_daemon_ran_are_known(tmp_path: Path) -> None:
    """The record is all there is, and it is enough."""
    install_child_watcher()
    fifos = await anyio.to_thread.run_sync(_run_daemon, tmp_path, "wait", len(EXPECTED))
    for agent, (fifo, line) in enumerate(zip(fifos, EXPECTED, strict=True), start=1):
        await anyio.to_thread.run_sync(fifo.write_text, f"{line}\n")
        await _gone(tmp_path, agent)

    launcher = RealLauncher()
    ends = []
    for agent in range(1, len(EXPECTED) + 1):
        ended = await launcher.settle(agent, _folder(tmp_path, agent), None, None)
        assert isinstance(ended, Ended)
        ends.append((ended.fate, ended.exit_code, ended.signal))

    assert ends == list(EXPECTED.values())


async def test_an_adopted_agent_is_stopped(tmp_path: Path) -> None:
    """The ladder needs no child of its own."""
    install_child_watcher()
    await anyio.to_thread.run_sync(_run_daemon, tmp_path, "wait", 1)
    launcher = RealLauncher()
    found = await launcher.settle(1, _folder(tmp_path, 1), None, None)

    assert isinstance(found, Adopted)
    left = await launcher.stop(1, _folder(tmp_path, 1), found.process, 60, force=False)
    ended = await launcher.wait_ended(1)

    assert left == ()
    assert (ended.fate, ended.signal) == (Fate.SIGNALED, 15)


async def test_an_adopted_agent_whose_group_was_killed_is_lost(tmp_path: Path) -> None:
    """No record, nobody left: nothing else can be said."""
    install_child_watcher()
    await anyio.to_thread.run_sync(_run_daemon, tmp_path, "wait", 1)
    launcher = RealLauncher()
    found = await launcher.settle(1, _folder(tmp_path, 1), None, None)

    assert isinstance(found, Adopted)
    os.killpg(found.process.pid, 9)
    ended = await launcher.wait_ended(1)
    again = await RealLauncher().settle(1, _folder(tmp_path, 1), None, found.process)

    assert ended.fate is Fate.LOST
    assert isinstance(again, Ended)
    assert again.fate is Fate.LOST
