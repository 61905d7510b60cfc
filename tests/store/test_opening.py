"""After an unclean stop, and where nothing can be written."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import gettempdir

import pytest

from tests.fake_clock import START
from tests.faults.mounts import a_mount, make_read_only
from workgraph.graph.errors import UserError
from workgraph.store import service
from workgraph.store.database import Store, Tx

#: Rows enough that the file has pages beside the schema's.
MANY = 200


async def left_open(folder: Path) -> Path:
    """A database as a kill leaves it: with the log that belongs to it."""
    original = two_folders(folder) / "graph.db"
    store = await Store.open(original)
    for number in range(MANY):
        await store.transaction(
            lambda tx, n=number: tx.run(service.SET_META, (f"key {n}", "x" * 500)),  # type: ignore[misc]
            START,
        )
    for ending in ("", "-wal"):
        shutil.copy(f"{original}{ending}", folder / f"graph.db{ending}")
    await store.close()
    return folder / "graph.db"


def two_folders(folder: Path) -> Path:
    """Makes a folder, and one beside it."""
    beside = folder.with_name(f"{folder.name}-original")
    folder.mkdir()
    beside.mkdir()
    return beside


def temporary_copies() -> set[str]:
    """What readers have copied, of this test and others."""
    return {name for name in os.listdir(gettempdir()) if name.startswith("wg-read-")}


def last_key(tx: Tx) -> object:
    """The last thing that was written."""
    return tx.value(service.META, (f"key {MANY - 1}",))


async def test_what_was_damaged_by_an_unclean_stop_is_refused(tmp_path: Path) -> None:
    """The start reads the file through and says what to do; it changes nothing."""
    file = await left_open(tmp_path / "a")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
        pages = connection.execute("pragma page_count").fetchone()[0]
    content = bytearray(file.read_bytes())
    size = len(content) // pages
    # a page of rows, none of the schema's, as a disk that lies might leave it
    content[-size : -size + 200] = os.urandom(200)
    file.write_bytes(content)
    file.with_name("graph.db-wal").write_bytes(bytes(64))

    with pytest.raises(UserError, match="is damaged") as raised:
        await Store.open(file)

    assert "wg backup" in raised.value.hint
    assert file.read_bytes() == content


async def test_after_a_clean_stop_nothing_is_read_through(tmp_path: Path) -> None:
    """The same damage is met only by who looks there: a start has no time for it."""
    file = await left_open(tmp_path / "a")
    await (await Store.open(file)).close()
    content = bytearray(file.read_bytes())
    content[-4096:-3896] = os.urandom(200)
    file.write_bytes(content)

    await (await Store.open(file)).close()


async def test_after_an_unclean_stop_all_is_there(tmp_path: Path) -> None:
    """A log that belongs to the file is part of it."""
    store = await Store.open(await left_open(tmp_path / "a"))

    assert await store.read(last_key, START) == "x" * 500
    await store.close()


@pytest.mark.parametrize("clean", [True, False])
async def test_a_read_only_folder_can_be_read(tmp_path: Path, clean: bool) -> None:
    """Where SQLite may write nothing, log or no log; and nothing is left behind."""
    file = await left_open(tmp_path / "a")
    if clean:
        await (await Store.open(file)).close()
    with a_mount(tmp_path / "m", "size=8m") as folder:
        for one in file.parent.iterdir():
            shutil.copy(one, folder)
        make_read_only(folder)
        temporary = temporary_copies()
        names = sorted(os.listdir(folder))

        store = await Store.open_to_read(folder / "graph.db")
        assert await store.read(last_key, START) == "x" * 500
        await store.close()

        assert sorted(os.listdir(folder)) == names
        assert temporary_copies() <= temporary


async def test_a_backup_that_does_not_fit_says_so(tmp_path: Path) -> None:
    """It names the copy, which is no copy, and the database goes on."""
    store = await Store.open(await left_open(tmp_path / "a"))
    with a_mount(tmp_path / "m", "size=16k") as small:
        with pytest.raises(UserError, match=r"the copy .*the disk is full"):
            await store.back_up(os.fspath(small / "copy.db"))
        assert await store.read(last_key, START) == "x" * 500
    await store.close()
