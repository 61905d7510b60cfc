"""The whole graph out of the database and into it, set by set.

What is read comes in a stable order. What is written was checked before, and goes in by
one statement for each kind of row; `unmet` and `chain` of new tasks are counted by the
caller, who has the whole set.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from workgraph.graph.changes import Change, ChangeKind
from workgraph.graph.model import Agent, Edge, EdgeKind, Record, Task
from workgraph.graph.status import Status
from workgraph.store import edges, history, reads
from workgraph.store.database import INSERT_CHANGE, Params, Tx
from workgraph.store.rows import AGENT_COLUMNS, decode_agent, decode_task, encode
from workgraph.store.transfer_artifacts import Consumed, consumed_by_agent

#: Those of one name by when they were in use.
IDENTITIES: Final = """
select kind, name, id, record, retired_at from identities
order by kind, name, retired_at, id
"""
#: Attempts that are over. One whose end has not been judged yet still holds its task.
ENDED_AGENTS: Final = f"""
select {AGENT_COLUMNS}, a.to_judge, a.plan_line
from agents a join tasks t on t.id = a.task
where a.status = 'ended' and (
        a.concluded = 1 or t.claimed_by is not 'agent-' || a.number)
order by a.number
"""  # noqa: S608 - constants
#: The others: they can't be taken elsewhere.
LIVE_AGENTS: Final = """
select a.number
from agents a join tasks t on t.id = a.task
where a.status <> 'ended' or (
        a.concluded = 0 and t.claimed_by is 'agent-' || a.number)
