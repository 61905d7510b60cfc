"""The disk is full: each command says so, nothing is lost, work goes on by itself."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.mounts import a_mount, fill_up
from tests.system.project import (
    BIN,
    PATIENCE_S,
    Project,
    a_project,
    wait_for,
    whole_lines,
)

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

LONG = "x" * 300_000
#: Fails while a daemon comes up on a machine that is slow.
STATUS = ("--json", "service", "status")


def until(gate: Path, code: int) -> str:
    """A shell task that goes on until a file appears, and leaves a trace of its run.

    It ends by itself when its test was killed and nobody will make the file.
    """
    ran = gate.with_name("ran")
    wait = f"n=0; while ! [ -e {gate} ] && [ $n -lt 10000 ]; do sleep 0.02"
    return f'echo "$WG_TASK_ID" >> {ran}; {wait}; n=$((n + 1)); done; exit {code}'


def check_refused(project: Project, *argv: str, stdin: str | None = None) -> None:
    """One line that says what is wrong, a remedy, exit 1, and nothing on stdout.

    The disk is filled anew each time: who has closed the database has left room.
    """
    disk = project.folder.parent
    fill_up(disk)
    done = project.run(*argv, stdin=stdin)
    told = done.stderr.splitlines()

    assert (done.returncode, done.stdout) == (1, ""), (argv, done)
    assert len(told) == 2, (argv, told)
    assert "disk is full" in told[0] or "No space left" in told[0], (argv, told)
    assert told[1].startswith("hint: "), (argv, told)
    fill_up(disk)
    error = json.loads(project.run("--json", *argv, stdin=stdin).stderr)["error"]
    assert error["code"] == "refused"
    assert error["hint"]


def counts_of(project: Project) -> dict[str, str]:
    """The status of each task."""
    return {task["id"]: task["status"] for task in project.json("list")}


def log_of(project: Project) -> list[str]:
    """The events in the daemon's log; each line of it is whole."""
    file = project.folder / ".wg" / "log" / "wgd.jsonl"
    return [json.loads(line)["event"] for line in whole_lines(file)]


def test_a_disk_that_fills_up_while_agents_run(tmp_path: Path) -> None:
    """Nothing is claimed that is not so; what ended meanwhile is recorded later."""
    gate, ran = tmp_path / "gate", tmp_path / "ran"
    with a_mount(tmp_path / "m", "size=6m") as disk, a_project(disk / "p") as p:
        p.wg("service", "start")  # its standard error is a file on the same disk
        pid = p.json("service", "status")["pid"]
        p.wg("add", "good", "--exec", until(gate, 0))
        p.wg("add", "bad", "--exec", until(gate, 7))
        p.wg("add", "heir", "--after", "good", "--exec", f"echo heir >> {ran}")
        p.wg("add", "idle")
        wait_for(
            lambda: ran.exists() and ran.read_text().count("\n") == 2, "two agents"
        )
        before = counts_of(p)
        check_refused(p, "add", "more", "-d", "-", stdin=LONG)
        check_refused(p, "log", "idle", "-", stdin=LONG)
        check_refused(p, "config", "set", "dispatcher.max_agents", "5")
        check_refused(p, "export", str(disk / "out.jsonl"))
        check_refused(p, "backup", str(disk / "copy.db"))
        assert counts_of(p) == before
        p.wg("show", "idle")
        p.wg("backup", str(tmp_path / "copy.db"))  # another disk: it is wanted now
        p.wg("export", str(tmp_path / "out.jsonl"))
        assert sorted(os.listdir(disk)) == ["filler", "p", "p-home"]
        assert not list((disk / "p" / ".wg").glob("*backup*"))

        gate.touch()
        wait_for(lambda: not p.processes(), "the agents to end")
        ill = [
            one["error"]
            for one in p.json("service", "status")["reactors"]
            if not one["ok"]
        ]
        # what was left of the log may have had room for the ends
        assert all("the disk is full" in error for error in ill)
        assert os.path.exists(f"/proc/{pid}")
        (disk / "filler").unlink()

        settled = {"good": "done", "bad": "failed", "heir": "done", "idle": "open"}
        wait_for(lambda: counts_of(p) == settled, "the ends to be recorded")
        assert sorted(ran.read_text().split()) == ["bad", "good", "heir"]
        codes = {agent["task"]: agent["exit_code"] for agent in p.json("agents")}
        assert codes == {"good": 0, "bad": 7, "heir": 0}
        assert p.json("service", "status")["pid"] == pid
        wait_for(
            lambda: all(one["ok"] for one in p.json("service", "status")["reactors"]),
            "all reactors to work again",
        )
        assert "daemon_started" in log_of(p)
        p.wg("check")


