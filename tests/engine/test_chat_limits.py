"""Chats beside all else that concerns agents: budgets, breakers, kill, settings."""

import anyio

from tests.engine.test_chats import DAY_S, Talk, a_talk
from tests.fakes import FakeLauncher
from workgraph.graph import requests as r
from workgraph.graph.chat_requests import ArchiveChat
from workgraph.graph.ends import Report
from workgraph.graph.facts import AgentReported
from workgraph.graph.holds import Breaker
from workgraph.graph.model import ClientEnd, EndKind, Usage
from workgraph.graph.times import SECOND
from workgraph.store import breakers

CLIENT = ('executors.helper.argv=["helper"]',)


async def used(
    talk: Talk, agent: int, tokens: int, end: ClientEnd | None = None
) -> None:
    """A handler's client says what it has used so far."""
    usage = Usage(input_tokens=tokens, output_tokens=0)
    report = Report(answered=True, usage=usage, end=end)
    talk.core.engine.post(AgentReported(agent=agent, report=report))
    await talk.core.settle()


async def test_a_budget_for_a_day_holds_until_the_next_one() -> None:
    """Who has used it up is ended and no crash; the chat says why it waits."""
    async with a_talk(*CLIENT, "budget.tokens_per_day=1000") as talk:
        chat = await talk.new(exec=None, executor="helper")
        await talk.send(chat)

        await used(talk, 1, 1500)

        [ended] = await talk.starts(chat)
        assert (ended.status, ended.outcome) == ("ended", "budget")
        found = await talk.show(chat)
        assert (found.state, found.failures) == ("backing-off", 0)
        assert "the budget of 1,000 tokens of 20" in (found.problem or "")
        assert "wait: it goes on by itself at" in (found.remedy or "")
        await talk.core.advance(60)
        assert len(await talk.starts(chat)) == 1
        await talk.core.advance(DAY_S)
        assert len(await talk.starts(chat)) == 2


async def test_a_budget_for_an_attempt_is_one_for_each_handler() -> None:
    """The next one has it anew; a message that uses up three is set aside."""
    async with a_talk(*CLIENT, "budget.tokens_per_attempt=1000") as talk:
        chat = await talk.new(exec=None, executor="helper")
        number = await talk.send(chat)

        for agent in (1, 2, 3):
            await used(talk, agent, 1500)

        assert [one.outcome for one in await talk.starts(chat)] == ["budget"] * 3
        [_, (kind, text, to)] = await talk.said(chat)
        assert (kind, to) == ("error", number)
        assert "the budget of 1,000 tokens" in text


async def test_a_budget_for_all_of_a_chat_can_be_raised() -> None:
    """Until then nothing is started, and it says what can be done."""
    async with a_talk(*CLIENT, "budget.tokens_per_task=1000") as talk:
        chat = await talk.new(exec=None, executor="helper")
        await talk.send(chat)
        await used(talk, 1, 1500)
        await talk.core.advance(DAY_S)
        assert len(await talk.starts(chat)) == 1
        assert "budget" in ((await talk.show(chat)).problem or "")

        await talk.core.configure(*CLIENT, "budget.tokens_per_task=5000")

        assert len(await talk.starts(chat)) == 2


async def test_one_that_is_kept_open_is_ended_with_its_turn() -> None:
    """What a client has said last of a turn is no last word of its own."""
    async with a_talk("budget.tokens_per_day=1000") as talk:
        chat = await talk.new(exec=None, executor="claude")
        await talk.send(chat)
        await talk.core.advance(2)
        await used(talk, 1, 500, end=ClientEnd(kind=EndKind.FINISHED, message=""))
        await talk.answer(1)
        assert talk.launcher.running() == (1,)

        await used(talk, 1, 1500, end=ClientEnd(kind=EndKind.FINISHED, message=""))

        assert talk.launcher.running() == ()
        assert (await talk.show(chat)).failures == 0
        assert [one.outcome for one in await talk.starts(chat)] == ["budget"]


async def test_what_handlers_have_used_is_in_the_spending() -> None:
    """A chat's node is a task like others."""
    async with a_talk(*CLIENT) as talk:
        chat = await talk.new(exec=None, executor="helper")
        await talk.send(chat)
        await used(talk, 1, 1500)

        spent = (await talk.core.say(r.GetSpend(by="task"))).data

        assert [(row.key, row.input_tokens) for row in spent.rows] == [(chat, 1500)]


