"""The reconciler of chats as a plain function."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.fake_clock import START
from tests.graph.builders import a_chat, a_chat_view, a_handler, a_message
from workgraph.graph.chats import (
    ArchiveChat,
    ChatDecision,
    ChatsView,
    ChatView,
    DeliverMessage,
    SettleHandler,
    StartHandler,
    StopHandler,
)
from workgraph.graph.model import (
    AgentStatus,
    ClientEnd,
    EndKind,
    Outcome,
    Stop,
    StopThen,
)
from workgraph.graph.times import SECOND, Duration
from workgraph.reactors.chats import decide, wake_at

NOW = START + 1_000 * SECOND
STARTING, STOPPING = AgentStatus.STARTING, AgentStatus.STOPPING
STOPPED = Stop(then=StopThen.NOTHING, by="workgraph")
START_IT = StartHandler(chat=1)
DELIVER = DeliverMessage(chat=1, agent=1, message=7)
IN_HAND = a_message(agent=1, delivered_at=NOW - SECOND, taken=True)


def chats(*views: ChatView, may_start: bool = True) -> ChatsView:
    """These chats, where a turn may take ten minutes."""
    return ChatsView(
        chats=views,
        idle_after=Duration(300),
        turn_limit=Duration(600),
        may_start=may_start,
    )


def stop(reason: str, *, is_late: bool = False) -> StopHandler:
    """The order to end the handler."""
    return StopHandler(chat=1, agent=1, reason=reason, is_late=is_late)


def live(chat: Any = None, **changes: Any) -> ChatView:
    """A chat whose handler works, reads, and is used by somebody."""
    values: dict[str, Any] = {
        "handler": a_handler(started_at=NOW - 60 * SECOND),
        "has_input": True,
        "consumers": 1,
    }
    return a_chat_view(chat or a_chat(handler=1), **(values | changes))


IDLE = "nobody has used .chat-1 lately"
PUT_AWAY = ".chat-1 is archived"
CUT_OFF = "agent-1 can't be given anything: it reads no more"
LATE = "agent-1 has not answered within 10m"
OLD = a_message(agent=1, delivered_at=NOW - 600 * SECOND)
CASES: dict[str, tuple[ChatView, tuple[ChatDecision, ...]]] = {
    "nobody wants anything": (a_chat_view(), ()),
    "a message waits": (a_chat_view(head=a_message()), (START_IT,)),
    "a consumer is there": (a_chat_view(consumers=1), (START_IT,)),
    "somebody has just left, and none is there": (
        a_chat_view(a_chat(last_consumer_at=NOW - SECOND)),
        (),
    ),
    "a message waits, and the backoff lasts": (
        a_chat_view(a_chat(backoff_until=NOW + 1), head=a_message()),
        (),
    ),
    "a message waits, and the backoff is over": (
        a_chat_view(a_chat(backoff_until=NOW), head=a_message()),
        (START_IT,),
    ),
    "archived, and a message waits": (
        a_chat_view(a_chat(archived_at=NOW), head=a_message(), consumers=1),
        (),
    ),
    "its node is gone": (
        a_chat_view(has_node=False, head=a_message()),
        (ArchiveChat(chat=1, reason="its task is not there"),),
    ),
    "its node is gone, and it has a handler": (
        live(has_node=False),
        (
            ArchiveChat(chat=1, reason="its task is not there"),
            stop(PUT_AWAY),
        ),
    ),
    "its node is gone, and it is archived": (
        a_chat_view(a_chat(archived_at=NOW), has_node=False),
        (),
    ),
    "one is there, and waits": (live(), ()),
    "one is there, and a message waits": (live(head=a_message()), (DELIVER,)),
    "one is on its way, and a message waits": (
        live(head=a_message(), handler=a_handler(status=STARTING), has_input=False),
        (),
    ),
    "one answers, and more waits": (live(head=IN_HAND, queued=3), ()),
    "one is being ended": (
        live(head=a_message(), handler=a_handler(status=STOPPING)),
        (),
    ),
    "one is there for somebody who has just left": (
        live(a_chat(last_consumer_at=NOW - 299 * SECOND), consumers=0),
        (),
    ),
    "one is there for somebody who left long ago": (
        live(a_chat(last_consumer_at=NOW - 300 * SECOND), consumers=0),
        (stop(IDLE),),
    ),
    "one is on its way for nobody": (
        live(handler=a_handler(status=STARTING), consumers=0, has_input=False),
        (stop(IDLE),),
    ),
    "one is there, and its chat is archived": (
        live(a_chat(archived_at=NOW), head=IN_HAND),
        (stop(PUT_AWAY),),
    ),
    "one is left by another daemon, and has nothing": (
        live(has_input=False),
        (stop(CUT_OFF),),
    ),
    "one is left by another daemon, and a message waits": (
        live(has_input=False, head=a_message()),
        (stop(CUT_OFF),),
    ),
    "one is left by another daemon, and may finish": (
        live(has_input=False, head=IN_HAND),
        (),
    ),
    "one has had its time": (live(head=OLD), (stop(LATE, is_late=True),)),
    "one that runs once answers": (
        live(per_turn=True, head=IN_HAND, has_input=False),
        (),
    ),
    "one that runs once leaves": (
        live(per_turn=True, has_input=False, consumers=0),
        (),
    ),
    "one that runs once leaves, and more waits": (
        live(per_turn=True, has_input=False, head=a_message()),
        (),
    ),
    "one that runs once has had its time": (
        live(per_turn=True, has_input=False, head=OLD),
        (stop(LATE, is_late=True),),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_there_is_made_to_be_what_is_wanted(name: str) -> None:
    """Each state of a chat has one thing to be done, or none."""
    view, wanted = CASES[name]

    assert decide(chats(view), NOW) == wanted


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, (_, wanted) in CASES.items()
        if not any(
            isinstance(one, ArchiveChat) or one == stop(PUT_AWAY) for one in wanted
        )
    ],
)
def test_nothing_is_done_where_nothing_may_be_started(name: str) -> None:
    """Offline, frozen, or at the end: what is put away is ended, and no more."""
    view, _ = CASES[name]

    assert decide(chats(view, may_start=False), NOW) == ()
    assert wake_at(chats(view, may_start=False), NOW) is None


def test_what_is_put_away_is_ended_without_a_daemon_too() -> None:
    """Purged is purged."""
    view = live(a_chat(archived_at=NOW))

    assert decide(chats(view, may_start=False), NOW) == (stop(PUT_AWAY),)


def ended(**changes: Any) -> ChatView:
    """A chat whose handler has ended after a minute, by itself and well."""
    how = {
        name: changes.pop(name)
        for name in ("exit_code", "signal", "stop", "verdict", "client_end")
        if name in changes
    }
    lived = changes.pop("lived", 60.0)
    more = {
        name: changes.pop(name) for name in ("account", "resumed") if name in changes
    }
    handler = a_handler(
        status=AgentStatus.ENDED,
        started_at=NOW - 100 * SECOND,
        ended_at=NOW - 100 * SECOND + round(lived * SECOND),
        **({"exit_code": 0} | how | more),
    )
    changes.setdefault("chat", a_chat(handler=1, given=True))
    return live(handler=handler, has_input=False, **changes)


def settled(view: ChatView) -> SettleHandler:
    """What the end means; nothing else is decided with it."""
    (decision,) = decide(chats(view), NOW)
    assert isinstance(decision, SettleHandler)
    return decision


def refused(kind: EndKind) -> ClientEnd:
    """The last word of a client."""
    return ClientEnd(kind=kind, message="no")


ENDS: dict[str, tuple[ChatView, bool]] = {
    "well": (ended(), False),
    "well, at once": (ended(lived=0.9), True),
    "well, and has left a message": (ended(head=IN_HAND), True),
    "well, and a message has come since": (ended(head=a_message()), False),
    "well, and was given nothing": (ended(chat=a_chat(handler=1)), True),
    "by our order, and was given nothing": (
        ended(chat=a_chat(handler=1), exit_code=None, signal=15, stop=STOPPED),
        False,
    ),
    "badly": (ended(exit_code=1), True),
    "by a signal": (ended(exit_code=None, signal=9), True),
    "nobody knows how": (ended(exit_code=None), True),
    "by our order": (ended(exit_code=None, signal=15, stop=STOPPED), False),
    "by our order, at once": (ended(exit_code=1, lived=0.1, stop=STOPPED), False),
    "before this daemon": (ended(exit_code=1, is_found=True, head=IN_HAND), False),
    "by its provider": (
        ended(exit_code=1, account="a", client_end=refused(EndKind.LIMITED)),
        False,
    ),
    "by a provider without an account": (
        ended(exit_code=1, client_end=refused(EndKind.LIMITED)),
        True,
    ),
    "for what its client said, without an account": (
        ended(
            exit_code=None,
            signal=15,
            stop=Stop(then=StopThen.JUDGE, by="workgraph"),
            client_end=refused(EndKind.LIMITED),
        ),
        True,
    ),
    "for what its client said": (
        ended(
            exit_code=None,
            signal=15,
            account="a",
            stop=Stop(then=StopThen.JUDGE, by="workgraph"),
            client_end=refused(EndKind.LIMITED),
        ),
        False,
    ),
    "by a budget": (
        ended(
            exit_code=None,
            signal=15,
            stop=Stop(then=StopThen.JUDGE, by="workgraph"),
            verdict=Outcome.BUDGET,
            client_end=refused(EndKind.FINISHED),
        ),
        False,
    ),
    "without its session": (
        ended(exit_code=1, resumed="s", client_end=refused(EndKind.NO_SESSION)),
        False,
    ),
    "without a session that is its own": (
        ended(exit_code=1, client_end=refused(EndKind.NO_SESSION)),
        True,
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_an_end_is_a_crash_or_is_none(name: str) -> None:
    """A crash is counted, and the next start waits from its end on."""
    view, crashed = ENDS[name]

    found = settled(view)

    until = NOW - 100 * SECOND + round(60 * SECOND) + SECOND
    if name == "well, at once":
        until -= 59 * SECOND + SECOND // 10
    assert found.crashed == crashed
    assert found.failures == int(crashed)
    assert found.backoff_until == (until if crashed else None)


@pytest.mark.parametrize("name", ENDS)
def test_only_an_idle_end_is_no_matter_to_what_is_said_next(name: str) -> None:
    """Any other crash keeps back what comes, until something was answered."""
    view, _ = ENDS[name]

    assert settled(view).is_forgivable == (name == "well, and was given nothing")


def test_crashes_in_a_row_wait_ever_longer() -> None:
    """It is the chat that counts them, over restarts."""
    view = ended(exit_code=1)
    view = replace(view, chat=replace(view.chat, failures=4))

    found = settled(view)

    assert found.failures == 5
    assert found.backoff_until == NOW - 40 * SECOND + 16 * SECOND


COUNTS: dict[str, tuple[ChatView, bool]] = {
    "a crash": (ended(exit_code=1, head=IN_HAND), True),
    "a good end": (ended(head=IN_HAND), True),
    "its time was up": (
        ended(exit_code=1, head=IN_HAND, stop=STOPPED, verdict=Outcome.TIMED_OUT),
        True,
    ),
    "its budget": (
        ended(exit_code=1, head=IN_HAND, stop=STOPPED, verdict=Outcome.BUDGET),
        True,
    ),
    "our order": (ended(exit_code=1, head=IN_HAND, stop=STOPPED), False),
    "a restart": (ended(exit_code=1, head=IN_HAND, is_found=True), False),
    "not read": (ended(exit_code=1, head=replace(IN_HAND, taken=False)), False),
    "the provider": (
        ended(
            exit_code=1,
            head=IN_HAND,
            account="a",
            client_end=refused(EndKind.OVERLOADED),
        ),
        False,
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_what_a_handler_had_goes_back(name: str) -> None:
    """It counts among the three where the end may be the message's doing."""
    view, counts = COUNTS[name]

    found = settled(view)

    assert (found.message, found.counts, found.set_aside) == (7, counts, None)


