"""What agents are told with their calls: once, and not when it can't be told."""

import anyio
import pytest

from tests.core import OPERATOR, Core, running_core
from workgraph.commands.context import Caller
from workgraph.daemon.news import News
from workgraph.graph import requests as r
from workgraph.graph.messages import SendMessage

SAID = "wg: a new message from me; to read: wg msg --list\n"


class Stream:
    """A standard error that can be slow, or gone."""

    def __init__(self, *, gone: bool = False) -> None:
        self.said: list[str] = []
        self.asked = anyio.Event()
        self.go_on = anyio.Event()
        self._gone = gone

    async def err(self, data: str | bytes) -> None:
        """Takes it when the test lets it."""
        self.asked.set()
        await self.go_on.wait()
        if self._gone:
            raise BrokenPipeError
        self.said.append(str(data))


def ready(*, gone: bool = False) -> Stream:
    """One that takes it at once."""
    stream = Stream(gone=gone)
    stream.go_on.set()
    return stream


async def told(core: Core, caller: Caller, request: r.AnyRequest) -> list[str]:
    """What a call is told."""
    stream = ready()
    await News(core.engine).tell(caller, request, stream)
    return stream.said


async def test_an_operator_is_told_nothing() -> None:
    """Nor is an agent of what was said to others."""
    async with running_core() as core:
        task, other = await core.add("t"), await core.add("u")
        agent = await core.agent_caller(other)
        await core.do(SendMessage(task=task, text="hi"))

        assert await told(core, OPERATOR, r.ListTasks()) == []
        assert await told(core, agent, r.ListTasks()) == []


async def test_who_could_not_be_reached_is_told_the_next_time() -> None:
    """And then no more."""
    async with running_core() as core:
        task = await core.add("t")
        agent = await core.agent_caller(task)
        await core.do(SendMessage(task=task, text="hi"))

        with pytest.raises(BrokenPipeError):
            await News(core.engine).tell(agent, r.ListTasks(), ready(gone=True))

        assert await told(core, agent, r.ListTasks()) == [SAID]
        assert await told(core, agent, r.ListTasks()) == []


async def test_of_two_calls_at_once_one_is_told() -> None:
    """The other one does not wait for that."""
    async with running_core() as core:
        task = await core.add("t")
        agent = await core.agent_caller(task)
        await core.do(SendMessage(task=task, text="hi"))
        news, slow, quick = News(core.engine), Stream(), ready()

        async with anyio.create_task_group() as group:
            group.start_soon(news.tell, agent, r.ListTasks(), slow)
            await slow.asked.wait()
            await news.tell(agent, r.ListTasks(), quick)
            slow.go_on.set()

        assert (slow.said, quick.said) == ([SAID], [])


async def test_who_is_about_to_read_them_is_not_told() -> None:
    """Of another task's messages it is."""
    async with running_core() as core:
        task, other = await core.add("t"), await core.add("u")
        agent = await core.agent_caller(task)
        await core.do(SendMessage(task=task, text="hi"))

        assert await told(core, agent, SendMessage(task=task, list=True)) == []
        assert await told(core, agent, SendMessage(task=other, list=True)) == [SAID]


async def test_an_attempt_that_has_ended_is_told_nothing() -> None:
    """A message is for those that can still act on it."""
    async with running_core() as core:
        task = await core.add("t")
        await core.exit(task)
        (agent,) = await core.agents(task)
        await core.do(SendMessage(task=task, text="hi"))

        caller = Caller(name=agent.id, agent=agent)

        assert await told(core, caller, r.ListTasks()) == []


async def test_many_senders_fit_one_line() -> None:
    """Long names are cut, escapes are shown."""
    async with running_core() as core:
        task = await core.add("t")
        agent = await core.agent_caller(task)
        for name in ("ann", "bob\n", "x" * 99, "eve", "ann", "joe"):
            caller = Caller(name=name)
            await core.do(SendMessage(task=task, text="hi"), caller)

        (line,) = await told(core, agent, r.ListTasks())

        cut = "x" * 39 + "…"
        assert line == (
            f"wg: 6 new messages from ann, bob\\n, {cut} and 2 more;"
            " to read: wg msg --list\n"
        )
