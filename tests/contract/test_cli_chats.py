"""`wg chat` and its two commands of `wg service`, by real processes and the socket."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_cli_service import a_connection
from tests.system.project import Project, a_project, wait_for, whole_lines

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

#: It reads what it is told, and says nothing.
SILENT = "cat > /dev/null"
#: It goes on after the end of its input, and does not mind TERM.
STUBBORN = "trap '' TERM; while :; do sleep 0.2; done"
HOSTILE = "\x1b[2J\x1b]0;owned\x07\nid  state: archived"


@pytest.fixture(params=["daemon", "offline"])
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Project]:
    """A project, with a daemon or without one."""
    with a_project(tmp_path / "p", {"USER": "me"}) as made:
        if request.param == "daemon":
            made.start_daemon()
        yield made


def history_file(project: Project, name: str, chat: int = 1) -> list[dict[str, Any]]:
    """What a file of a chat's history says."""
    file = project.folder / ".wg" / "chat" / str(chat) / name
    return [json.loads(line) for line in whole_lines(file)]


def test_a_chat_from_its_beginning_to_its_end(project: Project) -> None:
    """Ids and numbers alone are printed; twice is once."""
    assert project.wg("chat", "new", "plans", "--exec", SILENT) == ".chat-1\n"
    assert project.wg("service", "create-chat", "--exec", SILENT) == ".chat-2\n"
    assert project.wg("chat", "send", "plans", "hello") == "1\n"
    assert project.wg("chat", "send", "1", "-", stdin="two\nlines\n") == "2\n"
    [one, other] = project.wg("chat", "list").splitlines()
    assert one.startswith(".chat-1")
    assert one.endswith("plans")
    assert other.split()[:2] == [".chat-2", "idle"]
    assert "  2 waiting  " in one
    stands = project.json("service", "status")["chats"]
    assert (sum(stands["counts"].values()), stands["queued"]) == (2, 2)
    assert "; 2 messages wait" in project.wg("service", "status")
    assert "Messages waiting: 2\n" in project.wg("chat", "show", ".chat-1")
    page = project.wg("show", ".chat-1")
    assert "Messages waiting: 2\n" in page
    assert "Attempts" not in page
    assert "Retry on" not in page
    assert project.json("show", "--task", ".chat-1")["chat"]["queued"] == 2
    assert "    two\n    lines\n" in project.wg(
        "chat", "history", "chat-1", "--last", "1"
    )

    assert project.wg("chat", "archive", "1") == ".chat-1: archived\n"
    assert project.wg("chat", "archive", "1") == ".chat-1: archived\n"
    assert project.wg("task-status", ".chat-1") == "done\n"
    assert project.wg("chat", "list").startswith(".chat-2")
    assert len(project.json("chat", "list", "--all")) == 2
    assert project.wg("chat", "restore", "1").startswith(".chat-1: ")
    assert project.json("chat", "show", "plans")["queued"] == 2
    assert "nothing runs in it" in project.wg("chat", "interrupt", "2")


def test_what_is_answered_as_json(project: Project) -> None:
    """The shapes of the contract."""
    chat = project.json("chat", "new", "plans", "--executor", "claude", "--model", "m")
    assert chat == {
        "id": ".chat-1",
        "name": "plans",
        "state": "idle",
        "consumers": 0,
        "queued": 0,
        "last_consumer_at": None,
        "archived_at": None,
        "purged_at": None,
        "backoff_until": None,
        "executor": "claude",
        "model": "m",
        "exec": None,
        "handler": None,
        "session": None,
        "failures": 0,
        "problem": None,
        "remedy": None,
        "created_at": chat["created_at"],
        "by": "me",
    }
    assert project.json("chat", "show", "plans") == chat
    assert project.json("chat", "list") == [chat]
    project.wg("chat", "archive", "plans")
    project.wg("chat", "new", "--exec", SILENT)
    sent = project.json("chat", "send", ".chat-2", HOSTILE)
    assert sent == {"id": 1, "chat": ".chat-2", "reply": None}
    [said] = project.json("chat", "history", ".chat-2")
    assert said == {
        "id": 1,
        "chat": ".chat-2",
        "at": said["at"],
        "by": "me",
        "kind": "message",
        "text": HOSTILE,
        "reply_to": None,
        "waiting": True,
    }
    assert "\x1b" not in project.wg("chat", "history", ".chat-2")
    shown = project.wg("chat", "history", ".chat-2").splitlines()
    assert [line for line in shown if not line.startswith("    ")] == shown[:1]


