"""Operations on real processes: freeze, drain, what is missing, what is taken away."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.system.chats import moment
from tests.system.project import BIN, PATIENCE_S, Project, a_project, wait_for

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

#: Writes a dot each 20 ms, and so does a child that has left its session.
TICKING = """
setsid sh -c 'while :; do printf . >>child; sleep 0.02; done' &
while :; do printf . >>own; sleep 0.02; done
"""
#: How often what has to happen within a second is tried.
TRIES = 6
#: What lived as long may have lived for a second, as the daemon saw it.
SOON_S = 0.4


def size(project: Project, name: str) -> int:
    """How long a file in the project folder is."""
    try:
        return (project.folder / name).stat().st_size
    except FileNotFoundError:
        return 0


def grows(project: Project, *names: str) -> bool:
    """Whether all of these files grow."""
    before = [size(project, name) for name in names]
    time.sleep(0.2)
    return all(size(project, n) > b for n, b in zip(names, before, strict=True))


def stands(project: Project, *names: str) -> bool:
    """Whether none of these files grows."""
    before = [size(project, name) for name in names]
    time.sleep(0.2)
    return before == [size(project, name) for name in names]


def settings(project: Project, text: str) -> None:
    """Adds to the project's settings."""
    with (project.folder / ".wg" / "config.toml").open("a") as file:
        file.write(text)


def script(path: Path, text: str) -> Path:
    """An executable file."""
    beside = path.with_suffix(".new")
    beside.write_text(f"#!/bin/sh\n{text}\n")
    beside.chmod(0o755)
    beside.rename(path)
    return path


@pytest.mark.long
def test_a_freeze_holds_over_a_kill_of_the_daemon(tmp_path: Path) -> None:
    """Agents stand still with all of theirs, no time counts, and a kill works."""
    with a_project(tmp_path / "p") as project:
        daemon = project.start_daemon()
        task = project.wg("add", "t", "--exec", TICKING, "--timeout", "4s").strip()
        wait_for(lambda: grows(project, "own", "child"), "the agent to tick")

        project.wg("service", "freeze")
        assert stands(project, "own", "child")
        project.kill_daemon(daemon)
        project.start_daemon()
        status = project.json("service", "status")
        assert (status["frozen"], status["paused"]) == (True, True)
        late = project.wg("add", "late", "--exec", "true").strip()
        time.sleep(4)
        assert stands(project, "own", "child")
        assert project.wg("task-status", task).strip() == "in-progress"
        assert [r["code"] for r in project.json("why", late)["reasons"]] == [
            "service_paused"
        ]

        project.wg("service", "thaw")
        wait_for(lambda: grows(project, "own", "child"), "the agent to go on")
        wait_for(lambda: project.wg("task-status", late).strip() == "done", "the task")
        project.wg("service", "freeze")
        (killed,) = project.json("kill", "--all", "--requeue")
        assert (killed["status"], killed["leftover"]) == ("open", [])
        assert project.processes() == []


def test_a_missing_program_costs_nothing_and_is_noticed(tmp_path: Path) -> None:
    """No attempt, no slot, a reason; and the task runs soon after it appears."""
    with a_project(tmp_path / "p") as project:
        tool = project.folder / "tool"
        settings(project, f'[executors.late]\nargv = ["{tool}"]\n')
        project.start_daemon("--max-agents", "1")
        late = project.wg("add", "late", "--executor", "late", "--priority", "0")
        late = late.strip()
        other = project.wg("add", "other", "--exec", "true").strip()
        wait_for(lambda: project.wg("task-status", other).strip() == "done", "other")
        (reason,) = project.json("why", late)["reasons"]
        assert reason["code"] == "misconfigured"
        assert str(tool) in reason["message"]
        assert reason["remedy"]
        assert project.json("show", late)["attempts"] == 0

        script(tool, "echo worked")

        # Nothing else happens that it could be looked for at: a look each few seconds.
        wait_for(lambda: project.wg("task-status", late).strip() == "done", "late")
        assert project.json("show", late)["attempts"] == 1


@pytest.mark.parametrize(
    ("broken", "status", "failure"),
    [
        ("exit 1", "failed", "failed"),
        # there, executable, and yet nothing that the system can run
        pytest.param(None, "open", "spawn-failed", marks=pytest.mark.long),
    ],
    ids=["fails", "can-not-be-run"],
)
def test_a_broken_executor_is_tried_by_few(
    tmp_path: Path, broken: str | None, status: str, failure: str
) -> None:
    """Fifty tasks, eight slots: three starts, then a minute of nothing.

    What lives for a second is not taken for broken (`reactors.breakers`), so it begins
    again where the machine was too slow for that.
    """
    for n in range(TRIES):
        with a_project(tmp_path / f"p{n}") as project:
            if tries_few(project, broken):
                check_few(project, status, failure)
                return
    pytest.skip("this machine takes a second to see that a program has ended")


