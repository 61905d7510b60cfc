"""Handlers of chats: new, send, list, show, archive, restore, interrupt, purge."""

import difflib
from collections.abc import Callable
from typing import Final

from workgraph.commands.chat_standing import stand_of
from workgraph.commands.chat_tasks import put_away, take_up
from workgraph.commands.context import Answer, Context, Deferred
from workgraph.commands.shapes_chats import message_data
from workgraph.graph import chat_requests as c
from workgraph.graph.chats import TAG, Chat, ChatMessage, chat_id
from workgraph.graph.errors import (
    NeedsDaemonError,
    NotFoundError,
    UsageError,
    UserError,
)
from workgraph.graph.model import (
    DEFAULT_PRIORITY,
    Agent,
    AgentStatus,
    Stop,
    StopThen,
    TaskSpec,
)
from workgraph.graph.replies import Reply
from workgraph.store import agent_reads, agents, chats, reads, writes
from workgraph.store.database import Tx

#: The executor of commands: `--exec` says it.
_SHELL: Final = "shell"
#: Among so many the one that may have been meant is looked for.
_MOST_NAMES: Final = 1000
_LONGEST_WORD: Final = 100
#: More digits than a number has.
_MOST_DIGITS: Final = 18
_UNHEARD: Final = "nobody answers before a daemon runs: wg service start"


def _nobody_is_told(context: Context, chat: Chat, message: ChatMessage) -> bool:
    del context, chat, message
    return False


def resolve(tx: Tx, word: str | None) -> Chat:
    """The chat that a word names: `.chat-3`, `chat-3`, `3`, or a name of one alone.

    Raises:
        NotFoundError: It names none.
        UserError: It names several.
    """
    word = (word or "").strip()
    number = _number(word)
    if number is not None and (chat := chats.find(tx, number)) is not None:
        return chat
    found = chats.named(tx, word)
    if not found:
        raise _no_such_chat(tx, word)
    usable = [chat for chat in found if chat.archived_at is None]
    several = usable or found
    if len(several) > 1:
        named = ", ".join(chat.task for chat in several)
        raise UserError(f"several chats are named {word}", hint=f"say which: {named}")
    return several[0]


def _no_such_chat(tx: Tx, word: str) -> NotFoundError:
    near: list[str] = []
    if len(word) <= _LONGEST_WORD:  # what is longer is no name that was mistyped
        near = difflib.get_close_matches(word, chats.names(tx, _MOST_NAMES), n=2)
    shown = word if len(word) <= _LONGEST_WORD else f"{word[:_LONGEST_WORD]}…"
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return NotFoundError(
        f"there is no chat {shown!r}", hint=f"{meant}wg chat list --all"
    )


def create_chat(context: Context, request: c.CreateChat) -> Reply:
    """Begins a conversation: its node and its row; nothing is started."""
    tx, by = context.tx, context.caller.by
    _check_who_answers(request)
    number = chats.next_number(tx)
    while reads.is_taken(tx, chat_id(number)):
        number += 1
    name = f"chat {number}" if request.name is None else request.name.strip()
    if not name:
        raise UsageError("the name of a chat is empty", hint="wg chat new NAME")
    spec = TaskSpec(
        title=name,
        tags=(TAG,),
        executor=request.executor or None,
        model=request.model or None,
        exec=request.exec,
    )
    new = writes.NewTask(id=chat_id(number), spec=spec, priority=DEFAULT_PRIORITY)
    writes.insert_task(tx, new, by)
    chat = Chat(number=number, task=new.id, created_at=tx.now, by=by)
    chats.insert_chat(tx, chat)
    chats.park(tx, chat)
    return _reply(context, chat)


def send_to_chat(context: Context, request: c.SendToChat) -> Answer:
    """Queues a message. Who sends counts as having been there.

    Raises:
        UserError: The chat is archived, or nothing is said.
        NeedsDaemonError: A reply is to be waited for, and nobody could give one.
    """
    if request.wait is not None:
        raise needs_daemon_to_wait()
    sent = queue_message(context, request)
    return Reply(data=sent, notes=() if context.is_served else (_UNHEARD,))


