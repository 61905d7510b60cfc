"""Chats as people read them; what was said is escaped."""

from collections.abc import Sequence
from typing import Any

from workgraph.commands.escape import escape_line
from workgraph.commands.render_style import (
    Style,
    as_lines,
    block,
    key_lines,
    table,
)
from workgraph.graph import chat_requests as c


def chat_text(request: c.ChatRequest, data: Any, style: Style) -> str:  # noqa: ANN401 - one shape for each request
    """What a request about chats is answered with."""
    match request:
        case c.CreateChat():
            return as_lines([data.id])
        case c.SendToChat():
            return _sent(data, style)
        case c.ListChats():
            return _table(data, style)
        case c.ShowChat():
            return _page(data, style)
        case c.GetChatHistory():
            return history_lines(data, style)
        case c.PurgeChats():
            return _purged(data)
        case c.AttachChat():
            return ""
        case c.ArchiveChat() | c.RestoreChat() | c.InterruptChat():
            return as_lines([f"{data.id}: {style.word(data.state)}"])


def history_lines(said: Sequence[c.ChatMessageData], style: Style) -> str:
    """A heading for each, and its text set in."""
    lines = []
    for one in said:
        lines.append(heading(one, style))
        lines.extend(f"    {line}".rstrip() for line in block(one.text))
    return as_lines(lines)


def heading(one: c.ChatMessageData, style: Style) -> str:
    """Who has said something, and when."""
    about = f" to {one.reply_to}" if one.reply_to is not None else ""
    kind = "" if one.kind == "message" else f" {one.kind}{about}"
    waits = " (waits)" if one.waiting else ""
    return f"{one.id}  {style.moment(one.at)}  {escape_line(one.by)}{kind}{waits}"


def _sent(data: c.SentData, style: Style) -> str:
    del style
    if data.reply is None:
        return f"{data.id}\n"
    if data.reply.kind == "error":
        return ""
    return as_lines(block(data.reply.text))


def refusal_text(data: c.SentData) -> str:
    """What a message was answered with in place of a reply: for standard error."""
    if data.reply is None or data.reply.kind != "error":
        return ""
    return as_lines(block(data.reply.text))


def _table(chats: Sequence[c.ChatData], style: Style) -> str:
    rows = [
        (
            one.id,
            _state(one, style),
            str(one.consumers),
            str(one.queued),
            style.moment(one.last_consumer_at),
            escape_line(one.name),
        )
        for one in chats
    ]
    heads = ("ID", "STATE", "CONSUMERS", "QUEUED", "LAST THERE", "NAME")
    return table(heads, rows, style, words=1)


def _state(one: c.ChatData, style: Style) -> str:
    if one.state == "backing-off" and one.backoff_until is not None:
        return f"{one.state} until {style.moment(one.backoff_until)}"
    return one.state


def _page(one: c.ChatData, style: Style) -> str:
    lines = [f"{one.id}: {escape_line(one.name)}"]
    lines += key_lines(
        (
            ("state", _state(one, style)),
            ("problem", one.problem),
            ("remedy", one.remedy),
            ("consumers", str(one.consumers)),
            ("queued", str(one.queued)),
            ("last there", style.moment(one.last_consumer_at)),
            ("handler", one.handler),
            ("crashes in a row", str(one.failures) if one.failures else None),
            ("executor", one.executor),
            ("model", one.model),
            ("exec", one.exec),
            ("session", one.session),
            ("begun", f"{style.moment(one.created_at)} by {one.by}"),
            ("archived", one.archived_at and style.moment(one.archived_at)),
            ("purged", one.purged_at and style.moment(one.purged_at)),
        )
    )
    return as_lines(lines)


def _purged(data: c.PurgedData) -> str:
    if not data.chats and not data.handlers:
        return "there is nothing to purge\n"
    would = "would be " if data.dry_run else ""
    lines = [f"{chat}: {would}archived" for chat in data.chats]
    lines += [f"{agent}: {would}ended" for agent in data.handlers]
    return as_lines(lines)
