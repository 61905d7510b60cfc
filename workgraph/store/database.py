"""The database: opening it, its migrations, and transactions as one job each.

A transaction is a function that is given a `Tx` and runs to its end in the connection's
thread, between BEGIN and COMMIT, with no await of the loop in between. So two
transactions can't interleave on the one writing connection, no cancellation can cut one
in half, and a whole tick costs one hop to that thread (docs/adr/0002).
"""

import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote

import aiosqlite
import anyio
import anyio.to_thread

from workgraph.graph.changes import Change
from workgraph.graph.errors import TryLaterError, UserError

T = TypeVar("T")
Row = tuple[Any, ...]
Params = Sequence[Any] | Mapping[str, Any]

#: The version of the newest migration. Kept in `pragma user_version`.
SCHEMA_VERSION: Final = 3
_BUSY_TIMEOUT_S: Final = 5.0
_CACHE_KIB: Final = 16_384
#: Pages after which a commit checkpoints: 16 MiB of log.
_CHECKPOINT_PAGES: Final = 4096
_STATEMENTS_KEPT: Final = 256
_IN_MEMORY: Final = ":memory:"

INSERT_CHANGE: Final = """
insert into changes (
    at, kind, task, agent, attempt, actor, by, verb, "from", "to", reason, percent
) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


class Tx:
    """A transaction that is open: the only way to run SQL.

    Args:
        connection: The connection, inside a transaction.
        now: The moment that everything written in it is said to have happened.
    """

    def __init__(self, connection: sqlite3.Connection, now: int) -> None:
        self._connection = connection
        self.now = now
        #: What has been made true so far; told to others after the commit.
        self.changes: list[Change] = []

    @property
    def is_open(self) -> bool:
        """Whether it can still be committed: SQLite ends it when the disk is full."""
        return self._connection.in_transaction

    def all(self, sql: str, params: Params = ()) -> list[Row]:
        """All rows of a query."""
        return self._connection.execute(sql, params).fetchall()

    def rows(self, sql: str, params: Params = ()) -> Iterator[Row]:
        """The rows of a query, one by one."""
        return self._connection.execute(sql, params)

    def one(self, sql: str, params: Params = ()) -> Row | None:
        """The first row of a query, or null."""
        row: Row | None = self._connection.execute(sql, params).fetchone()
        return row

    def value(self, sql: str, params: Params = ()) -> Any:  # noqa: ANN401 - a cell
        """The first cell of the first row, or null."""
        row = self._connection.execute(sql, params).fetchone()
        return row[0] if row else None

    def run(self, sql: str, params: Params = ()) -> int:
        """Carries out a write and gives the number of rows that it touched."""
        return self._connection.execute(sql, params).rowcount

    def returning(self, sql: str, params: Params = ()) -> Row | None:
        """Carries out a write of one row, and gives what it returns; null: none.

        All is fetched: a write whose rows are not can't be committed.
        """
        rows: list[Row] = self._connection.execute(sql, params).fetchall()
        return rows[0] if rows else None

    def insert(self, sql: str, params: Params = ()) -> int:
        """Inserts a row and gives its rowid."""
        rowid = self._connection.execute(sql, params).lastrowid
        assert rowid is not None
        return rowid

    def many(self, sql: str, rows: Iterable[Params]) -> None:
        """Carries out one write for each row of parameters."""
        self._connection.executemany(sql, rows)

    def emit(  # noqa: PLR0913 - the fields of a change
        self,
        kind: str,
        *,
        task: str | None = None,
        agent: str | None = None,
        attempt: int | None = None,
        actor: str | None = None,
        by: str = "workgraph",
        verb: str | None = None,
        from_: str | None = None,
        to: str | None = None,
        reason: str | None = None,
        percent: float | None = None,
        at: int | None = None,
    ) -> None:
        """Writes a fact into the change log, in this transaction."""
        moment = self.now if at is None else at
        seq = self.insert(
            INSERT_CHANGE,
            (
                moment,
                kind,
                task,
                agent,
                attempt,
                actor,
                by,
                verb,
                from_,
                to,
                reason,
                percent,
            ),
        )
        self.changes.append(
            Change(
                seq=seq,
                at=moment,
                kind=kind,
                task=task,
                agent=agent,
                attempt=attempt,
                actor=actor,
                by=by,
                verb=verb,
                from_=from_,
                to=to,
                reason=reason,
                percent=percent,
            )
        )

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part of the transaction that is undone, whole, when it raises."""
        told = len(self.changes)
        self._connection.execute("savepoint part")
        try:
            yield
        except BaseException:
            if self.is_open:
                self._connection.execute("rollback to part")
                self._connection.execute("release part")
                del self.changes[told:]
            raise
        self._connection.execute("release part")


