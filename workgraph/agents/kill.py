"""Ending an agent's whole tree: the ladder, and the search of `/proc` for what is left.

The ladder: TERM to the group, the grace, KILL to the group, then the search, again and
again, until a pass finds nothing. What belongs to an agent is told by any of

- its session, whose number is the wrapper's pid;
- `WG_AGENT_ID` in the environment, together with the project's `WG_DIR`: agents of two
  projects have the same ids;
- the lock of the agent's folder: a descriptor that is inherited with it. The folder
  open without the lock is somebody's `ls`.

Only the wrapper's own group is ever signalled as a group, and only while the wrapper
lives; everything else one by one, through a pidfd, checked by its start time.
"""

import errno
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import anyio
import anyio.to_thread
from msgspec import Struct

from workgraph.graph.model import ProcessId

#: How long the search goes on before what is left is called a leftover.
LIMIT_S: Final = 30.0
#: Between two passes, at most; it ends early when what was killed is gone.
_PASS_MS: Final = 100
#: Of what follows the name: state, ppid, group, session, and 15 more.
_START_FIELD: Final = 19
_DEAD: Final = frozenset({"Z", "X", "x"})


class Target(Struct, frozen=True, kw_only=True):
    """An agent whose tree is looked for.

    Args:
        folder: Absolute; the folder of the agents is beside it, the project's above.
        process: Its wrapper, if that is known. Nothing older can be the agent's.
        own_session: The wrapper was ours until just now. Otherwise its number may have
            become another session's, and the session alone is no proof.
    """

    agent: int
    folder: str
    inode: int | None = None
    process: ProcessId | None = None
    own_session: bool = True


#: There is no room for one more file or for what the kernel needs to tell.
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class Stat(Struct, frozen=True, kw_only=True):
    """What is used of `/proc/PID/stat`."""

    alive: bool
    group: int
    session: int
    start_ticks: int


def raise_if_exhausted(error: OSError) -> None:
    """Raises an error that says nothing of what was looked for.

    Where this process may open no more files nothing can be found, and what can't be
    found must not be taken for gone.
    """
    if error.errno in _EXHAUSTED:
        raise error


def read_boot_id() -> str:
    """The id of this boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def read_stat(pid: int) -> Stat | None:
    """Reads a process, or null when there is none of that number."""
    line = _read(f"/proc/{pid}/stat")
    # the name in parentheses may hold anything, parentheses included
    fields = line[line.rfind(b")") + 2 :].split()
    if len(fields) <= _START_FIELD:
        return None
    return Stat(
        alive=fields[0].decode() not in _DEAD,
        group=int(fields[2]),
        session=int(fields[3]),
        start_ticks=int(fields[_START_FIELD]),
    )


def is_alive(process: ProcessId, boot_id: str) -> bool:
    """Says whether exactly this process runs."""
    if process.boot_id != boot_id:
        return False
    stat = read_stat(process.pid)
    return stat is not None and stat.alive and stat.start_ticks == process.start_ticks


def signal_group(process: ProcessId, boot_id: str, *numbers: int) -> bool:
    """Signals the group of a wrapper that lives.

    Returns:
        False when the wrapper is gone: then nothing was sent.
    """
    if not is_alive(process, boot_id):
        return False
    with suppress(ProcessLookupError, PermissionError):
        for number in numbers:
            os.killpg(process.pid, number)
    return True


async def wait_gone(process: ProcessId) -> None:
    """Waits for a process that may be nobody's child."""
    fd = _open_process(process)
    if fd is None:
        return
    try:
        await anyio.wait_readable(fd)
    finally:
        os.close(fd)


