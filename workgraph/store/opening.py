"""The files of a database: their mode, what an unclean stop leaves, a copy to read."""

import os
import shutil
import sqlite3
import tempfile
from contextlib import suppress
from urllib.parse import quote

from workgraph.graph.errors import system_refusal
from workgraph.store.failures import damaged


def was_left_open(path: str) -> bool:
    """Whether the last one who wrote did not close: its log is still there."""
    try:
        return os.path.getsize(f"{path}-wal") > 0
    except OSError:
        return False


def check_file(connection: sqlite3.Connection, path: str) -> None:
    """Reads a database through.

    Raises:
        UserError: It is damaged.
    """
    found = [str(row[0]) for row in connection.execute("pragma quick_check(3)")]
    if found != ["ok"]:
        raise damaged(path, "; ".join(found).replace("\n", " "))


def copy_aside(path: str) -> "tempfile.TemporaryDirectory[str]":
    """A folder with a copy of a database and its log, as `graph.db`.

    Raises:
        UserError: It can't be made.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="wg-read-")
        for ending in ("", "-wal"):
            shutil.copyfile(path + ending, f"{folder.name}/graph.db{ending}")
    except OSError as error:
        what = f"{path} can't be copied to be read"
        raise system_refusal(error, what) or error from error
    return folder


def file_uri(path: str, how: str) -> str:
    """A path as SQLite takes it with options."""
    return f"file:{quote(path)}?{how}"


def make_private(path: str) -> None:
    """Makes the file for its owner alone; SQLite's other files take its mode."""
    with suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
