"""CONTRACT §7 by real processes: artifacts, what is given to whom, what is missing."""

import hashlib
import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.system.project import Project, a_project, wait_for

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

PRODUCER = "echo first >out.txt && wg artifact out.txt && echo second >out.txt"


def copy_of(project: Project, content: bytes) -> Path:
    """Where the copy of something is."""
    name = hashlib.sha256(content).hexdigest()
    return project.folder / ".wg" / "artifacts" / name


def ask(project: Project, request: dict[str, str]) -> Any:
    """One request by the socket, and its answer."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(project.json("service", "status")["socket"])
        link.sendall(json.dumps(request).encode() + b"\n")
        return json.loads(link.makefile().readline())


def wait_status(project: Project, task: str, status: str) -> None:
    """Returns when a task has a status."""
    wait_for(
        lambda: project.wg("task-status", task) == f"{status}\n", f"{task} {status}"
    )


@pytest.mark.parametrize("daemon", [True, False])
def test_an_artifact_is_kept_as_it_was(tmp_path: Path, *, daemon: bool) -> None:
    """Whatever becomes of the file, and without a daemon as with one."""
    with a_project(tmp_path / "p") as project:
        if daemon:
            project.start_daemon("--max-agents", "0")
        file = project.folder / "a\nfile $HOME"
        file.write_bytes(b"first")
        project.wg("add", "a")
        (told,) = project.json("artifact", "a", file.name)["artifacts"]
        file.write_bytes(b"second")

        assert told == {
            "name": file.name,
            "path": str(file),
            "sha256": hashlib.sha256(b"first").hexdigest(),
            "size": 5,
            "agent": None,
        }
        copy = copy_of(project, b"first")
        assert copy.read_bytes() == b"first"
        assert stat.S_IMODE(copy.stat().st_mode) == 0o400
        for bad in ("nowhere", ".", "/dev/null"):
            assert project.error("artifact", "a", bad)[0] == 1, bad
        assert project.error("artifact", "a", file.name, "--name", "/")[0] == 2
        assert project.error("artifact", "nobody", file.name)[0] == 3
        (finding,) = [
            one for one in project.json("doctor") if one["name"] == "artifacts"
        ]
        assert (finding["ok"], finding["detail"]) == (True, "1 copies")


def test_a_task_without_its_input_never_starts(tmp_path: Path) -> None:
    """`wg why` names producer and input; it starts when that is recorded."""
    with a_project(tmp_path / "p") as project:
        project.start_daemon()
        project.wg("add", "a", "--exec", "true")
        wait_status(project, "a", "done")
        project.wg("add", "b", "--exec", "true", "--input", "a:out.txt")

        assert project.run("spawn", "b").returncode == 1
        assert project.run("claim", "b").returncode == 1
        assert project.run("done", "b").returncode == 1
        assert project.json("ready") == []
        (reason,) = project.json("why", "b")["reasons"]
        assert reason["code"] == "missing_input"
        assert "a:out.txt" in reason["message"]
        assert "a, which is done" in reason["message"]
        assert reason["remedy"].startswith("wg artifact a PATH --name out.txt")
        (found,) = json.loads(project.run("check", "--json").stdout)["data"]
        assert (found["code"], found["task"]) == ("missing_input", "b")
        assert "a:out.txt" in project.json("plan", "b")["problems"][0]
        assert [agent["task"] for agent in project.json("agents")] == ["a"]

        (project.folder / "out.txt").write_text("late")
        project.wg("artifact", "a", "out.txt")
        wait_status(project, "b", "done")


def test_what_the_join_reads_is_what_was_produced(tmp_path: Path) -> None:
    """The file is overwritten; a version produced anew makes the consumer stale."""
    with a_project(tmp_path / "p") as project:
        project.start_daemon()
        project.wg("add", "a", "--exec", PRODUCER)
        project.wg("add", "b", "--exec", "true", "--input", "a:out.txt")
        wait_status(project, "b", "done")

        assert (project.folder / "out.txt").read_text() == "second\n"
        assert copy_of(project, b"first\n").read_bytes() == b"first\n"
        assert project.json("list", "--stale") == []
        (project.folder / "out.txt").write_text("third\n")
        project.wg("artifact", "a", "out.txt")
        (one,) = project.json("list", "--stale")
        assert one["id"] == "b"
        given = {
            "producer": "a",
            "name": "out.txt",
            "given": hashlib.sha256(b"first\n").hexdigest(),
            "now": hashlib.sha256(b"third\n").hexdigest(),
        }
        assert one["stale"] == [given]
        assert "Stale inputs" in project.wg("show", "b")
        found = json.loads(project.run("check", "--json").stdout)["data"]
        assert [one["code"] for one in found] == ["stale"]
        project.wg("retry", "b")
        wait_for(lambda: project.json("list", "--stale") == [], "b to be up to date")


def test_a_promise_is_kept_or_the_task_is_not_done(tmp_path: Path) -> None:
    """With `wg run`, without a daemon before it; what was promised is an artifact."""
    with a_project(tmp_path / "p") as project:
        project.wg(
            "add", "a", "--exec", "mkdir -p out; echo x >out/r", "--output", "out/r"
        )
        project.wg(
            "add", "n", "--exec", "true", "--output", "none", "--max-attempts", "1"
        )
        project.wg("add", "b", "--exec", "true", "--input", "a:out/r")

        assert project.run("run", "--until-idle").returncode == 1

        assert [project.wg("task-status", t).strip() for t in "anb"] == [
            "done",
            "failed",
            "done",
        ]
        (kept,) = project.json("show", "a")["artifacts"]
        assert (kept["name"], kept["agent"]) == ("out/r", "agent-1")
        assert copy_of(project, b"x\n").exists()


def test_it_goes_by_the_socket_too(tmp_path: Path) -> None:
    """A request on a line, as every other command."""
    with a_project(tmp_path / "p") as project:
        project.start_daemon("--max-agents", "0")
        (project.folder / "x").write_text("1")
        project.wg("add", "a")
        answer = ask(project, {"cmd": "artifact", "task": "a", "path": "x\0y"})
        assert (answer["ok"], answer["error"]["code"]) == (False, "refused")
        answer = ask(project, {"cmd": "artifact", "task": "a", "path": "x"})
        assert answer["data"]["artifacts"][0]["path"] == os.fspath(project.folder / "x")
