"""`wg executor` with a real wgd and real processes."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.system.project import BIN, PATIENCE_S, Project, a_project, wait_for

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

SAMPLES: Final = Path(__file__).parents[1] / "agents" / "samples" / "claude"
#: Says its version; else takes the prompt, and prints what a real client has printed.
CLIENT: Final = """#!/bin/sh
if [ "$1" = --version ]; then echo "9.9.9 (Fake)"; exit; fi
cat > "$HOME/prompt"
env > "$HOME/environment"
cat {sample}
exit {code}
"""
#: With a child that has left its group.
HANGS: Final = """#!/bin/sh
if [ "$1" = --version ]; then echo 1; exit; fi
setsid sleep 600 &
trap '' TERM
touch "$HOME/hangs"
while :; do sleep 600; done
"""


def an_executor(project: Project, name: str, text: str) -> None:
    """An executor as data, whose stream is claude's."""
    program = project.folder / f"{name}.sh"
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)
    project.configure(
        {
            f"executors.{name}.argv": json.dumps([str(program)]),
            f"executors.{name}.stream": "claude",
        }
    )


def nothing_is_left(project: Project) -> bool:
    """Neither process nor folder nor row."""
    return (
        project.processes() == []
        and not (project.folder / ".wg/trials").exists()
        and project.json("agents") == []
        and project.json("list") == []
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of all that runs."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def test_executors_that_work_and_that_do_not(tmp_path: Path, home: Path) -> None:
    """Success, a login that is refused, no program, no such executor."""
    env = {"HOME": str(home)}
    with a_project(tmp_path / "p", env) as project:
        an_executor(
            project,
            "good",
            CLIENT.format(sample=SAMPLES / "success.jsonl", code=0),
        )
        an_executor(
            project,
            "refused",
            CLIENT.format(sample=SAMPLES / "error_401.jsonl", code=1),
        )
        project.wg("config", "set", "executors.gone.argv", '["no-such-program"]')

        offline, error = project.error("executor", "test", "good")
        assert (offline, error["code"]) == (5, "daemon_needed"), error
        listed = {one["name"]: one for one in project.json("executor", "list")}
        assert listed["good"]["path"] == str(project.folder / "good.sh")
        assert listed["gone"]["path"] is None
        assert "good: " not in project.wg("executor", "list")

        project.start_daemon("--max-agents", "0")
        trial = project.json("executor", "test", "good")
        page = project.wg("executor", "test", "good")
        auth = project.error("executor", "test", "refused")
        gone = project.error("executor", "test", "gone")
        unknown = project.error("executor", "test", "god")

        assert trial["version"] == "9.9.9 (Fake)"
        assert (trial["outcome"], trial["exit_code"]) == ("finished", 0)
        assert trial["usage"]["output_tokens"] > 0
        assert "Version: 9.9.9 (Fake)\n" in page
        assert (home / "prompt").read_text() == "Say the word ok and nothing else."
        assert (auth[0], auth[1]["code"]) == (1, "auth")
        assert "9.9.9 (Fake)" in auth[1]["message"]
        assert (gone[0], gone[1]["code"]) == (1, "misconfigured")
        assert (unknown[0], unknown[1]["hint"]) == (3, "did you mean good?")
        assert "ok" in project.wg("executor", "test", "shell")
        wait_for(lambda: nothing_is_left(project), "nothing to be left")


def test_what_hangs_is_ended_with_all_that_it_has_started(
    tmp_path: Path, home: Path
) -> None:
    """At the limit, when who asked goes away, and when the daemon is killed."""
    with a_project(tmp_path / "p", {"HOME": str(home)}) as project:
        an_executor(project, "hangs", HANGS)
        daemon = project.start_daemon()

        status, error = project.error("executor", "test", "hangs", "--timeout", "1s")
        assert (status, error["code"]) == (1, "timed-out")
        wait_for(lambda: nothing_is_left(project), "nothing to be left")

        with _asking(project, home):
            pass
        wait_for(lambda: nothing_is_left(project), "all of it to be gone")

        with _asking(project, home) as client:
            project.kill_daemon(daemon)
            client.wait(PATIENCE_S)
        assert project.processes() != []
        project.start_daemon()
        wait_for(lambda: nothing_is_left(project), "what was left to be gone")


class _asking:  # noqa: N801 - a block, as a function would be
    """A client that waits for a run that hangs; it is interrupted after the block."""

    def __init__(self, project: Project, home: Path) -> None:
        (home / "hangs").unlink(missing_ok=True)
        self._hangs = home / "hangs"
        self._client = subprocess.Popen(
            [str(BIN / "wg"), "executor", "test", "hangs", "--timeout", "10m"],
            cwd=project.folder,
            env=project.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> "subprocess.Popen[bytes]":
        wait_for(self._hangs.exists, "it to run")
        return self._client

    def __exit__(self, *_: object) -> None:
        if self._client.poll() is None:
            os.kill(self._client.pid, signal.SIGINT)
            self._client.wait(PATIENCE_S)
