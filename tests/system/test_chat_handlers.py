"""Handlers of chats as processes: their start, what they hear and say, their end."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.project import Project, a_project, wait_for

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

HANDLER = Path(__file__).with_name("handler.py")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project whose handlers have a second between TERM and KILL."""
    with a_project(tmp_path / "p") as made:
        with (made.folder / ".wg/config.toml").open("a") as config:
            config.write('[agents]\nkill_grace = "1s"\n')
        yield made


def new_chat(project: Project, *words: str) -> str:
    """A chat that the tests' handler answers."""
    command = " ".join([sys.executable, str(HANDLER), *words])
    return project.wg("chat", "new", "--exec", f"exec {command}").strip()


def send(project: Project, chat: str, text: str) -> int:
    """Queues a message."""
    sent: int = project.json("chat", "send", chat, text)["id"]
    return sent


def said(project: Project, chat: str) -> list[dict[str, Any]]:
    """All that was said in a chat."""
    rows: list[dict[str, Any]] = project.json("chat", "history", chat)
    return rows


def answers(project: Project, chat: str, message: int) -> list[tuple[str, str]]:
    """What has answered a message."""
    return [
        (row["kind"], row["text"])
        for row in said(project, chat)
        if row["reply_to"] == message
    ]


def wait_answer(project: Project, chat: str, message: int) -> tuple[str, str]:
    """Returns when a message is answered; it is once."""
    try:
        wait_for(lambda: bool(answers(project, chat, message)), f"an answer: {message}")
    except AssertionError as error:
        shown = project.json("chat", "show", chat)
        raise AssertionError(f"{error}\n{shown}\n{said(project, chat)}") from error
    (answer,) = answers(project, chat, message)
    return answer


def handlers(project: Project, chat: str) -> list[dict[str, Any]]:
    """The agents that have answered in a chat, the first one first."""
    rows = [row for row in project.json("agents") if row["task"] == chat]
    return sorted(rows, key=lambda row: int(row["id"].removeprefix("agent-")))


def handler_pid(project: Project, agent: str) -> int:
    """The process of a handler, which says it when it begins."""
    file = project.folder / f"handler-{agent}"
    wait_for(lambda: file.exists() and bool(file.read_text()), f"{agent} to begin")
    return int(file.read_text())


def test_a_handler_is_started_as_planned(project: Project) -> None:
    """By the plan that is kept, with a token of its own and its files."""
    chat = new_chat(project)
    project.start_daemon()

    kind, text = wait_answer(project, chat, send(project, chat, "env"))

    env = json.loads(text)
    (handler,) = handlers(project, chat)
    folder = project.folder / ".wg/agents" / handler["id"]
    plan = json.loads((folder / "plan.json").read_text())
    assert kind == "reply"
    assert plan["stdin"]["value"] == "pipe"
    assert plan["argv"]["value"][1:] == ["-c", f"exec {sys.executable} {HANDLER}"]
    assert plan["argv"]["value"][0].endswith("/sh")
    told = {name: value for name, value in env.items() if name.startswith("WG_")}
    planned = {
        name: chosen["value"]
        for name, chosen in plan["env"].items()
        if name.startswith("WG_")
    }
    assert told == planned
    # A secret that is said is not kept, and the plan has none.
    assert told["WG_TOKEN"] == "***"
    assert told["WG_TASK_ID"] == chat == ".chat-1"
    assert told["WG_AGENT_ID"] == handler["id"] == "agent-1"
    assert told["WG_ATTEMPT"] == "1"
    assert told["WG_EXECUTOR"] == "shell"
    assert told["WG_PROMPT_FILE"] == str(folder / "prompt.md")
    assert chat in (folder / "prompt.md").read_text()
    assert handler["status"] == "working"
    assert project.json("show", chat)["status"] == "open"


def test_what_is_no_answer_is_left_alone(project: Project) -> None:
    """Noise, bytes, megabytes, and what is said on standard error."""
    chat = new_chat(project)
    project.start_daemon()

    assert wait_answer(project, chat, send(project, chat, "junk done")) == (
        "reply",
        "done",
    )

    second = send(project, chat, "twice two")
    assert wait_answer(project, chat, second) == ("reply", "two")
    wait_for(lambda: len(said(project, chat)) == 5, "a note")
    assert [(row["kind"], row["text"]) for row in said(project, chat)[4:]] == [
        ("note", "two again")
    ]
    (handler,) = handlers(project, chat)
    folder = project.folder / ".wg/agents" / handler["id"]
    assert (folder / "stderr.log").read_text() == '{"text": "an error"}\n'
    assert b"working on it" in (folder / "output.log").read_bytes()


def test_what_a_handler_that_leaves_has_said_is_not_lost(project: Project) -> None:
    """Its last words come before its end; the next message starts another one."""
    chat = new_chat(project)
    project.start_daemon()

    first = wait_answer(project, chat, send(project, chat, "quit bye"))
    second = wait_answer(project, chat, send(project, chat, "echo hello"))

    assert (first, second) == (("reply", "bye"), ("reply", "hello"))
    assert len(handlers(project, chat)) == 2


