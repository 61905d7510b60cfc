"""Chats out to lines and in again: the same to the byte, and what can't come in."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.commands.transfer_graph import MOMENT, NOW, TEXT, Graph, a_graph
from workgraph.commands import chats as handlers
from workgraph.commands import tasks
from workgraph.commands.context import Context
from workgraph.graph import requests as r
from workgraph.graph.chat_requests import (
    ArchiveChat,
    CreateChat,
    PurgeChats,
    SendToChat,
)
from workgraph.graph.errors import ConflictError, UserError
from workgraph.store import chats, reads
from workgraph.store.database import Tx

NODE = {"kind": "task", "id": ".chat-3", "title": "plans", "tags": ["chat"]}
CHAT = {"kind": "chat", "number": 3}
SAID = {"kind": "chat_message", "number": 5, "chat": 3, "text": "hello"}

#: What a chat's row may hold, as far as it comes along.
COLUMNS = st.fixed_dictionaries(
    {
        "last_consumer_at": st.none() | MOMENT,
        "failures": st.integers(0, 9),
        "backoff_until": st.none() | MOMENT,
        "answered": st.integers(0, 1),
        "session": st.none() | TEXT,
        "problem": st.none() | TEXT,
    }
)
#: What is said: a text, whether it is answered at once, and how.
WORDS = st.lists(
    st.tuples(TEXT, st.sampled_from(["", "reply", "error"]), st.integers(0, 2)),
    max_size=4,
)


def lines(*them: dict[str, Any]) -> str:
    """Lines of an import."""
    return "\n".join(map(json.dumps, them))


async def round_trip(graph: Graph) -> str:
    """What an export is after an import elsewhere; it is the same as before."""
    text = await graph.export()
    async with a_graph() as other:
        await other.take(text)
        again = await other.export()
    assert again == text
    return text


def a_chat(context: Context, columns: dict[str, Any], words: list[Any]) -> None:
    """A conversation with all that a row may hold; the last message is on its way."""
    tx = context.tx
    data: Any = handlers.create_chat(context, CreateChat(name="plans")).data
    chat = chats.of_task(tx, data.id)
    assert chat is not None
    sets = ", ".join(f"{name} = :{name}" for name in columns)
    tx.run(
        f"update chats set {sets} where number = :number",
        columns | {"number": chat.number},
    )
    for text, kind, deliveries in words:
        number = chats.say(tx, chat, "message", text, by="ann")
        tx.run(
            "update chat_messages set deliveries = ? where number = ?",
            (deliveries, number),
        )
        if kind:
            chats.answer(tx, chat, number, kind, text, by="agent-7")
    chats.say(tx, chat, "note", "aside", by="agent-7")


@settings(max_examples=60, deadline=None)
@given(COLUMNS, WORDS, st.sampled_from(["", "archived", "purged"]))
async def test_every_chat_round_trips(
    columns: dict[str, Any], words: list[Any], state: str
) -> None:
    """Whatever was said in it, and whatever has become of it."""
    async with a_graph() as graph:
        for _ in range(2):
            await graph.change(lambda c: a_chat(c, columns, words))
        if state == "archived":
            await graph.change(
                lambda c: handlers.archive_chat(c, ArchiveChat(task="1"))
            )
        if state == "purged":
            await graph.change(lambda c: handlers.purge_chats(c, PurgeChats()))
        text = await round_trip(graph)
    assert "session" not in text


async def test_what_comes_in_is_a_chat_again() -> None:
    """Parked, with its queue, and the next number is a new one."""
    async with a_graph() as graph:
        await graph.take(lines(SAID, CHAT, NODE))

        def look(tx: Tx) -> None:
            chat = chats.by_number(tx, 3)
            assert (chat.task, chat.by, chat.created_at) == (".chat-3", "ada", NOW)
            assert chats.count_waiting(tx, 3) == 1
            parked = reads.task(tx, ".chat-3").parked
            assert parked is not None
            assert parked.key == "chat"

        await graph.store.read(look, NOW)
        sent = await graph.change(
            lambda c: handlers.send_to_chat(c, SendToChat(task="plans", text="x"))
        )
        assert sent.data.id == 6
        new = await graph.change(lambda c: handlers.create_chat(c, CreateChat()))
        assert new.data.id == ".chat-4"


async def test_a_node_without_a_line_has_just_begun_a_chat() -> None:
    """So it is never dispatched."""
    async with a_graph() as graph:
        await graph.take(lines(NODE))
        found = await graph.store.read(lambda tx: chats.by_number(tx, 3), NOW)
        assert found.task == ".chat-3"
        parked = (
            await graph.store.read(lambda tx: reads.task(tx, ".chat-3"), NOW)
        ).parked
        assert parked is not None
        await round_trip(graph)


async def test_archived_means_archived_over_an_import() -> None:
    """And a chat whose node is gone comes along."""
    async with a_graph() as graph:
        done = NODE | {"status": "done", "tags": ["chat", "archived"]}
        at = "2030-01-01T00:00:00.000Z"
        await graph.take(lines(done, CHAT | {"archived_at": at, "purged_at": at}))
        await graph.take(lines(CHAT | {"number": 9, "archived_at": at}))
        with pytest.raises(UserError, match="archived"):
            await graph.change(
                lambda c: handlers.send_to_chat(c, SendToChat(task="3", text="x"))
            )
        await round_trip(graph)


async def test_words_without_numbers_get_the_next_ones() -> None:
    """In the order of their lines."""
    async with a_graph() as graph:
        told = {"kind": "chat_message", "chat": 3, "type": "reply", "reply_to": 5}
        await graph.take(lines(NODE, CHAT, told | {"text": "a"}, SAID))
        said = await graph.store.read(lambda tx: chats.history(tx, 3), NOW)
        assert [(one.number, one.text) for one in said] == [(5, "hello"), (6, "a")]


@pytest.mark.parametrize(
    ("number", "taken"),
    [
        (1, lines(NODE | {"id": ".chat-4"}, CHAT)),
        (2, lines(NODE | {"id": ".chat-4"}, CHAT | {"number": 4}, SAID | {"chat": 4})),
    ],
)
async def test_what_is_taken_is_a_conflict(number: int, taken: str) -> None:
    """A chat's number, or that of something said."""
    async with a_graph() as graph:
        await graph.take(lines(NODE, CHAT, SAID))
        before = await graph.dump()
        with pytest.raises(ConflictError) as refused:
            await graph.take(taken)
        assert refused.value.message.startswith(f"line {number + 1}: ")
        assert await graph.dump() == before


