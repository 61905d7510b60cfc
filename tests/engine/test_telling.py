"""What a chat's handler is told, read from the graph it answers about."""

from typing import Any

import msgspec
import pytest

from tests.core import OPERATOR, Core, running_core
from workgraph.daemon import telling
from workgraph.daemon.starting import Starting
from workgraph.graph import chat_requests as c
from workgraph.graph import requests as r
from workgraph.graph.chats import ChatEvent, ChatMessage
from workgraph.graph.context_view import Compiled
from workgraph.graph.facts import ChatHeard
from workgraph.graph.prompt_requests import GetContext
from workgraph.store import agents, chats
from workgraph.store.database import Tx

TOOL = ('dispatcher.executor="tool"', 'executors.tool.argv=["tool"]')
NOBODY = ("dispatcher.max_agents=0", *TOOL)


async def a_chat(core: Core, *said: str, **fields: Any) -> str:
    """A chat in which messages wait."""
    chat = (await core.do(c.CreateChat(**fields))).data.id
    for text in said:
        await say(core, chat, text)
    return str(chat)


async def say(core: Core, chat: str, text: str, *, answer: str | None = None) -> int:
    """Somebody says something, and is answered at once or not yet."""

    def add(tx: Tx) -> int:
        found = chats.of_task(tx, chat)
        assert found is not None
        number = chats.say(tx, found, "message", text, by="me")
        if answer is not None:
            assert chats.answer(tx, found, number, "reply", answer, by="agent-9")
        return number

    number, _ = await core.store.transaction(add, core.clock.now())
    return number


async def opened(core: Core, chat: str, *, resumed: bool = False) -> Compiled:
    """What a handler is told that is started now."""

    def tell(tx: Tx) -> Compiled:
        found = chats.of_task(tx, chat)
        assert found is not None
        return telling.compile_opening(
            tx, found, core.engine.host.grounds, resumed=resumed, message=None
        )

    compiled, _ = await core.store.transaction(tell, core.clock.now())
    return compiled


async def turned(core: Core, chat: str, text: str = "and now?") -> str:
    """What a handler that is there is given with a message."""

    def tell(tx: Tx) -> str:
        found = chats.of_task(tx, chat)
        assert found is not None
        message = ChatMessage(
            number=99, chat=found.number, at=0, by="me", kind="message", text=text
        )
        return telling.compile_turn(tx, found, message, core.engine.host.grounds)

    told, _ = await core.store.transaction(tell, core.clock.now())
    return told


async def test_a_new_handler_is_told_how_the_graph_stands() -> None:
    """What runs, what failed and why, and what waits for a person; no chats."""
    async with running_core("dispatcher.max_agents=1", *TOOL) as core:
        chat = await a_chat(core, name="Release")
        await a_chat(core)
        runs = await core.add("It runs")
        await core.settle()
        core.engine.max_agents = 0
        for title in ("It fails", "To look at", "Asked"):
            task = await core.add(
                title, review="human" if title == "To look at" else None
            )
            await core.do(r.ClaimTask(task=task, actor="ann", force=True))
        await core.do(r.FailTask(task="it-fails", reason="no room"))
        await core.do(r.FinishTask(task="to-look-at"))
        await core.do(r.AskQuestion(task="asked", question="Or that?"))

        told = (await opened(core, chat)).text

        assert "===== chat\nRelease\nid: .chat-1\nproject: /project\n" in told
        graph = told.partition("===== graph\n")[2].partition("===== end")[0]
        for text in (
            "tasks: 1 in-progress, 1 waiting, 1 pending-review, 1 failed\n",
            "===== a person has to look at: asked, waiting\nAsked\nOr that?\n",
            "===== a person has to look at: to-look-at, pending-review\nTo look at\n",
            "===== has failed: it-fails, failed\nIt fails\nfailed: no room\n",
            f"===== runs: {runs}, by default, agent-1\nIt runs\n",
        ):
            assert text in graph, text
        assert "chat-2" not in told
        assert "===== changes" not in told