def test_an_artifact_that_does_not_fit(tmp_path: Path) -> None:
    """Nothing is recorded, nothing is left of the copy; a gate waits for room."""
    with a_project(tmp_path / "p") as p:
        copies = p.folder / ".wg" / "artifacts"
        with a_mount(copies, "size=64k"):
            p.start_daemon()
            (p.folder / "large").write_bytes(os.urandom(200_000))
            p.wg("add", "a", "--paused")

            status, error = p.error("artifact", "a", "large")

            assert (status, error["code"]) == (1, "refused")
            assert "No space left on device" in error["message"]
            assert error["hint"].startswith("free some room")
            assert p.json("show", "a")["artifacts"] == []
            assert os.listdir(copies) == []
            p.wg("add", "b", "--exec", "true", "--output", "large")
            wait_for(lambda: p.json("show", "b")["gate"] == "outputs", "the gate")
            larger = ["mount", "-o", "remount,size=4m", str(copies)]
            subprocess.run(larger, check=True)
            wait_for(lambda: p.wg("task-status", "b") == "done\n", "it to be done")
            (copy,) = os.listdir(copies)
            assert [one["sha256"] for one in p.json("show", "b")["artifacts"]] == [copy]


def test_files_of_a_start_that_do_not_fit(tmp_path: Path) -> None:
    """The claim fits and the prompt does not: nothing was started, no attempt used."""
    with a_project(tmp_path / "p") as p:
        agents = p.folder / ".wg" / "agents"
        with a_mount(agents, "size=8k"):
            p.start_daemon("--set", "retry.backoff=500ms")
            p.wg("add", "big", "--exec", "true", "-d", LONG[:100_000])
            # it is tried again and again: each look is one at all that it tells
            task = one_that(lambda: p.json("show", "big"), lambda x: x["retry_at"])
            assert (task["status"], task["attempts"]) == ("open", 0)
            (reason,) = one_that(
                lambda: p.json("why", "big")["reasons"],
                lambda x: [one["code"] for one in x] == ["backoff"],
            )
            assert "No space left on device" in reason["message"]

            larger = ["mount", "-o", "remount,size=4m", str(agents)]
            subprocess.run(larger, check=True)
            wait_for(lambda: p.wg("task-status", "big") == "done\n", "it to be done")
            assert p.json("show", "big")["attempts"] == 1
            *failed, last = [agent["outcome"] for agent in p.json("agents")]
            assert (set(failed), last) == ({"spawn-failed"}, "done")


def one_that(look: Callable[[], Any], is_it: Callable[[Any], object]) -> Any:
    """What is seen at the first look at which something is so."""
    seen: list[Any] = []

    def is_so() -> bool:
        seen[:] = [look()]
        return bool(is_it(seen[0]))

    wait_for(is_so, "a look at it")
    return seen[0]


