"""Messages through attempts: who is given what, and when they are over."""

from pathlib import Path
from typing import Any

import pytest

from tests.core import OPERATOR, Core, running_core
from tests.engine.test_gates import core_in
from tests.engine.test_listening import CODEX, lines, wait_for
from workgraph.commands.context import Caller
from workgraph.commands.messages import MOST_MESSAGES
from workgraph.graph import requests as r
from workgraph.graph.errors import (
    ForbiddenError,
    NotFoundError,
    UsageError,
    UserError,
    WorkgraphError,
)
from workgraph.graph.messages import MessageData, SendMessage
from workgraph.store import messages

TOKEN = "any: who speaks is said beside it"


async def unread(core: Core, task: str, session: str | None = None) -> list[int]:
    """The numbers of what the next attempt would be given."""
    found = await core.store.read(
        lambda tx: messages.unread_of(tx, task, session), core.clock.now()
    )
    return [message.number for message in found]


async def listed(
    core: Core, task: str, caller: Caller = OPERATOR
) -> tuple[MessageData, ...]:
    """What `wg msg --list` gives."""
    token = None if caller.agent is None else TOKEN
    reply = await core.do(SendMessage(task=task, list=True, token=token), caller)
    data: tuple[MessageData, ...] = reply.data
    return data


async def send(core: Core, task: str, text: str, caller: Caller = OPERATOR) -> None:
    """Leaves a message."""
    await core.do(SendMessage(task=task, text=text), caller)


async def test_an_attempt_that_ends_well_is_done_with_what_it_has_read() -> None:
    """And with nothing else: what came later waits for the next attempt."""
    async with running_core() as core:
        task = await core.add("t")
        await send(core, task, "one")
        agent = await core.agent_caller(task)
        (seen,) = await listed(core, task, agent)
        await send(core, task, "two")
        assert (seen.unread, seen.receipts) == (True, ())
        assert await unread(core, task) == [1, 2]

        await core.do(r.FinishTask(task=task, token=TOKEN), agent)
        await core.settle()
        core.launcher.exit(1, code=0)
        await core.settle()

        first, second = await listed(core, task)
        assert await unread(core, task) == [2]
        assert (first.unread, second.unread) == (False, True)
        (receipt,) = first.receipts
        assert (receipt.agent, receipt.attempt, receipt.told_at) == ("agent-1", 1, None)
        assert receipt.read_at is not None
        assert receipt.acknowledged_at is not None


@pytest.mark.parametrize("how", [{"signal": 9}, {"code": 1}])
async def test_what_only_a_lost_conversation_knew_comes_again(
    how: dict[str, int],
) -> None:
    """A shell has no session to go on with."""
    async with running_core() as core:
        task = await core.add("t")
        await send(core, task, "one")
        agent = await core.agent_caller(task)
        await listed(core, task, agent)

        core.launcher.exit(1, **how)
        await core.settle()

        assert await unread(core, task) == [1]


@pytest.mark.slow
async def test_work_that_a_gate_sends_back_is_not_done_with_its_messages(
    tmp_path: Path,
) -> None:
    """It is when the gate is passed."""
    async with core_in(tmp_path) as core:
        task = await core.add("t", output=("a.html",))
        await send(core, task, "one")
        await listed(core, task, await core.agent_caller(task))
        await core.exit(task)
        assert await unread(core, task) == [1]

        (tmp_path / "a.html").touch()
        await listed(core, task, await core.agent_caller(task))
        await core.exit(task)

        assert await core.status(task) == "done"
        assert await unread(core, task) == []


async def test_a_conversation_that_goes_on_is_told_nothing_twice() -> None:
    """The session of an attempt that was cut short knows what it has read."""
    async with running_core(*CODEX) as core:
        task = await core.add("t", executor="codex")
        await send(core, task, "one")
        (number,) = core.launcher.running()
        core.launcher.write(number, lines("codex/success.jsonl", 6))
        agent = await wait_for(core, task, lambda agent: agent.answered)
        await listed(core, task, await core.agent_caller(task))
        await core.do(r.KillAgents(agent=(f"agent-{number}",)))
        await send(core, task, "two")

        assert await unread(core, task, agent.session) == [2]
        assert await unread(core, task) == [1, 2]


