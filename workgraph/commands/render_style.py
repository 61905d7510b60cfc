"""How text looks for the one who reads it: colours, columns, times."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from workgraph.commands.escape import cell_width, escape_block, escape_line, fit, pad
from workgraph.graph.model import Record
from workgraph.graph.times import SECOND, format_age, parse_moment

_COLOURS: Final = MappingProxyType(
    {
        "in-progress": "36",
        "working": "36",
        "starting": "36",
        "waiting": "35",
        "pending-review": "33",
        "stopping": "33",
        "done": "32",
        "submitted": "32",
        "failed": "31",
        "crashed": "31",
        "timed-out": "31",
        "stalled": "31",
        "lost": "31",
        "spawn-failed": "31",
        "abandoned": "2",
        "killed": "2",
    }
)
#: The least that is left of the last column of a narrow terminal.
_LEAST_TEXT: Final = 16


class Style(Record, frozen=True, kw_only=True):
    """Who reads it: a terminal, or a pipe (no colours, columns 0, times in full)."""

    color: bool = False
    #: Columns of the terminal; 0 where there is none, so nothing is shortened.
    columns: int = 0
    #: The present moment, in microseconds.
    now: int = 0
    relative_times: bool = False

    def word(self, text: str) -> str:
        """A status or outcome, in its colour."""
        colour = _COLOURS.get(text) if self.color else None
        return f"\x1b[{colour}m{text}\x1b[0m" if colour else text

    def moment(self, text: str | None) -> str:
        """A moment of a reply: `3m ago` on a terminal, in full elsewhere."""
        if text is None:
            return "-"
        if not self.relative_times:
            return text
        age_s = (self.now - parse_moment(text, self.now)) / SECOND
        return f"in {format_age(-age_s)}" if age_s < 0 else f"{format_age(age_s)} ago"


def table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], style: Style, *, words: int
) -> str:
    """Aligned columns with two spaces between; headings on a terminal only.

    Ids are never cut: only the last column is, and only on a terminal.

    Args:
        rows: Texts that are escaped already.
        words: The index of the column that holds statuses, for colours.
    """
    if not rows:
        return ""
    shown = [tuple(heads), *rows] if style.columns else list(rows)
    widths = [max(cell_width(row[i]) for row in shown) for i in range(len(heads))]
    room = max(style.columns - sum(widths[:-1]) - 2 * len(widths[:-1]), _LEAST_TEXT)
    lines = []
    for row in shown:
        cells = [
            pad(text, widths[i], style.word if i == words else str)
            for i, text in enumerate(row[:-1])
        ]
        last = fit(row[-1], room) if style.columns else row[-1]
        if words == len(row) - 1:
            last = style.word(last)
        lines.append("  ".join([*cells, last]).rstrip())
    return as_lines(lines)


def as_lines(lines: Sequence[str]) -> str:
    """One line each; nothing at all for none."""
    return "".join(f"{line}\n" for line in lines)


def key_lines(pairs: Sequence[tuple[str, str | None]]) -> list[str]:
    """`Key: value` lines of what there is; values are escaped here."""
    return [f"{key}: {escape_line(value)}" for key, value in pairs if value]


def section(title: str, lines: Sequence[str]) -> list[str]:
    """A heading and its indented lines, after an empty line; nothing for none."""
    if not lines:
        return []
    return ["", f"{title}:", *(f"  {line}".rstrip() for line in lines)]


def block(text: str) -> list[str]:
    """The lines of a long text, escaped."""
    return escape_block(text).rstrip("\n").split("\n") if text else []
