"""People in a chat of a real daemon, which a command answers."""

import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.project import BIN, PATIENCE_S, Project, a_project, wait_for
from tests.system.screen import Terminal, a_terminal

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

#: Says everything again, but for `hang`, with which it never comes to an end.
ECHO = """
import json, sys, time
for line in sys.stdin:
    said = json.loads(line)
    while said["text"].endswith("hang"):
        time.sleep(60)
    answer = {"reply_to": said["id"], "text": "echo " + said["text"]}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project whose chat repeats what it is told."""
    with a_project(tmp_path / "project") as project:
        script = project.folder / "echo.py"
        script.write_text(ECHO, encoding="utf-8")
        command = shlex.join([sys.executable, str(script)])
        project.wg("chat", "new", "echo", "--exec", command)
        yield project


def show(project: Project) -> Any:
    """The chat."""
    return project.json("chat", "show", "1")


def at_terminal(project: Project, name: str = "ann") -> Any:
    """Somebody attaches."""
    argv = [str(BIN / "wg"), "chat", "attach", "1"]
    return a_terminal(argv, cwd=project.folder, env=project.env | {"WG_ACTOR": name})


def say(terminal: Terminal, text: str) -> None:
    """Types a line, once there is one."""
    terminal.wait_shows(".chat-1 ")
    terminal.type(f"{text}\r")


def test_a_turn_is_interrupted_and_the_conversation_goes_on(project: Project) -> None:
    """By Ctrl-C: the message is answered with that, and the next one as ever."""
    project.start_daemon()

    with at_terminal(project) as terminal:
        say(terminal, "hello")
        terminal.wait_shows("  echo hello")
        # what is shown of this turn is not to be taken for the next one's
        terminal.wait(lambda: not terminal.shows("Ctrl-C interrupts"), "its end")
        say(terminal, "please hang")
        terminal.wait_shows("Ctrl-C interrupts")
        terminal.type("\x03")
        terminal.wait_shows("interrupted by ann")
        say(terminal, "still there?")
        terminal.wait_shows("  echo still there?")
        terminal.type("\x04")
        status = terminal.wait_ended()

    said = [(one["kind"], one["by"]) for one in project.json("chat", "history", "1")]
    assert status == 0
    kinds = ["message", "reply", "message", "error", "message", "reply"]
    assert [kind for kind, _ in said] == kinds
    assert [by for kind, by in said if kind == "message"] == ["ann"] * 3


def test_a_daemon_that_is_killed_and_started_again(project: Project) -> None:
    """Who is attached stays, and is answered by the next one."""
    daemon = project.start_daemon()

    with at_terminal(project) as terminal:
        say(terminal, "one")
        terminal.wait_shows("  echo one")
        project.kill_daemon(daemon)
        terminal.wait_shows("the daemon is away")
        # who waits would give up after 10 s, which a busy machine needs for a start
        terminal.signal(signal.SIGSTOP)
        project.start_daemon()
        terminal.signal(signal.SIGCONT)
        say(terminal, "two")
        terminal.wait_shows("  echo two")

    wait_for(lambda: show(project)["consumers"] == 0, "nobody to be there")


def test_a_daemon_that_does_not_come_back(project: Project) -> None:
    """It is said, with exit 5, and there is no traceback."""
    daemon = project.start_daemon()

    with at_terminal(project) as terminal:
        say(terminal, "one")
        terminal.wait_shows("  echo one")
        project.kill_daemon(daemon)
        status = terminal.wait_ended()
        terminal.wait_shows("hint: wg service start")

    assert status == 5
    assert "Traceback" not in terminal.screen.text()


def test_who_is_killed_is_a_consumer_no_more(project: Project) -> None:
    """Whatever ends them: their connection does, too."""
    project.start_daemon()

    with at_terminal(project) as ann, at_terminal(project, "bob") as bob:
        for terminal in (ann, bob):
            terminal.wait_shows("2 are here")
        ann.process.kill()
        # `setsid` was killed; what it has started is ended by its terminal's end
        there = show(project)["consumers"]
    wait_for(lambda: show(project)["consumers"] == 0, "nobody to be there")

    assert there in {1, 2}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_is_ended_leaves_the_terminal_as_it_was(
    number: signal.Signals, project: Project
) -> None:
    """By a signal, in the midst of a line."""
    project.start_daemon()

    with at_terminal(project) as terminal:
        terminal.wait_shows(".chat-1 ")
        terminal.type("half a li")
        terminal.wait_shows("half a li")
        was_changed = not terminal.is_as_it_was()
        terminal.signal(number)
        status = terminal.wait_ended()
        assert terminal.is_as_it_was()

    assert (was_changed, status) == (True, 128 + number)


def test_a_reply_is_waited_for(project: Project) -> None:
    """Printed alone; when there is none in time, the message stays queued."""
    project.start_daemon()

    reply = project.wg("chat", "send", "1", "hello", "--wait", "100s")
    late = project.run("chat", "send", "1", "hang", "--wait", "300ms")
    waiting = subprocess.Popen(
        [str(BIN / "wg"), "chat", "send", "1", "hello", "--wait", "200s"],
        cwd=project.folder,
        env=project.env,
        stderr=subprocess.PIPE,
    )
    wait_for(lambda: show(project)["queued"] == 2, "the message to be queued")
    waiting.send_signal(signal.SIGINT)
    waiting.communicate()
    left = show(project)["queued"]

    assert reply == "echo hello\n"
    assert (late.returncode, late.stdout) == (75, "")
    assert "message 3 stays queued" in late.stderr
    assert (waiting.returncode, left) == (-signal.SIGINT, 2)


def test_an_error_in_place_of_a_reply(project: Project) -> None:
    """On standard error, with exit 1."""
    project.start_daemon()
    waiting = subprocess.Popen(
        [str(BIN / "wg"), "chat", "send", "1", "hang", "--wait", "200s"],
        cwd=project.folder,
        env=project.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )

    # it is live before it has the message: until then nothing runs in it
    wait_for(
        lambda: "message 1" in project.wg("chat", "interrupt", "1"),
        "the message to be on its way",
    )
    out, err = waiting.communicate(timeout=PATIENCE_S)

    assert (waiting.returncode, out) == (1, b"")
    assert err.startswith(b"interrupted by")


def test_nobody_waits_without_a_daemon(project: Project) -> None:
    """And nothing is queued."""
    done = project.run("chat", "send", "1", "hello", "--wait", "1s")

    assert (done.returncode, show(project)["queued"]) == (5, 0)


def test_a_script_talks_by_lines(project: Project) -> None:
    """A line is a message, a reply is printed, and the end waits for the last."""
    project.start_daemon()

    out = project.wg("chat", "attach", "1", stdin="one\ntwo\nthree\n")

    assert out == "echo one\necho two\necho three\n"
