"""Text from tasks, made safe for a terminal and for one line."""

import unicodedata
from collections.abc import Callable
from typing import Final

_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
#: Control, format (direction marks among them), surrogates, line and paragraph ends.
_UNSAFE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
#: Marks that reorder what is read; other format characters join emoji and letters.
_REORDERING: Final = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


def escape_line(text: str) -> str:
    """Writes text so that it stays on its line and moves no cursor."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_escape_character, text))


def escape_block(text: str) -> str:
    """The same for text of several lines: newlines and tabs stay."""
    return "\n".join(
        "\t".join(escape_line(part) for part in line.split("\t"))
        for line in text.split("\n")
    )


def cell_width(text: str) -> int:
    """How many columns a terminal gives to escaped text."""
    if text.isascii():
        return len(text)
    return sum(map(_width, text))


def fit(text: str, columns: int) -> str:
    """Shortens escaped text to so many columns, with an ellipsis."""
    if cell_width(text) <= columns:
        return text
    kept, used = [], 1
    for character in text:
        used += _width(character)
        if used > columns:
            break
        kept.append(character)
    return "".join(kept) + "…"


def pad(text: str, columns: int, paint: Callable[[str], str] = str) -> str:
    """Fills text up to so many columns; `paint` colours the text alone."""
    return paint(text) + " " * (columns - cell_width(text))


def _escape_character(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if unicodedata.category(character) not in _UNSAFE and character not in _REORDERING:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004


def _width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) == "Cf":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
