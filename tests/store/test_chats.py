"""Chats as rows: numbers, the queue, and what is answered once."""

from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workgraph.graph.chats import Chat, chat_id
from workgraph.graph.errors import NotFoundError
from workgraph.graph.model import TaskSpec
from workgraph.store import chats, reads, writes
from workgraph.store.database import Store, Tx

T = TypeVar("T")
NOW = 1_700_000_000_000_000


async def do(job: Callable[[Tx], T]) -> T:
    """A job on an empty graph."""
    store = await Store.open(":memory:")
    try:
        return (await store.transaction(job, NOW))[0]
    finally:
        await store.close()


def new(tx: Tx, name: str = "plans") -> Chat:
    """A chat and its node."""
    number = chats.next_number(tx)
    spec = TaskSpec(title=name, tags=("chat",))
    writes.insert_task(
        tx, writes.NewTask(id=chat_id(number), spec=spec, priority=2), ""
    )
    chat = Chat(number=number, task=chat_id(number), created_at=NOW, by="ann")
    chats.insert_chat(tx, chat)
    chats.park(tx, chat)
    return chat


async def test_a_number_is_used_once() -> None:
    """Also when the row is gone."""

    def job(tx: Tx) -> None:
        assert chats.next_number(tx) == 1
        new(tx)
        last = new(tx)
        tx.run("delete from chats where number = ?", (last.number,))
        assert chats.next_number(tx) == last.number + 1
        with pytest.raises(NotFoundError):
            chats.by_number(tx, last.number)

    await do(job)


async def test_a_message_is_answered_once() -> None:
    """Whoever comes second says nothing; it is no longer in the queue."""

    def job(tx: Tx) -> None:
        chat = new(tx)
        first = chats.say(tx, chat, "message", "one", by="ann")
        second = chats.say(tx, chat, "message", "two", by="ann")
        head = chats.head(tx, chat.number)
        assert head is not None
        assert (head.number, chats.count_waiting(tx, chat.number)) == (first, 2)

        reply = chats.answer(tx, chat, first, "reply", "yes", by="agent-1")
        again = chats.answer(tx, chat, first, "error", "no", by="agent-1")

        assert (reply, again) == (second + 1, None)
        head = chats.head(tx, chat.number)
        assert head is not None
        assert head.number == second
        said = chats.history(tx, chat.number)
        assert [one.text for one in said] == ["one", "two", "yes"]
        assert [one.text for one in chats.history(tx, chat.number, last=1)] == ["yes"]
        assert [one.text for one in chats.history(tx, chat.number, after=first)] == [
            "two",
            "yes",
        ]

    await do(job)


async def test_names_of_chats_that_can_be_used_come_first() -> None:
    """Then the oldest."""

    def job(tx: Tx) -> None:
        one, two, three = new(tx), new(tx), new(tx)
        new(tx, "other")
        chats.archive(tx, one, "ann", purged=False, reason=None)
        assert [chat.number for chat in chats.named(tx, "plans")] == [
            two.number,
            three.number,
            one.number,
        ]

    await do(job)


async def test_the_first_archive_counts() -> None:
    """A purge later does not move it; restoring forgets all of it, and crashes."""

    def job(tx: Tx) -> None:
        chat = new(tx)
        chats.archive(tx, chat, "ann", purged=False, reason=None)
        tx.run("update chats set archived_at = 5, failures = 3, backoff_until = 9")
        chats.archive(tx, chat, "ann", purged=True, reason=None)
        found = chats.by_number(tx, chat.number)
        assert (found.archived_at, found.purged_at) == (5, NOW)
        chats.restore(tx, chat, "ann")
        found = chats.by_number(tx, chat.number)
        assert (found.archived_at, found.purged_at) == (None, None)
        assert (found.failures, found.backoff_until) == (0, None)

    await do(job)


async def test_no_edit_takes_a_node_into_dispatch() -> None:
    """Nor does naming an actor."""

    def job(tx: Tx) -> None:
        chat = new(tx)
        task = reads.task(tx, chat.task)
        update = writes.SpecUpdate(
            spec=task.spec,
            priority=0,
            paused=False,
            actor="bob",
            actor_matched=False,
            not_before=None,
        )
        writes.update_spec(tx, task, update, "ann", "x")
        writes.set_actor(tx, chat.task, None, matched=False)
        assert reads.task(tx, chat.task).parked == task.parked is not None

    await do(job)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.booleans(), max_size=12), st.integers(0, 12), st.integers(1, 4))
async def test_two_files_have_all_of_it(
    said: list[bool], after: int, limit: int
) -> None:
    """Each line in one of them, from any place on, as many at once as may be."""

    def job(tx: Tx) -> None:
        chat = new(tx)
        other = new(tx)
        for is_message in said:
            chats.say(tx, chat, "message" if is_message else "note", "x", by="ann")
            chats.say(tx, other, "message", "y", by="ann")
        every = chats.history(tx, chat.number)
        for inbox in (True, False):
            mine = [one for one in every if (one.kind == "message") == inbox]
            found = chats.said_after(tx, chat.number, after, inbox=inbox, limit=limit)
            assert found == [one for one in mine if one.number > after][:limit]
            upto = [one.number for one in mine if one.number <= after]
            assert chats.count_said(tx, chat.number, after, inbox=inbox) == (
                len(upto),
                max(upto, default=0),
            )

    await do(job)
