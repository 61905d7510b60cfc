"""Budgets: which a task is under, how far they are used, and who waits for more."""

from collections.abc import Iterator, Mapping
from typing import Final

from workgraph.graph.budgets import (
    Budget,
    BudgetView,
    Limits,
    Scope,
    Shares,
    Unit,
    Warned,
    budget_key,
    date_of,
    day_of,
    used_by,
)
from workgraph.graph.changes import ChangeKind
from workgraph.graph.model import Agent, Outcome, Task, parse_agent_id
from workgraph.store import agent_reads, reads, service
from workgraph.store.database import Row, Tx
from workgraph.store.rows import AGENT_COLUMNS, decode_agent

#: Tokens and dollars of an attempt, as far as they are known.
_TOKENS: Final = """
    coalesce(json_extract(a.usage, '$.input_tokens'), 0)
    + coalesce(json_extract(a.usage, '$.output_tokens'), 0)
"""
_USD: Final = "coalesce(json_extract(a.usage, '$.cost_usd'), 0)"
#: It has cost something, and nobody knows how much.
UNKNOWN: Final = """
    json_extract(a.usage, '$.cost_usd') is null
    and (a.answered = 1 or json_extract(a.usage, '$.input_tokens') is not null)
"""
#: What is set aside and not used. One start may have set aside more than a share of
#: what it has alone; of what is shared no more than a share counts.
_ASIDE: Final = f"""
    coalesce(sum(iif(a.status <> 'ended' and a.reserved_tokens is not null,
        min(max(a.reserved_tokens - ({_TOKENS}), 0), :tokens), 0)), 0),
    coalesce(sum(iif(a.status <> 'ended' and a.reserved_usd is not null,
        min(max(a.reserved_usd - {_USD}, 0), :usd), 0)), 0)
"""
_SUMS: Final = f"""
    coalesce(sum({_TOKENS}), 0), coalesce(sum({_USD}), 0),
    coalesce(sum({UNKNOWN}), 0), {_ASIDE}
"""
OF_TASK: Final = f"""
select {_SUMS} from agents a where a.task = :id and a.human = 0
"""  # noqa: S608 - constants
BELOW: Final = """
with recursive below (id) as (
    select :id
    union
    select t.id
    from below b
    join agents a on a.task = b.id
    join tasks t on t.added_by = 'agent-' || a.number
)
"""
OF_SUBTREE: Final = f"""
{BELOW}
select {_SUMS} from below b join agents a on a.task = b.id where a.human = 0
"""  # noqa: S608 - constants
TASK_OF: Final = "select task from agents where number = ?"
SPENT_ON: Final = f"""
select coalesce(sum(s.input_tokens + s.output_tokens), 0),
       coalesce(sum(s.cost_usd), 0), coalesce(sum({UNKNOWN}), 0)
from spend s join agents a on a.number = s.agent
where s.day = ?
"""  # noqa: S608 - constants
SET_ASIDE: Final = f"""
select {_ASIDE} from agents a indexed by agents_live
where a.status <> 'ended' and a.human = 0
"""  # noqa: S608 - constants
#: Who runs, has used something, and has neither said nor been told to end. A client
#: that is kept open says that a turn has ended.
SPENDING: Final = f"""
select {AGENT_COLUMNS} from agents a indexed by agents_live
where a.status in ('starting', 'working') and a.status <> 'ended' and a.human = 0
  and a.usage <> '{{}}' and a.verdict is null
  and (a.client_end is null or json_extract(a.plan, '$.stdin.value') = 'pipe')
order by a.number
"""  # noqa: S608 - constants
#: Some of them at a time, the best ones; all of them when nobody else is to end.
WAKE: Final = """
update tasks set parked_until = :now
where seq in (
    select seq from tasks indexed by tasks_budget
    where json_extract(parked, '$.budget') = :budget
      and status = 'open' and paused = 0 and unmet = 0
    order by priority, chain desc, seq
    limit :most
)
"""
WARNINGS: Final = """
select budget, percent, line from budget_warnings where agent = ? order by budget
"""
#: The one that is nearest to its end. A day that is over warns nobody.
GRAVEST: Final = """
select line from budget_warnings
where agent = :agent and (budget not like 'day:%' or budget like :today)
order by percent desc, budget limit 1
"""
PUT_WARNING: Final = """
insert or replace into budget_warnings (agent, budget, percent, line)
values (?, ?, ?, ?)
"""
DROP_WARNING: Final = "delete from budget_warnings where agent = ? and budget = ?"

