"""What work has cost: `wg spend`, and what is said of budgets where it is asked."""

from collections.abc import Iterable
from typing import Final

from workgraph.commands.context import Context, budget_limits
from workgraph.graph import requests as r
from workgraph.graph.budgets import date_of, day_named, day_of, is_cost_unknown
from workgraph.graph.errors import UsageError
from workgraph.graph.model import Agent
from workgraph.graph.replies import Reply, SpendData, SpendRow
from workgraph.graph.times import SECOND, Duration, parse_moment, to_rfc3339
from workgraph.reactors.budgets import SHARES, describe
from workgraph.store import budgets, reads, spending
from workgraph.store.spending import Spent

#: What adding up fractions of cents leaves behind is cut off.
_DIGITS: Final = 6
_MINUTE: Final = 60 * SECOND


def spend(context: Context, request: r.GetSpend) -> Reply:
    """What was used, by what is asked for: the dearest first, of days the newest."""
    if request.task is not None:
        reads.task(context.tx, request.task)
    since = _first_day(request.since, context.tx.now)
    found = tuple(spending.spent(context.tx, since, request.task))
    groups: dict[str | None, list[Spent]] = {}
    for one in found:
        groups.setdefault(_key(one, request.by), []).append(one)
    rows = [_row(key, ones) for key, ones in groups.items()]
    if request.by == "day":
        rows.sort(key=lambda row: row.key or "", reverse=True)
    else:
        rows.sort(key=_dearest)
    return Reply(data=SpendData(total=_row(None, found), rows=tuple(rows)))


def notes_on(context: Context, agent: Agent) -> tuple[str, ...]:
    """How the budgets stand that an attempt is under, and what of it is not known."""
    limits = budget_limits(context.settings)
    under = budgets.of_agent(context.tx, agent, limits, SHARES)
    notes = [f"{budget.percent} % of {describe(budget)} is used" for budget in under]
    if is_cost_unknown(agent):
        notes.append("its cost is not known so far")
    return tuple(notes)


def notes_on_client(context: Context, agent: Agent) -> tuple[str, ...]:
    """What an attempt's client is in trouble with, and how fast it uses tokens."""
    notes = []
    until = ""
    if agent.client_until is not None:
        until = f"; it is ended at {to_rfc3339(agent.client_until)}"
    if agent.client_end is not None:
        notes.append(f"its client has said its last word{until}")
    elif agent.trouble is not None:
        told = f"its client tries again by itself: {agent.trouble.message}"
        notes.append(f"{told}{until}")
    minutes = (context.tx.now - agent.started_at) / _MINUTE
    used = (agent.usage.input_tokens or 0) + (agent.usage.output_tokens or 0)
    if minutes >= 1 and used:
        notes.append(f"{used / minutes:.0f} tokens a minute")
    return tuple(notes)


def _first_day(since: str | None, now: int) -> int:
    if since is None:
        return 0
    text = since.strip()
    try:
        return day_named(text)
    except ValueError:
        pass
    try:
        ago = Duration.parse(text)
    except UsageError:
        return day_of(parse_moment(text, now))
    return day_of(now - ago.micros)


def _key(one: Spent, by: r.SpendKey) -> str | None:
    match by:
        case "task":
            return one.task
        case "actor":
            return one.actor
        case "model":
            return one.model
        case "day":
            return date_of(one.day)


def _row(key: str | None, found: Iterable[Spent]) -> SpendRow:
    found = tuple(found)
    agents = {one.agent for one in found}
    unknown = {one.agent for one in found if one.is_cost_unknown}
    cost = round(sum(one.cost_usd for one in found), _DIGITS)
    return SpendRow(
        key=key,
        agents=len(agents),
        input_tokens=sum(one.input_tokens for one in found),
        cached_tokens=sum(one.cached_tokens for one in found),
        output_tokens=sum(one.output_tokens for one in found),
        cost_usd=None if agents and agents == unknown else cost,
        unknown_cost=len(unknown),
    )


def _dearest(row: SpendRow) -> tuple[float, int, str]:
    return (
        -(row.cost_usd or 0),
        -(row.input_tokens + row.output_tokens),
        row.key or "",
    )
