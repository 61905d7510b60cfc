"""Chats by requests: what is queued, put away and taken up, and how they are named."""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.core import Core, running_core
from tests.graph.builders import an_agent
from workgraph.commands.shapes_chats import state_of
from workgraph.graph import requests as r
from workgraph.graph.chat_requests import (
    ArchiveChat,
    AttachChat,
    ChatData,
    CreateChat,
    GetChatHistory,
    InterruptChat,
    ListChats,
    PurgeChats,
    RestoreChat,
    SendToChat,
    ShowChat,
)
from workgraph.graph.chats import Chat, ChatState
from workgraph.graph.errors import (
    NeedsDaemonError,
    NotFoundError,
    UsageError,
    UserError,
)
from workgraph.graph.messages import GetInbox
from workgraph.graph.model import AgentStatus
from workgraph.graph.times import Duration
from workgraph.store.database import Tx

OFF = "dispatcher.max_agents=0"


async def new(core: Core, name: str | None = None, **options: Any) -> str:
    """A chat; its id."""
    chat: str = (await core.say(CreateChat(name=name, **options))).data.id
    return chat


async def show(core: Core, chat: str) -> ChatData:
    """A chat as `wg chat show` gives it."""
    data = (await core.say(ShowChat(task=chat))).data
    assert isinstance(data, ChatData)
    return data


async def said(core: Core, chat: str) -> list[tuple[int, str, str]]:
    """What was said in a chat."""
    history = (await core.say(GetChatHistory(task=chat))).data
    return [(one.id, one.kind, one.text) for one in history]


async def test_a_chat_is_a_task_that_nobody_works_off() -> None:
    """Open, parked for good, and with the name, executor and model of the chat."""
    async with running_core(OFF) as core:
        reply = await core.say(CreateChat(executor="claude", model="opus"))
        assert (reply.data.id, reply.data.name) == (".chat-1", "chat 1")
        assert (reply.data.state, reply.data.queued) == ("idle", 0)

        task = await core.task(".chat-1")
        assert (task.status, task.spec.tags) == ("open", ("chat",))
        assert (task.spec.executor, task.spec.model) == ("claude", "opus")
        assert task.parked is not None
        assert task.parked.key == "chat"


async def test_numbers_are_never_used_again() -> None:
    """Not after an archive, a purge, or for the id of a task that is there."""
    async with running_core(OFF) as core:
        assert await new(core) == ".chat-1"
        await core.say(PurgeChats())
        assert await new(core) == ".chat-2"
        await core.say(ArchiveChat(task="2"))
        assert await new(core) == ".chat-3"


@pytest.mark.parametrize(
    "options",
    [
        {"name": " "},
        {"exec": "cat", "model": "m"},
        {"exec": "cat", "executor": "claude"},
        {"exec": " "},
        {"exec": "a\0b"},
        {"executor": "shell"},
    ],
)
async def test_what_no_chat_can_be(options: dict[str, str]) -> None:
    """A name says something; a command answers, or a client."""
    async with running_core(OFF) as core:
        with pytest.raises(UsageError):
            await core.say(CreateChat(**options))
        assert (await core.say(ListChats(all=True))).data == ()


async def test_a_message_waits_in_the_queue() -> None:
    """Its number is its own; who has sent it was there."""
    async with running_core(OFF) as core:
        one, other = await new(core), await new(core)
        first = (await core.say(SendToChat(task=one, text="hello"))).data
        second = (await core.say(SendToChat(task=other, text="there"))).data
        assert (first.chat, first.id, second.id) == (one, 1, 2)
        shown = await show(core, one)
        assert (shown.queued, shown.last_consumer_at is not None) == (1, True)
        [message] = (await core.say(GetChatHistory(task=one))).data
        assert (message.id, message.by, message.waiting) == (1, "me", True)


async def test_of_a_history_the_last() -> None:
    """In the order in which it was said."""
    async with running_core(OFF) as core:
        chat = await new(core)
        for text in "abc":
            await core.say(SendToChat(task=chat, text=text))
        last = (await core.say(GetChatHistory(task=chat, last=2))).data
        assert [one.text for one in last] == ["b", "c"]
        with pytest.raises(UsageError):
            await core.say(GetChatHistory(task=chat, last=-1))


