"""Reads of agents: by id, by token, by task."""

from collections.abc import Iterable
from typing import Final

from workgraph.graph.errors import NotFoundError
from workgraph.graph.model import Agent, ProcessId, parse_agent_id
from workgraph.store.database import Tx
from workgraph.store.rows import AGENT_COLUMNS, decode_agent, decode_process, encode

AGENT_BY_NUMBER: Final = f"select {AGENT_COLUMNS} from agents a where a.number = ?"  # noqa: S608
AGENT_BY_TOKEN: Final = f"""
select {AGENT_COLUMNS} from agents a where a.token_sha256 = ?
"""  # noqa: S608 - constants
NEWEST: Final = "select coalesce(max(number), 0) from agents"
LIVE_AGENTS: Final = f"""
select {AGENT_COLUMNS} from agents a where a.status <> 'ended' order by a.number
"""  # noqa: S608 - constants
AGENTS_OF: Final = f"""
select {AGENT_COLUMNS} from agents a where a.task = ? order by a.attempt
"""  # noqa: S608 - constants
LIVE_AGENT_OF: Final = f"""
select {AGENT_COLUMNS} from agents a
where a.task = ? and a.status <> 'ended' and a.human = 0
order by a.attempt desc limit 1
"""  # noqa: S608 - constants
LAST_OF_TASK: Final = """
select number from agents where task = ? order by attempt desc limit 1
"""
#: A crash can leave a database in which nothing has been made yet.
HAS_AGENTS: Final = """
select 1 from sqlite_schema where type = 'table' and name = 'agents'
"""
LIVE_WRAPPERS: Final = """
select a.number, a.process from agents a
where a.status <> 'ended'
  and json_extract(a.process, '$.pid') in (select value from json_each(?))
order by a.number
"""
PLAN_LINE: Final = "select plan_line from agents where number = ?"
PLAN_OF: Final = "select plan from agents where number = ?"
AGENTS: Final = f"""
select {AGENT_COLUMNS} from agents a
order by a.number
"""  # noqa: S608 - constants


def by_id(tx: Tx, agent_id: str) -> Agent:
    """An agent by its id, `agent-17`, or its number alone.

    Raises:
        NotFoundError: There is none.
    """
    number = parse_agent_id(agent_id)
    if number is None and agent_id.isascii() and agent_id.isdigit():
        number = parse_agent_id(f"agent-{agent_id}")
    row = None if number is None else tx.one(AGENT_BY_NUMBER, (number,))
    if row is None:
        hint = "wg agents"
        last = tx.value(LAST_OF_TASK, (agent_id,))
        if last is not None:
            hint = f"{agent_id} is a task; agent-{last} is its last agent"
        raise NotFoundError(f"there is no agent {agent_id!r}", hint=hint)
    return decode_agent(row)


def newest(tx: Tx) -> int:
    """The number of the last agent that there is; 0 for none."""
    return int(tx.value(NEWEST))


def find(tx: Tx, number: int) -> Agent | None:
    """An agent by its number, if there is one."""
    row = tx.one(AGENT_BY_NUMBER, (number,))
    return None if row is None else decode_agent(row)


def by_number(tx: Tx, number: int) -> Agent:
    """An agent that is known to exist."""
    agent = find(tx, number)
    assert agent is not None
    return agent


def by_token(tx: Tx, token_sha256: bytes) -> Agent | None:
    """Whose token this is."""
    row = tx.one(AGENT_BY_TOKEN, (token_sha256,))
    return None if row is None else decode_agent(row)


def list_agents(tx: Tx, *, alive: bool = False) -> list[Agent]:
    """All agents, or those that have not ended, oldest first."""
    sql = LIVE_AGENTS if alive else AGENTS
    return [decode_agent(row) for row in tx.rows(sql)]


def agents_of(tx: Tx, task_id: str) -> list[Agent]:
    """All attempts at a task, oldest first."""
    return [decode_agent(row) for row in tx.rows(AGENTS_OF, (task_id,))]


def live_process_of(tx: Tx, task_id: str) -> Agent | None:
    """The agent of a task whose process has not ended, whoever holds the task."""
    row = tx.one(LIVE_AGENT_OF, (task_id,))
    return None if row is None else decode_agent(row)


def has_agents(tx: Tx) -> bool:
    """Whether the database is old enough to have agents in it."""
    return tx.one(HAS_AGENTS) is not None


def live_wrappers(tx: Tx, pids: Iterable[int]) -> list[tuple[int, ProcessId]]:
    """The agents that have not ended and whose wrapper had one of these numbers."""
    rows = tx.rows(LIVE_WRAPPERS, (encode(tuple(pids)).decode(),))
    return [(row[0], decode_process(row[1])) for row in rows]


def plan_of(tx: Tx, number: int) -> str | None:
    """The plan that an agent was started with, as JSON."""
    plan: str | None = tx.value(PLAN_OF, (number,))
    return plan


def plan_line(tx: Tx, number: int) -> str | None:
    """The one line that says by what plan an agent was started."""
    line: str | None = tx.value(PLAN_LINE, (number,))
    return line
