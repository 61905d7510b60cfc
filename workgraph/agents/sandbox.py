"""The sandbox: what an agent in it sees of the machine, as arguments of bwrap. Pure.

It is made from nothing, and what is not named here is not there. A deeper mount lies on
top of what is above it, so the order of making is the order of the paths:

- the system, read-only, and workgraph itself with its interpreter, so that `wg` runs;
- `/proc` of its own processes alone, devices that hold nothing, an empty `/tmp`, `/run`
  and `/var/tmp`, and an empty home;
- the project's folder read-only, the workspace in it writable, what the settings name;
- of `.wg`: the link to `wg`, the agent's prompt and its TMPDIR, copies of what it is
  given, and nothing else; the daemon's socket is in `SOCKET_DIR`, by its folder:
  another daemon makes a new socket.
"""

import posixpath
from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct

from workgraph.agents import shell

#: Where the daemon's socket is, inside.
SOCKET_DIR: Final = "/run/workgraph"
#: The folder in `.wg` that holds nothing but a link to the socket.
SOCKET_LINKS: Final = "socket"
#: Empty inside, and written to by nobody else.
PRIVATE: Final = ("/tmp", "/run", "/var/tmp")  # noqa: S108 - no file of ours

_NAMESPACES: Final = (
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
)
#: The keeper ends with the wrapper, and all that is inside with the keeper.
_LIMITS: Final = ("--die-with-parent", "--cap-drop", "ALL")

Way = Literal["--ro-bind", "--bind", "--symlink", "--tmpfs", "--proc", "--dev"]


class Mount(Struct, frozen=True):
    """One thing that is seen inside: where, how, and from where."""

    path: str
    way: Way
    #: The path outside, or what a link says; empty for what comes from nowhere.
    source: str = ""


class Machine(Struct, frozen=True, kw_only=True):
    """What this machine has for a sandbox."""

    #: The path of bwrap; empty where no sandbox can be had.
    program: str = ""
    #: Why none can be had, and what would change that.
    problem: str = ""
    remedy: str = ""
    system: tuple[Mount, ...] = ()
    #: Folders of workgraph and its interpreter, for `wg`.
    installation: tuple[str, ...] = ()


class Room(Struct, frozen=True, kw_only=True):
    """What one sandbox is made for."""

    workspace: str
    project_dir: str
    wg_dir: str
    home: str
    network: Literal["host", "none"]
    #: An agent's folder; empty for a gate, which gets neither prompt nor socket.
    agent_folder: str = ""
    #: The folder of the daemon's socket, outside.
    socket_dir: str = ""
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    #: Copies of artifacts, in `.wg`.
    copies: tuple[str, ...] = ()


def socket_dir(socket: str, wg_dir: str) -> str:
    """The folder by which the daemon's socket gets into a sandbox."""
    folder = posixpath.dirname(socket)
    # one that was made for the socket alone is as good as ours
    return f"{wg_dir}/{SOCKET_LINKS}" if folder == wg_dir else folder


def enclose(machine: Machine, room: Room, argv: Iterable[str]) -> tuple[str, ...]:
    """The argv that runs another one inside."""
    return (*_prefix(machine, room), "/bin/sh", "-c", shell.INNER, shell.NAME, *argv)


def enclose_gate(machine: Machine, room: Room) -> tuple[str, ...]:
    """What goes before the argv of a gate's command."""
    return _prefix(machine, room)


def probe(machine: Machine) -> tuple[str, ...]:
    """The argv of a program that does nothing, inside: it ends with 0 if that works."""
    mounts = _arguments(_layers((*machine.system, *_BARE)))
    return (*_begin(machine, "none"), *mounts, "--", "/bin/sh", "-c", ":")


def mounts(machine: Machine, room: Room) -> tuple[Mount, ...]:
    """Everything that is seen inside, outer folders first."""
    found = [*machine.system, *_BARE]
    if room.home not in {"", "/"}:
        found.append(Mount(room.home, "--tmpfs"))
    if not contains(room.project_dir, room.home):
        found.append(Mount(room.project_dir, "--ro-bind", room.project_dir))
    found += [Mount(path, "--ro-bind", path) for path in room.readable]
    found.append(Mount(room.workspace, "--bind", room.workspace))
    found += [Mount(path, "--bind", path) for path in room.writable]
    # After the workspace: who can change workgraph can leave the sandbox.
    found += [Mount(path, "--ro-bind", path) for path in machine.installation]
    found.append(Mount(room.wg_dir, "--tmpfs"))
    bin_dir = f"{room.wg_dir}/bin"
    found.append(Mount(bin_dir, "--ro-bind", bin_dir))
    found += [Mount(copy, "--ro-bind", copy) for copy in room.copies]
    if room.agent_folder:
        prompt = f"{room.agent_folder}/prompt.md"
        found.append(Mount(prompt, "--ro-bind", prompt))
        tmpdir = posixpath.join(room.agent_folder, "tmp")
        found.append(Mount(tmpdir, "--bind", tmpdir))
        found.append(Mount(SOCKET_DIR, "--ro-bind", room.socket_dir))
    return _layers(found)


def shows(seen: Iterable[Mount], path: str) -> bool:
    """Whether a path of outside is to be seen inside; ask for what it leads to, too."""
    nearest = _nearest(seen, path)
    return nearest is not None and nearest.way in {"--bind", "--ro-bind", "--symlink"}


def contains(folder: str, path: str) -> bool:
    """Whether a path is a folder, or below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _prefix(machine: Machine, room: Room) -> tuple[str, ...]:
    return (
        *_begin(machine, room.network),
        *_arguments(mounts(machine, room)),
        *("--remount-ro", room.wg_dir, "--remount-ro", "/"),
        *("--chdir", room.workspace, "--"),
    )


def _begin(machine: Machine, network: str) -> tuple[str, ...]:
    alone = ("--unshare-net",) if network == "none" else ()
    return (machine.program, *_NAMESPACES, *alone, *_LIMITS)


def _arguments(layers: Iterable[Mount]) -> tuple[str, ...]:
    words: list[str] = []
    for mount in layers:
        words.append(mount.way)
        if mount.source:
            words.append(mount.source)
        words.append(mount.path)
    return tuple(words)


_BARE: Final = (
    Mount("/proc", "--proc"),
    Mount("/dev", "--dev"),
    *(Mount(path, "--tmpfs") for path in PRIVATE),
)


def _layers(found: Iterable[Mount]) -> tuple[Mount, ...]:
    """By path, the last of each; without those that lie there as they are already."""
    by_path = {mount.path: mount for mount in found}
    layers: list[Mount] = []
    for path in sorted(by_path, key=lambda path: path.split("/")):
        mount = by_path[path]
        around = _nearest(layers, path)
        if around is None or not (
            mount.way == around.way == "--ro-bind"
            and mount.source == path
            and around.source == around.path
        ):
            layers.append(mount)
    return tuple(layers)


def _nearest(seen: Iterable[Mount], path: str) -> Mount | None:
    found = [mount for mount in seen if contains(mount.path, path)]
    return max(found, key=lambda mount: len(mount.path), default=None)
