"""The project's lock, and where its socket is, as the process that may write sees it.

Whoever writes to a project holds two flocks: on `.wg/wgd.lock`, which says who it is,
and on the folder `.wg` itself, so that deleting the file lets nobody else in. The
file's content means something only while the lock is held: `wgd 1234` or `wg 1234`.
"""

import fcntl
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal

import anyio
import anyio.to_thread
from msgspec import Struct

from workgraph import wire
from workgraph.agents.sandbox import socket_dir
from workgraph.graph.errors import (
    NotFoundError,
    TryLaterError,
    UserError,
    system_refusal,
)

Role = Literal["wgd", "wg"]

BACKLOG: Final = 1024
MOUNTS: Final = "/proc/self/mountinfo"
LOCKS: Final = "/proc/locks"

#: Where shared memory is not shared by all who have the file open, or locks are not
#: kept: SQLite's WAL would be lost or torn.
UNSAFE_FILE_SYSTEMS: Final = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda", "9p"),
        *("ceph", "glusterfs", "lustre", "beegfs", "gfs2", "ocfs2", "gpfs", "vboxsf"),
        *("fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.davfs"),
        *("fuse.davfs2", "fuse.glusterfs", "fuse.ceph", "fuse.gvfsd-fuse", "davfs"),
        *("fuse.curlftpfs", "fuse.vmhgfs-fuse", "fuse.smbnetfs", "fuse.goofys"),
    }
)


class Holder(Struct, frozen=True, kw_only=True):
    """Who holds a lock."""

    role: Role
    pid: int | None


