"""What a chat's token may do: shape the graph below its chat, and nothing else.

An attempt works on one task and holds it; a handler holds nothing. Who talks to it may
ask for anything, so its way to commands, files and other people's tasks is closed here
(CONTRACT §4).
"""

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from workgraph.commands.context import Context
from workgraph.graph import requests as r
from workgraph.graph.chats import chat_number
from workgraph.graph.errors import ForbiddenError
from workgraph.graph.messages import SendMessage
from workgraph.graph.model import Agent
from workgraph.store import chat_limits, reads
from workgraph.store.database import Tx

#: What a chat can do about a refusal.
CHAT_HINT: Final = (
    "a chat reads all, adds tasks and changes those that it has added: say which"
    " command would do it, and people decide"
)


class ChatReach(StrEnum):
    """How far a chat's token reaches beyond reading."""

    #: New tasks, within the limits.
    ADD = "add"
    #: Tasks that a handler of the chat has added, and what was added below them.
    MADE = "made"
    #: The chat's own node.
    OWN = "own"


#: What is not here, and does not only read, is not for a chat.
CHAT_REACH: Final = MappingProxyType(
    {
        r.AddTask: ChatReach.ADD,
        r.EditTask: ChatReach.MADE,
        r.LinkTask: ChatReach.MADE,
        r.UnlinkTask: ChatReach.MADE,
        SendMessage: ChatReach.MADE,
        r.Log: ChatReach.OWN,
        r.Heartbeat: ChatReach.OWN,
    }
)


def is_of_chat(agent: Agent) -> bool:
    """Whether an agent is a chat's handler, and no attempt at somebody's task."""
    return chat_number(agent.task) is not None


def check_chat_access(tx: Tx, agent: Agent, request: r.AnyRequest) -> None:
    """Refuses what a chat's handler may not do; reading is free.

    Raises:
        ForbiddenError: Its token does not reach that far.
        NotFoundError: There is no such task.
    """
    named = getattr(request, "task", None)
    match CHAT_REACH.get(type(request)):
        case ChatReach.ADD:
            return
        case ChatReach.OWN:
            if named == agent.task:
                return
            message = f"{named} is not {agent.task}, whose log alone a chat keeps"
            raise ForbiddenError(message, hint=CHAT_HINT)
        case ChatReach.MADE if not _is_receipt(request):
            task = reads.task(tx, named or "").id
            if task == agent.task:
                message = f"{task} is the conversation: people change it"
                raise ForbiddenError(message, hint=CHAT_HINT)
            if reads.root_of(tx, task) == agent.task:
                return
        case _:
            tag = request.__struct_config__.tag
            message = f"{agent.id} answers in {agent.task}: {tag} is not for a chat"
            raise ForbiddenError(message, hint=CHAT_HINT)
    raise ForbiddenError(
        f"{named} was not added by {agent.task}, nor below what that has added",
        hint=CHAT_HINT,
    )


def check_new_task(context: Context, agent: Agent) -> None:
    """Refuses one task more than a chat may add for a message, or have unfinished.

    Raises:
        ForbiddenError: It is one too many.
    """
    limits = context.settings.agents
    if (
        chat_limits.count_added(context.tx, agent.task, agent.id)
        >= limits.max_new_tasks
    ):
        raise ForbiddenError(
            f"{agent.task} has added {limits.max_new_tasks} tasks for this message,"
            " the most it may",
            hint="go on with the next message, or raise [agents].max_new_tasks",
        )


def check_below(context: Context, chat: str) -> None:
    """Refuses one unfinished task more than there may be below a chat.

    Raises:
        ForbiddenError: It is one too many.
    """
    most = context.settings.agents.max_descendants
    if chat_limits.count_unfinished_below(context.tx, chat, most) >= most:
        raise ForbiddenError(
            f"{most} tasks below {chat} are not finished, the most there may be",
            hint="wait for some of them, or raise [agents].max_descendants",
        )


def _is_receipt(request: r.AnyRequest) -> bool:
    """An attempt is done with messages to its task; a chat has none there."""
    return isinstance(request, SendMessage) and request.text is None
