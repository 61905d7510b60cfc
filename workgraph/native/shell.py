"""Runs the commands of tools: a group of processes each, ended with its command.

A command gets a time limit, no terminal and no input but what it is given. What it
prints is read as it comes, and only the first and last part of it are kept.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import anyio
from msgspec import Struct

_CHUNK: Final = 65536
#: More than a pipe holds.
_PIPE_CHUNKS: Final = 4
#: Between TERM and KILL, for a command that is ended before its time.
_GRACE_S: Final = 1.0


class Command(Struct, frozen=True, kw_only=True):
    """What to run, and within which limits."""

    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    timeout_s: float
    #: How much of what it prints is kept, in bytes.
    limit: int
    #: What it can read; nothing if empty.
    stdin: str = ""


class Ran(Struct, frozen=True, kw_only=True):
    """How a command ended."""

    #: Negative: the signal it died of.
    status: int
    output: str
    timed_out: bool = False


class Output:
    """The beginning and the end of what may be a lot.

    Args:
        limit: How many bytes are kept.
    """

    def __init__(self, limit: int) -> None:
        self._half = max(1, limit // 2)
        self._head = bytearray()
        self._tail = bytearray()
        self._size = 0

    def add(self, data: bytes) -> None:
        """Takes what has come."""
        self._size += len(data)
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        del self._tail[: -self._half]

    def text(self) -> str:
        """What was kept, with a line where something was left out."""
        cut = self._size - len(self._head) - len(self._tail)
        middle = f"\n[... {cut} bytes left out ...]\n".encode() if cut else b""
        return (bytes(self._head) + middle + bytes(self._tail)).decode(
            "utf-8", "replace"
        )


async def run_command(command: Command) -> Ran:
    """Runs a command to its end; when it is cancelled, nothing of it goes on.

    Raises:
        OSError: It can't be started.
    """
    output = Output(command.limit)
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    try:
        process = _start(command, write_end)
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    pidfd = os.pidfd_open(process.pid)
    try:
        with anyio.move_on_after(command.timeout_s) as patience:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_collect, read_end, output)
                await anyio.wait_readable(pidfd)
                tasks.cancel_scope.cancel()
        if patience.cancelled_caught:
            await _terminate(process, pidfd)
    except BaseException:
        await _terminate(process, pidfd)
        raise
    finally:
        # Not reaped yet: until then its number can't be any other group's.
        _signal(process, signal.SIGKILL)
        process.wait()
        _drain(read_end, output)
        os.close(read_end)
        os.close(pidfd)
    return Ran(
        status=process.returncode,
        output=output.text(),
        timed_out=patience.cancelled_caught,
    )


def _start(command: Command, write_end: int) -> subprocess.Popen[bytes]:
    with _given(command.stdin) as given:
        return subprocess.Popen(  # noqa: S603 - what a tool is there for
            command.argv,
            cwd=command.cwd,
            env=dict(command.env),
            stdin=given,
            stdout=write_end,
            stderr=write_end,
            start_new_session=True,
        )


@contextlib.contextmanager
def _given(text: str) -> Iterator[int]:
    if not text:
        yield subprocess.DEVNULL
        return
    given = os.memfd_create("stdin")
    try:
        with os.fdopen(given, "wb", closefd=False) as opened:
            opened.write(text.encode())
        os.lseek(given, 0, os.SEEK_SET)
        yield given
    finally:
        os.close(given)


async def _terminate(process: subprocess.Popen[bytes], pidfd: int) -> None:
    _signal(process, signal.SIGTERM)
    with anyio.move_on_after(_GRACE_S, shield=True):
        await anyio.wait_readable(pidfd)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


async def _collect(read_end: int, output: Output) -> None:
    while True:
        await anyio.wait_readable(read_end)
        data = os.read(read_end, _CHUNK)
        if not data:
            return
        output.add(data)


def _drain(read_end: int, output: Output) -> None:
    """Takes what is still in the pipe; its other end may be held, and written to."""
    with contextlib.suppress(BlockingIOError):
        for _ in range(_PIPE_CHUNKS):
            output.add(os.read(read_end, _CHUNK))
