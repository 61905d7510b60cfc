"""Finds and ends all that runs of agents, each in its cgroup where it has one.

`kill` has the ladder and `search` the pass over `/proc`; here they are told which
cgroups there are.
"""

from collections.abc import Callable, Sequence

import anyio.to_thread
from msgspec import structs

from workgraph.agents import kill
from workgraph.agents.cgroups import Cgroups
from workgraph.agents.search import Target, search
from workgraph.graph.model import ProcessId


class Trees:
    """The processes of agents, as one launcher looks for them."""

    def __init__(self, boot_id: str, cgroups: Cgroups) -> None:
        self._boot_id = boot_id
        self._cgroups = cgroups

    async def find(self, target: Target) -> tuple[ProcessId, ...]:
        """What runs of an agent: one pass over `/proc`."""
        return (await self.find_all([target]))[target.agent]

    async def find_all(
        self, targets: Sequence[Target]
    ) -> dict[int, tuple[ProcessId, ...]]:
        """What runs of each of these agents: one pass over `/proc` for all of them."""
        targets = await self._with_cgroups(targets)
        found = await anyio.to_thread.run_sync(search, targets, self._boot_id)
        return dict(found)

    async def climb(
        self,
        target: Target,
        *,
        grace_s: float,
        force: bool,
        before_kill: Callable[[], None] = lambda: None,
    ) -> tuple[ProcessId, ...]:
        """Ends an agent by the ladder; returns what could not be ended."""
        [target] = await self._with_cgroups([target])
        return await kill.climb(
            target,
            boot_id=self._boot_id,
            grace_s=grace_s,
            force=force,
            before_kill=before_kill,
        )

    async def sweep(
        self, targets: Sequence[Target], limit_s: float
    ) -> dict[int, tuple[ProcessId, ...]]:
        """Ends what agents that have ended left behind, all in one search."""
        targets = await self._with_cgroups(targets, ended=True)
        return await kill.end_all(targets, boot_id=self._boot_id, limit_s=limit_s)

    async def _with_cgroups(
        self, targets: Sequence[Target], *, ended: bool = False
    ) -> list[Target]:
        find = self._cgroups.left_of if ended else self._cgroups.of

        def look() -> list[Target]:
            return [structs.replace(t, cgroups=find(t.folder)) for t in targets]

        return await anyio.to_thread.run_sync(look)
