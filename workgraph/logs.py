"""The log: structlog's set-up. Event names are `noun_verbed`, values are keywords."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final, cast

import structlog

Logger = structlog.typing.FilteringBoundLogger

_MAX_BYTES: Final = 16 * 1024 * 1024
_FILES_KEPT: Final = 3


def open_log(file: Path | None, *, terminal: bool, stderr: bool = True) -> Logger:
    """A logger that writes JSON lines into a file, and to stderr.

    Args:
        file: The daemon's log, rotated at 16 MiB; null for none.
        terminal: stderr is a terminal: lines for people there, else JSON.
        stderr: False keeps it to the file.
    """
    outputs: list[structlog.typing.Processor] = []
    if file is not None:
        file.parent.mkdir(mode=0o700, exist_ok=True)
        outputs.append(_FileOutput(file))
    if not stderr:
        outputs.append(_drop)
    render = (
        structlog.dev.ConsoleRenderer(colors=True, exception_formatter=_plain)
        if terminal
        else structlog.processors.JSONRenderer()
    )
    return cast(
        "Logger",
        structlog.wrap_logger(
            structlog.PrintLogger(sys.stderr),
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                *outputs,
                render,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        ),
    )


def quiet_log() -> Logger:
    """A logger that keeps nothing, for one request without a daemon."""
    return cast(
        "Logger",
        structlog.wrap_logger(
            structlog.ReturnLogger(),
            processors=[_drop],
            wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        ),
    )


class _FileOutput:
    """A processor that writes each event as a line of JSON and passes it on."""

    def __init__(self, file: Path) -> None:
        self._handler = RotatingFileHandler(
            file, maxBytes=_MAX_BYTES, backupCount=_FILES_KEPT, encoding="utf-8"
        )
        self._render = structlog.processors.JSONRenderer()

    def __call__(
        self, logger: object, name: str, event: MutableMapping[str, Any]
    ) -> Mapping[str, Any]:
        line = self._render(logger, name, dict(event))
        record = logging.LogRecord(
            "wgd", logging.INFO, "", 0, str(line), args=None, exc_info=None
        )
        self._handler.emit(record)
        return event


def _drop(logger: object, name: str, event: MutableMapping[str, Any]) -> str:
    raise structlog.DropEvent


def _plain(sio: Any, exc_info: Any) -> None:  # noqa: ANN401 - structlog's protocol
    structlog.dev.plain_traceback(sio, exc_info)
