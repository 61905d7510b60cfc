"""What reactors are shown: one query for each question, none of which scans."""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from workgraph.graph.holds import (
    SHELL_BREAKER,
    AccountState,
    Breaker,
    account_key,
    allowance,
    breaker_key,
)
from workgraph.graph.model import Agent, Task
from workgraph.graph.times import SECOND
from workgraph.graph.views import (
    DispatchView,
    EndedAttempt,
    GateView,
    Needs,
    Openings,
    PatrolView,
    RetryPolicy,
)
from workgraph.store import (
    accounts,
    agent_reads,
    breakers,
    candidates,
    errands,
    holds,
    leftovers,
    reconciling,
    service,
    trajectories,
    waits,
)
from workgraph.store.database import Tx
from workgraph.store.rows import (
    AGENT_COLUMNS,
    TASK_COLUMNS,
    decode_agent,
    decode_task,
)

#: Ended agents in one tick; the others wait for the next one.
_BATCH: Final = 500
#: How many are kept back in one tick by breakers that are not closed.
_HELD_AT_ONCE: Final = 200

ENDED: Final = f"""
select {AGENT_COLUMNS}, {TASK_COLUMNS}
from agents a join tasks t on t.id = a.task
where a.status = 'ended' and a.concluded = 0
order by a.number limit {_BATCH}
"""  # noqa: S608 - constants
_AGENT_WIDTH: Final = AGENT_COLUMNS.count(",") + 1
DUE: Final = f"select id from tasks where start_after <= ? limit {_BATCH}"  # noqa: S608
OVERDUE: Final = f"""
select {AGENT_COLUMNS} from agents a
where a.status <> 'ended' and a.timeout_at <= ?
order by a.timeout_at
"""  # noqa: S608 - constants
EXPIRED: Final = f"""
select {AGENT_COLUMNS}
from tasks t join agents a on a.task = t.id and a.status <> 'ended'
where t.claim_ends_at <= ? and a.status <> 'stopping'
  and t.claimed_by = 'agent-' || a.number
"""  # noqa: S608 - constants
#: Seldom anything is late, and to ask for all columns of nothing takes as long as for
#: those of something.
IS_LATE: Final = """
select exists (select 1 from agents where status <> 'ended' and timeout_at <= :now)
    or exists (select 1 from agents where status <> 'ended' and stall_at <= :now)
    or exists (select 1 from agents where status <> 'ended' and client_until <= :now)
    or exists (select 1 from tasks where claim_ends_at <= :now)
"""
#: Between the agents of `OVERDUE` and their limits.
LIMIT_OF: Final = """
select json_extract(plan, '$.timeout_s.value') from agents where number = ?
"""
SILENT: Final = f"""
select {AGENT_COLUMNS} from agents a
where a.status <> 'ended' and a.stall_at <= ?
order by a.stall_at limit {_BATCH}
"""  # noqa: S608 - constants
TALKED: Final = f"""
select {AGENT_COLUMNS} from agents a
where a.status <> 'ended' and a.client_until <= ?
order by a.client_until limit {_BATCH}
"""  # noqa: S608 - constants
#: A loop decides when all of its other members are done. What an errand has answered is
#: read when its agent has said its last word, if it was not given by a command.
GATES: Final = f"""
select {TASK_COLUMNS} from tasks t
where t.gate is not null and t.gate in ('outputs', 'verify', 'loop', 'verdict')
  and (t.gate <> 'loop' or not exists (
        select 1
        from loop_members m
        join loop_members o on o.loop = m.loop
        join tasks x on x.id = o.task
        where m.task = t.id and m.left_at is null
          and o.task <> t.id and x.status <> 'done'))
  and (t.gate <> 'verdict'
       or not exists (
            select 1 from agents a
            where a.number = cast(substr(t.last_agent, 7) as integer)
              and a.status <> 'ended')
       or exists (
            select 1 from errands e where e.task = t.id and e.verdict is not null))
"""  # noqa: S608 - constants
# The planner has no statistics and takes the index over `status`, under which nearly
# all tasks of a large graph lie: hence `indexed by`.
#: What could be dispatched. A task whose last process still lives has to wait for it.
CANDIDATES: Final = f"""
select {TASK_COLUMNS} from tasks t indexed by tasks_dispatch
where t.status = 'open' and t.paused = 0 and t.unmet = 0
  and t.start_after is null and t.parked is null and t.reserved_for is null
  and {trajectories.NOT_RESERVED}
  and not exists (
        select 1 from agents a
        where a.task = t.id and a.status <> 'ended' and a.human = 0)
order by t.priority, t.chain desc, t.seq
limit ?
"""  # noqa: S608 - constants
#: The next steps of trajectories that have begun, whose last attempt is over.
CONTINUING: Final = f"""
select {TASK_COLUMNS}
from trajectories r indexed by trajectories_begun
join trajectory_steps s on s.trajectory = r.number and s.left_at is null
join tasks t on t.id = s.task
where r.ended_at is null and r.agent is not null
  and t.status = 'open' and t.paused = 0 and t.unmet = 0
  and t.start_after is null and t.parked is null and t.reserved_for is null
  and {trajectories.NOT_RESERVED}
  and not exists (
        select 1 from agents a
        where a.task = t.id and a.status <> 'ended' and a.human = 0)
order by t.priority, t.chain desc, t.seq
limit ?
"""  # noqa: S608 - constants
#: The change by which a task came where it is; what was handed in twice has two.
HANDED_IN: Final = """
select seq from changes
where task = ? and kind = 'status_changed' order by seq desc limit 1
"""
LOOK_AGAIN: Final = f"""
select {TASK_COLUMNS} from tasks t indexed by tasks_parked
where t.parked is not null and t.parked_until <= ?
  and t.status = 'open' and t.paused = 0 and t.unmet = 0
  and t.start_after is null and t.reserved_for is null
  and {trajectories.NOT_RESERVED}
order by t.parked_until
limit ?
"""  # noqa: S608 - constants
#: What lies behind is decided already, or waits for something else than time.
NEXT_MOMENT: Final = """
select min(at) from (
    select min(start_after) as at from tasks where start_after > :now
    union all
    select min(claim_ends_at) from tasks where claim_ends_at > :now
    union all
    select min(timeout_at) from agents
        where status <> 'ended' and timeout_at > :now
    union all
    select min(stall_at) from agents
        where status <> 'ended' and stall_at > :now
    union all
    select min(client_until) from agents
        where status <> 'ended' and client_until > :now
    union all
    select min(parked_until) from tasks
        where parked is not null and parked_until > :now
    union all
    select min(leftover_at) from agents where leftover_at > :now
    union all
    select min(until) from breakers where proven = 0 and until > :now
    union all
    select min(until) from accounts where until > :now
    union all
    select min(due) from wait_terms where met_at is null and due > :now
)
where at is not null
"""
NEXT_START: Final = f"""
select min(start_after) from tasks t indexed by tasks_due
where start_after is not null and t.status = 'open' and paused = 0 and unmet = 0
  and reserved_for is null
  and {trajectories.NOT_RESERVED}
"""  # noqa: S608 - constants
#: Not those in quarantine, which wait for an operator, nor those that a key holds.
LOOK_AT_ALL: Final = """
update tasks indexed by tasks_parked set parked_until = ?
where parked is not null
  and json_extract(parked, '$.key') is null
  and json_extract(parked, '$.code') <> 'quarantined'
"""


