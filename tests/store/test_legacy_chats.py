"""The predecessor's chats in a database of ours: found once, with all their names."""

import re

import pytest

from tests.commands.transfer_graph import NOW, Graph, a_graph, lines
from workgraph.graph.changes import ChangeKind
from workgraph.graph.chats import PARKED_CODE, Chat
from workgraph.graph.status import Status
from workgraph.store import chats, history, legacy_chats, reads, waits
from workgraph.store.database import Tx
from workgraph.store.legacy_chats import Adopted

_NAMES = [".chat-3", ".coordinator", ".coordinator-0", ".coordinator-1"]
_NAMES += [".coordinator-3", ".coordinator-31", ".coordinator-x"]


async def adopt(graph: Graph) -> list[Adopted]:
    """What a start does."""
    found: list[Adopted] = await graph.change(
        lambda context: legacy_chats.adopt(context.tx, "workgraph")
    )
    return found


async def take_as_before(graph: Graph, text: str) -> None:
    """Tasks in a database as an earlier version has left it, with the old names."""
    ids = [one for one in _NAMES if one in text]
    for one in ids:
        text = re.sub(rf"{re.escape(one)}(?![0-9a-z-])", one.replace(".", "x-"), text)
    await graph.take(text)

    def rename(tx: Tx) -> None:
        tx.run(legacy_chats.DEFER)
        for old in ids:
            new = old.replace(".", "x-")
            for table, column in legacy_chats.COLUMNS:
                sql = f"update {table} set {column} = ? where {column} = ?"
                tx.run(sql, (old, new))
        tx.run("update tasks set spec = replace(spec, 'x-coord', '.coord')")
        tx.run("update waits set condition = replace(condition, 'x-coord', '.coord')")

    await graph.change(lambda context: rename(context.tx))


async def test_every_column_that_refers_to_a_task_is_renamed() -> None:
    """A new one needs its place in the list."""
    async with a_graph() as graph:

        def references(tx: Tx) -> set[tuple[str, str]]:
            tables = tx.all("select name from sqlite_schema where type = 'table'")
            return {
                (name, row[3])
                for (name,) in tables
                for row in tx.all(f"pragma foreign_key_list({name})")
                if row[2] == "tasks" or (row[2], row[3]) == ("waits", "task")
            }

        found = await graph.store.read(references, NOW)

        assert found <= set(legacy_chats.COLUMNS)


async def test_coordinators_become_chats_with_all_that_names_them() -> None:
    """Edges in both directions, waits, conditions, inputs, artifacts, history."""
    async with a_graph() as graph:
        await take_as_before(
            graph,
            lines(
                {
                    "id": ".coordinator-3",
                    "title": "Ada's",
                    "tags": ["coordinator-loop", "mine"],
                    "after": ["first"],
                    "artifacts": [
                        {"name": "plan", "path": "p", "sha256": "0" * 64, "size": 1}
                    ],
                },
                {"id": ".coordinator", "title": "Old", "status": "abandoned"},
                {"id": "first", "title": "First", "superseded_by": ".coordinator-3"},
                {
                    "id": "then",
                    "title": "Then",
                    "after": [".coordinator-3", ".coordinator"],
                    "inputs": [".coordinator-3:plan", "plain"],
                },
                {"id": "waits", "title": "Waits", "status": "waiting"},
                {
                    "kind": "wait",
                    "task": "waits",
                    "condition": "task:.coordinator-3=done|task:.coordinator-31=done",
                    "since": "2026-01-01T00:00:00Z",
                    "terms": [
                        {"kind": "task", "target": ".coordinator-3", "status": "done"}
                    ],
                },
                {"kind": "message", "task": ".coordinator-3", "text": "hello"},
                {"kind": "log", "task": ".coordinator-3", "reason": "said before"},
            ),
        )

        done = await adopt(graph)

        assert done == [
            Adopted(old=".coordinator-3", number=3, usable=True),
            Adopted(old=".coordinator", number=0, usable=False),
        ]

        def look(tx: Tx) -> None:
            chat, old = reads.task(tx, ".chat-3"), reads.task(tx, ".chat-0")
            assert (chat.status, old.status) == (Status.OPEN, Status.DONE)
            assert chat.spec.tags == ("chat", "mine")
            assert old.spec.tags == ("chat", "archived")
            assert chat.parked is not None
            assert chat.parked.code == PARKED_CODE
            assert chat.spec.title == "Ada's"
            then = reads.task(tx, "then")
            assert then.spec.inputs == (".chat-3:plan", "plain")
            assert then.unmet == 1
            assert reads.task(tx, "first").superseded_by == ".chat-3"
            wait = waits.find(tx, "waits")
            assert wait is not None
            assert wait.terms[0].target == ".chat-3"
            assert wait.condition == "task:.chat-3=done|task:.coordinator-31=done"
            rows = {one.number: one for one in chats.list_chats(tx)}
            assert rows[3].archived_at is None
            assert rows[0].archived_at is not None
            assert chats.next_number(tx) == 4
            told = history.task_log(tx, ".chat-3")
            assert "said before" in [one.reason for one in told]
            assert told[-1].kind == ChangeKind.CHAT_CREATED
            assert told[-1].from_ == ".coordinator-3"

        await graph.store.read(look, NOW)
        await graph.check_counts()
        assert ".coordinator-3" not in str(
            [
                row
                for table, rows in (await graph_rows(graph)).items()
                for row in rows
                if table not in {"changes", "waits"}
            ]
        )


