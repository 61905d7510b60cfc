"""Interrupting an answer, with the whole engine: message, handler, session."""

import msgspec

from tests.core import OPERATOR
from tests.engine.test_chats import a_talk
from workgraph.daemon.interrupting import interrupt
from workgraph.graph.chat_requests import InterruptChat
from workgraph.graph.model import AgentStatus


async def test_a_command_is_ended_and_the_next_message_is_answered() -> None:
    """The message is answered with an error at once, and never delivered again."""
    async with a_talk() as talk:
        chat = await talk.new()
        first, second = await talk.send(chat, "one"), await talk.send(chat, "two")

        reply = await interrupt(talk.core.engine, InterruptChat(task=chat), OPERATOR)
        await talk.core.settle()

        assert reply.notes == (f"message {first} was answered with an error",)
        old, new = await talk.starts(chat)
        assert old.status is AgentStatus.ENDED
        assert (talk.given(old.number), talk.given(new.number)) == ([first], [second])
        await talk.answer(new.number, "yes", second)
        assert [line[0::2] for line in await talk.said(chat)] == [
            ("message", None),
            ("message", None),
            ("error", first),
            ("reply", second),
        ]
        found = await talk.chat(chat)
        assert (found.failures, found.backoff_until) == (0, None)


async def test_a_client_that_is_kept_open_is_asked_to_stop() -> None:
    """By a line; it stays, with its session."""
    async with a_talk() as talk:
        chat = await talk.new(exec=None, executor="claude")
        first = await talk.send(chat, "one")
        [handler] = await talk.starts(chat)

        await interrupt(talk.core.engine, InterruptChat(task=chat), OPERATOR)
        await talk.core.settle()

        asked = [
            msgspec.json.decode(data)["type"]
            for number, data in talk.launcher.given
            if number == handler.number
        ]
        assert asked == ["user", "control_request"]
        [same] = await talk.starts(chat)
        assert same.status is not AgentStatus.ENDED
        assert (await talk.said(chat))[-1] == ("error", "interrupted by me", first)


async def test_who_can_not_be_told_is_ended() -> None:
    """One that an earlier daemon has started has no input any more."""
    async with a_talk() as talk:
        chat = await talk.new(exec=None, executor="claude")
        await talk.send(chat, "one")
        await talk.restart()
        live = [one for one in await talk.starts(chat) if one.ended_at is None]

        await interrupt(talk.core.engine, InterruptChat(task=chat), OPERATOR)
        await talk.core.settle()

        assert len(live) <= 1
        assert (await talk.show(chat)).queued == 0
        assert (await talk.said(chat))[-1][0] == "error"


async def test_where_nothing_runs_nothing_is_interrupted() -> None:
    """It says so; a message that only waits goes on waiting."""
    async with a_talk("dispatcher.max_agents=0") as talk:
        chat = await talk.new()
        first = await talk.send(chat, "one")
        [handler] = await talk.starts(chat)
        await talk.answer(handler.number, "yes", first)

        reply = await interrupt(talk.core.engine, InterruptChat(task=chat), OPERATOR)

        assert reply.notes == ("nothing runs in it",)
        assert [line[0] for line in await talk.said(chat)] == ["message", "reply"]
