"""What an agent has written: how much and when, what is new, and when there is more.

Its files are its own: it may remove them, or put something else in their place. What
is no plain file any more has nothing to say.
"""

import asyncio
import os
import stat
from contextlib import ExitStack, suppress
from typing import Final

import anyio
from asyncinotify import Inotify, Mask, Watch
from msgspec import Struct

#: Standard output, and standard error where the stream on it is structured.
LOGS: Final = ("output.log", "stderr.log")
#: How much of each log is known, in bytes.
Offsets = tuple[int, int]

#: Where the kernel gives no word of it, it is looked for.
_LOOK_AGAIN_S: Final = 1.0
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Output(Struct, frozen=True, kw_only=True):
    """What an agent has written, without the text."""

    size: int
    #: When it wrote last, in microseconds of wall time.
    written_at: int


class Written(Struct, frozen=True):
    """A piece of what an agent has written, from an offset on."""

    out: bytes = b""
    err: bytes = b""


def measure_output(folder: str) -> Output:
    """Looks at the logs of a folder: two stats."""
    size = written_at = 0
    for name in LOGS:
        try:
            found = os.stat(f"{folder}/{name}")
        except OSError:
            continue
        size += found.st_size
        written_at = max(written_at, found.st_mtime_ns // 1_000_000 * 1000)
    return Output(size=size, written_at=written_at)


def read_on(folder: str, offsets: Offsets, most: int) -> Written:
    """What both logs have from their offsets on, at most so many bytes of each."""
    out, err = (
        read_from(f"{folder}/{name}", offset, most)
        for name, offset in zip(LOGS, offsets, strict=True)
    )
    return Written(out, err)


class OutputWatch:
    """Says when agents have written more; one descriptor for all of them.

    The kernel tells of the next write only, so that a flood of them costs as little.
    """

    def __init__(self) -> None:
        self._inotify: Inotify | None = None
        #: Who waits for which watch, by its descriptor.
        self._waiting: dict[int, set[anyio.Event]] = {}

    async def wait(self, folder: str, known: Offsets) -> None:
        """Returns when one of the logs is longer than is known; at once if it is."""
        changed = anyio.Event()
        with ExitStack() as stack:
            told = self._listen(folder, changed, stack)
            # A write between the last look and the watch is seen here.
            while not (changed.is_set() or _is_longer(folder, known)):
                with anyio.move_on_after(None if told else _LOOK_AGAIN_S):
                    await changed.wait()

    def close(self) -> None:
        """Listens no more."""
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fd)
            self._inotify.close()
            self._inotify = None

    def _listen(self, folder: str, changed: anyio.Event, stack: ExitStack) -> bool:
        """Has an event set at the next write; false where the kernel says nothing."""
        try:
            if self._inotify is None:
                self._inotify = Inotify()
                fd = self._inotify.fd
                # asyncinotify 4.4's own flag for that is the one of CLOEXEC
                os.set_blocking(fd, False)
                asyncio.get_running_loop().add_reader(fd, self._take_events)
            for name in LOGS:
                path = f"{folder}/{name}"
                with suppress(FileNotFoundError):
                    watch = self._inotify.add_watch(path, Mask.MODIFY | Mask.ONESHOT)
                    self._waiting.setdefault(watch.wd, set()).add(changed)
                    stack.callback(self._forget, watch, changed)
        except OSError:
            return False
        return True

    def _take_events(self) -> None:
        assert self._inotify is not None
        with suppress(BlockingIOError):
            while True:
                event = self._inotify.sync_get()
                if event is not None and event.watch is not None:
                    for changed in self._waiting.pop(event.watch.wd, ()):
                        changed.set()

    def _forget(self, watch: Watch, changed: anyio.Event) -> None:
        waiting = self._waiting.get(watch.wd)
        if waiting is None:
            return
        waiting.discard(changed)
        if not waiting:
            del self._waiting[watch.wd]
            if self._inotify is not None:
                with suppress(OSError):  # the file is gone, and the watch with it
                    self._inotify.rm_watch(watch)


def _is_longer(folder: str, known: Offsets) -> bool:
    for name, size in zip(LOGS, known, strict=True):
        with suppress(OSError):
            if os.stat(f"{folder}/{name}", follow_symlinks=False).st_size > size:
                return True
    return False


def read_from(path: str, offset: int, most: int) -> bytes:
    """What a plain file has from an offset on; nothing of what is none.

    Args:
        path: The file.
        offset: Where to begin; below 0 it counts from the end.
        most: No more than so many bytes.
    """
    try:
        fd = os.open(path, _FLAGS)
    except OSError:
        return b""
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return b""
        start = offset if offset >= 0 else max(found.st_size + offset, 0)
        return os.pread(fd, most, start)
    finally:
        os.close(fd)
