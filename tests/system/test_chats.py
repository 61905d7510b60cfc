"""Chats over their lives: used, left alone, put away, and taken up again."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import pytest

from tests.system import chats
from tests.system.chats import Files
from tests.system.project import PATIENCE_S, Project, a_project, wait_for

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

#: Answers, goes on after the end of its input, and minds no TERM.
DEAF = f"trap '' TERM; {chats.ECHO}; while :; do sleep 0.1; done"
#: The daemon when a purge comes: there, ended in order, or killed.
Daemon = Literal["there", "stopped", "killed"]

Popen = subprocess.Popen[bytes]


@pytest.fixture
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Project]:
    """A project in which a chat that nobody uses is soon left alone."""
    with a_project(tmp_path / "p", {"USER": "me"}) as made:
        chats.configure(made, getattr(request, "param", "300ms"))
        yield made


def use_three(project: Project) -> list[str]:
    """Three chats, each answered by something else, with somebody who has asked."""
    made = [
        project.wg("chat", "new", "--exec", chats.ECHO).strip(),
        project.wg("chat", "new", "deaf", "--exec", DEAF).strip(),
        project.wg("chat", "new", "--executor", "bot").strip(),
    ]
    said = [chats.talked(project, chat, f"hello {chat}") for chat in made]
    assert said == [
        f"echo hello {made[0]}",
        f"echo hello {made[1]}",
        "for a turn",
    ]
    return made


def end(project: Project, daemon: Popen, *, kill: bool) -> None:
    """Ends a daemon as a crash does, or as a person does."""
    if kill:
        project.kill_daemon(daemon)
    else:
        project.wg("service", "stop")
        daemon.wait(PATIENCE_S)


def nodes(project: Project) -> list[tuple[str, str, bool]]:
    """The chats' tasks in the graph: status, and whether they are put away."""
    found = project.json("list", "--all", "--tag", "chat")
    return [(one["id"], one["status"], "archived" in one["tags"]) for one in found]


def expect_put_away(
    project: Project, made: list[str], kept: list[Files], seconds: float
) -> None:
    """Over a stop and over a kill nothing is started, and nothing is lost."""
    tried = [chats.attempts(project, chat) for chat in made]
    ran = len(chats.log(project, "agent_started"))
    for kill in (False, True):
        daemon = project.start_daemon()
        chats.pass_time(project, seconds)
        ran += 1  # the task that took that time

        wait_for(lambda: not project.processes(), "nobody to be left")
        assert len(chats.log(project, "agent_started")) == ran
        assert [chats.attempts(project, chat) for chat in made] == tried
        assert nodes(project) == [(chat, "done", True) for chat in made]
        assert [chats.history(project, chat) for chat in made] == kept
        assert project.wg("service", "purge-chats") == "there is nothing to purge\n"
        end(project, daemon, kill=kill)
    assert project.wg("service", "purge-chats") == "there is nothing to purge\n"
    assert [chats.history(project, chat) for chat in made] == kept


def purge(project: Project, made: list[str], when: Daemon, seconds: float) -> None:
    """Three chats are purged, and stay away."""
    assert project.wg("service", "purge-chats") == "there is nothing to purge\n"
    with (project.folder / ".wg" / "config.toml").open("a") as config:
        config.write('[executors.bot]\nargv = ["sh", "-c", "echo for a turn"]\n')
    daemon = project.start_daemon()
    made += use_three(project)
    with chats.a_consumer(project, "deaf"):
        # a line is written after the commit, and only by a daemon that lives
        chats.wait_written(project, *made)
        if when != "there":
            end(project, daemon, kill=when == "killed")
        kept = [chats.history(project, chat) for chat in made]
        assert [len(one.inbox.splitlines()) for one in kept] == [1, 1, 1]
        assert [len(one.outbox.splitlines()) for one in kept] == [1, 1, 1]

        purged = project.json("service", "purge-chats")

    assert purged["chats"] == made
    wait_for(lambda: not project.processes(), "nobody to be left")
    for chat in project.json("chat", "list", "--all"):
        assert (chat["state"], chat["purged_at"] is None) == ("archived", False)
    if when == "there":
        project.wg("service", "stop")
        daemon.wait(PATIENCE_S)
    expect_put_away(project, made, kept, seconds)


