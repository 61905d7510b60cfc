"""What of a running process tells whose it is: one place that reads `/proc`.

A process is an agent's by its session, whose number is the wrapper's pid; by
`WG_AGENT_ID` and `WG_DIR` in its environment; by the lock of the agent's folder, which
it has inherited; by its cgroup. `kill` looks for all processes of an agent, `look` for
the agents of one process: its own signs, and those of its ancestors.
"""

import errno
import os
import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

#: Of what follows the name in `stat`: state, ppid, group, session, and 15 more.
_START_FIELD: Final = 19
_DEAD: Final = frozenset({"Z", "X", "x"})
#: More ancestors than any caller has, and more open files than need be looked at.
_MOST_ANCESTORS: Final = 64
_MOST_FILES: Final = 1024
#: How many ancestors of callers are remembered.
_MOST_KNOWN: Final = 1000
#: In the name of every cgroup that is made for agents (`cgroups`).
CGROUP_MARK: Final = b"/workgraph-"
_FOLDER: Final = re.compile(r"/agent-(\d{1,18})(?: \(deleted\))?")


#: There is no room for one more file or for what the kernel needs to tell.
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class Stat(Struct, frozen=True, kw_only=True):
    """What is used of `/proc/PID/stat`."""

    alive: bool
    #: It stands still by SIGSTOP or the like.
    stopped: bool
    parent: int
    group: int
    session: int
    start_ticks: int


class Named(Struct, frozen=True, kw_only=True):
    """What an environment says: the agent, or the gate, and the project."""

    agent: str
    gate: str
    wg_dir: str


class LockedFolder(Struct, frozen=True, kw_only=True):
    """A folder of an agent that a process holds the lock of."""

    agent: int
    path: str
    device: int
    inode: int


class Signs(Struct, frozen=True, kw_only=True):
    """What one process has of an agent."""

    named: Named | None
    locked: tuple[LockedFolder, ...]


class Trail(Struct, frozen=True, kw_only=True):
    """What one look at a process and its ancestors has found. It judges nothing."""

    #: Pid and start time of each, the process itself first.
    processes: tuple[tuple[int, int], ...] = ()
    sessions: frozenset[int] = frozenset()
    named: tuple[Named, ...] = ()
    locked: tuple[LockedFolder, ...] = ()
    #: The process's own, as `/proc` tells it; empty where none of it is an agent's.
    cgroup: bytes = b""


def read_stat(pid: int) -> Stat | None:
    """Reads a process, or null when there is none of that number."""
    line = read_proc(f"/proc/{pid}/stat")
    # the name in parentheses may hold anything, parentheses included
    fields = line[line.rfind(b")") + 2 :].split()
    if len(fields) <= _START_FIELD:
        return None
    return Stat(
        alive=fields[0].decode() not in _DEAD,
        stopped=fields[0] == b"T",
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        start_ticks=int(fields[_START_FIELD]),
    )


def read_named(pid: int) -> Named | None:
    """What a process's environment says of an agent or a gate; null: nothing."""
    environ = read_proc(f"/proc/{pid}/environ")
    if b"WG_AGENT_ID=" not in environ and b"WG_GATE=" not in environ:
        return None
    pairs = (entry.partition(b"=") for entry in environ.split(b"\0"))
    entries = {name: os.fsdecode(value) for name, _, value in pairs}
    named = Named(
        agent=entries.get(b"WG_AGENT_ID", ""),
        gate=entries.get(b"WG_GATE", ""),
        wg_dir=entries.get(b"WG_DIR", ""),
    )
    return named if named.agent or named.gate else None


