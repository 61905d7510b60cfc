"""Freezing the service: all agents stand still until it is thawed, over restarts, too.

The graph says first that it is frozen, then agents are stopped; they go on first, then
the graph says so. So a daemon that dies in between leaves agents that stand still in a
frozen service, or a frozen service whose next daemon stops them again. One that is told
to end in between does both to their end.
"""

import anyio

from workgraph.commands import operate
from workgraph.commands.context import Caller
from workgraph.commands.operate import check_not_frozen
from workgraph.daemon.engine import Engine
from workgraph.graph.replies import DoneData, Reply
from workgraph.store import service

__all__ = ["check_not_frozen", "freeze", "thaw"]


async def freeze(engine: Engine, caller: Caller) -> Reply:
    """Stops all agents where they are; saying it twice is saying it once."""
    with anyio.CancelScope(shield=True):
        agents = await engine.ask(operate.freeze, caller)
        await engine.effects.freeze(agents)
        engine.wake()
    return Reply(data=DoneData(message=f"the service is frozen, {_count(agents)}"))


async def thaw(engine: Engine, caller: Caller) -> Reply:
    """Lets them go on, and new ones start."""
    since = await engine.read(lambda c: service.frozen_since(c.tx), caller)
    if since is None:
        return Reply(data=DoneData(message="the service is not frozen"))
    agents = await engine.read(lambda c: operate.live_agents(c.tx), caller)
    with anyio.CancelScope(shield=True):
        await engine.effects.thaw(agents)
        try:
            await engine.ask(operate.thaw, caller)
        except BaseException:
            await engine.effects.freeze(agents)
            raise
        engine.wake()
    return Reply(data=DoneData(message=f"the service goes on, {_count(agents)}"))


def _count(agents: tuple[int, ...]) -> str:
    return f"{len(agents)} agent{'' if len(agents) == 1 else 's'}"
