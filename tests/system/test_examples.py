"""The scripts in `examples/`, run as a user runs them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.mock_model_api import MockModelAPI
from tests.system.project import wait_for

EXAMPLES = Path(__file__).parents[2] / "examples"
DEMO = EXAMPLES / "repo-report" / "demo.sh"
CODING_AGENT = EXAMPLES / "coding-agent" / "run.sh"
CHAT = EXAMPLES / "chat" / "run.sh"
HANDING_ON = EXAMPLES / "handing-on" / "run.sh"
JUDGED_WORK = EXAMPLES / "judged-work" / "run.sh"
NATIVE = EXAMPLES / "native" / "run.sh"

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]


class Place:
    """A folder to work in, whose subfolder `scratch` takes all temporary files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scratch = folder / "scratch of it"
        self.scratch.mkdir()
        self.env = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "TMPDIR": str(self.scratch),
            "LC_ALL": "C.UTF-8",
            "GIT_AUTHOR_DATE": "2026-03-01T12:00:00+0200",
        }

    def run(self, *command: str | Path) -> "subprocess.CompletedProcess[str]":
        """A command that ran to its end."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def wg(self, project: Path, *words: str) -> Any:
        """What a `wg` command answers about a project."""
        done = self.run("wg", "--dir", project, *words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["data"]

    def git(self, *words: str | Path, author: str = "Ada") -> None:
        """Runs git in the repository `a repo`."""
        who = ("-c", f"user.name={author}", "-c", "user.email=x@example.org")
        repo = self.folder / "a repo"
        repo.mkdir(exist_ok=True)
        done = self.run("git", "-C", repo, *who, *words)
        assert done.returncode == 0, done.stderr

    def write(self, files: dict[bytes, bytes]) -> None:
        """Writes files into the repository."""
        for name, content in files.items():
            path = os.path.join(os.fsencode(self.folder / "a repo"), name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)

    def commit(self, author: str = "Ada") -> None:
        """Commits all that is there."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", "x", author=author)

    def processes(self) -> list[str]:
        """Those that know the folder for temporary files, in any way."""
        mark = os.fsencode(self.scratch)
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                environ = (entry / "environ").read_bytes()
                command = (entry / "cmdline").read_bytes()
                cwd = os.fsencode(os.readlink(entry / "cwd"))
            except OSError:
                continue
            if mark in environ or mark in command or mark in cwd:
                found.append(f"{entry.name}: {command!r}")
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """One with an empty repository."""
    place = Place(tmp_path)
    place.git("init", "--quiet")
    return place


def totals(page: Path) -> dict[str, str]:
    """The numbers at the top of a report."""
    html = page.read_text("utf-8")
    return dict(re.findall(r'data-total="(\w+)">([^<]*)<', html))


def test_the_report_of_a_repository(place: Place) -> None:
    """Its numbers are right, odd names do no harm, and nothing is left."""
    place.write(
        {
            b"one two/a.py": b"if x:\n    y()  # TODO\n",
            b"one two/b.py": b"z()\n",
            b"other/<b>&\"'.md": b"# T\n\ntext",
        }
    )
    place.commit()
    place.write({b"other/\xff\n.md": b"x\n", b"binary": b"\0\1\2", b"empty": b""})
    place.commit("Grace & Co")

    done = place.run("sh", DEMO, "a repo")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "stale lock" in done.stdout
    report = place.folder / "repo-report.html"
    assert totals(report) == {
        "commits": "2",
        "authors": "2",
        "days": "1",
        "files": "6",
        "binary": "1",
        "bytes": "40",
        "lines": "7",
        "languages": "2",
        "marks": "1",
    }
    html = report.read_text("utf-8")
    assert html.count("<svg") == html.count("</svg>") == 8
    assert "Grace &amp; Co" in html
    assert "<title>a repo: a report</title>" in html
    assert list(place.scratch.iterdir()) == []
    wait_for(lambda: not place.processes(), "nobody to be left")


def test_the_graph_of_a_report(place: Place) -> None:
    """All is done, by a fan-out over the folders, and one task was tried again."""
    place.write({b"%d/%d.c" % (n, m): b"x\n" for n in range(30) for m in range(3)})
    place.commit()
    project = place.scratch / "kept"

    done = place.run("sh", DEMO, "--keep", project, "--out", "x.html", "a repo")

    assert done.returncode == 0, done.stdout + done.stderr
    tasks = {task["id"]: task for task in place.wg(project, "list")}
    assert len(tasks) == 31
    assert {task["status"] for task in tasks.values()} == {"done"}
    assert [name for name, task in tasks.items() if task["attempts"] > 1] == ["totals"]
    assert tasks["totals"]["attempts"] == 2
    assert sum(name.startswith("folder-") for name in tasks) == 18
    assert all(task["artifacts"] for task in tasks.values())
    outcomes = [
        (agent["attempt"], agent["outcome"])
        for agent in place.wg(project, "agents")
        if agent["task"] == "totals"
    ]
    assert outcomes == [(1, "failed"), (2, "done")]
    assert place.wg(project, "service", "status")["running"] is False
    assert totals(place.folder / "x.html")["lines"] == "90"
    wait_for(lambda: not place.processes(), "nobody to be left")


