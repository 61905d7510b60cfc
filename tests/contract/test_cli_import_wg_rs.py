"""`wg import --format wg-rs` by real processes: the file, and what stands beside it."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.system.project import a_project

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.mark.parametrize("daemon", [True, False])
def test_the_file_and_its_histories_come_in(tmp_path: Path, *, daemon: bool) -> None:
    """From where the file is, by the caller; nothing is started."""
    there = tmp_path / "there" / ".workgraph"
    box = there / "chat" / "2"
    box.mkdir(parents=True)
    lines = [
        {"kind": "task", "id": "work", "title": "Work", "after": [".coordinator-2"]},
        {"kind": "task", "id": ".coordinator-2", "title": "C", "status": "in-progress"},
        {"kind": "task", "id": "old", "title": "Old", "status": "done", "agent": "f0"},
    ]
    graph = there / "graph.jsonl"
    graph.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    said = {"timestamp": "2026-01-01T00:00:00Z", "request_id": "r", "id": 1}
    asked = said | {"role": "user", "content": "how is it?"}
    told = said | {"role": "coordinator", "content": "fine"}
    (box / "inbox.jsonl").write_text(json.dumps(asked) + "\n")
    (box / "archive").mkdir()
    moved = said | {"timestamp": "2025-12-31T00:00:00Z", "role": "user"}
    (box / "archive" / "inbox-20251231-000001.jsonl").write_text(
        json.dumps(moved | {"content": "before", "request_id": "q"}) + "\n"
    )
    (box / "outbox.jsonl").write_text(json.dumps(told) + "\n")
    before = {path: path.read_bytes() for path in there.rglob("*") if path.is_file()}
    with a_project(tmp_path / "p") as project:
        if daemon:
            project.start_daemon("--max-agents", "0")

        done = project.run("import", str(graph), "--format", "wg-rs")

        assert (done.returncode, done.stdout) == (0, "imported 3 tasks, 1 edge\n")
        assert ".coordinator-2 is the chat .chat-2" in done.stderr
        assert "line 3: 'agent' has no equal here" in done.stderr
        assert project.json("show", "work")["after"] == [
            {"id": ".chat-2", "on": "done"}
        ]
        history = project.json("chat", "history", ".chat-2")
        _, asked, set_aside, replied = history
        assert history[0]["text"] == "before"
        assert (asked["text"], replied["text"]) == ("how is it?", "fine")
        assert set_aside["reply_to"] == history[0]["id"]
        assert replied["reply_to"] == asked["id"]
        (chat,) = project.json("chat", "list")
        assert (chat["state"], chat["queued"]) == ("idle", 0)
        code, error = project.error("import", str(graph), "--format", "wg-rs")
        assert (code, error["code"]) == (4, "conflict")
        alone = graph.with_name("alone.jsonl")
        alone.write_text(json.dumps(lines[1]) + "\n")
        again = project.run("import", str(alone), "--format", "wg-rs")
        assert (again.returncode, again.stdout) == (0, "imported 0 tasks\n")
        assert ".coordinator-2 is here already, as .chat-2" in again.stderr
        assert project.json("chat", "history", ".chat-2") == history
        alone.unlink()
        text = graph.read_text() + "{"
        bad = project.run("import", "-", "--format", "wg-rs", stdin=text)
        assert (bad.returncode, "line 4" in bad.stderr) == (1, True)
    now = {path: path.read_bytes() for path in there.rglob("*") if path.is_file()}
    assert now == before


def test_histories_that_can_not_be_read_refuse_the_import(tmp_path: Path) -> None:
    """A folder in the place of one, say."""
    graph = tmp_path / "graph.jsonl"
    graph.write_text('{"id":".chat-1","title":"C"}\n')
    (tmp_path / "chat" / "1" / "inbox.jsonl").mkdir(parents=True)
    with a_project(tmp_path / "p") as project:
        code, error = project.error("import", str(graph), "--format", "wg-rs")

        assert (code, "inbox.jsonl" in error["message"]) == (1, True)
        assert project.json("chat", "list") == []


def test_a_start_makes_chats_and_archives_those_without_a_task(tmp_path: Path) -> None:
    """Once, with a line each; the next start has nothing to say."""
    with a_project(tmp_path / "p") as project:
        project.wg("add", "Old", "--id", "old")
        with closing(sqlite3.connect(project.folder / ".wg" / "graph.db")) as graph:
            graph.execute("update tasks set id = '.coordinator-7' where id = 'old'")
            graph.execute(
                "insert into chats (number, task, created_at, by)"
                " values (3, '.chat-3', 1, 'me')"
            )
            graph.commit()
        log = project.folder.parent / f"{project.folder.name}-wgd.log"

        daemon = project.start_daemon("--max-agents", "0")
        shown = {
            one["id"]: one["state"] for one in project.json("chat", "list", "--all")
        }
        project.kill_daemon(daemon)
        told = log.read_text("utf-8")

        assert shown == {".chat-3": "archived", ".chat-7": "idle"}
        assert told.count("chat_adopted") == 1
        assert told.count("chat_archived") == 1
        project.kill_daemon(project.start_daemon("--max-agents", "0"))
        told = log.read_text("utf-8")
        assert told.count("chat_adopted") == 1
        assert told.count("chat_archived") == 1
