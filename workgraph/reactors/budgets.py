"""Budgets: who may start under them, who is warned, and who is ended.

A start sets something aside of every budget that it is under, so that two that start in
one tick can't both take the last of one: of what is its own task's alone all that is
left, of what it shares with others no more than a share. What runs is judged by what it
has used: from 90 % on it is told, at 100 % it is ended, with all that share the budget.
"""

from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Final

from workgraph.graph.budgets import (
    DAY,
    EXHAUSTED,
    Budget,
    BudgetView,
    Held,
    Reservation,
    Scope,
    Shares,
    Unit,
    Warned,
)
from workgraph.graph.decisions import Decision, StopAgent, WarnAgent
from workgraph.graph.model import Outcome, Parked, Stop, StopThen
from workgraph.graph.times import to_rfc3339

#: From so many percent on an agent is told.
WARN_AT: Final = 90
#: What one start sets aside of a budget that others draw on, too. It is about what a
#: coding agent uses for a small task: less, and siblings start that can't end; more,
#: and they wait for each other though there is enough.
SHARES: Final = Shares(tokens=50_000, usd=0.50)
_SHARE_OF: Final = MappingProxyType({Unit.TOKENS: SHARES.tokens, Unit.USD: SHARES.usd})
SHARED: Final = frozenset({Scope.SUBTREE, Scope.DAY})
#: Where a limit is set that is not the task's own.
_SETTINGS: Final = MappingProxyType(
    {
        (Scope.ATTEMPT, Unit.TOKENS): "budget.tokens_per_attempt",
        (Scope.ATTEMPT, Unit.USD): "budget.usd_per_attempt",
        (Scope.TASK, Unit.TOKENS): "budget.tokens_per_task",
        (Scope.TASK, Unit.USD): "budget.usd_per_task",
        (Scope.DAY, Unit.TOKENS): "budget.tokens_per_day",
        (Scope.DAY, Unit.USD): "budget.usd_per_day",
    }
)
_OPTIONS: Final = MappingProxyType(
    {Unit.TOKENS: "--budget-tokens N", Unit.USD: "--budget-usd X"}
)


def reserve(task: str, budgets: Sequence[Budget], now: int) -> Reservation | Held:
    """What a start of a task sets aside, or what it has to wait for. Pure.

    Args:
        task: The task that is to be started.
        budgets: All that it is under, as they stand without it.
        now: The present moment.
    """
    used_up = [budget for budget in budgets if budget.is_used_up]
    empty = used_up or [budget for budget in budgets if budget.left <= 0]
    if empty:
        return hold(task, empty[0], now)
    tokens = _portion(budgets, Unit.TOKENS)
    return Reservation(
        tokens=None if tokens is None else int(tokens),
        usd=_portion(budgets, Unit.USD),
    )


def hold(task: str, budget: Budget, now: int) -> Held:
    """Keeps a task back until there is more of a budget."""
    until = (now // DAY + 1) * DAY if budget.scope is Scope.DAY else None
    if budget.is_used_up:
        used = _amount(budget.used, budget.unit)
        message = f"{describe(budget, task)} is used up: {used}"
        remedy = _remedy(task, budget)
    else:
        aside = _amount(budget.reserved, budget.unit)
        message = (
            f"what is left of {describe(budget, task)} is set aside for agents that"
            f" run: {aside}"
        )
        remedy = f"wait until one of them has ended, or {_remedy(task, budget)}"
    if until is not None:
        remedy = f"wait: it goes on by itself at {to_rfc3339(until)}; or {remedy}"
    if budget.unknown:
        message += f"; {unknown_cost(budget.unknown)}"
    parked = Parked(
        code=EXHAUSTED, message=message, remedy=remedy, looks=1, budget=budget.key
    )
    return Held(parked=parked, until=until)


def decide(view: BudgetView, now: int) -> tuple[Decision, ...]:
    """Ends the agents whose budget is used up, and warns those that come near it."""
    del now
    decisions: list[Decision] = []
    for agent, keys in sorted(view.under.items()):
        budgets = [view.budgets[key] for key in keys]
        used_up = [budget for budget in budgets if budget.is_used_up]
        if used_up:
            decisions.append(_stop(agent, used_up[0]))
            continue
        near = (budget for budget in budgets if budget.percent >= WARN_AT)
        warnings = tuple(map(warning, sorted(near, key=lambda budget: budget.key)))
        if warnings != view.warned.get(agent, ()):
            decisions.append(WarnAgent(agent=agent, warnings=warnings))
    return tuple(decisions)


def warning(budget: Budget) -> Warned:
    """What an agent is told when a budget is nearly used up."""
    return Warned(
        budget=budget.key,
        percent=budget.percent,
        line=f"{budget.percent} % of the budget of"
        f" {_amount(budget.limit, budget.unit)} is used; finish or say what is left",
    )


def overruns(budgets: Iterable[Budget]) -> tuple[str, ...]:
    """What is to be said of budgets that an attempt has left overdrawn."""
    return tuple(
        f"{describe(budget)} is overdrawn: {_amount(budget.used, budget.unit)} used"
        for budget in budgets
        if budget.used > budget.limit
    )


def unknown_cost(attempts: int) -> str:
    """Says that some attempts have cost something, and nobody knows how much."""
    noun = "attempt" if attempts == 1 else "attempts"
    return f"the cost of {attempts} {noun} is not known"


def describe(budget: Budget, task: str | None = None) -> str:
    """A budget in words: its limit, and whose it is.

    Args:
        budget: The budget.
        task: Who is told of it; null: everybody.
    """
    limit = f"the budget of {_amount(budget.limit, budget.unit)}"
    match budget.scope:
        case Scope.ATTEMPT:
            return f"{limit} of an attempt"
        case Scope.SUBTREE if task not in {None, budget.name}:
            return f"{limit} of {budget.name} and what its agents have added"
        case Scope.TASK | Scope.SUBTREE:
            return f"{limit} of {budget.name}"
        case Scope.DAY:
            return f"{limit} of {budget.name} (UTC)"


def _stop(agent: int, budget: Budget) -> StopAgent:
    used = _amount(budget.used, budget.unit)
    reason = f"{describe(budget)} is used up: {used}"
    stop = Stop(then=StopThen.JUDGE, by="workgraph", reason=reason)
    return StopAgent(agent=agent, stop=stop, verdict=Outcome.BUDGET)


def _portion(budgets: Sequence[Budget], unit: Unit) -> float | None:
    """The least of what each allows; null where none counts this unit."""
    portions = [
        min(budget.left, _SHARE_OF[unit]) if budget.scope in SHARED else budget.left
        for budget in budgets
        if budget.unit is unit
    ]
    return min(portions, default=None)


def _remedy(task: str, budget: Budget) -> str:
    option = _OPTIONS[budget.unit]
    match budget.scope:
        case Scope.SUBTREE:
            return f"wg edit {budget.name} {option}"
        case Scope.TASK:
            setting = _SETTINGS[budget.scope, budget.unit]
            return f"wg edit {task} {option}, or wg config set {setting} N"
        case Scope.ATTEMPT:
            setting = _SETTINGS[budget.scope, budget.unit]
            return f"wg config set {setting} N, or wg retry {task}"
        case Scope.DAY:
            return f"wg config set {_SETTINGS[budget.scope, budget.unit]} N"


def _amount(amount: float, unit: Unit) -> str:
    if unit is Unit.TOKENS:
        return f"{amount:,.0f} tokens"
    # Cents, and more digits only where there are some.
    text = f"{amount:,.4f}".rstrip("0")
    whole, _, digits = text.partition(".")
    return f"{whole}.{digits:0<2} USD"
