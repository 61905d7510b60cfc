"""Chats that are in trouble: crashes, leftovers, and many who talk at once."""

import json
import os
import re
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.system import chats
from tests.system.project import PATIENCE_S, Project, a_project, wait_for

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

HANDLER = Path(__file__).with_name("handler.py")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project in which a handler has two seconds between TERM and KILL."""
    with a_project(tmp_path / "p", {"USER": "me"}) as made:
        chats.configure(made, "10s", "2s")
        yield made


def test_what_crashes_at_once_is_started_ever_more_rarely(project: Project) -> None:
    """It says so all the time, and nobody else is disturbed."""
    bad = project.wg("chat", "new", "bad", "--exec", "exit 3").strip()
    good = project.wg("chat", "new", "good", "--exec", chats.ECHO).strip()
    project.start_daemon()
    for number in range(4):
        project.wg("chat", "send", bad, f"message {number}")
    wait_for(lambda: chats.show(project, bad)["failures"] > 0, "the first crash")
    first = chats.starts(project, bad)[0]

    said = 0
    while time.time() < first + 10.5 or len(chats.starts(project, bad)) < 3:
        expect_backing_off(project, bad)
        said += 1
        assert chats.talked(project, good, f"{said}") == f"echo {said}"
        chats.pass_time(project, 0.2)

    # of each attempt a process is started, once; the log of it comes after its row
    wait_for(
        lambda: len(chats.starts(project, bad)) == chats.attempts(project, bad),
        "each attempt to be started",
    )
    begun = chats.starts(project, bad)
    assert len([at for at in begun if at <= first + 10]) <= 6, begun
    assert len(begun) >= 3
    # a second after the first crash, two after the second; a slow machine adds to it
    waited = [after - before for before, after in pairwise(begun)]
    due = [2.0**crashes for crashes in range(len(waited))]
    assert all(w > d - 0.1 for w, d in zip(waited, due, strict=True)), waited
    # none has read a message, so none of these is set aside for it
    assert chats.show(project, bad)["queued"] == 4
    assert len(chats.starts(project, good)) == chats.attempts(project, good) == 1
    assert chats.show(project, good)["failures"] == 0


def expect_backing_off(project: Project, chat: str) -> None:
    """`wg chat list` says it and until when, but for the moment of another start."""
    (row,) = [one for one in project.json("chat", "list") if one["id"] == chat]
    if row["state"] != "backing-off":
        assert row["state"] in {"starting", "live"}, row
        # each start before it has crashed: this is one more, and crashes, too
        assert chats.attempts(project, chat) > row["failures"], row
        wait_for(
            lambda: chats.show(project, chat)["failures"] > row["failures"], "a crash"
        )
        return
    assert 0 < row["failures"] <= chats.attempts(project, chat), row
    assert row["backoff_until"] is not None
    (line,) = [x for x in project.wg("chat", "list").splitlines() if chat in x]
    assert re.search("backing-off until 2|starting|live", line), line


def edit_database(project: Project, *statements: str) -> None:
    """What nobody should do."""
    with closing(sqlite3.connect(project.folder / ".wg" / "graph.db")) as graph:
        for statement in statements:
            graph.execute(statement)
        graph.commit()


def test_one_whose_task_is_gone_is_archived(project: Project) -> None:
    """With a message that waits, and a handler that has outlived its daemon."""
    deaf = f"trap '' TERM; {chats.ECHO}; while :; do sleep 0.1; done"
    chat = project.wg("chat", "new", "--exec", deaf).strip()
    daemon = project.start_daemon()
    assert chats.talked(project, chat, "hello") == "echo hello"
    project.kill_daemon(daemon)
    project.wg("chat", "send", chat, "is anybody there?")
    edit_database(project, f"delete from tasks where id = '{chat}'")

    for kill in (False, True, False):
        daemon = project.start_daemon()
        wait_for(lambda: not project.processes(), "the end of its handler")
        chats.pass_time(project, 1.2)

        (row,) = project.json("chat", "list", "--all")
        assert (row["id"], row["state"]) == (chat, "archived")
        assert len(chats.log(project, "chat_archived")) == 1
        assert chats.attempts(project, chat) == 1
        if kill:
            project.kill_daemon(daemon)
        else:
            project.wg("service", "stop")
            daemon.wait(PATIENCE_S)
    assert project.wg("service", "purge-chats").count("\n") == 1


def test_a_coordinator_becomes_a_chat_once(project: Project) -> None:
    """With what waits for it and what it waits for; a message starts its handler."""
    for words in (
        ("Before", "--id", "before", "--exec", "true", "--paused"),
        ("Old", "--id", "old", "--exec", chats.ECHO, "--after", "before"),
        ("Behind", "--id", "behind", "--exec", "true", "--after", "old"),
    ):
        project.wg("add", *words)
    edit_database(
        project,
        "update tasks set id = '.coordinator-7' where id = 'old'",
        "update edges set task = '.coordinator-7' where task = 'old'",
        "update edges set dep = '.coordinator-7' where dep = 'old'",
    )

    for _ in range(3):
        daemon = project.start_daemon()
        chats.pass_time(project, 0.5)
        assert [one["id"] for one in project.json("chat", "list", "--all")] == [
            ".chat-7"
        ]
        assert len(chats.log(project, "chat_adopted")) == 1
        assert chats.attempts(project, ".chat-7") == 0
        for task, dep in (("behind", ".chat-7"), (".chat-7", "before")):
            after = project.json("show", task)["after"]
            assert [one["id"] for one in after] == [dep]
        assert project.error("show", ".coordinator-7")[0] == 3
        project.kill_daemon(daemon)

    project.start_daemon()
    assert chats.talked(project, ".chat-7", "hello") == "echo hello"
    assert project.wg("chat", "new", "--exec", "cat").strip() == ".chat-8"
    assert chats.attempts(project, ".chat-7") == 1


def answering(project: Project, chat: str) -> list[int]:
    """The processes that hold a chat's session just now."""
    mine = f"WG_TASK_ID={chat}".encode()
    found = []
    for pid in project.processes():
        with suppress(OSError):
            words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            argv = Path(f"/proc/{pid}/cmdline").read_bytes()
            if mine in words and str(HANDLER).encode() in argv and b"sh\0" not in argv:
                found.append(pid)
    return found


