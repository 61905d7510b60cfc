"""Chats with the whole engine: who is started, who is not, and what is answered."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from tests.core import Core, running_core
from tests.fake_clock import FakeClock
from tests.fakes import FakeLauncher
from workgraph.daemon.leaving import end_handlers
from workgraph.graph import requests as r
from workgraph.graph.changes import ChangeKind
from workgraph.graph.chat_requests import (
    ArchiveChat,
    ChatData,
    CreateChat,
    GetChatHistory,
    ListChats,
    PurgeChats,
    RestoreChat,
    SendToChat,
    ShowChat,
)
from workgraph.graph.chats import Chat, ChatEvent
from workgraph.graph.ends import Report
from workgraph.graph.facts import AgentReported, ChatHeard
from workgraph.graph.model import Agent, AgentStatus, ClientEnd, EndKind
from workgraph.graph.times import SECOND
from workgraph.store import chats
from workgraph.store.database import Store, Tx

DAY_S = 86_400


class Talk:
    """Chats over several daemons, in a test's hands."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = FakeClock()
        self.launcher = FakeLauncher()
        self.settings: tuple[str, ...] = ()
        self.core: Core
        self._daemon = AsyncExitStack()

    async def boot(self) -> None:
        """A daemon starts."""
        self._daemon = AsyncExitStack()
        self.core = await self._daemon.enter_async_context(
            running_core(
                *self.settings,
                store=self.store,
                clock=self.clock,
                launcher=self.launcher,
            )
        )

    async def kill(self) -> None:
        """The daemon is killed: inputs end, nothing is written down."""
        await self._daemon.aclose()
        self.launcher.crash()

    async def stop(self) -> None:
        """The daemon ends in order."""
        await end_handlers(self.core.engine)
        await self.core.engine.flush()
        await self._daemon.aclose()
        self.launcher.crash()

    async def restart(self) -> None:
        """It is killed, and another one starts."""
        await self.kill()
        await self.boot()

    async def new(self, **options: Any) -> str:
        """A chat that a command answers."""
        wanted = {"exec": "answer"} | options
        chat: str = (await self.core.do(CreateChat(**wanted))).data.id
        return chat

    async def send(self, chat: str, text: str = "hello") -> int:
        """Somebody says something; its number."""
        number: int = (await self.core.do(SendToChat(task=chat, text=text))).data.id
        return number

    async def show(self, chat: str) -> ChatData:
        """How a chat stands."""
        data = (await self.core.say(ShowChat(task=chat))).data
        assert isinstance(data, ChatData)
        return data

    async def chat(self, chat: str) -> Chat:
        """Its row."""
        found = await self.store.read(lambda tx: chats.of_task(tx, chat), 0)
        assert found is not None
        return found

    async def said(self, chat: str) -> list[tuple[str, str, int | None]]:
        """All that was said: kind, text, and what it answers."""
        history = (await self.core.say(GetChatHistory(task=chat))).data
        return [(one.kind, one.text, one.reply_to) for one in history]

    async def starts(self, chat: str) -> list[Agent]:
        """All handlers that a chat ever had."""
        return await self.core.agents(chat)

    def given(self, agent: int) -> list[int]:
        """The numbers of the messages that a handler was given."""
        return [
            msgspec.json.decode(data)["id"]
            for number, data in self.launcher.given
            if number == agent
        ]

    async def answer(
        self, agent: int, text: str = "yes", to: int | None = None
    ) -> None:
        """A handler says a line of JSON."""
        line = msgspec.json.encode({"text": text, "reply_to": to}) + b"\n"
        self.launcher.write(agent, line)
        self.core.engine.post(
            ChatHeard(
                agent=agent,
                output_read=len(self.launcher.written[agent][0]),
                events=(ChatEvent(kind="reply", text=text, reply_to=to),),
            )
        )
        await self.core.settle()

    async def end(self, agent: int, code: int = 0) -> None:
        """A handler ends by itself."""
        self.launcher.exit(agent, code=code)
        await self.core.settle()