@pytest.mark.parametrize("word", [".chat-2", "chat-2", "2", "plans", " plans "])
async def test_what_names_a_chat(word: str) -> None:
    """Its id, its number, or a name that no other one has."""
    async with running_core(OFF) as core:
        await new(core)
        await new(core, "plans")
        assert (await show(core, word)).id == ".chat-2"


async def test_what_names_no_chat() -> None:
    """Nothing, or several: of those archived ones count last."""
    async with running_core(OFF) as core:
        await new(core, "plans")
        await new(core, "plans")
        for word in ("", "3", ".chat-3", ".chat-03x", "other", "9" * 30):
            with pytest.raises(NotFoundError):
                await show(core, word)
        with pytest.raises(NotFoundError) as raised:
            await show(core, "plan")
        assert raised.value.hint == "did you mean plans? wg chat list --all"
        with pytest.raises(UserError, match="several"):
            await show(core, "plans")
        await core.say(ArchiveChat(task="1"))
        assert (await show(core, "plans")).id == ".chat-2"
        await core.say(ArchiveChat(task="2"))
        with pytest.raises(UserError, match="several"):
            await show(core, "plans")


async def test_archived_means_archived() -> None:
    """Its task is done and tagged, nothing can be said; twice is once."""
    async with running_core(OFF) as core:
        chat = await new(core)
        await core.say(SendToChat(task=chat, text="hello"))
        first = (await core.say(ArchiveChat(task=chat))).data
        core.clock.advance(5)
        again = (await core.say(ArchiveChat(task=chat))).data

        assert (again.state, again.archived_at) == ("archived", first.archived_at)
        assert again.purged_at is None
        task = await core.task(chat)
        assert (task.status, task.spec.tags) == ("done", ("chat", "archived"))
        for request in (SendToChat(task=chat, text="x"), AttachChat(task=chat)):
            with pytest.raises(UserError) as refused:
                await core.say(request)
            assert refused.value.hint == "wg chat restore .chat-1"
        assert (await core.say(ListChats())).data == ()
        assert len((await core.say(ListChats(all=True))).data) == 1
        assert await said(core, chat) == [(1, "message", "hello")]


async def test_what_is_restored_goes_on() -> None:
    """Its task is open and parked again, its history and its queue are there."""
    async with running_core(OFF) as core:
        chat = await new(core)
        before = await core.task(chat)
        await core.say(SendToChat(task=chat, text="hello"))
        await core.say(PurgeChats())
        await core.say(RestoreChat(task=chat))
        again = (await core.say(RestoreChat(task=chat))).data

        assert (again.archived_at, again.purged_at) == (None, None)
        assert again.queued == 1
        task = await core.task(chat)
        assert (task.status, task.spec.tags) == ("open", ("chat",))
        assert task.parked == before.parked
        assert (await core.say(SendToChat(task=chat, text="more"))).data.id == 2


async def test_a_purge_archives_them_all() -> None:
    """A trial changes nothing; purging again or nothing succeeds."""
    async with running_core(OFF) as core:
        assert (await core.say(PurgeChats())).data.chats == ()
        for _ in range(3):
            await new(core)
        await core.say(ArchiveChat(task="2"))
        would = (await core.say(PurgeChats(dry_run=True))).data
        assert (would.dry_run, len(would.chats)) == (True, 3)
        assert (await show(core, "1")).archived_at is None

        done = (await core.say(PurgeChats())).data
        assert done.chats == (".chat-1", ".chat-2", ".chat-3")
        assert (await core.say(PurgeChats())).data.chats == ()
        for chat in (await core.say(ListChats(all=True))).data:
            assert (chat.state, chat.purged_at is None) == ("archived", False)
            assert (await core.task(chat.id)).status == "done"


async def test_who_waits_goes_on_when_it_is_archived() -> None:
    """And waits again when it is restored."""
    async with running_core(OFF) as core:
        chat = await new(core)
        await core.add("after", after=(chat,))
        assert (await core.task("after")).unmet == 1
        await core.say(ArchiveChat(task=chat))
        assert (await core.task("after")).unmet == 0
        await core.say(RestoreChat(task=chat))
        assert (await core.task("after")).unmet == 1


