"""The socket that `wgd` listens at: its own, or one that a service manager made.

A socket of systemd's (sd_listen_fds(3)) was there before the daemon and is there after
it: connecting starts the daemon. It is taken as it is and never unlinked.
"""

import os
import socket
from collections.abc import Mapping
from typing import Final

from workgraph import wire
from workgraph.daemon import lock
from workgraph.graph.errors import UserError
from workgraph.graph.model import Record

UNIX_SOCKETS: Final = "/proc/net/unix"
#: The kernel's flag of a socket that listens (__SO_ACCEPTCON).
_ACCEPTS: Final = 0x10000
_FIELDS: Final = 8
_REMEDY: Final = "`wg service install` writes the units anew"


class Place(Record, frozen=True, kw_only=True):
    """Where the daemon listens, and whose socket that is."""

    path: str
    #: What a service manager made; null where we make our own.
    made: socket.socket | None = None

    def open(self) -> socket.socket:
        """The listening socket. The caller holds the project's lock."""
        return self.made or lock.bind_socket(self.path)

    def close(self) -> None:
        """Removes the path if the socket was our own. The lock is still held."""
        if self.made is None:
            lock.unlink_socket(self.path)


def find_place(wg_dir: str, env: Mapping[str, str], handed_over: int | None) -> Place:
    """Where the daemon is to listen. The caller holds the project's lock.

    Args:
        wg_dir: As `lock.find_wg_dir` returns it.
        env: Of this process, for `XDG_RUNTIME_DIR`.
        handed_over: The descriptor of a socket that listens already.

    Raises:
        UserError: It is not usable, or somebody else listens where we would.
    """
    if handed_over is not None:
        made = adopt_socket(handed_over, wg_dir, env)
        return Place(path=made.getsockname(), made=made)
    path = lock.socket_path(wg_dir, env)
    if is_listened_at(path):
        # Not a daemon, which would hold the lock: to bind there would leave systemd
        # listening at a socket that has no name any more.
        raise UserError(
            f"systemd listens at {path} and starts the daemon there itself",
            hint="`wg service start` has it do so; `wg service stop` ends that",
        )
    return Place(path=path)


def adopt_socket(fd: int, wg_dir: str, env: Mapping[str, str]) -> socket.socket:
    """The listening socket that a service manager handed over as a descriptor.

    Raises:
        UserError: It is something else, is not where clients look, or its folder is
            not ours alone.
    """
    try:
        found = socket.socket(fileno=fd)
    except OSError as error:
        message = f"descriptor {fd}, handed over as a socket, is none"
        raise UserError(message, hint=_REMEDY) from error
    try:
        _check_listener(found, wg_dir, env)
    except UserError:
        found.close()
        raise
    found.set_inheritable(False)
    found.settimeout(0)
    return found


def _check_listener(found: socket.socket, wg_dir: str, env: Mapping[str, str]) -> None:
    kind = (found.family, found.type)
    if kind != (socket.AF_UNIX, socket.SOCK_STREAM) or not found.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    ):
        message = f"descriptor {found.fileno()} is no listening stream socket"
        raise UserError(message, hint=_REMEDY)
    path = found.getsockname()
    looked_at = wire.socket_candidates(wg_dir, os.geteuid(), env.get("XDG_RUNTIME_DIR"))
    if path not in looked_at:
        message = f"the socket handed over is {path!r}; wg looks for {looked_at[0]!r}"
        raise UserError(message, hint=_REMEDY)
    lock.check_private(os.path.dirname(path))


def is_listened_at(path: str, sockets: str = UNIX_SOCKETS) -> bool:
    """Whether somebody listens at a path, found out without connecting.

    Connecting to a socket of systemd's would start the daemon.
    """
    try:
        with open(sockets, encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                # Num RefCount Protocol Flags Type St Inode Path
                words = line.rstrip("\n").split(None, _FIELDS - 1)
                if words[-1] == path and int(words[3], 16) & _ACCEPTS:
                    return True
    except FileNotFoundError:
        return False
    return False