@pytest.mark.parametrize("when", ["there", "stopped", "killed"])
def test_purged_chats_stay_away(project: Project, when: Daemon) -> None:
    """With the daemon and without it: tasks and histories are there, processes not."""
    purge(project, [], when, 1.0)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("when", ["there", "stopped", "killed"])
def test_purged_chats_stay_away_for_long(project: Project, when: Daemon) -> None:
    """The same, and half a minute after each start."""
    purge(project, [], when, 30.0)


#: How a handler leaves a second after it was started, with its answer given.
ENDS = {"clean": "exit 0", "failed": "exit 3", "killed": "kill -9 $$"}


def expect_left_alone(project: Project, chat: str) -> int:
    """For ten times `idle_after` nothing is started; gives how often that was before.

    One that ends while whoever has asked is still there may have a successor.
    """

    def is_over() -> bool:
        shown = chats.show(project, chat)
        is_idle = (shown["state"], shown["consumers"]) == ("idle", 0)
        return is_idle and not project.processes()

    wait_for(is_over, "its end")
    before = chats.attempts(project, chat)
    chats.pass_time(project, 3.2)
    shown = chats.show(project, chat)
    assert (shown["state"], shown["queued"], shown["consumers"]) == ("idle", 0, 0)
    assert len(chats.starts(project, chat)) == chats.attempts(project, chat) == before
    return before


@pytest.mark.parametrize("how", ENDS)
def test_what_nobody_uses_is_not_started_again(project: Project, how: str) -> None:
    """For ten times `idle_after`; then a message does it at once, and a consumer."""
    leaves = f"""read -r line; sleep 1.1; echo '{{"text":"bye"}}'; {ENDS[how]}"""
    chat = project.wg("chat", "new", "--exec", leaves).strip()
    project.start_daemon()

    assert chats.talked(project, chat, "hello") == "bye"
    before = expect_left_alone(project, chat)
    assert chats.show(project, chat)["failures"] == (0 if how == "clean" else 1)

    took: list[float] = []
    while must_try_again(took):
        assert chats.talked(project, chat, "are you there?") == "bye"
        sent = project.json("chat", "history", chat)[-2]
        assert sent["text"] == "are you there?"
        took.append(chats.starts(project, chat)[before] - chats.moment(sent["at"]))
        before = expect_left_alone(project, chat)

    took = []
    while must_try_again(took):
        with chats.a_consumer(project, chat):
            wait_for(
                lambda before=before: len(chats.starts(project, chat)) > before,  # type: ignore[misc]
                "another one",
            )
            shown = chats.show(project, chat)
            came = chats.moment(shown["last_consumer_at"])
            took.append(chats.starts(project, chat)[before] - came)
            # it waits for a line that never comes, as long as somebody is there
            assert shown["consumers"] == 1
        assert expect_left_alone(project, chat) == before + 1
        before += 1


def must_try_again(took: list[float]) -> bool:
    """Whether nothing was started at once as yet, on a machine that may stand still."""
    assert len(took) < 4 or min(took) < 1, took
    return not took or took[-1] >= 1


@pytest.mark.parametrize("project", ["1s"], indirect=True)
def test_who_is_killed_with_nobody_there_stays_away(project: Project) -> None:
    """While it is kept for whoever comes back, and after a restart of the daemon."""
    chat = project.wg("chat", "new", "--exec", chats.ECHO).strip()
    daemon = project.start_daemon()
    assert chats.talked(project, chat, "hello") == "echo hello"
    for pid in project.processes():
        with suppress(ProcessLookupError):  # the daemon has seen the end of another
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not project.processes(), "its end")
    project.kill_daemon(daemon)
    project.start_daemon()

    chats.pass_time(project, 10.2)

    assert chats.attempts(project, chat) == 1
    assert chats.talked(project, chat, "again") == "echo again"


