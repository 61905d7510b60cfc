"""The inbox: what waits for a person, and what does not."""

from typing import Any

from tests.commands.transfer_graph import NOW, Graph, a_context, a_graph, lines
from workgraph.commands.inbox import inbox
from workgraph.graph.messages import GetInbox, InboxData
from workgraph.graph.model import Parked
from workgraph.store import messages, reads, writes
from workgraph.store.database import Tx

WAIT = "update waits set condition = 'answer', question = ? where task = 'asks'"


async def items(graph: Graph, **wish: Any) -> tuple[InboxData, ...]:
    """What is in the inbox."""
    reply = await graph.store.read(
        lambda tx: inbox(a_context(tx), GetInbox(**wish)), NOW
    )
    found: tuple[InboxData, ...] = reply.data
    return found


def park(tx: Tx, task: str, code: str, message: str, key: str | None = None) -> None:
    """Keeps a task back."""
    parked = Parked(code=code, message=message, remedy="mend it", key=key)
    writes.park(tx, reads.task(tx, task), parked, None)


async def test_a_question_is_there_until_it_is_answered_or_over() -> None:
    """Whole, with the command that answers."""
    async with a_graph() as graph:
        await graph.take(lines({"title": "asks", "status": "waiting"}))

        def ask(tx: Tx) -> None:
            number = messages.send(
                tx, "asks", "red\nor blue?", by="agent-1", kind="question"
            )
            tx.run(WAIT, (number,))

        await graph.change(lambda context: ask(context.tx))
        (item,) = await items(graph)

        assert (item.kind, item.text) == ("question", "red\nor blue?")
        assert item.commands == ("wg answer asks TEXT",)
        await graph.change(lambda c: c.tx.run("update waits set woken_at = 1"))
        assert await items(graph) == ()


async def test_tasks_of_persons_are_there_when_they_are_ready() -> None:
    """Of actors that are human, and of names that are no actor."""
    async with a_graph() as graph:
        await graph.take(
            lines(
                {"kind": "actor", "name": "bot"},
                {"kind": "actor", "name": "ann", "human": True},
                {"id": "hers", "title": "t", "actor": "ann"},
                {"id": "his", "title": "t", "actor": "bob o'b"},
                {"id": "bots", "title": "t", "actor": "bot"},
                {"id": "later", "title": "t", "actor": "ann", "after": ["hers"]},
                {"id": "paused", "title": "t", "actor": "ann", "paused": True},
                {"id": "kept", "title": "t", "reserved_for": "ann"},
            )
        )

        found = {item.task: item for item in await items(graph)}

        assert found.keys() == {"hers", "his", "kept"}
        assert found["hers"].commands == ("wg claim hers --actor ann",)
        assert found["his"].commands == ("""wg claim his --actor 'bob o'"'"'b'""",)
        assert found["kept"].commands[1] == "wg unclaim kept"
        assert [one.task for one in await items(graph, actor="ann")] == ["hers", "kept"]


async def test_what_has_to_be_mended_is_there_once() -> None:
    """However many tasks it keeps back; what passes by itself is not."""
    async with a_graph() as graph:
        await graph.take(lines(*({"id": f"t{n}", "title": "t"} for n in range(5))))

        def keep_back(tx: Tx) -> None:
            for task in ("t1", "t2", "t0"):
                park(tx, task, "misconfigured", "there is no program x")
            park(tx, "t3", "provider_limited", "a limit", "account:mine")
            park(tx, "t4", "quarantined", "it ends at once")

        await graph.change(lambda context: keep_back(context.tx))

        first, second = await items(graph)

        assert (first.kind, first.task, first.more) == ("held", "t0", 2)
        assert first.text == "misconfigured: there is no program x"
        assert first.commands == ("mend it",)
        assert (second.task, second.more) == ("t4", 0)


async def test_failed_tasks_that_others_wait_for_come_first() -> None:
    """The machinery's are its own affair."""
    async with a_graph() as graph:
        await graph.take(
            lines(
                {"id": "leaf", "title": "t", "status": "failed"},
                {"id": "root", "title": "t", "status": "failed"},
                {
                    "id": "reward-x",
                    "title": "t",
                    "status": "failed",
                    "tags": ["reward"],
                },
                {"id": "one", "title": "t", "after": ["root"]},
                {"id": "two", "title": "t", "after": ["root"]},
                {"id": "any", "title": "t", "after": [{"id": "leaf", "on": "settled"}]},
            )
        )

        found = await items(graph)

        assert [(one.task, one.more) for one in found] == [("root", 2), ("leaf", 0)]
