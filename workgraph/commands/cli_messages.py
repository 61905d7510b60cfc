"""Commands for messages, and for what waits for a person."""

from typing import Annotated

import typer

from workgraph.commands.cli_call import (
    TaskOption,
    WgCommand,
    own_task,
    the_task,
)
from workgraph.graph.errors import UsageError
from workgraph.graph.messages import GetInbox, SendMessage


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    app.command("msg", cls=WgCommand)(_msg)
    app.command("inbox", cls=WgCommand)(_inbox)


def _msg(
    ctx: typer.Context,
    *,
    first: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The task.")
    ] = None,
    second: Annotated[
        str | None, typer.Argument(metavar="[TEXT]", help="The message; - reads it.")
    ] = None,
    other: TaskOption = None,
    list: Annotated[
        bool, typer.Option("--list", help="Show the messages; an agent reads its own.")
    ] = False,
    ack: Annotated[
        list[int] | None,
        typer.Option("--ack", metavar="N", help="Be done with this message."),
    ] = None,
    ack_all: Annotated[
        bool, typer.Option("--ack-all", help="Be done with all that were read.")
    ] = False,
) -> SendMessage:
    """Leave a message for whoever works on a task, or read those of one's own."""
    words = [word for word in (first, second) if word is not None]
    if list or ack or ack_all:
        task = the_task(ctx, words.pop(0) if words else None, other)
        if words:
            raise UsageError("--list and --ack take no message")
        return SendMessage(task=task, list=list, ack=tuple(ack or ()), ack_all=ack_all)
    left_out = other is not None or (own_task(ctx) is not None and len(words) == 1)
    task = the_task(ctx, None if left_out or not words else words.pop(0), other)
    if not words:
        raise UsageError("a message is missing")
    if len(words) > 1:
        raise UsageError(f"{words[-1]!r} is one word too many beside --task")
    return SendMessage(task=task, text=words[0])


def _inbox(
    actor: Annotated[
        str | None,
        typer.Option("--actor", metavar="NAME", help="Only what is this person's."),
    ] = None,
) -> GetInbox:
    """List what waits for a person, with the commands that deal with it."""
    return GetInbox(actor=actor)