def test_a_repository_of_one_empty_commit(place: Place) -> None:
    """There is nothing to measure, and the page says so."""
    place.commit()

    done = place.run("sh", DEMO, "a repo")

    assert done.returncode == 0, done.stdout + done.stderr
    shown = totals(place.folder / "repo-report.html")
    assert (shown["commits"], shown["files"]) == ("1", "0")


def test_what_is_no_repository_is_refused(place: Place) -> None:
    """With one line that names it, before anything is made."""
    (place.folder / "plain").mkdir()

    plain = place.run("sh", DEMO, "plain")
    missing = place.run("sh", DEMO, "missing")
    empty = place.run("sh", DEMO, "a repo")

    refused = "demo.sh: plain is not a git repository"
    assert (plain.returncode, plain.stdout) == (2, "")
    assert plain.stderr.startswith(refused)
    assert plain.stderr.count("\n") == 1
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr == "demo.sh: there is no folder missing\n"
    assert (empty.returncode, empty.stdout) == (2, "")
    assert empty.stderr == "demo.sh: a repo has no commits yet\n"
    assert list(place.scratch.iterdir()) == []
    assert not (place.folder / "repo-report.html").exists()


def test_the_coding_agent(place: Place) -> None:
    """Both tasks are done by the stand-in, and the plan says why it was taken."""
    done = place.run("sh", CODING_AGENT)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "executor: scripted  (local [dispatcher].executor)" in done.stdout
    assert "model: small  (task.model)" in done.stdout
    assert "return (fahrenheit - 32) * 5 / 9" in done.stdout
    assert "- `to_celsius` was wrong for every temperature." in done.stdout
    assert "2 done" in done.stdout
    assert list(place.scratch.iterdir()) == []
    wait_for(lambda: not place.processes(), "nobody to be left")


def test_a_chat_that_shapes_the_graph(place: Place) -> None:
    """It answers, adds, is refused what is not its own, and knows what was said."""
    done = place.run("sh", CHAT)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "I have added write-the-notes.\n" in done.stdout
    assert "ship-it: open\nwrite-the-notes: open\n" in done.stdout
    assert "Added by: agent-1\n" in done.stdout
    assert (
        "I was told: wg: agent-1 answers in .chat-1: abandon is not for a chat"
        in done.stdout
    )
    assert ".chat-1: archived\n.chat-1: idle\nyes\n" in done.stdout
    assert "agent-2 reply to 7\n    yes\n   4 " in done.stdout
    assert list(place.scratch.iterdir()) == []
    wait_for(lambda: not place.processes(), "nobody to be left")


def test_work_that_builds_on_work(place: Place) -> None:
    """What was handed on is in the memo, not what somebody has made of the file."""
    done = place.run("sh", HANDING_ON)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "question: risks" in done.stdout
    assert "4 done" in done.stdout
    assert done.stdout.endswith(
        "safe for five years\nfrom 90 to 300\nBirch: none within five years\n"
    )
    assert "overwritten" not in done.stdout
    assert list(place.scratch.iterdir()) == []
    wait_for(lambda: not place.processes(), "nobody to be left")


def test_work_that_is_judged_by_somebody_else(place: Place) -> None:
    """What is below the threshold is done again, and the record has both."""
    done = place.run("sh", JUDGED_WORK)

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^cyd .* it lacks writing$", done.stdout, re.MULTILINE)
    assert "21 done" in done.stdout
    assert re.search(
        r"^why attempt 1 of \w+: 0.64 by evaluator, counts", done.stdout, re.M
    )
    assert re.search(
        r"^why attempt 2 of \w+: 0.84 by evaluator, counts", done.stdout, re.M
    )
    assert done.stdout.count("===== review by workgraph") == 1
    assert re.search(r"^plan .*: 0.84 by evaluator \(", done.stdout, re.MULTILINE)
    assert re.search(r"^plan .*: 0.4 by operator, counts", done.stdout, re.MULTILINE)
    assert "eva: calibrated (4 of 4 cases answered)" in done.stdout
    assert "completeness is clearly the weakest" in done.stdout
    assert list(place.scratch.iterdir()) == []
    wait_for(lambda: not place.processes(), "nobody to be left")


def test_the_native_agent_at_a_server(place: Place) -> None:
    """Both tasks are done by a model of no brain, and nothing is left."""
    answers = [
        {"shell": 'echo "by $WG_TASK_ID" > "$WG_TASK_ID.txt"'},
        {"tool": "wg", "args": {"arguments": ["log", "poem", "a line"]}},
        {"text": "It is written."},
    ]

    with MockModelAPI(answers) as mock:
        done = place.run("sh", NATIVE, f"{mock.url}/v1")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("by title\nby poem\n")
    assert list(place.scratch.iterdir()) == []
    wait_for(lambda: not place.processes(), "nobody to be left")