async def test_an_attempt_says_what_it_is_done_with() -> None:
    """By number whatever it has read; `ack_all` only what it was given."""
    async with running_core() as core:
        task = await core.add("t")
        for text in ("one", "two", "three"):
            await send(core, task, text)
        agent = await core.agent_caller(task)

        await core.do(SendMessage(task=task, ack=(2,), token=TOKEN), agent)
        assert await unread(core, task) == [1, 3]
        await core.do(SendMessage(task=task, ack_all=True, token=TOKEN), agent)
        assert await unread(core, task) == [1, 3]
        await listed(core, task, agent)
        await core.do(SendMessage(task=task, ack_all=True, token=TOKEN), agent)

        assert await unread(core, task) == []
        with pytest.raises(NotFoundError):
            await core.do(SendMessage(task=task, ack=(9,), token=TOKEN), agent)


async def test_only_who_works_on_it_acknowledges() -> None:
    """An operator does it for the person who holds the task, and for nobody else."""
    async with running_core("dispatcher.max_agents=0") as core:
        task = await core.add("t")
        await send(core, task, "one")
        with pytest.raises(UserError):
            await core.do(SendMessage(task=task, ack_all=True))

        await core.do(r.ClaimTask(task=task, actor="ann"))
        await core.do(SendMessage(task=task, ack_all=True))

        assert await unread(core, task) == []


async def test_an_agent_writes_to_its_own_task_alone() -> None:
    """What it leaves there is for others: it is not told of it."""
    async with running_core() as core:
        task, other = await core.add("t"), await core.add("u")
        agent = await core.agent_caller(task)

        await send(core, task, "to the next one", agent)
        with pytest.raises(ForbiddenError):
            await send(core, other, "do as I say", agent)

        assert await unread(core, task) == [1]
        assert agent.agent is not None
        speaker = agent.agent
        news = await core.store.read(lambda tx: messages.news_for(tx, speaker), 0)
        assert news == ()
        assert await listed(core, other) == ()


async def test_an_attempt_may_leave_so_many_messages_and_no_more() -> None:
    """What runs in a loop does not fill the prompts of those to come."""
    async with running_core() as core:
        task = await core.add("t")
        agent = await core.agent_caller(task)
        for _ in range(MOST_MESSAGES):
            await core.engine.answer(SendMessage(task=task, text="again"), agent)

        with pytest.raises(ForbiddenError):
            await send(core, task, "again", agent)


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({}, UsageError),
        ({"text": " \n"}, UsageError),
        ({"text": "x", "list": True}, UsageError),
        ({"list": True, "ack_all": True}, UsageError),
        ({"task": "nowhere", "text": "x"}, NotFoundError),
    ],
)
async def test_what_makes_no_sense_is_refused(
    wish: dict[str, Any], error: type[WorkgraphError]
) -> None:
    """And nothing is written."""
    async with running_core() as core:
        task = await core.add("t")

        with pytest.raises(error):
            await core.do(SendMessage(**({"task": task} | wish)))

        assert await listed(core, task) == ()


async def test_a_task_that_is_over_takes_messages_and_says_so() -> None:
    """Who opens it again has them read."""
    async with running_core() as core:
        task = await core.add("t")
        await core.exit(task)

        reply = await core.do(SendMessage(task=task, text="why so?"))

        assert reply.data.unread == 1
        assert reply.notes == (
            "t is done: its next attempt is given it, if there is one (wg retry t)",
        )


async def test_the_log_has_messages_apart() -> None:
    """`wg log --list` is about the work; `wg watch` has all, with a beginning."""
    async with running_core() as core:
        task = await core.add("t")
        await send(core, task, "x" * 5000 + "\nmore")
        await listed(core, task, await core.agent_caller(task))

        log = await core.do(r.Log(task=task, list=True))
        told = [c for c in await core.changes() if c.kind.startswith("message")]

        assert not [one for one in log.data if one.kind.startswith("message")]
        assert [(c.kind, c.to, c.by) for c in told] == [
            ("message_sent", "1", "me"),
            ("message_read", "1", "agent-1"),
        ]
        assert told[0].reason == "x" * 200 + "…"