@asynccontextmanager
async def a_talk(*settings: str) -> AsyncGenerator[Talk]:
    """A project with a daemon."""
    store = await Store.open(":memory:")
    talk = Talk(store)
    talk.settings = settings
    try:
        await talk.boot()
        yield talk
        await talk.kill()
    finally:
        await store.close()


async def test_a_message_starts_a_handler_at_once() -> None:
    """Its row, its process, its input and the message, with no time in between."""
    async with a_talk() as talk:
        chat = await talk.new()
        assert await talk.starts(chat) == []

        number = await talk.send(chat)

        (handler,) = await talk.starts(chat)
        assert handler.status is AgentStatus.WORKING
        assert handler.timeout_at is None
        assert handler.stall_at is None
        assert talk.given(handler.number) == [number]
        assert (await talk.show(chat)).state == "live"
        assert (await talk.core.task(chat)).claimed_by is None


async def test_a_consumer_starts_a_handler_at_once() -> None:
    """Nothing has to be said for that."""
    async with a_talk() as talk:
        chat = await talk.new()

        async with talk.core.engine.consumers.connected(1):
            await talk.core.settle()

            assert len(await talk.starts(chat)) == 1
            assert (await talk.show(chat)).consumers == 1


async def test_one_that_only_ends_well_is_started_ever_more_rarely() -> None:
    """Somebody is there for an hour and says nothing; then a message starts it."""
    async with a_talk() as talk:
        chat = await talk.new()

        async with talk.core.engine.consumers.connected(1):
            await talk.core.settle()
            for _ in range(3600):
                await talk.core.advance(1.1)
                for agent in talk.launcher.running():
                    await talk.end(agent)
            starts = await talk.starts(chat)
            gaps = [b.started_at - a.started_at for a, b in pairwise(starts)]
            assert len(starts) <= 25
            assert gaps == sorted(gaps)
            assert (await talk.show(chat)).state == "backing-off"

            await talk.send(chat)

            assert len(await talk.starts(chat)) == len(starts) + 1
            assert (await talk.chat(chat)).failures == 0


async def test_one_that_has_answered_may_end_well() -> None:
    """Who was given a message, and ends with 0 afterwards, has not crashed."""
    async with a_talk() as talk:
        chat = await talk.new()
        await talk.send(chat)
        await talk.answer(1)
        await talk.core.advance(2)
        await talk.end(1)

        assert (await talk.chat(chat)).failures == 0


async def test_messages_are_answered_one_after_the_other() -> None:
    """The next one is given when the one before is answered."""
    async with a_talk() as talk:
        chat = await talk.new()
        first = await talk.send(chat, "one")
        second = await talk.send(chat, "two")
        assert talk.given(1) == [first]

        await talk.answer(1, "1")
        assert talk.given(1) == [first, second]
        await talk.answer(1, "2", to=second)

        assert await talk.said(chat) == [
            ("message", "one", None),
            ("message", "two", None),
            ("reply", "1", first),
            ("reply", "2", second),
        ]
        assert (await talk.chat(chat)).answered


async def test_what_nobody_asked_for_is_a_note() -> None:
    """As is a second answer, one to what was not given, and one that comes again."""
    async with a_talk() as talk:
        chat = await talk.new()
        first = await talk.send(chat)
        second = await talk.send(chat)

        await talk.answer(1, "early", to=second)
        await talk.answer(1, "yes", to=first)
        await talk.answer(1, "once more", to=first)
        heard = ChatHeard(
            agent=1,
            output_read=len(talk.launcher.written[1][0]),
            events=(ChatEvent(kind="reply", text="again"),),
        )
        talk.core.engine.post(heard)
        await talk.core.settle()

        kinds = [(kind, text) for kind, text, _ in await talk.said(chat)]
        assert kinds[2:] == [("note", "early"), ("reply", "yes"), ("note", "once more")]


