"""The reconciler of chats: what is there is made to be what is wanted (CONTRACT §8).

A chat's handler, from its row to the moment at which its end is settled, is the only
one that there may be. What is to be done for a chat follows from its row, its handler's
and the first message that waits:

- its handler has ended: that is settled, once, and what it had goes back;
- its node is gone: it is archived;
- its handler is there and is not wanted, or can't be written to any more and has
  nothing to answer, or has had its time for a message: it is ended;
- its handler waits, and so does a message: it is given that;
- none is there and one is wanted: it is started, when its backoff is over.

An end that nobody has ordered is a crash if its status is not 0, if it came within a
second, or if a message was left unanswered, or if it was never given one: then the
next start waits, twice as long each time. So nothing that only ends is started in a
loop, whatever it exits with and whenever.
"""

from collections.abc import Iterator
from typing import Final

from workgraph.graph.chats import (
    MOST_DELIVERIES,
    TOO_FAST,
    ArchiveChat,
    ChatDecision,
    ChatsView,
    ChatView,
    DeliverMessage,
    SettleHandler,
    StartHandler,
    StopHandler,
    Wish,
    backoff,
    next_change,
    turn_ends_at,
    wanted,
)
from workgraph.graph.model import Agent, AgentStatus, EndKind, Outcome
from workgraph.graph.times import format_duration
from workgraph.reactors import clients

#: Ends that say something about the account, which has a backoff of its own.
_PROVIDERS: Final = frozenset(
    {EndKind.AUTH, EndKind.LIMITED, EndKind.OVERLOADED, EndKind.NETWORK}
)


def decide(view: ChatsView, now: int) -> tuple[ChatDecision, ...]:
    """What has ended is settled, what is wanted started, what waits delivered."""
    return tuple(
        decision for chat in view.chats for decision in _decide(chat, view, now)
    )


def wake_at(view: ChatsView, now: int) -> int | None:
    """When something could be due for a chat by time alone; null: never. Pure."""
    moments = [next_change(chat, now, view) for chat in view.chats]
    if view.may_start:
        moments.append(view.rest_until)
    return min((moment for moment in moments if moment is not None), default=None)


def _decide(view: ChatView, chats: ChatsView, now: int) -> Iterator[ChatDecision]:
    chat, handler = view.chat, view.handler
    if not view.has_node and chat.archived_at is None:
        yield ArchiveChat(chat=chat.number, reason="its task is not there")
    if handler is None:
        if _may_start(view, chats, now):
            yield StartHandler(chat=chat.number)
    elif handler.status is AgentStatus.ENDED:
        yield settle(view, handler)
    elif handler.status is not AgentStatus.STOPPING:
        yield from _look_after(view, handler, chats, now)


def _may_start(view: ChatView, chats: ChatsView, now: int) -> bool:
    return (
        chats.may_start
        and wanted(view, now, chats.idle_after) is Wish.START
        and (view.chat.backoff_until or 0) <= now
    )


def _look_after(
    view: ChatView, handler: Agent, chats: ChatsView, now: int
) -> Iterator[ChatDecision]:
    chat, head = view.chat, view.head
    is_put_away = chat.archived_at is not None or not view.has_node
    if not (chats.may_start or is_put_away):
        return
    works = handler.status is AgentStatus.WORKING
    is_answering = head is not None and head.agent == handler.number
    ends_at = turn_ends_at(view, chats.turn_limit)
    is_late = not is_put_away and ends_at is not None and ends_at <= now
    reason = None
    if is_put_away:
        reason = f"{chat.task} is archived"
    elif is_late:
        limit = format_duration(float(chats.turn_limit))
        reason = f"{handler.id} has not answered within {limit}"
    elif view.per_turn:
        return  # it leaves when it has answered
    elif works and not view.has_input and not is_answering:
        reason = f"{handler.id} can't be given anything: it reads no more"
    elif wanted(view, now, chats.idle_after) is Wish.NONE:
        reason = f"nobody has used {chat.task} lately"
    if reason is not None:
        yield StopHandler(
            chat=chat.number, agent=handler.number, reason=reason, is_late=is_late
        )
    elif works and view.has_input and head is not None and head.agent is None:
        yield DeliverMessage(
            chat=chat.number, agent=handler.number, message=head.number
        )


def settle(view: ChatView, handler: Agent) -> SettleHandler:
    """What the end of a handler means for its chat and for what it had. Pure."""
    chat, head = view.chat, view.head
    assert handler.ended_at is not None
    had = head if head is not None and head.agent == handler.number else None
    # It was ended for what it took: time, or more than a budget for one agent.
    took_too_much = handler.verdict in {Outcome.TIMED_OUT, Outcome.BUDGET}
    # What its client has said goes before our order to end it for that.
    end = clients.end_of(handler)
    is_ours = view.is_found or (handler.stop is not None and end is None)
    is_refused = (
        end is not None and end.kind in _PROVIDERS and handler.account is not None
    )
    is_session_lost = (
        end is not None
        and end.kind in {EndKind.NO_SESSION, EndKind.TOO_LONG}
        and handler.resumed is not None
    )
    is_excused = is_ours or is_refused or is_session_lost
    has_failed = (
        handler.exit_code != 0
        # less than nothing where the clock was set back meanwhile
        or 0 <= handler.ended_at - handler.started_at < TOO_FAST.micros
        or had is not None
    )
    crashed = not is_excused and (has_failed or not chat.given)
    reason = _reason_of(handler)
    failures = chat.failures + crashed
    counts = had is not None and had.taken and (took_too_much or not is_excused)
    set_aside = None
    if had is not None and counts and had.deliveries + 1 >= MOST_DELIVERIES:
        set_aside = (
            f"this was not answered: {MOST_DELIVERIES} handlers have ended with it,"
            f" the last: {reason}"
        )
    return SettleHandler(
        chat=chat.number,
        agent=handler.number,
        crashed=crashed,
        failures=failures,
        backoff_until=handler.ended_at + backoff(failures) if crashed else None,
        reason=reason,
        is_forgivable=crashed and not has_failed,
        is_session_lost=is_session_lost,
        message=None if had is None else had.number,
        counts=counts,
        set_aside=set_aside,
    )


def _reason_of(handler: Agent) -> str:
    """One line that says how a handler ended."""
    if handler.reason:
        return handler.reason
    if handler.client_end is not None and handler.exit_code != 0:
        return handler.client_end.message
    if handler.signal is not None:
        return f"{handler.id} was killed by signal {handler.signal}"
    if handler.exit_code is not None:
        return f"{handler.id} exited with {handler.exit_code}"
    return f"{handler.id} is gone, and nobody saw how"
