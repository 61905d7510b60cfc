"""The histories of chats as files: written from the rows after a commit, never read.

`.wg/chat/N/inbox.jsonl` has the messages and `outbox.jsonl` what was answered, a line
of JSON for each, in the order of their numbers. A file only grows. How far it goes is
what its last whole line says, so that no crash doubles or loses one: what was cut short
is taken away, and what is missing comes from the rows. They are on the disk before it
is written, so it is not synced: what a power cut takes of it is there again after the
next start.
"""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import msgspec

from workgraph.daemon.alarm import Clock
from workgraph.graph.changes import Change, ChangeKind
from workgraph.graph.chats import ChatMessage, chat_id, chat_number
from workgraph.graph.errors import WorkgraphError
from workgraph.graph.model import Record
from workgraph.graph.times import SECOND, to_rfc3339
from workgraph.logs import Logger
from workgraph.store import chats
from workgraph.store.database import Store

#: The folder of all histories, in `.wg`.
FOLDER: Final = "chat"
INBOX: Final = "inbox.jsonl"
OUTBOX: Final = "outbox.jsonl"
#: Rows that are written at once.
_BATCH: Final = 1000
_BLOCK: Final = 64 * 1024
#: What could not be written is tried again after this.
_AGAIN_US: Final = 60 * SECOND
_MODE: Final = 0o600

_encode: Final = msgspec.json.Encoder().encode


class _Line(Record, frozen=True, kw_only=True):
    """Something that was said, as it stays: whether it was answered is not of it."""

    id: int
    chat: str
    at: str
    by: str
    kind: str
    text: str
    reply_to: int | None


class _Numbered(msgspec.Struct):
    """What is looked at of a line."""

    id: int


_number_of: Final = msgspec.json.Decoder(_Numbered).decode


class ChatFiles:
    """Keeps the files of all chats as their rows are.

    Args:
        store: The graph.
        clock: When what failed is tried again.
        wg_dir: The project's `.wg`.
        log: The daemon's log.
    """

    def __init__(self, store: Store, clock: Clock, wg_dir: Path, log: Logger) -> None:
        self._store = store
        self._clock = clock
        self._folder = wg_dir / FOLDER
        self._log = log
        self._behind: set[int] = set()
        #: Something was imported, or nothing is known yet: any of them may be behind.
        self._is_any_behind = False
        self._wake = anyio.Event()
        self._one_at_a_time = anyio.Lock()

    def heed(self, changes: Sequence[Change]) -> None:
        """Notes in which chats a commit has said something."""
        for change in changes:
            if change.kind == ChangeKind.GRAPH_IMPORTED:
                self._is_any_behind = True
            elif change.kind == ChangeKind.CHAT_SAID and change.task is not None:
                number = chat_number(change.task)
                if number is not None:
                    self._behind.add(number)
        if self._behind or self._is_any_behind:
            self._wake.set()

    async def run(self) -> None:
        """Completes them all, then writes what is said, until it is cancelled."""
        self._is_any_behind = True
        while True:
            self._wake = anyio.Event()
            again = None if await self.write() else self._clock.now() + _AGAIN_US
            await self._clock.wait(self._wake, again)

    async def write(self) -> bool:
        """Writes what is not in the files yet; false where some could not be."""
        if not (self._behind or self._is_any_behind):
            return True
        async with self._one_at_a_time:
            try:
                if self._is_any_behind:
                    await self._check_all()
                while self._behind:
                    # Before it is written: what comes meanwhile adds it again.
                    chat = self._behind.pop()
                    try:
                        await self._complete(chat, INBOX)
                        await self._complete(chat, OUTBOX)
                    except BaseException:
                        self._behind.add(chat)
                        raise
            except (OSError, WorkgraphError) as error:
                self._log.warning("chat_history_not_written", error=str(error))
                return False
        return True

    async def _check_all(self) -> None:
        """All may be behind, and a file may be of other rows than ours."""
        self._is_any_behind = False
        try:
            found = await self._store.read(chats.list_chats, self._clock.now())
            for chat in found:
                self._behind.add(chat.number)
                for name in (INBOX, OUTBOX):
                    await self._set_aside_if_other(chat.number, name)
        except BaseException:
            self._is_any_behind = True
            raise

    async def _set_aside_if_other(self, chat: int, name: str) -> None:
        """A file that is not how the rows begin makes room for one that is."""
        file = self._file(chat, name)
        there = await anyio.to_thread.run_sync(_look, file)
        if there.lines == 0:
            return
        said = await self._store.read(
            lambda tx: chats.count_said(tx, chat, there.last, inbox=name == INBOX),
            self._clock.now(),
        )
        if said != (there.lines, there.last):
            await anyio.to_thread.run_sync(_set_aside, file)

    async def _complete(self, chat: int, name: str) -> None:
        file = self._file(chat, name)
        last = await anyio.to_thread.run_sync(_cut, file)
        if last < 0:
            await anyio.to_thread.run_sync(_set_aside, file)
        while True:
            said = await self._store.read(
                partial(
                    chats.said_after,
                    chat=chat,
                    after=last,
                    inbox=name == INBOX,
                    limit=_BATCH,
                ),
                self._clock.now(),
            )
            if said:
                await anyio.to_thread.run_sync(_append, file, said)
                last = said[-1].number
            if len(said) < _BATCH:
                return

    def _file(self, chat: int, name: str) -> Path:
        return self._folder / str(chat) / name


class _There(Record, frozen=True, kw_only=True):
    """How far a file goes."""

    lines: int = 0
    #: The number of what its last whole line says; -1 where that is no line of ours.
    last: int = 0


def _look(file: Path) -> _There:
    """Counts the whole lines of a file. It blocks: call it in a thread."""
    lines = 0
    try:
        with file.open("rb") as content:
            while block := content.read(_BLOCK):
                if b"\0" in block:  # in no line of ours: a power cut leaves such holes
                    return _There(lines=1, last=-1)
                lines += block.count(b"\n")
    except FileNotFoundError:
        return _There()
    return _There(lines=lines, last=_cut(file)) if lines else _There()


def _cut(file: Path) -> int:
    """Takes away a last line that was not written to its end.

    It blocks: call it in a thread.

    Returns:
        What the last whole line is about; 0 where there is none, -1 where it is no
        line of ours.
    """
    try:
        with file.open("r+b") as content:
            end = _before(content.fileno(), os.fstat(content.fileno()).st_size)
            content.truncate(end)
            if end == 0:
                return 0
            begin = _before(content.fileno(), end - 1)
            line = os.pread(content.fileno(), end - begin, begin)
    except FileNotFoundError:
        return 0
    try:
        return _number_of(line).id
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return -1


def _set_aside(file: Path) -> None:
    os.replace(file, f"{file}.old")


def _before(fd: int, end: int) -> int:
    """Where the last line ends that ends before a place; 0 where none does."""
    while end > 0:
        begin = max(end - _BLOCK, 0)
        at = os.pread(fd, end - begin, begin).rfind(b"\n")
        if at >= 0:
            return begin + at + 1
        end = begin
    return 0


def _append(file: Path, said: Sequence[ChatMessage]) -> None:
    """Writes lines behind a file, or makes it. It blocks: call it in a thread."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    with os.fdopen(os.open(file, flags, _MODE), "ab") as out:
        out.write(b"".join(_encode(_line(one)) + b"\n" for one in said))


def _line(said: ChatMessage) -> _Line:
    return _Line(
        id=said.number,
        chat=chat_id(said.chat),
        at=to_rfc3339(said.at),
        by=said.by,
        kind=said.kind,
        text=said.text,
        reply_to=said.reply_to,
    )
