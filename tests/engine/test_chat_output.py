"""What handlers of chats print, read through the whole engine: once, and all of it."""

import json

import pytest

from tests.agents.streams.recorded import recorded
from tests.engine.test_chats import Talk, a_talk
from workgraph.commands.judging import is_to_judge
from workgraph.graph.model import Outcome
from workgraph.store import reads
from workgraph.store.database import Tx

LINE = b'{"reply_to":%d,"text":"%s"}\n'


def line(number: int, text: str) -> bytes:
    """An answer as a command prints it."""
    return LINE % (number, text.encode())


async def kinds(talk: Talk, chat: str) -> list[str]:
    """What was said, message by message."""
    return [kind for kind, _, _ in await talk.said(chat)]


async def test_last_words_come_before_the_end() -> None:
    """A command that answers and crashes has answered."""
    async with a_talk() as talk:
        chat = await talk.new()
        number = await talk.send(chat)

        talk.launcher.write(1, b"thinking\n" + line(number, "yes"))
        await talk.end(1, code=1)

        assert (await talk.said(chat))[1] == ("reply", "yes", number)
        assert (await talk.show(chat)).queued == 0


async def test_half_a_line_is_read_on_by_the_next_daemon() -> None:
    """What is said around a restart is said once."""
    async with a_talk() as talk:
        chat = await talk.new()
        number = await talk.send(chat)
        said = line(number, "yes")
        talk.launcher.write(1, b"noise\n" + said[:9])
        await talk.restart()
        await talk.kill()
        talk.launcher.write(1, said[9:])
        talk.launcher.exit(1, code=0)
        await talk.boot()
        await talk.core.settle()

        assert [text for _, text, _ in (await talk.said(chat))[1:]] == ["yes"]


@pytest.mark.parametrize("cut", [0, 1])
async def test_half_of_an_answer_at_the_end_is_none(cut: int) -> None:
    """The message goes to the next one."""
    async with a_talk() as talk:
        chat = await talk.new()
        number = await talk.send(chat)

        talk.launcher.write(1, line(number, "yes")[: -2 - cut])
        await talk.end(1, code=1)

        assert await kinds(talk, chat) == ["message"]
        assert (await talk.show(chat)).queued == 1


async def test_a_client_that_is_kept_open_is_heard_turn_by_turn() -> None:
    """Its session is the chat's, its tokens are counted, and its replies told apart."""
    run = recorded("claude/conversation")
    async with a_talk() as talk:
        chat = await talk.new(exec=None, executor="claude")
        for text in ("one", "two", "three", "four"):
            await talk.send(chat, text)
        (agent, data) = talk.launcher.given[0]
        told = json.loads(data)

        talk.launcher.write(agent, run.stdout)
        await talk.end(agent)

        assert told["uuid"] == "00000001-0000-4000-8000-000000000001"
        assert (await talk.said(chat))[4] == ("reply", "Hello one.", 1)
        assert (await talk.chat(chat)).session == run.report.session
        (first, *_) = await talk.starts(chat)
        assert first.usage == run.report.usage


async def test_a_handler_is_judged_by_nobody() -> None:
    """What it does is talk, and no attempt at anything."""
    async with a_talk("agency.auto_reward=checks") as talk:
        chat = await talk.new(exec=None, executor="claude")
        task = await talk.core.add("work")
        settings = talk.core.engine.host.grounds.layered.settings

        def is_judged(tx: Tx, one: str) -> bool:
            return is_to_judge(tx, reads.task(tx, one), Outcome.DONE, settings)

        assert await talk.store.read(lambda tx: is_judged(tx, task), 0)
        assert not await talk.store.read(lambda tx: is_judged(tx, chat), 0)


@pytest.mark.parametrize(
    ("name", "state"), [("error_429", "limited"), ("error_401", "broken")]
)
async def test_what_the_provider_refuses_keeps_the_message(
    name: str, state: str
) -> None:
    """No crash is counted, and nobody is started before the account is free."""
    run = recorded(f"claude/{name}")
    async with a_talk() as talk:
        chat = await talk.new(exec=None, executor="claude")
        await talk.send(chat)

        talk.launcher.write(1, run.stdout)
        await talk.end(1, code=1)

        shown = await talk.show(chat)
        assert (shown.queued, shown.failures) == (1, 0)
        assert shown.problem is not None
        assert f"account claude is {state}" in shown.problem
        assert len(await talk.starts(chat)) == 1
        assert await kinds(talk, chat) == ["message"]


async def test_a_session_that_is_gone_is_not_gone_on_with() -> None:
    """The next handler begins a new one, and has the message."""
    async with a_talk() as talk:
        chat = await talk.new(exec=None, executor="claude")
        await talk.send(chat, "one")
        talk.launcher.write(1, recorded("claude/conversation").stdout)
        await talk.end(1)
        await talk.send(chat, "two")
        assert "--resume" in talk.launcher.orders[1].argv

        talk.launcher.write(2, recorded("claude/no_session").stdout)
        await talk.end(2, code=1)
        await talk.core.advance(2)

        assert "--resume" not in talk.launcher.orders[2].argv
        assert (await talk.show(chat)).queued == 1
