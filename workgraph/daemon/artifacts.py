"""Files on their way into the graph: read once, hashed, and kept as a copy.

A copy is named by its hash, so it never changes: what a task is given is what was
recorded, whatever becomes of the file. It blocks, all of it: call it in a thread.
"""

import hashlib
import io
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO, Final

from workgraph.daemon.writing import sync_folder
from workgraph.graph.errors import ForbiddenError, UserError, system_refusal
from workgraph.graph.inputs import COPIES, KEPT_BYTES, HashedFile

#: How many files are read at the same time: others need threads, too.
READERS: Final = 2
#: What takes longer to read than this is no artifact. A disk reads 30 GB meanwhile.
READ_S: Final = 300.0
#: A copy that is being made is called so.
TEMPORARY: Final = ".new-"
_CHUNK_BYTES: Final = 1 << 20


def copies_dir(wg_dir: str) -> str:
    """Where copies are kept."""
    return os.path.join(wg_dir, COPIES)


def take_file(named: str, copies: str | None, within: str | None = None) -> HashedFile:
    """Reads a file through, once: what is hashed is what is kept.

    Of a file that grows meanwhile it is what it held at first.

    Args:
        named: Absolute.
        copies: The folder for copies; null: none is made.
        within: The workspace of an agent in a sandbox: what is opened has to be in it,
            by whatever links it was found.

    Raises:
        UserError: It can't be read, is no file, or takes too long; or the copy can't
            be made. Nothing is left of it.
        ForbiddenError: It is outside.
    """
    path = os.path.normpath(named)
    with _opened(path) as file:
        _check_within(file.fileno(), path, within)
        # Some that the kernel makes up say that they are empty.
        most = os.fstat(file.fileno()).st_size or KEPT_BYTES
        if copies is None or most > KEPT_BYTES:
            sha256, size = _hash(file, path, most)
            return HashedFile(path=path, sha256=sha256, size=size)
        try:
            return _keep(file, path, most, copies)
        except OSError as error:
            raise _refusal(error, path, copies) from error


def keep_text(text: str, copies: str) -> HashedFile:
    """Makes a copy of a text that is in no file, as if it was read from one.

    Raises:
        UserError: It can't be made; nothing is left of it.
    """
    data = text.encode()
    try:
        return _keep(io.BytesIO(data), "", len(data), copies)
    except OSError as error:
        raise _refusal(error, "a text", copies) from error


def _opened(path: str) -> BinaryIO:
    try:
        # Non-blocking: a pipe in its place would keep the thread for ever.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise UserError(
            f"{path} is not a plain file", hint="an artifact is a file that exists"
        )
    return open(fd, "rb", buffering=0)


def _keep(file: BinaryIO, path: str, most: int, copies: str) -> HashedFile:
    """Makes the copy under a name of its own; it gets the other when it is whole."""
    with suppress(FileExistsError):
        os.mkdir(copies, 0o700)
    fd, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=copies)
    try:
        with open(fd, "wb", buffering=0) as copy:
            sha256, size = _hash(file, path, most, copy)
            target = os.path.join(copies, sha256)
            if _is_there(target, size):
                return HashedFile(path=path, sha256=sha256, size=size, kept=True)
            os.fchmod(copy.fileno(), 0o400)
            os.fsync(copy.fileno())
        os.rename(temporary, target)
        sync_folder(copies)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
    return HashedFile(path=path, sha256=sha256, size=size, kept=True)


def _is_there(target: str, size: int) -> bool:
    try:
        found = os.lstat(target)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == size


def _hash(
    file: BinaryIO, path: str, most: int, copy: BinaryIO | None = None
) -> tuple[str, int]:
    digest = hashlib.sha256()
    size = 0
    for chunk in _chunks(file, path, most):
        digest.update(chunk)
        size += len(chunk)
        rest = memoryview(chunk)
        while copy is not None and rest:
            rest = rest[copy.write(rest) :]
    return digest.hexdigest(), size


def _chunks(file: BinaryIO, path: str, most: int) -> Iterator[bytes]:
    until = time.monotonic() + READ_S
    left = most
    while left > 0:
        try:
            chunk = file.read(min(left, _CHUNK_BYTES))
        except OSError as error:
            raise _unreadable(path, error) from error
        if not chunk:
            return
        yield chunk
        left -= len(chunk)
        if time.monotonic() > until:
            raise UserError(
                f"{path} takes longer than {READ_S:g} s to read",
                hint="record a smaller file that says where it is",
            )


def _unreadable(path: str, error: OSError | ValueError) -> UserError:
    why = error.strerror if isinstance(error, OSError) else str(error)
    return UserError(
        f"{path} can't be read: {why}", hint="an artifact is a file that exists"
    )


def _refusal(error: OSError, path: str, copies: str) -> UserError:
    what = f"no copy of {path} can be kept in {copies}"
    return system_refusal(error, what) or UserError(
        f"{what}: {error.strerror}", hint="wg doctor"
    )


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
