"""A power cut at any moment: what was acknowledged is there when the machine is back.

The real `wg` and `wgd` run under `strace`. From every write, sync and rename that they
made, disks are built as a cut could have left them (`tests/faults/disk.py`), and each
is started up again under another boot id (`tests/faults/power.py`).
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults import trace
from tests.system.project import BIN, PATIENCE_S, Project, wait_for

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not shutil.which("strace") and "CI" not in os.environ,
        reason="strace is not installed",
    ),
]

#: A client's request, and what it must have left in the database.
Asked = tuple[dict[str, Any], tuple[Any, ...]]
CLIENTS = 3
CI_CUTS = 40
LONG_CUTS = 3000


class Recording:
    """A project, a trace of what was done to it, and when what was acknowledged."""

    def __init__(self, folder: Path) -> None:
        self.project = Project(folder / "p")
        self.folder = folder
        self.base = folder / "base"
        self.file = folder / "trace"
        self.acknowledged: list[tuple[Any, ...]] = []

    def run(self, *argv: str) -> None:
        """Runs one command to its end under `strace`."""
        self._keep_base()
        done = subprocess.run(
            trace.command(self.file, [str(BIN / argv[0]), *argv[1:]]),
            cwd=self.project.folder,
            env=self.project.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def serve(self, work: Callable[[Project], None]) -> None:
        """Runs a daemon under `strace` while some work goes on; ends it in order."""
        self._keep_base()
        project = self.project
        tracer = subprocess.Popen(
            trace.command(self.file, [str(BIN / "wgd"), "--max-agents", "3"]),
            cwd=project.folder,
            env=project.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(lambda: project.json("service", "status")["running"], "the daemon")
            pid = project.json("service", "status")["pid"]
            try:
                work(project)
            finally:
                os.kill(pid, signal.SIGTERM)
            tracer.wait(PATIENCE_S)
        finally:
            if tracer.poll() is None:
                tracer.kill()
                tracer.wait()

    def judge(self, seeds: range, *, sync: bool = True) -> list[dict[str, Any]]:
        """What is wrong after cuts, one for each seed."""
        job = {
            "base": str(self.base),
            "path": os.path.realpath(self.project.folder),
            "trace": str(self.file),
            "acknowledged": self.acknowledged,
            "seeds": list(seeds),
            "sync": sync,
            "scratch": str(self.folder),
            "keep": False,
        }
        file = self.folder / "job.json"
        file.write_text(json.dumps(job))
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults.power", str(file)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=3000,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["cuts"] == len(list(seeds))
        found: list[dict[str, Any]] = told["found"]
        return found

    def _keep_base(self) -> None:
        shutil.rmtree(self.base, ignore_errors=True)
        ignore = shutil.ignore_patterns("wgd.sock")
        shutil.copytree(self.project.folder, self.base, symlinks=True, ignore=ignore)


def work_of(client: int, rounds: int, text: str = "") -> list[Asked]:
    """What one client asks for, with the proof of each."""
    asked: list[Asked] = []
    for n in range(rounds):
        task, other = f"t{client}-{n}", f"t{client}-{n - 1}"
        paused: dict[str, Any] = {"paused": True} if n % 2 else {}
        add = {"cmd": "add_task", "id": task, "title": task, "description": text}
        if not n % 3:
            add["exec"] = "echo hello"
        asked.append((add | paused, ("task", task)))
        said = f"word {client}-{n}"
        log = {"cmd": "log", "task": task, "message": said}
        asked.append((log, ("log", task, said)))
        edit = {"cmd": "edit", "task": task, "priority": n % 5}
        asked.append((edit, ("priority", task, n % 5)))
        if n and n % 2 == 0:
            link = {"cmd": "link", "task": other, "after": task}
            asked.append((link, ("edge", other, task)))
        if n % 3 == 2:
            path = {"path": "evidence.txt", "name": "e"}
            artifact = {"cmd": "artifact", "task": task} | path
            asked.append((artifact, ("artifact", task, "e")))
    return asked


def ask_all(project: Project, asked: list[Asked]) -> tuple[int, list[bool]]:
    """Asks one thing after the other: the client's inode, and what was acknowledged."""
    path = project.json("service", "status")["socket"]
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(path)
        told = []
        with client.makefile("rb") as lines:
            for request, _ in asked:
                client.sendall(json.dumps(request).encode() + b"\n")
                # an edit is refused when an agent was quicker
                told.append(json.loads(lines.readline())["ok"])
        return os.fstat(client.fileno()).st_ino, told