async def climb(
    target: Target,
    *,
    boot_id: str,
    grace_s: float,
    force: bool,
    before_kill: Callable[[], None] = lambda: None,
) -> tuple[int, ...]:
    """Ends an agent and all that is left of it.

    Args:
        force: KILL at once.
        before_kill: Called before KILL goes to the group, wrapper included.

    Returns:
        The pids that could not be ended within `LIMIT_S`.
    """
    wrapper = target.process
    if not force:
        # CONT: a frozen one would not see its TERM
        group_told = wrapper is not None and signal_group(
            wrapper, boot_id, signal.SIGTERM, signal.SIGCONT
        )
        members = await find(target, boot_id=boot_id)
        for process in members:
            if not (group_told and wrapper and _is_in_group(process, wrapper.pid)):
                send(process, signal.SIGTERM, signal.SIGCONT)
        with anyio.move_on_after(grace_s):
            async with anyio.create_task_group() as group:
                for process in members:
                    group.start_soon(wait_gone, process)
    if wrapper is not None and is_alive(wrapper, boot_id):
        before_kill()
        signal_group(wrapper, boot_id, signal.SIGKILL)
    left = await end_all((target,), boot_id=boot_id)
    return left.get(target.agent, ())


async def end_all(
    targets: Sequence[Target], *, boot_id: str, limit_s: float = LIMIT_S
) -> dict[int, tuple[int, ...]]:
    """Kills what is left of agents, until a pass over `/proc` finds nothing.

    Returns:
        The pids that could not be ended, of those agents that have any.
    """
    return await anyio.to_thread.run_sync(
        _end_all, targets, boot_id, limit_s, abandon_on_cancel=True
    )


async def find(target: Target, *, boot_id: str) -> tuple[ProcessId, ...]:
    """Finds what runs of an agent: one pass over `/proc`."""
    found = await anyio.to_thread.run_sync(search, (target,), boot_id)
    return found[target.agent]


def search(
    targets: Sequence[Target], boot_id: str
) -> Mapping[int, tuple[ProcessId, ...]]:
    """Looks at every process once and says whose it is. Blocks for some milliseconds.

    Processes of others can't be looked into and are passed over; so is this one.
    """
    marks = _Marks(targets, boot_id)
    found: dict[int, list[ProcessId]] = {target.agent: [] for target in targets}
    own = os.getpid()
    for name in os.listdir("/proc"):
        if not name.isdigit() or (pid := int(name)) == own:
            continue
        stat = read_stat(pid)
        if stat is None or not stat.alive or stat.start_ticks < marks.oldest:
            continue
        agent = marks.owner(pid, stat)
        if agent is not None:
            found[agent].append(
                ProcessId(pid=pid, boot_id=boot_id, start_ticks=stat.start_ticks)
            )
    return {agent: tuple(processes) for agent, processes in found.items()}


def send(process: ProcessId, *numbers: int) -> None:
    """Signals one process, if it is still the same one."""
    fd = _open_process(process)
    if fd is None:
        return
    try:
        with suppress(ProcessLookupError, PermissionError):
            for number in numbers:
                signal.pidfd_send_signal(fd, number)
    finally:
        os.close(fd)


