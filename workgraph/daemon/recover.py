"""Starting up: every agent row that has not ended is settled, each by itself.

What lives is adopted and waited for; what has ended is recorded with what is known of
its end; what never started gives its claim back. One bad row can't stop the others.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import anyio.abc

from workgraph.agents.process import Adopted
from workgraph.commands.context import officials_of
from workgraph.daemon import gates, handling, launching, trials
from workgraph.daemon.effects import Effects
from workgraph.daemon.engine import Engine
from workgraph.daemon.orders import Listen
from workgraph.graph import legacy
from workgraph.graph.chats import chat_id
from workgraph.graph.facts import AgentStarted
from workgraph.graph.model import Agent, AgentStatus, ProcessId
from workgraph.logs import Logger
from workgraph.store import (
    accounts,
    agent_reads,
    candidates,
    clients,
    legacy_chats,
    reconciling,
    service,
    views,
)
from workgraph.store.database import Tx

_Listens = dict[int, Listen | None]


class _Found(NamedTuple):
    live: list[Agent]
    listens: _Listens
    frozen: bool
    #: What became chats, and chats that can't be used.
    adopted: list[legacy_chats.Adopted]
    lost: list[int]


async def settle_agents(engine: Engine, group: anyio.abc.TaskGroup, log: Logger) -> int:
    """Settles all agents that have not ended, and lets the engine begin.

    Args:
        engine: Takes what is found out.
        group: Where adopted agents are waited for.
        log: Where a row that can't be settled is named.

    Returns:
        How many agents were adopted.
    """

    def load(tx: Tx) -> _Found:
        adopted = legacy_chats.adopt(tx, "workgraph")
        lost = legacy_chats.archive_lost(tx)
        views.look_at_all_parked(tx)
        settings = engine.host.grounds.layered.settings
        is_off = settings.agency.auto_assign == "off"
        candidates.wake_parked(tx, officials_of(settings), is_off=is_off)
        accounts.try_broken_now(tx)
        engine.effects.found_ended.update(reconciling.ended_handlers(tx))
        live = [a for a in agent_reads.list_agents(tx, alive=True) if not a.human]
        listens = {
            one.agent: launching.listen_to(tx, one) for one in clients.live_streams(tx)
        } | handling.listens(tx)
        frozen = service.frozen_since(tx) is not None
        return _Found(live, listens, frozen, adopted, lost)

    found, _ = await engine.store.transaction(load, engine.clock.now())
    _say(found, log)
    live, frozen = found.live, found.frozen
    # whoever could start more of them is dead: one look serves all
    running = await engine.effects.find_running(live)
    adopted = 0
    for agent in live:
        engine.effects.listen(agent.number, found.listens.get(agent.number))
        try:
            seen = running.get(agent.number)
            if await _settle(engine.effects, engine, agent, seen, group):
                adopted += 1
        except Exception as error:
            log.exception("agent_unsettled", agent=agent.id, error=repr(error))
    if frozen:
        # A daemon may have died before all were; what is stopped stays stopped.
        going_on = [a for a in live if a.status is not AgentStatus.STOPPING]
        await engine.effects.freeze([a.number for a in going_on])
    stopping = [a.number for a in live if a.status is AgentStatus.STOPPING]
    if stopping:
        await engine.perform_stops(stopping)
    if engine.mode.may_start:
        wg_dir = engine.host.grounds.host.wg_dir
        await gates.end_earlier(wg_dir)
        await trials.clear_trials(engine.effects.launcher, Path(wg_dir))
    engine.begin()
    if engine.mode.is_daemon:
        group.start_soon(_end_strays, engine, log)
    return adopted


def _say(found: _Found, log: Logger) -> None:
    for one in found.adopted:
        said = legacy.show(one.old, one.number, usable=one.usable)
        log.info("chat_adopted", task=one.old, chat=chat_id(one.number), reason=said)
    for number in found.lost:
        log.warning("chat_archived", chat=chat_id(number), reason="its task is gone")


async def _end_strays(engine: Engine, log: Logger) -> None:
    """Ends what still runs of agents that have ended.

    A daemon that was killed may have written down an end, and not have come to the
    search for what was left behind.
    """

    def load(tx: Tx) -> list[Agent]:
        return [
            agent
            for number in sorted(seen)
            if (agent := agent_reads.find(tx, number)) is not None
            and agent.status is AgentStatus.ENDED
        ]

    seen = await engine.effects.agents_seen()
    for agent in await engine.store.read(load, engine.clock.now()) if seen else []:
        log.warning("strays_found", agent=agent.id)
        engine.effects.sweep_soon(agent)


async def _settle(
    effects: Effects,
    engine: Engine,
    agent: Agent,
    running: Sequence[ProcessId] | None,
    group: anyio.abc.TaskGroup,
) -> bool:
    found = await effects.settle(agent, running)
    if not isinstance(found, Adopted):
        effects.found_ended.add(agent.number)
        await effects.note_end(found, agent.process)
        return False
    if agent.process is None:
        engine.post(AgentStarted(agent=agent.number, process=found.process))
    group.start_soon(effects.wait_ended, agent.number, found.process)
    return True
