"""Real clients in chats: conversations, interrupts, and sessions that go on."""

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.system.clients import Mock, a_client_project, a_mock, script, session_of
from tests.system.project import PATIENCE_S, Project, wait_for
from tests.system.test_chat_handlers import (
    answers,
    handlers,
    said,
    send,
    wait_answer,
)

pytestmark = [pytest.mark.agents, pytest.mark.timeout(400)]

#: What the mock counts for each answer where a script says nothing of it.
INPUT, OUTPUT = 100, 20


def asks(project: Project, chat: str, *steps: Mapping[str, Any]) -> int:
    """Sends what makes the mock answer so."""
    return send(project, chat, script(*steps))


def answered(project: Project, chat: str, *steps: Mapping[str, Any]) -> str:
    """The reply to a message that the mock answers so."""
    kind, text = wait_answer(project, chat, asks(project, chat, *steps))
    assert kind == "reply", text
    return text


def session(project: Project, chat: str) -> str | None:
    """What the client calls the conversation."""
    found: str | None = project.json("chat", "show", chat)["session"]
    return found


def turns_seen(mock: Mock) -> list[int]:
    """How many messages of the conversation each request had before its own."""
    return [one["turn"] for one in mock.requests()]


def test_a_conversation_goes_on_over_a_restart_in_one_session(tmp_path: Path) -> None:
    """Five turns with claude: three in one process, two in the next daemon's."""
    with a_mock() as mock, a_client_project(tmp_path / "p", mock, "claude") as project:
        project.start_daemon()
        chat = project.wg("chat", "new", "--executor", "claude").strip()
        said_so = [
            answered(project, chat, {"text": "one"}),
            answered(
                project,
                chat,
                {"text": "I look.", "shell": "wg list >seen.txt && wg log here"},
                {"text": "two"},
            ),
            answered(project, chat, {"text": "three"}),
        ]
        before = session(project, chat)
        project.wg("service", "stop")
        wait_for(lambda: not project.processes(), "the handler to end")
        project.start_daemon()
        said_so += [
            answered(project, chat, {"text": "four"}),
            answered(project, chat, {"text": "five"}),
        ]

        first, second = handlers(project, chat)
        requests = mock.requests()

        assert said_so == ["one", "two", "three", "four", "five"]
        assert before is not None
        assert session(project, chat) == before
        assert session_of(project, 1) == (before, None)
        assert session_of(project, 2) == (before, before)
        assert len(requests) == 6
        assert (project.folder / "seen.txt").exists()
        for row, count in ((first, 4), (second, 2)):
            assert row["usage"]["input_tokens"] == INPUT * count
            assert row["usage"]["output_tokens"] == OUTPUT * count
        assert first["usage"]["cost_usd"] == pytest.approx(0.0008 * 4)
        assert second["usage"]["cost_usd"] == pytest.approx(0.0008 * 2)
        assert [row["kind"] for row in said(project, chat)] == ["message", "reply"] * 5
        plan = json.loads((project.folder / ".wg/agents/agent-2/plan.json").read_text())
        assert plan["stdin"]["value"] == "pipe"
        argv = plan["argv"]["value"]
        assert argv[argv.index("--resume") + 1] == before


def test_an_interrupt_ends_the_turn_and_keeps_the_process(tmp_path: Path) -> None:
    """The next message is answered by the same one, in the same session."""
    with a_mock() as mock, a_client_project(tmp_path / "p", mock, "claude") as project:
        project.start_daemon()
        chat = project.wg("chat", "new", "--executor", "claude").strip()
        assert answered(project, chat, {"text": "one"}) == "one"
        before = session(project, chat)
        message = asks(
            project, chat, {"shell": "touch begun; sleep 60"}, {"text": "never"}
        )
        wait_for((project.folder / "begun").exists, "the command to run")

        project.wg("chat", "interrupt", chat)

        assert wait_answer(project, chat, message)[0] == "error"
        kind, _ = wait_answer(project, chat, asks(project, chat, {"text": "next"}))
        assert kind == "reply"
        (handler,) = handlers(project, chat)
        assert handler["status"] == "working"
        assert session(project, chat) == before
        assert [row["kind"] for row in said(project, chat)] == [
            *("message", "reply"),
            *("message", "error"),
            *("message", "reply"),
        ]


