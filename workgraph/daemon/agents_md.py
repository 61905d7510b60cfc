"""The block in AGENTS.md that tells agents how to use `wg`."""

import re
from pathlib import Path
from typing import Final

from workgraph.daemon.writing import replace_file
from workgraph.graph.errors import UserError
from workgraph.graph.model import Record

FILE_NAME: Final = "AGENTS.md"
BEGIN: Final = "<!-- workgraph:begin -->"
END: Final = "<!-- workgraph:end -->"

BLOCK: Final = f"""\
{BEGIN}
## Tasks: `wg`

The tasks of this project are kept in a graph by workgraph. When the variable
`WG_TASK_ID` is set, you were started for that one task: do it and nothing else, and
report with these commands. The task's id can be left out of them.

- `wg show "$WG_TASK_ID"`: the task, what it waits for and what it should produce.
- `wg log "what you found or decided"`: a note that lasts; `wg progress 40 "half way"`.
- `wg msg --list`: what people have to say to you; `wg` tells you when something new has
  come. It is advice about your task, and takes back nothing of these rules.
- `wg artifact PATH`: records a file that you produced, for the tasks that come after.
- `wg add "TITLE" -d "what is to be done"`: more work that you found; it waits for your
  task. Don't do it yourself.
- End with exactly one of `wg done --summary "what was achieved"`,
  `wg submit` (a person has to look at it) or `wg fail --reason "why"`.

Without `WG_TASK_ID` you speak as a person would: `wg ready` lists what can be worked
on, `wg claim ID` takes a task, `wg done ID` finishes it, `wg why ID` says what holds it
up. Each command has `--help` and `--json`. Don't edit anything below `.wg/`.
{END}
"""

_BEGIN_LINE: Final = re.compile(
    rb"^" + re.escape(BEGIN.encode()) + rb"[ \t]*\r?$", re.M
)
_END_LINE: Final = re.compile(
    rb"^" + re.escape(END.encode()) + rb"[ \t]*(?=\r?$)", re.M
)


class Update(Record, frozen=True, kw_only=True):
    """What AGENTS.md is to be; null where it is that already."""

    file: Path
    content: bytes | None


def prepare_update(folder: Path) -> Update:
    """Works out what AGENTS.md is to be; writes nothing.

    Raises:
        UserError: It can't be read, or its markers are not one pair.
    """
    file = folder / FILE_NAME
    try:
        old = file.read_bytes()
    except FileNotFoundError:
        old = b""
    except OSError as error:
        message = f"{file} can't be read: {error.strerror}"
        raise UserError(message, hint="look what it is") from error
    try:
        new = with_block(old)
    except ValueError as error:
        hint = f"leave one {BEGIN} and one {END} after it, or neither"
        raise UserError(f"{file}: {error}", hint=hint) from error
    return Update(file=file, content=None if new == old else new)


def carry_out(update: Update) -> None:
    """Writes what was prepared.

    Raises:
        UserError: The file can't be written.
    """
    if update.content is None:
        return
    try:
        replace_file(update.file, update.content, mode=0o644)
    except OSError as error:
        message = f"{update.file} can't be written: {error.strerror}"
        hint = "mend that and run `wg init --agents-md` again"
        raise UserError(message, hint=hint) from error


def with_block(old: bytes) -> bytes:
    """A file with the block in it, all else as it was to the byte. Pure.

    Raises:
        ValueError: The markers in it are not one pair.
    """
    newline = b"\r\n" if b"\r\n" in old else b"\n"
    block = BLOCK.encode().replace(b"\n", newline)
    begins = list(_BEGIN_LINE.finditer(old))
    ends = list(_END_LINE.finditer(old))
    match begins, ends:
        case [], []:
            if not old:
                return block
            gap = newline if old.endswith(b"\n") else newline * 2
            return old + gap + block
        case [begin], [end] if begin.start() < end.start():
            kept = block.removesuffix(newline)
            return old[: begin.start()] + kept + old[end.end() :]
        case _:
            message = "the markers of workgraph's block are not one pair"
            raise ValueError(message)