def test_a_message_that_has_ended_three_is_set_aside() -> None:
    """Its error says how the last of them ended."""
    found = settled(ended(exit_code=3, head=replace(IN_HAND, deliveries=2)))

    assert found.set_aside == (
        "this was not answered: 3 handlers have ended with it, the last:"
        " agent-1 exited with 3"
    )


def test_a_lost_session_is_forgotten() -> None:
    """The next handler begins anew, at once."""
    view = ended(exit_code=1, resumed="s", client_end=refused(EndKind.NO_SESSION))

    assert settled(view).is_session_lost


def test_what_somebody_else_has_is_not_given_back() -> None:
    """A message that waits is nobody's."""
    assert settled(ended(exit_code=1, head=a_message())).message is None


class World:
    """One chat, carried out by hand, with handlers that end when it is said."""

    def __init__(self) -> None:
        self.now = NOW
        self.view = a_chat_view()
        self.starts: list[int] = []
        self.number = 0

    def tick(self) -> None:
        """Decides and does until there is nothing to do."""
        for _ in range(10):
            decided = decide(chats(self.view), self.now)
            if not decided:
                return
            for one in decided:
                self.carry_out(one)
        raise AssertionError("a busy loop")

    def carry_out(self, decision: ChatDecision) -> None:
        """Makes it true at once."""
        view = self.view
        match decision:
            case StartHandler():
                assert view.handler is None, "a second handler"
                assert view.chat.archived_at is None, "archived"
                self.number += 1
                self.starts.append(self.now)
                self.put(
                    handler=a_handler(number=self.number, started_at=self.now),
                    has_input=True,
                )
            case StopHandler():
                assert view.handler is not None
                stopping = replace(view.handler, status=STOPPING, stop=STOPPED)
                self.put(handler=stopping)
            case DeliverMessage():
                assert view.handler is not None
                assert view.head is not None
                given = replace(
                    view.head,
                    agent=view.handler.number,
                    delivered_at=self.now,
                    taken=True,
                )
                self.put(head=given)
            case SettleHandler():
                self.settle(decision)
            case ArchiveChat():
                raise AssertionError(decision)

    def settle(self, decision: SettleHandler) -> None:
        """The end is dealt with, as the store does it."""
        view = self.view
        chat = replace(
            view.chat,
            failures=decision.failures,
            backoff_until=decision.backoff_until,
        )
        head = view.head
        if decision.message is not None and head is not None:
            back = head.deliveries + decision.counts
            head = replace(
                head, agent=None, delivered_at=None, taken=False, deliveries=back
            )
            if decision.set_aside is not None:
                head = None
        self.put(
            chat=chat, handler=None, has_input=False, head=head, queued=int(bool(head))
        )

    def put(self, **changes: Any) -> None:
        """Something about the chat is so from now on."""
        self.view = replace(self.view, **changes)

    def end(self, exit_code: int) -> None:
        """The handler ends, if there is one."""
        if self.view.handler is not None:
            gone = replace(
                self.view.handler,
                status=AgentStatus.ENDED,
                ended_at=self.now,
                exit_code=exit_code,
            )
            self.put(handler=gone, has_input=False)

    def say(self) -> None:
        """Somebody says something, if nothing waits."""
        if self.view.head is None:
            self.put(head=a_message(), queued=1)

    def archive(self, at: int | None) -> None:
        """Archived, or restored."""
        self.put(chat=replace(self.view.chat, archived_at=at))

    def sleep(self) -> bool:
        """Until something is due; false: nothing ever is."""
        until = wake_at(chats(self.view), self.now)
        if until is None:
            return False
        assert until > self.now
        self.now = until
        return True