def test_starting_up_on_a_full_disk(tmp_path: Path) -> None:
    """After a kill: the daemon says why it can't start, and reads go on."""
    gate = tmp_path / "gate"
    with a_mount(tmp_path / "m", "size=6m") as disk, a_project(disk / "p") as p:
        daemon = p.start_daemon()
        p.wg("add", "work", "--exec", until(gate, 0))
        wait_for((tmp_path / "ran").exists, "the agent")
        p.kill_daemon(daemon)

        for argv in (("add", "more"), ("run",), ("service", "start")):
            check_refused(p, *argv)
        fill_up(disk)
        wgd = subprocess.run(
            [str(BIN / "wgd")],
            cwd=p.folder,
            env=p.env,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert wgd.returncode == 1
        assert "disk is full" in wgd.stderr or "No space left" in wgd.stderr
        assert "Traceback" not in wgd.stderr
        shown = p.run("--json", "show", "work")
        assert json.loads(shown.stdout)["data"]["status"] == "in-progress"
        assert "what was last recorded" in shown.stderr
        assert p.run("doctor").returncode == 1

        (disk / "filler").unlink()
        left = disk / "p" / ".wg" / "wg-backup-left"
        left.mkdir()
        p.start_daemon()
        assert not left.exists()
        gate.touch()
        wait_for(lambda: p.wg("task-status", "work") == "done\n", "the end")
        assert (tmp_path / "ran").read_text().split() == ["work"]


def test_a_daemon_that_may_open_no_more_files(tmp_path: Path) -> None:
    """Agents that end meanwhile are not taken for lost, and the daemon gets over it."""
    gate = tmp_path / "gate"
    with a_project(tmp_path / "p") as p:
        daemon = p.start_daemon()
        names = ["one", "two", "three"]
        for code, name in enumerate(names):
            p.wg("add", name, "--exec", until(gate, code))
        ran = tmp_path / "ran"
        wait_for(lambda: ran.exists() and ran.read_text().count("\n") == 3, "agents")
        p.wg("add", "heir", "--after", "one", "--exec", f"echo heir >> {ran}")
        wait_for(lambda: all(a["pid"] for a in p.json("agents")), "their pids")
        used = max(int(fd) for fd in os.listdir(f"/proc/{daemon.pid}/fd")) + 1
        limit_files(daemon.pid, used)

        gate.touch()
        wait_for(lambda: not p.processes(), "the agents to end")
        client = p.run("list")
        assert client.returncode in {0, 1, 75}
        assert "Traceback" not in client.stderr
        assert daemon.poll() is None
        limit_files(daemon.pid, 1024)

        settled = {"one": "done", "two": "failed", "three": "failed", "heir": "done"}
        wait_for(lambda: counts_of(p) == settled, "the ends to be recorded")
        codes = {agent["task"]: agent["exit_code"] for agent in p.json("agents")}
        assert codes["three"] == 2
        assert sorted(ran.read_text().split()) == ["heir", "one", "three", "two"]


def limit_files(pid: int, most: int) -> None:
    """Says how many files a process that runs may have open."""
    argv = ["prlimit", "--pid", str(pid), f"--nofile={most}:"]
    subprocess.run(argv, check=True)


def test_a_standard_error_that_is_full_kills_no_agent(tmp_path: Path) -> None:
    """The daemon's words are lost, the file has them, and its end is an orderly one."""
    gate = tmp_path / "gate"
    with a_project(tmp_path / "p") as p, Path("/dev/full").open("wb") as full:
        daemon = subprocess.Popen(
            [str(BIN / "wgd")], cwd=p.folder, env=p.env, stdout=full, stderr=full
        )
        wait_for(lambda: '"running":true' in p.run(*STATUS).stdout, "the daemon")
        p.wg("add", "work", "--exec", until(gate, 0))
        wait_for((tmp_path / "ran").exists, "the agent")
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(PATIENCE_S)

        assert p.processes()
        assert {"daemon_started", "daemon_stopped"} <= set(log_of(p))
        gate.touch()
        wait_for(lambda: not p.processes(), "the agent to end")
        assert p.wg("task-status", "work") == "done\n"
        with Path("/dev/full").open("wb") as out:
            done = subprocess.run(
                [str(BIN / "wg"), "list"],
                cwd=p.folder,
                env=p.env,
                stdout=out,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert (done.returncode, done.stderr.count("\n")) == (1, 2), done.stderr
