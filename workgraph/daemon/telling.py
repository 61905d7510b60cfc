"""What a chat's handler is told: at its start, and with each message (CONTRACT §8).

`chats.telling` moves on in the transaction that hands it over, so a handler is told
nothing twice. It counts as told for the next one, `chats.told`, when an answer has
come: so nothing is left out, whatever is killed when.
"""

from typing import Final

from msgspec.structs import replace

from workgraph.agents import conversation
from workgraph.agents.choices import (
    Flags,
    Grounds,
    choose_executor,
    choose_working_dir,
)
from workgraph.agents.context import room_for
from workgraph.daemon.hiding import hide_secrets
from workgraph.graph.chats import Chat, ChatMessage
from workgraph.graph.context_view import Compiled
from workgraph.graph.conversation_view import ConversationView
from workgraph.graph.tokens import bytes_of
from workgraph.store import chats, reads
from workgraph.store import conversation as rows
from workgraph.store.database import Tx

#: Linux takes no argument of 128 KiB or more.
_MOST_IN_AN_ARGUMENT: Final = 34_000


def compile_opening(
    tx: Tx, chat: Chat, grounds: Grounds, *, resumed: bool, message: ChatMessage | None
) -> Compiled:
    """The prompt of a handler at its start, and notes what it is told of.

    Args:
        tx: The transaction that hands it over: the one which starts the handler.
        chat: Whose handler it is.
        grounds: What plans are made from.
        resumed: It goes on with a session, so it knows what was said.
        message: For a client that runs once for each: what it is to answer. Null for
            one that is given its messages later.

    Raises:
        PlanError: What can't be left out is more than its limit of tokens; nothing was
            written.
    """
    compiled, last = _opening(tx, chat, grounds, resumed, message)
    rows.note_told(tx, chat, last)
    return compiled


def preview_opening(
    tx: Tx, chat: Chat, grounds: Grounds, *, resumed: bool, message: ChatMessage | None
) -> Compiled:
    """What a handler would be told that is started now; writes nothing.

    Raises:
        PlanError: As above.
    """
    compiled, _ = _opening(tx, chat, grounds, resumed, message)
    return compiled


def compile_turn(tx: Tx, chat: Chat, message: ChatMessage, grounds: Grounds) -> str:
    """What a handler that is kept open is given for a message.

    That is what has changed in the graph since its last turn, where anything has, and
    the message, each in its block. It notes what it is told of.

    Args:
        tx: The transaction that delivers the message.
        chat: Whose handler it is.
        message: What it is to answer.
        grounds: What plans are made from.

    Raises:
        PlanError: The limit of tokens is too small for any message.
    """
    # Another transaction may have told it of something since it was read.
    chat = chats.by_number(tx, chat.number)
    heard = rows.heard_since(tx, chat, conversation.TOLD_OF)
    view = ConversationView(
        task=chat.task,
        name="",
        by=chat.by,
        heard=heard,
        message=rows.said_of(message),
    )
    limit = room_for(None, grounds.layered.settings.context)
    compiled = conversation.compile_turn(view, limit, hide=hide_secrets(grounds))
    rows.note_told(tx, chat, heard.last)
    return compiled.text


def _opening(
    tx: Tx,
    chat: Chat,
    grounds: Grounds,
    resumed: bool,  # noqa: FBT001 - by keyword where it is public
    message: ChatMessage | None,
) -> tuple[Compiled, int]:
    settings = grounds.layered.settings
    node = reads.task(tx, chat.task)
    _, executor = choose_executor(grounds, node, None, Flags())
    tokens = settings.chat.history_tokens
    start = ConversationView(
        task=chat.task,
        name=node.spec.title,
        by=chat.by,
        description=node.spec.description,
        prompt=node.spec.prompt or "",
        preamble=executor.preamble,
        project_dir=grounds.host.project_dir,
        folder=choose_working_dir(grounds.host, node).value,
        max_new_tasks=settings.agents.max_new_tasks,
        resumed=resumed,
    )
    extent = rows.Extent(
        kinds=conversation.TOLD_OF,
        room=bytes_of(tokens),
        share=conversation.history_share(tokens),
    )
    view = rows.fill(tx, chats.by_number(tx, chat.number), start, extent)
    if message is not None:
        view = replace(view, message=rows.said_of(message))
    limit = room_for(None, settings.context)
    if executor.prompt == "argument":
        limit = min(limit, _MOST_IN_AN_ARGUMENT)
    hide = hide_secrets(grounds)
    compiled = conversation.compile_opening(view, limit, tokens, hide=hide)
    return compiled, view.heard.last
