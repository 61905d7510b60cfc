"""A disk, as far as a power cut is concerned: what is durable, and what may be lost.

POSIX at its word, harsher than any file system in use: what was written to a file since
its last sync may be there, be lost, or be torn at sectors, each write by itself; what
was made, renamed or removed in a folder since the folder's last sync likewise, a file's
own sync notwithstanding.
"""

import os
import re
import sys
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.faults.trace import Event, Trace

SECTOR = 512
_NEVER = sys.maxsize
#: How what is not durable fares in a cut.
FATES = ("lost", "kept", "prefix", "random", "torn")


@dataclass
class Op:
    """One change of a file or a folder."""

    began: int
    ended: int
    offset: int = 0
    data: bytes | None = None
    #: Without data, of a file: its new size.
    size: int = 0
    #: Of a folder: a name, and what it stands for from now on; null removes it.
    name: str = ""
    node: "Node | None" = None
    #: The end of the sync that makes it durable.
    durable_from: int = 0


@dataclass
class Node:
    """A file, a folder or a link, whatever it is called."""

    kind: str
    ops: list[Op] = field(default_factory=list)
    syncs: list[tuple[int, int]] = field(default_factory=list)
    content: bytes = b""
    entries: "dict[str, Node]" = field(default_factory=dict)
    #: As the running system sees it now.
    now: "dict[str, Node]" = field(default_factory=dict)
    size: int = 0
    target: str = ""

    def note_durable(self) -> None:
        """Finds for each change the end of the first sync that began after it."""
        syncs = sorted(self.syncs)
        for index in range(len(syncs) - 2, -1, -1):
            began, ended = syncs[index]
            syncs[index] = (began, min(ended, syncs[index + 1][1]))
        for op in self.ops:
            place = bisect_left(syncs, (op.ended, 0))
            op.durable_from = syncs[place][1] if place < len(syncs) else _NEVER


class Disk:
    """A folder, what was done to it, and what a cut at any moment leaves of it.

    Args:
        root: The folder; what is in it now is taken for durable.
        sync: False forgets every sync: for testing the test.
    """

    def __init__(self, root: Path, *, sync: bool = True) -> None:
        self.path = os.path.realpath(root)
        self.root = _snapshot(Path(self.path))
        self._sync = sync
        self._nodes = list(_all_nodes(self.root))
        self._offsets: dict[int, int] = {}
        self._appending: set[int] = set()

    def record(self, trace: Trace) -> None:
        """Takes in what a program did."""
        for event in trace.events:
            self._take(event)
        for node in self._nodes:
            node.note_durable()

    def build(self, cut: int, fate: str, random: Random, folder: Path) -> None:
        """Makes the folder that a power cut before a moment leaves."""
        _Builder(cut, fate, random).folder(self.root, folder)

    def _take(self, event: Event) -> None:
        taken = {
            "open": self._open,
            "openat": self._open,
            "creat": self._open,
            "write": self._write,
            "pwrite64": self._write,
            "fsync": self._note_sync,
            "fdatasync": self._note_sync,
            "ftruncate": self._shorten,
            "rename": self._rename,
            "renameat": self._rename,
            "renameat2": self._rename,
            "unlink": self._remove,
            "unlinkat": self._remove,
            "rmdir": self._remove,
            "mkdir": self._make_folder,
            "mkdirat": self._make_folder,
            "symlink": self._make_link,
            "symlinkat": self._make_link,
            "mmap": self._check_map,
        }.get(event.call)
        if taken is not None:
            taken(event)
            return
        touched = [path for _, path in event.fds if self._find(path)]
        assert not touched, f"a call that the disk does not know: {event.call}"

    def _note_sync(self, event: Event) -> None:
        node = self._find(event.fds[0][1])
        if node is not None and self._sync:
            node.syncs.append((event.began, event.ended))

    def _shorten(self, event: Event) -> None:
        node = self._find(event.fds[0][1])
        if node is not None:
            self._truncate(node, event, _last_number(event))

    def _remove(self, event: Event) -> None:
        self._enter(event, self._path_of(event, 0), None)

    def _make_folder(self, event: Event) -> None:
        self._enter(event, self._path_of(event, 0), Node("folder"))

    def _make_link(self, event: Event) -> None:
        target = os.fsdecode(event.strings[0])
        self._enter(event, self._path_of(event, 1), Node("link", target=target))

    def _check_map(self, event: Event) -> None:
        """A file changed by memory would be changed without a word here."""
        shared = "MAP_SHARED" in event.arguments and "PROT_WRITE" in event.arguments
        for _, path in event.fds:
            # SQLite makes its shared memory anew after a cut: its content means nothing
            assert not (shared and self._find(path)) or path.endswith("-shm"), path

    def _open(self, event: Event) -> None:
        fd, path = event.result, event.opened
        node = self._find(path)
        if "O_CREAT" in event.arguments and self._inside(path) and node is None:
            node = Node("file")
            self._enter(event, path, node)
        self._offsets[fd] = 0
        self._appending.discard(fd)
        if "O_APPEND" in event.arguments:
            self._appending.add(fd)
        if node is not None and "O_TRUNC" in event.arguments and node.size:
            self._truncate(node, event, 0)

    def _write(self, event: Event) -> None:
        fd, path = event.fds[0]
        node = self._find(path)
        if node is None:
            return
        data = event.strings[0][: event.result]
        if event.call == "pwrite64":
            offset = _last_number(event)
        else:
            offset = node.size if fd in self._appending else self._offsets[fd]
            self._offsets[fd] = offset + len(data)
        op = Op(event.began, event.ended, offset=offset, data=data)
        node.ops.append(op)
        node.size = max(node.size, offset + len(data))

    def _truncate(self, node: Node, event: Event, size: int) -> None:
        node.ops.append(Op(event.began, event.ended, size=size))
        node.size = size

    def _rename(self, event: Event) -> None:
        old, new = self._path_of(event, 0), self._path_of(event, 1)
        node = self._find(old)
        if node is not None:
            self._enter(event, new, node)
            self._enter(event, old, None)

    def _enter(self, event: Event, path: str, node: Node | None) -> None:
        parent = self._find(os.path.dirname(path))
        if parent is None:
            return
        name = os.path.basename(path)
        parent.ops.append(Op(event.began, event.ended, name=name, node=node))
        if node is not None:
            self._nodes.append(node)
        if node is None:
            parent.now.pop(name, None)
        else:
            parent.now[name] = node

    def _path_of(self, event: Event, index: int) -> str:
        path = os.fsdecode(event.strings[index])
        if os.path.isabs(path):
            return path
        return os.path.join(event.fds[min(index, len(event.fds) - 1)][1], path)

    def _inside(self, path: str) -> bool:
        return path.startswith(f"{self.path}/")

    def _find(self, path: str) -> Node | None:
        if path == self.path:
            return self.root
        if not self._inside(path):
            return None
        node: Node | None = self.root
        for part in path.removeprefix(f"{self.path}/").split("/"):
            node = node.now.get(part) if node is not None else None
        return node


