"""When a process is wanted for a chat (CONTRACT §8)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fake_clock import START
from tests.graph.builders import a_chat, a_chat_view, a_handler, a_message
from workgraph.graph.chats import (
    Chat,
    ChatsView,
    ChatView,
    Wish,
    backoff,
    chat_id,
    chat_number,
    next_change,
    wanted,
)
from workgraph.graph.model import Agent, AgentStatus
from workgraph.graph.times import SECOND, Duration
from workgraph.reactors.chats import decide, wake_at

NOW = START + 1_000 * SECOND
IDLE = Duration(300)
TURN = Duration(600)


def recently(seconds: float = 10) -> Chat:
    """A chat whose last consumer was there so long ago."""
    return a_chat(last_consumer_at=NOW - round(seconds * SECOND))


WISHES: dict[str, tuple[ChatView, Wish]] = {
    "nobody ever": (a_chat_view(), Wish.NONE),
    "a message": (a_chat_view(head=a_message()), Wish.START),
    "a consumer": (a_chat_view(consumers=1), Wish.START),
    "one who has just left": (a_chat_view(recently()), Wish.KEEP),
    "one who left almost too long ago": (a_chat_view(recently(299.9)), Wish.KEEP),
    "one who left too long ago": (a_chat_view(recently(300)), Wish.NONE),
    "archived": (a_chat_view(a_chat(archived_at=NOW)), Wish.NONE),
    "archived, used": (
        a_chat_view(a_chat(archived_at=NOW), consumers=2, head=a_message()),
        Wish.NONE,
    ),
    "without its node": (
        a_chat_view(has_node=False, consumers=1, head=a_message()),
        Wish.NONE,
    ),
    "per turn, a message": (
        a_chat_view(per_turn=True, head=a_message()),
        Wish.START,
    ),
    "per turn, a consumer": (a_chat_view(per_turn=True, consumers=1), Wish.NONE),
    "per turn, one who has just left": (
        a_chat_view(recently(), per_turn=True),
        Wish.NONE,
    ),
}


@pytest.mark.parametrize("name", WISHES)
def test_a_process_is_wanted_exactly_while(name: str) -> None:
    """Somebody is there or has just been, or something waits; none for archived."""
    view, wish = WISHES[name]

    assert wanted(view, NOW, IDLE) is wish


@pytest.mark.parametrize(
    ("number", "task"), [(0, ".chat-0"), (3, ".chat-3"), (12345, ".chat-12345")]
)
def test_a_chat_is_named_by_its_number(number: int, task: str) -> None:
    """Both ways."""
    assert chat_id(number) == task
    assert chat_number(task) == number


@pytest.mark.parametrize("task", ["chat-3", ".chat-", ".chat-03", ".chat-x", "t"])
def test_other_tasks_are_no_chats(task: str) -> None:
    """Names that only look like it are not taken for one."""
    assert chat_number(task) is None


def test_the_backoff_doubles_up_to_five_minutes() -> None:
    """After the first crash a second, and never more than 300."""
    gaps = [backoff(n) // SECOND for n in range(1, 12)]

    assert gaps == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert backoff(10**9) == 300 * SECOND


def _changes(view: ChatView, *, may_start: bool = True) -> int | None:
    chats = ChatsView(
        chats=(view,), idle_after=IDLE, turn_limit=TURN, may_start=may_start
    )
    return next_change(view, NOW, chats)


def test_one_that_stays_for_nobody_is_looked_at_when_its_time_is_up() -> None:
    """That is when it is ended."""
    view = a_chat_view(recently(), handler=a_handler(), has_input=True)

    assert _changes(view) == NOW + 290 * SECOND


def test_a_turn_is_looked_at_when_its_time_is_up() -> None:
    """Whether or not the handler is a client that runs once."""
    head = a_message(agent=1, delivered_at=NOW - 5 * SECOND)

    assert _changes(a_chat_view(head=head, handler=a_handler())) == NOW + 595 * SECOND


def test_what_backs_off_is_looked_at_when_that_is_over() -> None:
    """If it is wanted at all."""
    crashed = a_chat(backoff_until=NOW + 8 * SECOND, failures=4)

    assert _changes(a_chat_view(crashed, head=a_message())) == NOW + 8 * SECOND
    assert _changes(a_chat_view(crashed)) is None


def test_nothing_is_looked_at_where_nothing_may_be_done() -> None:
    """Offline, frozen, or at the daemon's end."""
    view = a_chat_view(recently(), handler=a_handler(), has_input=True)

    assert _changes(view, may_start=False) is None


moments = st.none() | st.integers(-2_000, 2_000).map(lambda s: NOW + s * SECOND)


@st.composite
def handlers(draw: st.DrawFn) -> Agent | None:
    """None, or one in any state."""
    status = draw(st.sampled_from([None, *AgentStatus]))
    if status is None:
        return None
    started_at = NOW - draw(st.integers(0, 900)) * SECOND
    ended_at = None
    if status is AgentStatus.ENDED:
        ended_at = started_at + draw(st.integers(0, 3)) * SECOND // 2
    return a_handler(status=status, started_at=started_at, ended_at=ended_at)


@st.composite
def chat_views(draw: st.DrawFn) -> ChatView:
    """A chat in any state that it can be in."""
    handler = draw(handlers())
    head = None
    if draw(st.booleans()):
        delivered: dict[str, Any] = {}
        if handler is not None and draw(st.booleans()):
            delivered = {
                "agent": handler.number,
                "delivered_at": NOW - draw(st.integers(0, 1_200)) * SECOND,
                "taken": draw(st.booleans()),
            }
        head = a_message(deliveries=draw(st.integers(0, 3)), **delivered)
    chat = a_chat(
        last_consumer_at=draw(moments),
        backoff_until=draw(moments),
        failures=draw(st.integers(0, 20)),
        archived_at=NOW if draw(st.integers(0, 5)) == 0 else None,
        handler=None if handler is None else handler.number,
    )
    return a_chat_view(
        chat,
        per_turn=draw(st.booleans()),
        consumers=draw(st.integers(0, 2)),
        head=head,
        handler=handler,
        has_input=draw(st.booleans()),
        is_found=draw(st.booleans()),
        has_node=draw(st.integers(0, 5)) > 0,
    )


@given(chat_views(), st.booleans(), st.floats(0, 1))
def test_before_the_next_change_nothing_changes(
    view: ChatView, may_start: bool, share: float
) -> None:
    """By time alone, that is: so nothing has to be looked at meanwhile."""
    chats = ChatsView(
        chats=(view,), idle_after=IDLE, turn_limit=TURN, may_start=may_start
    )
    until = wake_at(chats, NOW)
    horizon = NOW + 10_000 * SECOND if until is None else until - 1

    later = NOW + round((horizon - NOW) * share)

    assert decide(chats, later) == decide(chats, NOW)


@given(chat_views())
def test_none_is_started_for_one_that_is_archived_or_has_one(view: ChatView) -> None:
    """At any moment; and what is decided for a chat is at most one thing."""
    chats = ChatsView(chats=(view,), idle_after=IDLE, turn_limit=TURN, may_start=True)

    kinds = [type(one).__name__ for one in decide(chats, NOW)]

    if view.chat.archived_at is not None or view.handler or not view.has_node:
        assert "StartHandler" not in kinds
    assert len([kind for kind in kinds if kind != "ArchiveChat"]) <= 1