def answers_in(file: Path) -> dict[str, list[int]]:
    """The moments at which lines began to be sent, by the receiver's inode."""
    answers: dict[str, list[int]] = {}
    for event in trace.parse(file).events:
        if event.call in {"sendto", "write"} and event.fds:
            peer = event.fds[0][1].partition("->")[2].partition(",")[0].rstrip("]")
            sent = event.strings[0][: event.result]
            answers.setdefault(peer, []).extend([event.began] * sent.count(b"\n"))
    return answers


def record_work(folder: Path, rounds: int, text: str = "") -> Recording:
    """A daemon, some clients that speak at once, and some agents."""
    recording = Recording(folder)
    recording.project.wg("init")
    (recording.project.folder / "evidence.txt").write_text("evidence\n")
    clients: dict[int, list[Asked]] = {}
    told: dict[int, tuple[int, list[bool]]] = {}

    def work(project: Project) -> None:
        def speak(client: int) -> None:
            clients[client] = work_of(client, rounds, text)
            told[client] = ask_all(project, clients[client])

        threads = [threading.Thread(target=speak, args=(n,)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(told) == CLIENTS

        def all_ended() -> bool:
            counts = project.json("service", "status")["counts"]
            return bool(counts["done"] >= CLIENTS and not counts["in-progress"])

        wait_for(all_ended, "the agents' ends to be recorded")

    recording.serve(work)
    answers = answers_in(recording.file)
    for client, (inode, oks) in told.items():
        moments = answers[str(inode)]
        recording.acknowledged += [
            (moment, *proof)
            for moment, (_, proof), ok in zip(
                moments, clients[client], oks, strict=True
            )
            if ok
        ]
        assert sum(oks) > len(oks) * 3 // 4
    return recording


def test_what_was_acknowledged_survives_a_power_cut(tmp_path: Path) -> None:
    """Three clients at once, agents, an orderly end: cuts anywhere in it."""
    recording = record_work(tmp_path, rounds=6)

    assert recording.judge(range(CI_CUTS)) == []
    # and it would have been noticed: a disk that forgets every sync loses something
    assert recording.judge(range(10), sync=False)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_power_cuts(tmp_path: Path) -> None:
    """Thousands of cuts, through checkpoints of a full log, too."""
    recording = record_work(tmp_path, rounds=30, text="x" * 50_000)

    assert recording.judge(range(LONG_CUTS)) == []


def test_a_project_that_was_made_survives_a_power_cut(tmp_path: Path) -> None:
    """`wg init` is whole or not there; when it has said so, it is there."""
    recording = Recording(tmp_path)
    recording.run("wg", "init")
    recording.acknowledged = [(_said(recording.file), "project")]

    assert recording.judge(range(CI_CUTS)) == []


def test_a_command_without_a_daemon_survives_a_power_cut(tmp_path: Path) -> None:
    """`wg add` has said the id: the task is there."""
    recording = Recording(tmp_path)
    recording.project.wg("init")
    recording.run("wg", "add", "hello")
    recording.acknowledged = [(_said(recording.file), "task", "hello")]

    assert recording.judge(range(CI_CUTS // 2)) == []


def _said(file: Path) -> int:
    """The moment at which a command wrote to its standard output."""
    writes = [e for e in trace.parse(file).events if e.call == "write" and e.fds]
    return next(event.began for event in writes if event.fds[0][0] == 1)