def test_what_a_client_writes_is_seen_while_it_works(tmp_path: Path) -> None:
    """Who is attached reads what it says before it looks, then the reply."""
    with a_mock() as mock, a_client_project(tmp_path / "p", mock, "claude") as project:
        project.start_daemon()
        chat = project.wg("chat", "new", "--executor", "claude").strip()
        with socket.socket(socket.AF_UNIX) as attached:
            attached.settimeout(60)
            attached.connect(project.json("service", "status")["socket"])
            request = {"cmd": "chat_attach", "task": chat}
            attached.sendall(json.dumps(request).encode() + b"\n")
            asks(
                project, chat, {"text": "I look.", "shell": "sleep 1"}, {"text": "two"}
            )
            lines = (json.loads(line) for line in attached.makefile("rb"))
            told = []
            for line in lines:
                told.append((line["kind"], line.get("text")))
                if line["kind"] == "reply":
                    break

        assert told[-1] == ("reply", "two")
        assert "I look." in "".join(text for kind, text in told if kind == "partial")


def test_who_is_restored_has_the_history_in_its_context(tmp_path: Path) -> None:
    """What was said before the chat was put away is in what the next claude is told."""
    with (
        a_mock("--bodies") as mock,
        a_client_project(tmp_path / "p", mock, "claude") as project,
    ):
        project.start_daemon()
        chat = project.wg("chat", "new", "--executor", "claude").strip()
        assert answered(project, chat, {"text": "the word is xylophone"})
        project.wg("chat", "archive", chat)
        wait_for(lambda: not project.processes(), "the handler to end")
        assert project.run("chat", "send", chat, "hello?").returncode == 1
        project.wg("chat", "restore", chat)

        assert answered(project, chat, {"text": "two"}) == "two"

        assert session_of(project, 2)[0] == session(project, chat)
        assert "the word is xylophone" in project.wg("chat", "history", chat)
        assert "xylophone" in json.dumps(mock.requests()[-1]["body"]["messages"])
        assert [row["kind"] for row in said(project, chat)] == ["message", "reply"] * 2


def test_a_turn_outlives_the_daemon(tmp_path: Path) -> None:
    """Its client reads the end of its input, ends the turn, and is heard."""
    with a_mock() as mock, a_client_project(tmp_path / "p", mock, "claude") as project:
        os.mkfifo(project.folder / "go")
        daemon = project.start_daemon()
        chat = project.wg("chat", "new", "--executor", "claude").strip()
        message = asks(project, chat, {"shell": "touch begun; cat go"}, {"text": "one"})
        wait_for((project.folder / "begun").exists, "the command to run")

        project.kill_daemon(daemon)
        project.start_daemon()
        (project.folder / "go").write_bytes(b"")

        assert wait_answer(project, chat, message) == ("reply", "one")
        assert answered(project, chat, {"text": "two"}) == "two"
        assert [row["kind"] for row in said(project, chat)] == ["message", "reply"] * 2
        assert session_of(project, 2)[1] == session(project, chat)


