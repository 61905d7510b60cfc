"""How many tasks agents may add: of an attempt, below one operator's task, how deep."""

import pytest

from tests.core import Core, running_core
from workgraph.commands.context import Caller
from workgraph.graph import requests as r
from workgraph.graph.errors import ForbiddenError

#: Nothing is in the way but the limit under test.
WIDE = (
    "agents.max_new_tasks=1000",
    "agents.max_descendants=1000",
    "agents.max_depth=1000",
    "dispatcher.max_agents=50",
)


async def add_as(
    core: Core, caller: Caller, title: str, *, paused: bool = False
) -> str:
    """A task that an agent adds, and that runs at once unless it is paused."""
    request = r.AddTask(title=title, exec="true", independent=True, paused=paused)
    reply = await core.engine.answer(request, caller)
    await core.engine.settle()
    return str(reply.data.id)


async def test_the_eleventh_task_of_an_attempt_is_forbidden() -> None:
    """By default; the next attempt may add ten again."""
    async with running_core("dispatcher.max_agents=1") as core:
        task = await core.add("t")
        first = await core.agent_caller(task)
        for n in range(10):
            await add_as(core, first, f"first {n}", paused=True)

        with pytest.raises(ForbiddenError, match="has added 10 tasks"):
            await add_as(core, first, "one more")

        await core.crash(task)
        core.clock.advance(600)
        await core.settle()
        second = await core.agent_caller(task)
        assert await add_as(core, second, "second", paused=True)


async def test_below_three_levels_nothing_more_is_added() -> None:
    """An operator's task is at the top; what it adds is at level one."""
    async with running_core("dispatcher.max_agents=9") as core:
        task = await core.add("t")
        for level in range(3):
            task = await add_as(core, await core.agent_caller(task), f"level {level}")
        caller = await core.agent_caller(task)

        with pytest.raises(ForbiddenError, match="levels deep"):
            await add_as(core, caller, "too deep")


async def test_all_that_agents_add_below_a_task_counts_together() -> None:
    """Children and grandchildren, of every attempt; not what operators add."""
    settings = (*WIDE, "agents.max_descendants=5")
    async with running_core(*settings) as core:
        root = await core.add("root")
        other = await core.add("other root")
        await core.add("operator's", after=(root,))
        top = await core.agent_caller(root)
        one = await add_as(core, top, "child 1")
        two = await add_as(core, top, "child 2")
        for child in (one, two):
            caller = await core.agent_caller(child)
            await add_as(core, caller, f"below {child}")
        deepest = await add_as(core, await core.agent_caller(one), "fifth")

        for adder in (root, two, deepest):
            caller = await core.agent_caller(adder)
            with pytest.raises(ForbiddenError, match="below root, the most"):
                await add_as(core, caller, "sixth")

        assert await add_as(core, await core.agent_caller(other), "of another")


async def test_a_limit_of_none_forbids_the_first() -> None:
    """0 is a limit, too."""
    async with running_core("agents.max_descendants=0") as core:
        caller = await core.agent_caller(await core.add("t"))

        with pytest.raises(ForbiddenError, match="0 tasks below t"):
            await add_as(core, caller, "first")