def patrol(
    tx: Tx,
    policy: RetryPolicy,
    looking: frozenset[int],
    watched: frozenset[str] | None = None,
) -> PatrolView:
    """What has ended and what has come due.

    While agents are frozen no limit is reached.

    Args:
        tx: The transaction.
        policy: The retry rule's settings.
        looking: Agents whose output is being looked at.
        watched: Paths that are looked out for; null where nothing is.
    """
    ended = tuple(
        EndedAttempt(
            agent=decode_agent(row[:_AGENT_WIDTH]),
            task=decode_task(row[_AGENT_WIDTH:]),
        )
        for row in tx.rows(ENDED)
    )
    overdue: tuple[Agent, ...] = ()
    expired = silent = talked = overdue
    if tx.value(IS_LATE, {"now": tx.now}) and service.frozen_since(tx) is None:
        overdue = tuple(_agents(tx, OVERDUE, tx.now))
        expired = tuple(_agents(tx, EXPIRED, tx.now))
        silent = tuple(_agents(tx, SILENT, tx.now))
        talked = tuple(_agents(tx, TALKED, tx.now))
    keys = {breaker_key(one.agent.executor) for one in ended if not one.agent.human}
    logins = {one.agent.account for one in ended if one.agent.account is not None}
    troubled = accounts.troubled(tx)
    known = errands.among(tx, [one.task.id for one in ended])
    return PatrolView(
        policy=replace(policy, errands=known) if known else policy,
        ended=ended,
        due=tuple(row[0] for row in tx.rows(DUE, (tx.now,))),
        overdue=overdue,
        limits=_limits(tx, overdue),
        expired=expired,
        leftover=tuple(leftovers.due(tx)),
        silent=silent,
        talked=talked,
        looking=looking,
        breakers=breakers.find(tx, keys),
        accounts=accounts.find(tx, logins) | troubled,
        answers={key: accounts.answers(tx, one) for key, one in troubled.items()},
        newest_agent=agent_reads.newest(tx) if logins else 0,
        waits=waits.to_judge(tx),
        files=None if watched is None else waits.files(tx),
        watched=watched or frozenset(),
    )


