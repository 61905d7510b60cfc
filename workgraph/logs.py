"""The log: structlog's set-up. Event names are `noun_verbed`, values are keywords.

structlog is imported when a log is opened: it costs more than all else that a command
without a daemon needs, and such a command keeps no log.
"""

import errno
import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Protocol, TextIO, cast

import msgspec

_MAX_BYTES: Final = 16 * 1024 * 1024
_FILES_KEPT: Final = 3


class Logger(Protocol):
    """What a log can be told: an event, and what goes with it."""

    def info(self, event: str, **values: Any) -> Any:  # noqa: ANN401 - as structlog's
        """State has changed."""

    def warning(self, event: str, **values: Any) -> Any:  # noqa: ANN401
        """We coped."""

    def error(self, event: str, **values: Any) -> Any:  # noqa: ANN401
        """Somebody must look."""

    def exception(self, event: str, **values: Any) -> Any:  # noqa: ANN401
        """Somebody must look; the exception at hand is told."""


def open_log(file: Path, *, terminal: bool, stderr: bool = True) -> Logger:
    """A logger that writes JSON lines into a file, and to stderr.

    Args:
        file: The daemon's log, rotated at 16 MiB.
        terminal: stderr is a terminal: lines for people there, else JSON.
        stderr: False keeps it to the file.
    """
    structlog = _load_structlog()
    file.parent.mkdir(mode=0o700, exist_ok=True)
    render: Any = structlog.processors.JSONRenderer(serializer=_to_json)
    if terminal:
        render = structlog.dev.ConsoleRenderer(
            exception_formatter=structlog.dev.plain_traceback
        )
    elif not stderr:
        render = _drop
    return cast(
        "Logger",
        structlog.wrap_logger(
            structlog.PrintLogger(cast("TextIO", _Stderr())),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                _FileOutput(file),
                render,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        ).bind(),
    )


def _load_structlog() -> ModuleType:
    """Imports structlog without rich.

    structlog loads it, if it is there, for tracebacks in colour. Ours are plain, and
    to load it takes longer than all else of a start but Python's own.
    """
    kept = sys.modules.get("rich")
    sys.modules["rich"] = cast("ModuleType", None)  # makes its import fail
    try:
        import structlog  # noqa: PLC0415 - see above
    finally:
        del sys.modules["rich"]
        if kept is not None:
            sys.modules["rich"] = kept
    return structlog


def _to_json(event: object, **_: object) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()


class NoLog:
    """A logger that keeps nothing, for one request without a daemon."""

    def info(self, event: str, **values: object) -> None:
        """Says nothing."""

    warning = error = exception = info


class _FileOutput:
    """A processor that writes each event as a line of JSON and passes it on.

    A log that can't be written, on a full disk for one, loses lines and stops nothing:
    how many is the first thing that it says when there is room again.
    """

    def __init__(self, file: Path) -> None:
        self._file = _LogFile(os.fspath(file))
        self._lost = 0

    def __call__(
        self, logger: object, name: str, event: MutableMapping[str, Any]
    ) -> Mapping[str, Any]:
        line = f"{_to_json(event)}\n"
        if self._lost:
            told = {"event": "log_lines_lost", "count": self._lost, "level": "warning"}
            told["timestamp"] = event.get("timestamp")
            line = f"{_to_json(told)}\n{line}"
        try:
            self._file.append(line.encode())
            self._lost = 0
        except OSError:
            self._lost += 1
        return event


class _LogFile:
    """A file that is rotated when it is large. What is appended is there, or is not."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = self._open()

    def append(self, data: bytes) -> None:
        """Writes at the end, past all buffers: they would keep a part for later.

        Raises:
            OSError: It can't be written; nothing of it was.
        """
        if self._fd < 0:
            self._fd = self._open()
        size = os.fstat(self._fd).st_size
        if size and size + len(data) > _MAX_BYTES:
            self._rotate()
            size = 0
        if os.write(self._fd, data) < len(data):
            os.ftruncate(self._fd, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open(self._path, flags, 0o600)

    def _rotate(self) -> None:
        for number in range(_FILES_KEPT, 0, -1):
            older = f"{self._path}.{number}"
            newer = f"{self._path}.{number - 1}" if number > 1 else self._path
            with suppress(FileNotFoundError):
                os.replace(newer, older)
        os.close(self._fd)
        self._fd = -1
        self._fd = self._open()


class _Stderr:
    """Standard error: it may be a file on a full disk, or a terminal that is gone."""

    def write(self, text: str) -> None:
        """Writes what can be written."""
        with suppress(OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        """Flushes what can be flushed."""
        with suppress(OSError, ValueError):
            sys.stderr.flush()


def _drop(logger: object, name: str, event: MutableMapping[str, Any]) -> str:
    raise sys.modules["structlog"].DropEvent
