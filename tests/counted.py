"""A transaction that counts what it is asked, for tests that hold costs to a bar."""

from collections.abc import Iterable, Iterator

from workgraph.store.database import Params, Row, Tx


class CountedTx(Tx):
    """A transaction that counts its statements.

    Args:
        tx: The one that it is instead of.
    """

    def __init__(self, tx: Tx) -> None:
        super().__init__(tx._connection, tx.now)  # noqa: SLF001 - it is instead of it
        self.changes = tx.changes
        self.statements = 0

    def all(self, sql: str, params: Params = ()) -> list[Row]:
        """As the transaction's."""
        self.statements += 1
        return super().all(sql, params)

    def rows(self, sql: str, params: Params = ()) -> Iterator[Row]:
        """As the transaction's."""
        self.statements += 1
        return super().rows(sql, params)

    def one(self, sql: str, params: Params = ()) -> Row | None:
        """As the transaction's."""
        self.statements += 1
        return super().one(sql, params)

    def value(self, sql: str, params: Params = ()) -> object:
        """As the transaction's."""
        self.statements += 1
        return super().value(sql, params)

    def run(self, sql: str, params: Params = ()) -> int:
        """As the transaction's."""
        self.statements += 1
        return super().run(sql, params)

    def returning(self, sql: str, params: Params = ()) -> Row | None:
        """As the transaction's."""
        self.statements += 1
        return super().returning(sql, params)

    def insert(self, sql: str, params: Params = ()) -> int:
        """As the transaction's."""
        self.statements += 1
        return super().insert(sql, params)

    def many(self, sql: str, rows: Iterable[Params]) -> None:
        """As the transaction's; one statement, however many rows."""
        self.statements += 1
        super().many(sql, rows)
