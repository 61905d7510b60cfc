"""What can hold many tasks back at once: a broken executor, a limited account."""

from enum import StrEnum
from typing import Final

from workgraph.graph.model import Record

#: A shell is not put on trial: there is nothing about it to be found out.
SHELL_BREAKER: Final = "executor:shell"
_ACCOUNT: Final = "account:"


class Breaker(Record, frozen=True, kw_only=True):
    """What is known of something that many tasks need, such as `executor:claude`.

    It is closed when `proven`; on trial until then; open when `opened_at` is set.
    """

    key: str
    #: Its last end was a good one.
    proven: bool = False
    #: The tasks whose starts have failed since, each once.
    failed: tuple[str, ...] = ()
    #: What the last of them said.
    reason: str | None = None
    opened_at: int | None = None
    #: How often in a row it was opened; the gap doubles with it.
    looks: int = 0
    #: When something may be started again.
    until: int | None = None
    #: Agents up to this one say nothing about an open one: they are from before.
    since_agent: int = 0


class AccountState(StrEnum):
    """What is known of an account with a provider."""

    #: Nobody has been answered yet.
    UNKNOWN = "unknown"
    OK = "ok"
    #: A limit holds until a moment.
    LIMITED = "limited"
    #: It is refused: somebody has to do something.
    BROKEN = "broken"


class Account(Record, frozen=True, kw_only=True):
    """An account with a provider of models: who is limited is not sent there.

    `key` is what plans name it, such as `claude` or `native:local`.
    """

    key: str
    state: AccountState = AccountState.UNKNOWN
    #: When one agent may try it again; null while nothing is known against it.
    until: int | None = None
    #: What the provider said, and since when it is so.
    reason: str | None = None
    since: int | None = None
    #: How often in a row a try was in vain; the gap doubles with it.
    looks: int = 0
    #: How many agents may run on it while it comes back; null: any number.
    at_once: int | None = None
    #: Agents up to this one were started before the limit: they say nothing new.
    since_agent: int = 0


def breaker_key(executor: str) -> str:
    """The key of an executor's breaker."""
    return f"executor:{executor}"


def account_key(account: str) -> str:
    """The key by which an account holds tasks."""
    return f"{_ACCOUNT}{account}"


def account_in(key: str) -> str | None:
    """The account that such a key names; null for the keys of others."""
    return key.removeprefix(_ACCOUNT) if key.startswith(_ACCOUNT) else None


def is_troubled(account: Account) -> bool:
    """Whether it holds anything back."""
    return account.at_once is not None or account.state in {
        AccountState.LIMITED,
        AccountState.BROKEN,
    }


def allowance(account: Account, live: int, now: int) -> int | None:
    """How many more may be sent there just now; null is any number.

    Args:
        account: How it stands.
        live: How many run on it that were started since the limit.
        now: The moment of the tick.
    """
    if not is_troubled(account):
        return None
    if account.at_once is not None:
        return max(account.at_once - live, 0)
    return max(1 - live, 0) if (account.until or 0) <= now else 0