async def test_it_is_told_once_of_what_has_changed() -> None:
    """At its start or with a message, whatever comes first; not of what it did."""
    async with running_core(*NOBODY) as core:
        chat = await a_chat(core)
        await opened(core, chat)
        before = await turned(core, chat)
        await core.add("One")
        one = await turned(core, chat)
        again = await turned(core, chat)
        await core.add("Two")
        two = (await opened(core, chat, resumed=True)).text
        after = await turned(core, chat)
        await _edit_as_a_handler(core, chat)
        own = await turned(core, chat)

        assert before == again == after == own
        assert before.startswith("===== message\n")
        assert "===== one: open now\nOne\nadded, by me\n" in one
        assert "Two" not in one
        assert "===== two: open now" in two
        assert "===== one" not in two


async def test_what_nobody_has_answered_is_told_again() -> None:
    """A handler that ends before it has answered takes no change with it."""
    async with running_core("dispatcher.max_agents=0") as core:
        chat = await a_chat(core, executor="claude")
        await core.do(c.SendToChat(task=chat, text="1"))
        await _say(core, 1, "yes")
        await core.add("One")
        await core.do(c.SendToChat(task=chat, text="2"))
        assert "===== one: open now" in _given(core, 1)[1]

        core.launcher.exit(1, code=1)
        await core.settle()
        await core.advance(1)

        [again] = _given(core, 2)
        assert "===== one: open now" in again
        await _say(core, 2, "yes")
        await core.do(c.SendToChat(task=chat, text="3"))
        core.launcher.exit(2, code=1)
        await core.settle()
        await core.advance(2)
        [third] = _given(core, 3)
        assert "===== one" not in third


def _given(core: Core, agent: int) -> list[str]:
    """What a handler that is kept open was given to read."""
    return [
        msgspec.json.decode(data)["message"]["content"]
        for number, data in core.launcher.given
        if number == agent
    ]


async def _say(core: Core, agent: int, text: str) -> None:
    """A handler answers, and its client calls the conversation by a name."""
    events = (
        ChatEvent(kind="session", text="s"),
        ChatEvent(kind="reply", text=text),
    )
    read = await _output_read(core, agent) + 1
    core.engine.post(ChatHeard(agent=agent, output_read=read, events=events))
    await core.settle()


async def _output_read(core: Core, agent: int) -> int:
    query = "select output_read from agents where number = ?"
    number: int = await core.store.read(lambda tx: tx.value(query, (agent,)), 0)
    return number


async def _edit_as_a_handler(core: Core, chat: str) -> None:
    """One of its handlers, which is gone since, has edited a task."""

    def insert(tx: Tx) -> None:
        number, attempt = agents.next_agent(tx, chat)
        new = agents.NewAgent(task=chat, attempt=attempt, actor=None, executor="tool")
        agents.insert_agent(tx, new)
        tx.run(
            "update agents set status = 'ended', ended_at = ?, concluded = 1,"
            " outcome = 'done' where number = ?",
            (tx.now, number),
        )
        tx.emit("task_edited", task="one", by=f"agent-{number}", reason="title")

    await core.store.transaction(insert, core.clock.now())


async def test_what_has_changed_is_bounded() -> None:
    """The newest of it, and how many are before that."""
    async with running_core(*NOBODY) as core:
        chat = await a_chat(core)
        await core.add("One")
        await opened(core, chat)

        def much(tx: Tx) -> None:
            for _ in range(3000):
                tx.emit("task_edited", task="one", by="x" * 500, reason="y" * 5000)

        await core.store.transaction(much, core.clock.now())

        told = await turned(core, chat)

        assert "2500 earlier changes are not listed" in told
        assert len(told) < 6000


