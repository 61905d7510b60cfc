"""Looking at a database from outside, without changing or locking anything."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from workgraph.store.rows import decode_leftover

#: The oldest SQLite that knows `strict` tables.
OLDEST_SQLITE: Final = (3, 37, 0)
SQLITE_VERSION: Final = sqlite3.sqlite_version

QUICK_CHECK: Final = "pragma quick_check(3)"
VERSION: Final = "pragma user_version"
AGENT_NUMBERS: Final = "select number from agents"
LEFTOVER: Final = "select number, leftover from agents where leftover <> '[]'"
BROKEN_ACCOUNTS: Final = """
select key, reason from accounts where state = 'broken' order by key
"""
KEPT: Final = "select sha256 from artifacts where kept = 1"
REFERRED: Final = "select sha256 from artifacts union select sha256 from consumed"
#: The first version that has them.
_ACCOUNTS_SINCE: Final = 5
_COPIES_SINCE: Final = 6
NEWEST_CHANGE: Final = "select max(at) from changes"

_TIMEOUT_S: Final = 5.0


class Health(Struct, frozen=True, kw_only=True):
    """What was found in a database file."""

    #: What is wrong with the file itself; nothing else is known then.
    problems: tuple[str, ...] = ()
    #: The version of its schema.
    version: int = 0
    #: Every agent that has a row.
    agents: frozenset[int] = frozenset()
    #: The moment of the newest change; null when there is none.
    newest_change: int | None = None
    #: The processes that agents have left behind.
    leftover: Mapping[int, tuple[int, ...]] = {}
    #: Accounts whose login was refused, and what the provider said.
    broken_accounts: Mapping[str, str] = {}
    #: The hashes of artifacts that have a copy, and of all that anything refers to.
    kept: frozenset[str] = frozenset()
    referred: frozenset[str] = frozenset()


def is_sqlite_new_enough() -> bool:
    """Whether this SQLite can keep the graph."""
    return sqlite3.sqlite_version_info >= OLDEST_SQLITE


def examine_database(path: Path) -> Health:
    """Reads a database through and says what is wrong with it. It may take seconds."""
    log = path.with_name(f"{path.name}-wal")
    had_log = log.exists()
    health = _examine(path, immutable=not had_log)
    if health.problems and not had_log and log.exists():
        # Somebody began to write meanwhile, which `immutable` promised not to happen.
        return _examine(path, immutable=False)
    return health


def _examine(path: Path, *, immutable: bool) -> Health:
    # Without a log nobody has it open, and opening it the usual way would leave one.
    mode = "immutable=1" if immutable else "mode=ro"
    uri = f"file:{quote(str(path))}?{mode}"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=_TIMEOUT_S)) as connection:
            connection.execute("pragma query_only = on")
            found = [str(row[0]) for row in connection.execute(QUICK_CHECK)]
            if found != ["ok"]:
                return Health(problems=tuple(found))
            version = int(connection.execute(VERSION).fetchone()[0])
            if version == 0:
                return Health(version=version)
            return Health(
                version=version,
                agents=frozenset(row[0] for row in connection.execute(AGENT_NUMBERS)),
                newest_change=connection.execute(NEWEST_CHANGE).fetchone()[0],
                leftover={
                    number: tuple(process.pid for process in decode_leftover(text))
                    for number, text in connection.execute(LEFTOVER)
                },
                broken_accounts=dict(connection.execute(BROKEN_ACCOUNTS))
                if version >= _ACCOUNTS_SINCE
                else {},
                kept=_hashes(connection, version, KEPT),
                referred=_hashes(connection, version, REFERRED),
            )
    except sqlite3.Error as error:
        return Health(problems=(str(error),))


def _hashes(connection: sqlite3.Connection, version: int, sql: str) -> frozenset[str]:
    if version < _COPIES_SINCE:
        return frozenset()
    return frozenset(row[0] for row in connection.execute(sql))