async def test_a_broken_executor_is_not_tried_for_a_chat() -> None:
    """It waits as tasks do, and says so."""
    async with a_talk(*CLIENT) as talk:
        talk.launcher.silent = True
        for name in "abc":
            await talk.core.add(name, executor="helper")
        await talk.core.settle()
        for agent in (1, 2, 3):
            await talk.end(agent, 1)
        chat = await talk.new(exec=None, executor="helper")
        await talk.send(chat)

        found = await talk.show(chat)

        assert found.state == "backing-off"
        assert found.failures == 0
        assert "executor helper is held back" in (found.problem or "")
        assert "wg service reload" in (found.remedy or "")
        assert await talk.starts(chat) == []


async def test_what_runs_again_runs_for_chats_at_once() -> None:
    """They need not wait for the moment at which it would have been tried."""
    async with a_talk(*CLIENT) as talk:
        now = talk.clock.now()
        key, until = "executor:helper", now + 3600 * SECOND
        await _put(talk, Breaker(key=key, failed=("a",), opened_at=now, until=until))
        chat = await talk.new(exec=None, executor="helper")
        await talk.send(chat)
        assert await talk.starts(chat) == []

        await _put(talk, Breaker(key=key, proven=True))
        await talk.core.settle()

        assert len(await talk.starts(chat)) == 1


async def _put(talk: Talk, breaker: Breaker) -> None:
    """What is known of an executor."""
    await talk.store.transaction(lambda tx: breakers.put(tx, breaker), talk.clock.now())


async def test_a_handler_that_is_killed_is_no_crash() -> None:
    """What it had goes back; the next one gets it, and no task is touched."""
    async with a_talk() as talk:
        chat = await talk.new()
        number = await talk.send(chat)
        await talk.core.advance(5)

        reply = await talk.core.do(r.KillAgents(agent=("agent-1",)))

        assert [(one.agent, one.task) for one in reply.data] == [("agent-1", chat)]
        first, second = await talk.starts(chat)
        assert first.outcome == "killed"
        assert talk.given(second.number) == [number]
        found = await talk.show(chat)
        assert (found.failures, found.state) == (0, "live")
        task = await talk.core.task(chat)
        assert (task.status, task.paused) == ("open", False)


async def test_another_idle_after_holds_at_once() -> None:
    """The end of a handler that idles is moved."""
    async with a_talk('chat.idle_after="3600s"') as talk:
        chat = await talk.new()
        await talk.send(chat)
        await talk.answer(1)
        await talk.core.advance(60)
        assert talk.launcher.running() == (1,)

        await talk.core.configure('chat.idle_after="120s"')
        await talk.core.advance(50)
        assert talk.launcher.running() == (1,)
        await talk.core.advance(11)

        assert talk.launcher.running() == ()


async def test_chats_that_nobody_uses_wake_nobody() -> None:
    """Neither those that are put away nor those that are open."""
    async with a_talk() as talk:
        for number in range(40):
            chat = await talk.new()
            await talk.send(chat)
            await talk.answer(number + 1)
            if number % 2:
                await talk.core.do(ArchiveChat(task=chat))
        await talk.core.advance(301)
        assert talk.launcher.running() == ()
        ticked = talk.core.engine.ticked

        talk.clock.advance(DAY_S)
        await anyio.wait_all_tasks_blocked()

        assert not ticked.is_set()


async def test_frozen_chats_are_not_ended_for_idling_and_go_on() -> None:
    """The time in which all stands still is none."""
    async with a_talk() as talk:
        chat = await talk.new()
        await talk.send(chat)
        await talk.answer(1)
        await talk.core.freeze()
        await talk.core.advance(DAY_S)
        assert talk.launcher.running() == (1,)
        await talk.core.thaw()
        await talk.core.advance(200)
        assert talk.launcher.running() == (1,)

        second = await talk.send(chat)

        assert talk.given(1)[-1] == second
        assert len(await talk.starts(chat)) == 1


async def test_a_handler_can_be_killed_while_all_stands_still() -> None:
    """The next one is started when all goes on."""
    async with a_talk() as talk:
        chat = await talk.new()
        number = await talk.send(chat)
        await talk.core.freeze()

        await talk.core.do(r.KillAgents(agent=("agent-1",)))
        assert len(await talk.starts(chat)) == 1
        await talk.core.thaw()

        assert talk.given(2) == [number]


async def test_a_copy_of_the_database_with_a_handler_is_taken_up() -> None:
    """Its handler is not there any more: that is found, and is no crash."""
    async with a_talk() as talk:
        chat = await talk.new()
        number = await talk.send(chat)
        await talk.kill()
        talk.launcher = FakeLauncher()

        await talk.boot()
        await talk.core.settle()

        first, _ = await talk.starts(chat)
        assert first.status == "ended"
        assert (await talk.chat(chat)).failures == 0
        assert talk.given(2) == [number]