"""
SPEND: Final = """
select day, agent, input_tokens, cached_tokens, output_tokens, cost_usd
from spend
order by day, agent
"""
KNOWN_TASKS: Final = """
select id, status, chain from tasks
where id in (select value from json_each(?))
"""
TAKEN_AGENTS: Final = """
select number from agents where number in (select value from json_each(?))
"""

INSERT_IDENTITY: Final = """
insert into identities (id, kind, name, record, retired_at) values (?, ?, ?, ?, ?)
"""
INSERT_TASK: Final = """
insert into tasks (
    id, spec, status, priority, paused, unmet, chain, actor, actor_matched,
    reserved_for, attempts, starts, not_before, retry_at, start_after, gate, failure,
    progress, usage, summary, superseded_by, added_by, depth, last_agent,
    created_at, started_at, completed_at, updated_at
) values (
    ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
)
"""
INSERT_AGENT: Final = """
insert into agents (
    number, task, attempt, actor, executor, model, endpoint, status, human, outcome,
    exit_code, signal, process, verdict, reason, counted, concluded, workspace,
    plan_line, said, started_at, ended_at, last_activity_at, usage, actor_id, to_judge
) values (
    ?, ?, ?, ?, ?, ?, ?, 'ended', ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?
)
"""
INSERT_SPEND: Final = """
insert into spend (
    day, agent, input_tokens, cached_tokens, output_tokens, cost_usd
) values (?, ?, ?, ?, ?, ?)
"""
RAISE_SEQUENCE: Final = """
update sqlite_sequence set seq = max(seq, ?) where name = 'agents'
"""
START_SEQUENCE: Final = """
insert into sqlite_sequence (name, seq)
select 'agents', ?
where not exists (select 1 from sqlite_sequence where name = 'agents')
"""


class StoredIdentity(Record, frozen=True, kw_only=True):
    """An actor, role or tradeoff as its row has it."""

    kind: str
    name: str
    id: str
    #: All of it, as JSON.
    record: str
    retired_at: int | None = None


class StoredSpend(Record, frozen=True, kw_only=True):
    """What an attempt has used on one day."""

    day: int
    agent: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cost_usd: float


class EndedAgent(Record, frozen=True, kw_only=True):
    """An attempt that is over, and the line that says by what plan it ran."""

    agent: Agent
    plan_line: str | None
    spend: tuple[StoredSpend, ...]
    to_judge: bool = False
    consumed: tuple[Consumed, ...] = ()


class NewRow(Record, frozen=True, kw_only=True, gc=False):
    """A task that comes in: its row without what the whole set decides."""

    id: str
    #: JSON columns are JSON already, so that a large import holds no structs.
    spec: str
    status: Status
    priority: int
    paused: bool
    actor: str | None
    actor_matched: bool
    reserved_for: str | None
    attempts: int
    starts: int
    not_before: int | None
    retry_at: int | None
    start_after: int | None
    gate: str | None
    failure: str | None
    progress: str | None
    usage: str
    summary: str | None
    superseded_by: str | None
    added_by: str | None
    depth: int
    created_at: int
    started_at: int | None
    completed_at: int | None
    updated_at: int


class Placed(Record, frozen=True, kw_only=True):
    """What a task is among the others, by its id; absent is nothing, or the least."""

    unmet: Mapping[str, int]
    chain: Mapping[str, int]
    last_agent: Mapping[str, str]


class NewAgentRow(Record, frozen=True, kw_only=True):
    """An attempt that comes in; it has ended."""

    number: int
    task: str
    attempt: int
    actor: str | None
    executor: str
    model: str | None
    endpoint: str | None
    human: bool
    outcome: str | None
    exit_code: int | None
    signal: int | None
    process: str | None
    verdict: str | None
    reason: str | None
    counted: bool
    workspace: str | None
    plan_line: str | None
    said: str | None
    started_at: int
    ended_at: int
    last_activity_at: int
    usage: str
    actor_id: str | None = None
    to_judge: bool = False


def identities(tx: Tx) -> Iterator[StoredIdentity]:
    """All actors, roles and tradeoffs, by kind and name."""
    for kind, name, id_, record, retired_at in tx.rows(IDENTITIES):
        yield StoredIdentity(
            kind=kind, name=name, id=id_, record=record, retired_at=retired_at
        )


def tasks(tx: Tx) -> Iterator[Task]:
    """All tasks one by one, oldest first."""
    return map(decode_task, tx.rows(reads.TASKS_BY_SEQ))


def edges_by_task(tx: Tx) -> dict[str, list[Edge]]:
    """All edges, in order, by the task that waits."""
    found: dict[str, list[Edge]] = {}
    for task, dep, kind in tx.rows(reads.ALL_EDGES):
        found.setdefault(task, []).append(Edge(id=dep, on=kind))
    return found


def ended_agents(tx: Tx) -> Iterator[EndedAgent]:
    """All attempts that are over, oldest first."""
    spent: dict[int, list[StoredSpend]] = {}
    for day, agent, input_tokens, cached_tokens, output_tokens, cost in tx.rows(SPEND):
        spend = StoredSpend(
            day=day,
            agent=agent,
            input_tokens=input_tokens,
            cached_tokens=cached_tokens,
            output_tokens=output_tokens,
            cost_usd=cost,
        )
        spent.setdefault(agent, []).append(spend)
    given = consumed_by_agent(tx)
    for row in tx.rows(ENDED_AGENTS):
        ended = decode_agent(row)
        days = tuple(spent.get(ended.number, ()))
        yield EndedAgent(
            agent=ended,
            plan_line=row[-1],
            spend=days,
            to_judge=bool(row[-2]),
            consumed=tuple(given.get(ended.number, ())),
        )


def live_agents(tx: Tx) -> set[str]:
    """The ids of the agents that are not among the ended ones."""
    return {f"agent-{row[0]}" for row in tx.rows(LIVE_AGENTS)}


def task_changes(tx: Tx) -> Iterator[Change]:
    """All changes about a task one by one, in order."""
    return map(history.decode_change, tx.rows(history.TASK_HISTORY))


def known_tasks(tx: Tx, ids: Iterable[str]) -> dict[str, tuple[Status, int]]:
    """Status and chain of those of these tasks that are there."""
    rows = tx.rows(KNOWN_TASKS, (encode(list(ids)).decode(),))
    return {row[0]: (Status(row[1]), row[2]) for row in rows}


def taken_agents(tx: Tx, numbers: Iterable[int]) -> set[int]:
    """Those of these agents' numbers that are in use."""
    return {r[0] for r in tx.rows(TAKEN_AGENTS, (encode(list(numbers)).decode(),))}


