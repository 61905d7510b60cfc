"""Reads what stands beside the predecessor's file: the histories of its chats.

The caller reads them, with its own rights, as it reads the file. What there is of
archived parts, which have a moment in their names, is looked up here.
"""

import os
from typing import Final, Protocol

import anyio.to_thread

from workgraph.commands.wg_rs_chats import (
    SESSIONS,
    archive_of,
    files_in,
    folders_of,
    numbers_in,
)
from workgraph.daemon.streams import FileMissingError
from workgraph.graph.errors import UserError

#: Far more than was ever said; a history is a few megabytes after years.
MOST_BYTES: Final = 256 * 1024 * 1024


class Reads(Protocol):
    """What reads a file of the caller."""

    async def read_file(self, path: str, limit: int) -> bytes:
        """All of a file."""


async def read_beside(
    streams: Reads, file: str, text: str, most: int = MOST_BYTES
) -> dict[str, str]:
    """The histories of the chats that a file names, by their paths from its folder.

    Args:
        streams: The caller's.
        file: The path of the file.
        text: What stands in it.
        most: How many bytes all of them may have.

    Raises:
        UserError: One is there and can't be read, or it is too much.
    """
    folder = os.path.dirname(file)
    numbers = await anyio.to_thread.run_sync(numbers_in, text)
    found: dict[str, str] = {}
    left = most
    paths = [SESSIONS] if numbers else []
    for number in (None, *numbers):
        if number is not None:
            paths = []
            for place in folders_of(number, found.get(SESSIONS)):
                inside = os.path.join(folder, archive_of(place))
                archived = await anyio.to_thread.run_sync(_names_in, inside)
                paths += files_in(place, archived)
        for path in paths:
            if left <= 0:
                message = f"the histories of chats are longer than {most} bytes"
                raise UserError(message, hint="move what need not come in out of chat/")
            try:
                content = await streams.read_file(os.path.join(folder, path), left)
            except FileMissingError:
                continue
            left -= len(content)
            found[path] = content.decode("utf-8", "replace")
    return found


def _names_in(folder: str) -> list[str]:
    """The names in a folder; none where there is no folder. It blocks.

    Raises:
        UserError: It can't be looked into.
    """
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        message = f"{folder} can't be read: {error.strerror}"
        raise UserError(message, hint="its histories would be left out") from error