async def test_secrets_are_not_written_down() -> None:
    """What an agent's token looks like is taken out."""
    async with a_talk() as talk:
        chat = await talk.new()
        await talk.send(chat)

        await talk.answer(1, "it is wgt_" + "a" * 32)

        assert (await talk.said(chat))[1][1] == "it is ***"


async def test_one_that_nobody_uses_is_ended_and_stays_away() -> None:
    """Five minutes after the last consumer; not again within ten times that."""
    async with a_talk() as talk:
        chat = await talk.new()
        await talk.send(chat)
        await talk.answer(1)
        await talk.core.advance(299)
        assert (await talk.core.agent(1)).status is AgentStatus.WORKING

        await talk.core.advance(1)

        handler = await talk.core.agent(1)
        assert handler.status is AgentStatus.ENDED
        assert handler.stop is not None
        assert (await talk.show(chat)).state == "idle"
        for _ in range(100):
            await talk.core.advance(30)
        assert len(await talk.starts(chat)) == 1
        assert (await talk.chat(chat)).failures == 0


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("lived", [0.5, 100])
async def test_one_that_ends_with_nobody_there_is_not_started_again(
    code: int, lived: float
) -> None:
    """Neither after a clean end nor after a crash, nor after a restart."""
    async with a_talk() as talk:
        chat = await talk.new()
        await talk.send(chat)
        await talk.answer(1)
        await talk.core.advance(lived)

        await talk.end(1, code)
        for _ in range(10):
            await talk.core.advance(300)
        await talk.restart()
        await talk.core.advance(3000)

        assert len(await talk.starts(chat)) == 1
        crashed = code != 0 or lived < 1
        assert (await talk.chat(chat)).failures == int(crashed)


async def test_one_that_crashes_at_once_is_started_ever_more_rarely() -> None:
    """At most 6 times in 10 s; the list says until when; others are untouched."""
    async with a_talk() as talk:
        broken, other = await talk.new(), await talk.new()
        talk.launcher.deaf |= set(range(1000))
        began = talk.clock.now()
        await talk.send(broken)
        while talk.clock.now() < began + 3600 * SECOND:
            for agent in talk.launcher.running():
                await talk.end(agent, 1)
            assert (await talk.show(broken)).state == "backing-off"
            until = (await talk.chat(broken)).backoff_until
            assert until is not None
            await talk.core.advance((until - talk.clock.now()) / SECOND)

        starts = [one.started_at for one in await talk.starts(broken)]
        early = [at for at in starts if at < began + 10 * SECOND]
        gaps = [b - a for a, b in pairwise(starts)]
        assert len(early) <= 6
        assert gaps == sorted(gaps)
        assert gaps[-1] == 300 * SECOND
        assert (await talk.show(broken)).queued == 1
        assert (await talk.show(other)).state == "idle"
        assert await talk.starts(other) == []


async def test_crashes_are_remembered_over_restarts() -> None:
    """The backoff is the chat's."""
    async with a_talk() as talk:
        chat = await talk.new()
        talk.launcher.deaf |= {1, 2, 3, 4}
        await talk.send(chat)
        for agent in (1, 2, 3):
            await talk.end(agent, 1)
            await talk.core.advance(2 ** (agent - 1))
        await talk.end(4, 1)

        await talk.restart()
        await talk.core.advance(7.9)

        assert len(await talk.starts(chat)) == 4
        await talk.core.advance(0.1)
        assert len(await talk.starts(chat)) == 5


async def test_new_input_after_a_success_forgets_crashes() -> None:
    """Without a success it waits as before."""
    async with a_talk() as talk:
        chat = await talk.new()
        talk.launcher.deaf.add(1)
        await talk.send(chat)
        await talk.end(1, 1)
        await talk.send(chat)
        assert len(await talk.starts(chat)) == 1
        await talk.core.advance(1)
        await talk.answer(2)
        await talk.answer(2)
        await talk.end(2, 1)
        assert (await talk.chat(chat)).failures == 2

        await talk.send(chat)

        assert len(await talk.starts(chat)) == 3
        assert (await talk.chat(chat)).failures == 0


