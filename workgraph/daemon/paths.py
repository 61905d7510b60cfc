"""Looks out for paths that tasks wait for: says when one is there, of whatever kind.

Every folder on the way to such a path is watched, as far as there are any: the rest of
the way may be made later, and any part of it may be moved and made anew. What comes
between a look and a watch is not missed, because the look comes after.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import anyio
import anyio.abc
import anyio.to_thread
from asyncinotify import Inotify, Mask
from msgspec import Struct

from workgraph.graph.errors import may_pass

#: Where the kernel gives no word of it, it is looked for.
_LOOK_AGAIN_S: Final = 1.0
_COMES_OR_GOES: Final = (
    Mask.CREATE
    | Mask.DELETE
    | Mask.MOVED_FROM
    | Mask.MOVED_TO
    | Mask.DELETE_SELF
    | Mask.MOVE_SELF
    | Mask.ONLYDIR
)


class _Look(Struct, frozen=True, kw_only=True):
    """What a look has found, and what tells of the next thing to look at."""

    there: frozenset[str]
    #: Null where the kernel can't tell of all of it.
    inotify: Inotify | None
    #: The names that matter in each watched folder, by the watch's descriptor.
    names: Mapping[int, frozenset[str]]


class PathWatch:
    """Waits for paths to be there, while any are wanted.

    Args:
        found: Told of each wanted path once, when it is there.
    """

    def __init__(self, found: Callable[[str], None]) -> None:
        self._found = found
        #: The paths that are looked out for.
        self.wanted: frozenset[str] = frozenset()
        self._told: frozenset[str] = frozenset()
        self._changed = anyio.Event()
        self._runs = False

    def want(self, paths: frozenset[str], group: anyio.abc.TaskGroup) -> None:
        """Looks out for these paths from now on, and for no others."""
        self.wanted = paths
        self._told &= paths
        self._changed.set()
        if paths and not self._runs:
            self._runs = True
            group.start_soon(self._run)

    async def _run(self) -> None:
        try:
            while self.wanted:
                self._changed = anyio.Event()
                looked = await self._look()
                try:
                    await self._wait(looked)
                finally:
                    if looked.inotify is not None:
                        looked.inotify.close()
        finally:
            self._runs = False

    async def _look(self) -> _Look:
        """A look in a thread; what the machine refuses just now is tried again."""
        try:
            return await anyio.to_thread.run_sync(_look, self.wanted)
        except RuntimeError as error:
            if not may_pass(error):
                raise
            return _Look(there=frozenset(), inotify=None, names={})

    async def _wait(self, looked: _Look) -> None:
        """Tells what was found, and returns when something may have come."""
        for path in sorted((looked.there & self.wanted) - self._told):
            self._told |= {path}
            self._found(path)
        if looked.inotify is None:
            with anyio.move_on_after(_LOOK_AGAIN_S):
                await self._changed.wait()
            return
        loop, fd = asyncio.get_running_loop(), looked.inotify.fd
        loop.add_reader(fd, self._take_events, looked)
        try:
            await self._changed.wait()
        finally:
            loop.remove_reader(fd)

    def _take_events(self, looked: _Look) -> None:
        assert looked.inotify is not None
        with suppress(BlockingIOError):
            while True:
                event = looked.inotify.sync_get()
                watch = event.watch if event is not None else None
                name = os.fspath(event.name) if event and event.name else None
                names = looked.names.get(watch.wd, frozenset()) if watch else ()
                # Without a name it is the folder itself that has gone.
                if watch is None or name is None or name in names:
                    self._changed.set()


def _look(wanted: frozenset[str]) -> _Look:
    """Watches the ways to these paths, then looks which are there. It blocks."""
    names: dict[str, set[str]] = {}
    for path in wanted:
        here = path
        while (folder := os.path.dirname(here)) != here:
            names.setdefault(folder, set()).add(os.path.basename(here))
            here = folder
    inotify: Inotify | None = None
    by_watch: dict[int, frozenset[str]] = {}
    try:
        inotify = Inotify()
        # asyncinotify 4.4's own flag for that is the one of CLOEXEC
        os.set_blocking(inotify.fd, False)
        for folder, inside in names.items():
            with suppress(FileNotFoundError, NotADirectoryError):
                watch = inotify.add_watch(folder, _COMES_OR_GOES)
                by_watch[watch.wd] = by_watch.get(watch.wd, frozenset()) | inside
    except OSError:
        if inotify is not None:
            inotify.close()
        inotify = None
    there = frozenset(path for path in wanted if os.path.lexists(path))
    return _Look(there=there, inotify=inotify, names=by_watch)
