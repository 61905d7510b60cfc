"""A PID namespace for tests that let processes loose: it shows who is left.

What is started in a den can fork away, clear its environment, close its files and kill
all that it sees: it can't leave. The namespace's first process reaps orphans, as init
does; when it ends, by `close` or because this process is gone, the kernel kills the
rest.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.system.project import Project, wait_for

#: The first process: reaps whoever is left to it, ends when its stdin does.
INIT: Final = """
import os, select, signal
read, write = os.pipe()
os.set_blocking(write, False)
signal.set_wakeup_fd(write, warn_on_full_buffer=False)
signal.signal(signal.SIGCHLD, lambda *_: None)
os.write(1, b"ready\\n")
while True:
    ready, _, _ = select.select([0, read], [], [])
    if read in ready:
        os.read(read, 4096)
    if 0 in ready and not os.read(0, 1):
        break
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
"""
_AS_ROOT: Final = os.geteuid() == 0
_UNSHARE: Final = ("unshare", *(() if _AS_ROOT else ("--user", "--map-root-user")))
_ENTER: Final = ("nsenter", *(() if _AS_ROOT else ("--user", "--preserve-credentials")))


class Inmate(NamedTuple):
    """A process in a den, numbered as it sees itself."""

    pid: int
    parent: int
    state: str
    command: str

    @property
    def is_zombie(self) -> bool:
        """Whether it has ended and nobody has waited for it."""
        return self.state == "Z"


class Den:
    """A PID namespace with a `/proc` of its own; files are everybody's."""

    def __init__(self) -> None:
        self._unshare = subprocess.Popen(
            [
                *_UNSHARE,
                *("--fork", "--pid", "--mount-proc", "--kill-child"),
                *(sys.executable, "-I", "-S", "-c", INIT),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._unshare.stdout is not None
        said = self._unshare.stdout.readline()
        assert said == b"ready\n", "no PID namespace is to be had here"
        #: The first process, as it is known outside.
        self.init = _child_of(self._unshare.pid)

    def command(self, argv: Sequence[str], cwd: Path) -> list[str]:
        """What runs a command in the den; it ends as the command does."""
        go = ("/bin/sh", "-c", 'cd "$0" && exec "$@"', os.fspath(cwd))
        where = ("--target", str(self.init), "--pid", "--mount")
        return [*_ENTER, *where, "--", *go, *argv]

    def inmates(self) -> list[Inmate]:
        """All processes but the first one."""
        proc = Path(f"/proc/{self.init}/root/proc")
        found = []
        for entry in proc.iterdir():
            if not entry.name.isdigit() or entry.name == "1":
                continue
            try:
                stat = (entry / "stat").read_text()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            state, parent = stat[stat.rindex(")") + 2 :].split()[:2]
            words = command.replace(b"\0", b" ").decode(errors="replace").strip()
            found.append(
                Inmate(
                    pid=int(entry.name),
                    parent=int(parent),
                    state=state,
                    command=words or stat[stat.index("(") : stat.rindex(")") + 1],
                )
            )
        return found

    def wait_empty(self, what: str, but: Sequence[int] = ()) -> None:
        """Returns when nobody is there but these; what was said, who was seen last."""
        seen: list[Inmate] = []

        def is_empty() -> bool:
            seen[:] = [one for one in self.inmates() if one.pid not in but]
            return not seen

        try:
            wait_for(is_empty, f"nobody to be left {what}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {seen}") from error

    def state_of(self, pid: int | None) -> str:
        """The state of a process, as `/proc` has it; empty when it is gone."""
        return next((one.state for one in self.inmates() if one.pid == pid), "")

    def resident_bytes(self, pid: int) -> int:
        """The memory of a process; 0 when it is gone."""
        try:
            status = Path(f"/proc/{self.init}/root/proc/{pid}/status").read_text()
        except OSError:
            return 0
        found = [x for x in status.splitlines() if x.startswith("VmRSS:")]
        return int(found[0].split()[1]) * 1024 if found else 0

    def kill(self, *pids: int, check: bool = True) -> None:
        """Kills processes, or groups by negative numbers, all in one go."""
        words = " ".join(map(str, pids))
        subprocess.run(
            self.command(["/bin/sh", "-c", f"kill -9 {words}"], Path("/")),
            check=check,
            stderr=None if check else subprocess.DEVNULL,
        )

    def close(self) -> None:
        """Ends the den with all that is in it."""
        assert self._unshare.stdin is not None
        assert self._unshare.stdout is not None
        self._unshare.stdin.close()
        self._unshare.stdout.close()
        self._unshare.wait(30)


class DenProject(Project):
    """A project whose programs all run in a den."""

    def __init__(
        self, folder: Path, den: Den, env: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(folder, env)
        self.den = den

    def command(self, argv: Sequence[str]) -> list[str]:
        """As the project has it, in the den."""
        return self.den.command(argv, self.folder)

    def daemon_pid(self) -> int | None:
        """The daemon that holds the project, if there is one."""
        data: dict[str, Any] = self.json("service", "status")
        return data["pid"] if data["running"] else None


@contextmanager
def a_den_project(
    folder: Path, *settings: str, env: Mapping[str, str] | None = None
) -> Iterator[DenProject]:
    """A project in a den of its own; the den is closed after the block."""
    den = Den()
    try:
        project = DenProject(folder, den, env)
        project.init()
        project.configure(dict(setting.split("=", 1) for setting in settings))
        yield project
    finally:
        den.close()


def why_no_den() -> str | None:
    """Why there can be no den here; null where there can."""
    for program in (_UNSHARE[0], _ENTER[0]):
        if shutil.which(program) is None:
            return f"{program} (of util-linux) is not installed"
    tried = subprocess.run(
        [*_UNSHARE, "--fork", "--pid", "--mount-proc", "true"],
        capture_output=True,
        check=False,
        text=True,
    )
    return tried.stderr.strip() or None


def _child_of(pid: int) -> int:
    """The one child of a process."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