@pytest.mark.parametrize(
    ("first", "line", "what"),
    [
        ([], CHAT | {"purged_at": "1s"}, "purged_at: it is not archived"),
        ([], CHAT | {"number": -1}, "number: "),
        ([NODE], CHAT | {"archived_at": "1s"}, "archived, and its task open without"),
        ([NODE | {"status": "failed"}], CHAT, "in use, and its task failed"),
        ([NODE | {"status": "done"}], CHAT, "in use, and its task done without"),
        ([NODE | {"tags": ["archived"]}], CHAT, "in use, and its task open with"),
        ([CHAT], CHAT, "the chat 3 is in line 1 already"),
        ([CHAT], SAID | {"chat": 4}, "the chat 4 is not in this file"),
        ([CHAT, SAID], SAID, "what was said as 5 is in line 2 already"),
        ([CHAT], SAID | {"reply_to": 7}, "nothing 7 was said before"),
        ([CHAT, SAID], SAID | {"number": 4, "reply_to": 5}, "nothing 5 was said"),
        ([CHAT], SAID | {"type": "reply", "answered_at": "1s"}, "a reply has none"),
        ([CHAT], SAID | {"type": "word"}, "type: "),
    ],
)
async def test_what_can_not_come_in(
    first: list[dict[str, Any]], line: dict[str, Any], what: str
) -> None:
    """Nothing of the whole import does, and the line is named."""
    async with a_graph() as graph:
        before = await graph.dump()
        with pytest.raises(UserError) as refused:
            await graph.take(lines(*first, line))
        assert refused.value.message.startswith(f"line {len(first) + 1}: ")
        assert what in refused.value.message
        assert await graph.dump() == before


async def test_unknown_keys_are_told() -> None:
    """As of other lines that have no metadata."""
    async with a_graph() as graph:
        data = await graph.take(lines(NODE, CHAT | {"mood": "good"}))
        assert data.warnings == (
            "unknown key 'mood' of chat (line 2): left out, there is no place for it",
        )


async def test_a_task_that_waits_for_a_chat_comes_along() -> None:
    """With the count of what it waits for."""
    async with a_graph() as graph:
        await graph.change(lambda c: a_chat(c, {"answered": 0}, []))

        def add(context: Context) -> None:
            tasks.add_task(context, r.AddTask(title="after", after=(".chat-1",)))

        await graph.change(add)
        await graph.check_counts()
        await round_trip(graph)
