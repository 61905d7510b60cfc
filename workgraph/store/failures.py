"""What SQLite refuses, as an error that says what to do."""

import sqlite3
from typing import Final

from workgraph.graph.errors import MachineError, TryLaterError, UserError

#: What a database refuses for reasons that lie in the machine.
_OF_THE_MACHINE: Final = (
    "SQLITE_FULL",
    "SQLITE_IOERR",
    "SQLITE_READONLY",
    "SQLITE_CANTOPEN",
    "SQLITE_PERM",
    "SQLITE_CORRUPT",
    "SQLITE_NOTADB",
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
)


def is_of_the_machine(error: BaseException) -> bool:
    """Whether a transaction failed for what the disk does, not for what was asked."""
    name = getattr(error, "sqlite_errorname", None) or ""
    return isinstance(error, MemoryError) or (
        isinstance(error, sqlite3.Error) and name.startswith(_OF_THE_MACHINE)
    )


def explain(error: sqlite3.Error, path: str) -> UserError | TryLaterError:
    """The error for callers; one that is nobody's but ours is raised as it is.

    Args:
        error: As SQLite gave it.
        path: What could not be read or written.
    """
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_FULL"):
        return MachineError(
            f"{path} can't be written: the disk is full",
            hint="free some room and say it again; nothing was changed",
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return MachineError(
            f"{path} can't be written: {error}",
            hint="the folder .wg and what is in it must be writable for you",
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return damaged(path, str(error))
    if name.startswith("SQLITE_IOERR"):
        return MachineError(
            f"{path} can't be read or written: {error}",
            hint="the disk may be full or failing; nothing was changed",
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return TryLaterError(f"{path} is in use by another program", hint="try again")
    raise error


def damaged(path: str, problem: str) -> UserError:
    """The error for a file that is no longer what was written."""
    return UserError(
        f"{path} is damaged: {problem}",
        hint="put a copy made by `wg backup` in the place of graph.db, graph.db-wal and"
        " graph.db-shm; or save what can be with `sqlite3 graph.db .recover`",
    )
