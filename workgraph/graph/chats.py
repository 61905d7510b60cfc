"""Chats: conversations that last, and when a process is wanted for one (CONTRACT §8).

A chat is a row and a task `.chat-N`, which is parked for good: it is never ready. What
answers is a handler, an agent of that task that holds no claim. `wanted` says whether
one is to be there; nothing else starts one.
"""

import re
from enum import StrEnum
from typing import Final, Literal

from workgraph.graph.model import Agent, Parked, Record
from workgraph.graph.times import Duration

#: What a chat's node is kept out of dispatch by (docs/adr/0007).
PARKED_CODE: Final = "chat"
TAG: Final = "chat"
ARCHIVED_TAG: Final = "archived"
#: A message that has ended so many handlers is answered with an error.
MOST_DELIVERIES: Final = 3
#: The gap after the first crash, which doubles with each up to the second one.
BACKOFF: Final = Duration(1)
BACKOFF_MAX: Final = Duration(300)
#: What ends sooner has crashed, whatever its status.
TOO_FAST: Final = Duration(1)

_MAX_DOUBLINGS: Final = 20

_ID: Final = re.compile(r"\.chat-(0|[1-9][0-9]{0,17})")

MessageKind = Literal["message", "reply", "note", "error"]


class Chat(Record, frozen=True, kw_only=True):
    """A conversation, as its row has it."""

    number: int
    #: Its node in the graph: name, executor, model and command are that one's.
    task: str
    created_at: int
    by: str
    last_consumer_at: int | None = None
    #: The number of the agent that answers, until its end was dealt with.
    handler: int | None = None
    session: str | None = None
    session_executor: str | None = None
    session_account: str | None = None
    session_workspace: str | None = None
    #: The last change of the graph that was told with what has been answered.
    told: int = 0
    #: The last change that the handler which is there was told of.
    telling: int = 0
    #: The handler that is there was given a message in its life.
    given: bool = False
    failures: int = 0
    backoff_until: int | None = None
    #: Something has gone well since the last crash was forgotten: a message was
    #: answered, or a handler that had nothing to do has ended with 0.
    answered: bool = False
    problem: str | None = None
    remedy: str | None = None
    #: How often in a row that was looked at in vain.
    looks: int = 0
    archived_at: int | None = None
    purged_at: int | None = None


class ChatMessage(Record, frozen=True, kw_only=True):
    """Something that was said in a chat."""

    number: int
    chat: int
    at: int
    by: str
    kind: MessageKind
    text: str
    reply_to: int | None = None
    #: The handler that has it now.
    agent: int | None = None
    delivered_at: int | None = None
    #: That handler has read it, as far as can be told: only then is its end the
    #: message's doing.
    taken: bool = False
    #: Handlers that have ended with it.
    deliveries: int = 0
    #: When it was answered, or set aside.
    answered_at: int | None = None


class ChatState(StrEnum):
    """What `wg chat list` says of a chat (CONTRACT §8)."""

    IDLE = "idle"
    STARTING = "starting"
    LIVE = "live"
    BACKING_OFF = "backing-off"
    ARCHIVED = "archived"


class Wish(StrEnum):
    """Whether a process is to be there for a chat."""

    #: None: one that is there is ended.
    NONE = "none"
    #: One that is there stays; where there is none, nobody would use it.
    KEEP = "keep"
    #: One is to be there.
    START = "start"


class ChatView(Record, frozen=True, kw_only=True):
    """A chat as the reconciler is shown it."""

    chat: Chat
    #: Its client runs once for each message, and is there for nothing else.
    per_turn: bool
    #: Attached, waiting or watching just now.
    consumers: int
    #: Messages that wait for an answer, the one on its way among them.
    queued: int
    #: The first of them.
    head: ChatMessage | None = None
    #: The handler's row.
    handler: Agent | None = None
    #: It can be written to: this daemon has started it, and it reads.
    has_input: bool = False
    #: Its end was found when this daemon started: nobody knows why it came.
    is_found: bool = False
    #: Its node in the graph is there.
    has_node: bool = True


class ChatsView(Record, frozen=True, kw_only=True):
    """The chats that may need something now."""

    chats: tuple[ChatView, ...] = ()
    #: When the first of the others has to be looked at, if time alone brings that.
    rest_until: int | None = None
    idle_after: Duration = Duration(300)
    #: How long one message may take.
    turn_limit: Duration = Duration(1800)
    #: Neither draining, nor offline, nor frozen.
    may_start: bool = False


class StartHandler(Record, frozen=True, kw_only=True):
    """A process is wanted for a chat, and nothing keeps it back."""

    chat: int


