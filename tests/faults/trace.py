"""What a program did to its files, in order, from `strace`.

Every write, sync and change of a folder of a project, and every byte that went to a
client, each with the place of its beginning and its end among all of them. Children are
let go when they run another program: what agents write is not the daemon's word.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_CALLS = (
    *("open", "openat", "creat", "write", "writev", "pwrite64", "pwritev", "pwritev2"),
    *("fsync", "fdatasync", "sync_file_range", "ftruncate", "truncate", "fallocate"),
    *("rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "mkdir"),
    *("mkdirat", "symlink", "symlinkat", "link", "linkat", "mmap", "sendto", "sendmsg"),
    *("copy_file_range", "sendfile", "io_uring_setup"),
)
_LONGEST = 1 << 24
_LINE = re.compile(r"(\d+) +(.*)")
_UNFINISHED = " <unfinished ...>"
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)")
_CALL = re.compile(r"(\w+)\((.*)\) += +(-?\d+|0x[0-9a-f]+|\?)(.*)", re.DOTALL)
_HEX = re.compile(r"\\x([0-9a-f]{2})")
#: A file that was deleted while it is open is no file of the folder any more.
_FD = re.compile(r"(\d+|AT_FDCWD)<((?:->|[^>])*)>(\(deleted\))?")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


@dataclass(frozen=True)
class Event:
    """One call that succeeded."""

    call: str
    #: Its descriptors, as (number, path), and its strings, in order.
    fds: tuple[tuple[int, str], ...]
    strings: tuple[bytes, ...]
    #: Its numbers, flags and results as `strace` shows them.
    arguments: str
    result: int
    #: What a result that is a descriptor stands for.
    opened: str
    began: int
    ended: int


@dataclass
class Trace:
    """All calls of one run; a moment is the number of a line."""

    events: list[Event] = field(default_factory=list)
    moments: int = 0


def command(output: Path, argv: Sequence[str]) -> list[str]:
    """The command line that runs a program and traces it into a file."""
    return [
        *("strace", "-f", "-b", "execve", "-qq", "-yy", "-xx", "-s", str(_LONGEST)),
        *("-e", f"trace={','.join(_CALLS)}", "-e", "signal=none", "-o", str(output)),
        *argv,
    ]


def parse(output: Path) -> Trace:
    """Reads a trace whole."""
    trace = Trace()
    begun: dict[str, tuple[int, str]] = {}
    with output.open(encoding="ascii", errors="replace") as lines:
        for number, line in enumerate(lines):
            trace.moments = number + 1
            match = _LINE.match(line.rstrip("\n"))
            assert match, line[:200]
            thread, text = match.groups()
            began = number
            if text.endswith(_UNFINISHED):
                begun[thread] = (number, text.removesuffix(_UNFINISHED))
                continue
            if resumed := _RESUMED.match(text):
                if thread not in begun:
                    continue
                began, start = begun.pop(thread)
                text = start + resumed[1]
            event = _event(text, began, number)
            if event is not None:
                trace.events.append(event)
    # what had begun when the program was killed may have happened
    for began, start in begun.values():
        event = _event(f"{start}) = 0", began, trace.moments)
        if event is not None:
            trace.events.append(event)
    trace.events.sort(key=lambda event: event.began)
    return trace


def _event(text: str, began: int, ended: int) -> Event | None:
    match = _CALL.match(text)
    if match is None or match[3].startswith("-") or match[3] == "?":
        return None  # an exit, a signal, a call that failed
    bare = _FD.sub(r"\1", match[2])  # the address of a socket is no argument
    opened = _FD.match(match[3] + match[4])
    fds = tuple(
        (-1 if number == "AT_FDCWD" else int(number), "" if gone else _plain(path))
        for number, path, gone in _FD.findall(match[2])
    )
    return Event(
        call=match[1],
        fds=fds,
        strings=tuple(_strings(bare)),
        arguments=_STRING.sub('""', bare),
        result=int(match[3], 0),
        opened=_plain(opened[2]) if opened else "",
        began=began,
        ended=ended,
    )


def _strings(text: str) -> Iterator[bytes]:
    for body, cut in _STRING.findall(text):
        assert not cut, "a string was cut short"
        yield bytes.fromhex(body.replace("\\x", ""))


def _plain(path: str) -> str:
    if path.startswith(("UNIX", "socket", "pipe", "anon_inode")):
        return path
    return bytes(_HEX.sub(lambda m: chr(int(m[1], 16)), path), "latin-1").decode()
