"""Reading files for prompts: plain ones, a bounded part of each, in a bounded time.

What was recorded without a copy is compared with its hash, however large it is, after
all that is shown was read.
"""

import hashlib
import os
import stat
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import BinaryIO, Final

import anyio
import anyio.to_thread
from msgspec.structs import replace

from workgraph.daemon.changes import read_changes
from workgraph.graph.context_view import Files, FileText, FileWish
from workgraph.graph.model import Record

CHANGED: Final = "the file has changed since it was recorded"
_CHUNK: Final = 1024 * 1024
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
#: How much longer is waited for a thread than it may take.
_PATIENCE_S: Final = 1.0


class Limits(Record, frozen=True, kw_only=True):
    """How much is read, and for how long."""

    #: How much is kept of one file, and of all.
    text: int = 256 * 1024
    texts: int = 4 * 1024 * 1024
    #: What is larger is not read through for its hash alone.
    hashed: int = 10 * 1024 * 1024
    read_s: float = 5.0
    #: For all that is compared with what was recorded.
    compare_s: float = 30.0
    #: For what git has to tell, of each work tree.
    changes_s: float = 5.0


_LIMITS: Final = Limits()
_NO_ENV: Final[Mapping[str, str]] = MappingProxyType({})
_Found = dict[FileWish, FileText]


async def read_files(
    wishes: Sequence[FileWish],
    limits: Limits = _LIMITS,
    *,
    env: Mapping[str, str] = _NO_ENV,
) -> Files:
    """What is in these files; each has an answer, if only that it can't be read.

    A file system that does not answer keeps its thread, and nobody else.

    Args:
        wishes: What is wanted.
        limits: How much is read, and for how long.
        env: The host's environment, for git.
    """
    read: _Found = {}
    plain = tuple(wish for wish in wishes if wish.since is None)
    with anyio.move_on_after(limits.read_s):
        await anyio.to_thread.run_sync(
            _read_all, plain, read, limits, abandon_on_cancel=True
        )
    late = FileText(problem=f"it could not be read in {limits.read_s:g} s")
    there = dict(read)
    found = {wish: there.get(wish, late) for wish in wishes}
    for wish in wishes:
        if wish.since is not None:
            found[wish] = await _ask_git(wish, env, limits)
    left = [wish for wish in there if _is_to_be_compared(wish, there[wish])]
    if left:
        found.update(await _compare(left, found, limits.compare_s))
    return found


async def _ask_git(wish: FileWish, env: Mapping[str, str], limits: Limits) -> FileText:
    most = limits.text if wish.most is None else wish.most
    with anyio.move_on_after(limits.changes_s + _PATIENCE_S):
        return await anyio.to_thread.run_sync(
            read_changes, wish, most, env, limits.changes_s, abandon_on_cancel=True
        )
    return FileText(problem="git took too long to tell what has changed")


def _read_all(wishes: Sequence[FileWish], found: _Found, limits: Limits) -> None:
    left = limits.texts
    for wish in wishes:
        if left <= 0:
            found[wish] = FileText(problem="it was not read: the others are too long")
            continue
        try:
            most = limits.text if wish.most is None else wish.most
            text = _read(wish, min(left, limits.text, most), limits.hashed)
        except OSError as error:
            text = FileText(problem=error.strerror or str(error))
        found[wish] = text
        left -= len(text.text)


def _read(wish: FileWish, most: int, hashed: int) -> FileText:
    with _opened(wish) as file:
        problem = _problem(wish, file)
        if problem is not None:
            return FileText(problem=problem)
        size = os.fstat(file.fileno()).st_size
        offset = max(0, size - most) if wish.tail else 0
        data = os.pread(file.fileno(), most, offset)
        digest = None
        if not wish.tail and size <= hashed:
            digest = _hash(file, None)
    stale = None
    if wish.sha256 is not None and (
        (wish.size is not None and wish.size != size)
        or (digest is not None and digest != wish.sha256)
    ):
        stale = CHANGED
    if b"\0" in data and not wish.tail:
        return FileText(size=size, sha256=digest, problem="it is not text", stale=stale)
    return FileText(
        text=data.decode("utf-8", "replace"),
        size=size,
        is_part=len(data) < size,
        sha256=digest,
        stale=stale,
    )


def _opened(wish: FileWish) -> BinaryIO:
    # Non-blocking: a pipe in its place would keep the thread for ever.
    return open(os.open(wish.path, _FLAGS), "rb", buffering=0)


def _problem(wish: FileWish, file: BinaryIO) -> str | None:
    """Why nothing of what has been opened may be read."""
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return "it is not a plain file"
    if wish.within is not None:
        # By what has been opened: a path may lead elsewhere a moment later.
        real = os.readlink(f"/proc/self/fd/{file.fileno()}")
        folder = os.path.realpath(wish.within)
        if os.path.commonpath((real, folder)) != folder:
            return f"it leads out of {wish.within}"
    return None


def _is_to_be_compared(wish: FileWish, text: FileText) -> bool:
    """Whether it is open if a file is what was recorded."""
    return wish.sha256 is not None and text.sha256 is None and text.stale is None


async def _compare(wishes: Sequence[FileWish], found: _Found, limit_s: float) -> _Found:
    """Reads files through that are too large to be read for their hash alone."""
    stale: dict[FileWish, str | None] = {}
    with anyio.move_on_after(limit_s + _PATIENCE_S):
        await anyio.to_thread.run_sync(
            _compare_all, wishes, stale, limit_s, abandon_on_cancel=True
        )
    there = dict(stale)
    late = (
        "it is not known whether the file has changed since it was recorded: it can't"
        f" be read through in {limit_s:g} s"
    )
    return {wish: replace(found[wish], stale=there.get(wish, late)) for wish in wishes}


def _compare_all(
    wishes: Sequence[FileWish], stale: dict[FileWish, str | None], limit_s: float
) -> None:
    until = time.monotonic() + limit_s
    for wish in wishes:
        try:
            with _opened(wish) as file:
                if _problem(wish, file) is not None:
                    stale[wish] = None
                    continue
                digest = _hash(file, until)
        except OSError:
            # What is shown of it says why.
            stale[wish] = None
            continue
        if digest is None:
            return
        stale[wish] = None if digest == wish.sha256 else CHANGED


def _hash(file: BinaryIO, until: float | None) -> str | None:
    """The hash of a whole file; null where there is no time for it."""
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        if until is not None and time.monotonic() > until:
            return None
    return digest.hexdigest()
