"""The program itself: arguments, signals, and what it needs."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.mock_model_api import MockModelAPI
from tests.native.runs import SESSION
from tests.native.test_tools import wait_gone
from tests.system.project import PATIENCE_S, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def start(
    folder: Path, *argv: str, env: dict[str, str] | None = None, prompt: str = "go"
) -> subprocess.Popen[bytes]:
    """Starts it in a folder, with the prompt as its standard input."""
    (folder / "prompt").write_text(prompt)
    home = folder / "home"
    usual = {"PATH": os.environ["PATH"], "HOME": str(home)}
    with (
        (folder / "prompt").open("rb") as given,
        (folder / "out").open("wb") as out,
        (folder / "err").open("wb") as err,
    ):
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "workgraph.native", *argv],
            cwd=folder,
            env=usual | (env or {}),
            stdin=given,
            stdout=out,
            stderr=err,
        )


def lines(folder: Path) -> list[dict[str, Any]]:
    """The whole lines that it has printed."""
    printed = (folder / "out").read_bytes().split(b"\n")
    return [json.loads(line) for line in printed[:-1]]


def test_it_runs_keeps_its_session_and_goes_on_with_it(tmp_path: Path) -> None:
    """With modules in the working directory that are named like the library's."""
    for name in ("json", "uuid", "openai"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a trap')\n")
    key = {"LOCAL_KEY": "key-of-the-endpoint"}
    steps = [{"shell": "printenv LOCAL_KEY || echo no key"}, {"text": "ok"}]
    with MockModelAPI(steps, require_key="key-of-the-endpoint") as mock:
        argv = ("--endpoint", f"{mock.url}/v1", "--api-key-env", "LOCAL_KEY")
        fresh = start(tmp_path, *argv, "--session-id", SESSION, env=key)

        assert fresh.wait(PATIENCE_S) == 0, (tmp_path / "err").read_text()
        assert lines(tmp_path)[-1]["result"] == "ok"
        (result,) = lines(tmp_path)[2]["message"]["content"]
        assert result["content"] == "no key\n"

        again = start(tmp_path, *argv, "--resume", SESSION, env=key)
        assert again.wait(PATIENCE_S) == 0
    kept = tmp_path / "home/.local/state/workgraph/native" / f"{SESSION}.json"
    assert b"key-of-the-endpoint" not in kept.read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_the_command_of_its_tool(
    tmp_path: Path, number: signal.Signals
) -> None:
    """The status says which signal; there is no result; the session can go on."""
    command = "sleep 60 & echo $! > child; echo $$ > shell; : > up; wait"
    with MockModelAPI([{"shell": command}, {"text": "went on"}]) as mock:
        argv = ("--endpoint", f"{mock.url}/v1")
        process = start(tmp_path, *argv, "--session-id", SESSION)
        wait_for((tmp_path / "up").exists, "the tool")

        process.send_signal(number)

        assert process.wait(PATIENCE_S) == 128 + number
        assert lines(tmp_path)[-1]["type"] == "assistant"
        wait_gone(tmp_path / "child")
        wait_gone(tmp_path / "shell")

        again = start(tmp_path, *argv, "--resume", SESSION)
        assert again.wait(PATIENCE_S) == 0
        assert lines(tmp_path)[-1]["result"] == "went on"


def test_a_signal_ends_it_while_it_waits_for_the_endpoint(tmp_path: Path) -> None:
    """However long that takes."""
    with MockModelAPI([{"hang": "start", "times": "always"}], max_hang=200) as mock:
        process = start(tmp_path, "--endpoint", f"{mock.url}/v1")
        wait_for(lambda: len(mock.requests) > 1, "the request")

        process.terminate()

        assert process.wait(PATIENCE_S) == 143


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    """With a status of its own, in one line, and nothing on standard output."""
    # An interpreter that sees the package, and none of what others have made.
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-S", "-m", "workgraph.native", "--endpoint", "http://x"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 69
    assert done.stdout == ""
    assert done.stderr == (
        "native: pydantic_ai is not installed: "
        "pip install 'workgraph-orchestrator[native]'\n"
    )


@pytest.mark.parametrize(
    ("argv", "prompt"),
    [
        (["--endpoint", "http://x"], " \n"),
        ([], "go"),
        (["--endpoint", "http://x", "--session-id", "../x"], "go"),
        (["--endpoint", "http://x", "--max-turns", "0"], "go"),
    ],
)
def test_what_can_not_be_meant_is_refused(
    tmp_path: Path, argv: list[str], prompt: str
) -> None:
    """With 2, before anything is asked."""
    process = start(tmp_path, *argv, prompt=prompt)

    assert process.wait(PATIENCE_S) == 2
    assert lines(tmp_path) == []
    assert (tmp_path / "err").read_text() != ""
