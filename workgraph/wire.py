r"""What both ends of the project's socket share: frames, paths, the form of errors.

A connection speaks one of two protocols, told apart by how it begins. JSON lines are
described in `daemon/server.py`. The other is spoken by `wg` and is described here.

The client begins with one call, `wg1 <length>\n` and so many bytes: strings, each
ended by a NUL, since no argument, path or variable can hold one:

    version, cwd, umask (octal), terminals ("101": stdin, stdout, stderr), columns
    (0: unknown), pid, the number of variables, each variable as K=V, each argument

All that follows, both ways, are frames: one byte that says the kind, the length in
decimal, a newline, the body. The daemon's first frame is an empty `ACK`, sent before
anything is done: a client that saw none may safely do the work itself.

    daemon -> wg                            wg -> daemon
    ACK           the call was taken
    OUT, ERR      bytes for stdout, stderr
    EXIT          the status, in decimal
    ASK_STDIN     the most bytes wanted     DATA*, then END or FAILED
                  (0: all there are)
    READ_FILE     a path                    DATA*, then END or FAILED
    WRITE_FILE    a path                    DONE or FAILED
    WRITE_CHUNK   bytes for it
    WRITE_END     put it in place           DONE or FAILED
    WRITE_ABANDON forget it

One file or stdin is read at a time. The body of FAILED is what the system said.

Only what starts fast is imported: each start of `wg` pays for it (STYLE, wg).
"""

import os
import stat

MAGIC = b"wg1"
#: More than the system lets a program be started with, arguments and environment.
MAX_CALL_BYTES = 4 * 1024 * 1024
#: `wg1 `, seven digits and a newline; longer than that is no call.
MAX_HEADER_BYTES = 16
#: Output, input and files travel in pieces of at most this.
CHUNK_BYTES = 64 * 1024

ACK = b"a"
OUT = b"o"
ERR = b"e"
EXIT = b"x"
ASK_STDIN = b"i"
READ_FILE = b"r"
WRITE_FILE = b"w"
WRITE_CHUNK = b"c"
WRITE_END = b"f"
WRITE_ABANDON = b"q"

DATA = b"d"
END = b"z"
FAILED = b"!"
DONE = b"k"

#: `sun_path` holds 108 bytes, the last of them a NUL.
MAX_SOCKET_PATH_BYTES = 107
SOCKET_NAME = "wgd.sock"
LOCK_NAME = "wgd.lock"

#: The variables that a call carries, by how their names begin ...
_PREFIXES = ("WG_", "LC_", "COMP_", "_WG_COMPLETE", "_TYPER_COMPLETE")
#: ... and by name.
_NAMES = ("NO_COLOR", "TERM", "LANG", "COLUMNS", "USER")

_FIELDS = 7
_LENGTH_DIGITS = 7


class WireError(ValueError):
    """The other end did not speak the protocol."""