def test_what_is_refused_says_what_to_do(project: Project) -> None:
    """With the exit code of its kind."""
    project.wg("chat", "new", "--exec", SILENT)
    project.wg("chat", "archive", "1")
    status, error = project.error("chat", "send", "1", "x")
    assert (status, error["hint"]) == (1, "wg chat restore .chat-1")
    for argv, code in (
        (("chat", "show", "7"), 3),
        (("chat", "archive", "nobody"), 3),
        (("chat", "send", "1"), 2),
        (("chat", "new", "x", "--exec", "cat", "--model", "m"), 2),
        (("chat", "history", "1", "--last", "-1"), 2),
        (("done", ".chat-1"), 1),
        (("retry", ".chat-1"), 1),
        (("spawn", ".chat-1"), None),
    ):
        status, error = project.error(*argv)
        assert status == code or (code is None and status in {1, 5}), (argv, error)
        assert error["hint"], argv


def test_without_a_daemon_there_is_no_answer(tmp_path: Path) -> None:
    """What would have to wait for one is refused; a message alone is queued."""
    with a_project(tmp_path / "p") as project:
        project.wg("chat", "new", "--exec", SILENT)
        for argv in (
            ("chat", "attach", "1"),
            ("chat", "send", "1", "x", "--wait", "1s"),
        ):
            status, error = project.error(*argv)
            assert (status, error["code"]) == (5, "daemon_needed")
            assert "none is running" in error["message"]
            status, error = project.error(*argv[:2], "7", *argv[3:])
            assert (status, error["code"]) == (3, "not_found")
        assert project.json("chat", "history", "1") == []
        assert project.wg("chat", "send", "1", "x") == "1\n"
        assert project.json("service", "status")["chats"] == {
            "counts": {
                "idle": 1,
                "starting": 0,
                "live": 0,
                "backing-off": 0,
                "archived": 0,
            },
            "consumers": 0,
            "queued": 1,
            "backing_off": [],
        }


def test_the_histories_are_files_too(project: Project) -> None:
    """Each line once, over daemons that come, go and are killed."""
    project.wg("chat", "new", "--exec", SILENT)
    project.wg("chat", "send", "1", "one")
    wait_for(lambda: len(history_file(project, "inbox.jsonl")) == 1, "the line")
    daemon = None
    for text in ("two", "three"):
        if daemon is not None:
            project.kill_daemon(daemon)
        project.run("service", "stop")
        project.wg("chat", "send", "1", text)
        # without a daemon it is there before the answer
        assert history_file(project, "inbox.jsonl")[-1]["text"] == text
        daemon = project.start_daemon()
    said = project.json("chat", "history", "1")
    for one in said:
        del one["waiting"]
    wait_for(
        lambda: (
            history_file(project, "inbox.jsonl") + history_file(project, "outbox.jsonl")
            == sorted(said, key=lambda one: one["kind"] != "message")
        ),
        "the files to be as the rows",
    )


