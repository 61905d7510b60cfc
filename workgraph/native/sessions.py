"""Conversations kept between runs: one file each, for their owner's eyes alone.

They are not in the project's `.wg`: a conversation holds whatever tools have printed,
and `.wg` is what gets shown, exported and backed up.
"""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

from pydantic import ValidationError
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    ToolReturnPart,
)

#: Whoever goes on with a conversation does so long before.
KEPT_S: Final = 30 * 24 * 3600.0
_INTERRUPTED: Final = "The run was ended while this tool was at work: look what it did."


class Sessions:
    """The conversations in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, session: str) -> Sequence[ModelMessage] | None:
        """A conversation that can be gone on with; null when there is none."""
        try:
            kept = self._file(session).read_bytes()
            messages = ModelMessagesTypeAdapter.validate_json(kept)
        except (OSError, ValueError, ValidationError):
            return None
        return closed(messages)

    def save(self, session: str, messages: Sequence[ModelMessage]) -> None:
        """Keeps a conversation as it is now, in place of what was kept of it.

        Raises:
            OSError: It can't be kept.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._file(session)
        new = file.with_suffix(f".{os.getpid()}.new")
        new.unlink(missing_ok=True)
        with os.fdopen(
            os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
        ) as opened:
            opened.write(ModelMessagesTypeAdapter.dump_json(list(messages)))
        new.replace(file)

    def drop_old(self, now: float) -> None:
        """Deletes what has not been touched for `KEPT_S` before `now` (Unix time)."""
        with contextlib.suppress(OSError):
            for file in self._folder.iterdir():
                with contextlib.suppress(OSError):
                    if file.stat().st_mtime < now - KEPT_S:
                        file.unlink()

    def _file(self, session: str) -> Path:
        # Whatever is no UUID could be a path to somewhere else.
        return self._folder / f"{UUID(session)}.json"


def closed(messages: Sequence[ModelMessage]) -> Sequence[ModelMessage]:
    """A conversation in which every call of a tool has an answer. Pure.

    A process that was killed leaves calls without one, and endpoints refuse those.
    """
    last = messages[-1] if messages else None
    if not isinstance(last, ModelResponse) or not last.tool_calls:
        return messages
    parts = [
        ToolReturnPart(
            tool_name=call.tool_name,
            content=_INTERRUPTED,
            tool_call_id=call.tool_call_id,
            outcome="interrupted",
        )
        for call in last.tool_calls
    ]
    return [*messages, ModelRequest(parts=parts)]
