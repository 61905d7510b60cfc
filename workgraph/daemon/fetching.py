"""Reading files for prompts: plain ones, a bounded part of each, in a bounded time."""

import hashlib
import os
import stat
from collections.abc import Sequence
from typing import Final

import anyio
import anyio.to_thread

from workgraph.graph.context_view import Files, FileText, FileWish

#: How much is kept of one file, and of all.
_MOST_TEXT: Final = 256 * 1024
_MOST_TEXTS: Final = 4 * 1024 * 1024
#: What is larger is not read through for its hash.
_MOST_HASHED: Final = 10 * 1024 * 1024
_CHUNK: Final = 1024 * 1024
_LIMIT_S: Final = 5.0
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


async def read_files(wishes: Sequence[FileWish], limit_s: float = _LIMIT_S) -> Files:
    """What is in these files; each has an answer, if only that it can't be read.

    A file system that does not answer keeps its thread, and nobody else.
    """
    found: dict[FileWish, FileText] = {}
    with anyio.move_on_after(limit_s):
        await anyio.to_thread.run_sync(
            _read_all, tuple(wishes), found, abandon_on_cancel=True
        )
    late = FileText(problem=f"it could not be read in {limit_s:g} s")
    there = dict(found)
    return {wish: there.get(wish, late) for wish in wishes}


def _read_all(wishes: Sequence[FileWish], found: dict[FileWish, FileText]) -> None:
    left = _MOST_TEXTS
    for wish in wishes:
        if left <= 0:
            found[wish] = FileText(problem="it was not read: the others are too long")
            continue
        try:
            text = _read(wish, min(left, _MOST_TEXT))
        except OSError as error:
            text = FileText(problem=error.strerror or str(error))
        found[wish] = text
        left -= len(text.text)


def _read(wish: FileWish, most: int) -> FileText:
    # Non-blocking: a pipe in its place would keep the thread for ever.
    with open(os.open(wish.path, _FLAGS), "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return FileText(problem="it is not a plain file")
        if wish.within is not None:
            # By what has been opened: a path may lead elsewhere a moment later.
            real = os.readlink(f"/proc/self/fd/{file.fileno()}")
            folder = os.path.realpath(wish.within)
            if os.path.commonpath((real, folder)) != folder:
                return FileText(problem=f"it leads out of {wish.within}")
        size = status.st_size
        offset = max(0, size - most) if wish.tail else 0
        data = os.pread(file.fileno(), most, offset)
        digest = None
        if not wish.tail and size <= _MOST_HASHED:
            hashed = hashlib.sha256()
            while chunk := file.read(_CHUNK):
                hashed.update(chunk)
            digest = hashed.hexdigest()
    if b"\0" in data and not wish.tail:
        return FileText(size=size, sha256=digest, problem="it is not text")
    return FileText(
        text=data.decode("utf-8", "replace"),
        size=size,
        is_part=len(data) < size,
        sha256=digest,
    )