class _Marks:
    """What tells the processes of some agents, made once for a pass."""

    def __init__(self, targets: Sequence[Target], boot_id: str) -> None:
        wrappers = {
            t.agent: t.process
            for t in targets
            if t.process and t.process.boot_id == boot_id
        }
        self._since = {
            t.agent: wrappers[t.agent].start_ticks if t.agent in wrappers else 0
            for t in targets
        }
        self.oldest = min(self._since.values(), default=0)
        self._sessions = {
            wrapper.pid: t.agent
            for t in targets
            if (wrapper := wrappers.get(t.agent))
            and _is_session_ours(wrapper, gone_too=t.own_session)
        }
        self._ids = {f"agent-{t.agent}".encode(): t for t in targets}
        self._folders = {key: t.agent for t in targets if (key := _folder_key(t))}

    def owner(self, pid: int, stat: Stat) -> int | None:
        agent = self._sessions.get(stat.session)
        if agent is None:
            agent = self._by_environment(pid)
        if agent is None:
            agent = self._by_lock(pid)
        if agent is None or stat.start_ticks < self._since[agent]:
            return None
        return agent

    def _by_environment(self, pid: int) -> int | None:
        environ = _read(f"/proc/{pid}/environ")
        if b"WG_AGENT_ID=" not in environ:
            return None
        pairs = (entry.partition(b"=") for entry in environ.split(b"\0"))
        entries = {name: value for name, _, value in pairs}
        target = self._ids.get(entries.get(b"WG_AGENT_ID", b""))
        if target is None or not (where := entries.get(b"WG_DIR")):
            return None
        # the `.wg` folder, or the one that contains it
        project = os.path.dirname(os.path.dirname(os.path.realpath(target.folder)))
        named = os.path.realpath(os.fsdecode(where))
        return target.agent if named in (project, os.path.dirname(project)) else None

    def _by_lock(self, pid: int) -> int | None:
        try:
            fds = os.listdir(f"/proc/{pid}/fd")
        except OSError as error:
            raise_if_exhausted(error)
            return None
        for fd in fds:
            path = f"/proc/{pid}/fd/{fd}"
            try:
                # by name first: a stat could hang on a dead network file system
                if "/agent-" not in os.readlink(path):
                    continue
                stat = os.stat(path)
            except OSError as error:
                raise_if_exhausted(error)
                continue
            agent = self._folders.get((stat.st_dev, stat.st_ino))
            if agent is not None and _is_locked(pid, fd):
                return agent
        return None


def _end_all(
    targets: Sequence[Target], boot_id: str, limit_s: float
) -> dict[int, tuple[int, ...]]:
    until = time.monotonic() + limit_s
    while True:
        found = {a: left for a, left in search(targets, boot_id).items() if left}
        if not found or time.monotonic() > until:
            return {a: tuple(p.pid for p in left) for a, left in found.items()}
        _kill(process for left in found.values() for process in left)


def _kill(processes: Iterable[ProcessId]) -> None:
    """Kills and waits a moment; those that stay are met again in the next pass."""
    poll = select.poll()
    fds: list[int] = []
    try:
        for process in processes:
            if (fd := _open_process(process)) is None:
                continue
            fds.append(fd)
            with suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
            poll.register(fd, select.POLLIN)
        until = time.monotonic() + _PASS_MS / 1000
        waiting = len(fds)
        while waiting and (left := until - time.monotonic()) > 0:
            for fd, _ in poll.poll(left * 1000):
                poll.unregister(fd)
                waiting -= 1
    finally:
        for fd in fds:
            os.close(fd)


def _open_process(process: ProcessId) -> int | None:
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    # after the opening: from now on the number can't become another's unnoticed
    stat = read_stat(process.pid)
    if stat is None or not stat.alive or stat.start_ticks != process.start_ticks:
        os.close(fd)
        return None
    return fd


def _is_in_group(process: ProcessId, group: int) -> bool:
    stat = read_stat(process.pid)
    return stat is not None and stat.group == group


def _is_session_ours(wrapper: ProcessId, *, gone_too: bool) -> bool:
    """A number is used again only when its session is empty, so by a new leader."""
    leader = read_stat(wrapper.pid)
    if leader is None:
        return gone_too
    return leader.start_ticks == wrapper.start_ticks


def _folder_key(target: Target) -> tuple[int, int] | None:
    try:
        if target.inode is None:
            stat = os.stat(target.folder)
            return stat.st_dev, stat.st_ino
        # the folder may be gone; what holds it is found all the same
        return os.stat(os.path.dirname(target.folder)).st_dev, target.inode
    except OSError:
        return None


def _is_locked(pid: int, fd: str) -> bool:
    """The kernel names the locks of a descriptor, the inherited ones, too."""
    info = _read(f"/proc/{pid}/fdinfo/{fd}")
    return any(b"FLOCK" in x and b"WRITE" in x for x in info.split(b"\n"))


def _read(path: str) -> bytes:
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