def test_a_message_outlives_a_handler_that_is_killed(project: Project) -> None:
    """The next one has it, and it is answered once."""
    os.mkfifo(project.folder / "go")
    chat = new_chat(project)
    project.start_daemon()
    message = send(project, chat, "half and half")
    half = project.folder / "half"
    wait_for(half.exists, "half an answer")
    half.unlink()

    os.kill(handler_pid(project, "agent-1"), signal.SIGKILL)
    wait_for(half.exists, "half an answer of the next one")
    (project.folder / "go").write_bytes(b"")

    assert wait_answer(project, chat, message) == ("reply", "and half")
    first, second = handlers(project, chat)
    assert (first["status"], second["status"]) == ("ended", "working")


def test_an_answer_that_is_half_written_outlives_the_daemon(project: Project) -> None:
    """Its handler is adopted, ends with what it has, and the rest is read on."""
    os.mkfifo(project.folder / "go")
    chat = new_chat(project)
    daemon = project.start_daemon()
    assert wait_answer(project, chat, send(project, chat, "echo one"))
    message = send(project, chat, "half and half")
    wait_for((project.folder / "half").exists, "half an answer")

    project.kill_daemon(daemon)
    project.start_daemon()
    assert answers(project, chat, message) == []
    (project.folder / "go").write_bytes(b"")

    assert wait_answer(project, chat, message) == ("reply", "and half")
    assert wait_answer(project, chat, send(project, chat, "echo three")) == (
        "reply",
        "three",
    )
    assert [row["kind"] for row in said(project, chat)] == ["message", "reply"] * 3
    assert len(handlers(project, chat)) == 2


def test_an_answer_that_was_finished_in_between_is_read(project: Project) -> None:
    """Its handler has ended before the next daemon has come."""
    os.mkfifo(project.folder / "go")
    chat = new_chat(project)
    daemon = project.start_daemon()
    message = send(project, chat, "half and half")
    wait_for((project.folder / "half").exists, "half an answer")

    project.kill_daemon(daemon)
    (project.folder / "go").write_bytes(b"")
    wait_for(lambda: not project.processes(), "the handler to end with the daemon")
    project.start_daemon()

    assert wait_answer(project, chat, message) == ("reply", "and half")
    assert [row["kind"] for row in said(project, chat)] == ["message", "reply"]


def test_a_handler_that_will_not_end_is_killed(project: Project) -> None:
    """Neither TERM nor the end of its input moves it."""
    chat = new_chat(project, "deaf")
    project.start_daemon()
    assert wait_answer(project, chat, send(project, chat, "echo here"))

    project.wg("chat", "archive", chat)

    wait_for(lambda: not project.processes(), "its end")
    (handler,) = handlers(project, chat)
    wait_for(lambda: handlers(project, chat)[0]["status"] == "ended", "its row to end")
    assert handler["id"] == "agent-1"


def test_a_deaf_handler_of_a_killed_daemon_is_ended_by_the_next(
    project: Project,
) -> None:
    """It can't be written to; another one answers what comes."""
    chat = new_chat(project, "deaf")
    daemon = project.start_daemon()
    assert wait_answer(project, chat, send(project, chat, "echo here"))

    project.kill_daemon(daemon)
    project.start_daemon()

    assert wait_answer(project, chat, send(project, chat, "echo there")) == (
        "reply",
        "there",
    )
    assert [row["status"] for row in handlers(project, chat)] == ["ended", "working"]


def test_handlers_end_with_an_orderly_daemon(project: Project) -> None:
    """Nobody is left, and what was said is read."""
    chat = new_chat(project)
    project.start_daemon()
    assert wait_answer(project, chat, send(project, chat, "echo here"))

    project.wg("service", "stop")

    wait_for(lambda: not project.processes(), "the end of the handler")


def test_an_interrupted_command_is_ended_and_the_next_message_answered(
    project: Project,
) -> None:
    """What was interrupted is not delivered again."""
    os.mkfifo(project.folder / "go")
    chat = new_chat(project)
    project.start_daemon()
    message = send(project, chat, "half and half")
    wait_for((project.folder / "half").exists, "half an answer")

    project.wg("chat", "interrupt", chat)

    assert wait_answer(project, chat, message)[0] == "error"
    assert wait_answer(project, chat, send(project, chat, "echo next")) == (
        "reply",
        "next",
    )
    assert [row["kind"] for row in said(project, chat)] == [
        "message",
        "error",
        "message",
        "reply",
    ]