def queue_message(context: Context, request: c.SendToChat) -> c.SentData:
    """Adds a message to the queue of a chat; says its number.

    Raises:
        UserError: The chat is archived, or nothing is said.
    """
    tx = context.tx
    chat = usable(tx, request.task)
    text = request.text or ""
    if not text.strip():
        raise UserError("the message is empty", hint="wg chat send ID TEXT")
    by = _speaker(context, request.by)
    number = chats.say(tx, chat, "message", text, by=by)
    chats.note_consumer(tx, chat.number)
    chats.forget_crashes(tx, chat.number)
    return c.SentData(id=number, chat=chat.task)


def attach_chat(context: Context, request: c.AttachChat) -> Answer:
    """A conversation needs a process, which is the daemon's.

    Raises:
        NeedsDaemonError: There is none here.
    """
    raise needs_daemon_to_attach(usable(context.tx, request.task))


def list_chats(context: Context, request: c.ListChats) -> Reply:
    """All chats, the first one first; archived ones where they are asked for."""
    found = chats.list_chats(context.tx)
    return Reply(
        data=tuple(
            stand_of(context, chat)
            for chat in found
            if request.all or chat.archived_at is None
        )
    )


def show_chat(context: Context, request: c.ShowChat) -> Reply:
    """A chat, and what it does now."""
    return _reply(context, resolve(context.tx, request.task))


def chat_history(context: Context, request: c.GetChatHistory) -> Reply:
    """What was said in a chat, the first of it first."""
    if request.last is not None and request.last < 0:
        raise UsageError(f"{request.last} is no number of messages", hint="0 or more")
    chat = resolve(context.tx, request.task)
    said = chats.history(context.tx, chat.number, last=request.last)
    return Reply(data=tuple(map(message_data, said)))


def archive_chat(context: Context, request: c.ArchiveChat) -> Answer:
    """Puts a chat away; a process that answers in it is ended first."""
    tx, by = context.tx, context.caller.by
    chat = resolve(tx, request.task)
    if chat.archived_at is None:
        put_away(tx, chat, by)
    ended = _end_handlers(tx, [chat], by, "its chat was archived")
    if not ended:
        return _reply(context, chats.by_number(tx, chat.number))
    return Deferred(
        agents=tuple(agent.number for agent in ended),
        finish=lambda later: _reply(later, chats.by_number(later.tx, chat.number)),
    )


def restore_chat(context: Context, request: c.RestoreChat) -> Reply:
    """Takes a chat up again, with all that was said in it."""
    tx = context.tx
    chat = resolve(tx, request.task)
    if chat.archived_at is not None:
        if not reads.is_taken(tx, chat.task):
            raise UserError(
                f"the task {chat.task} is not there, so the chat can't be used",
                hint=f"wg chat history {chat.task} shows it; wg chat new begins"
                " another one",
            )
        take_up(tx, chat, context.caller.by)
    return _reply(context, chats.by_number(tx, chat.number))


def interrupt_chat(
    context: Context,
    request: c.InterruptChat,
    is_told: Callable[[Context, Chat, ChatMessage], bool] = _nobody_is_told,
) -> Answer:
    """Answers the message that is on its way with an error, and stops its turn.

    Args:
        context: The request's surroundings.
        request: The request.
        is_told: Whether its handler is told to stop; otherwise it is ended.
    """
    tx = context.tx
    by = _speaker(context, request.by)
    chat = resolve(tx, request.task)
    head = chats.head(tx, chat.number)
    if head is None or head.agent is None:
        return _reply(context, chat, "nothing runs in it")
    chats.answer(tx, chat, head.number, "error", f"interrupted by {by}", by=by)
    note = f"message {head.number} was answered with an error"
    is_kept = is_told(context, chat, head)
    agent = agent_reads.by_number(tx, head.agent)
    if is_kept or agent.status is AgentStatus.ENDED:
        return _reply(context, chats.by_number(tx, chat.number), note)
    if agent.status is not AgentStatus.STOPPING:
        reason = f"interrupted by {by}"
        stop = Stop(then=StopThen.NOTHING, by=by, reason=reason)
        agents.order_stop(tx, agent, stop, None)
    return Deferred(
        agents=(agent.number,),
        finish=lambda later: _reply(
            later, chats.by_number(later.tx, chat.number), note
        ),
    )