async def test_a_message_that_ends_three_handlers_is_set_aside() -> None:
    """It is answered with an error, and the next one has its turn."""
    async with a_talk() as talk:
        chat = await talk.new()
        bad, good = await talk.send(chat, "bad"), await talk.send(chat, "good")

        for agent in (1, 2, 3):
            assert talk.given(agent) == [bad]
            await talk.end(agent, 1)
            await talk.core.advance(10)

        kind, text, to = (await talk.said(chat))[2]
        assert (kind, to) == ("error", bad)
        assert "3 handlers" in text
        assert talk.given(4) == [good]


async def test_a_message_that_is_not_answered_ends_its_handler() -> None:
    """When a turn has had its time; three of these are enough for a message."""
    async with a_talk("agents.timeout=1m") as talk:
        chat = await talk.new()
        await talk.send(chat)

        for agent in (1, 2, 3):
            await talk.core.advance(59.9)
            assert (await talk.core.agent(agent)).status is AgentStatus.WORKING
            await talk.core.advance(0.1)

        assert [one.status for one in await talk.starts(chat)] == ["ended"] * 3
        assert [kind for kind, *_ in await talk.said(chat)] == ["message", "error"]
        assert (await talk.chat(chat)).failures == 0


async def test_an_orderly_end_ends_handlers_and_writes_that_down() -> None:
    """Agents that work are left alone; nothing counts against the message."""
    async with a_talk() as talk:
        chat = await talk.new()
        task = await talk.core.add("work")
        await talk.send(chat)
        worker, handler = 1, 2

        await talk.stop()

        def load(tx: Tx) -> tuple[Chat, int]:
            found = chats.by_number(tx, 1)
            head = chats.head(tx, 1)
            assert head is not None
            return found, head.deliveries

        found, deliveries = await talk.store.read(load, 0)
        assert (found.handler, found.failures, deliveries) == (None, 0, 0)
        assert talk.launcher.running() == (worker,)
        await talk.boot()
        assert talk.launcher.running() == (worker, handler + 1)
        assert await talk.core.status(task) == "in-progress"


async def test_one_that_outlives_its_daemon_is_ended_before_the_next_one_starts() -> (
    None
):
    """It can be given nothing; as long as it is there nobody else is started."""
    async with a_talk() as talk:
        chat = await talk.new()
        await talk.send(chat)
        await talk.answer(1)
        talk.launcher.unmoved.add(1)
        await talk.kill()
        await talk.boot()
        await talk.send(chat)

        for _ in range(100):
            await talk.core.advance(60)
        assert len(await talk.starts(chat)) == 1
        assert talk.launcher.stops == [(1, False)]

        await talk.end(1, 0)

        assert len(await talk.starts(chat)) == 2
        assert (await talk.chat(chat)).failures == 0


async def test_one_that_outlives_its_daemon_may_finish() -> None:
    """What it answers is taken; what comes next is the next one's."""
    async with a_talk() as talk:
        chat = await talk.new()
        first, second = await talk.send(chat), await talk.send(chat)
        await talk.restart()
        assert talk.given(1) == [first]

        await talk.answer(1, to=first)

        assert (await talk.core.agent(1)).status is AgentStatus.ENDED
        assert talk.given(2) == [second]


async def test_an_end_that_a_start_finds_is_no_crash() -> None:
    """The daemon was killed, and so its handler's input has ended."""
    async with a_talk() as talk:
        chat = await talk.new()
        number = await talk.send(chat)
        await talk.kill()
        talk.launcher.exit(1, code=1)

        await talk.boot()

        found = await talk.chat(chat)
        assert (found.handler, found.failures) == (2, 0)
        assert talk.given(2) == [number]


