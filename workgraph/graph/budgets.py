"""What work may cost: the limits that an attempt is under, and how far they are used.

Tokens are those that went in and came out, without those from a provider's cache. What
is not known counts as nothing, and is told where it is asked.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from msgspec import field

from workgraph.graph.model import Agent, Parked, Record, Usage
from workgraph.graph.times import SECOND

#: Why a task is held, in `wg why`.
EXHAUSTED: Final = "budget_exhausted"
DAY: Final = 86_400 * SECOND
#: What is less than this of a dollar is what adding up has left.
_DIGITS: Final = 6


class Scope(StrEnum):
    """Whose use a limit is for."""

    #: One attempt.
    ATTEMPT = "attempt"
    #: All attempts at one task.
    TASK = "task"
    #: A task and all that its agents have added, and theirs.
    SUBTREE = "subtree"
    #: Everything on one day, UTC.
    DAY = "day"


class Unit(StrEnum):
    """What is counted."""

    TOKENS = "tokens"
    USD = "USD"


class Limits(Record, frozen=True, kw_only=True):
    """What the settings say; 0 is no limit."""

    tokens_per_attempt: int = 0
    usd_per_attempt: float = 0.0
    tokens_per_task: int = 0
    usd_per_task: float = 0.0
    tokens_per_day: int = 0
    usd_per_day: float = 0.0


class Budget(Record, frozen=True, kw_only=True):
    """A limit, and how far it is used up."""

    scope: Scope
    #: The agent's, the task's or the root's id; the date of a day.
    name: str
    unit: Unit
    limit: float
    used: float = 0.0
    #: What agents that run have set aside and not used yet.
    reserved: float = 0.0
    #: Attempts that have cost something, nobody knows how much.
    unknown: int = 0

    @property
    def key(self) -> str:
        """Which budget it is, among all."""
        return budget_key(self.scope, self.name, self.unit)

    @property
    def left(self) -> float:
        """What may still be set aside; nothing, or less, when it is exhausted."""
        return round(self.limit - self.used - self.reserved, _DIGITS)

    @property
    def is_used_up(self) -> bool:
        """Whether it is, by what was used alone."""
        return round(self.used, _DIGITS) >= self.limit

    @property
    def percent(self) -> int:
        """How much of it is used, in whole percent, rounded down."""
        if not self.limit:
            return 100
        return int(round(self.used, _DIGITS) * 100 / self.limit)


class Shares(Record, frozen=True, kw_only=True):
    """How much one start may set aside of what it shares with others."""

    tokens: float
    usd: float


class Reservation(Record, frozen=True, kw_only=True):
    """What a start sets aside; null where no limit of that unit holds."""

    tokens: int | None = None
    usd: float | None = None


class Held(Record, frozen=True, kw_only=True):
    """A start that has to wait for more of a budget."""

    parked: Parked
    #: When time alone makes a difference; null: never.
    until: int | None


class Warned(Record, frozen=True, kw_only=True):
    """What an agent is told about a budget that is nearly used up."""

    budget: str
    percent: int
    line: str


class BudgetView(Record, frozen=True, kw_only=True):
    """The agents that run and have used something, and the budgets they are under."""

    budgets: Mapping[str, Budget] = field(default_factory=dict)
    #: The keys of an agent's budgets, by its number.
    under: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    #: What an agent has been told already.
    warned: Mapping[int, tuple[Warned, ...]] = field(default_factory=dict)


def budget_key(scope: Scope, name: str, unit: str) -> str:
    """Which budget is meant, in one word."""
    return f"{scope}:{name}:{unit}"


def tokens_of(usage: Usage) -> int:
    """The tokens that count for budgets."""
    return (usage.input_tokens or 0) + (usage.output_tokens or 0)


def used_by(agent: Agent, unit: Unit) -> float:
    """What an attempt has used, as far as it is known."""
    if unit is Unit.TOKENS:
        return tokens_of(agent.usage)
    return agent.usage.cost_usd or 0.0


def is_cost_unknown(agent: Agent) -> bool:
    """Whether an attempt has cost something, and nobody knows how much."""
    usage = agent.usage
    asked = agent.answered or usage.input_tokens is not None
    return asked and usage.cost_usd is None


def day_of(moment: int) -> int:
    """The day of a moment, counted from 1970, UTC."""
    return moment // DAY


def date_of(day: int) -> str:
    """A day as people write it: `2026-05-01`."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).date().isoformat()


def day_named(date: str) -> int:
    """The day that `date_of` wrote.

    Raises:
        ValueError: It is no date.
    """
    moment = datetime.strptime(date, "%Y-%m-%d").replace(tzinfo=UTC)
    return int(moment.timestamp()) // 86_400