#: Tasks that are looked at again when one of several agents has ended.
_FEW: Final = 20
_ALL: Final = -1
_NO_SHARE: Final = 2.0**53


def of_start(tx: Tx, task: Task, limits: Limits, shares: Shares) -> tuple[Budget, ...]:
    """What a start of a task would be under, without anything of that start.

    A limit of each attempt is used up where the last one has come to its end by it:
    to start the same anew would come to the same.
    """
    last = None
    if task.failure is not None and task.failure.class_ == Outcome.BUDGET:
        last = task.last_agent if task.starts else None
    agent = None if last is None else agent_reads.by_id(tx, last)
    return tuple(_of_attempt(task, agent, limits, fresh=True)) + tuple(
        _of_others(tx, task, limits, shares)
    )


def of_agent(
    tx: Tx, agent: Agent, limits: Limits, shares: Shares
) -> tuple[Budget, ...]:
    """What an attempt is under, narrowest first."""
    task = reads.task(tx, agent.task)
    return tuple(_of_attempt(task, agent, limits, fresh=False)) + tuple(
        _of_others(tx, task, limits, shares)
    )


def view(tx: Tx, limits: Limits, shares: Shares) -> BudgetView:
    """The agents that run and have used something, and what they are under."""
    found = [decode_agent(row) for row in tx.rows(SPENDING)]
    if not found or service.frozen_since(tx) is not None:
        return BudgetView()
    budgets: dict[str, Budget] = {}
    under: dict[int, tuple[str, ...]] = {}
    warned: dict[int, tuple[Warned, ...]] = {}
    for agent in found:
        own = of_agent(tx, agent, limits, shares)
        told = warnings(tx, agent.number)
        if not own and not told:
            continue
        budgets |= {budget.key: budget for budget in own}
        under[agent.number] = tuple(budget.key for budget in own)
        warned[agent.number] = told
    return BudgetView(budgets=budgets, under=under, warned=warned)


def wake_after(tx: Tx, agent: Agent, limits: Limits, shares: Shares) -> None:
    """An agent has ended: what it had set aside may be enough for others."""
    if agent.reserved_tokens is None and agent.reserved_usd is None:
        return
    for budget in of_agent(tx, agent, limits, shares):
        if budget.scope in {Scope.SUBTREE, Scope.DAY}:
            most = _FEW if budget.reserved else _ALL
            tx.run(WAKE, {"now": tx.now, "budget": budget.key, "most": most})


def wake_below(tx: Tx, task: str) -> None:
    """The budget of a task has changed: whoever waits for more of it is looked at."""
    for unit in Unit:
        key = budget_key(Scope.SUBTREE, task, unit)
        tx.run(WAKE, {"now": tx.now, "budget": key, "most": _ALL})


def warnings(tx: Tx, agent: int) -> tuple[Warned, ...]:
    """What an agent has been told."""
    return tuple(
        Warned(budget=budget, percent=percent, line=line)
        for budget, percent, line in tx.rows(WARNINGS, (agent,))
    )


def gravest_warning(tx: Tx, agent: int) -> str | None:
    """What an agent is told with each of its calls; null: nothing."""
    today = budget_key(Scope.DAY, date_of(day_of(tx.now)), "%")
    line: str | None = tx.value(GRAVEST, {"agent": agent, "today": today})
    return line


def warn(tx: Tx, agent: Agent, new: tuple[Warned, ...]) -> None:
    """Keeps what an agent is told; the change log says it once for each budget."""
    before = {warned.budget for warned in warnings(tx, agent.number)}
    for budget in before - {warned.budget for warned in new}:
        tx.run(DROP_WARNING, (agent.number, budget))
    for warned in new:
        params = (agent.number, warned.budget, warned.percent, warned.line)
        tx.run(PUT_WARNING, params)
        if warned.budget not in before:
            tx.emit(
                ChangeKind.BUDGET_WARNED,
                task=agent.task,
                agent=agent.id,
                attempt=agent.attempt,
                actor=agent.actor,
                to=warned.budget,
                reason=warned.line,
            )