async def test_purged_chats_stay_away() -> None:
    """Over an orderly end and over a kill; purging again and nothing succeeds."""
    async with a_talk() as talk:
        ids = [await talk.new() for _ in range(3)]
        for number, chat in enumerate(ids, 1):
            await talk.send(chat)
            await talk.answer(number)
        await talk.send(ids[0])

        purged = await talk.core.do(PurgeChats())
        assert purged.data.chats == tuple(ids)
        said = [await talk.said(chat) for chat in ids]
        for leave in (talk.stop, talk.kill):
            await leave()
            await talk.boot()
            await talk.core.advance(30)
            async with talk.core.engine.consumers.connected(1):
                await talk.core.advance(30)
            assert (await talk.core.do(PurgeChats())).data.chats == ()

        assert talk.launcher.running() == ()
        assert len(talk.launcher.orders) == 3
        assert [await talk.core.status(chat) for chat in ids] == ["done"] * 3
        assert [await talk.said(chat) for chat in ids] == said


async def test_restored_is_answered_again() -> None:
    """What was not answered when it was archived is, then."""
    async with a_talk() as talk:
        chat = await talk.new()
        number = await talk.send(chat)
        await talk.core.do(ArchiveChat(task=chat))
        await talk.core.advance(3600)
        assert len(await talk.starts(chat)) == 1

        await talk.core.do(RestoreChat(task=chat))

        assert talk.given(2) == [number]


async def test_one_without_its_task_is_archived() -> None:
    """With a line in the log, once, and nothing is tried."""
    async with a_talk() as talk:

        def insert(tx: Tx) -> None:
            lost = Chat(number=7, task=".chat-7", created_at=tx.now, by="me")
            chats.insert_chat(tx, lost)
            chats.say(tx, lost, "message", "hello?", by="me")

        await talk.store.transaction(insert, talk.clock.now())
        await talk.restart()
        async with talk.core.engine.consumers.connected(7):
            await talk.core.advance(DAY_S)
        await talk.restart()

        told = [
            change
            for change in await talk.core.changes()
            if change.kind == ChangeKind.CHAT_ARCHIVED
        ]
        assert [change.task for change in told] == [".chat-7"]
        assert told[0].reason == "its task is not there"
        assert talk.launcher.orders == []


