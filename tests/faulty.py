"""A database that fails at a statement that a test chooses, as SQLite does then."""

import sqlite3
from collections.abc import Iterable
from typing import Final, cast

from workgraph.store.database import Params, Row, Tx

#: What the machine does to a write: extended codes, as SQLite names them.
FULL: Final = ("SQLITE_FULL", 13, "database or disk is full")
IO_ERROR: Final = ("SQLITE_IOERR_WRITE", 778, "disk I/O error")
READ_ONLY: Final = ("SQLITE_READONLY", 8, "attempt to write a readonly database")
FAULTS: Final = (FULL, IO_ERROR, READ_ONLY)


class FaultyTx(Tx):
    """A transaction in which the n-th write fails.

    Args:
        tx: The one that it is instead of.
        fault: What goes wrong.
        after: So many writes succeed before; then each one fails.
        ends: SQLite ends the whole transaction, as it may for a full disk; else it
            undoes the statement alone.
    """

    def __init__(
        self, tx: Tx, fault: tuple[str, int, str], after: int = 0, *, ends: bool = False
    ) -> None:
        cursor = cast("sqlite3.Cursor", tx.rows("select 1"))
        super().__init__(cursor.connection, tx.now)
        cursor.close()
        self.changes = tx.changes
        self._fault = fault
        self._after = after
        self._ends = ends
        #: Whether it has failed yet.
        self.failed = False

    def run(self, sql: str, params: Params = ()) -> int:
        """As the transaction's, until it fails."""
        self._write()
        return super().run(sql, params)

    def insert(self, sql: str, params: Params = ()) -> int:
        """As the transaction's, until it fails."""
        self._write()
        return super().insert(sql, params)

    def many(self, sql: str, rows: Iterable[Params]) -> None:
        """As the transaction's, until it fails."""
        self._write()
        super().many(sql, rows)

    def all(self, sql: str, params: Params = ()) -> list[Row]:
        """As the transaction's; there is none to read in when SQLite has ended it."""
        assert self.is_open, "a read after the end of the transaction"
        return super().all(sql, params)

    def _write(self) -> None:
        if self._after:
            self._after -= 1
            return
        self.failed = True
        if self._ends and self.is_open:
            self.rows("rollback")
        name, code, message = self._fault
        error = sqlite3.OperationalError(message)
        error.sqlite_errorname, error.sqlite_errorcode = name, code
        raise error
