"""Accounts: what the ends of agents say about a provider, and who may be sent there.

An account belongs to those who pay or log in, such as `claude`. Nobody is sent to one

- that is limited, until the moment that the provider has named, or else for a minute,
  doubling to a quarter of an hour;
- that is broken, because somebody has to log in: it is tried after 5 minutes, doubling
  to half an hour, or as soon as an operator says so.

When the moment has come one agent is sent, the probe, and nobody else while it lives.
Its first answer, or a good end, is the proof: then two may run there at a time, and
with each further agent that is answered twice as many, until it is any number.

Agents that were started before the limit, up to `since_agent`, say nothing about it
but that it lasts longer. An agent that ends without having been answered, for reasons
of its own, says nothing either: the next one is the probe.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from workgraph.graph.decisions import ConcludeAttempt, SetAccount
from workgraph.graph.holds import (
    Account,
    AccountState,
    account_key,
    allowance,
    is_troubled,
)
from workgraph.graph.model import (
    Agent,
    ClientEnd,
    EndKind,
    Outcome,
    Parked,
    StopThen,
    Task,
    parse_agent_id,
)
from workgraph.graph.times import SECOND, jittered, to_rfc3339
from workgraph.graph.views import PatrolView

#: Of a limited account, and of a broken one: the first gap and the longest.
_LIMITED_GAPS: Final = (60 * SECOND, 900 * SECOND)
_BROKEN_GAPS: Final = (300 * SECOND, 1800 * SECOND)
_MAX_DOUBLINGS: Final = 10
#: A provider's clock may be behind.
_SLACK: Final = 2 * SECOND
#: Nobody's limit is longer than a week; what is named may be nonsense.
_LONGEST: Final = 8 * 86_400 * SECOND
#: As many at a time as there have to be answers to, and then any number.
_MOST_AT_ONCE: Final = 16

_WORK: Final = frozenset(
    {Outcome.DONE, Outcome.SUBMITTED, Outcome.GATE, Outcome.WAITING}
)
_LIMITS: Final = frozenset({EndKind.LIMITED, EndKind.OVERLOADED, EndKind.NETWORK})


def judge(
    view: PatrolView, ends: Sequence[ConcludeAttempt], now: int
) -> list[SetAccount]:
    """What answers and then ends, those of the view in its order, have changed."""
    found = {
        key: after_answers(account, view.answers.get(key, 0), now)
        for key, account in view.accounts.items()
    }
    for ended, end in zip(view.ended, ends, strict=True):
        key = ended.agent.account
        if key is not None:
            before = found.get(key, Account(key=key))
            found[key] = after_end(
                before, ended.agent, end.outcome, now, view.newest_agent
            )
    return [
        SetAccount(account=account)
        for key, account in found.items()
        if account != view.accounts.get(key, Account(key=key))
    ]


def end_of(agent: Agent, outcome: Outcome) -> ClientEnd | None:
    """What an agent's client has ended with, as far as that is not our doing."""
    if agent.stop is not None and agent.stop.then is not StopThen.JUDGE:
        return None
    if agent.client_end is not None:
        return agent.client_end
    if outcome is not Outcome.RATE_LIMITED:
        return None
    said = agent.reason or f"{agent.id} was not answered"
    return agent.trouble or ClientEnd(kind=EndKind.OVERLOADED, message=said)


def after_end(
    account: Account, agent: Agent, outcome: Outcome, now: int, newest: int
) -> Account:
    """What is known of an account after one more end; pure.

    Args:
        account: What was known before.
        agent: The agent that has ended.
        outcome: What its end was.
        now: The moment of the tick.
        newest: The last agent that there is: later ones are started knowing of this.
    """
    end = end_of(agent, outcome)
    is_older = agent.number <= account.since_agent
    if end is not None and end.kind is EndKind.AUTH:
        # What was started before has the login of before.
        return account if is_older else _broken(account, end, now, newest)
    is_older = is_older and is_troubled(account)
    if end is not None and end.kind in _LIMITS:
        named = _named_reset(agent, end, now)
        if is_older:
            return _lengthened(account, end, named, now, newest)
        return _limited(account, end, named, now, newest)
    if is_older or not (agent.answered or outcome in _WORK):
        return account
    if account.state is AccountState.UNKNOWN:
        return Account(key=account.key, state=AccountState.OK, since=now)
    if outcome not in _WORK:
        return account
    # What was answered has been counted when that was heard.
    more = account if agent.answered else _come_back(account, _doubled(account), now)
    return more if more.state is not AccountState.OK else replace(more, looks=0)


def after_answers(account: Account, answers: int, now: int) -> Account:
    """What is known when so many that were started since have been answered; pure."""
    if not answers or not is_troubled(account):
        return account
    at_once = 1 << min(answers, _MAX_DOUBLINGS)
    if at_once <= (account.at_once or 1):
        return account
    return _come_back(account, at_once, now)


