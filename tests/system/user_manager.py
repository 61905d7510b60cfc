"""A real `systemd --user` of a test's own, apart from the machine's.

It runs in namespaces: mounts (an empty /run with /run/systemd/system, so that systemd
believes it was booted with), pids (all ends with the test) and cgroups (a group below
our own is its root: without that it would move every process of the machine). Only root
can make them.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.system.project import PATIENCE_S, Project

SYSTEMD = Path("/lib/systemd/systemd")

#: Joins a cgroup of the test's own, then leaves for the namespaces.
OUTER = """
set -eu
mount -t cgroup2 none "$1"
group="$1$(sed -n 's/^0:://p' /proc/self/cgroup)/$2"
mkdir "$group"
echo $$ >"$group/cgroup.procs"
umount "$1"
exec unshare --cgroup --mount --pid --fork --kill-child --mount-proc sh -c "$3" sh
"""

#: The first process in them. It reaps what systemd leaves.
INNER = """
set -eu
mount -t tmpfs none /run
mkdir -p /run/systemd/system
mkdir -m 700 -p "$XDG_RUNTIME_DIR"
mount -t tmpfs none /sys/fs/cgroup
umount /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
echo ready
while read -r _; do
    /lib/systemd/systemd --user >"$HOME/systemd.log" 2>&1 &
    until systemctl --user is-system-running >/dev/null 2>&1; do sleep 0.02; done
    echo started
done
"""

CLEAR = """
set -eu
mount -t cgroup2 none "$1"
group="$1$(sed -n 's/^0:://p' /proc/self/cgroup)/$2"
[ -d "$group" ] || exit 0
echo 1 >"$group/cgroup.kill"
while grep -q 'populated 1' "$group/cgroup.events"; do sleep 0.01; done
find "$group" -depth -type d -exec rmdir {} +
"""


def why_not(*, as_root: bool) -> str | None:
    """What is missing for tests with systemd; null when nothing is."""
    if as_root and os.geteuid() != 0:
        return "only root can make the namespaces for systemd --user"
    for program in ("systemctl", "systemd-analyze", "unshare", "nsenter"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return None if SYSTEMD.exists() else f"{SYSTEMD} is not installed"


def require_systemd(*, as_root: bool = True) -> None:
    """Skips the test where it can't run; root, as in CI, has to be able to run it."""
    reason = why_not(as_root=as_root)
    if reason is not None:
        if os.geteuid() == 0:
            pytest.fail(f"{reason}: apt-get install systemd")
        pytest.skip(reason)


class UserManager:
    """A running `systemd --user`, and a way to run commands beside it."""

    def __init__(
        self, process: "subprocess.Popen[str]", pid: int, env: Mapping[str, str]
    ) -> None:
        self._process = process
        self._enter = ["nsenter", f"--target={pid}", "--mount", "--cgroup", "--pid"]
        self.env = env

    def start(self) -> None:
        """Starts it; returns when it has started what is to start with it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "started\n"

    def run(
        self,
        *argv: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program there and gives its end, whatever it is."""
        return subprocess.run(
            [*self._enter, f"--wdns={cwd or '/'}", "--", *argv],
            env={**self.env, **(env or {})},
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def systemctl(self, *words: str) -> str:
        """What `systemctl --user` says; it must succeed."""
        done = self.run("systemctl", "--user", *words)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout.strip()

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.systemctl("show", "--value", f"--property={name}", unit)


class ManagedProject(Project):
    """A project all of whose commands run beside the manager."""

    def __init__(self, folder: Path, manager: UserManager) -> None:
        super().__init__(folder)
        self.manager = manager
        self.env = dict(manager.env)
        #: What `service install` said.
        self.units: dict[str, Any] = {}

    @property
    def service(self) -> str:
        """The name of the daemon's unit."""
        return str(self.units["service"])

    def install(self) -> None:
        """`wg service install`."""
        self.units = self.json("service", "install")

    def show(self, name: str, unit: str = "") -> str:
        """A property of the daemon's unit, or of another."""
        return self.manager.show(unit or self.service, name)

    def enabled(self) -> list[str]:
        """Whether the units start by themselves."""
        units = (self.units["service"], self.units["socket"])
        done = self.manager.run("systemctl", "--user", "is-enabled", *units)
        return done.stdout.split()

    def verify(self) -> tuple[int, str]:
        """How `systemd-analyze verify` ends, and all that it says."""
        done = self.manager.run(
            "systemd-analyze", "--user", "verify", *self.units["files"]
        )
        return done.returncode, done.stdout + done.stderr

    def run(
        self, *argv: str, stdin: str | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs `wg` there."""
        return self.manager.run(
            "wg", *argv, cwd=self.folder, env=self.env | dict(env or {}), stdin=stdin
        )

    def alive(self, pid: int) -> bool:
        """Whether a process of the manager's namespace is there."""
        return self.manager.run("sh", "-c", f"kill -0 {pid}").returncode == 0

    def kill(self, pid: str, signal: str) -> None:
        """Sends a signal to a process, or to what the shell makes of `pid`."""
        done = self.manager.run("sh", "-c", f"kill -{signal} {pid}")
        assert done.returncode == 0, done.stderr


@contextmanager
def a_user_manager(folder: Path, *, started: bool = True) -> Iterator[UserManager]:
    """A manager with a home of its own; nothing of it is left after the block."""
    home = folder / "home"
    home.mkdir()
    group = f"wg-test-{os.getpid()}-{folder.name}"
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("WG_", "XDG_", "DBUS_", "SYSTEMD_"))
    }
    bin_dir = Path(sys.executable).parent
    env = kept | {
        "HOME": str(home),
        "XDG_RUNTIME_DIR": "/run/user-manager",
        "PATH": f"{bin_dir}:{kept['PATH']}",
    }
    mounts = folder / "cgroup"
    mounts.mkdir()
    outer = ["unshare", "--mount", "--propagation=private", "sh", "-c"]
    process = subprocess.Popen(
        [*outer, OUTER, "sh", str(mounts), group, INNER],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    try:
        said = process.stdout.readline()
        assert said == "ready\n", said + process.stdout.read()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        [pid] = children.read_text().split()
        manager = UserManager(process, int(pid), env)
        if started:
            manager.start()
        yield manager
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE_S)
        subprocess.run(
            [*outer, CLEAR, "sh", str(mounts), group],
            check=True,
            timeout=PATIENCE_S,
        )
