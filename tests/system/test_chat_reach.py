"""What a chat may do, tried by a real handler with the real `wg` and its own token."""

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.system.project import Project, a_project

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

#: Runs the commands of a file, one after the other, and answers with what they said.
TRIES: Final = """
import json, subprocess, sys
for line in sys.stdin:
    said = json.loads(line)
    results = []
    for argv in json.load(open("commands.json")):
        done = subprocess.run(["wg", *argv], capture_output=True, text=True)
        results.append([done.returncode, done.stdout, done.stderr])
    answer = {"reply_to": said["id"], "text": json.dumps(results)}
    print(json.dumps(answer), flush=True)
"""
NOT_FOR_A_CHAT: Final = "is not for a chat"
NOT_ITS_OWN: Final = "theirs was not added by .chat-1"

#: The command, its exit status, and words of what it says.
COMMANDS: Final[tuple[tuple[str, int, str], ...]] = (
    # it reads all
    ("list", 0, "theirs"),
    ("ready", 0, "theirs"),
    ("blocked", 0, ""),
    ("show --task theirs", 0, "Title: theirs"),
    ("show", 0, "Messages waiting: 1"),
    ("why --task theirs", 0, "no_free_slot"),
    ("log --task theirs --list", 0, ""),
    ("agents", 0, "agent-1"),
    ("output agent-1", 0, ""),
    ("inbox", 0, ""),
    ("check", 0, ""),
    ("context", 0, "You serve the people"),
    ("plan", 0, "stdin: pipe"),
    ("chat list", 0, "1 waiting"),
    ("chat show", 0, "Handler: agent-1"),
    ("chat history", 0, "(waits)"),
    ("config get dispatcher.max_agents", 0, "0"),
    ("service status", 0, "Running: yes"),
    ("export", 0, '"kind"'),
    # it adds, and changes what it has added
    ("add 'Mine'", 0, "mine"),
    ("add 'Later' --after mine", 0, "later"),
    ("edit mine --title Changed", 0, "mine: changed"),
    ("link mine --after theirs", 0, "waits for theirs"),
    ("unlink mine --after theirs", 0, "no longer waits"),
    ("msg --task mine hello", 0, "1"),
    ("log 'a note'", 0, "logged"),
    # and no more than that
    ("add 'Runs' --exec true", 1, "may not set exec"),
    ("add 'Verified' --verify true", 1, "may not set verify"),
    ("add 'Elsewhere' --executor codex", 1, "may not set executor"),
    ("add 'Outside' --input /etc/passwd", 1, "outside"),
    ("edit mine --exec true", 1, "may not set exec"),
    ("edit --task theirs --title Mine", 1, NOT_ITS_OWN),
    ("link --task theirs --after mine", 1, NOT_ITS_OWN),
    ("unlink --task theirs --after mine", 1, NOT_ITS_OWN),
    ("msg --task theirs hello", 1, NOT_ITS_OWN),
    ("edit --task nowhere --title x", 3, "no task"),
    ("log --task theirs note", 1, "whose log alone"),
    ("done", 1, NOT_FOR_A_CHAT),
    ("done --task mine", 1, NOT_FOR_A_CHAT),
    ("fail --task mine --reason x", 1, NOT_FOR_A_CHAT),
    ("claim --task mine", 1, NOT_FOR_A_CHAT),
    ("retry mine", 1, NOT_FOR_A_CHAT),
    ("abandon mine", 1, NOT_FOR_A_CHAT),
    ("pause mine", 1, NOT_FOR_A_CHAT),
    ("resume mine", 1, NOT_FOR_A_CHAT),
    ("progress 40", 1, NOT_FOR_A_CHAT),
    ("spawn mine", 1, NOT_FOR_A_CHAT),
    ("kill agent-1", 1, NOT_FOR_A_CHAT),
    ("approve mine", 1, NOT_FOR_A_CHAT),
    ("config set dispatcher.max_agents 9", 1, NOT_FOR_A_CHAT),
    ("service pause", 1, NOT_FOR_A_CHAT),
    ("service stop", 1, NOT_FOR_A_CHAT),
    ("service purge-chats", 1, NOT_FOR_A_CHAT),
    ("chat new another", 1, NOT_FOR_A_CHAT),
    ("chat send .chat-1 hello", 1, NOT_FOR_A_CHAT),
    ("chat interrupt", 1, NOT_FOR_A_CHAT),
    ("chat archive", 1, NOT_FOR_A_CHAT),
    ("chat restore .chat-1", 1, NOT_FOR_A_CHAT),
)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project with a task of ours; nothing but the chat's handler is started."""
    with a_project(tmp_path / "project") as made:
        (made.folder / "tries.py").write_text(TRIES, encoding="utf-8")
        argvs = [shlex.split(command) for command, _, _ in COMMANDS]
        (made.folder / "commands.json").write_text(json.dumps(argvs), encoding="utf-8")
        made.wg("config", "set", "dispatcher.max_agents", "0")
        made.wg("add", "theirs", "--exec", "true")
        made.wg("chat", "new", "--exec", shlex.join([sys.executable, "tries.py"]))
        made.start_daemon()
        yield made


def test_every_kind_of_command_from_a_handler(project: Project) -> None:
    """It reads all and shapes what it has added; the rest says so, with a remedy."""
    answer: Any = project.json("chat", "send", "1", "go", "--wait", "250s")

    results = json.loads(answer["reply"]["text"])
    for (command, status, words), (code, out, err) in zip(
        COMMANDS, results, strict=True
    ):
        assert code == status, (command, out, err)
        assert words in (err if status else out), (command, out, err)
        assert bool(status) == ("hint: " in err), (command, err)
        assert "Traceback" not in err
    titles = {task["id"]: task["title"] for task in project.json("list")}
    assert titles == {"theirs": "theirs", "mine": "Changed", "later": "Later"}


def test_a_handler_that_was_told_to_end_is_no_crash(project: Project) -> None:
    """Whoever it was that told it so."""
    project.json("chat", "send", "1", "go", "--wait", "250s")
    project.wg("kill", "agent-1")

    # its input ends before the signal comes: it may have left in order
    assert project.json("agents")[0]["outcome"] in {"killed", "done"}
    assert project.json("chat", "show", "1")["failures"] == 0
