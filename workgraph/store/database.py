"""The database: opening it, its migrations, and transactions as one job each.

A transaction is a function that is given a `Tx` and runs to its end in the connection's
thread, between BEGIN and COMMIT, with no await of the loop in between. So two
transactions can't interleave on the one writing connection, no cancellation can cut one
in half, and a whole tick costs one hop to that thread (docs/adr/0002).
"""

import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import aiosqlite
import anyio
import anyio.to_thread

from workgraph.graph.changes import Change
from workgraph.graph.errors import MachineError, UserError
from workgraph.store.failures import explain
from workgraph.store.opening import (
    check_file,
    copy_aside,
    file_uri,
    make_private,
    was_left_open,
)

T = TypeVar("T")
Row = tuple[Any, ...]
Params = Sequence[Any] | Mapping[str, Any]

#: The version of the newest migration. Kept in `pragma user_version`.
SCHEMA_VERSION: Final = 8
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
        self._at_end: Callable[[], None] | None = None

    @classmethod
    async def open(cls, path: Path | str) -> "Store":
        """Opens the database, making it or bringing it up to date where needed.

        `:memory:` gives one that is gone with the store. After an unclean stop, a power
        cut for one, the file is read through first: 0.3 s for 100,000 tasks.

        Raises:
            UserError: It is damaged, from a newer version, or can't be opened.
        """
        name = str(path)
        unclean = False
        if name != _IN_MEMORY:
            await anyio.to_thread.run_sync(make_private, name)
            unclean = await anyio.to_thread.run_sync(was_left_open, name)
        writer = await _connect(name)
        try:
            if unclean:
                await _call(writer, lambda connection: check_file(connection, name))
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
        """Opens a database that is there, for reading alone, where that is possible.

        In a folder that can't be written SQLite has no place for what it shares with
        others; nobody else writes there, so it is told that the file does not change,
        or it gets a copy, where there is a log that belongs to the file.

        Raises:
            UserError: It is not there, can't be read, or is of another version.
        """
        name = str(path)
        at_end: Callable[[], None] | None = None
        reader = await _connect(file_uri(name, "mode=ro"), uri=True)
        try:
            try:
                await _call(reader, _check_version)
            except MachineError:
                await reader.close()
                where = file_uri(name, "immutable=1")
                if await anyio.to_thread.run_sync(was_left_open, name):
                    copy = await anyio.to_thread.run_sync(copy_aside, name)
                    at_end = copy.cleanup
                    where = file_uri(os.path.join(copy.name, "graph.db"), "mode=rw")
                reader = await _connect(where, uri=True)
                await _call(reader, _check_version)
            await _call(reader, _prepare_reader)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await reader.close()
            if at_end is not None:
                at_end()
            raise
        store = cls(name, reader, reader)
        store._at_end = at_end
        return store

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
            MachineError: The file can't be written; what is there of it is no copy.
        """

        def run(connection: sqlite3.Connection) -> None:
            try:
                with closing(sqlite3.connect(file)) as target:
                    connection.backup(target)
                    target.execute("pragma journal_mode = delete")
            except sqlite3.Error as error:
                raise explain(error, f"the copy {file}") from error

        await _call(self._reader, run)

    async def close(self) -> None:
        """Closes both connections; SQLite folds its log into the file."""
        with anyio.CancelScope(shield=True):
            if self._reader is not self._writer:
                await self._reader.close()
            await self._writer.close()
            if self._at_end is not None:
                await anyio.to_thread.run_sync(self._at_end)


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
        raise explain(error, path) from error


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
        raise explain(error, "the database") from error
    except MemoryError as error:
        raise MachineError(
            "the database can't be used: the system is out of memory",
            hint="end what needs so much of it; nothing was changed",
        ) from error
    return given


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


def _check_version(connection: sqlite3.Connection) -> None:
    """Refuses what is of another version, and a file without a first migration."""
    version = connection.execute("pragma user_version").fetchone()[0]
    _refuse_newer(version)
    if version == 0:
        raise UserError(
            "there is no graph in the database yet",
            hint="wg service start, or any other command that writes, makes it",
        )
    if version < SCHEMA_VERSION:
        raise UserError(
            f"the database has version {version}, and this workgraph reads"
            f" {SCHEMA_VERSION}",
            hint="any command that may write to the project brings it up to date",
        )


def migrate(connection: sqlite3.Connection) -> None:
    """Brings the schema to `SCHEMA_VERSION`, one transaction for each migration.

    Raises:
        UserError: The database is from a newer version.
    """
    version = connection.execute("pragma user_version").fetchone()[0]
    _refuse_newer(version)
    for number, script in migrations()[version:]:
        connection.executescript(
            f"begin immediate;\n{script}\npragma user_version = {number};\ncommit;"
        )


def _refuse_newer(version: int) -> None:
    if version > SCHEMA_VERSION:
        raise UserError(
            f"the database has version {version}, and this workgraph knows"
            f" {SCHEMA_VERSION} at most",
            hint="use the newer workgraph that wrote it",
        )


def migrations() -> list[tuple[int, str]]:
    """All migrations in order, as (number, SQL)."""
    folder = resources.files("workgraph.store") / "migrations"
    found = sorted(f.name for f in folder.iterdir() if f.name.endswith(".sql"))
    return [
        (int(name.split("_")[0]), (folder / name).read_text("utf-8")) for name in found
    ]