def attach(project: Project, chat: str) -> subprocess.CompletedProcess[str]:
    """Somebody attaches, and says something."""
    return project.run("chat", "attach", chat, stdin="hello?\n")


def test_archived_stays_archived(project: Project) -> None:
    """Over attach, send, restart and an export of when it was not."""
    chat = project.wg("chat", "new", "plans", "--exec", chats.ECHO).strip()
    daemon = project.start_daemon()
    assert chats.talked(project, chat, "hello") == "echo hello"
    project.wg("export", "old.jsonl")
    project.wg("chat", "archive", chat)
    wait_for(lambda: not project.processes(), "the end of its handler")
    wait_for(lambda: chats.show(project, chat)["consumers"] == 0, "nobody to be there")
    chats.wait_written(project, chat)
    put_away = chats.show(project, chat)
    kept = chats.history(project, chat)
    remedy = f"wg chat restore {chat}"

    for kill in (None, False, True, None):
        if kill is not None:
            end(project, daemon, kill=kill)
            daemon = project.start_daemon()
        refused = attach(project, chat)
        assert (refused.returncode, remedy in refused.stderr) == (1, True), refused
        for words in (("x",), ("x", "--wait", "5s")):
            status, error = project.error("chat", "send", chat, *words)
            assert (status, error["hint"]) == (1, remedy)
        with chats.a_consumer(project, chat) as link:
            answer = json.loads(link.makefile("rb").readline())
            assert (answer["ok"], answer["error"]["hint"]) == (False, remedy)
        assert project.run("import", "old.jsonl").returncode == 4
        chats.pass_time(project, 0.4)
        assert chats.show(project, chat) == put_away
        assert chats.history(project, chat) == kept
        assert chats.attempts(project, chat) == 1
        assert nodes(project) == [(chat, "done", True)]

    project.wg("export", "new.jsonl")
    with a_project(project.folder.parent / "q") as other:
        assert other.run("import", str(project.folder / "new.jsonl")).returncode == 0
        other.start_daemon()
        chats.pass_time(other, 0.4)
        assert other.error("chat", "send", chat, "x")[1]["hint"] == remedy
        assert nodes(other) == [(chat, "done", True)]
        assert chats.history(other, chat) == kept
        assert chats.log(other, "agent_started")[1:] == []


#: Says what of its history it was told at its start.
REMEMBERS = """
import json, os, re, sys
told = open(os.environ["WG_PROMPT_FILE"]).read()
for line in sys.stdin:
    words = sorted(set(re.findall("word-[0-9]+", told)))
    answer = {"reply_to": json.loads(line)["id"], "text": " ".join(words) or "none"}
    print(json.dumps(answer), flush=True)
"""


@pytest.mark.parametrize("purged", [False, True])
def test_who_is_taken_up_again_knows_what_was_said(
    project: Project, *, purged: bool
) -> None:
    """The history is there, and the next handler has it in its context."""
    (project.folder / "remembers.py").write_text(REMEMBERS)
    command = shlex.join([sys.executable, "remembers.py"])
    chat = project.wg("chat", "new", "--exec", command).strip()
    daemon = project.start_daemon()
    assert chats.talked(project, chat, "the first is word-1") == "none"
    wait_for(lambda: not project.processes(), "nobody to use it")
    assert chats.talked(project, chat, "then word-22") == "word-1"
    project.wg(*(("service", "purge-chats") if purged else ("chat", "archive", chat)))
    chats.wait_written(project, chat)
    end(project, daemon, kill=True)
    kept = chats.history(project, chat)

    project.wg("chat", "restore", chat)
    project.start_daemon()

    shown = chats.show(project, chat)
    assert (shown["state"], shown["archived_at"], shown["purged_at"]) == (
        *("idle", None),
        None,
    )
    assert chats.history(project, chat) == kept
    assert nodes(project) == [(chat, "open", False)]
    assert chats.talked(project, chat, "which words?") == "word-1 word-22"
    folders = sorted((project.folder / ".wg" / "agents").glob("agent-*"))
    prompt = (folders[-1] / "prompt.md").read_text()
    assert re.search("the first is word-1.*then word-22", prompt, re.DOTALL)
