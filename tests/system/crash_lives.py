"""The lives of a daemon that is killed and started again, in a den."""

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.invariants import check_invariants
from tests.system.den import Den, DenProject
from tests.system.evidence import Evidence, Misses, compare
from tests.system.project import PATIENCE_S, wait_for
from workgraph.store.database import Store

REPOSITORY: Final = Path(__file__).parents[2]
#: What may be in `.wg` when nothing is on its way.
KNOWN: Final = frozenset(
    {
        *("config.toml", "graph.db", "graph.db-wal", "graph.db-shm", "wgd.lock"),
        *("wgd.sock", "socket", "log", "agents", "bin", "tmp", "chat"),
        "worktrees",
    }
)


class Nursery:
    """A process in the den that brings forth daemons and says how they end."""

    def __init__(self, den: Den) -> None:
        self._process = subprocess.Popen(
            den.command([sys.executable, "-m", "tests.system.crash_wgd"], REPOSITORY),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._unread = b""
        self._pids: list[int] = []
        self._ended: dict[int, int] = {}
        try:
            self._wait(lambda: bool(self._pids), "the nursery")
        except BaseException:
            self._process.kill()
            self.close()
            raise
        #: Its own pid in the den.
        self.pid = self._pids.pop()

    def start(self, **order: Any) -> int:
        """Starts one; gives its pid in the den."""
        self._say(order)
        self._wait(lambda: bool(self._pids), "a daemon to be started")
        return self._pids.pop()

    def send(self, pid: int, number: int) -> None:
        """Signals one."""
        self._say({"kill": pid, "signal": number})

    def status(self, pid: int) -> int | None:
        """How one has ended; null while it runs."""
        self._read(0)
        return self._ended.get(pid)

    def wait(self, pid: int) -> int:
        """Waits for the end of one; a signal is a negative number."""
        self._wait(lambda: pid in self._ended, f"the end of {pid}")
        return self._ended[pid]

    def close(self) -> None:
        """Ends the nursery; what it has started goes on."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(PATIENCE_S)

    def _say(self, words: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words).encode() + b"\n")
        self._process.stdin.flush()

    def _wait(self, fact: Any, what: str) -> None:
        until = time.monotonic() + PATIENCE_S
        while not fact():
            left = until - time.monotonic()
            assert left > 0, f"waited in vain for {what}"
            self._read(left)

    def _read(self, timeout_s: float) -> None:
        assert self._process.stdout is not None
        out = self._process.stdout.fileno()
        while select.select([out], [], [], timeout_s)[0]:
            data = os.read(out, 1 << 16)
            assert data, "the nursery has ended"
            *lines, self._unread = (self._unread + data).split(b"\n")
            for line in lines:
                words = json.loads(line)
                if "pid" in words:
                    self._pids.append(words["pid"])
                else:
                    self._ended[words["ended"]] = words["status"]
            timeout_s = 0


class Lives:
    """A project in a den, and the daemons that live and die there, one after another.

    Args:
        folder: An empty one.
        shell: What runs the wrappers of agents.
        kinds: More kinds of agents, as branches of shell code.
        plant: The name of a defect that its daemons have (`crash_plants`).
    """

    def __init__(
        self, folder: Path, shell: str = "", kinds: str = "", plant: str = ""
    ) -> None:
        folder.mkdir(parents=True)
        self.den = Den()
        self.project = DenProject(folder / "p", self.den)
        self.evidence = Evidence(folder, kinds)
        self.pid: int | None = None
        #: Pids of agents, in the den, that the test has killed.
        self.killed: set[int] = set()
        self._shell = shell
        self._plant = plant
        self._armed = folder / "armed"
        self._reached = folder / "reached"
        self._log = folder / "wgd.log"
        self._fifos: dict[str, int] = {}
        try:
            self._nursery = Nursery(self.den)
        except BaseException:
            self.den.close()
            raise
        self.project.init()
        config = self.project.folder / ".wg" / "config.toml"
        config.write_text(
            "[dispatcher]\nmax_agents = 8\n[agents]\nkill_grace = '150ms'\n"
            "[retry]\nbackoff = '20ms'\nmax_attempts = 3\n"
        )

    # The daemon.

    def start(self, point: str = "-", nth: int = 1, *, wait: bool = True) -> None:
        """Starts a daemon with a trap; returns when it answers, if that is wanted."""
        assert self.pid is None
        self.pid = self.start_program("wgd", point=point, nth=nth)
        if wait:
            wait_for(self.answers, "wgd to answer")

    def start_program(
        self, program: str, *argv: str, point: str = "-", nth: int = 1
    ) -> int:
        """Starts `wgd`, or `wg` without a daemon; gives its pid in the den."""
        return self._nursery.start(
            program=program,
            argv=list(argv),
            point=point,
            nth=nth,
            armed=str(self._armed),
            reached=str(self._reached),
            log=str(self._log),
            cwd=str(self.project.folder),
            env=self.project.env,
            shell=self._shell,
            plant=self._plant,
        )

    def answers(self) -> bool:
        """Whether the daemon answers."""
        assert self.pid is not None
        status = self._nursery.status(self.pid)
        assert status is None, f"wgd ended with {status}:\n{self.last_words()}"
        try:
            return bool(self.read("status")["pid"] == self.pid)
        except (OSError, EOFError):
            return False

    def kill(self) -> None:
        """Kills the daemon with -9, if one lives."""
        self.end(signal.SIGKILL)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Signals the daemon and waits for its end; gives its status."""
        assert self.pid is not None
        self._nursery.send(self.pid, number)
        return self.wait_end()

    def outlive_massacre(self) -> None:
        """Waits until everybody in the den is dead, and makes a new nursery."""
        self.den.wait_empty("after a massacre")
        self.pid = None
        self._nursery.close()
        self._nursery = Nursery(self.den)

    def send(self, number: int) -> None:
        """Signals the daemon."""
        assert self.pid is not None
        self._nursery.send(self.pid, number)

    def wait_end(self, pid: int | None = None) -> int:
        """Waits for the end of the daemon, or of a program that was started."""
        if pid is None:
            assert self.pid is not None
            pid, self.pid = self.pid, None
        return self._nursery.wait(pid)

    def last_words(self) -> str:
        """What daemons have said on stderr, the end of it."""
        return self._log.read_text()[-2000:] if self._log.exists() else ""

    # The trap.

    def arm(self) -> None:
        """From now on the point counts."""
        self._armed.touch()

    def wait_fall(self, point: str, pid: int | None = None) -> None:
        """Waits for a daemon to be killed at its point, and disarms it."""
        try:
            status = self.wait_end(pid)
        except AssertionError as error:
            raise AssertionError(f"{point} was never reached: {error}") from error
        said = f"{point}: it ended with {status}\n{self.last_words()}"
        assert status == -signal.SIGKILL, said
        reached = self._reached.read_text().splitlines()[-1].split()[0]
        assert reached == point
        self._armed.unlink()

    # The graph.

    def read(self, cmd: str, **fields: object) -> Any:
        """Asks the daemon by a line of JSON."""
        where = str(self.project.folder / ".wg" / "wgd.sock")
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(PATIENCE_S)
            link.connect(where)
            link.sendall(json.dumps({"cmd": cmd} | fields).encode() + b"\n")
            with link.makefile("rb") as answers:
                line = answers.readline()
        if not line.endswith(b"\n"):
            raise EOFError  # it was killed before, or in the middle of it
        answer = json.loads(line)
        assert answer["ok"], answer
        return answer["data"]

    def task(self, task: str) -> Mapping[str, Any]:
        """A task as `show` has it."""
        found: Mapping[str, Any] = self.read("show", task=task)
        return found

    def agents(self, task: str | None = None) -> list[Mapping[str, Any]]:
        """The agents, of one task if it is named."""
        found = self.read("agents")
        return [agent for agent in found if task in {None, agent["task"]}]

    def import_tasks(
        self, *tasks: Mapping[str, object], status: int | None = None
    ) -> int:
        """Imports tasks in one request; gives the exit status of `wg`."""
        lines = [
            json.dumps({"kind": "task", "title": str(task.get("id"))} | dict(task))
            for task in tasks
        ]
        done = self.project.run("import", "-", stdin="\n".join(lines))
        assert status in {None, done.returncode}, done.stderr
        return done.returncode

    def add(self, task: str, *words: object, options: Sequence[str] = ()) -> None:
        """Adds a task whose agent does that."""
        command = self.evidence.agent(*words)
        self.project.wg("add", task, "--id", task, "--exec", command, *options)

    def wait_task(self, task: str, status: str) -> Mapping[str, Any]:
        """Waits until a task has that status."""
        try:
            wait_for(lambda: self.task(task)["status"] == status, f"{task}: {status}")
        except AssertionError as error:
            raise AssertionError(
                f"{error}; it is {self.task(task)}, its agents {self.agents(task)},"
                f" said {[x for x in self.evidence.lines() if x.task == task]}"
            ) from error
        return self.task(task)

    def wait_said_end(self, *tasks: str) -> None:
        """Waits until agents have announced their ends."""
        for task in tasks:
            wait_for(
                lambda task=task: bool(self.evidence.of_task(task, "ended")),  # type: ignore[misc]
                f"{task} to end",
            )

    def wait_started(self, task: str, times: int = 1) -> int:
        """Waits until an agent of a task has spoken; gives its pid in the den."""
        wait_for(
            lambda: len(self.evidence.of_task(task)) >= times, f"{task} to be started"
        )
        return self.evidence.of_task(task)[-1].pid

    def fifo(self, name: str) -> str:
        """A FIFO by which an agent is told how to leave."""
        path = self.evidence.fifos / name
        os.mkfifo(path)
        self._fifos[name] = os.open(path, os.O_RDWR)
        return name

    def tell(self, name: str, word: object = 0) -> None:
        """Tells whoever reads that FIFO."""
        os.write(self._fifos[name], f"{word}\n".encode())

    # What must be so.

    def check(self, findings: Collection[str] = ()) -> None:
        """All that must hold while the daemon lives: evidence, counts, zombies.

        Args:
            findings: What `wg check` may find.
        """
        misses = self.misses()
        assert not any(misses), misses
        found = json.loads(self.project.run("--json", "check").stdout)["data"]
        wrong = [one for one in found if one["code"] not in findings]
        assert not wrong, f"wg check: {wrong}"

        def has_zombies() -> bool:
            return any(one.is_zombie for one in self.den.inmates())

        wait_for(lambda: not has_zombies(), "zombies to be reaped")

    def misses(self) -> Misses:
        """Where evidence and database do not agree.

        Who speaks has a row by then, and who has ended has spoken: what is said is
        read between two looks at the rows, and of those that were there before and
        after it the first look counts.
        """
        before = {one["id"]: one for one in self.agents()}
        said = self.evidence.lines()
        rows = [
            before.get(one["id"]) or {**one, "status": "starting"}
            for one in self.agents()
            if one["executor"] == "shell"
        ]
        return compare(said, rows, self.killed, self.gone(rows))

    def gone(self, agents: Iterable[Mapping[str, Any]]) -> list[str]:
        """Which of these agents have no folder any more."""
        folder = self.project.folder / ".wg" / "agents"
        return [one["id"] for one in agents if not os.path.lexists(folder / one["id"])]

    def wait_alone(self) -> None:
        """Waits until the daemon is alone: nothing of any agent is left."""
        but = [self._nursery.pid, *([self.pid] if self.pid else [])]
        self.den.wait_empty("beside the daemon", but)

    def finish(self, findings: Collection[str] = ()) -> None:
        """Ends the daemon in order, and looks at what is left; arguments as `check`."""
        self.check(findings)
        self.wait_alone()
        assert self.end() == 0
        self.wait_alone()
        wg_dir = self.project.folder / ".wg"
        strange = {entry.name for entry in wg_dir.iterdir()} - KNOWN
        assert not strange, f"left in .wg: {strange}"
        asyncio.run(_check_database(wg_dir / "graph.db"))

    def close(self) -> None:
        """Ends whatever is left."""
        for fd in self._fifos.values():
            os.close(fd)
        self._nursery.close()
        self.den.close()


@contextmanager
def some_lives(
    folder: Path, shell: str = "", kinds: str = "", plant: str = ""
) -> Iterator[Lives]:
    """A project in a den; nothing of it is left after the block."""
    lives = Lives(folder, shell, kinds, plant)
    try:
        yield lives
    finally:
        lives.close()


async def _check_database(path: Path) -> None:
    store = await Store.open_to_read(path)
    try:
        await store.read(check_invariants, 0)
    finally:
        await store.close()
