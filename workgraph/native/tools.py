"""The tools that the model gets: read, write, edit, shell and wg.

Whatever goes wrong in one is told to the model, which can mend it. The first line of a
docstring here, and its arguments, are what the model reads of a tool.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from msgspec import Struct
from pydantic_ai import Tool
from pydantic_ai.exceptions import ToolFailed

from workgraph.native.shell import Command, Output, Ran, run_command

Posture = Literal["readonly", "edits", "full"]

#: For a command that names no time limit of its own.
_USUAL_TIMEOUT_S: Final = 120.0
_WG_TIMEOUT_S: Final = 60.0
_MOST_LINES: Final = 2000
_PIECE: Final = 65536
_LOOKING: Final = frozenset({"read", "wg"})


class Workplace(Struct, frozen=True, kw_only=True):
    """Where tools work, and how far they may go."""

    cwd: str
    #: The environment of commands.
    env: Mapping[str, str]
    #: How much of what a tool gives the model sees, in bytes.
    limit: int
    #: The longest that a command may be given.
    longest_s: float


def make_tools(
    place: Workplace, posture: Posture, allowed: Collection[str] = ()
) -> Sequence[Tool[object]]:
    """The tools that go with a posture: to look only, or all of them.

    `edits` and `full` are the same here: no tool asks anybody first.

    Args:
        allowed: Names of tools that are there whatever the posture is.
    """
    # One at a time: an edit and the test of it may come in one answer.
    tools = [
        Tool(make(place), sequential=True)
        for make in (_make_read, _make_wg, _make_write, _make_edit, _make_shell)
    ]
    if posture != "readonly":
        return tools
    return [tool for tool in tools if tool.name in _LOOKING or tool.name in allowed]


def _make_read(place: Workplace) -> Callable[..., str]:
    def read(path: str, first_line: int = 1, lines: int = _MOST_LINES) -> str:
        """Reads a text file, or lists a folder.

        Args:
            path: Relative to the working directory, or absolute.
            first_line: Where to begin; 1 is the first line.
            lines: How many lines at most.
        """
        file = _path(place, path)
        try:
            if file.is_dir():
                names = sorted(
                    f"{entry.name}/" if entry.is_dir() else entry.name
                    for entry in file.iterdir()
                )
                listed = os.fsencode("\n".join(names))
                return _cut(place, listed) or "(an empty folder)"
            _refuse_special(file, path)
            wanted, more_from = _read_lines(file, first_line, lines, place.limit)
        except OSError as error:
            raise _failed(path, error) from error
        note = f"[... more from line {more_from} on ...]\n" if more_from else ""
        return _cut(place, wanted) + note or "(nothing there)"

    return read


def _read_lines(
    file: Path, first_line: int, lines: int, limit: int
) -> tuple[bytes, int]:
    """Whole lines up to a limit in bytes, and the first that is left; 0 if none is."""
    wanted = bytearray()
    number = 1
    with file.open("rb") as opened:
        # In pieces: a line may be longer than there is memory.
        while piece := opened.readline(_PIECE):
            is_full = bool(wanted) and len(wanted) + len(piece) > limit
            if number >= first_line + lines or is_full:
                return bytes(wanted), number
            if number >= first_line:
                wanted += piece
            number += piece.endswith(b"\n")
    return bytes(wanted), 0


def _make_write(place: Workplace) -> Callable[..., str]:
    def write(path: str, content: str) -> str:
        """Writes a file whole, in place of what is there; makes its folders.

        Args:
            path: Relative to the working directory, or absolute.
            content: All that the file is to hold.
        """
        file = _path(place, path)
        try:
            if file.exists():
                _refuse_special(file, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, "utf-8")
        except (OSError, UnicodeEncodeError) as error:
            raise _failed(path, error) from error
        return f"{path} written: {len(content.splitlines())} lines"

    return write


def _make_edit(place: Workplace) -> Callable[..., str]:
    def edit(path: str, old: str, new: str, every: bool = False) -> str:  # noqa: FBT001, FBT002 - the model's argument
        """Replaces a piece of text in a file by another.

        Args:
            path: Relative to the working directory, or absolute.
            old: The text to replace, exactly as it stands there. It must stand
                there once, unless `every` is true.
            new: What to put in its place.
            every: Replaces it wherever it stands.
        """
        file = _path(place, path)
        try:
            _refuse_special(file, path)
            # As bytes: line ends and what is not UTF-8 stay as they are.
            text, piece = file.read_bytes(), old.encode()
            count = text.count(piece) if piece else 0
            if count == 0:
                message = f"{path}: the text to replace is not there; read it first"
                raise ToolFailed(message)
            if count > 1 and not every:
                message = (
                    f"{path}: the text stands there {count} times; give more of it"
                )
                raise ToolFailed(message)
            file.write_bytes(text.replace(piece, new.encode()))
        except (OSError, UnicodeEncodeError) as error:
            raise _failed(path, error) from error
        return f"{path}: replaced {count} times"

    return edit


def _make_shell(place: Workplace) -> Callable[..., Any]:
    async def shell(command: str, timeout_s: float = _USUAL_TIMEOUT_S) -> str:
        """Runs a command with /bin/sh in the working directory.

        It gets no input. What it leaves running in the background ends with it.

        Args:
            command: What to run.
            timeout_s: It is ended after this many seconds.
        """
        limit_s = min(max(timeout_s, 1.0), place.longest_s)
        return await _run(place, ("/bin/sh", "-c", command), limit_s)

    return shell


def _make_wg(place: Workplace) -> Callable[..., Any]:
    async def wg(arguments: list[str], stdin: str = "") -> str:
        """Runs `wg`, which speaks with the orchestrator that gave you your task.

        Args:
            arguments: One each, as in ["log", "TASK", "-"] or ["done", "TASK"].
            stdin: What it reads where an argument is `-`.
        """
        return await _run(place, ("wg", *arguments), _WG_TIMEOUT_S, stdin)

    return wg


async def _run(
    place: Workplace, argv: Sequence[str], timeout_s: float, stdin: str = ""
) -> str:
    try:
        ran = await run_command(
            Command(
                argv=argv,
                cwd=place.cwd,
                env=place.env,
                timeout_s=timeout_s,
                limit=place.limit,
                stdin=stdin,
            )
        )
    except (OSError, ValueError) as error:
        raise _failed(argv[0], error) from error
    if ran.timed_out or ran.status != 0:
        raise ToolFailed(f"{_how(ran, timeout_s)}\n{ran.output}".rstrip())
    return ran.output or "(no output)"


def _how(ran: Ran, timeout_s: float) -> str:
    if ran.timed_out:
        return f"Ended after {timeout_s:g} s, which was its time limit"
    if ran.status < 0:
        return f"Died of signal {-ran.status}"
    return f"Exit code {ran.status}"


def _path(place: Workplace, path: str) -> Path:
    if not path or "\0" in path:
        raise ToolFailed(f"{path!r} is no path")
    return Path(os.path.normpath(Path(place.cwd) / path))


def _refuse_special(file: Path, path: str) -> None:
    """A pipe or a device may never give an end."""
    if file.exists() and not file.is_file():
        raise ToolFailed(f"{path}: not a file")


def _cut(place: Workplace, text: bytes) -> str:
    output = Output(place.limit)
    output.add(text)
    return output.text()


def _failed(what: str, error: Exception) -> ToolFailed:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return ToolFailed(f"{what}: {reason or error}")