@pytest.mark.parametrize("crashed", [False, True])
def test_a_purge_ends_whoever_answers(tmp_path: Path, *, crashed: bool) -> None:
    """With a daemon, and without one after a crash: the result is the same."""
    with a_project(tmp_path / "p") as project:
        settings = project.folder / ".wg" / "config.toml"
        settings.write_text('[agents]\nkill_grace = "100ms"\n')
        daemon = project.start_daemon()
        project.wg("chat", "new", "--exec", STUBBORN)
        project.wg("chat", "new", "--exec", STUBBORN)
        project.wg("chat", "send", "1", "hello")
        wait_for(
            lambda: project.json("chat", "show", "1")["state"] == "live",
            "the handler",
        )
        wait_for(lambda: bool(history_file(project, "inbox.jsonl")), "the line of it")
        if crashed:
            project.kill_daemon(daemon)
        would = project.json("service", "purge-chats", "--dry-run")
        assert would["chats"] == [".chat-1", ".chat-2"]
        assert would["dry_run"]
        assert project.processes()

        purged = project.json("service", "purge-chats")

        assert purged["chats"] == [".chat-1", ".chat-2"]
        assert len(purged["handlers"]) == 1
        wait_for(lambda: not project.processes(), "nobody to be left")
        again = project.wg("service", "purge-chats")
        assert again == "there is nothing to purge\n"
        for chat in project.json("chat", "list", "--all"):
            assert (chat["state"], chat["purged_at"] is None) == ("archived", False)
        tasks = project.json("list", "--all")
        assert [(one["id"], one["status"]) for one in tasks] == [
            (".chat-1", "done"),
            (".chat-2", "done"),
        ]
        assert [one["text"] for one in history_file(project, "inbox.jsonl")] == [
            "hello"
        ]
        if crashed:
            project.start_daemon()
            wait_for(lambda: not project.processes(), "nobody to be left")


def test_an_answer_is_interrupted(tmp_path: Path) -> None:
    """The message gets an error at once, and the next one another handler."""
    with a_project(tmp_path / "p", {"USER": "me"}) as project:
        project.start_daemon()
        project.wg("chat", "new", "--exec", SILENT)
        project.wg("chat", "send", "1", "hello")
        wait_for(
            lambda: project.json("chat", "show", "1")["state"] == "live", "the handler"
        )

        def is_interrupted() -> bool:
            return "message 1" in project.wg("chat", "interrupt", "1")

        wait_for(is_interrupted, "the message to be on its way")
        last = project.json("chat", "history", "1")[-1]
        assert (last["kind"], last["text"], last["reply_to"]) == (
            "error",
            "interrupted by me",
            1,
        )


def test_the_socket_can_do_it_too(tmp_path: Path) -> None:
    """One request for each command, with the same answers."""
    with a_project(tmp_path / "p", {"USER": "me"}) as project:
        project.start_daemon()
        with a_connection(project) as say:
            made = say({"cmd": "create_chat", "name": "plans", "exec": SILENT})
            assert made["data"]["id"] == ".chat-1"
            sent = say({"cmd": "chat_send", "task": "plans", "text": "hello"})
            assert sent["data"] == {"id": 1, "chat": ".chat-1", "reply": None}
            shown = say({"cmd": "chat_show", "task": "1"})["data"]
            [listed] = say({"cmd": "chat_list"})["data"]
            assert shown["id"] == listed["id"] == ".chat-1"
            assert shown["queued"] == 1
            [said] = say({"cmd": "chat_history", "task": ".chat-1", "last": 1})["data"]
            assert said["text"] == "hello"
            assert say({"cmd": "chat_interrupt", "task": ".chat-1"})["ok"]
            assert say({"cmd": "chat_archive", "task": ".chat-1"})["ok"]
            refused = say({"cmd": "chat_send", "task": "1", "text": "x"})["error"]
            assert (refused["code"], refused["hint"]) == (
                "refused",
                "wg chat restore .chat-1",
            )
            assert (
                say({"cmd": "chat_restore", "task": "1"})["data"]["archived_at"] is None
            )
            purged = say({"cmd": "purge-chats"})["data"]
            assert (purged["chats"], purged["dry_run"]) == ([".chat-1"], False)
            assert say({"cmd": "chat_show"})["error"]["code"] == "bad_request"