class ProjectLock:
    """The right to write to one project. Held until `release` or the process's end.

    Children started meanwhile don't inherit it: its files close on exec.
    """

    def __init__(self, wg_dir: str) -> None:
        self._wg_dir = wg_dir
        self._path = os.path.join(wg_dir, wire.LOCK_NAME)
        self._file = -1
        self._folder = -1

    @property
    def is_held(self) -> bool:
        """Whether this object holds the lock."""
        return self._file >= 0

    def try_acquire(self, role: Role) -> bool:
        """Take the lock if it is free; whether it was."""
        file = self._lock_file()
        if file < 0:
            return False
        folder = _lock_folder(self._wg_dir, fcntl.LOCK_EX)
        if folder < 0:
            os.close(file)
            return False
        try:
            os.ftruncate(file, 0)
            os.pwrite(file, f"{role} {os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(file)
            os.close(folder)
            what = f"{self._path} can't be written"
            raise system_refusal(error, what) or error from error
        self._file = file
        self._folder = folder
        return True

    def release(self) -> None:
        """Give the lock back; harmless if it is not held."""
        if self._file >= 0:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            os.close(self._folder)
            self._file = self._folder = -1

    def holder(self) -> Holder | None:
        """Who holds the lock now, in this process or another; None: nobody.

        For a few microseconds it may itself be in the way of `try_acquire`.
        """
        folder = _lock_folder(self._wg_dir, fcntl.LOCK_SH)
        if folder >= 0:
            os.close(folder)
            return None
        return self._said_holder() or Holder(role="wgd", pid=_flock_pid(self._wg_dir))

    async def acquire(
        self,
        role: Role,
        *,
        wait_for_wg_s: float = 30,
        wait_for_daemon_s: float = 10,
        retry_ms: float = 10,
        on_retry: Callable[[], Awaitable[bool]] | None = None,
    ) -> bool:
        """Wait for the lock and take it.

        Args:
            role: Who asks.
            wait_for_wg_s: How long others of `wg` may keep it, one after the other.
            wait_for_daemon_s: How long one daemon may keep it.
            retry_ms: How often it is tried.
            on_retry: Called between tries; True ends the wait without the lock (a
                daemon answers by now).

        Returns:
            Whether the lock is held; False only by `on_retry`.

        Raises:
            TryLaterError: Others of `wg` kept it.
            UserError: A daemon keeps it; the message names its pid.
        """
        began = anyio.current_time()
        daemon: Holder | None = None
        daemon_since = began
        while not await anyio.to_thread.run_sync(self.try_acquire, role):
            if on_retry is not None and await on_retry():
                return False
            holder = await anyio.to_thread.run_sync(self.holder)
            now = anyio.current_time()
            if holder is None or holder.role == "wg":
                if now - began >= wait_for_wg_s:
                    raise _busy(holder, wait_for_wg_s)
            else:
                if holder != daemon:
                    daemon, daemon_since = holder, now
                if now - daemon_since >= wait_for_daemon_s:
                    raise _held_by_daemon(holder)
            await anyio.sleep(retry_ms / 1000)
        return True

    async def wait_released_by(self, holder: Holder, retry_ms: float = 10) -> None:
        """Return when somebody else holds the lock, or nobody."""
        while True:
            # The kernel tells nobody when a lock becomes free.
            if await anyio.to_thread.run_sync(self.holder) != holder:
                return
            await anyio.sleep(retry_ms / 1000)

    def _lock_file(self) -> int:
        """The lock file's descriptor, locked; -1 if another holds it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        while True:
            try:
                fd = os.open(self._path, flags, 0o600)
            except OSError as error:
                what = f"{self._path} can't be written"
                raise system_refusal(error, what) or error from error
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                return -1
            # Deleted or replaced since it was opened: what is locked is nobody's file.
            if _is_same(fd, self._path):
                return fd
            os.close(fd)

    def _said_holder(self) -> Holder | None:
        try:
            with open(self._path, "rb") as file:
                words = file.read(64).split()
        except OSError:
            return None
        match words:
            case [b"wgd", pid] if pid.isdigit():
                return Holder(role="wgd", pid=int(pid))
            case [b"wg", pid] if pid.isdigit():
                return Holder(role="wg", pid=int(pid))
            case _:
                return None


def find_wg_dir(named: str | None, cwd: str, env: Mapping[str, str]) -> str:
    """The project's `.wg` folder.

    Args:
        named: What `--dir` says, if it was given.
        cwd: Where the search upwards begins.
        env: Of the process that asks, for `WG_DIR`.

    Raises:
        NotFoundError: There is none.
    """
    named = named or env.get("WG_DIR")
    found = wire.find_wg_dir(named, cwd)
    if found is None:
        where = f"in {named}" if named else f"in {cwd} or above"
        message = f"no project {where}"
        raise NotFoundError(message, hint="`wg init` makes one")
    return found


def socket_path(wg_dir: str, env: Mapping[str, str]) -> str:
    """Where this process, if it becomes the daemon, puts its socket.

    Args:
        wg_dir: As `find_wg_dir` returns it.
        env: Of this process, for `XDG_RUNTIME_DIR`.

    Raises:
        UserError: The folder's path is too long and no other place is to be had.
    """
    paths = wire.socket_candidates(wg_dir, os.geteuid(), env.get("XDG_RUNTIME_DIR"))
    for path in paths:
        folder = os.path.dirname(path)
        # .wg, or <runtime>/workgraph/<hash>, or /tmp/workgraph-<uid>/<hash>
        base = os.path.dirname(os.path.dirname(folder))
        if folder == wg_dir or (os.path.isdir(base) and os.access(base, os.W_OK)):
            return path
    message = f"the path of {wg_dir} is too long for a socket, and no other is usable"
    raise UserError(message, hint="set XDG_RUNTIME_DIR to a folder of yours")


def bind_socket(path: str) -> socket.socket:
    """A listening socket at that path, mode 0600. The caller holds the lock.

    Its folder is made where it is not in the project; a socket that a dead daemon left
    behind is replaced.

    Raises:
        UserError: The folder is not ours alone, or something else is in its place.
    """
    folder = os.path.dirname(path)
    above = os.path.dirname(folder)
    if os.path.basename(above) in {"workgraph", f"workgraph-{os.geteuid()}"}:
        # Ours to make; in /tmp somebody else may have been there first.
        for made in (above, folder):
            if not os.path.lexists(made):
                os.mkdir(made, 0o700)
            check_private(made)
    check_private(folder)
    unlink_socket(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Not chmod afterwards: there must be no moment at which others may connect.
    umask = os.umask(0o177)
    try:
        listener.bind(path)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        message = f"can't listen at {path}: {error.strerror or error}"
        raise UserError(message) from error
    finally:
        os.umask(umask)
    listener.settimeout(0)
    return listener


def share_socket(path: str, wg_dir: str) -> None:
    """Gives the socket a second name, in a folder that holds nothing else.

    That folder can be shown to a sandbox, which then finds the sockets of later daemons
    in it, too. A socket that is not in `.wg` has a folder of its own already.

    Raises:
        UserError: The folder can't be made.
    """
    folder = socket_dir(path, wg_dir)
    if folder == os.path.dirname(path):
        return
    name = os.path.join(folder, os.path.basename(path))
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        unlink_socket(name)
        os.link(path, name)
    except OSError as error:
        message = f"{name} can't be made: {error.strerror}"
        raise UserError(message, hint=f"{folder} must be a folder of yours") from error


def unlink_socket(path: str) -> None:
    """Remove a socket, under the lock only.

    Raises:
        UserError: What is there is not a socket.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        message = f"{path} is in the way: it is not a socket"
        raise UserError(message, hint="move it away")
    os.unlink(path)


def check_filesystem(path: str, mounts: str = MOUNTS) -> None:
    """Refuse a folder where SQLite's WAL is not safe.

    Args:
        path: The folder, or one that is to be made.
        mounts: The list of mounts to look in, in the kernel's form.

    Raises:
        UserError: It is on such a file system; the message says on which.
    """
    kind, point = _mount_of(os.path.realpath(path), mounts)
    if kind in UNSAFE_FILE_SYSTEMS:
        message = (
            f"{path} is on {kind} (mounted at {point}), where SQLite's write-ahead log "
            "is not safe: its shared memory and locks need a local file system"
        )
        raise UserError(message, hint="keep the project on a local disk")


def _mount_of(path: str, mounts: str) -> tuple[str, str]:
    """The kind and the mount point of the file system that a path is on."""
    kind, point = "", ""
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                before, _, after = line.partition(" - ")
                at = _unescaped(before.split()[4])
                inside = path == at or path.startswith(at.rstrip("/") + "/")
                # Of two mounts at one point the later one is seen.
                if inside and len(at) >= len(point):
                    kind, point = after.split()[0], at
    except FileNotFoundError:
        return "", ""
    return kind, point


def _unescaped(field: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n")):
        field = field.replace(code, char)
    return field.replace("\\134", "\\")


def _lock_folder(wg_dir: str, operation: int) -> int:
    """A descriptor of the folder, locked; -1 if another holds it."""
    fd = os.open(wg_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return -1
    return fd


def _is_same(fd: int, path: str) -> bool:
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), there)


def _flock_pid(path: str) -> int | None:
    """Who holds a flock on a file, by the kernel's list; None if it does not say."""
    inode = os.stat(path).st_ino
    try:
        with open(LOCKS, encoding="ascii") as lines:
            for line in lines:
                # 1: FLOCK  ADVISORY  WRITE 1234 fd:00:4711 0 EOF
                words = line.split()
                if words[1] == "FLOCK" and words[3] == "WRITE":
                    pid, place = words[4], words[5]
                    if place.endswith(f":{inode}") and pid.isdigit():
                        return int(pid)
    except OSError:
        return None
    return None


def check_private(folder: str) -> None:
    """Refuse a folder for the socket that others can enter.

    Raises:
        UserError: It is not ours alone.
    """
    if not wire.is_private(folder, os.geteuid()):
        message = f"{folder} must be a folder of yours that nobody else can enter"
        raise UserError(message, hint=f"chmod 700 {folder}")


def _busy(holder: Holder | None, waited_s: float) -> TryLaterError:
    who = f"another wg (pid {holder.pid})" if holder else "another wg"
    message = f"{who} has been changing the project for {waited_s:g} s"
    return TryLaterError(message, hint="try again")


def _held_by_daemon(daemon: Holder) -> UserError:
    who = f"the daemon (pid {daemon.pid})" if daemon.pid else "a daemon"
    message = f"{who} holds the project and does not answer"
    hint = f"it may hang: `kill {daemon.pid}` ends it, agents go on"
    return UserError(message, hint=hint if daemon.pid else "")
