"""What a chat and its daemon have done, as somebody outside can see it."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from tests.system.project import PATIENCE_S, Project, wait_for, whole_lines

#: Answers a line with what it was told.
ECHO = """while read -r line; do
    text=${line#*'"text":"'}
    echo '{"text":"echo '"${text%'"}'}"'"}'
done"""


class Files(NamedTuple):
    """The files of a chat's history, byte for byte, and what `wg` says of it."""

    inbox: bytes
    outbox: bytes
    told: str


def configure(project: Project, idle_after: str, kill_grace: str = "500ms") -> None:
    """Settings under which chats are soon left alone."""
    with (project.folder / ".wg" / "config.toml").open("a") as config:
        config.write(
            f'[chat]\nidle_after = "{idle_after}"\n'
            f'[agents]\nkill_grace = "{kill_grace}"\n'
        )


def talked(project: Project, chat: str, text: str) -> str:
    """What is answered to somebody who waits for it."""
    reply: str = project.wg("chat", "send", chat, text, "--wait", "100s")
    return reply.rstrip("\n")


def show(project: Project, chat: str) -> dict[str, Any]:
    """How a chat stands."""
    found: dict[str, Any] = project.json("chat", "show", chat)
    return found


def history(project: Project, chat: str) -> Files:
    """All that is kept of what was said."""
    folder = project.folder / ".wg" / "chat" / chat.removeprefix(".chat-")
    return Files(
        inbox=_bytes(folder / "inbox.jsonl"),
        outbox=_bytes(folder / "outbox.jsonl"),
        told=project.wg("--json", "chat", "history", chat),
    )


def wait_written(project: Project, *chats: str) -> None:
    """Returns when all that was said is in the files, where a daemon writes it."""

    def is_written(chat: str) -> bool:
        said = project.json("chat", "history", chat)
        files = history(project, chat)
        lines = (files.inbox + files.outbox).splitlines()
        return len(lines) >= len(said)

    for chat in chats:
        wait_for(lambda chat=chat: is_written(chat), f"the files of {chat}")  # type: ignore[misc]


def starts(project: Project, *chats: str) -> list[float]:
    """When processes were started for chats, by the daemon's log."""
    # The log before the rows: what it tells of has its row by then, even if the daemon
    # goes on starting others meanwhile.
    begun = [
        (line["line"].split()[0], moment(line["timestamp"]))
        for line in log(project, "agent_started")
    ]
    agents = {row["id"]: row["task"] for row in project.json("agents")}
    return [at for agent, at in begun if agents[agent] in chats]


def attempts(project: Project, chat: str) -> int:
    """How often a process was to be started, whatever became of it."""
    return sum(row["task"] == chat for row in project.json("agents"))


def log(project: Project, event: str) -> list[dict[str, Any]]:
    """Lines of the daemon's log."""
    file = project.folder / ".wg" / "log" / "wgd.jsonl"
    lines = [json.loads(line) for line in whole_lines(file)]
    return [line for line in lines if line["event"] == event]


def moment(text: str) -> float:
    """A moment that was told, in seconds."""
    return datetime.fromisoformat(text).timestamp()


def pass_time(project: Project, seconds: float) -> None:
    """A task of work takes so long, and the daemon looks at all that there is."""
    task = project.wg("add", "work", "--exec", f"sleep {seconds}").strip()
    wait_for(
        lambda: project.wg("task-status", task) == "done\n", task, seconds + PATIENCE_S
    )


@contextmanager
def a_consumer(project: Project, chat: str) -> Iterator[socket.socket]:
    """Somebody is attached by the socket."""
    with a_link(project.json("service", "status")["socket"]) as link:
        link.sendall(json.dumps({"cmd": "chat_attach", "task": chat}).encode() + b"\n")
        yield link


@contextmanager
def a_link(path: str | Path) -> Iterator[socket.socket]:
    """A connection to the daemon."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(PATIENCE_S)
        link.connect(str(path))
        yield link


def _bytes(file: Path) -> bytes:
    return file.read_bytes() if file.exists() else b""
