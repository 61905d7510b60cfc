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
            f"{one.consumers} attached" if one.consumers else "-",
            f"{one.queued} waiting" if one.queued else "-",
            style.moment(one.last_consumer_at),
            escape_line(one.name),
        )
        for one in chats
    ]
    heads = ("ID", "STATE", "PEOPLE", "MESSAGES", "LAST USED", "NAME")
    return table(heads, rows, style, words=1)


def _state(one: c.ChatData, style: Style) -> str:
    if one.state == "backing-off" and one.backoff_until is not None:
        return f"{one.state} until {style.moment(one.backoff_until)}"
    return one.state


def _page(one: c.ChatData, style: Style) -> str:
    begun = f"{style.moment(one.created_at)} by {one.by}"
    return as_lines(
        [
            *key_lines((("ID", one.id), ("Name", one.name))),
            *stands_lines(one, style),
            *key_lines(
                (
                    ("Exec", one.exec),
                    ("Executor", one.executor),
                    ("Model", one.model),
                    ("Begun", begun if one.created_at else None),
                )
            ),
        ]
    )


def stands_lines(one: c.ChatData, style: Style) -> list[str]:
    """How a chat stands: `Key: value` lines, for its page and its task's."""
    last = one.last_consumer_at
    return [
        f"State: {_state(one, style)}",
        *key_lines(
            (
                ("Problem", one.problem),
                ("Remedy", one.remedy),
                ("Attached", str(one.consumers or "nobody")),
                ("Messages waiting", str(one.queued or "none")),
                ("Last used", style.moment(last) if last else "never"),
                ("Handler", one.handler),
                ("Crashes in a row", _crashes(one)),
                ("Session", one.session),
                ("Archived", one.archived_at and style.moment(one.archived_at)),
                ("Purged", one.purged_at and style.moment(one.purged_at)),
            )
        ),
    ]


def all_chats_line(all_of_them: c.ChatsData) -> str | None:
    """How many chats do what, in a line; null where there is none."""
    states = [
        f"{count} {state}" for state, count in all_of_them.counts.items() if count
    ]
    if not states:
        return None
    waiting, here = all_of_them.queued, all_of_them.consumers
    words = [", ".join(states)]
    if waiting:
        words.append("1 message waits" if waiting == 1 else f"{waiting} messages wait")
    if here:
        words.append(f"{here} attached")
    return "; ".join(words)


def held_lines(held: Sequence[c.ChatData], style: Style) -> list[str]:
    """A line for each that can't answer just now, with the reason."""
    return [
        escape_line(f"Chat {one.id}: {_state(one, style)}: {_why_held(one)}")
        for one in held
    ]


def _why_held(one: c.ChatData) -> str:
    if one.problem is None:
        times = "once" if one.failures == 1 else f"{one.failures} times in a row"
        return f"its handler has crashed {times} → wg chat show {one.id}"
    return one.problem + (f" → {one.remedy}" if one.remedy else "")


def _crashes(one: c.ChatData) -> str | None:
    if not one.failures:
        return None
    return (
        f"{one.failures} (wg show {one.id} names its handlers, wg output AGENT shows"
        " what they have written)"
    )


def _purged(data: c.PurgedData) -> str:
    if not data.chats and not data.handlers:
        return "there is nothing to purge\n"
    would = "would be " if data.dry_run else ""
    lines = [f"{chat}: {would}archived" for chat in data.chats]
    lines += [f"{agent}: {would}ended" for agent in data.handlers]
    return as_lines(lines)