def tries_few(project: Project, broken: str | None) -> bool:
    """Whether three were started; false if they may have lived for too long."""
    tool = script(project.folder / "tool", broken or "")
    if broken is None:
        tool.write_text("#!/nowhere/at/all\n")
    settings(project, f'[executors.bad]\nargv = ["{tool}"]\n')
    lines = [{"kind": "task", "title": f"t{n}", "executor": "bad"} for n in range(50)]
    graph = "\n".join(json.dumps(line) for line in lines)
    (project.folder / "graph.jsonl").write_text(graph)
    project.wg("import", "graph.jsonl")
    project.start_daemon("--max-agents", "8")
    wait_for(
        lambda: (
            is_quarantined(project, "t49")
            or project.wg("task-status", "t49") == "failed\n"
        ),
        "the breaker",
    )
    other = project.wg("add", "other", "--exec", "true").strip()
    wait_for(lambda: project.wg("task-status", other).strip() == "done", "other")
    time.sleep(2)

    agents = [one for one in project.json("agents") if one["executor"] == "bad"]
    lived = [
        moment(one["ended_at"]) - moment(one["started_at"])
        for one in agents
        if one["started_at"] and one["ended_at"]
    ]
    assert len(agents) == 3 or max(lived, default=0) > SOON_S, agents
    return len(agents) == 3


def is_quarantined(project: Project, task: str) -> bool:
    """Whether that is what keeps a task."""
    reasons = project.json("why", task)["reasons"]
    return [one["code"] for one in reasons] == ["quarantined"]


def check_few(project: Project, status: str, failure: str) -> None:
    """What is told of a broken program, and that it is used when it is mended."""
    tried = project.json("show", "t0")
    assert (tried["status"], tried["failure"]["class"]) == (status, failure)
    assert is_quarantined(project, "t49")

    script(project.folder / "tool", "echo mended")
    project.wg("service", "reload")
    wait_for(lambda: project.json("service", "status")["counts"]["done"] >= 48, "all")


@pytest.mark.long
def test_a_silent_agent_is_stalled(tmp_path: Path) -> None:
    """And one that writes, or calls wg, is not."""
    with a_project(tmp_path / "p") as project:
        settings(
            project,
            '[executors.silent]\nargv = ["sleep", "600"]\n'
            '[executors.writes]\nargv = ["sh", "-c", '
            '"while :; do echo .; sleep 0.2; done"]\n'
            '[executors.calls]\nargv = ["sh", "-c", '
            '"while :; do wg task-status silent >/dev/null; sleep 0.2; done"]\n',
        )
        project.start_daemon()
        for name in ("silent", "writes", "calls"):
            options = (
                "--executor",
                name,
                "--stall-timeout",
                "2s",
                "--max-attempts",
                "1",
            )
            project.wg("add", name, *options)

        wait_for(
            lambda: project.wg("task-status", "silent").strip() == "failed", "the stall"
        )

        failure = project.json("show", "silent")["failure"]
        assert failure["class"] == "stalled"
        time.sleep(2.5)
        for name in ("writes", "calls"):
            assert project.wg("task-status", name).strip() == "in-progress"