def test_a_limit_of_the_provider_keeps_the_message(tmp_path: Path) -> None:
    """The account is limited, nothing has crashed, and the message waits."""
    with a_mock() as mock, a_client_project(tmp_path / "p", mock, "claude") as project:
        project.start_daemon()
        chat = project.wg("chat", "new", "--executor", "claude").strip()
        limit = {"status": 429, "retry_after": 3600, "times": "always"}

        message = asks(project, chat, limit)
        wait_for(
            lambda: [row["status"] for row in handlers(project, chat)] == ["ended"],
            "the handler to end",
        )

        wait_for(
            lambda: project.json("chat", "show", chat)["problem"] is not None,
            "the chat to say what keeps it",
        )
        shown = project.json("chat", "show", chat)
        assert (shown["queued"], shown["failures"]) == (1, 0)
        assert "claude" in shown["problem"]
        assert answers(project, chat, message) == []
        (account,) = project.json("service", "status")["providers"]
        assert (account["account"], account["state"]) == ("claude", "limited")


def test_a_session_that_is_gone_is_begun_anew(tmp_path: Path) -> None:
    """The message is answered all the same."""
    with a_mock() as mock, a_client_project(tmp_path / "p", mock, "claude") as project:
        daemon = project.start_daemon()
        chat = project.wg("chat", "new", "--executor", "claude").strip()
        assert answered(project, chat, {"text": "one"}) == "one"
        before = session(project, chat)
        project.wg("service", "stop")
        daemon.wait(PATIENCE_S)
        home = Path(project.env["HOME"])
        (kept,) = home.glob(f".claude/projects/*/{before}.jsonl")
        kept.unlink()
        project.start_daemon()

        assert answered(project, chat, {"text": "two"}) == "two"
        assert session(project, chat) not in {None, before}


@pytest.mark.parametrize(
    "client",
    [
        "codex",
        pytest.param("gemini", marks=pytest.mark.long),
        pytest.param("opencode", marks=pytest.mark.long),
    ],
)
def test_a_client_for_each_message_goes_on_in_its_session(
    tmp_path: Path, client: str
) -> None:
    """One process for each turn, and the second knows of the first."""
    with a_mock() as mock, a_client_project(tmp_path / "p", mock, client) as project:
        project.start_daemon()
        chat = project.wg("chat", "new", "--executor", client).strip()

        assert answered(project, chat, {"text": "one"}) == "one"
        before = session(project, chat)
        assert answered(project, chat, {"shell": "true"}, {"text": "two"}) == "two"

        assert before is not None
        assert session(project, chat) == before
        assert session_of(project, 2)[1] == before
        wait_for(lambda: not project.processes(), "nobody to be left")
        rows = handlers(project, chat)
        assert [row["status"] for row in rows] == ["ended", "ended"]
        used = [row["usage"]["input_tokens"] for row in rows]
        assert sum(used) == mock.served(client)["input_tokens"]


@pytest.mark.long
@pytest.mark.parametrize("client", ["codex", "gemini"])
def test_a_turn_of_a_client_for_each_message_outlives_the_daemon(
    tmp_path: Path, client: str
) -> None:
    """Over a restart between two turns and a daemon that is killed in the third."""
    with a_mock() as mock, a_client_project(tmp_path / "p", mock, client) as project:
        os.mkfifo(project.folder / "go")
        daemon = project.start_daemon()
        chat = project.wg("chat", "new", "--executor", client).strip()
        assert answered(project, chat, {"text": "one"}) == "one"
        before = session(project, chat)
        project.wg("service", "stop")
        daemon.wait(30)
        daemon = project.start_daemon()
        assert answered(project, chat, {"text": "two"}) == "two"
        third = asks(project, chat, {"shell": "touch begun; cat go"}, {"text": "three"})
        wait_for((project.folder / "begun").exists, "the command to run")

        project.kill_daemon(daemon)
        project.start_daemon()
        (project.folder / "go").write_bytes(b"")

        assert wait_answer(project, chat, third) == ("reply", "three")
        assert answered(project, chat, {"text": "four"}) == "four"
        assert before is not None
        assert session(project, chat) == before
        assert [row["kind"] for row in said(project, chat)] == ["message", "reply"] * 4
        # How many have failed says nothing here: a turn within a second counts as one.
        assert project.json("chat", "show", chat)["queued"] == 0
        wait_for(lambda: not project.processes(), "nobody to be left")
