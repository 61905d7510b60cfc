"""Actors, evaluators and their answers, for tests of how work is judged."""

import json
from typing import Any

from tests.core import Core
from workgraph.graph.identity import actor_id
from workgraph.graph.model import Actor
from workgraph.graph.rewards import Reward
from workgraph.store import identities, rewards

#: An evaluator that is asked, and its executor.
ACTOR_MODE = (
    "agency.auto_reward=actor",
    "agency.evaluator=eva",
    'executors.tool.argv=["tool"]',
    "dispatcher.executor=tool",
)
ENFORCING = (*ACTOR_MODE, "agency.reward_gate=enforcing")


async def add_actor(core: Core, name: str, **values: Any) -> Actor:
    """An actor, as `wg actor add` makes it."""
    actor = Actor(id=actor_id(name=name), name=name, **values)
    await core.store.transaction(
        lambda tx: identities.insert_actor(tx, actor), core.clock.now()
    )
    core.engine.wake()
    await core.settle()
    return actor


async def answer(core: Core, task: str, said: object, code: int = 0) -> None:
    """The agent that holds a task prints something as its last line, and ends."""
    line = said if isinstance(said, str) else json.dumps(said)
    core.launcher.write(await core.holder(task), f"thinking\n{line}\n".encode())
    await core.exit(task, code)


async def rewards_of(core: Core, task: str) -> list[Reward]:
    """What was said of a task's attempts."""
    return await core.store.read(lambda tx: rewards.of_task(tx, task), core.clock.now())


async def every_task(core: Core) -> list[str]:
    """The ids of all tasks, the machinery's included."""
    found = await core.store.read(
        lambda tx: [row[0] for row in tx.rows("select id from tasks order by seq")], 0
    )
    return list(found)