@pytest.mark.skipif(
    not shutil.which("bwrap") and "CI" not in os.environ,
    reason="bwrap is not installed: apt-get install bubblewrap",
)
def test_a_handler_in_a_sandbox_answers(project: Project) -> None:
    """Its input is a pipe there, too."""
    with (project.folder / ".wg/config.toml").open("a") as config:
        config.write('[sandbox]\nkind = "bwrap"\n')
    answers = """while read line; do echo '{"text":"in '$WG_SANDBOX'"}'; done"""
    chat = project.wg("chat", "new", "--exec", answers).strip()
    project.start_daemon()

    first = wait_answer(project, chat, send(project, chat, "where"))
    second = wait_answer(project, chat, send(project, chat, "and now"))

    assert (first, second) == (("reply", "in bwrap"), ("reply", "in bwrap"))
    assert len(handlers(project, chat)) == 1


def add_executor(project: Project, *settings: str) -> None:
    """Makes an executor `bot` of the settings' lines."""
    with (project.folder / ".wg/config.toml").open("a") as config:
        config.write("\n".join(("[executors.bot]", *settings, "")))


ANSWER = ("reply", "in talk-agent-1: words")
TALKER = f'"{sys.executable}", "{HANDLER.with_name("talker.py")}"'
KEPT_OPEN = (
    f"argv = [{TALKER}]",
    f"chat = [{TALKER}]",
    f'chat_resume = [{TALKER}, "--resume", "{{session}}"]',
    'stream = "claude"',
)


def test_an_executor_as_data_can_be_kept_open(project: Project) -> None:
    """It is resumed after a restart, and what each turn has used counts once."""
    add_executor(project, *KEPT_OPEN)
    chat = project.wg("chat", "new", "--executor", "bot").strip()
    daemon = project.start_daemon()
    for number in range(2):
        message = send(project, chat, f"turn {number}")
        assert wait_answer(project, chat, message) == ANSWER

    project.kill_daemon(daemon)
    project.start_daemon()
    message = send(project, chat, "turn 3")

    assert wait_answer(project, chat, message) == ANSWER
    first, second = handlers(project, chat)
    assert first["usage"] == {"input_tokens": 20, "output_tokens": 10, "cost_usd": 1.0}
    assert second["usage"] == {"input_tokens": 10, "output_tokens": 5, "cost_usd": 0.5}
    assert (first["resumed"], second["resumed"]) == (False, True)


def test_what_becomes_of_turns_that_do_not_end_well(project: Project) -> None:
    """An interrupt and an error keep the process; what comes unasked is a note."""
    add_executor(project, *KEPT_OPEN)
    chat = project.wg("chat", "new", "--executor", "bot").strip()
    project.start_daemon()
    assert wait_answer(project, chat, send(project, chat, "hello and late"))
    wait_for(lambda: len(said(project, chat)) == 3, "a note")

    waits = send(project, chat, "please wait")
    wait_for(
        lambda: (
            b"please wait"
            in (project.folder / ".wg/agents/agent-1/output.log").read_bytes()
        ),
        "the turn to begin",
    )
    project.wg("chat", "interrupt", chat)
    assert wait_answer(project, chat, waits)[0] == "error"
    fails = send(project, chat, "please fail")
    assert wait_answer(project, chat, fails) == ("error", "The request was bad")
    assert wait_answer(project, chat, send(project, chat, "hello"))[0] == "reply"

    assert [row["kind"] for row in said(project, chat)] == [
        *("message", "reply", "note"),
        *("message", "error"),
        *("message", "error"),
        *("message", "reply"),
    ]
    (handler,) = handlers(project, chat)
    assert handler["status"] == "working"


def test_a_limit_of_the_provider_is_no_crash(project: Project) -> None:
    """The process is ended, the account limited, and the message waits."""
    add_executor(project, *KEPT_OPEN)
    chat = project.wg("chat", "new", "--executor", "bot").strip()
    project.start_daemon()

    message = send(project, chat, "please limit")
    wait_for(
        lambda: [row["status"] for row in handlers(project, chat)] == ["ended"],
        "the handler to end",
    )
    wait_for(
        lambda: project.json("chat", "show", chat)["problem"] is not None,
        "the chat to say what keeps it",
    )

    shown = project.json("chat", "show", chat)
    assert "account bot is limited" in shown["problem"]
    assert (shown["queued"], shown["failures"]) == (1, 0)
    assert answers(project, chat, message) == []
    wait_for(lambda: not project.processes(), "nothing of it to be left")
    assert [row["status"] for row in handlers(project, chat)] == ["ended"]


def test_plain_output_answers_a_message(project: Project) -> None:
    """All of it, where the executor's stream is text; a process for each."""
    add_executor(project, 'argv = ["sh", "-c", "echo; grep -c -- said; echo oh >&2"]')
    chat = project.wg("chat", "new", "--executor", "bot").strip()
    project.start_daemon()

    first = wait_answer(project, chat, send(project, chat, "I said"))
    second = wait_answer(project, chat, send(project, chat, "I said again"))

    assert (first[0], second[0]) == ("reply", "reply")
    assert first[1].isdigit()
    assert len(handlers(project, chat)) == 2
    stderr = project.folder / ".wg/agents/agent-1/stderr.log"
    assert stderr.read_text() == "oh\n"
