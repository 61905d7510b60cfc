"""Every command of the socket with a chat's token: what a chat may do (CONTRACT §4)."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest

from tests.contract.test_access import (
    ANSWERS,
    EXAMPLES,
    TAGS,
    Setting,
    a_setting,
    coming_from,
)
from tests.core import OPERATOR, Core, running_core
from workgraph.commands.access import REACH, Reach
from workgraph.commands.chat_token import CHAT_REACH
from workgraph.commands.context import Caller
from workgraph.graph import chat_requests as c
from workgraph.graph import requests as r
from workgraph.graph.errors import ForbiddenError, NotFoundError
from workgraph.graph.messages import SendMessage
from workgraph.graph.model import Agent
from workgraph.store import agent_reads, agents, chats
from workgraph.store.database import Tx

#: What is said of what a chat may do, about a task of its own making.
OWN_WORK: Final[Mapping[str, Mapping[str, Any]]] = {
    "add_task": {"title": "kid", "paused": True},
    "edit": {"task": "mine", "title": "x"},
    "link": {"task": "mine", "after": "ended"},
    "unlink": {"task": "mine", "after": "ended"},
    "msg": {"task": "mine", "text": "hello"},
    "log": {"task": ".chat-1", "message": "noted"},
    "heartbeat": {"task": ".chat-1"},
}
#: Nothing is started; a chat is answered by a command.
NOTHING_RUNS: Final = ("dispatcher.max_agents=0",)


async def a_handler(core: Core, chat: str = ".chat-1") -> Caller:
    """Somebody who has the next message of a chat; who had the last one is gone."""

    def insert(tx: Tx) -> Agent:
        found = chats.of_task(tx, chat)
        assert found is not None
        if found.handler is not None:
            _end(tx, found.handler)
            head = chats.head(tx, found.number)
            assert head is not None
            chats.answer(tx, found, head.number, "reply", "done", by="me")
        message = chats.say(tx, found, "message", "hello", by="me")
        number, attempt = agents.next_agent(tx, chat)
        agents.insert_agent(
            tx,
            agents.NewAgent(
                task=chat,
                attempt=attempt,
                actor=None,
                executor="shell",
                workspace="/project",
                token_sha256=sha256(token_of(number).encode()).digest(),
            ),
        )
        chats.set_handler(tx, found.number, number)
        assert chats.deliver(tx, message, number)
        return agent_reads.by_number(tx, number)

    await core.advance(1)
    agent, _ = await core.store.transaction(insert, core.clock.now())
    return Caller(name=agent.id, agent=agent)


def token_of(number: int) -> str:
    """What a handler was given."""
    return f"chat-token-{number}"


def _end(tx: Tx, number: int) -> None:
    tx.run(
        "update agents set status = 'ended', ended_at = ?, concluded = 1,"
        " outcome = 'done' where number = ?",
        (tx.now, number),
    )


@asynccontextmanager
async def a_chat_setting(tmp_path: Path) -> AsyncGenerator[tuple[Setting, Agent]]:
    """A project in which a handler answers, and has added the task `mine`."""
    async with a_setting(tmp_path) as s:
        handler = await a_handler(s.core)
        assert handler.agent is not None
        await s.core.engine.answer(r.AddTask(title="mine", paused=True), handler)
        yield s, handler.agent


@pytest.mark.parametrize("tag", sorted(TAGS))
async def test_what_a_chat_may_do(tag: str, tmp_path: Path) -> None:
    """It reads all, adds, and changes what it has added; the rest it may not."""
    async with a_chat_setting(tmp_path) as (s, agent):
        mine, token = coming_from(agent.id), token_of(agent.number)
        before = await s.rows()
        reads_only = REACH[TAGS[tag]] is Reach.READ

        if tag != "add_task":
            code = await s.say(tag, mine, token)
            assert code == (ANSWERS.get(tag, "ok") if reads_only else "forbidden")
        if not reads_only:
            assert await s.rows() == before, "what was refused has changed something"
            assert await s.say(tag, mine) == "forbidden", "no token"
        if tag in OWN_WORK:
            assert TAGS[tag] in CHAT_REACH
            request = {"cmd": tag, **OWN_WORK[tag]}
            assert await s.ask(request, mine, token) == "ok"


async def test_what_a_chat_says_after_its_end_is_kept(tmp_path: Path) -> None:
    """As of every agent: a conflict, and a late result where it may have counted."""
    async with a_chat_setting(tmp_path) as (s, agent):
        await a_handler(s.core)
        before = await s.rows()
        for tag in sorted(OWN_WORK.keys() | {"retry", "done", "kill"}):
            request = {"cmd": tag, **(OWN_WORK.get(tag) or EXAMPLES[tag])}

            code = await s.ask(request, coming_from(agent.id), token_of(agent.number))

            after = await s.rows()
            assert code == "conflict", tag
            new = [row[2] for row in after["changes"] if row not in before["changes"]]
            assert new == (["late_result"] if tag in OWN_WORK else []), tag
            before = after


def test_what_a_chat_may_do_is_what_is_tried() -> None:
    """Each has its example."""
    assert {TAGS[tag] for tag in OWN_WORK} == set(CHAT_REACH)


async def test_what_a_chat_adds_waits_for_nothing_unasked() -> None:
    """Not for the conversation, which is over when somebody archives it."""
    async with running_core(*NOTHING_RUNS) as core:
        chat = (await core.do(c.CreateChat())).data.id
        handler = await a_handler(core)

        free = await core.say(r.AddTask(title="Free"), handler)
        bound = await core.say(r.AddTask(title="Bound", after=("free",)), handler)
        asked = await core.say(r.AddTask(title="Asked", after=(chat,)), handler)

        after = [[edge.id for edge in one.data.after] for one in (free, bound, asked)]
        assert after == [[], ["free"], [chat]]
        assert free.data.ready


async def test_the_tasks_of_all_its_handlers_are_a_chats_own() -> None:
    """And what hangs below them; not those of another chat, and not its own node."""
    async with running_core("dispatcher.max_agents=2") as core:
        for _ in range(2):
            await core.do(c.CreateChat(exec="cat"))
        first = await a_handler(core)
        await core.say(r.AddTask(title="Mine", actor="ann"), first)
        await core.say(r.AddTask(title="Runs", paused=True), first)
        await core.do(r.EditTask(task="runs", exec="true"))
        await core.do(r.Resume(task="runs"))
        worker = await core.agent_caller("runs")
        await core.do(r.AddTask(title="Kid", paused=True), worker)
        other = await a_handler(core, ".chat-2")
        await core.say(r.AddTask(title="Theirs", paused=True), other)
        await core.add("People's", id="peoples", paused=True)

        second = await a_handler(core)

        for task in ("mine", "kid"):
            await core.say(r.EditTask(task=task, title="New"), second)
            await core.say(r.LinkTask(task=task, after="theirs"), second)
            await core.say(r.UnlinkTask(task=task, after="theirs"), second)
            await core.say(SendMessage(task=task, text="hello"), second)
        for task in ("theirs", "peoples", ".chat-1", ".chat-2"):
            for request in (
                r.EditTask(task=task, title="New"),
                r.LinkTask(task=task, after="mine"),
                r.UnlinkTask(task=task, after="mine"),
                SendMessage(task=task, text="hello"),
            ):
                with pytest.raises(
                    ForbiddenError, match=r"not added by \.chat-1|is the conversation"
                ):
                    await core.say(request, second)
        with pytest.raises(ForbiddenError, match="not for a chat"):
            await core.say(SendMessage(task="mine", ack_all=True), second)
        with pytest.raises(NotFoundError):
            await core.say(r.EditTask(task="min", title="New"), second)


@pytest.mark.parametrize(
    "option",
    [
        {"exec": "true"},
        {"exec": ""},
        {"verify": ("true",)},
        {"verify": ()},
        {"env": ("A=b",)},
        {"executor": "shell"},
        {"endpoint": "http://x"},
        {"working_dir": "/"},
        {"input": ("/etc/passwd",)},
        {"output": ("../x",)},
        {"context_file": ("/etc/passwd",)},
    ],
    ids=str,
)
async def test_a_chat_finds_no_way_out_by_its_tasks(option: dict[str, Any]) -> None:
    """Neither by adding nor by editing; a chat has no sandbox and needs none for it."""
    async with running_core(*NOTHING_RUNS) as core:
        await core.do(c.CreateChat())
        handler = await a_handler(core)
        await core.say(r.AddTask(title="Mine"), handler)
        before = (await core.do(r.ShowTask(task="mine"))).data

        for request in (
            r.AddTask(title="Bad", **option),
            r.EditTask(task="mine", **option),
        ):
            with pytest.raises(ForbiddenError, match="is a chat's: "):
                await core.say(request, handler)

        assert (await core.do(r.ShowTask(task="mine"))).data == before


async def test_what_people_have_set_of_its_task_stays() -> None:
    """A chat may still give it another title."""
    async with running_core(*NOTHING_RUNS) as core:
        await core.do(c.CreateChat())
        handler = await a_handler(core)
        await core.say(r.AddTask(title="Mine"), handler)
        await core.do(r.EditTask(task="mine", context_file=("/etc/hosts",)))

        edited = await core.say(r.EditTask(task="mine", title="New"), handler)

        assert edited.data.title == "New"
        assert edited.data.context_files == ("/etc/hosts",)


async def test_a_chat_adds_so_many_tasks_for_a_message() -> None:
    """With the next one it may go on, in the same process or another one."""
    async with running_core("agents.max_new_tasks=2", *NOTHING_RUNS) as core:
        await core.do(c.CreateChat())
        for _ in range(3):
            handler = await a_handler(core)
            for _ in range(2):
                await core.say(r.AddTask(title="One"), handler)

            with pytest.raises(ForbiddenError, match="for this message"):
                await core.say(r.AddTask(title="Too many"), handler)


async def test_what_is_over_below_a_chat_counts_no_more() -> None:
    """Nor for the agents of the tasks that it has added."""
    async with running_core(
        "agents.max_descendants=2", "dispatcher.max_agents=2"
    ) as core:
        await core.do(c.CreateChat())
        handler = await a_handler(core)
        await core.say(r.AddTask(title="Runs", paused=True), handler)
        await core.do(r.EditTask(task="runs", exec="true"))
        await core.do(r.Resume(task="runs"))
        worker = await core.agent_caller("runs")
        await core.do(r.AddTask(title="Kid", paused=True), worker)

        with pytest.raises(ForbiddenError, match=r"2 tasks below \.chat-1"):
            await core.say(r.AddTask(title="No"), handler)
        with pytest.raises(ForbiddenError, match=r"2 tasks below \.chat-1"):
            await core.say(r.AddTask(title="No"), worker)
        await core.do(r.AbandonTask(task="kid"))
        await core.say(r.AddTask(title="Yes", paused=True), worker)

        with pytest.raises(ForbiddenError, match=r"2 tasks below \.chat-1"):
            await core.say(r.AddTask(title="No"), handler)


async def test_an_operator_is_not_held_to_that() -> None:
    """People may do to a chat's tasks what they may do to all."""
    async with running_core(*NOTHING_RUNS) as core:
        await core.do(c.CreateChat())
        handler = await a_handler(core)
        await core.say(r.AddTask(title="Mine"), handler)

        edited = await core.do(r.EditTask(task="mine", exec="true"), OPERATOR)

        assert edited.data.exec == "true"
