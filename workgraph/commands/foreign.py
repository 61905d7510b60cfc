"""What files of other programs have in common: JSON lines, ids, what is to be said."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET

from workgraph.commands import options
from workgraph.commands.line_errors import bad_line
from workgraph.commands.transfer_rows import is_id
from workgraph.graph.model import parse_agent_id

#: Gets the line that something holds for, and what is to be said of it.
Note = Callable[[int, str], None]

_LONGEST_WORD: Final = 60
_decode: Final = msgspec.json.Decoder().decode


class Notes:
    """What is to be said of a file, each thing once, with how often it holds."""

    def __init__(self) -> None:
        #: The line where it holds first, and how often.
        self._said: dict[str, tuple[int, int]] = {}

    def add(self, number: int, what: str) -> None:
        """Takes down what holds for a line."""
        first, count = self._said.get(what, (number, 0))
        self._said[what] = (first, count + 1)

    def add_all(self, number: int, notes: Iterable[str], kept: Iterable[str]) -> None:
        """Takes down what is to be said of a line, and the names of what it keeps."""
        for note in notes:
            self.add(number, note)
        for key in kept:
            self.add(number, f"{key!r} has no equal here: kept as metadata")

    def lines(self) -> Iterator[str]:
        """All of it, in the order in which it came up."""
        for what, (number, count) in self._said.items():
            more = f" and {count - 1} more" if count > 1 else ""
            yield f"line {number}{more}: {what}"


def objects_of(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file of JSON lines, with the numbers of their lines.

    Raises:
        UserError: A line is none; it is named.
    """
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        try:
            found = _decode(bare)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise bad_line(number, f"broken JSON: {error}") from error
        if not isinstance(found, dict):
            raise bad_line(number, "it is not a JSON object")
        yield number, found


def free_id(number: int, old: str, taken: Collection[str], note: Note) -> str:
    """An id for what has one there that is none here."""
    slug = options.id_from_title(old)
    slug = f".{slug}" if old.startswith(".") else slug
    found, count = slug[: options.MAX_ID], 1
    while found in taken or not is_id(found):
        count += 1
        found = options.numbered(slug, count)
    note(number, f"{old[:_LONGEST_WORD]!r} is no id here: it becomes {found}")
    return found


def take_equals(
    left: dict[str, Any],
    fields: dict[str, Any],
    equals: Mapping[str, tuple[str, Callable[[Any], Any]]],
) -> None:
    """Moves what has an equal that depends on nothing else from there to here.

    Args:
        left: What is not dealt with, under its name there.
        fields: What is, under ours.
        equals: By the name there ours, and how a value gets there; `UNSET` stays.
    """
    for key, (ours, change) in equals.items():
        if key in left and (value := change(left[key])) is not UNSET:
            fields[ours] = value
            del left[key]


def speaker(origin: str, *names: object) -> str:
    """Who has said something there: the first that is a name, else the program.

    Its agents are not ours of that number.
    """
    for name in names:
        if isinstance(name, str) and name:
            return name if parse_agent_id(name) is None else f"{origin}/{name}"
    return origin
