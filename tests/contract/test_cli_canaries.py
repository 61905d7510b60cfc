"""CONTRACT §6 by real processes: an evaluator is tried on known answers."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.system.project import BIN, Project, a_project, wait_for

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

#: The work of each case, and what it is worth. The names are not shown.
KNOWN: Final[Mapping[str, float]] = {"flawless": 1.0, "middling": 0.5, "useless": 0.0}
#: It reads what it is shown, and keeps it with all that it could tell a case by.
HONEST: Final = """
shown = sys.stdin.read()
with open(os.environ["HOME"] + "/seen", "a") as file:
    file.write(shown + "\\n".join(f"{k}={v}" for k, v in os.environ.items()) + "\\n")
worth = {"flawless": 0.95, "middling": 0.5, "useless": 0.05}
score = next(value for word, value in worth.items() if "is " + word in shown)
print(json.dumps({"dimensions": {"correctness": score, "style_adherence": score}}))
"""
FLAT: Final = 'print(\'{"score": 0.9, "notes": "well done"}\')'
NONSENSE: Final = "print('a wonderful piece of work')"
CRASHES: Final = "os.kill(os.getpid(), 9)"


def an_evaluator(project: Project, text: str) -> None:
    """The evaluator is this program."""
    program = project.folder / "judge.py"
    program.write_text(f"import json, os, sys\n{text}\n", encoding="utf-8")
    argv = json.dumps(["python3", str(program)])
    config = project.folder / ".wg" / "config.toml"
    config.write_text(
        f'[agency]\nevaluator = "eva"\n[executors.judge]\nargv = {argv}\n'
        '[retry]\nbackoff = "1ms"\nbackoff_max = "1ms"\n',
        encoding="utf-8",
    )
    project.wg("import", "-", stdin='{"kind":"actor","name":"eva","executor":"judge"}')


def a_file(project: Project, known: Mapping[str, float] = KNOWN) -> str:
    """A file of cases outside of the project."""
    lines = [
        json.dumps(
            {
                "name": f"known-{word}",
                "task": {"title": f"Sort the {number}. list", "verify": ["make test"]},
                "result": {
                    "summary": "it sorts",
                    "log": ["began", "ended"],
                    "gates": [{"passed": True, "text": "make test: ok"}],
                    "artifacts": [{"name": "sort.py", "text": f"# it is {word}\n"}],
                    "diff": "+++ sort.py\n",
                },
                "score": score,
                "dimensions": {"correctness": score},
            }
        )
        for number, (word, score) in enumerate(known.items(), start=1)
    ]
    file = Path(project.env["HOME"]) / "cases.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    return str(file)


def report(project: Project, *argv: str) -> tuple[int, dict[str, Any]]:
    """The exit status and the report of a command."""
    done = project.run("--json", *argv)
    return done.returncode, json.loads(done.stdout)["data"]


def test_an_honest_evaluator_is_calibrated(tmp_path: Path) -> None:
    """It is shown what a judge of work is, and nothing that tells a case from it."""
    with a_project(tmp_path / "p") as project:
        an_evaluator(project, HONEST)
        project.start_daemon()
        file = a_file(project)

        done = project.run("reward", "run", "--canary", file)
        status, data = report(project, "reward", "canary")

        assert done.returncode == 0, done.stderr
        first, *page = done.stdout.splitlines()
        assert first == "eva: calibrated (3 of 3 cases answered)"
        assert any(line.startswith("Agreement: off by 0.033") for line in page)
        assert "correctness: off by 0.033, bias +0.000 (3 cases)" in done.stdout
        assert done.stderr.startswith("run 1: eva judges 3 cases")
        assert (status, data["fit"]["calibrated"]) == (0, True)
        assert [case["answered"] for case in data["cases"]] == [0.95, 0.5, 0.05]
        seen = (Path(project.env["HOME"]) / "seen").read_text().lower()
        assert "reward-sort-the-1.-list" in seen
        for word in ("canary", "canaries", "known-", "cases.jsonl"):
            assert word not in seen, word
        assert project.json("list") == []

        again, data = report(project, "reward", "run", "--canary", file)
        assert (again, data["run"]) == (0, 2)
        (drift,) = data["drift"]
        assert (drift["run"], drift["cases"], drift["change"]["mean"]) == (1, 3, 0)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (FLAT, "it says 0.90 whatever it is shown"),
        (NONSENSE, "it gave no valid answer to 2 of 2 cases"),
        (CRASHES, "it gave no valid answer to 2 of 2 cases"),
    ],
)
def test_who_is_no_judge_is_reported(tmp_path: Path, text: str, finding: str) -> None:
    """One that always says 0.9, one that answers nonsense, one that crashes."""
    with a_project(tmp_path / "p") as project:
        an_evaluator(project, text)
        project.start_daemon()
        # Three tasks on which it crashes would hold up all others of its executor.
        file = a_file(project, {"flawless": 1.0, "useless": 0.0})

        done = project.run("reward", "run", "--canary", file)
        status, data = report(project, "reward", "canary", "1")

        assert done.returncode == 1
        first, second, *_ = done.stdout.splitlines()
        assert first.startswith("eva: not calibrated")
        assert second == f"  {finding}"
        assert (status, data["fit"]["findings"][0]) == (1, finding)
        if text == NONSENSE:
            assert {case["status"] for case in data["cases"]} == {"failed"}


def test_what_can_not_be_run_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """Without a daemon, without an evaluator, with a file that is none."""
    with a_project(tmp_path / "p") as project:
        file = a_file(project)
        assert project.error("reward", "run", "--canary", file)[0] == 5
        assert project.error("reward", "canary")[0] == 3
        project.start_daemon()

        status, error = project.error("reward", "run", "--canary", file)
        assert (status, error["message"]) == (1, "there is no evaluator to try")
        an_evaluator(project, FLAT)
        project.wg("service", "reload")
        bad = tmp_path / "bad.jsonl"
        bad.write_text('{"name": "a"}\n')
        status, error = project.error("reward", "run", "--canary", str(bad))
        assert status == 1
        assert error["message"].startswith("line 1: Object missing required field")
        assert project.error("reward", "run", "--canary", "nowhere")[0] == 1
        assert project.error("reward", "run", "x", "--canary", file)[0] == 2
        assert project.error("reward", "run")[0] == 2


def test_ctrl_c_leaves_them_running(tmp_path: Path) -> None:
    """The report is there when they are over."""
    with a_project(tmp_path / "p") as project:
        gate = Path(project.env["HOME"]) / "go"
        os.mkfifo(gate)
        an_evaluator(project, f"open({str(gate)!r}).read()\n{FLAT}")
        project.start_daemon("--max-agents", "3")
        argv = [str(BIN / "wg"), "reward", "run", "--canary", a_file(project)]
        with subprocess.Popen(
            argv,
            cwd=project.folder,
            env=project.env,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as asker:
            assert asker.stderr is not None
            assert b"after Ctrl-C it goes on" in asker.stderr.readline()
            asker.send_signal(signal.SIGINT)
            asker.wait()

        status, data = report(project, "reward", "canary")
        assert (status, data["fit"]["pending"]) == (1, 3)

        def is_over() -> bool:
            with_pending = report(project, "reward", "canary")[1]["fit"]
            if with_pending["pending"]:
                fd = os.open(gate, os.O_RDWR | os.O_NONBLOCK)
                os.write(fd, b"x")
                os.close(fd)
            return not with_pending["pending"]

        wait_for(is_over, "the answers")
        assert report(project, "reward", "canary")[1]["fit"]["answered"] == 3


def test_by_the_socket_it_is_one_request_and_one_answer(tmp_path: Path) -> None:
    """As any other, when all are settled."""
    with a_project(tmp_path / "p") as project:
        an_evaluator(project, FLAT)
        project.start_daemon()

        text = Path(a_file(project)).read_text()
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(project.json("service", "status")["socket"])
            request = {"cmd": "canary_run", "text": text}
            link.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(link.makefile().readline())

        assert answer["ok"], answer
        assert answer["data"]["fit"]["spread"]["says"] == 0.9
