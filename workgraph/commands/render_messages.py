"""Messages and the inbox as people and agents read them; what was said is escaped."""

from collections.abc import Sequence
from typing import Final

from workgraph.commands.escape import escape_line
from workgraph.commands.render_style import Style, as_lines, block
from workgraph.graph.messages import InboxData, MessageData, ReceiptData

#: Of a text that is shown on one line.
_SHORT: Final = 200


def message_lines(messages: Sequence[MessageData], style: Style) -> str:
    """A heading for each, its text set in, and what has become of it."""
    lines = []
    for one in messages:
        lines.append(_heading(one, style))
        lines.extend(f"    {line}".rstrip() for line in block(one.text))
        lines.extend(f"  {_receipt(receipt, style)}" for receipt in one.receipts)
    return as_lines(lines)


def short_lines(messages: Sequence[MessageData], style: Style) -> list[str]:
    """One line for each."""
    return [f"{_heading(one, style)}: {_first_line(one.text)}" for one in messages]


def inbox_lines(items: Sequence[InboxData], style: Style) -> str:
    """What there is to do, and below it the commands that do it."""
    lines = []
    for item in items:
        whose = f" ({escape_line(item.actor)})" if item.actor else ""
        lines.append(
            f"{item.kind}{whose}: {escape_line(item.task)}, {style.moment(item.since)}:"
            f" {_first_line(item.title)}{_more(item)}"
        )
        lines.extend(f"    {line}".rstrip() for line in block(item.text))
        lines.extend(f"  {escape_line(command)}" for command in item.commands)
    return as_lines(lines)


def _more(item: InboxData) -> str:
    if not item.more:
        return ""
    if item.kind != "failed":
        return f" (and {item.more} more)"
    waits = "1 task waits" if item.more == 1 else f"{item.more} tasks wait"
    return f" ({waits} for it)"


def _heading(one: MessageData, style: Style) -> str:
    kind = {
        "question": " asks",
        "answer": f" answers {one.reply_to}" if one.reply_to else " answers",
    }.get(one.kind, "")
    unread = " (unread)" if one.unread else ""
    by = escape_line(one.agent or one.by)
    return f"{one.number}  {style.moment(one.at)}  {by}{kind}{unread}"


def _receipt(one: ReceiptData, style: Style) -> str:
    marks = (
        ("told", one.told_at),
        ("read", one.read_at),
        ("acknowledged", one.acknowledged_at),
    )
    said = ", ".join(f"{word} {style.moment(at)}" for word, at in marks if at)
    return f"{one.agent} (attempt {one.attempt}): {said}"


def _first_line(text: str) -> str:
    line, _, rest = text.strip().partition("\n")
    cut = len(line) > _SHORT or bool(rest)
    return escape_line(line[:_SHORT]) + ("…" if cut else "")
