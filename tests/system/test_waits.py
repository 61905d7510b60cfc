"""An agent waits, the daemon is killed, and it goes on in its session."""

from pathlib import Path
from typing import Any

import pytest

from tests.system.project import Project, a_project, wait_for

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

#: A client with sessions. What it says first is in `first`, later on in `then`.
CLIENT = """\
#!/bin/sh
session=$2
say() { printf '{"type":"%s","session_id":"%s",%s}\\n' "$1" "$session" "$2"; }
say system '"subtype":"init"'
say assistant '"message":{"id":"m","content":[{"type":"text","text":"well"}]}'
cat >/dev/null
echo "$WG_AGENT_ID $1 $session" >>"$WG_DIR/../seen"
if [ "$1" = --new ]; then . "$WG_DIR/../first"; else . "$WG_DIR/../then"; fi
say result '"subtype":"success","is_error":false,"result":"well"'
"""
SETTINGS = """
[dispatcher]
max_agents = 1
[executors.tool]
argv = ["@CLIENT@", "--new", "{new_session}"]
resume = ["@CLIENT@", "--go-on", "{session}"]
stream = "claude"
"""


def a_client(project: Project, first: str, then: str = "wg done") -> None:
    """Puts the client there, and says what it does."""
    client = project.folder.parent / "client"
    client.write_text(CLIENT)
    client.chmod(0o755)
    config = project.folder / ".wg/config.toml"
    config.write_text(SETTINGS.replace("@CLIENT@", str(client)))
    (project.folder / "first").write_text(first)
    (project.folder / "then").write_text(then)


def has_left(project: Project, task: str) -> bool:
    """Whether a task waits, and nobody is at it."""
    shown = project.json("show", task)
    return shown["status"] == "waiting" and all(
        run["status"] == "ended" for run in shown["runs"]
    )


def went_on(project: Project, task: str) -> list[Any]:
    """The attempts at a task that was done in one session."""
    wait_for(
        lambda: project.wg("task-status", task).strip() == "done", f"{task} to be done"
    )
    first, second = project.json("show", task)["runs"]
    assert (first["outcome"], first["resumed"]) == ("waiting", False)
    assert second["resumed"]
    assert second["session"] == first["session"]
    assert project.json("show", task)["attempts"] == 1
    seen = (project.folder / "seen").read_text().split()
    assert seen == [
        *(first["id"], "--new", first["session"]),
        *(second["id"], "--go-on", first["session"]),
    ]
    log = project.json("log", task, "--list")
    assert sum("wake" in str(entry) for entry in log) <= 1
    return [first, second]


def test_a_question_outlives_the_daemon(tmp_path: Path) -> None:
    """The slot is free meanwhile; the answer wakes it, in its session."""
    with a_project(tmp_path / "p") as project:
        a_client(project, first="wg ask 'red or blue?'")
        daemon = project.start_daemon()
        task = project.wg("add", "paint", "--executor", "tool").strip()
        wait_for(lambda: has_left(project, task), "it to ask")
        other = project.wg("add", "other", "--exec", "true").strip()
        wait_for(
            lambda: project.wg("task-status", other).strip() == "done", "the other one"
        )

        project.kill_daemon(daemon)
        assert "red or blue?" in project.wg("why", task)
        project.start_daemon()
        project.wg("answer", task, "blue")

        went_on(project, task)
        assert project.error("answer", task, "red")[0] == 1


def test_a_file_that_comes_while_nobody_looks(tmp_path: Path) -> None:
    """Seen by the next daemon; in a folder that was not there."""
    with a_project(tmp_path / "p") as project:
        a_client(project, first="wg wait --until file:out/answer,timer:100ms")
        daemon = project.start_daemon()
        task = project.wg("add", "paint", "--executor", "tool").strip()
        wait_for(lambda: has_left(project, task), "it to wait")

        project.kill_daemon(daemon)
        (project.folder / "out").mkdir()
        project.start_daemon()
        assert project.wg("task-status", task).strip() == "waiting"
        (project.folder / "out/answer").touch()

        went_on(project, task)


def test_it_waits_for_what_it_has_added(tmp_path: Path) -> None:
    """With `--independent`; without it that is a circle, and exit 1 with the remedy."""
    first = """
    id=$(wg add bound --exec true)
    wg wait --until "task:$id=done" 2>"$WG_DIR/../refused"
    echo "exit $?" >>"$WG_DIR/../refused"
    id=$(wg add free --exec true --independent)
    wg wait --until "task:$id=done"
    """
    with a_project(tmp_path / "p") as project:
        a_client(project, first=first)
        project.start_daemon()

        task = project.wg("add", "paint", "--executor", "tool").strip()

        went_on(project, task)
        refused = (project.folder / "refused").read_text()
        assert "paint -> bound -> paint" in refused
        assert "--independent" in refused
        assert "exit 1" in refused


def test_without_a_daemon(tmp_path: Path) -> None:
    """A person waits, asks, and is answered; ticks come with each call."""
    with a_project(tmp_path / "p") as project:
        task = project.wg("add", "paint").strip()
        project.wg("claim", task)
        project.wg("wait", task, "--until", "timer:1ms|message")
        project.wg("service", "tick")
        assert project.wg("task-status", task).strip() == "open"
        project.wg("claim", task)
        project.wg("ask", task, "-", stdin="which?\n")
        assert project.json("show", task)["reserved_for"]

        project.wg("answer", task, "-", stdin="that one\n")
        project.wg("service", "tick")

        assert project.wg("task-status", task).strip() == "open"
        code, error = project.error("wait", task, "--until", "task:x")
        assert code == 2
        assert "task:ID=done" in error["hint"]
