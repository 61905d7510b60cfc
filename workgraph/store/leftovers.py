"""What ended agents have left behind: processes that nothing has ended so far.

While there are any, the moment of the next look is a row like every other moment; the
gap grows with the time since the end. Without leftovers nothing is looked for.
"""

from typing import Final

from workgraph.graph.changes import ChangeKind
from workgraph.graph.model import Agent, ProcessId
from workgraph.graph.times import SECOND
from workgraph.store.database import Tx
from workgraph.store.rows import AGENT_COLUMNS, decode_agent, to_json

DUE: Final = f"""
select {AGENT_COLUMNS} from agents a
where a.leftover_at <= ? order by a.leftover_at
"""  # noqa: S608 - constants
OF_TASK: Final = f"""
select {AGENT_COLUMNS} from agents a indexed by agents_leftover
where a.leftover_at is not null and a.task = ?
order by a.number
"""  # noqa: S608 - constants
ALL: Final = f"""
select {AGENT_COLUMNS} from agents a indexed by agents_leftover
where a.leftover_at is not null
order by a.number
"""  # noqa: S608 - constants
SET: Final = "update agents set leftover = ?, leftover_at = ? where number = ?"
PUT_OFF: Final = "update agents set leftover_at = ? where number = ?"
LET_GO: Final = """
update tasks set parked_until = ?
where id = ? and parked is not null and json_extract(parked, '$.code') = 'leftover'
"""

#: Between two looks: as long as it has been since the end, within these.
_SHORTEST_GAP: Final = 5 * SECOND
_LONGEST_GAP: Final = 300 * SECOND


def note(tx: Tx, agent: Agent, processes: tuple[ProcessId, ...]) -> None:
    """Names the processes of an agent that could not be ended, or that none is left."""
    at = _next_look(tx, agent) if processes else None
    tx.run(SET, (to_json(processes), at, agent.number))
    if set(processes) == set(agent.leftover):
        return
    pids = " ".join(str(process.pid) for process in processes)
    tx.emit(
        ChangeKind.LEFTOVER_FOUND if processes else ChangeKind.LEFTOVER_GONE,
        task=agent.task,
        agent=agent.id,
        attempt=agent.attempt,
        actor=agent.actor,
        reason=f"pids {pids}" if processes else "no process of it is left",
    )
    if not processes:
        tx.run(LET_GO, (tx.now, agent.task))


def put_off(tx: Tx, agent: Agent) -> None:
    """The next look is later: one is about to be taken."""
    tx.run(PUT_OFF, (_next_look(tx, agent), agent.number))


def due(tx: Tx) -> list[Agent]:
    """Agents whose leftover is to be looked at."""
    return [decode_agent(row) for row in tx.rows(DUE, (tx.now,))]


def of_task(tx: Tx, task: str) -> list[Agent]:
    """The attempts at a task of which something is left."""
    return [decode_agent(row) for row in tx.rows(OF_TASK, (task,))]


def all_of(tx: Tx) -> list[Agent]:
    """All agents of which something is left."""
    return [decode_agent(row) for row in tx.rows(ALL)]


def _next_look(tx: Tx, agent: Agent) -> int:
    age = tx.now - (agent.ended_at or tx.now)
    return tx.now + min(max(age, _SHORTEST_GAP), _LONGEST_GAP)