def test_a_second_daemon_is_refused_without_the_lock_file(tmp_path: Path) -> None:
    """Deleting it lets nobody in; the one that runs goes on and is named."""
    with a_project(tmp_path / "p") as project:
        daemon = project.start_daemon()
        (project.folder / ".wg" / "wgd.lock").unlink()

        second = subprocess.run(
            [str(BIN / "wgd")],
            cwd=project.folder,
            env=project.env,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

        assert second.returncode == 1
        assert str(daemon.pid) in second.stderr
        assert daemon.poll() is None
        assert project.wg("add", "t", "--exec", "true").strip() == "t"
        wait_for(lambda: project.wg("task-status", "t").strip() == "done", "t")
        assert project.json("service", "status")["pid"] == daemon.pid


def test_a_deleted_database_ends_the_daemon_and_is_saved(tmp_path: Path) -> None:
    """By itself; agents go on, and what it held can be gone on from."""
    with a_project(tmp_path / "p") as project:
        daemon = project.start_daemon()
        end = project.folder / "end"
        wait = f"while ! test -e {end}; do sleep 0.05; done"
        task = project.wg("add", "t", "--exec", wait).strip()
        wait_for(lambda: len(project.processes()) > 0, "the agent")
        database = project.folder / ".wg" / "graph.db"

        database.unlink()

        assert daemon.wait(PATIENCE_S) == 1
        assert project.processes(), "agents go on"
        refused = project.run("service", "start")
        assert refused.returncode == 1
        (saved,) = database.parent.glob("graph.db.rescued-*")
        assert str(saved) in refused.stderr
        assert not database.exists()
        assert saved.stat().st_mode & 0o777 == 0o600

        saved.rename(database)
        project.start_daemon()
        end.touch()
        wait_for(lambda: project.wg("task-status", task).strip() == "done", task)
        assert len(project.json("agents")) == 1


@pytest.mark.long
def test_a_replaced_database_is_noticed_too(tmp_path: Path) -> None:
    """The new file is left as it is, and not written to."""
    with a_project(tmp_path / "p") as project:
        project.wg("add", "early")
        project.wg("backup", "copy.db")
        daemon = project.start_daemon("--max-agents", "0")
        project.wg("add", "late")

        (project.folder / "copy.db").rename(project.folder / ".wg" / "graph.db")

        assert daemon.wait(PATIENCE_S) == 1
        assert [t["id"] for t in project.json("list")] == ["early"]
        (saved,) = (project.folder / ".wg").glob("graph.db.rescued-*")
        saved.rename(project.folder / ".wg" / "graph.db")
        assert [t["id"] for t in project.json("list")] == ["early", "late"]


def test_sigterm_drains_and_keeps_agents(tmp_path: Path) -> None:
    """It waits for no agent; nothing more is started."""
    with a_project(tmp_path / "p") as project:
        settings(project, '[agents]\nkill_grace = "500ms"\n')
        daemon = project.start_daemon("--max-agents", "3")
        for n in range(6):
            project.wg("add", f"t{n}", "--exec", "trap '' TERM; sleep 600")
        # the last that each of the three starts
        wait_for(lambda: len(_sleepers(project)) == 3, "the agents")
        project.wg("service", "pause")
        before = set(project.processes())

        daemon.send_signal(signal.SIGTERM)

        assert daemon.wait(PATIENCE_S) == 0
        assert set(project.processes()) == before
        project.start_daemon("--max-agents", "3")
        status = project.json("service", "status")
        assert (status["paused"], status["agents"]) == (True, 3)
        project.wg("service", "stop", "--kill-agents")
        assert project.processes() == []
        counts = project.json("service", "status")["counts"]
        assert (counts["open"], counts["in-progress"]) == (6, 0)
        assert all(t["attempts"] == 0 for t in project.json("list"))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_thousand_agents_are_adopted_after_a_kill(tmp_path: Path) -> None:
    """Status answers within 2 s of the restart, and every end is recorded."""
    count = 1000
    with a_project(tmp_path / "p") as project:
        lines = [
            {"kind": "task", "title": f"t{n}", "exec": "sleep 3600"}
            for n in range(count)
        ]
        graph = "\n".join(json.dumps(line) for line in lines)
        (project.folder / "graph.jsonl").write_text(graph)
        project.wg("import", "graph.jsonl")
        daemon = project.start_daemon("--max-agents", str(count))
        wait_for(lambda: _agents(project) == count, "all to run", 120)

        with a_project(tmp_path / "empty") as other:
            began = time.monotonic()
            other.start_daemon()
            bare = time.monotonic() - began
        project.kill_daemon(daemon)
        started = time.monotonic()
        daemon = project.start_daemon("--max-agents", str(count))
        status = project.json("service", "status")
        took = time.monotonic() - started

        assert (status["running"], status["agents"]) == (True, count)
        # Two seconds on a machine that has nothing else to do.
        sys.stderr.write(f"answered after {took:.2f} s, of an empty one {bare:.2f}\n")
        assert took < max(2, 3 * bare)
        for pid in _sleepers(project):
            os.kill(pid, signal.SIGTERM)
        wait_for(lambda: _agents(project) == 0, "all ends", 240)
        ended = project.json("agents")
        assert len(ended) == count
        assert {a["status"] for a in ended} == {"ended"}
        daemon.terminate()
        assert daemon.wait(PATIENCE_S) == 0


def _agents(project: Project) -> int:
    """How many have been started and not ended."""
    return sum(a["pid"] is not None for a in project.json("agents", "--alive"))


def _sleepers(project: Project) -> list[int]:
    found = []
    for pid in project.processes():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] == b"sleep":
            found.append(pid)
    return found