def test_a_session_that_a_live_process_holds_is_waited_for(project: Project) -> None:
    """It outlives its daemon, TERM and the end of its input, with an answer begun."""
    os.mkfifo(project.folder / "go")
    command = f"exec {sys.executable} {HANDLER} deaf"
    chat = project.wg("chat", "new", "--exec", command).strip()
    daemon = project.start_daemon()
    project.wg("chat", "send", chat, "half and half")
    wait_for((project.folder / "half").exists, "half an answer")
    (holder,) = answering(project, chat)

    for _ in range(2):
        project.kill_daemon(daemon)
        daemon = project.start_daemon()
        project.wg("chat", "send", chat, "echo and then")
        chats.pass_time(project, 1.2)
        assert answering(project, chat) == [holder]
        assert chats.attempts(project, chat) == 1
    (project.folder / "go").write_bytes(b"")

    seen = set()

    def all_is_said() -> bool:
        found = answering(project, chat)
        assert len(found) <= 1, "two answer in one chat"
        seen.update(found)
        return bool(chats.show(project, chat)["queued"] == 0)

    wait_for(all_is_said, "the answers")
    said = project.json("chat", "history", chat)
    assert [one["text"] for one in said if one["kind"] == "reply"] == [
        *("and half", "and then", "and then"),
    ]
    assert holder in seen
    assert chats.attempts(project, chat) == 2
    first, second = (row for row in project.json("agents") if row["task"] == chat)
    ended, begun = sorted(
        (first, second), key=lambda row: int(row["id"].removeprefix("agent-"))
    )
    assert chats.moment(ended["ended_at"]) <= chats.moment(begun["started_at"])


SENDERS, EACH = 5, 10
Send = Callable[[Project, str, str], None]


def send_waiting(project: Project, chat: str, text: str) -> None:
    """As a person does who waits for the reply."""
    project.run("chat", "send", chat, text, "--wait", "20s")


def send_alone(project: Project, chat: str, text: str) -> None:
    """As a script does, whether there is a daemon or not."""
    project.run("chat", "send", chat, text)


