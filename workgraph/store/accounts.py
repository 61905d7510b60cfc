"""Accounts with providers: how they stand, and who was answered there since."""

from collections.abc import Iterable
from typing import Final

from workgraph.graph.changes import ChangeKind
from workgraph.graph.holds import (
    Account,
    AccountState,
    account_in,
    account_key,
    is_troubled,
)
from workgraph.graph.times import to_rfc3339
from workgraph.store import agent_reads, holds
from workgraph.store.database import Row, Tx

COLUMNS: Final = """
    key, state, until, reason, since, looks, at_once, since_agent
"""
EVERY: Final = f"select {COLUMNS} from accounts order by key"  # noqa: S608 - constants
BY_KEY: Final = f"select {COLUMNS} from accounts where key = ?"  # noqa: S608
PUT: Final = f"""
insert or replace into accounts ({COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?)
"""  # noqa: S608 - constants
#: Those that work for an account as of now and were started since its limit.
LIVE: Final = """
select count(*) from agents indexed by agents_live
where status <> 'ended' and human = 0 and account = ? and number > ?
"""
#: What ended well without a word of its stream has been answered, too.
ANSWERED: Final = """
select count(*) from agents indexed by agents_account
where account = ? and number > ?
  and (answered = 1 or (
        status = 'ended' and outcome in ('done', 'submitted', 'gate', 'waiting')))
"""
TRY_NOW: Final = """
update accounts
set until = min(until, :now), looks = iif(:newest is null, looks, 0),
    since_agent = coalesce(:newest, since_agent)
where key = :key
"""


def every(tx: Tx) -> list[Account]:
    """All that anything is known of; there are as many as people have logins."""
    return [_decode(row) for row in tx.rows(EVERY)]


def troubled(tx: Tx) -> dict[str, Account]:
    """Those that hold anything back, by key."""
    return {one.key: one for one in every(tx) if is_troubled(one)}


def find(tx: Tx, keys: Iterable[str]) -> dict[str, Account]:
    """Those of these keys that there are."""
    rows = (tx.one(BY_KEY, (key,)) for key in keys)
    return {row[0]: _decode(row) for row in rows if row is not None}


def put(tx: Tx, account: Account) -> None:
    """Keeps what is known; one that is well lets go what it has kept back."""
    before = find(tx, (account.key,)).get(account.key, Account(key=account.key))
    tx.run(
        PUT,
        (
            account.key,
            account.state,
            account.until,
            account.reason,
            account.since,
            account.looks,
            account.at_once,
            account.since_agent,
        ),
    )
    if is_troubled(before) and not is_troubled(account):
        holds.release(tx, account_key(account.key))
    if account.state is not before.state or account.looks > before.looks:
        _tell(tx, before, account)


def live(tx: Tx, account: Account) -> int:
    """How many run on it that were started since its limit."""
    return int(tx.value(LIVE, (account.key, account.since_agent)))


def answers(tx: Tx, account: Account) -> int:
    """How many of those started since its limit have been answered."""
    return int(tx.value(ANSWERED, (account.key, account.since_agent)))


def try_now(tx: Tx, keys: Iterable[str]) -> None:
    """An operator says that these may be tried at once: accounts among `keys`.

    What runs now was started before whatever has been mended.
    """
    for key in keys:
        if (account := account_in(key)) is not None:
            newest = agent_reads.newest(tx)
            tx.run(TRY_NOW, {"key": account, "now": tx.now, "newest": newest})


def try_all_now(tx: Tx) -> None:
    """As `try_now`, for all; tasks may belong to other accounts from now on."""
    keys = [account_key(key) for key in troubled(tx)]
    try_now(tx, keys)
    for key in keys:
        holds.release(tx, key)


def note_answer(tx: Tx, key: str) -> None:
    """A run that is no agent's was answered: what is held back may be tried at once."""
    if key in troubled(tx):
        try_now(tx, [account_key(key)])
        holds.release(tx, account_key(key))


def try_broken_now(tx: Tx) -> None:
    """A daemon that starts may have been given another environment."""
    for key, account in troubled(tx).items():
        if account.state is AccountState.BROKEN:
            tx.run(TRY_NOW, {"key": key, "now": tx.now, "newest": None})


def _tell(tx: Tx, before: Account, account: Account) -> None:
    until = f"until {to_rfc3339(account.until)}: " if account.until else ""
    match account.state:
        case AccountState.LIMITED:
            kind = ChangeKind.ACCOUNT_LIMITED
        case AccountState.BROKEN:
            kind = ChangeKind.ACCOUNT_BROKEN
        case AccountState.OK if before.state is not AccountState.UNKNOWN:
            kind = ChangeKind.ACCOUNT_OK
        case _:
            return
    reason = f"{until}{account.reason}" if account.reason else "it answers again"
    tx.emit(kind, to=account.key, reason=reason)


def _decode(row: Row) -> Account:
    return Account(
        key=row[0],
        state=AccountState(row[1]),
        until=row[2],
        reason=row[3],
        since=row[4],
        looks=row[5],
        at_once=row[6],
        since_agent=row[7],
    )
