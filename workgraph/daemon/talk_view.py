"""A conversation as a terminal shows it: text in styles, pure."""

from collections.abc import Iterator
from datetime import datetime

from workgraph.commands.escape import cell_width, escape_block, escape_line, fit
from workgraph.graph.chat_requests import ChatMessageData, ChatStandsData

#: Styled pieces, as prompt_toolkit takes them.
Pieces = list[tuple[str, str]]

NAMES = {
    "message": "ansigreen bold",
    "reply": "ansicyan bold",
    "note": "ansicyan",
    "error": "ansired bold",
}
DIM = "fg:ansibrightblack"
HINT = "ansiyellow"
_PROMPT = "> "


def said(one: ChatMessageData, name: str, today: str) -> Pieces:
    """Something that was said, with who and when.

    Args:
        one: It.
        name: The chat's, for what its handlers say.
        today: The date here, `2030-05-01`; others are shown with their date.
    """
    who = one.by if one.kind == "message" else name
    word = {"note": " (note)", "error": " (error)"}.get(one.kind, "")
    at = datetime.fromisoformat(one.at).astimezone()
    when = at.strftime("%H:%M")
    if f"{at:%Y-%m-%d}" != today:
        when = f"{at:%Y-%m-%d} {when}"
    return [
        (NAMES[one.kind], f"{escape_line(who)}{word}"),
        (DIM, f"  {when}\n"),
        ("", _set_in(one.text) + "\n"),
    ]


def prompt(
    stands: ChatStandsData, partial: str, hint: str, *, columns: int, rows: int
) -> Pieces:
    """What stands above and before the line that is typed.

    Args:
        stands: How the chat stands.
        partial: As much of a reply as has come.
        hint: A word to the user, in place of how it stands.
        columns: Of the terminal.
        rows: As many of the reply's last rows are shown at most.
    """
    pieces: Pieces = []
    if partial:
        pieces.append((NAMES["reply"], f"{escape_line(stands.name)}  …\n"))
        lines = _wrap(_set_in(partial), columns)[-max(rows, 1) :]
        pieces.append(("", "".join(f"{line}\n" for line in lines)))
    if hint:
        pieces.append((HINT, f"{fit(hint, max(columns - 1, 1))}\n"))
    else:
        pieces.append((DIM, f"{fit(status(stands), max(columns - 1, 1))}\n"))
    pieces.append(("bold", _PROMPT))
    return pieces


def status(stands: ChatStandsData) -> str:
    """How a chat stands, in a line."""
    words = [f"{stands.chat} {escape_line(stands.name)}"]
    if stands.answering is not None:
        words.append("answers; Ctrl-C interrupts")
    elif stands.state == "backing-off":
        words.append(_held(stands))
    elif stands.state == "starting":
        words.append("starting")
    elif stands.queued:
        words.append("waits")
    else:
        words.append(stands.state)
    waiting = stands.queued - (stands.answering is not None)
    if waiting > 0:
        words.append(f"{waiting} queued")
    if stands.consumers > 1:
        words.append(f"{stands.consumers} are here")
    return " · ".join(words)


def _held(stands: ChatStandsData) -> str:
    until = ""
    if stands.backoff_until is not None:
        at = datetime.fromisoformat(stands.backoff_until).astimezone()
        until = f" until {at:%H:%M:%S}"
    why = [escape_line(w) for w in (stands.problem, stands.remedy) if w]
    return f"backing off{until}" + "".join(f"; {word}" for word in why)


def _set_in(text: str) -> str:
    shown = escape_block(text).rstrip("\n").expandtabs(4)
    return "\n".join(f"  {line}".rstrip() for line in shown.split("\n"))


def _wrap(text: str, columns: int) -> list[str]:
    """Lines no wider than the terminal, broken between words where they can be."""
    most = max(columns - 1, 1)
    rows = []
    for line in text.split("\n"):
        if len(line) <= most and line.isascii():
            rows.append(line)
        else:
            rows.extend(_broken(line, most))
    return rows


def _broken(line: str, most: int) -> Iterator[str]:
    start = width = 0
    # after the last space behind a word of this row, and how wide it is up to there
    gap = wide = 0
    has_word = False
    for at, character in enumerate(line):
        cells = cell_width(character)
        if width + cells > most and at > start and character != " ":
            if gap <= start:
                gap, wide = at, width
            yield line[start:gap].rstrip(" ")
            start, width = gap, width - wide
        width += cells
        if character != " ":
            has_word = True
        elif has_word:
            gap, wide = at + 1, width
    yield line[start:]