async def test_crashes_are_forgotten_with_new_input_after_a_success() -> None:
    """And not with new input alone."""
    async with running_core(OFF) as core:
        chat = await new(core)

        def crash(tx: Tx, answered: int) -> None:
            tx.run("update chats set failures = 3, answered = ?", (answered,))

        await core.store.transaction(lambda tx: crash(tx, 0), 0)
        await core.say(SendToChat(task=chat, text="x"))
        assert (await show(core, chat)).failures == 3
        await core.store.transaction(lambda tx: crash(tx, 1), 0)
        await core.say(SendToChat(task=chat, text="x"))
        assert (await show(core, chat)).failures == 0


async def test_what_needs_a_process() -> None:
    """To wait for a reply, and to be attached; where none runs, none is stopped."""
    async with running_core(OFF) as core:
        chat = await new(core)
        with pytest.raises(NeedsDaemonError):
            await core.say(AttachChat(task=chat))
        reply = await core.say(InterruptChat(task=chat))
        assert reply.notes == ("nothing runs in it",)
        with pytest.raises(UserError):
            await core.say(SendToChat(task=chat, text="\n"))


async def test_the_status_of_the_service_counts_chats() -> None:
    """By what they do, with those that can't answer; what waits is counted."""
    async with running_core() as core:
        for name in ("asked", "held", "away", "quiet"):
            await new(core, name, exec="true")

        def crash(tx: Tx) -> None:
            until = tx.now + Duration(60).micros
            sql = "update chats set failures = 2, backoff_until = ? where number = 2"
            tx.run(sql, (until,))

        await core.store.transaction(crash, core.clock.now())
        for chat in ("asked", "held", "held"):
            await core.do(SendToChat(task=chat, text="x"))
        await core.do(ArchiveChat(task="away"))

        chats = (await core.say(r.GetServiceStatus())).data.chats

        assert chats.counts == {
            "idle": 1,
            "starting": 0,
            "live": 1,
            "backing-off": 1,
            "archived": 1,
        }
        assert (chats.consumers, chats.queued) == (0, 3)
        assert chats.backing_off == (await show(core, "held"),)


async def test_what_stands_still_is_told() -> None:
    """Frozen, a chat in which something waits names that, and what to do."""
    async with running_core() as core:
        chat = await new(core, exec="true")
        await core.freeze()
        assert (await show(core, chat)).problem is None
        await core.do(SendToChat(task=chat, text="x"))
        found = await show(core, chat)
        assert (found.state, found.remedy) == ("starting", "wg service thaw")
        assert "frozen" in (found.problem or "")
        await core.thaw()
        assert (await show(core, chat)).problem is None


#: Who is there, and what waits.
NOBODY, SOMEBODY, MAIL = (0, 0), (1, 0), (0, 2)
STATES: list[tuple[dict[str, Any], AgentStatus | None, tuple[int, int], str]] = [
    ({"archived_at": 1, "problem": "p"}, AgentStatus.WORKING, MAIL, "archived"),
    ({"problem": "p"}, AgentStatus.WORKING, SOMEBODY, "live"),
    ({}, AgentStatus.STOPPING, NOBODY, "live"),
    ({}, AgentStatus.STARTING, SOMEBODY, "starting"),
    ({"backoff_until": 11}, AgentStatus.ENDED, MAIL, "backing-off"),
    ({"backoff_until": 11}, None, SOMEBODY, "backing-off"),
    ({"backoff_until": 11}, None, NOBODY, "idle"),
    ({"backoff_until": 10}, None, MAIL, "starting"),
    ({"backoff_until": 10}, None, SOMEBODY, "idle"),
    ({"problem": "no login"}, None, SOMEBODY, "backing-off"),
    ({}, None, MAIL, "starting"),
    ({}, None, NOBODY, "idle"),
]
#: Without a daemon nothing is being started, whatever waits.
UNSERVED: list[tuple[dict[str, Any], AgentStatus | None, tuple[int, int], str]] = [
    ({}, None, MAIL, "idle"),
    ({}, AgentStatus.WORKING, MAIL, "live"),
    ({"backoff_until": 11}, None, MAIL, "backing-off"),
    ({"archived_at": 1}, None, MAIL, "archived"),
]


