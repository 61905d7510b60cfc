"""Opening databases that are not as they should be, and transactions as one job."""

import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from tests.fake_clock import START
from workgraph.graph.errors import UserError
from workgraph.store import service
from workgraph.store.database import SCHEMA_VERSION, Store, Tx


async def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    """With both versions, and the file is as it was."""
    file = tmp_path / "graph.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"pragma user_version = {SCHEMA_VERSION + 1}")

    with pytest.raises(UserError, match=f"version {SCHEMA_VERSION + 1}") as raised:
        await Store.open(file)

    assert "newer workgraph" in raised.value.hint
    with closing(sqlite3.connect(file)) as connection:
        tables = connection.execute("select count(*) from sqlite_schema").fetchone()
    assert tables == (0,)


async def test_what_is_no_database_is_said_to_be_damaged(tmp_path: Path) -> None:
    """And is left alone."""
    file = tmp_path / "graph.db"
    file.write_bytes(b"this is not a database, and it is long enough to tell" * 20)

    with pytest.raises(UserError, match="damaged") as raised:
        await Store.open(file)

    assert "backup" in raised.value.hint
    assert file.read_bytes().startswith(b"this is not")


async def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    """One line with a remedy, not a traceback."""
    with pytest.raises(UserError, match="unable to open") as raised:
        await Store.open(tmp_path / "nowhere" / "graph.db")

    assert "writable" in raised.value.hint


async def test_a_database_that_can_only_be_read_says_so(tmp_path: Path) -> None:
    """A write is refused with the reason, reading goes on."""
    file = tmp_path / "graph.db"
    await (await Store.open(file)).close()
    store = await Store.open_to_read(file)
    try:
        with pytest.raises(UserError, match="can't be written"):
            await store.transaction(_write, START)

        assert await store.read(lambda tx: service.meta(tx, "k"), START) is None
    finally:
        await store.close()


async def test_a_full_disk_undoes_all_and_says_so() -> None:
    """Nothing of the job is there, and the next one works when there is room."""
    store = await Store.open(":memory:")

    def fill(tx: Tx) -> None:
        service.set_meta(tx, "k", "kept?")
        service.set_meta(tx, "big", "x" * 10_000_000)

    try:
        await store.read(lambda tx: tx.value("pragma max_page_count = 1"), START)
        with pytest.raises(UserError, match="disk is full"):
            await store.transaction(fill, START)
        await store.read(lambda tx: tx.value("pragma max_page_count = 100000"), START)

        assert await store.read(lambda tx: service.meta(tx, "k"), START) is None
        await store.transaction(_write, START)
        assert await store.read(lambda tx: service.meta(tx, "k"), START) == "v"
    finally:
        await store.close()


async def test_a_full_disk_ends_the_whole_transaction_not_a_part() -> None:
    """SQLite has rolled all back by then: what is caught must not be gone on with."""
    store = await Store.open(":memory:")
    seen: list[bool] = []

    def fill(tx: Tx) -> None:
        service.set_meta(tx, "k", "v")
        try:
            with tx.savepoint():
                service.set_meta(tx, "big", "x" * 10_000_000)
        except sqlite3.OperationalError:
            seen.append(tx.is_open)
            raise

    try:
        await store.read(lambda tx: tx.value("pragma max_page_count = 1"), START)
        with pytest.raises(UserError, match="disk is full"):
            await store.transaction(fill, START)

        assert seen == [False]
        assert await store.read(lambda tx: service.meta(tx, "k"), START) is None
    finally:
        await store.close()


async def test_a_job_that_raises_leaves_nothing(tmp_path: Path) -> None:
    """And the connection can be used again."""
    store = await Store.open(tmp_path / "graph.db")

    def half(tx: Tx) -> None:
        _write(tx)
        raise ZeroDivisionError

    try:
        with pytest.raises(ZeroDivisionError):
            await store.transaction(half, START)
        assert await store.read(lambda tx: service.meta(tx, "k"), START) is None
        await store.transaction(_write, START)
        assert await store.read(lambda tx: service.meta(tx, "k"), START) == "v"
    finally:
        await store.close()


async def test_a_cancelled_wait_does_not_cut_a_transaction(tmp_path: Path) -> None:
    """It happens whole, and the next one finds the connection free."""
    store = await Store.open(tmp_path / "graph.db")
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(store.transaction, _write, START)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()

        await store.transaction(lambda tx: service.set_meta(tx, "l", "w"), START)
        assert await store.read(lambda tx: service.meta(tx, "k"), START) == "v"
    finally:
        await store.close()


async def test_a_copy_is_whole_while_everything_runs(tmp_path: Path) -> None:
    """It opens by itself, without a log beside it."""
    store = await Store.open(tmp_path / "graph.db")
    try:
        await store.transaction(_write, START)
        await store.back_up(str(tmp_path / "copy.db"))
    finally:
        await store.close()

    copy = await Store.open(tmp_path / "copy.db")
    try:
        assert await copy.read(lambda tx: service.meta(tx, "k"), START) == "v"
    finally:
        await copy.close()


def _write(tx: Tx) -> None:
    service.set_meta(tx, "k", "v")


async def test_a_file_without_a_graph_can_not_be_read(tmp_path: Path) -> None:
    """Its maker was killed; whoever writes next makes it."""
    path = tmp_path / "graph.db"
    path.touch()

    with pytest.raises(UserError, match="no graph in the database yet"):
        await Store.open_to_read(path)

    await (await Store.open(path)).close()
    await (await Store.open_to_read(path)).close()