class _Result:
    """What a job gave, in the shape that `execute_fetchall` passes through."""

    def __init__(self, value: Any) -> None:  # noqa: ANN401 - whatever a job gives
        self._value = value

    def fetchall(self) -> Any:  # noqa: ANN401 - as above
        return self._value


class _JobConnection(sqlite3.Connection):
    """A connection whose `execute` also takes a job: a function of the connection.

    It is how a job gets to the thread that aiosqlite keeps for the connection by
    nothing but aiosqlite's public surface: `execute_fetchall(job)`.
    """

    def execute(self, sql: Any, parameters: Any = (), /) -> Any:  # noqa: ANN401
        if callable(sql):
            return _Result(sql(self))
        return super().execute(sql, parameters)


class Store:
    """The graph's memory: a connection that writes, and one that only reads."""

    def __init__(
        self, path: str, writer: aiosqlite.Connection, reader: aiosqlite.Connection
    ) -> None:
        self.path = path
        self._writer = writer
        self._reader = reader

    @classmethod
    async def open(cls, path: Path | str) -> "Store":
        """Opens the database, making it or bringing it up to date where needed.

        `:memory:` gives one that is gone with the store.

        Raises:
            UserError: It is damaged, from a newer version, or can't be opened.
        """
        name = str(path)
        if name != ":memory:":
            await anyio.to_thread.run_sync(_make_private, name)
        writer = await _connect(name)
        try:
            await _call(writer, _prepare)
            if name == _IN_MEMORY:
                return cls(name, writer, writer)
            reader = await _connect(name)
            await _call(reader, _prepare_reader)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await writer.close()
            raise
        return cls(name, writer, reader)

    @classmethod
    async def open_to_read(cls, path: Path | str) -> "Store":
        """Opens a database that is there, for reading alone.

        Raises:
            UserError: It is not there, or can't be read.
        """
        reader = await _connect(f"file:{quote(str(path))}?mode=ro", uri=True)
        return cls(str(path), reader, reader)

    async def transaction(
        self, job: Callable[[Tx], T], now: int
    ) -> tuple[T, list[Change]]:
        """Runs a job in a transaction: all of it is committed, or nothing.

        Cancelling the wait does not stop the job: it happens whole or not at all.

        Returns:
            What the job gave, and the changes that are now true.

        Raises:
            UserError: The disk is full, or the database can't be written.
        """

        def run(connection: sqlite3.Connection) -> tuple[T, list[Change]]:
            connection.execute("begin immediate")
            try:
                tx = Tx(connection, now)
                result = job(tx)
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise
            return result, tx.changes

        return await _call(self._writer, run)

    async def read(self, job: Callable[[Tx], T], now: int) -> T:
        """Runs a job that only reads, on one consistent state of the database."""

        def run(connection: sqlite3.Connection) -> T:
            connection.execute("begin")
            try:
                return job(Tx(connection, now))
            finally:
                connection.execute("rollback")

        return await _call(self._reader, run)

    async def back_up(self, file: str) -> None:
        """Writes a consistent copy of the database, while everything runs.

        Raises:
            UserError: The file can't be written.
        """

        def run(connection: sqlite3.Connection) -> None:
            target = sqlite3.connect(file)
            try:
                connection.backup(target)
                target.execute("pragma journal_mode = delete")
            finally:
                target.close()

        await _call(self._reader, run)

    async def close(self) -> None:
        """Closes both connections; SQLite folds its log into the file."""
        with anyio.CancelScope(shield=True):
            if self._reader is not self._writer:
                await self._reader.close()
            await self._writer.close()