def note_overrun(tx: Tx, agent: Agent, words: str) -> None:
    """Says in the log that an attempt that has ended has used too much."""
    tx.emit(
        ChangeKind.BUDGET_OVERDRAWN,
        task=agent.task,
        agent=agent.id,
        attempt=agent.attempt,
        actor=agent.actor,
        reason=words,
    )


def _of_attempt(
    task: Task, agent: Agent | None, limits: Limits, *, fresh: bool
) -> Iterator[Budget]:
    name = task.id if agent is None else agent.id
    for unit, limit in (
        (Unit.TOKENS, limits.tokens_per_attempt),
        (Unit.USD, limits.usd_per_attempt),
    ):
        if not limit:
            continue
        used = 0.0 if agent is None else used_by(agent, unit)
        if fresh and used < limit:
            used = 0.0
        yield Budget(scope=Scope.ATTEMPT, name=name, unit=unit, limit=limit, used=used)


def _of_others(tx: Tx, task: Task, limits: Limits, shares: Shares) -> Iterator[Budget]:
    """Those of the task, of all above it that have one, and of the day."""
    own = _own(task)
    others = {
        Unit.TOKENS: limits.tokens_per_task,
        Unit.USD: limits.usd_per_task,
    }
    there = {u: limit for u, limit in others.items() if limit and u not in own}
    if there:
        alone = {"id": task.id, "tokens": _NO_SHARE, "usd": _NO_SHARE}
        yield from _budgets(Scope.TASK, task.id, there, tx.one(OF_TASK, alone))
    for above in _upwards(tx, task):
        there = _own(above)
        if there:
            shared = {"id": above.id, "tokens": shares.tokens, "usd": shares.usd}
            sums = tx.one(OF_SUBTREE, shared)
            yield from _budgets(Scope.SUBTREE, above.id, there, sums)
    days = {Unit.TOKENS: limits.tokens_per_day, Unit.USD: limits.usd_per_day}
    there = {unit: limit for unit, limit in days.items() if limit}
    if there:
        day = day_of(tx.now)
        spent = tx.one(SPENT_ON, (day,)) or ()
        aside = {"tokens": shares.tokens, "usd": shares.usd}
        sums = (*spent, *(tx.one(SET_ASIDE, aside) or ()))
        yield from _budgets(Scope.DAY, date_of(day), there, sums)


def _own(task: Task) -> dict[Unit, float]:
    """The limits that a task itself was given."""
    given = {Unit.TOKENS: task.spec.budget_tokens, Unit.USD: task.spec.budget_usd}
    return {unit: limit for unit, limit in given.items() if limit is not None}


def _upwards(tx: Tx, task: Task) -> Iterator[Task]:
    """A task, the one whose agent has added it, and so on, each once."""
    seen = set[str]()
    above: Task | None = task
    while above is not None and above.id not in seen:
        seen.add(above.id)
        yield above
        number = parse_agent_id(above.added_by) if above.added_by else None
        parent = None if number is None else tx.value(TASK_OF, (number,))
        above = None if parent is None else reads.task(tx, parent)


def _budgets(
    scope: Scope, name: str, limits: Mapping[Unit, float], sums: Row | None
) -> Iterator[Budget]:
    assert sums is not None
    tokens, usd, unknown, tokens_aside, usd_aside = sums
    if Unit.TOKENS in limits:
        yield Budget(
            scope=scope,
            name=name,
            unit=Unit.TOKENS,
            limit=limits[Unit.TOKENS],
            used=tokens,
            reserved=tokens_aside,
        )
    if Unit.USD in limits:
        yield Budget(
            scope=scope,
            name=name,
            unit=Unit.USD,
            limit=limits[Unit.USD],
            used=usd,
            reserved=usd_aside,
            unknown=unknown,
        )