class FrameBuffer:
    """Bytes as they arrive, taken out frame by frame."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data = bytearray()

    def take(self) -> tuple[bytes, bytes] | None:
        """The next frame as kind and body; None while it is incomplete.

        Raises:
            WireError: What is there is no frame, or one longer than any is.
        """
        data = self.data
        newline = data.find(b"\n", 1, _LENGTH_DIGITS + 2)
        if newline < 0:
            if len(data) > _LENGTH_DIGITS + 1:
                message = "a frame without a length"
                raise WireError(message)
            return None
        size = _length(bytes(data[1:newline]), CHUNK_BYTES)
        end = newline + 1 + size
        if len(data) < end:
            return None
        frame = bytes(data[:1]), bytes(data[newline + 1 : end])
        del data[:end]
        return frame


def encode_frame(kind: bytes, body: bytes = b"") -> bytes:
    """One frame; the body is at most `CHUNK_BYTES` long."""
    return b"%b%d\n%b" % (kind, len(body), body)


def encode_call(
    fields: tuple[bytes, bytes, bytes, bytes, bytes, bytes],
    variables: list[bytes],
    argv: list[bytes],
) -> bytes:
    """The call, header included.

    Args:
        fields: version, cwd, umask, terminals, columns, pid.
        variables: Each as `K=V`.
        argv: The arguments, without the program's name.
    """
    count = b"%d" % len(variables)
    payload = b"\0".join([*fields, count, *variables, *argv, b""])
    return b"%b %d\n%b" % (MAGIC, len(payload), payload)


def call_length(header: bytes) -> int:
    """The length of the payload that a header (without its newline) announces.

    Raises:
        WireError: It is no header of a call of this version, or announces too much.
    """
    magic, _, length = header.partition(b" ")
    if magic != MAGIC:
        message = "not a call of this version"
        raise WireError(message)
    return _length(length, MAX_CALL_BYTES)


def decode_call(payload: bytes) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """The six fields, the variables and the arguments, as `encode_call` took them.

    Raises:
        WireError: The payload is not what `encode_call` makes.
    """
    parts = payload.split(b"\0")
    if parts.pop() or len(parts) < _FIELDS:
        message = "a call that is cut off"
        raise WireError(message)
    count = _length(parts[_FIELDS - 1], len(parts) - _FIELDS)
    argv_at = _FIELDS + count
    return parts[: _FIELDS - 1], parts[_FIELDS:argv_at], parts[argv_at:]


def is_sent(name: str) -> bool:
    """Whether a call carries the environment variable of that name."""
    return name.startswith(_PREFIXES) or name in _NAMES


def error_text(message: str, hint: str, code: str, *, as_json: bool) -> str:
    """An error as `wg` shows it on stderr (CONTRACT §3)."""
    if as_json:
        # Not json.dumps: importing it costs as much as half of a start.
        body = f'"code": {_quoted(code)}, "message": {_quoted(message)}'
        body += f', "hint": {_quoted(hint)}'
        return f'{{"schema": "wg/1", "error": {{{body}}}}}\n'
    text = f"wg: {message}\n"
    return f"{text}hint: {hint}\n" if hint else text


def wants_json(argv: list[str] | tuple[str, ...]) -> bool:
    """Whether errors are to be JSON: `--json` stands before any `--`."""
    for argument in argv:
        if argument == "--":
            return False
        if argument == "--json":
            return True
    return False


def named_dir(argv: list[str] | tuple[str, ...]) -> tuple[str | None, list[str]]:
    """What `--dir` before the command names, and the arguments without it."""
    named = None
    rest = list(argv)
    at = 0
    while at < len(rest) and rest[at].startswith("-") and rest[at] != "--":
        if rest[at] == "--dir" and at + 1 < len(rest):
            named = rest[at + 1]
            del rest[at : at + 2]
        elif rest[at].startswith("--dir="):
            named = rest[at][len("--dir=") :]
            del rest[at]
        else:
            at += 1
    return named, rest


def find_wg_dir(named: str | None, cwd: str) -> str | None:
    """The project's `.wg` folder, with no symlink in its path; None if there is none.

    Args:
        named: What `--dir` or `WG_DIR` says: the folder that holds `.wg`, or `.wg`
            itself. Empty or None: the nearest one upwards from `cwd`.
        cwd: An absolute path; `named` is relative to it.
    """
    if named:
        folder = os.path.realpath(os.path.join(cwd, named))
        inside = os.path.join(folder, ".wg")
        if os.path.isdir(inside):
            return os.path.realpath(inside)
        if os.path.basename(folder) == ".wg" and os.path.isdir(folder):
            return folder
        return None
    folder = cwd
    while True:
        inside = os.path.join(folder, ".wg")
        if os.path.isdir(inside):
            return os.path.realpath(inside)
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent


def socket_candidates(
    wg_dir: str, owner_uid: int, runtime_dir: str | None
) -> list[str]:
    """Where the daemon's socket may be; the daemon takes the first it can have.

    Args:
        wg_dir: As `find_wg_dir` returns it: both ends must hash the same path.
        owner_uid: To whom the `.wg` folder belongs.
        runtime_dir: `$XDG_RUNTIME_DIR`, if it is the owner's.
    """
    beside = os.path.join(wg_dir, SOCKET_NAME)
    if len(os.fsencode(beside)) <= MAX_SOCKET_PATH_BYTES:
        return [beside]
    name = _path_hash(wg_dir)
    folders = [
        f"/run/user/{owner_uid}/workgraph",
        f"/tmp/workgraph-{owner_uid}",  # noqa: S108 - both ends check whose it is
    ]
    if runtime_dir and os.path.isabs(runtime_dir):
        own = os.path.join(runtime_dir, "workgraph")
        if own not in folders:
            folders.insert(0, own)
    paths = [os.path.join(folder, name, SOCKET_NAME) for folder in folders]
    return [p for p in paths if len(os.fsencode(p)) <= MAX_SOCKET_PATH_BYTES]


def is_private(folder: str, owner_uid: int) -> bool:
    """Whether a folder is the owner's alone: no symlink, theirs, mode 0700."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == owner_uid
        and not found.st_mode & 0o077
    )


def write_all(fd: int, data: bytes) -> None:
    """Write all of it, however slowly it is taken."""
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:  # somebody made the terminal non-blocking
            from select import POLLOUT, poll  # noqa: PLC0415 - seldom needed

            waiting = poll()
            waiting.register(fd, POLLOUT)
            waiting.poll()


def _length(digits: bytes, most: int) -> int:
    """A decimal length of 0 to `most`."""
    if digits.isdigit() and len(digits) <= _LENGTH_DIGITS and int(digits) <= most:
        return int(digits)
    message = f"a length of {digits[:20]!r}"
    raise WireError(message)


def _path_hash(path: str) -> str:
    # Only for long paths. hashlib takes 4 ms to import, its backing next to nothing.
    try:
        from _blake2 import blake2b  # noqa: PLC0415
    except ImportError:
        from hashlib import blake2b  # noqa: PLC0415
    return blake2b(os.fsencode(path), digest_size=8).hexdigest()


def _quoted(text: str) -> str:
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    code = ord(char)
    if 0x20 <= code < 0x7F:  # noqa: PLR2004 - the printable ones of ASCII
        return char
    if code <= 0xFFFF:  # noqa: PLR2004 - one unit of UTF-16, a lone surrogate too
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
