"""A real project in a temporary folder: real wg, real wgd, real children."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
#: How long anything that is waited for may take before the test fails.
PATIENCE_S = 30.0


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
            timeout=120,
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

    def start_daemon(self, *argv: str) -> subprocess.Popen[bytes]:
        """Starts `wgd` in the foreground; returns when it answers."""
        log = (self.folder.parent / f"{self.folder.name}-wgd.log").open("ab")
        daemon = subprocess.Popen(
            [str(BIN / "wgd"), *argv],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        log.close()
        self._daemons.append(daemon)

        def answers() -> bool:
            assert daemon.poll() is None, f"wgd ended with {daemon.returncode}"
            status = json.loads(self.run("--json", "service", "status").stdout)["data"]
            return bool(status["running"]) and status["pid"] == daemon.pid

        wait_for(answers, "wgd to answer")
        return daemon

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
        if (self.folder / ".wg" / "graph.db").exists():
            self.run("kill", "--all", "--force")
        left = self.processes()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left, f"processes are left: {left}"

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


@contextmanager
def a_project(folder: Path, env: Mapping[str, str] | None = None) -> Iterator[Project]:
    """A project that was initialised; nothing of it is left after the block."""
    project = Project(folder, env)
    project.wg("init")
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