class _Builder:
    def __init__(self, cut: int, fate: str, random: Random) -> None:
        self._cut = cut
        self._fate = fate
        self._random = random

    def folder(self, node: Node, path: Path) -> None:
        path.mkdir(mode=0o700)
        entries = dict(node.entries)
        for op, _ in self._surviving(node):
            if op.node is None:
                entries.pop(op.name, None)
            else:
                # of a rename within a folder only both halves can survive
                entries[op.name] = op.node
        for name, child in sorted(entries.items()):
            place = path / name
            if child.kind == "folder":
                self.folder(child, place)
            elif child.kind == "link":
                place.symlink_to(child.target)
            else:
                place.write_bytes(self._content(child))
                place.chmod(0o600)

    def _content(self, node: Node) -> bytes:
        content = bytearray(node.content)
        for op, durable in self._surviving(node):
            if op.data is None:
                _resize(content, op.size)
                continue
            end = op.offset + len(op.data)
            _resize(content, max(len(content), end))
            if durable or self._fate != "torn":
                content[op.offset : end] = op.data
                continue
            for start, end in _sectors(op.offset, len(op.data)):
                if self._random.random() < 0.5:
                    part = op.data[start - op.offset : end - op.offset]
                    content[start:end] = part
        return bytes(content)

    def _surviving(self, node: Node) -> Iterator[tuple[Op, bool]]:
        """What of a node's changes is there after the cut, in order."""
        pending = [
            op
            for op in node.ops
            if op.began < self._cut and op.durable_from >= self._cut
        ]
        kept = {id(op) for op in self._choose(pending)}
        for op in node.ops:
            if op.began >= self._cut:
                return
            durable = op.durable_from < self._cut
            if durable or id(op) in kept:
                yield op, durable

    def _choose(self, pending: list[Op]) -> list[Op]:
        """A rename is one step: its two halves share their fate."""
        moments = sorted({op.began for op in pending})
        match self._fate:
            case "lost":
                chosen = set[int]()
            case "kept":
                chosen = set(moments)
            case "prefix":
                chosen = set(moments[: self._random.randint(0, len(moments))])
            case _:
                chosen = {m for m in moments if self._random.random() < 0.5}
        return [op for op in pending if op.began in chosen]


def _snapshot(path: Path) -> Node:
    if path.is_symlink():
        return Node("link", target=os.readlink(path))
    if path.is_dir():
        entries = {
            child.name: _snapshot(child)
            for child in path.iterdir()
            if not child.is_socket()
        }
        return Node("folder", entries=entries, now=dict(entries))
    content = path.read_bytes()
    return Node("file", content=content, size=len(content))


def _all_nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.entries.values():
        yield from _all_nodes(child)


def _last_number(event: Event) -> int:
    found = re.search(r"(\d+)$", event.arguments)
    assert found, event
    return int(found[1])


def _resize(content: bytearray, size: int) -> None:
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))


def _sectors(offset: int, length: int) -> Iterator[tuple[int, int]]:
    end = offset + length
    while offset < end:
        following = min(end, (offset // SECTOR + 1) * SECTOR)
        yield offset, following
        offset = following
