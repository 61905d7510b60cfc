"""A call of `wg` as the daemon sees it, and what it is answered by."""

from collections.abc import AsyncGenerator, Mapping
from typing import Protocol

from msgspec import Struct

from workgraph import wire
from workgraph.daemon.peer import Peer
from workgraph.daemon.streams import Streams


class Call(Struct, frozen=True, kw_only=True):
    """A call of `wg`: all that the daemon knows of the process that made it."""

    argv: tuple[str, ...]
    cwd: str
    umask: int
    tty: tuple[bool, bool, bool]
    columns: int
    env: Mapping[str, str]
    version: str
    pid: int
    peer: Peer


def decode_call(payload: bytes, peer: Peer) -> Call:
    """A call from the payload of its frame.

    Raises:
        wire.WireError: It is not what `wg` sends.
    """
    fields, variables, argv = wire.decode_call(payload)
    version, cwd, umask, terminals, columns, pid = map(_text, fields)
    stdin, stdout, stderr = (mark == "1" for mark in terminals.ljust(3, "0")[:3])
    env = {}
    for variable in variables:
        name, _, value = _text(variable).partition("=")
        env[name] = value
    try:
        return Call(
            argv=tuple(map(_text, argv)),
            cwd=cwd,
            umask=int(umask, 8) & 0o777,
            tty=(stdin, stdout, stderr),
            columns=int(columns),
            env=env,
            version=version,
            pid=int(pid),
            peer=peer,
        )
    except ValueError as error:
        raise wire.WireError(str(error)) from error


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


class Handler(Protocol):
    """What the server serves."""

    async def answer_line(
        self, line: bytes, peer: Peer
    ) -> bytes | AsyncGenerator[bytes]:
        """One line back (without its newline), or a stream of them.

        A stream is cancelled and closed when the client goes away. What msgspec raises
        on decoding becomes `bad_request`.
        """
        ...

    async def run_call(self, call: Call, streams: Streams) -> int:
        """Carry out a command; the exit status."""
        ...
