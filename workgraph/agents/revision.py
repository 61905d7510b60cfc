"""Which revision of a git work tree an attempt begins with, as far as files tell.

git itself is not asked: a start would cost as much again. What it can't be told from
(a store of references of another kind, no commit yet) is simply not known.
"""

import os
import re
import stat
from typing import Final

from workgraph.graph.model import Record

#: The file in an agent's folder that keeps it.
REVISION: Final = "revision"
_HASH: Final = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_GITDIR: Final = "gitdir: "
_REF: Final = "ref: "
#: A line, and all packed references of a large repository.
_MOST_LINE: Final = 4096
_MOST_PACKED: Final = 8 * 1024 * 1024
#: A pipe in the place of a file would keep the thread for ever.
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class Repository(Record, frozen=True, kw_only=True):
    """Where git keeps what belongs to a work tree."""

    #: The top of the work tree.
    top: str
    #: What is this work tree's own: `HEAD`, the index.
    own: str
    #: What all work trees of the repository share: references, objects.
    shared: str


def find_revision(folder: str) -> str | None:
    """The commit that is checked out in a folder's work tree. It reads a few files.

    Null where there is no work tree, no commit, or nothing that can be read.
    """
    try:
        found = find_repository(folder)
        return None if found is None else _head_of(found)
    except OSError:
        return None


def read_revision(file: str) -> str | None:
    """What was kept in a file; null where that is no revision."""
    try:
        return _as_hash(_line(file))
    except OSError:
        return None


def find_repository(folder: str) -> Repository | None:
    """The repository whose work tree a folder is in.

    Raises:
        OSError: One of its files can't be read.
    """
    folder = os.path.abspath(folder)
    while True:
        found = f"{folder}/.git"
        if os.path.isdir(found):
            return _repository(folder, found)
        if os.path.isfile(found):  # a work tree of its own, or a submodule
            line = _line(found)
            where = line.removeprefix(_GITDIR)
            return None if where == line else _repository(folder, where)
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above


def read_plain(path: str, most: int) -> bytes:
    """The beginning of a plain file; nothing of what is none.

    Raises:
        OSError: It can't be read.
    """
    fd = os.open(path, _FLAGS)
    try:
        data = bytearray()
        if stat.S_ISREG(os.fstat(fd).st_mode):
            while len(data) < most and (more := os.read(fd, most - len(data))):
                data += more
        return bytes(data)
    finally:
        os.close(fd)


def _repository(top: str, where: str) -> Repository:
    own = os.path.join(top, where)
    shared = own
    if os.path.isfile(f"{own}/commondir"):
        shared = os.path.join(own, _line(f"{own}/commondir"))
    return Repository(top=top, own=own, shared=os.path.normpath(shared))


def _head_of(found: Repository) -> str | None:
    head = _line(f"{found.own}/HEAD")
    ref = head.removeprefix(_REF)
    if ref == head:
        return _as_hash(head)
    loose = f"{found.shared}/{ref}"
    if os.path.isfile(loose):
        return _as_hash(_line(loose))
    packed = read_plain(f"{found.shared}/packed-refs", _MOST_PACKED)
    for line in packed.decode("utf-8", "replace").splitlines():
        commit, _, name = line.partition(" ")
        if name == ref:
            return _as_hash(commit)
    return None


def _as_hash(text: str) -> str | None:
    return text if _HASH.fullmatch(text) else None


def _line(path: str) -> str:
    text = read_plain(path, _MOST_LINE).decode("utf-8", "surrogateescape")
    return text.partition("\n")[0].rstrip()
