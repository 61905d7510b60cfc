import anyio

from tests.core import Core, running_core
from workgraph.graph.chats import Chat
from workgraph.store import chats
from workgraph.store.database import Tx


async def a_chat(core: Core) -> int:
    """A chat in the graph, as its row alone."""

    def insert(tx: Tx) -> int:
        number = chats.next_number(tx)
        chat = Chat(number=number, task=f".chat-{number}", created_at=tx.now, by="me")
        chats.insert_chat(tx, chat)
        return number

    number, _ = await core.store.transaction(insert, core.clock.now())
    return number


async def last_consumer_at(core: Core, chat: int) -> int | None:
    """What is written down of that."""
    found = await core.store.read(
        lambda tx: chats.by_number(tx, chat), core.clock.now()
    )
    return found.last_consumer_at


async def test_each_connection_is_counted_while_it_lasts() -> None:
    """Two in one chat are two, and nobody is nobody."""
    async with running_core() as core:
        consumers, chat = core.engine.consumers, await a_chat(core)

        async with consumers.connected(chat), consumers.connected(chat):
            both = consumers.counts
        async with consumers.connected(chat):
            one = consumers.counts

        assert (both, one, consumers.counts) == ({chat: 2}, {chat: 1}, {})


async def test_who_comes_and_who_leaves_is_written_down() -> None:
    """The time of both is the chat's last consumer's."""
    async with running_core() as core:
        chat = await a_chat(core)
        began = core.clock.now()

        async with core.engine.consumers.connected(chat):
            came = await last_consumer_at(core, chat)
            await core.advance(10)
        left = await last_consumer_at(core, chat)

        assert (came, left) == (began, began + 10_000_000)


async def test_one_that_is_cancelled_has_left() -> None:
    """A client that is killed closes its connection, which cancels what it asked."""
    async with running_core() as core:
        consumers, chat = core.engine.consumers, await a_chat(core)
        began, there = core.clock.now(), anyio.Event()

        async def stay() -> None:
            async with consumers.connected(chat):
                there.set()
                await anyio.sleep_forever()

        async with anyio.create_task_group() as group:
            group.start_soon(stay)
            await there.wait()
            core.clock.advance(5)
            group.cancel_scope.cancel()

        assert consumers.counts == {}
        assert await last_consumer_at(core, chat) == began + 5_000_000