def gates(tx: Tx, running: frozenset[str], *, may_start: bool) -> GateView:
    """What waits for a gate that the daemon runs."""
    if not may_start:
        return GateView()
    waiting = tuple(_tasks(tx, GATES))
    return GateView(
        waiting=waiting,
        handed_in={task.id: handed_in(tx, task.id) for task in waiting},
        running=running,
    )


def handed_in(tx: Tx, task_id: str) -> int:
    """The number of the change by which a task came to its status."""
    return int(tx.value(HANDED_IN, (task_id,)) or 0)


def openings(
    tx: Tx, max_agents: int, officials: frozenset[str], *, may_start: bool
) -> Openings:
    """What could be started, and how much of it.

    Args:
        tx: The transaction.
        max_agents: How many may run at a time.
        officials: The actors that `[agency]` names: they do nothing else by themselves.
        may_start: Whether this engine starts anything.
    """
    may = may_start and not service.is_service_paused(tx)
    free = max_agents - service.count_live(tx) if may else 0
    if free <= 0:
        return Openings(may_start=may, free_slots=0)
    troubled, limited = breakers.troubled(tx), accounts.troubled(tx)
    more = _HELD_AT_ONCE if troubled or limited else 0
    found = _tasks(tx, CONTINUING, free + more)
    continuing = frozenset(task.id for task in found)
    found.extend(
        task
        for task in _tasks(tx, CANDIDATES, free + more)
        if task.id not in continuing
    )
    found.extend(map(_let_go, _tasks(tx, LOOK_AGAIN, tx.now, free)))
    # One more than may be: then it is known that somebody goes on waiting.
    most = min(free, _HELD_AT_ONCE) + 1
    live = {key: accounts.live(tx, account) for key, account in limited.items()}
    for key, account in limited.items():
        if allowance(account, live[key], tx.now) != 0:
            found.extend(holds.held(tx, account_key(key), most))
    for key in (*troubled, *candidates.with_room(tx, officials)):
        found.extend(holds.held(tx, key, most))
    return Openings(
        may_start=may,
        free_slots=free,
        candidates=tuple(found),
        continuing=continuing,
        breakers=troubled,
        accounts=limited,
        on_account=live,
    )