class StopHandler(Record, frozen=True, kw_only=True):
    """The process of a chat is wanted no more, or does not answer."""

    chat: int
    agent: int
    reason: str
    #: It has had its time for a message.
    is_late: bool = False


class DeliverMessage(Record, frozen=True, kw_only=True):
    """A handler that waits is given the next message."""

    chat: int
    agent: int
    message: int


class SettleHandler(Record, frozen=True, kw_only=True):
    """A handler has ended: what that means for its chat and for what it had."""

    chat: int
    agent: int
    #: It counts as a crash.
    crashed: bool
    failures: int
    backoff_until: int | None
    #: How it ended, in one line.
    reason: str
    #: It had nothing to do, and has ended with 0: that keeps no new message waiting.
    is_forgivable: bool = False
    #: Its client does not know the session any more: the next one begins anew.
    is_session_lost: bool = False
    #: The message that it had, which goes back to the head of the queue.
    message: int | None = None
    #: That was the message's doing, as far as can be told.
    counts: bool = False
    #: It has ended so many that it is answered with this error.
    set_aside: str | None = None


class ArchiveChat(Record, frozen=True, kw_only=True):
    """A chat that can't be used, because its task is not there."""

    chat: int
    reason: str


ChatDecision = StartHandler | StopHandler | DeliverMessage | SettleHandler | ArchiveChat


class ChatEvent(Record, frozen=True, kw_only=True):
    """Something that a handler has said, read from its output."""

    #: `reply` ends a turn, as `error` does; `session` names the client's conversation.
    kind: Literal["reply", "note", "error", "session"]
    text: str
    #: The message that it answers; null: the one that it has.
    reply_to: int | None = None


def chat_number(task: str) -> int | None:
    """The number in `.chat-3`; null for what is no chat's id."""
    match = _ID.fullmatch(task)
    return None if match is None else int(match[1])


def is_let_go(agent: Agent) -> bool:
    """Whether its end was ordered, and says nothing of any work: it is a handler."""
    return agent.stop is not None and chat_number(agent.task) is not None


def chat_id(number: int) -> str:
    """The id of a chat and of its task."""
    return f".chat-{number}"


def parked_as_chat(number: int) -> Parked:
    """Why a chat's task is never started."""
    return Parked(
        code=PARKED_CODE,
        message="it is a conversation: nobody works it off",
        remedy=f"wg chat attach {chat_id(number)}",
        key=PARKED_CODE,
    )


def wanted(view: ChatView, now: int, idle_after: Duration) -> Wish:
    """Whether a process is to be there for a chat now. Pure; CONTRACT §8.

    Who was there less than `idle_after` ago may come back, so a process that is there
    stays; but none is started for nobody (docs/adr/0022).
    """
    if view.chat.archived_at is not None or not view.has_node:
        return Wish.NONE
    if view.queued:
        return Wish.START
    if view.per_turn:
        return Wish.NONE
    if view.consumers:
        return Wish.START
    last = view.chat.last_consumer_at
    if last is not None and now < last + idle_after.micros:
        return Wish.KEEP
    return Wish.NONE


def next_change(view: ChatView, now: int, chats: ChatsView) -> int | None:
    """When what is to be done for a chat could change by time alone; null: never. Pure.

    What is to be done just now is not told of: it is done, and then asked again.
    """
    if not chats.may_start:
        return None
    moments: list[int | None] = []
    wish = wanted(view, now, chats.idle_after)
    if view.handler is None:
        if wish is Wish.START:
            moments.append(view.chat.backoff_until)
    else:
        last = view.chat.last_consumer_at
        if wish is Wish.KEEP and last is not None:
            moments.append(last + chats.idle_after.micros)
        moments.append(turn_ends_at(view, chats.turn_limit))
    return min((m for m in moments if m is not None and m > now), default=None)


def turn_ends_at(view: ChatView, limit: Duration) -> int | None:
    """Until when the handler may take for the message that it has; null: it has none.

    One that has answered is ended when nobody uses it, or, where its client runs once
    for a message, soon after its last word (`agents.kill_grace`).
    """
    handler, head = view.handler, view.head
    if handler is None or head is None or head.agent != handler.number:
        return None
    assert head.delivered_at is not None
    return head.delivered_at + limit.micros


def backoff(failures: int) -> int:
    """The gap after so many crashes in a row, in microseconds. Pure."""
    doublings = min(max(failures - 1, 0), _MAX_DOUBLINGS)
    return min(BACKOFF.micros << doublings, BACKOFF_MAX.micros)
