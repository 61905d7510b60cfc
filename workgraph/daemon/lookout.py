"""The lookout: what nobody tells the daemon, looked at once a second.

- The database's inode. A file that was deleted or replaced goes on being written to,
  and nobody will ever see it: so what it holds is saved beside it, and the daemon ends.
- The clock, which jumps when the machine sleeps or when it is set.
- What parked tasks wait for that this host lacks, while there are such tasks
  (docs/adr/0012).

All of it is a few stats and two clocks; the graph is not looked at.
"""

import os
from pathlib import Path
from typing import Final

import anyio

from workgraph.daemon.engine import Engine
from workgraph.daemon.project import DATABASE, RESCUED
from workgraph.graph.errors import UserError, WorkgraphError
from workgraph.graph.times import to_rfc3339
from workgraph.logs import Logger
from workgraph.store import views

_LOOK_S: Final = 1.0


class Lookout:
    """Looks after the surroundings of one daemon.

    Args:
        engine: Told of what has changed.
        wg_dir: The project's `.wg` folder.
        stopping: Set when the daemon has to end.
        log: The daemon's log.
    """

    def __init__(
        self, engine: Engine, wg_dir: Path, stopping: anyio.Event, log: Logger
    ) -> None:
        self._engine = engine
        self._wg_dir = wg_dir
        self._stopping = stopping
        self._log = log
        self._scope = anyio.CancelScope()
        self._lost: UserError | None = None

    async def run(self) -> None:
        """Looks until it is stopped, or the database has vanished."""
        database = self._wg_dir / DATABASE
        inode = _inode(database)
        with self._scope:
            while True:
                await anyio.sleep(_LOOK_S)
                if _inode(database) != inode:
                    break
                await self.look()
            self._engine.draining = True
            self._lost = await self._rescue(database)
            self._stopping.set()

    async def look(self) -> None:
        """One look at the clock, and at what is missing."""
        engine = self._engine
        if engine.clock.has_jumped():
            engine.wake()
        host = engine.host.grounds.host
        if engine.effects.awaited and await engine.effects.has_come(host):
            now = engine.clock.now()
            await engine.store.transaction(views.look_at_all_parked, now)
            engine.wake()

    def stop(self) -> None:
        """Looks no more."""
        self._scope.cancel()

    def check(self) -> None:
        """Says why the daemon had to end, if it had to.

        Raises:
            UserError: The database has vanished.
        """
        if self._lost is not None:
            raise self._lost

    async def _rescue(self, database: Path) -> UserError:
        """Saves what the vanished file holds; agents go on and are left alone."""
        word = "deleted" if _inode(database) is None else "replaced"
        message = f"{database} was {word} while the daemon had it open"
        moment = to_rfc3339(self._engine.clock.now()).replace(":", "")
        copy = self._wg_dir / f"{RESCUED}{moment}"
        try:
            await self._engine.store.back_up(os.fspath(copy))
            os.chmod(copy, 0o600)
        except (WorkgraphError, OSError) as error:
            self._log.error("database_vanished", path=str(database), error=str(error))
            return UserError(
                f"{message}, and what it held can't be saved: {error}",
                hint="restore a backup: agents that run go on, but nobody knows them",
            )
        self._log.error("database_vanished", path=str(database), saved=str(copy))
        return UserError(
            f"{message}; what it held is in {copy}; agents go on",
            hint=f"to go on from there: mv {copy} {database} && wg service start",
        )


def _inode(path: Path) -> int | None:
    """A stat takes microseconds; a thread for it would be a second wake-up."""
    try:
        return path.stat().st_ino
    except OSError:
        return None
