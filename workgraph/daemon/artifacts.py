"""Looking at a file that is to be recorded: its size and hash, as it is now."""

import hashlib
import os
import stat

from workgraph.commands.records import HashedFile
from workgraph.graph.errors import ForbiddenError, UserError

_CHUNK_BYTES = 1 << 20


def hash_file(named: str, within: str | None = None) -> HashedFile:
    """Reads a file through. It blocks: call it in a thread.

    Args:
        named: Absolute.
        within: The workspace of an agent in a sandbox: what is opened has to be in it,
            by whatever links it was found.

    Raises:
        UserError: It can't be read, or is no file.
        ForbiddenError: It is outside.
    """
    path = os.path.normpath(named)
    digest = hashlib.sha256()
    size = 0
    try:
        # Non-blocking: a pipe in its place would keep the thread for ever.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise UserError(
                    f"{path} is not a plain file",
                    hint="an artifact is a file that exists",
                )
            _check_within(fd, path, within)
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise UserError(
            f"{path} can't be read: {error.strerror}",
            hint="an artifact is a file that exists",
        ) from error
    return HashedFile(path=path, sha256=digest.hexdigest(), size=size)


def _check_within(fd: int, path: str, within: str | None) -> None:
    """By what has been opened: a path may lead elsewhere a moment later."""
    if within is None:
        return
    real = os.readlink(f"/proc/self/fd/{fd}")
    folder = os.path.realpath(within)
    if os.path.commonpath((real, folder)) != folder:
        raise ForbiddenError(
            f"{path} is outside the workspace of an agent in a sandbox",
            hint="record what is in the workspace",
        )
