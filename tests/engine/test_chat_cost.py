"""What chats cost a tick: what has to be done, and next to nothing for the rest."""

import sqlite3
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json

from tests.core import plan_host
from tests.counted import CountedTx
from tests.engine.test_chats import Talk, a_talk
from tests.graph.test_chats import IDLE, NOW, TURN, chat_views
from workgraph.agents.builtin import BUILTINS
from workgraph.agents.executor import load_executors
from workgraph.agents.plan import prepare_grounds
from workgraph.daemon import chatting
from workgraph.daemon.launching import Host
from workgraph.graph.chats import ChatsView, ChatView
from workgraph.graph.model import TaskSpec
from workgraph.reactors.chats import decide, wake_at
from workgraph.settings import load_settings
from workgraph.store import chats
from workgraph.store.database import Tx, migrate

#: What a tick asks for chats: whether there are any, which need something, and
#: whether all stands still.
FOR_ALL = 3
#: And what it reads of those that do.
FOR_SOME = 5
MANY = 12


async def statements(talk: Talk) -> int:
    """How many a tick has for the view of chats, as all stands now."""
    engine = talk.core.engine

    def count(tx: Tx) -> int:
        counted = CountedTx(tx)
        chatting.view(
            counted,
            engine.host,
            consumers=engine.consumers.counts,
            inputs=frozenset(engine.effects.inputs),
            found=frozenset(),
            may_start=True,
        )
        return counted.statements

    return await talk.store.read(count, talk.clock.now())


@pytest.mark.parametrize("waits", [False, True])
async def test_handlers_that_are_there_cost_a_tick_nothing(waits: bool) -> None:
    """Whether they answer just now, or wait for somebody to say something."""
    async with a_talk() as talk:
        assert await statements(talk) == 1
        for number in range(MANY):
            chat = await talk.new()
            await talk.send(chat)
            if waits:
                await talk.answer(number + 1)
        assert len(talk.launcher.running()) == MANY

        assert await statements(talk) == FOR_ALL


async def test_attached_people_cost_a_tick_nothing() -> None:
    """Each has a handler that waits."""
    async with a_talk() as talk, AsyncExitStack() as people:
        for number in range(1, MANY + 1):
            await talk.new()
            connected = talk.core.engine.consumers.connected(number)
            await people.enter_async_context(connected)
        await talk.core.settle()
        assert len(talk.launcher.running()) == MANY

        assert await statements(talk) <= FOR_ALL


async def test_what_backs_off_costs_a_tick_nothing() -> None:
    """Nothing is started before its time, and nothing has to be looked up for that."""
    async with a_talk() as talk:
        for number in range(MANY):
            chat = await talk.new()
            await talk.send(chat)
            await talk.end(number + 1, code=1)
        assert talk.launcher.running() == ()

        assert await statements(talk) == FOR_ALL


@pytest.mark.parametrize("news", [1, MANY])
async def test_what_is_said_in_many_costs_as_in_one(news: int) -> None:
    """They are looked up together."""
    async with a_talk() as talk:
        for number in range(MANY):
            await talk.send(await talk.new())
            await talk.answer(number + 1)

        def say(tx: Tx) -> None:
            for chat in chats.list_chats(tx)[:news]:
                chats.say(tx, chat, "message", "more", by="me")

        await talk.store.transaction(say, talk.clock.now())

        assert await statements(talk) <= FOR_ALL + FOR_SOME
        talk.core.engine.wake()
        await talk.core.settle()
        assert len(talk.launcher.given) == MANY + news


LAYERED = load_settings(
    None,
    None,
    (
        f'chat.idle_after="{IDLE:.0f}s"',
        f'agents.timeout="{TURN:.0f}s"',
        'executors.once.argv=["once"]',
    ),
)
HOST = Host(
    grounds=prepare_grounds(
        LAYERED, load_executors(LAYERED.settings, BUILTINS), plan_host()
    ),
    folder=str,
    new_token=str,
    new_session=str,
)
_encode = json.Encoder().encode


def write(connection: sqlite3.Connection, view: ChatView) -> None:
    """Makes the rows of a chat say what a view of it says."""
    chat, handler, head = view.chat, view.handler, view.head
    spec = TaskSpec(title="t", exec="answer")
    if view.per_turn:
        spec = TaskSpec(title="t", executor="once")
    if view.has_node:
        connection.execute(
            "insert into tasks (id, spec, status, created_at, updated_at)"
            " values (?, ?, 'open', 0, 0)",
            (chat.task, _encode(spec).decode()),
        )
    if handler is not None:
        plan = {"stdin": {"value": "prompt" if view.per_turn else "pipe"}}
        connection.execute(
            "insert into agents (number, task, attempt, executor, status, plan,"
            " started_at, ended_at, last_activity_at)"
            " values (?, ?, 1, 'x', ?, ?, ?, ?, 0)",
            (
                handler.number,
                chat.task,
                handler.status,
                _encode(plan).decode(),
                handler.started_at,
                handler.ended_at,
            ),
        )
    connection.execute(
        "insert into chats (number, task, created_at, by, last_consumer_at, handler,"
        " failures, backoff_until, archived_at) values (?, ?, ?, 'me', ?, ?, ?, ?, ?)",
        (
            chat.number,
            chat.task,
            chat.created_at,
            chat.last_consumer_at,
            chat.handler,
            chat.failures,
            chat.backoff_until,
            chat.archived_at,
        ),
    )
    if head is not None:
        connection.execute(
            "insert into chat_messages (number, chat, at, by, kind, text, agent,"
            " delivered_at, taken, deliveries) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                head.number,
                head.chat,
                head.at,
                head.by,
                head.kind,
                head.text,
                head.agent,
                head.delivered_at,
                head.taken,
                head.deliveries,
            ),
        )


@pytest.fixture(scope="module")
def rows() -> Iterator[sqlite3.Connection]:
    """A database, of which each story undoes what it has written."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        connection.execute("pragma foreign_keys = off")
        yield connection


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(view=chat_views(), may_start=st.booleans())
def test_who_is_not_looked_at_needs_nothing(
    rows: sqlite3.Connection, view: ChatView, may_start: bool
) -> None:
    """What is decided of the rows that are read is what follows from all of them."""
    whole = ChatsView(
        chats=(view,), idle_after=IDLE, turn_limit=TURN, may_start=may_start
    )
    number = None if view.handler is None else view.handler.number
    rows.execute("begin")
    try:
        write(rows, view)
        seen = chatting.view(
            Tx(rows, NOW),
            HOST,
            consumers={1: view.consumers} if view.consumers else {},
            inputs={number} if view.has_input and number is not None else set(),
            found={number} if view.is_found and number is not None else set(),
            may_start=may_start,
        )
    finally:
        rows.execute("rollback")

    assert decide(seen, NOW) == decide(whole, NOW)
    until, sooner = wake_at(whole, NOW), wake_at(seen, NOW)
    assert until is None or (sooner is not None and sooner <= until)
