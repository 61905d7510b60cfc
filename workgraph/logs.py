"""The log: structlog's set-up. Event names are `noun_verbed`, values are keywords.

structlog is imported when a log is opened: it costs more than all else that a command
without a daemon needs, and such a command keeps no log.
"""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Protocol, cast

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
            structlog.PrintLogger(sys.stderr),
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
    """A processor that writes each event as a line of JSON and passes it on."""

    def __init__(self, file: Path) -> None:
        self._handler = RotatingFileHandler(
            file, maxBytes=_MAX_BYTES, backupCount=_FILES_KEPT, encoding="utf-8"
        )
        #: One for all lines: to make one takes longer than to write it.
        self._record = logging.makeLogRecord({})

    def __call__(
        self, logger: object, name: str, event: MutableMapping[str, Any]
    ) -> Mapping[str, Any]:
        self._record.msg = _to_json(event)
        self._handler.emit(self._record)
        return event


def _drop(logger: object, name: str, event: MutableMapping[str, Any]) -> str:
    raise sys.modules["structlog"].DropEvent
