"""A real project in a temporary folder: real wg, real wgd, real children."""

import atexit
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from workgraph import wire
from workgraph.settings import set_value

BIN = Path(sys.executable).parent
#: How long anything that is waited for may take before the test fails: other work may
#: have most of the machine, and what never comes is told in any case.
PATIENCE_S = 100.0
#: The exit status of who may have it when it is tried again.
TRY_LATER = 75


class Project:
    """A project folder and the processes that a test starts in it."""

    def __init__(self, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        home = folder.parent / f"{folder.name}-home"
        home.mkdir(exist_ok=True)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("WG_", "XDG_"))
        }
        self.env = kept | {"HOME": str(home), "PATH": f"{BIN}:{kept['PATH']}"}
        self.env |= dict(env or {})
        self._daemons: list[subprocess.Popen[bytes]] = []

    def command(self, argv: Sequence[str]) -> list[str]:
        """What is really run for a command."""
        return list(argv)

    def run(
        self, *argv: str, stdin: str | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs `wg` and gives its end, whatever it is."""
        return subprocess.run(
            self.command([str(BIN / "wg"), *argv]),
            cwd=self.folder,
            env=self.env | dict(env or {}),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def wg(self, *argv: str, stdin: str | None = None) -> str:
        """Runs `wg`, which must succeed; gives its standard output."""
        done = self.run(*argv, stdin=stdin)
        assert done.returncode == 0, (argv, done.returncode, done.stderr, done.stdout)
        return done.stdout

    def json(self, *argv: str) -> Any:
        """The data of `wg --json`."""
        document = json.loads(self.wg("--json", *argv))
        assert document["schema"] == "wg/1"
        return document["data"]

    def error(self, *argv: str) -> tuple[int, dict[str, Any]]:
        """The exit status and error of a `wg --json` that must fail."""
        done = self.run("--json", *argv)
        assert done.stdout == "", done.stdout
        return done.returncode, json.loads(done.stderr)["error"]

    def init(self) -> None:
        """Makes what `wg init` makes: a copy of what it has made once.

        Nothing in it depends on where it is or when it was made; a quarter of a second
        of a processor is spared with each project.
        """
        shutil.copytree(_made_once(), self.folder / ".wg", symlinks=True)

    def configure(self, values: Mapping[str, str]) -> None:
        """Sets keys as `wg config set` does, which runs if there may be a daemon."""
        for key, value in values.items():
            if self._daemons:
                self.wg("config", "set", key, value)
            else:
                set_value(self.folder / ".wg" / "config.toml", key, value)

    def start_daemon(self, *argv: str) -> subprocess.Popen[bytes]:
        """Starts `wgd` in the foreground; returns when it answers."""
        self._daemons.append(self._launch(argv))

        def answers() -> bool:
            ended = self._daemons[-1].poll()
            if ended == TRY_LATER:  # others of `wg` have kept the project all the time
                self._daemons[-1] = self._launch(argv)
                return False
            assert ended is None, f"wgd ended with {ended}"
            status = self._status()
            return status is not None and status["pid"] == self._daemons[-1].pid

        wait_for(answers, "wgd to answer")
        return self._daemons[-1]

    def _launch(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.folder.parent / f"{self.folder.name}-wgd.log").open("ab") as log:
            return subprocess.Popen(
                [str(BIN / "wgd"), *argv],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _status(self) -> Any:
        """The daemon's status; null while there is none. No `wg` is started for it."""
        wg_dir = os.path.realpath(self.folder / ".wg")
        runtime = self.env.get("XDG_RUNTIME_DIR")
        for path in wire.socket_candidates(wg_dir, os.getuid(), runtime):
            with socket.socket(socket.AF_UNIX) as link, suppress(OSError):
                link.settimeout(PATIENCE_S)
                link.connect(path)
                link.sendall(b'{"cmd":"status"}\n')
                with link.makefile("rb") as lines:
                    line = lines.readline()
                return json.loads(line).get("data") if line.endswith(b"\n") else None
        return None

    def kill_daemon(self, daemon: subprocess.Popen[bytes]) -> None:
        """Ends a daemon as a crash does: with KILL."""
        daemon.kill()
        daemon.wait()

    def close(self) -> None:
        """Ends the daemons and agents that the test started."""
        for daemon in self._daemons:
            if daemon.poll() is None:
                daemon.terminate()
                daemon.wait(PATIENCE_S)
        lock = self.folder / ".wg" / "wgd.lock"
        if lock.exists() and lock.read_bytes().startswith(b"wgd "):
            self.run("service", "stop")  # one that the test started in the background
        if self._had_agents():
            self.run("kill", "--all", "--force")
        with suppress(AssertionError):  # who was killed just now is gone in a moment
            wait_for(lambda: not self.processes(), "nobody to be left", 10)
        left = self.processes()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert not left, f"processes are left: {left}"

    def _had_agents(self) -> bool:
        """Whether there may be agents that are to be ended."""
        database = self.folder / ".wg" / "graph.db"
        if not database.exists():
            return False
        try:
            with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
                return db.execute("select 1 from agents").fetchone() is not None
        except sqlite3.Error:
            return True

    def processes(self) -> list[int]:
        """Processes that carry this project's mark in their environment."""
        mark = f"WG_DIR={self.folder / '.wg'}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                environ = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if mark in environ and any(v.startswith(b"WG_AGENT_ID=") for v in environ):
                found.append(int(entry.name))
        return found


def whole_lines(file: Path) -> list[str]:
    """The lines of a file that somebody is writing; none where it is not there.

    Without the last one if that is not written to its end: a line of a log, of a
    history or of evidence may be seen when half of it is there.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return []
    return data.decode("utf-8", "replace").split("\n")[:-1]


@cache
def _made_once() -> Path:
    """A `.wg` as `wg init` makes it; for all tests of this process."""
    folder = Path(tempfile.mkdtemp(prefix="wg-made-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    project = Project(folder / "p")
    project.wg("init")
    return project.folder / ".wg"


@contextmanager
def a_project(folder: Path, env: Mapping[str, str] | None = None) -> Iterator[Project]:
    """A project that was initialised; nothing of it is left after the block."""
    project = Project(folder, env)
    project.init()
    try:
        yield project
    finally:
        project.close()


def wait_for(
    fact: Callable[[], bool], what: str, patience_s: float = PATIENCE_S
) -> None:
    """Returns when a fact is so; asks ever more rarely, up to ten times a second."""
    until = time.monotonic() + patience_s
    pause = 0.002
    while not fact():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
