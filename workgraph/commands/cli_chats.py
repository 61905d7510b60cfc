"""The commands of chats: `wg chat …`, and two of `wg service` (CONTRACT §8)."""

from typing import Annotated

import typer

from workgraph.commands.cli_call import WgCommand, new_app, own_task
from workgraph.graph.chat_requests import (
    ArchiveChat,
    AttachChat,
    CreateChat,
    GetChatHistory,
    InterruptChat,
    ListChats,
    PurgeChats,
    RestoreChat,
    SendToChat,
    ShowChat,
)
from workgraph.graph.errors import UsageError

Id = Annotated[
    str | None,
    typer.Argument(metavar="ID", show_default=False, help=".chat-3, 3, or its name."),
]
Name = Annotated[
    str | None, typer.Argument(metavar="[NAME]", show_default=False, help="Its name.")
]
Executor = Annotated[
    str | None, typer.Option("--executor", metavar="X", help="Who answers.")
]
Model = Annotated[str | None, typer.Option("--model", metavar="M", help="The model.")]
Exec = Annotated[
    str | None,
    typer.Option("--exec", metavar="CMD", help="A command answers, in lines of JSON."),
]
Last = Annotated[
    int | None,
    typer.Option("--last", min=0, metavar="N", help="No more than the last N."),
]


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    chat = new_app("chat", "Lasting conversations with agents.")
    chat.command("new", cls=WgCommand)(_new)
    chat.command("send", cls=WgCommand)(_send)
    chat.command("attach", cls=WgCommand)(_attach)
    chat.command("list", cls=WgCommand)(_list)
    chat.command("show", cls=WgCommand)(_show)
    chat.command("history", cls=WgCommand)(_history)
    chat.command("archive", cls=WgCommand)(_archive)
    chat.command("restore", cls=WgCommand)(_restore)
    chat.command("interrupt", cls=WgCommand)(_interrupt)
    app.add_typer(chat)


def register_with_service(service: typer.Typer) -> None:
    """Adds those that are commands of `wg service`."""
    service.command("create-chat", cls=WgCommand)(_new)
    service.command("purge-chats", cls=WgCommand)(_purge)


def _new(
    name: Name = None,
    executor: Executor = None,
    model: Model = None,
    exec_: Exec = None,
) -> CreateChat:
    """Begin a conversation; print its id."""
    return CreateChat(name=name, executor=executor, model=model, exec=exec_)


def _send(
    id: Id = None,
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXT", show_default=False, help="What is said; - reads it."
        ),
    ] = None,
    wait: Annotated[
        str | None,
        typer.Option("--wait", metavar="D", help="Print the reply, within D."),
    ] = None,
) -> SendToChat:
    """Say something; print the number of the message."""
    if not id or text is None:
        raise UsageError("the id of the chat or the text is missing")
    return SendToChat(task=id, text=text, wait=wait)


def _attach(ctx: typer.Context, id: Id = None, last: Last = None) -> AttachChat:
    """Talk with it in this terminal."""
    return AttachChat(task=_the_chat(ctx, id), last=last)


def _list(
    all: Annotated[bool, typer.Option("--all", help="Archived ones, too.")] = False,
) -> ListChats:
    """List conversations and what they do."""
    return ListChats(all=all)


def _show(ctx: typer.Context, id: Id = None) -> ShowChat:
    """Show a conversation and what it does."""
    return ShowChat(task=_the_chat(ctx, id))


def _history(ctx: typer.Context, id: Id = None, last: Last = None) -> GetChatHistory:
    """Show what was said."""
    return GetChatHistory(task=_the_chat(ctx, id), last=last)


def _archive(ctx: typer.Context, id: Id = None) -> ArchiveChat:
    """Put a conversation away; end who answers in it."""
    return ArchiveChat(task=_the_chat(ctx, id))


def _restore(ctx: typer.Context, id: Id = None) -> RestoreChat:
    """Take up a conversation that was archived."""
    return RestoreChat(task=_the_chat(ctx, id))


def _interrupt(ctx: typer.Context, id: Id = None) -> InterruptChat:
    """Stop the answer that is being given; the conversation goes on."""
    return InterruptChat(task=_the_chat(ctx, id))


def _purge(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be, and change nothing.")
    ] = False,
) -> PurgeChats:
    """Archive every conversation; keep what was said."""
    return PurgeChats(dry_run=dry_run)


def _the_chat(ctx: typer.Context, word: str | None) -> str:
    """The chat that is named, or the one that the caller answers in.

    Raises:
        UsageError: None is.
    """
    chat = word or own_task(ctx)
    if not chat:
        raise UsageError("the id of the chat is missing", hint="wg chat list")
    return chat
