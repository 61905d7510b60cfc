"""What a tool is used on, in the few words that fit on a line."""

import shlex
from typing import Final

from msgspec import Raw
from msgspec.json import Decoder

from workgraph.agents.streams.lines import piece

#: Which argument says most about a call; the first that is there.
_TELLING: Final = (
    "command",
    "file_path",
    "filePath",
    "path",
    "pattern",
    "query",
    "url",
    "description",
    "prompt",
)
#: A command that is longer is shown with its wrapper.
_LONGEST_COMMAND: Final = 20_000
_WRAPPED_PARTS: Final = 3

_ARGUMENTS: Final = Decoder(dict[str, Raw])
_TEXT: Final = Decoder(str)


def argument_words(raw: Raw) -> str:
    """The telling argument of a tool's input; empty when there is none."""
    arguments = piece(raw, _ARGUMENTS)
    if not arguments:
        return ""
    for name in (*_TELLING, *arguments):
        if name in arguments and (text := piece(arguments[name], _TEXT)):
            return text
    return ""


def plain_command(command: str) -> str:
    """A command without the shell that a client puts around it."""
    if len(command) > _LONGEST_COMMAND:
        return command
    try:
        parts = shlex.split(command)
    except ValueError:
        return command
    if len(parts) == _WRAPPED_PARTS and parts[1] in ("-c", "-lc"):
        return parts[2]
    return command
