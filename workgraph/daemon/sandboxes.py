"""What this machine has for a sandbox: looked at, and tried once.

Plans ask again and again, inside transactions, so what was found is kept for as long as
what it depends on looks the same: the program and the kernel's switches.
"""

import os
import shutil
import signal
import subprocess  # noqa: TID251 - a try of bwrap; agents are started elsewhere
import sys
import tempfile
from collections.abc import Mapping
from typing import Final

import workgraph
from workgraph.agents import sandbox
from workgraph.agents.environment import FALLBACK_PATH
from workgraph.agents.sandbox import Machine, Mount
from workgraph.agents.signs import read_proc

PROGRAM: Final = "bwrap"
#: What of the system is seen, where it is there.
_SYSTEM: Final = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc",
    "/opt",
    "/nix/store",
    "/gnu/store",
)
#: The user 0 may write there without any privilege: these stay the machine's.
_ROOTS_ONLY: Final = (
    "/proc/sys",
    "/proc/sysrq-trigger",
    "/proc/irq",
    "/proc/bus",
    "/proc/fs",
    "/proc/scsi",
    "/proc/mtrr",
)
#: What the kernel has to allow, by who distributes it.
_SWITCHES: Final = (
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/kernel/unprivileged_userns_clone",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
)
_RESOLVER: Final = "/etc/resolv.conf"
_TRY_S: Final = 5.0
_READ_BYTES: Final = 4096
_INSTALL: Final = "install bubblewrap (apt-get install bubblewrap), or set"
_NONE: Final = 'sandbox.kind = "none"'

_Key = tuple[object, ...]


class Sandboxes:
    """Says what there is for a sandbox; tries it when something has changed.

    Args:
        env: Of the daemon: bwrap is looked for in its PATH, not in a task's.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._path = env.get("PATH", FALLBACK_PATH)
        self._seen: tuple[_Key, Machine] | None = None

    def __call__(self) -> Machine:
        """The machine. A few looks at files; where one differs, one try of bwrap."""
        program = shutil.which(PROGRAM, path=self._path)
        key = (program, _stamp(program), *(read_proc(path) for path in _SWITCHES))
        if self._seen is None or self._seen[0] != key:
            self._seen = (key, look_at_machine(program))
        return self._seen[1]


def look_at_machine(program: str | None) -> Machine:
    """What is there, with one try. It blocks for some milliseconds.

    Args:
        program: Where bwrap is; null where it is not.
    """
    machine = Machine(
        program=program or PROGRAM,
        system=tuple(_system()),
        installation=tuple(_installation()),
    )
    if program is None:
        return _without(machine, f"{PROGRAM} is not installed", f"{_INSTALL} {_NONE}")
    problem = _try(sandbox.probe(machine))
    if problem is None:
        return machine
    remedy = (
        "user namespaces have to be allowed (sysctl user.max_user_namespaces,"
        " kernel.unprivileged_userns_clone,"
        " kernel.apparmor_restrict_unprivileged_userns; then wg service reload),"
        f" or set {_NONE}"
    )
    return _without(machine, f"{program} can't make one: {problem}", remedy)


def _without(machine: Machine, problem: str, remedy: str) -> Machine:
    return Machine(
        program=machine.program,
        system=machine.system,
        installation=machine.installation,
        problem=problem,
        remedy=remedy,
    )


def _system() -> list[Mount]:
    found = []
    for path in _SYSTEM:
        if os.path.islink(path):
            found.append(Mount(path, "--symlink", os.readlink(path)))
        elif os.path.isdir(path):
            found.append(Mount(path, "--ro-bind", path))
    # It is often a link to what a service keeps in /run, and names can't be looked up
    # without it. Nothing else of /run is seen: the sockets there do as they are told.
    resolver = os.path.realpath(_RESOLVER)
    if resolver.startswith("/run/") and os.path.isfile(resolver):
        found.append(Mount(resolver, "--ro-bind", resolver))
    if os.geteuid() == 0:
        there = (path for path in _ROOTS_ONLY if os.path.exists(path))
        found.extend(Mount(path, "--ro-bind", path) for path in there)
    return found


def _installation() -> list[str]:
    package = os.path.dirname(os.path.abspath(workgraph.__file__))
    site = os.path.dirname(package)
    if os.path.basename(site) in {"site-packages", "dist-packages"}:
        package = site
    wanted = (sys.prefix, sys.base_prefix, package)
    found: list[str] = []
    for path in (os.path.abspath(path) for path in wanted):
        if path != "/" and path not in found:
            found.append(path)
    return found


def _try(argv: tuple[str, ...]) -> str | None:
    """What is wrong with a sandbox's first try; null when it works."""
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(  # noqa: S603 - bwrap, and a shell that ends
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={},
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            return f"it can't be run: {error.strerror}"
        try:
            status = process.wait(_TRY_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"it did not end within {_TRY_S:g} s"
        if status == 0:
            return None
        output.seek(0)
        said = output.read(_READ_BYTES).decode("utf-8", "replace").strip()
    return said.rpartition("\n")[2] or f"it ended with {status}"


def _stamp(program: str | None) -> tuple[int, int] | None:
    try:
        found = os.stat(program) if program else None
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns) if found else None
