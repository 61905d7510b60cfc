"""Tells how an agent ended whose wrapper is gone.

By the wrapper's own status where it was our child, else by the record in its folder
(`record`), else by what is left of it.
"""

import shutil
import signal
import tempfile
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Sequence

import anyio
import anyio.to_thread

from workgraph.agents import record, shell
from workgraph.agents.record import Lock, Look, Record
from workgraph.agents.search import Target
from workgraph.agents.trees import Trees
from workgraph.agents.wrapper import Ended, Fate, LaunchOrder
from workgraph.graph.model import ProcessId


class Judge:
    """Says how agents ended.

    Args:
        orphan_grace_s: What is left of an agent whose wrapper was killed has so long
            between TERM and KILL.
        start: Starts a process, to see what this system's shell says of a signal.
    """

    def __init__(
        self,
        trees: Trees,
        *,
        boot_id: str,
        orphan_grace_s: float,
        start: Callable[[LaunchOrder], Awaitable[tuple[Process, int]]],
    ) -> None:
        self._trees = trees
        self._boot_id = boot_id
        self._orphan_grace_s = orphan_grace_s
        self._start = start
        self._probing = anyio.Lock()
        self._shell_prints: bool | None = None

    async def judge(self, target: Target, status: int | None, *, killed: bool) -> Ended:
        """Says how an agent ended that was waited for.

        Args:
            status: The wrapper's own, of a child; negative for a signal.
            killed: We have sent KILL to its group.
        """
        seen = record.look(target.folder, target.inode)
        if seen.record.status is not None:
            return await self.read_end(target, seen.record, seen.record.status)
        if status is not None and status >= 0:
            if not seen.was_started and seen.lock is not Lock.MISSING:
                return Ended(
                    agent=target.agent,
                    fate=Fate.NEVER_STARTED,
                    detail=f"its record can't be written: {target.folder}/run",
                )
            # there was no room for the number, or the folder or the record is gone
            return await self.read_end(target, seen.record, status)
        if killed and seen.record.pid is not None:
            return Ended(
                agent=target.agent,
                fate=Fate.SIGNALED,
                signal=signal.SIGKILL,
                detail="killed with all its group",
            )
        return await self.judge_silent(target, seen)

    async def judge_silent(
        self,
        target: Target,
        seen: Look,
        running: Sequence[ProcessId] | None = None,
    ) -> Ended:
        """No status and no wrapper: ends what is left, then says what is known.

        Args:
            running: As `Launcher.settle` is told.
        """
        known = target.process
        same_boot = known is None or known.boot_id == self._boot_id
        # A folder that is as it was prepared had no agent, even where the wrapper is
        # known: a TERM can come before that traps it. What a removed folder, or one
        # from before a power cut, lacks says nothing.
        is_gone = seen.lock is Lock.MISSING
        started = (
            seen.was_started
            or (is_gone and bool(running))
            or (known is not None and (is_gone or not same_boot))
        )
        detail = "its wrapper is gone without a word: the machine's restart or a kill"
        if same_boot:
            left = running
            if running is None or running:
                left = await self._trees.find(target)
            if left or seen.lock is Lock.HELD:
                await self._trees.climb(
                    target, grace_s=self._orphan_grace_s, force=False
                )
                started = True
                detail = "its wrapper was killed; what was left of it was ended"
        if is_gone and started:
            detail = f"its folder was removed or made anew: {target.folder}"
        return Ended(
            agent=target.agent,
            fate=Fate.LOST if started else Fate.NEVER_STARTED,
            detail=detail if started else "",
        )

    async def read_end(self, target: Target, found: Record, status: int) -> Ended:
        """The end that a wrapper's status stands for."""
        unclear = record.may_be_signal(status)
        prints = found.words or not unclear or await self._does_print()
        if found.pid is None and unclear and prints:
            return Ended(
                agent=target.agent,
                fate=Fate.LOST,
                detail=f"its record is gone, and {status} may be a code or a signal",
            )
        code, number = record.tell(status, words=found.words, prints=prints)
        if found.shut_out and code is not None:
            return Ended(
                agent=target.agent,
                fate=Fate.SHUT_OUT,
                detail=shell.explain_shut_out(target.folder),
            )
        return Ended(
            agent=target.agent,
            fate=Fate.SIGNALED if code is None else Fate.EXITED,
            exit_code=code,
            signal=number,
            detail=shell.explain_failed_start(target.folder, status),
        )

    async def _does_print(self) -> bool:
        """Asks the shell, once: does it say a word about a child that was killed?"""
        async with self._probing:
            if self._shell_prints is None:
                self._shell_prints = await self._probe_shell()
        return self._shell_prints

    async def _probe_shell(self) -> bool:
        folder = await anyio.to_thread.run_sync(tempfile.mkdtemp, None, "wg-agent-0-")
        order = LaunchOrder(
            agent=0,
            folder=folder,
            argv=("/bin/sh", "-c", "kill -KILL $$"),
            env={},
            cwd="/",
        )
        try:
            child, _ = await self._start(order)
            await child.wait()
            return record.look(folder).record.words
        except OSError:
            return True  # as dash and busybox do
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(_remove, folder)


def judge_plain(target: Target, status: int | None) -> Ended | None:
    """The end of a child whose status says all: most ends are like this."""
    if status is None or not record.is_plain(status):
        return None
    return Ended(agent=target.agent, fate=Fate.EXITED, exit_code=status)


def _remove(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