async def _connect(path: str, *, uri: bool = False) -> aiosqlite.Connection:
    try:
        if path != _IN_MEMORY:
            # aiosqlite's thread outlives an opening that fails, and may then write a
            # traceback, because it finds the loop closed: so it is tried before.
            await anyio.to_thread.run_sync(_try_to_open, path, uri)
        return await aiosqlite.connect(
            path,
            factory=_JobConnection,
            uri=uri,
            isolation_level=None,
            timeout=_BUSY_TIMEOUT_S,
            cached_statements=_STATEMENTS_KEPT,
        )
    except sqlite3.Error as error:
        raise _explain(error, path) from error


def _try_to_open(path: str, uri: bool) -> None:  # noqa: FBT001 - as sqlite3 has it
    sqlite3.connect(path, uri=uri, timeout=_BUSY_TIMEOUT_S).close()


async def _call(
    connection: aiosqlite.Connection, job: Callable[[sqlite3.Connection], T]
) -> T:
    # Its signature asks for a text; `_JobConnection` takes a job in its place.
    execute = cast("Callable[..., Awaitable[Any]]", connection.execute_fetchall)
    try:
        given: T = await execute(job)
    except sqlite3.Error as error:
        raise _explain(error, "the database") from error
    return given


def _make_private(path: str) -> None:
    """Makes the file for its owner alone; SQLite's other files take its mode."""
    with suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    connection.execute("pragma foreign_keys = on")
    connection.execute(f"pragma cache_size = -{_CACHE_KIB}")
    connection.execute(f"pragma wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    migrate(connection)


def _prepare_reader(connection: sqlite3.Connection) -> None:
    connection.execute("pragma query_only = on")
    connection.execute(f"pragma cache_size = -{_CACHE_KIB}")


def migrate(connection: sqlite3.Connection) -> None:
    """Brings the schema to `SCHEMA_VERSION`, one transaction for each migration.

    Raises:
        UserError: The database is from a newer version.
    """
    version = connection.execute("pragma user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise UserError(
            f"the database has version {version}, and this workgraph knows"
            f" {SCHEMA_VERSION} at most",
            hint="use the newer workgraph that wrote it",
        )
    for number, script in migrations()[version:]:
        connection.executescript(
            f"begin immediate;\n{script}\npragma user_version = {number};\ncommit;"
        )


def migrations() -> list[tuple[int, str]]:
    """All migrations in order, as (number, SQL)."""
    folder = resources.files("workgraph.store") / "migrations"
    found = sorted(f.name for f in folder.iterdir() if f.name.endswith(".sql"))
    return [
        (int(name.split("_")[0]), (folder / name).read_text("utf-8")) for name in found
    ]


def _explain(error: sqlite3.Error, path: str) -> UserError | TryLaterError:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_FULL"):
        return UserError(
            f"{path} can't be written: the disk is full",
            hint="free some room and say it again; nothing was changed",
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return UserError(
            f"{path} can't be written: {error}",
            hint="the folder .wg and what is in it must be writable for you",
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return UserError(
            f"{path} is damaged: {error}",
            hint="take a backup's copy, or `sqlite3 graph.db .recover`",
        )
    if name.startswith("SQLITE_IOERR"):
        return UserError(
            f"{path} can't be read or written: {error}",
            hint="the disk may be full or failing; nothing was changed",
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return TryLaterError(f"{path} is in use by another program", hint="try again")
    raise error
