"""Agents that leave something behind, under a real daemon: nothing of them is left."""

import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agents import nasty
from tests.system.project import PATIENCE_S, Project, a_project, wait_for
from workgraph.agents import cgroups, signs

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

AGENTS = nasty.ALL | ({"sheds": nasty.SHEDS_ALL} if cgroups.find_place().path else {})
TIMEOUTS = """
[agents]
kill_grace = "500ms"
[dispatcher]
max_agents = 20
[retry]
max_attempts = 1
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """One whose agents have little time to leave."""
    with a_project(tmp_path / "p") as made:
        (made.folder / ".wg" / "config.toml").write_text(TIMEOUTS)
        yield made


def add(project: Project, name: str, code: str, *more: str) -> None:
    """Adds a task for a nasty agent that reports its pid in a file of its name."""
    (project.folder / f"{name}.py").write_text(code)
    report = project.folder / f"{name}.pid"
    command = shlex.join([sys.executable, "-ISE", f"{name}.py", str(report)])
    project.wg("add", "--id", name, name, "--exec", command, *more)


def pid_of(project: Project, name: str) -> int:
    """What is left of an agent."""
    report = project.folder / f"{name}.pid"
    wait_for(report.exists, f"{name} to report")
    return int(report.read_text())


def is_gone(pid: int) -> bool:
    """Whether nothing of that number runs."""
    stat = signs.read_stat(pid)
    return stat is None or not stat.alive


def agent_of(project: Project, task: str) -> dict[str, Any]:
    """The last attempt at a task."""
    return dict([one for one in project.json("agents") if one["task"] == task][-1])


def wait_gone(pid: int) -> None:
    """Returns when nothing of that number runs."""
    wait_for(lambda: is_gone(pid), f"{pid} to be gone")


def ended_agent_of(project: Project, task: str) -> dict[str, Any]:
    """The first attempt at a task, when it has ended with all that was its."""
    found: list[dict[str, Any]] = []

    def has_ended() -> bool:
        found[:] = [one for one in project.json("agents") if one["task"] == task]
        return bool(found and found[0]["ended_at"] and not found[0]["leftover"])

    wait_for(has_ended, f"{task}'s end")
    return found[0]


def test_nothing_is_left_after_any_end(project: Project) -> None:
    """Sessions, double forks, deaf ones; where cgroups can be had, the barest, too."""
    project.start_daemon()

    for name, code in AGENTS.items():
        add(project, name, code)
    pids = {name: pid_of(project, name) for name in AGENTS}

    for name, pid in pids.items():
        wait_gone(pid)
        agent = ended_agent_of(project, name)
        exit_code = 7 if name == "deaf" else 0
        outcome = "failed" if exit_code else "done"
        assert (agent["exit_code"], agent["signal"]) == (exit_code, None)
        assert (agent["outcome"], agent["leftover"]) == (outcome, [])


def test_what_an_end_nobody_saw_left_is_ended(project: Project) -> None:
    """The daemon dies, the agents end meanwhile, the next one cleans up."""
    daemon = project.start_daemon()
    waits = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\n"
    for name, code in AGENTS.items():
        add(project, name, f"open('{name}.up', 'w').close()\n{waits}{code}")
    for name in AGENTS:
        wait_for((project.folder / f"{name}.up").exists, f"{name} to run")
    project.kill_daemon(daemon)
    (project.folder / "go").touch()
    pids = {name: pid_of(project, name) for name in AGENTS}
    wrappers = [agent_folder / "exit" for agent_folder in agent_folders(project)]
    wait_for(lambda: all(path.exists() for path in wrappers), "the ends")
    assert not any(is_gone(pid) for pid in pids.values())

    project.start_daemon()

    for name, pid in pids.items():
        wait_gone(pid)
        agent = ended_agent_of(project, name)
        assert agent["exit_code"] == (7 if name == "deaf" else 0)
        assert agent["outcome"] == ("failed" if name == "deaf" else "done")


def agent_folders(project: Project) -> list[Path]:
    """The folders of all agents."""
    return sorted((project.folder / ".wg" / "agents").iterdir())


def test_an_agent_that_ignores_term_is_ended(project: Project) -> None:
    """By KILL, after the grace; its child as well."""
    project.start_daemon()
    script = (
        "trap '' TERM; sleep 1004 & echo $! >child; touch up; while :; do wait; done"
    )
    project.wg("add", "t", "--exec", script)
    wait_for((project.folder / "up").exists, "the agent to run")
    child = int((project.folder / "child").read_text())

    project.wg("kill", "agent-1", "--requeue")

    agent = agent_of(project, "t")
    assert is_gone(child)
    [first] = [one for one in project.json("agents") if one["id"] == "agent-1"]
    assert (first["outcome"], first["signal"]) == ("killed", signal.SIGKILL)
    assert first["leftover"] == []
    assert agent["task"] == "t"


def test_strays_of_ended_agents_are_ended_at_the_start(project: Project) -> None:
    """A killed daemon may have written down an end, and not have come to its search."""
    daemon = project.start_daemon()
    project.wg("add", "t", "--exec", "true")
    ended_agent_of(project, "t")
    project.kill_daemon(daemon)
    stray = subprocess.Popen(
        ["sleep", "1005"],
        env={"WG_AGENT_ID": "agent-1", "WG_DIR": str(project.folder / ".wg")},
    )

    project.start_daemon()

    assert stray.wait(PATIENCE_S) == -signal.SIGKILL
