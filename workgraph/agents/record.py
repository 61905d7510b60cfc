"""The folder that records a process: its lock, and what its wrapper wrote there.

The wrapper is a shell that outlives every signal to its group, holds the lock of the
folder until it has written the end, and leaves with the agent's status:

- lock held: not over. Lock free: the wrapper is gone and its record is final; that says
  nothing of what the agent has left behind, which may hold the lock, too, or not.
- `run` is the pid, a line; then whatever the shell says of a signal; then the status.
  `exit` is the status again; what an agent has put in its place is let alone: opening
  a pipe would never end.
- That an agent was never started is said only of a folder that is as `prepare` leaves
  it: no `exit`, and no `run`, or one without a complete first line.
- First the lock, then the record: the other way round loses ends.

All reads are of a few bytes in the page cache, some 10 µs each, and so are done on the
loop; the descriptors are opened non-blocking to say so.
"""

import fcntl
import os
import stat
from enum import StrEnum
from typing import Final

import anyio
import anyio.to_thread
from msgspec import Struct

from workgraph.agents.shell import ENTERED, NOT_RUN, TO_ENTER
from workgraph.agents.signs import raise_if_exhausted
from workgraph.graph.errors import may_pass

#: `exit 75` of the wrapper, and what a shell leaves with that can't write `run`: these
#: may mean that there was no agent. From 128 on its words tell code from signal.
_UNSURE: Final = frozenset({1, 2, 75})
_FIRST_SIGNALLED: Final = 128
_LAST_SIGNAL: Final = 64
#: INT and PIPE: no shell says a word about them.
_SILENT: Final = frozenset({128 + 2, 128 + 13})
#: `run` is two numbers and a line of the shell's; a listing of jobs may be longer.
_RECORD_BYTES: Final = 4096
#: How long a start that a killed daemon left half done may take to write its pid.
_FIRST_LINE_S: Final = 5.0
_LOOK_AGAIN_S: Final = 0.01
_NO_FILES_S: Final = 0.5


class Lock(StrEnum):
    """What the lock of a folder says."""

    HELD = "held"
    FREE = "free"
    #: The folder is gone, or is another one than the agent was started in.
    MISSING = "missing"


class Record(Struct, frozen=True, kw_only=True):
    """What `run` and `exit` hold. The status counts when the wrapper is gone."""

    pid: int | None = None
    status: int | None = None
    #: A sandbox was to be made, and its program has not been reached.
    shut_out: bool = False
    #: The shell said something between the two: the agent ended by a signal.
    words: bool = False


class Look(Struct, frozen=True, kw_only=True):
    """A folder at one moment, the lock looked at before the record."""

    lock: Lock
    inode: int | None = None
    record: Record = Record()
    #: Something is there that only a wrapper or an agent can have left.
    was_started: bool = False


def take_lock(folder: int) -> None:
    """Locks a folder for an agent that is about to be started; the launcher alone may.

    Args:
        folder: An open descriptor; the lock is free when all copies of it are closed.

    Raises:
        BlockingIOError: Somebody holds it.
    """
    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)


def look(folder: str, inode: int | None = None) -> Look:
    """Reads a folder's lock and record.

    Args:
        inode: What the folder had when the agent was started, if that is known.
    """
    try:
        fd = _open_folder(folder)
    except FileNotFoundError:
        return Look(lock=Lock.MISSING)
    except NotADirectoryError:
        return Look(lock=Lock.MISSING, was_started=True)
    try:
        found = os.fstat(fd).st_ino
        if inode is not None and inode != found:
            return Look(lock=Lock.MISSING, was_started=True)
        try:
            # shared: two that probe must not see each other
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            lock = Lock.FREE
        except BlockingIOError:
            lock = Lock.HELD
        run, exit_file = _read(fd, "run"), _read(fd, "exit")
        was_started = run.is_strange or b"\n" in run.data or exit_file.exists
        if inode is None and was_started and lock is Lock.FREE and not _has_log(fd):
            # whoever made it anew may have put a record of its own in it
            return Look(lock=Lock.MISSING, was_started=True)
        return Look(
            lock=lock,
            inode=found,
            record=parse_record(run.data, exit_file.data),
            was_started=was_started,
        )
    finally:
        os.close(fd)