def locked_folders(pid: int) -> Iterator[LockedFolder]:
    """The folders of agents that a process has open together with their locks.

    The folder open without the lock is somebody's `ls`.
    """
    try:
        fds = os.listdir(f"/proc/{pid}/fd")[:_MOST_FILES]
    except OSError as error:
        raise_if_exhausted(error)
        return
    for fd in fds:
        path = f"/proc/{pid}/fd/{fd}"
        try:
            # by name first: a stat could hang on a dead network file system
            name = os.readlink(path)
            found = _FOLDER.fullmatch(name[name.rfind("/") :])
            if found is None or not _is_locked(pid, fd):
                continue
            stat = os.stat(path)
        except OSError as error:
            raise_if_exhausted(error)
            continue
        yield LockedFolder(
            agent=int(found[1]), path=name, device=stat.st_dev, inode=stat.st_ino
        )


class Memory:
    """What earlier looks have found at processes that were ancestors of callers.

    Shells, terminals and the like are met again with each call. What an ancestor of a
    caller has inherited by then stays as it is: nobody becomes an agent's later. Safe
    to be used by several threads.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[int, int], Signs] = {}

    def signs_of(self, pid: int, start_ticks: int) -> Signs:
        """The signs of a process, looked for unless they are known."""
        found = self._found.get((pid, start_ticks))
        if found is None:
            if len(self._found) >= _MOST_KNOWN:
                self._found.clear()
            found = self._found[pid, start_ticks] = read_signs(pid)
        return found


def read_signs(pid: int) -> Signs:
    """Looks at one process."""
    return Signs(named=read_named(pid), locked=tuple(locked_folders(pid)))


def look(pid: int, memory: Memory | None = None) -> Trail:
    """Looks at a process and at its ancestors. Blocks for some tenths of a millisecond.

    Ancestors that are gone, and what of others can't be looked into, are passed over.
    So is who looks: it is an ancestor of all that it has started, and while it starts
    one more it has the lock of that one's folder.
    """
    memory = memory or Memory()
    processes: list[tuple[int, int]] = []
    sessions: set[int] = set()
    found: list[Signs] = []
    stat = read_stat(pid)
    cgroup = read_proc(f"/proc/{pid}/cgroup")
    while stat is not None and len(processes) < _MOST_ANCESTORS:
        # init adopts everybody's orphans: it says nothing of any of them
        if pid == 1 and processes:
            break
        if not processes:  # the caller itself is met once
            found.append(read_signs(pid))
        elif pid != os.getpid():
            found.append(memory.signs_of(pid, stat.start_ticks))
        processes.append((pid, stat.start_ticks))
        sessions.add(stat.session)
        pid, stat = _parent(pid, stat)
    return Trail(
        processes=tuple(processes),
        sessions=frozenset(sessions),
        named=tuple({one.named: None for one in found if one.named is not None}),
        locked=tuple({lock: None for one in found for lock in one.locked}),
        cgroup=cgroup if CGROUP_MARK in cgroup else b"",
    )


def raise_if_exhausted(error: OSError) -> None:
    """Raises an error that says nothing of what was looked for.

    Where this process may open no more files nothing can be found, and what can't be
    found must not be taken for gone, nor for nobody's.
    """
    if error.errno in _EXHAUSTED:
        raise error


def read_proc(path: str) -> bytes:
    """A file of `/proc`, or nothing when it is gone or not ours to read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise_if_exhausted(error)
        return b""
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
            if path.endswith("/stat"):  # one line, one read
                break
        return b"".join(parts)
    except OSError as error:
        raise_if_exhausted(error)
        return b""
    finally:
        os.close(fd)


def _parent(pid: int, stat: Stat) -> tuple[int, Stat | None]:
    """Who the parent is now: one that died since has left its child to another."""
    parent = read_stat(stat.parent)
    if parent is not None and parent.start_ticks <= stat.start_ticks:
        return stat.parent, parent
    again = read_stat(pid)
    if again is None or again.parent == stat.parent:
        return 0, None
    return again.parent, read_stat(again.parent)


def _is_locked(pid: int, fd: str) -> bool:
    """The kernel names the locks of a descriptor, the inherited ones, too."""
    info = read_proc(f"/proc/{pid}/fdinfo/{fd}")
    return any(b"FLOCK" in x and b"WRITE" in x for x in info.split(b"\n"))