@pytest.mark.parametrize("exit_code", [0, 1])
def test_one_that_ends_at_once_is_started_ever_more_rarely(exit_code: int) -> None:
    """At most 6 times in the first 10 s, and then at gaps that double."""
    world = World()
    world.put(consumers=1)
    while world.now < NOW + 86_400 * SECOND:
        world.tick()
        world.end(exit_code)
        world.tick()
        if not world.sleep():
            break

    early = [at for at in world.starts if at < NOW + 10 * SECOND]
    gaps = [b - a for a, b in zip(world.starts, world.starts[1:], strict=False)]
    assert len(early) <= 6
    assert gaps == sorted(gaps)
    assert len(world.starts) <= 300


def test_a_message_that_ends_all_is_set_aside() -> None:
    """And then nobody is started for it any more."""
    world = World()
    world.say()
    for _ in range(20):
        world.tick()
        world.end(1)
        world.tick()
        world.sleep()

    assert len(world.starts) == 3
    assert world.view.head is None


steps = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(1, 400)),
        st.tuples(st.sampled_from(["end", "say", "use", "leave"]), st.integers(0, 1)),
        st.tuples(st.sampled_from(["archive", "restore"]), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(steps)
def test_there_is_never_a_second_handler_nor_one_for_archived(
    story: list[tuple[str, int]],
) -> None:
    """Whatever is done to a chat; the world asserts it at each start."""
    world = World()
    for name, number in story:
        match name:
            case "pass":
                world.now += number * SECOND
            case "end":
                world.end(number)
            case "say":
                world.say()
            case "use":
                world.put(consumers=1)
            case "leave":
                world.put(
                    consumers=0,
                    chat=replace(world.view.chat, last_consumer_at=world.now),
                )
            case "archive":
                world.archive(world.now)
            case _:
                world.archive(None)
        world.tick()