def insert_identity(tx: Tx, new: StoredIdentity) -> None:
    """Adds an actor, role or tradeoff."""
    params = (new.id, new.kind, new.name, new.record, new.retired_at)
    tx.run(INSERT_IDENTITY, params)


def insert_tasks(tx: Tx, rows: Iterable[NewRow], placed: Placed) -> None:
    """Adds tasks in any status but in progress, in the order given."""
    tx.many(INSERT_TASK, (_task_params(row, placed) for row in rows))


def insert_edges(tx: Tx, new: Iterable[tuple[str, str, EdgeKind]]) -> None:
    """Adds edges of tasks that are as new, as (task, dependency, kind)."""
    tx.many(edges.INSERT_EDGE, new)


def insert_agents(tx: Tx, new: Iterable[NewAgentRow]) -> None:
    """Adds attempts that are over, with the numbers that they have."""
    tx.many(
        INSERT_AGENT,
        (
            (
                a.number,
                a.task,
                a.attempt,
                a.actor,
                a.executor,
                a.model,
                a.endpoint,
                a.human,
                a.outcome,
                a.exit_code,
                a.signal,
                a.process,
                a.verdict,
                a.reason,
                a.counted,
                a.workspace,
                a.plan_line,
                a.said,
                a.started_at,
                a.ended_at,
                a.last_activity_at,
                a.usage,
                a.actor_id,
                a.to_judge,
            )
            for a in new
        ),
    )


def insert_spend(tx: Tx, new: Iterable[StoredSpend]) -> None:
    """Adds what attempts have used, by days."""
    tx.many(
        INSERT_SPEND,
        (
            (
                s.day,
                s.agent,
                s.input_tokens,
                s.cached_tokens,
                s.output_tokens,
                s.cost_usd,
            )
            for s in new
        ),
    )


def pass_agent_number(tx: Tx, number: int) -> None:
    """Sees to it that no agent to come has this number or a smaller one."""
    tx.run(START_SEQUENCE, (number,))
    tx.run(RAISE_SEQUENCE, (number,))


def insert_changes(tx: Tx, new: Iterable[Change]) -> None:
    """Adds facts from elsewhere to the change log; their `seq` is given anew."""
    tx.many(INSERT_CHANGE, map(_change_params, new))


def added_change(row: NewRow, title: str, by: str, now: int) -> Change:
    """The fact that a task came in, for one that brings no log of its own."""
    return Change(
        seq=0,
        at=now,
        kind=ChangeKind.TASK_ADDED.value,
        task=row.id,
        by=by,
        agent=row.added_by,
        to=row.status.value,
        reason=title,
    )


def raise_chains(tx: Tx, least: Mapping[str, int]) -> None:
    """Lengthens chains to these, and those before them accordingly."""
    work = list(least.items())
    while work:
        task, length = work.pop()
        if tx.value(edges.SELECT_CHAIN, (task,)) >= length:
            continue
        tx.run(edges.SET_CHAIN, (length, task))
        longer = length + 1
        params = (task, longer)
        work.extend((r[0], longer) for r in tx.all(edges.RAISE_DEPENDENCIES, params))


def _task_params(row: NewRow, placed: Placed) -> Params:
    return (
        row.id,
        row.spec,
        # Plain values spare the driver the search for an adapter.
        row.status.value,
        row.priority,
        int(row.paused),
        placed.unmet.get(row.id, 0),
        placed.chain.get(row.id, 1),
        row.actor,
        int(row.actor_matched),
        row.reserved_for,
        row.attempts,
        row.starts,
        row.not_before,
        row.retry_at,
        row.start_after,
        row.gate,
        row.failure,
        row.progress,
        row.usage,
        row.summary,
        row.superseded_by,
        row.added_by,
        row.depth,
        placed.last_agent.get(row.id),
        row.created_at,
        row.started_at,
        row.completed_at,
        row.updated_at,
    )


def _change_params(change: Change) -> Sequence[object]:
    return (
        change.at,
        change.kind,
        change.task,
        change.agent,
        change.attempt,
        change.actor,
        change.by,
        change.verb,
        change.from_,
        change.to,
        change.reason,
        change.percent,
    )