async def test_what_was_said_is_told_to_a_new_session_alone() -> None:
    """What waits for its answer is not among it: that comes as a message."""
    async with running_core(*NOBODY) as core:
        chat = await a_chat(core)
        await say(core, chat, "first question", answer="first answer")
        await say(core, chat, "second question")

        new = (await opened(core, chat)).text
        resumed = (await opened(core, chat, resumed=True)).text

        assert "first question" in new
        assert "===== reply 2 to 1, " in new
        assert "first answer" in new
        assert "second question" not in new
        assert "first" not in resumed


async def test_a_chat_that_is_restored_has_its_history() -> None:
    """It was archived, and comes back with what was said."""
    async with running_core(*NOBODY) as core:
        chat = await a_chat(core)
        await say(core, chat, "the towel is blue", answer="noted")
        await core.do(c.ArchiveChat(task=chat))
        await core.do(c.RestoreChat(task=chat))

        told = (await opened(core, chat)).text

        assert "the towel is blue" in told


@pytest.mark.parametrize("tokens", [0, 300, 20_000])
async def test_the_history_keeps_to_its_setting(tokens: int) -> None:
    """The newest is kept, and it is said how many are not there."""
    setting = f"chat.history_tokens={tokens}"
    async with running_core(setting, *NOBODY) as core:
        chat = await a_chat(core)
        for number in range(100):
            await say(core, chat, f"question {number}.", answer="x" * 200)

        compiled = await opened(core, chat)

        [block] = [one for one in compiled.blocks if one.name == "history"]
        assert block.tokens <= max(tokens, 40)
        assert ("question 99." in compiled.text) == (tokens > 0)
        assert ("question 0." in compiled.text) == (tokens == 20_000)
        assert ("earlier messages" in compiled.text) == (tokens < 20_000)


async def test_a_secret_is_hidden() -> None:
    """Whoever has said it."""
    async with running_core(*NOBODY) as core:
        chat = await a_chat(core)
        await say(core, chat, "use sk-ant-api03-" + "a" * 40, answer="no")

        assert "sk-ant-api03" not in (await opened(core, chat)).text


async def test_what_is_told_is_shown_before() -> None:
    """`wg context .chat-1` says what the next handler is told, and changes nothing."""
    async with running_core(*NOBODY) as core:
        chat = await a_chat(core, "hello there")
        starting = Starting(core.engine)

        first = await starting.context(GetContext(task=chat), OPERATOR)
        second = await starting.context(GetContext(task=chat), OPERATOR)

        assert first == second
        assert "You are an agent of workgraph and answer in" in first.data.text
        assert first.data.text.endswith("hello there\n===== end of message\n\n")


async def test_a_graph_that_has_changed_much_is_counted_again() -> None:
    """Who goes on with a session is told how it stands where not all can be listed."""
    async with running_core(*NOBODY) as core:
        chat = await a_chat(core)
        await core.add("One")
        await opened(core, chat)

        def much(tx: Tx) -> None:
            for _ in range(600):
                tx.emit("task_edited", task="one", by="me", reason="title")

        few = (await opened(core, chat, resumed=True)).text
        await core.store.transaction(much, core.clock.now())
        many = (await opened(core, chat, resumed=True)).text

        assert "===== graph" not in few
        assert "===== graph\ntasks: 1 open\n" in many
        assert "100 earlier changes are not listed" in many


async def test_a_handler_that_was_started_has_been_told_so() -> None:
    """What it was told is kept with it, and is shown by its number."""
    async with running_core(*NOBODY) as core:
        chat = await a_chat(core, exec="cat")
        await core.do(c.SendToChat(task=chat, text="what is left?"))
        starting = Starting(core.engine)

        kept = await starting.context(GetContext(task=chat, agent="agent-1"), OPERATOR)

        [order] = core.launcher.orders
        prompt = str(order.files["prompt.md"])
        assert prompt.startswith("You are an agent of workgraph and answer in")
        assert "what is left?" not in prompt
        assert [block.name for block in kept.data.blocks] == ["rules", "chat", "graph"]
        assert kept.data.tokens == sum(block.tokens for block in kept.data.blocks)