def dispatch(
    tx: Tx, found: Openings, needs: Mapping[str, Needs], max_starts: int
) -> DispatchView:
    """What could be started, with all that may hold it.

    Args:
        tx: The transaction.
        found: What could be started.
        needs: What tasks need that many others need, too.
        max_starts: How often a task may be started.
    """
    troubled = {**found.breakers, **_unknown(tx, found.breakers, needs.values())}
    young = breakers.young(tx, tx.now - SECOND) if troubled else {}
    return DispatchView(
        may_start=found.may_start,
        free_slots=found.free_slots,
        candidates=found.candidates,
        continuing=found.continuing,
        needs=needs,
        breakers=troubled,
        young={breaker_key(name): count for name, count in young.items()},
        accounts=found.accounts,
        on_account=found.on_account,
        max_starts=max_starts,
    )


def next_moment(tx: Tx) -> int | None:
    """The earliest moment at which time alone changes what is to be done."""
    moment: int | None = tx.value(NEXT_MOMENT, {"now": tx.now})
    return moment


def next_start(tx: Tx) -> int | None:
    """The earliest moment at which a task will become ready by itself."""
    moment: int | None = tx.value(NEXT_START)
    return moment


def is_idle(tx: Tx, max_agents: int, officials: frozenset[str] = frozenset()) -> bool:
    """Whether nothing runs, and nothing will start by itself.

    What an account that is broken keeps back waits for somebody to log in.

    Args:
        tx: The transaction.
        max_agents: How many may run at a time.
        officials: The actors that `[agency]` names.
    """
    if service.count_live(tx) or tx.one(ENDED) or tx.one(GATES):
        return False
    if max_agents == 0 or service.is_service_paused(tx):
        return True
    return (
        next_start(tx) is None
        and not waits.wakes_by_itself(tx)
        and tx.one(CANDIDATES, (1,)) is None
        and not any(holds.is_any_held(tx, key) for key in _passing(tx, officials))
    )


def look_at_all_parked(tx: Tx) -> None:
    """Has every parked task looked at in the next tick: the settings have changed.

    So are the chats that could not be answered.
    """
    tx.run(LOOK_AT_ALL, (tx.now,))
    reconciling.look_at_all(tx)


def _passing(tx: Tx, officials: frozenset[str]) -> list[str]:
    """The keys of all that holds tasks back and passes by itself."""
    limited = accounts.troubled(tx).values()
    return [
        *breakers.troubled(tx),
        *candidates.with_room(tx, officials),
        *(account_key(a.key) for a in limited if a.state is not AccountState.BROKEN),
    ]


def _let_go(task: Task) -> Task:
    """What is looked at again is held by no key: it is parked anew, or started."""
    if task.parked is None or task.parked.key is None:
        return task
    return replace(task, parked=replace(task.parked, key=None))


def _limits(tx: Tx, overdue: tuple[Agent, ...]) -> dict[int, float]:
    found = ((agent.number, tx.value(LIMIT_OF, (agent.number,))) for agent in overdue)
    return {number: limit for number, limit in found if limit is not None}


def _unknown(
    tx: Tx, troubled: Mapping[str, Breaker], needs: Iterable[Needs]
) -> dict[str, Breaker]:
    """The breakers of what has not been tried yet: these are on trial."""
    keys = {one.executor for one in needs if one.executor is not None}
    others = keys - troubled.keys() - {SHELL_BREAKER}
    if not others:
        return {}
    return {key: Breaker(key=key) for key in others - breakers.find(tx, others).keys()}


def _agents(tx: Tx, sql: str, *params: object) -> list[Agent]:
    return [decode_agent(row) for row in tx.rows(sql, params)]


def _tasks(tx: Tx, sql: str, *params: object) -> list[Task]:
    return [decode_task(row) for row in tx.rows(sql, params)]
