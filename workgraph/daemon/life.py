"""Signs of life: a call of `wg` is one, whatever it asks."""

from typing import Final

from workgraph.graph.model import Agent
from workgraph.store import agents
from workgraph.store.database import Store

#: A sign of life is written down once in so long, and a few times in a stall limit.
_SELDOM_US: Final = 60_000_000
_TIMES: Final = 4


async def note_life(store: Store, agent: Agent, now: int) -> None:
    """Notes that an agent has called, seldom enough for calls that read to be reads.

    The first call of each agent is always noted: it tells one that has worked from one
    that has not.
    """
    if agent.ended_at is not None:
        return
    seldom = min((agent.stall_after or _SELDOM_US) // _TIMES, _SELDOM_US)
    if not agent.heard or now - agent.last_activity_at >= seldom:
        await store.transaction(lambda tx: agents.touch(tx, agent), now)