def send_line(project: Project, chat: str, text: str) -> None:
    """As a program does, by the socket."""
    path = project.folder / ".wg" / "wgd.sock"
    request = {"cmd": "chat_send", "task": chat, "text": text, "wait": "20s"}
    with suppress(OSError), chats.a_link(path) as link:
        link.sendall(json.dumps(request).encode() + b"\n")
        link.makefile("rb").readline()


class Sender(threading.Thread):
    """Somebody who sends ten messages, and each again only if it is not there."""

    def __init__(self, project: Project, chat: str, name: str, send: Send) -> None:
        super().__init__()
        self.texts = [f"{name}-{number}" for number in range(EACH)]
        self._project, self._chat, self._send = project, chat, send

    def run(self) -> None:
        """Sends them, one after another."""
        for text in self.texts:
            wait_for(lambda text=text: self._is_there(text), text)  # type: ignore[misc]

    def _is_there(self, text: str) -> bool:
        done = self._project.run("--json", "chat", "history", self._chat)
        if done.returncode:
            return False  # the daemon was killed before it answered
        if any(one["text"] == text for one in json.loads(done.stdout)["data"]):
            return True
        self._send(self._project, self._chat, text)
        return False


def test_fifty_messages_of_five_are_answered_once_and_in_order(
    project: Project,
) -> None:
    """While the daemon is killed twice, and the handler once."""
    command = f"exec {sys.executable} {HANDLER}"
    chat = project.wg("chat", "new", "--exec", command).strip()
    daemon = project.start_daemon()
    ways = (send_waiting, send_line, send_waiting, send_line, send_alone)
    senders = [
        Sender(project, chat, f"echo {name}", send)
        for name, send in zip("abcde", ways, strict=True)
    ]
    for sender in senders:
        sender.start()

    for upto, whom in ((8, "daemon"), (20, "handler"), (32, "daemon")):
        wait_for(lambda upto=upto: count_replies(project, chat) >= upto, f"{upto}")  # type: ignore[misc]
        if whom == "daemon":
            project.kill_daemon(daemon)
            daemon = project.start_daemon()
        else:
            wait_for(lambda: kill_handler(project, chat), "a handler")
    for sender in senders:
        sender.join(200)
        assert not sender.is_alive()
    wait_for(lambda: chats.show(project, chat)["queued"] == 0, "all answers")

    said = project.json("chat", "history", chat)
    expect_answered(said, senders)
    project.wg("service", "stop")
    daemon.wait(PATIENCE_S)
    folder = project.folder / ".wg" / "chat" / chat.removeprefix(".chat-")
    rows = [drop_waiting(one) for one in said]
    for name, is_inbox in (("inbox.jsonl", True), ("outbox.jsonl", False)):
        lines = (folder / name).read_text().splitlines()
        assert [json.loads(line) for line in lines] == [
            one for one in rows if (one["kind"] == "message") == is_inbox
        ]
    with closing(sqlite3.connect(project.folder / ".wg" / "graph.db")) as graph:
        left = graph.execute(
            "select count(*) from chat_messages"
            " where kind = 'message' and answered_at is null"
        ).fetchone()
    assert left == (0,)
    assert project.run("check").returncode == 0


def expect_answered(said: list[dict[str, Any]], senders: list[Sender]) -> None:
    """Each message is there once and has one answer, in the order of the messages."""
    messages = [one for one in said if one["kind"] == "message"]
    others = [one for one in said if one["kind"] != "message"]
    texts = [one["text"] for one in messages]
    assert len(texts) == SENDERS * EACH
    for sender in senders:
        assert [text for text in texts if text in sender.texts] == sender.texts
    assert [one["kind"] for one in others] == ["reply"] * len(messages)
    assert [one["reply_to"] for one in others] == [one["id"] for one in messages]
    assert [f"echo {one['text']}" for one in others] == texts
    numbers = [one["id"] for one in said]
    assert numbers == sorted(numbers)


def drop_waiting(said: dict[str, Any]) -> dict[str, Any]:
    """A row as the files have it."""
    return {name: value for name, value in said.items() if name != "waiting"}


def count_replies(project: Project, chat: str) -> int:
    """How much is answered."""
    return sum(one["kind"] == "reply" for one in project.json("chat", "history", chat))


def kill_handler(project: Project, chat: str) -> bool:
    """Ends what answers, as the machine does that is short of memory."""
    for pid in answering(project, chat):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return True
    return False