async def graph_rows(graph: Graph) -> dict[str, list[tuple[object, ...]]]:
    """Every row by its table."""

    def read(tx: Tx) -> dict[str, list[tuple[object, ...]]]:
        names = tx.all("select name from sqlite_schema where type = 'table'")
        return {name: tx.all(f"select * from {name}") for (name,) in names}

    return await graph.store.read(read, NOW)


async def test_a_second_start_changes_nothing() -> None:
    """It is done once."""
    async with a_graph() as graph:
        await take_as_before(graph, lines({"id": ".coordinator-0", "title": "Old"}))
        assert await adopt(graph)
        before = await graph.dump()

        assert await adopt(graph) == []
        assert await graph.dump() == before


async def test_numbers_that_are_taken_are_not_used_again() -> None:
    """The next free ones are; a node without its chat gets one of its own number."""
    async with a_graph() as graph:
        await take_as_before(
            graph,
            lines(
                {"id": ".chat-3", "title": "Bare"},
                {"id": ".coordinator-3", "title": "Three"},
                {"id": ".coordinator", "title": "Nought"},
                {"id": ".coordinator-0", "title": "Nought again"},
                {"id": ".coordinator-x", "title": "Not one", "status": "done"},
            ),
        )

        found = {one.old: one.number for one in await adopt(graph)}

        assert found == {
            ".chat-3": 3,
            ".coordinator": 0,
            ".coordinator-0": 4,
            ".coordinator-3": 5,
        }


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.IN_PROGRESS}))
async def test_whatever_it_was_doing_it_is_open_or_archived(status: Status) -> None:
    """And what waits for it is counted anew."""
    async with a_graph() as graph:
        await take_as_before(
            graph,
            lines(
                {"id": ".coordinator-1", "title": "Chat", "status": status},
                {"id": "then", "title": "Then", "after": [".coordinator-1"]},
            ),
        )

        (done,) = await adopt(graph)

        assert done.usable == (status not in {"done", "failed", "abandoned"})
        await graph.check_counts()
        task = await graph.store.read(lambda tx: reads.task(tx, ".chat-1"), NOW)
        assert task.status is (Status.OPEN if done.usable else Status.DONE)
        assert (
            await graph.store.read(lambda tx: waits.find(tx, ".chat-1"), NOW) is (None)
            or status is Status.WAITING
        )


async def test_a_loop_that_a_coordinator_was_in_is_over() -> None:
    """Chats are kept by wishes, not by loops (rule 26)."""
    async with a_graph() as graph:
        await take_as_before(
            graph,
            lines(
                {"id": ".coordinator-1", "title": "Chat"},
                {
                    "kind": "loop",
                    "members": [{"task": ".coordinator-1"}],
                    "max": 9,
                },
            ),
        )

        await adopt(graph)

        def ended(tx: Tx) -> list[tuple[object, ...]]:
            return tx.all("select ended_at is null, reason from loops")

        assert await graph.store.read(ended, NOW) == [(0, "ended")]


async def test_a_chat_whose_node_is_gone_is_archived_once() -> None:
    """It is said, and never tried (rule 65)."""
    async with a_graph() as graph:

        def add(tx: Tx) -> None:
            chat = Chat(number=7, task=".chat-7", created_at=NOW, by="me")
            chats.insert_chat(tx, chat)

        await graph.change(lambda context: add(context.tx))

        assert await graph.change(lambda c: legacy_chats.archive_lost(c.tx)) == [7]
        assert await graph.change(lambda c: legacy_chats.archive_lost(c.tx)) == []
        chat = await graph.store.read(lambda tx: chats.by_number(tx, 7), NOW)
        assert chat.archived_at == NOW


async def test_an_import_makes_chats_of_them_too() -> None:
    """At import, in the same transaction (CONTRACT §8)."""
    async with a_graph() as graph:
        data = await graph.take(
            lines(
                {"id": ".coordinator-2", "title": "Two"},
                {"id": "then", "title": "Then", "after": [".coordinator-2"]},
            )
        )

        assert data.warnings == (".coordinator-2 is the chat .chat-2",)
        found = await graph.store.read(chats.list_chats, NOW)
        assert [chat.task for chat in found] == [".chat-2"]
        await graph.check_counts()
