"""Projects in a temporary folder, with the real `wg` and `wgd`; nothing outlives it."""

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
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

from tests.bench.rounds import Disturbance, Plan, Taken, Variants, interleave

#: The longest that any single command may take.
_LIMIT_S: Final = 300.0
_STOP_S: Final = 20.0
_LOOK_S: Final = 0.002
_MANY_BYTES: Final = 1 << 16

PYTHON: Final = sys.executable


class BenchError(Exception):
    """Something under measure did not do what it is measured at."""


class Bench:
    """Where the benchmarks live: a folder, an environment, and the daemons in it."""

    def __init__(self, root: Path, *, short: bool, rounds: int | None) -> None:
        self.root = root
        self.short = short
        self._rounds = rounds
        self.children: list[int] = []
        self.watch = Disturbance(lambda: self.children)
        home = root / "home"
        home.mkdir()
        self.env: dict[str, str] = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": os.fspath(home),
            "XDG_CONFIG_HOME": os.fspath(home / "config"),
            "LANG": "C.UTF-8",
        }

    def take(self, variants: Variants, rounds: int, *, warm: int = 1) -> Taken:
        """Interleaves variants; a short run takes three rounds, whoever disturbs."""
        if self.short:
            plan = Plan(rounds=3, warm=warm, tries=1, patience_s=0)
        else:
            plan = Plan(rounds=max(5, self._rounds or rounds), warm=warm)
        return interleave(variants, plan, self.watch)

    def run(self, argv: Sequence[str], folder: Path) -> float:
        """Runs a command to its end and gives its seconds, start included.

        Raises:
            BenchError: It fails or takes for ever.
        """
        with tempfile.TemporaryFile() as said:
            began = time.perf_counter()
            child = subprocess.Popen(
                argv,
                cwd=folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
            try:
                status = child.wait(_LIMIT_S)
            except subprocess.TimeoutExpired as error:
                child.kill()
                child.wait()
                raise BenchError(f"{' '.join(argv)} takes for ever") from error
            spent = time.perf_counter() - began
            if status != 0:
                said.seek(0)
                tail = said.read()[-2000:].decode(errors="replace")
                raise BenchError(f"{' '.join(argv)} exited {status}: {tail}")
        return spent

    def start_seconds(self, argv: Sequence[str]) -> float:
        """The seconds of a command that says little, in the current folder.

        By `posix_spawn`, the cheapest start there is, so that what is compared is the
        commands.
        """
        actions = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
        began = time.perf_counter()
        pid = os.posix_spawn(argv[0], tuple(argv), self.env, file_actions=actions)
        _, status = os.waitpid(pid, 0)
        spent = time.perf_counter() - began
        if status != 0:
            raise BenchError(f"{' '.join(argv)} ended with {status}")
        return spent

    def project(self, name: str, like: "Project | None" = None) -> "Project":
        """A new project, empty or as another one is that has no daemon."""
        folder = self.root / name
        folder.mkdir()
        project = Project(self, folder)
        if like is None:
            project.wg("init")
        else:
            shutil.copytree(like.folder / ".wg", folder / ".wg", symlinks=True)
        return project

    def end_leftovers(self) -> None:
        """Kills what still runs for one of the projects; only these name the folder."""
        marker = b"WG_DIR=" + os.fsencode(self.root) + b"/"
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                env = (entry / "environ").read_bytes() if entry.name.isdigit() else b""
                if marker in env:
                    os.kill(int(entry.name), signal.SIGKILL)


class Project:
    """A project, with or without a daemon."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self.folder = folder

    def wg(self, *args: str) -> float:
        """Runs `wg` and gives its seconds."""
        return self.bench.run([program("wg"), *args], self.folder)

    @property
    def database(self) -> Path:
        """The graph."""
        return self.folder / ".wg" / "graph.db"

    def count_unfinished(self) -> int:
        """How many tasks are not done."""
        with closing(sqlite3.connect(self.database)) as db:
            found = db.execute("select count(*) from tasks where status <> 'done'")
            count: int = found.fetchone()[0]
        return count

    def start(self, max_agents: int) -> "Daemon":
        """Starts `wgd`; returns when it answers."""
        return Daemon(self, max_agents)


class Daemon:
    """A `wgd` that answers. Use it in a `with` block, which ends it."""

    def __init__(self, project: Project, max_agents: int) -> None:
        bench = project.bench
        self._bench = bench
        self._socket = os.fspath(project.folder / ".wg" / "wgd.sock")
        self._log = project.folder / "wgd.err"
        with self._log.open("ab") as log:
            began = time.perf_counter()
            self._process = subprocess.Popen(
                [program("wgd"), "--max-agents", str(max_agents)],
                cwd=project.folder,
                env=bench.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self._process.pid
        bench.children.append(self.pid)
        try:
            self.client = self._wait_answer()
        except BaseException:
            self.kill()
            raise
        self.start_s = time.perf_counter() - began

    def kill(self) -> None:
        """Ends it as `kill -9` does."""
        self._process.kill()
        self._process.wait()
        self._forget()

    def stop(self) -> None:
        """Ends it in order; its agents go on."""
        self.client.close()
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.stop()

    def _forget(self) -> None:
        if self.pid in self._bench.children:
            self._bench.children.remove(self.pid)

    def _wait_answer(self) -> "Client":
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if self._process.poll() is not None:
                said = self._log.read_text(encoding="utf-8")[-2000:]
                raise BenchError(f"wgd has ended: {said}")
            try:
                client = Client(self._socket)
            except OSError:
                time.sleep(_LOOK_S)
                continue
            client.ask({"cmd": "status"})
            return client
        raise BenchError("wgd does not answer")


class Client:
    """One connection to a daemon."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(60)
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def ask(self, request: Mapping[str, object]) -> Any:
        """Asks, and gives the data of the answer.

        Raises:
            BenchError: It was refused.
        """
        answer = json.loads(self.ask_raw(json.dumps(request).encode() + b"\n"))
        if not answer["ok"]:
            raise BenchError(f"{request}: {answer['error']}")
        return answer["data"]

    def ask_raw(self, line: bytes) -> bytes:
        """Sends a line and gives the line that answers it."""
        self._socket.sendall(line)
        answer = self._socket.recv(_MANY_BYTES)
        while not answer.endswith(b"\n"):
            more = self._socket.recv(_MANY_BYTES)
            if not more:
                raise BenchError("wgd has hung up")
            answer += more
        return answer

    def wait_status(self, key: str, least: int, *, limit_s: float = 120) -> None:
        """Waits until so many agents run (`agents`) or tasks are `done`."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            status = self.ask({"cmd": "status"})
            found = status["counts"] if key in status["counts"] else status
            if found[key] >= least:
                return
            time.sleep(0.05)
        raise BenchError(f"{key} did not come to {least}")

    def close(self) -> None:
        """Hangs up."""
        self._socket.close()


def program(name: str) -> str:
    """Where a program of this installation is."""
    return os.fspath(Path(sys.executable).with_name(name))


@contextmanager
def open_bench(
    where: str | None, *, short: bool, rounds: int | None
) -> Generator[Bench]:
    """A place for benchmarks, gone afterwards with all that runs in it.

    The folder is removed at the end alone: ext4 makes files slowly for a while in
    folders from which many were just deleted.
    """
    root = Path(tempfile.mkdtemp(prefix="wgb-", dir=where))
    bench = Bench(root, short=short, rounds=rounds)
    try:
        yield bench
    finally:
        bench.end_leftovers()
        shutil.rmtree(root, ignore_errors=True)