async def test_what_can_not_be_started_is_told_and_looked_at_ever_more_rarely() -> None:
    """It is no crash; a new message has it looked at again, as a reload does."""
    async with a_talk() as talk:
        chat = await talk.new(exec=None, executor="nobody")
        await talk.send(chat)
        held = await talk.show(chat)
        assert held.problem is not None
        assert (held.failures, held.state) == (0, "backing-off")

        looks = []
        for _ in range(7):
            until = (await talk.chat(chat)).backoff_until
            assert until is not None
            looks.append((until - talk.clock.now()) // SECOND)
            await talk.core.advance((until - talk.clock.now()) / SECOND)

        assert looks == [60, 120, 240, 480, 960, 1800, 1800]
        await talk.send(chat)
        assert (await talk.chat(chat)).looks == 9
        await talk.core.reload()
        assert (await talk.chat(chat)).looks == 1
        kinds = [change.kind for change in await talk.core.changes()]
        assert kinds.count(ChangeKind.CHAT_HELD) == 1
        assert talk.launcher.orders == []


async def test_what_was_missing_is_there_again() -> None:
    """The problem is forgotten with the start."""
    async with a_talk() as talk:
        chat = await talk.new(exec=None, executor="helper")
        await talk.send(chat)
        assert (await talk.chat(chat)).problem is not None

        await talk.core.configure('executors.helper.argv=["helper"]')

        found = await talk.chat(chat)
        assert (found.problem, found.remedy, found.looks) == (None, None, 0)
        assert len(talk.launcher.orders) == 1


async def test_a_limited_account_is_waited_for() -> None:
    """It is no crash, and the message is answered when the account's time has come."""
    client = ('executors.helper.argv=["helper"]', 'executors.helper.account="helper"')
    async with a_talk(*client) as talk:
        chat = await talk.new(exec=None, executor="helper")
        await talk.send(chat)
        end = ClientEnd(kind=EndKind.LIMITED, message="no more", retry_after_s=600)
        talk.core.engine.post(AgentReported(agent=1, report=Report(end=end)))
        await talk.end(1, 1)

        found = await talk.show(chat)
        assert (found.state, found.failures) == ("backing-off", 0)
        assert found.problem == "account helper is limited: no more"
        await talk.core.advance(595)
        assert len(await talk.starts(chat)) == 1
        await talk.core.advance(10)
        assert len(await talk.starts(chat)) == 2


async def test_a_client_for_each_turn_has_its_message_from_the_start() -> None:
    """One process a message, and none for a consumer."""
    async with a_talk('executors.helper.argv=["helper"]') as talk:
        chat = await talk.new(exec=None, executor="helper")
        async with talk.core.engine.consumers.connected(1):
            await talk.core.advance(10)
        assert talk.launcher.orders == []
        first, second = await talk.send(chat), await talk.send(chat)
        assert len(await talk.starts(chat)) == 1

        for agent in (1, 2):
            assert len(await talk.starts(chat)) == agent
            await talk.core.advance(2)
            talk.launcher.write(agent, f"answer {agent}\n".encode())
            await talk.end(agent)

        await talk.core.advance(3000)
        assert len(await talk.starts(chat)) == 2
        assert (await talk.said(chat))[2:] == [
            ("reply", "answer 1", first),
            ("reply", "answer 2", second),
        ]
        assert (await talk.chat(chat)).failures == 0


async def test_a_handler_takes_no_slot_and_is_no_work() -> None:
    """Work is started beside it; `wg run` ends with it there."""
    async with a_talk("dispatcher.max_agents=1") as talk:
        chat = await talk.new()
        await talk.send(chat)

        task = await talk.core.add("work")

        assert await talk.core.status(task) == "in-progress"
        assert (await talk.core.say(r.GetServiceStatus())).data.agents == 1


async def test_a_pause_is_for_work_alone() -> None:
    """Chats go on."""
    async with a_talk() as talk:
        chat = await talk.new()
        await talk.core.do(r.Pause())

        await talk.send(chat)

        assert len(await talk.starts(chat)) == 1


async def test_frozen_handlers_stand_still() -> None:
    """None is started; those that are there are as old as they were, then."""
    async with a_talk("agents.timeout=1m") as talk:
        busy, idle, new = [await talk.new() for _ in range(3)]
        await talk.send(busy)
        await talk.send(idle)
        await talk.answer(2)
        await talk.core.freeze()
        assert talk.launcher.frozen == {1, 2}

        await talk.send(new)
        await talk.core.advance(7200)
        assert talk.launcher.running() == (1, 2)
        await talk.core.thaw()

        assert talk.launcher.running() == (1, 2, 3)
        await talk.core.advance(60)
        assert (await talk.core.agent(1)).status is AgentStatus.ENDED
        assert (await talk.core.agent(2)).status is AgentStatus.WORKING


@pytest.mark.parametrize("hours", [8, -8])
async def test_a_sleep_of_the_machine_is_no_time(hours: int) -> None:
    """Neither for a turn, nor for who has just left, nor for a backoff."""
    async with a_talk("agents.timeout=1h") as talk:
        busy, left, broken = [await talk.new() for _ in range(3)]
        await talk.send(busy)
        await talk.send(left)
        await talk.answer(2)
        talk.launcher.deaf.add(3)
        await talk.send(broken)
        await talk.end(3, 1)

        await talk.core.jump(hours * 3600)

        assert talk.launcher.running() == (1, 2)
        await talk.core.advance(1)
        assert talk.launcher.running() == (1, 2, 4)
        await talk.core.advance(299)
        assert talk.launcher.running() == (1, 4)


async def test_breakers_of_shells_do_not_hear_of_handlers() -> None:
    """A command that can't be run is that chat's alone."""
    async with a_talk() as talk:
        for _ in range(4):
            chat = await talk.new()
            talk.launcher.fail_next("no such program")
            await talk.send(chat)

        task = await talk.core.add("work")

        assert await talk.core.status(task) == "in-progress"


async def test_a_start_that_fails_is_a_crash() -> None:
    """So it is not tried in a loop; the message is untouched."""
    async with a_talk() as talk:
        chat = await talk.new()
        talk.launcher.fail_next_prepare("no room")

        number = await talk.send(chat)

        found = await talk.chat(chat)
        assert (found.handler, found.failures) == (None, 1)
        await talk.core.advance(1)
        assert talk.given(2) == [number]


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_fifty_messages_of_five_are_answered_once_each_and_in_order() -> None:
    """Over two kills of the daemon and one of the handler, in the middle of turns."""
    async with a_talk() as talk:
        chat = await talk.new()
        sent = [await talk.send(chat, f"{n % 5}: {n // 5}") for n in range(50)]
        for round_ in range(100):
            if not (await talk.show(chat)).queued:
                break
            running = talk.launcher.running()
            if not running:
                await talk.core.advance(1)
                continue
            (agent,) = running
            head = talk.given(agent)[-1]
            if round_ in {7, 31}:
                # It has answered, and the daemon dies before it has read that.
                line = msgspec.json.encode({"text": str(head), "reply_to": head})
                talk.launcher.write(agent, line + b"\n")
                await talk.kill()
                if round_ == 31:
                    talk.launcher.exit(agent, code=0)
                await talk.boot()
                await until_read(talk, agent)
                continue
            if round_ == 19:
                talk.launcher.exit(agent, signal=9)
                await talk.core.settle()
                await talk.core.advance(1)
                continue
            await talk.answer(agent, str(head), to=head)

        said = await talk.said(chat)
        replies = [(text, to) for kind, text, to in said if kind == "reply"]
        assert replies == [(str(number), number) for number in sent]
        assert not [kind for kind, *_ in said if kind in {"note", "error"}]
        assert (await talk.show(chat)).queued == 0


async def until_read(talk: Talk, agent: int) -> None:
    """What an agent wrote before the daemon began has been taken in."""
    size = len(talk.launcher.written[agent][0])

    def read(tx: Tx) -> int:
        found: int = tx.value(
            "select output_read from agents where number = ?", (agent,)
        )
        return found

    while True:
        ticked = talk.core.engine.ticked
        if await talk.store.read(read, 0) >= size:
            break
        await ticked.wait()
    await talk.core.settle()


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_nothing_is_tried_in_a_loop_on_any_day() -> None:
    """A missing task, a lock that is held, a broken one, one that can't be started."""
    async with a_talk() as talk:
        held, broken, lost_client, idle = (
            await talk.new(),
            await talk.new(),
            await talk.new(exec=None, executor="nobody"),
            await talk.new(),
        )

        def insert(tx: Tx) -> None:
            lost = Chat(number=9, task=".chat-9", created_at=tx.now, by="me")
            chats.insert_chat(tx, lost)

        await talk.store.transaction(insert, talk.clock.now())
        await talk.send(held)
        await talk.answer(1)
        talk.launcher.unmoved.add(1)
        await talk.restart()
        for chat in (held, broken, lost_client):
            await talk.send(chat)
        await talk.send(idle)
        (of_idle,) = await talk.starts(idle)
        await talk.answer(of_idle.number)
        talk.launcher.deaf |= set(range(10_000))
        ended = talk.clock.now() + DAY_S * SECOND
        while talk.clock.now() < ended:
            for agent in set(talk.launcher.running()) - {1}:
                await talk.end(agent, agent % 2)
            await talk.core.advance(300)

        attempts = {
            chat: len(await talk.starts(chat))
            for chat in (held, broken, lost_client, idle)
        }
        assert attempts[held] == 1
        assert attempts[idle] == 1
        assert attempts[lost_client] == 0
        assert attempts[broken] <= 300
        states = {
            one.id: one.state for one in (await talk.core.say(ListChats(all=True))).data
        }
        assert states[".chat-9"] == "archived"
        assert states[broken] in {"backing-off", "live"}