def test_a_wish_decides_between_backing_off_and_idle() -> None:
    """Every state, in the order in which they count."""
    for rows, is_served in ((STATES, True), (UNSERVED, False)):
        for fields, status, (consumers, queued), state in rows:
            chat = Chat(number=1, task=".chat-1", created_at=0, by="me", **fields)
            handler = None if status is None else replace(an_agent(), status=status)
            found = state_of(
                chat,
                handler,
                10,
                consumers=consumers,
                queued=queued,
                is_served=is_served,
            )
            assert found is ChatState(state), (fields, status, consumers, queued)


#: What an edit may not change, with what its hint leads to. What is for work alone is
#: in tests/contract/test_chat_words.py.
WORK = [
    (r.EditTask(task=".chat-1", exec="true"), "title"),
    (r.EditTask(task=".chat-1", actor="default"), "title"),
    (r.EditTask(task=".chat-1", paused=True), "title"),
    (r.EditTask(task=".chat-1", add_tag=("x",)), "title"),
    (r.EditTask(task=".chat-1", title=" "), "--title"),
]


@pytest.mark.parametrize(("request_", "hint"), WORK)
async def test_what_is_for_work_is_refused(request_: r.AnyRequest, hint: str) -> None:
    """With what can be done instead; nothing was changed."""
    async with running_core(OFF) as core:
        await new(core)
        await core.add("t", paused=True)
        before = await core.changes()
        with pytest.raises(UserError) as refused:
            await core.say(request_)
        assert hint in refused.value.hint
        assert await core.changes() == before


async def test_what_of_a_chat_can_be_edited() -> None:
    """And it stays out of dispatch."""
    async with running_core() as core:
        chat = await new(core)
        before = await core.task(chat)
        for change in (
            {"title": "plans"},
            {"description": "about the plans"},
            {"executor": "claude"},
            {"model": "opus"},
        ):
            await core.do(r.EditTask(task=chat, **change))  # type: ignore[arg-type]
        shown = await show(core, "plans")
        assert (shown.id, shown.executor, shown.model) == (chat, "claude", "opus")
        assert (await core.task(chat)).parked == before.parked
        await core.say(ArchiveChat(task=chat))
        with pytest.raises(UserError) as refused:
            await core.do(r.EditTask(task=chat, title="x"))
        assert refused.value.hint == "wg chat restore .chat-1"


async def test_a_chat_has_no_place_among_work() -> None:
    """Not in lists, counts, the inbox, or what is next; a reload does not change it."""
    async with running_core() as core:
        chat = await new(core)
        await core.reload()
        await core.advance(7200)
        for request in (r.ListTasks(), r.ListReady(), r.ListBlocked(), GetInbox()):
            assert (await core.say(request)).data == (), request
        assert (await core.say(r.NextTask(actor="ann", claim=True))).data is None
        assert [one.id for one in (await core.say(r.ListTasks(all=True))).data] == [
            chat
        ]
        status = (await core.say(r.GetServiceStatus())).data
        assert (status.ready, status.unfinished, status.idle) == (0, 0, True)
        assert not any(status.counts.values())
        await core.say(ArchiveChat(task=chat))
        status = (await core.say(r.GetServiceStatus())).data
        assert not any(status.counts.values())


async def test_why_tells_what_it_is() -> None:
    """One reason, whatever else holds; archived ones say how to go on."""
    async with running_core(OFF) as core:
        chat = await new(core)
        await core.say(r.Pause())
        [reason] = (await core.say(r.ExplainTask(task=chat))).data.reasons
        assert (reason.code, reason.remedy) == ("chat", "wg chat attach .chat-1")
        assert (await core.say(r.ShowTask(task=chat))).data.ready is False
        await core.say(ArchiveChat(task=chat))
        [reason] = (await core.say(r.ExplainTask(task=chat))).data.reasons
        assert reason.remedy == "wg chat restore .chat-1"