class Admission:
    """Who may be started in one tick, as far as accounts are concerned.

    Args:
        accounts: Those that hold something back, by key.
        live: How many run on each that were started since its limit.
        now: The moment of the tick.
    """

    def __init__(
        self, accounts: Mapping[str, Account], live: Mapping[str, int], now: int
    ) -> None:
        self._accounts = accounts
        self._now = now
        self._left = {
            key: allowance(account, live.get(key, 0), now)
            for key, account in accounts.items()
        }
        self._probes: dict[str, str] = {}

    def choose_probes(self, candidates: Iterable[tuple[Task, str | None]]) -> None:
        """Has another task tried each time, should one be what the provider refuses.

        What is not held yet goes first: an operator may just have named it.

        Args:
            candidates: Tasks that could be started and their accounts, the best first.
        """
        least: dict[str, tuple[bool, int]] = {}
        for task, key in candidates:
            account = None if key is None else self._accounts.get(key)
            if account is None or account.at_once is not None:
                continue
            rank = (task.parked is not None, _last_vain(task))
            if account.key not in least or rank < least[account.key]:
                least[account.key] = rank
                self._probes[account.key] = task.id

    def admits(self, task: Task, key: str | None) -> bool:
        """Whether a task of this account may be started."""
        if key is None or key not in self._accounts:
            return True
        left = self._left[key]
        return left is None or (left > 0 and self._probes.get(key, task.id) == task.id)

    def take(self, key: str | None) -> None:
        """Counts a start."""
        if key is not None and (left := self._left.get(key)) is not None:
            self._left[key] = left - 1

    def hold(self, key: str) -> Parked:
        """What keeps a task back until it may be sent there."""
        return _held(self._accounts[key], self._now)


def _broken(account: Account, end: ClientEnd, now: int, newest: int) -> Account:
    again = account.state is AccountState.BROKEN
    looks = account.looks if again else 0
    return Account(
        key=account.key,
        state=AccountState.BROKEN,
        until=now + _gap(account.key, looks, _BROKEN_GAPS),
        reason=end.message,
        since=account.since if again else now,
        looks=looks + 1,
        since_agent=newest,
    )


def _limited(
    account: Account, end: ClientEnd, named: int | None, now: int, newest: int
) -> Account:
    again = account.state is AccountState.LIMITED
    looks = 0 if account.state is AccountState.BROKEN else account.looks
    if named is None:
        until = now + _gap(account.key, looks, _LIMITED_GAPS)
    elif looks:
        # What was named before was too short, so it is not relied upon alone.
        until = max(named, now + _gap(account.key, looks - 1, _LIMITED_GAPS))
    else:
        until = named
    return Account(
        key=account.key,
        state=AccountState.LIMITED,
        until=until,
        reason=end.message,
        since=account.since if again else now,
        looks=looks + 1,
        since_agent=newest,
    )


def _lengthened(
    account: Account, end: ClientEnd, named: int | None, now: int, newest: int
) -> Account:
    """An agent from before the limit has met it, or the next one."""
    if named is None or account.state is AccountState.BROKEN:
        return account
    if account.state is AccountState.LIMITED:
        if named <= (account.until or 0):
            return account
        return replace(account, until=named, reason=end.message)
    return _limited(account, end, named, now, newest)


def _come_back(account: Account, at_once: int, now: int) -> Account:
    """It answers: ever more are sent there."""
    if not is_troubled(account):
        return account
    was_ok = account.state is AccountState.OK
    since = account.since if was_ok else now
    if at_once > _MOST_AT_ONCE:
        return Account(
            key=account.key,
            state=AccountState.OK,
            since=since,
            since_agent=account.since_agent,
        )
    return replace(
        account,
        state=AccountState.OK,
        until=None,
        reason=None,
        since=since,
        at_once=at_once,
    )


def _doubled(account: Account) -> int:
    return 2 * (account.at_once or 1)


def _named_reset(agent: Agent, end: ClientEnd, now: int) -> int | None:
    """The moment that the provider has named, if that lies ahead."""
    if end.retry_at is not None:
        named = end.retry_at
    elif end.retry_after_s is not None:
        after_s = min(end.retry_after_s, _LONGEST / SECOND)
        named = (agent.ended_at or now) + round(after_s * SECOND)
    else:
        return None
    until = min((named + _SLACK) // 1000 * 1000, now + _LONGEST)
    return until if until > now else None


def _gap(key: str, looks: int, gaps: tuple[int, int]) -> int:
    first, longest = gaps
    gap = min(first << min(looks, _MAX_DOUBLINGS), longest)
    return jittered(gap, f"{key}/{looks + 1}")


def _last_vain(task: Task) -> int:
    """The agent that the provider has refused last; 0 is none."""
    failure = task.failure
    if failure is None or failure.class_ != Outcome.RATE_LIMITED:
        return 0
    return parse_agent_id(task.last_agent or "") or 0


def _held(account: Account, now: int) -> Parked:
    """What the row says; `readiness` puts in how the account stands when asked."""
    coming_back = account.at_once is not None
    until = account.until or 0
    then = f" until {to_rfc3339(until)}" if until > now else ""
    return Parked(
        code="provider_limited",
        message=f"account {account.key} is coming back"
        if coming_back
        else f"account {account.key} is {account.state}{then}: {account.reason}",
        remedy="wg service status",
        # It comes back within minutes: nothing that the change log has to tell.
        looks=0 if coming_back else 1,
        key=account_key(account.key),
    )