async def look_patiently(folder: str) -> Look:
    """Looks until it can: without one more file nothing is known of a start."""
    while True:
        try:
            return await anyio.to_thread.run_sync(look, folder)
        except (OSError, RuntimeError) as error:
            if not may_pass(error):
                raise
        await anyio.sleep(_NO_FILES_S)


async def wait_first_line(folder: str, inode: int | None) -> Look:
    """Looks until a start that a killed daemon left half done has written its pid."""
    with anyio.move_on_after(_FIRST_LINE_S):
        while True:
            seen = look(folder, inode)
            if seen.lock is not Lock.HELD or seen.record.pid is not None:
                return seen
            await anyio.sleep(_LOOK_AGAIN_S)
    return look(folder, inode)


def is_plain(status: int) -> bool:
    """Says whether a wrapper's own status is the agent's exit code, no doubt."""
    return 0 <= status < _FIRST_SIGNALLED and status not in _UNSURE | NOT_RUN


def may_be_signal(status: int) -> bool:
    """Says whether a shell's status alone leaves it open: a code, or a signal."""
    return 0 < status - _FIRST_SIGNALLED <= _LAST_SIGNAL


def tell(status: int, *, words: bool, prints: bool) -> tuple[int | None, int | None]:
    """Tells code from signal in a shell's status. Pure.

    Args:
        words: The shell said something about the end.
        prints: It is a shell that does, for all signals but INT and PIPE.

    Returns:
        The exit code and the signal; with a signal that can't be known, neither.
    """
    signal = status - _FIRST_SIGNALLED
    known = may_be_signal(status)
    if words and status >= _FIRST_SIGNALLED:
        return None, signal if known else None
    if not known or (prints and status not in _SILENT):
        return status, None
    return None, signal


def parse_record(run: bytes, exit_file: bytes = b"") -> Record:
    """Reads what the wrapper wrote. Only complete lines count. Pure.

    A record that begins with anything but a pid is not the wrapper's.
    """
    lines = run.split(b"\n")[:-1]
    pid = _number(lines[0]) if lines else None
    if lines and pid is None:
        return Record()
    words = shut_out = False
    status = None
    for line in lines[1:]:
        status = _number(line)
        if status is not None:
            break
        if line == TO_ENTER:
            shut_out = True
        elif line == ENTERED:
            shut_out = False
        else:
            words = words or bool(line.strip())
    if status is None:
        first, newline, _ = exit_file.partition(b"\n")
        status = _number(first) if newline else None
    return Record(pid=pid, status=status, shut_out=shut_out, words=words)


def _open_folder(folder: str) -> int:
    flags = os.O_DIRECTORY | os.O_CLOEXEC
    try:
        # a link in its place is none, wherever it leads
        return os.open(folder, flags | os.O_NOFOLLOW)
    except PermissionError:
        # its agent has closed it
        path = os.open(folder, flags | os.O_NOFOLLOW | os.O_PATH)
        try:
            os.chmod(f"/proc/self/fd/{path}", 0o700)
            return os.open(f"/proc/self/fd/{path}", flags)
        finally:
            os.close(path)


class _File(Struct, frozen=True, kw_only=True):
    """A file of the record."""

    data: bytes = b""
    exists: bool = True
    #: Not what a wrapper makes: a pipe, a link, a folder, or closed to its owner.
    is_strange: bool = False


def _read(folder: int, name: str) -> _File:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        fd = os.open(name, flags, dir_fd=folder)
    except FileNotFoundError:
        return _File(exists=False)
    except OSError as error:
        raise_if_exhausted(error)
        return _File(is_strange=True)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return _File(is_strange=True)
        return _File(data=os.read(fd, _RECORD_BYTES))
    finally:
        os.close(fd)


def _has_log(folder: int) -> bool:
    """Every folder that an agent was started in has one from before the start."""
    try:
        os.stat("output.log", dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _number(line: bytes) -> int | None:
    return int(line) if line.isdigit() else None