def purge_chats(context: Context, request: c.PurgeChats) -> Answer:
    """Archives every chat and ends every handler; nodes and histories stay."""
    tx, by = context.tx, context.caller.by
    found = [chat for chat in chats.list_chats(tx) if chat.purged_at is None]
    names = tuple(chat.task for chat in found)
    if request.dry_run:
        live = tuple(agent.id for agent in _handlers(tx, chats.list_chats(tx)))
        return Reply(data=c.PurgedData(chats=names, handlers=live, dry_run=True))
    for chat in found:
        put_away(tx, chat, by, purged=True)
    ended = _end_handlers(tx, chats.list_chats(tx), by, "all chats were purged")
    reply = Reply(
        data=c.PurgedData(chats=names, handlers=tuple(one.id for one in ended))
    )
    if not ended:
        return reply
    return Deferred(
        agents=tuple(agent.number for agent in ended), finish=lambda _: reply
    )


def usable(tx: Tx, word: str | None) -> Chat:
    """A chat in which something can be said.

    Raises:
        UserError: It is archived.
    """
    chat = resolve(tx, word)
    if chat.archived_at is not None:
        raise UserError(f"{chat.task} is archived", hint=f"wg chat restore {chat.task}")
    return chat


def needs_daemon_to_wait() -> NeedsDaemonError:
    """Nobody could give a reply."""
    return NeedsDaemonError(
        "a daemon is needed to wait for a reply, and none is running",
        hint="wg service start; without --wait the message is queued",
    )


def needs_daemon_to_attach(chat: Chat) -> NeedsDaemonError:
    """There is nobody to talk with."""
    return NeedsDaemonError(
        f"a daemon is needed to attach to {chat.task}, and none is running",
        hint=f"wg service start; wg chat history {chat.task} shows what was said",
    )


def _speaker(context: Context, name: str | None) -> str:
    """Who speaks: people who are one user say it, an agent is known."""
    caller = context.caller
    return caller.by if caller.agent is not None else name or caller.by


def _number(word: str) -> int | None:
    digits = word.removeprefix(".").removeprefix("chat-")
    plain = digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS
    return int(digits) if plain else None


def _check_who_answers(request: c.CreateChat) -> None:
    """A command answers, or a client: not both."""
    if request.exec is None:
        if request.executor == _SHELL:
            raise UsageError("a chat of the shell needs a command", hint="--exec CMD")
        return
    if request.executor not in {None, _SHELL} or request.model:
        raise UsageError(
            "--exec is answered by a command: it has no executor and no model",
            hint="wg chat new NAME --exec CMD, or --executor X --model M",
        )
    if not request.exec.strip() or "\0" in request.exec:
        raise UsageError(
            "the command is empty, or has a NUL in it", hint="wg chat new --exec CMD"
        )


def _handlers(tx: Tx, found: list[Chat]) -> list[Agent]:
    """Who answers in some chats, as far as they are there."""
    named = [chat.handler for chat in found if chat.handler is not None]
    return [
        agent
        for agent in (agent_reads.by_number(tx, number) for number in named)
        if agent.status is not AgentStatus.ENDED
    ]


def _end_handlers(tx: Tx, found: list[Chat], by: str, reason: str) -> list[Agent]:
    """Orders the end of those that answer in some chats; says whose."""
    live = _handlers(tx, found)
    stop = Stop(then=StopThen.NOTHING, by=by, reason=reason)
    for agent in live:
        if agent.status is not AgentStatus.STOPPING:
            agents.order_stop(tx, agent, stop, None)
    return live


def _reply(context: Context, chat: Chat, *notes: str) -> Reply:
    return Reply(data=stand_of(context, chat), notes=notes)
