"""What a chat's handler is told: at its start, and with each message (CONTRACT §8)."""

from workgraph.agents.choices import Grounds
from workgraph.graph.chats import Chat, ChatMessage
from workgraph.graph.context_view import Compiled
from workgraph.graph.tokens import estimate
from workgraph.store.database import Tx


def compile_opening(
    tx: Tx, chat: Chat, grounds: Grounds, *, resumed: bool, message: ChatMessage | None
) -> Compiled:
    """The prompt of a handler at its start, and notes that it is told of what changed.

    Args:
        tx: The transaction that hands it over: the one which starts the handler.
        chat: Whose handler it is.
        grounds: What plans are made from.
        resumed: It goes on with a session, so it knows what was said.
        message: For a client that runs once for each: what it is to answer. Null for
            one that is given its messages later.

    Raises:
        PlanError: What can't be left out is more than its limit of tokens.
    """
    del tx, grounds, resumed
    text = f"You answer in the conversation {chat.task}.\n"
    text += f"\n{message.text}\n" if message is not None else ""
    size = estimate(len(text.encode()))
    return Compiled(text=text, tokens=size, limit=size, blocks=())


def compile_turn(tx: Tx, chat: Chat, message: ChatMessage, grounds: Grounds) -> str:
    """What a handler that is kept open is given for a message.

    That is what has changed in the graph since its last turn, where anything has, and
    the message. It notes that the chat is told of that.

    Args:
        tx: The transaction that delivers the message.
        chat: Whose handler it is.
        message: What it is to answer.
        grounds: What plans are made from.
    """
    del tx, chat, grounds
    return message.text
