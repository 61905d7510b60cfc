"""Backups: a consistent copy made beside the database, then put where it is wanted."""

import os
import shutil
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.to_thread

from workgraph.daemon.project import COPY_PREFIX
from workgraph.daemon.writing import sync_folder
from workgraph.graph.errors import MachineError, UserError, system_refusal
from workgraph.store.database import Store


@asynccontextmanager
async def copy_made(store: Store, wg_dir: Path) -> AsyncGenerator[str]:
    """A consistent copy of the database, gone after the block.

    A backup is wanted most where the project's disk is full or has become read-only:
    then the copy is made where temporary files belong.

    Raises:
        MachineError: There is room for it nowhere.
    """
    folder = ""
    try:
        try:
            folder = await _make_folder(wg_dir)
            await store.back_up(os.path.join(folder, "graph.db"))
        except MachineError:
            await _remove(folder)
            folder = await _make_folder(None)
            await store.back_up(os.path.join(folder, "graph.db"))
        yield os.path.join(folder, "graph.db")
    finally:
        with anyio.CancelScope(shield=True):
            await _remove(folder)


def place(copy: str, file: str) -> None:
    """Puts a copy where it is wanted, whole or not at all. For a thread.

    Raises:
        UserError: It can't be written; nothing is left of it.
    """
    beside = f"{file}.{os.getpid()}.tmp"
    try:
        try:
            with open(copy, "rb") as source, open(beside, "xb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
                target.flush()
                os.fsync(target.fileno())
            os.replace(beside, file)
            sync_folder(os.path.dirname(file))
        except FileExistsError:
            raise
        except OSError:
            with suppress(OSError):
                os.unlink(beside)
            raise
    except OSError as error:
        raise UserError(
            f"{file} can't be written: {error.strerror}",
            hint="name a place that you can write to, with room in it",
        ) from error


async def _make_folder(parent: Path | None) -> str:
    def make() -> str:
        try:
            return tempfile.mkdtemp(prefix=COPY_PREFIX, dir=parent)
        except OSError as error:
            raise system_refusal(error) or error from error

    return await anyio.to_thread.run_sync(make)


async def _remove(folder: str) -> None:
    def remove() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    if folder:
        await anyio.to_thread.run_sync(remove)
