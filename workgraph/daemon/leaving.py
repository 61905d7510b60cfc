"""The orderly end of a daemon: handlers leave with it, agents that work stay."""

from typing import Final

import anyio

from workgraph.daemon.engine import Engine
from workgraph.graph.errors import WorkgraphError
from workgraph.graph.model import AgentStatus, Stop, StopThen
from workgraph.store import agent_reads, agents, reconciling
from workgraph.store.database import Tx

#: What the ladder may take besides the grace, up to the end that is written down.
_SLACK_S: Final = 5.0


async def end_handlers(engine: Engine) -> None:
    """Ends the inputs of all handlers, then them, and waits until that is written down.

    One that can't be ended, or written down, is left to the next daemon.
    """
    engine.draining = True
    grace = engine.host.grounds.layered.settings.agents.kill_grace
    try:
        numbers, _ = await engine.store.transaction(_order_stops, engine.clock.now())
        with anyio.move_on_after(float(grace) + _SLACK_S):
            await engine.end_agents(numbers)
    except WorkgraphError:
        return  # starting up finds them, and ends what is left of them


def _order_stops(tx: Tx) -> tuple[int, ...]:
    numbers = tuple(reconciling.live_handlers(tx))
    for number in numbers:
        agent = agent_reads.by_number(tx, number)
        if agent.status is not AgentStatus.STOPPING:
            stop = Stop(
                then=StopThen.NOTHING, by="workgraph", reason="the daemon has ended"
            )
            agents.order_stop(tx, agent, stop, None)
    return numbers
