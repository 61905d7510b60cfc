"""Ending an agent's whole tree: the ladder.

TERM to the group, the grace, KILL to the group, then `cgroup.kill` where the agent has
a cgroup, and the search of `/proc` (`search`), again and again, until a pass finds
nothing. What is left after `LIMIT_S` is a leftover.

Only the wrapper's own group is ever signalled as a group, and only while the wrapper
lives; everything else one by one, through a pidfd, checked by its start time. TERM is
not for a sandbox's keeper, whose end would end the sandbox with no grace.
"""

import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

import anyio
import anyio.to_thread

from workgraph.agents import cgroups
from workgraph.agents.procfs import (
    is_alive,
    is_first_of_namespace,
    open_process,
    read_boot_id,
)
from workgraph.agents.search import Target, search
from workgraph.agents.signs import read_stat
from workgraph.graph.model import ProcessId

__all__ = [
    "LIMIT_S",
    "Target",
    "climb",
    "end_all",
    "find",
    "is_alive",
    "read_boot_id",
    "search",
    "send",
    "signal_group",
    "wait_gone",
]

#: How long the search goes on before what is left is called a leftover.
LIMIT_S: Final = 30.0
#: What the end of its input may take to end an agent, of its grace.
LEAVE_S: Final = 1.0
#: Between two passes, at most; it ends early when what was killed is gone.
_PASS_MS: Final = 100


def signal_group(process: ProcessId, boot_id: str, *numbers: int) -> bool:
    """Signals the group of a wrapper that lives.

    Returns:
        False when the wrapper is gone: then nothing was sent.
    """
    if not is_alive(process, boot_id):
        return False
    with suppress(ProcessLookupError, PermissionError):
        for number in numbers:
            os.killpg(process.pid, number)
    return True


async def wait_gone(process: ProcessId) -> None:
    """Waits for a process that may be nobody's child."""
    fd = open_process(process)
    if fd is None:
        return
    try:
        await anyio.wait_readable(fd)
    finally:
        os.close(fd)


async def let_leave(target: Target, grace_s: float) -> float:
    """Waits a moment for what may end by itself, because its input has ended.

    Returns:
        How much of the grace that took.
    """
    began = time.monotonic()
    if target.process is not None:
        with anyio.move_on_after(min(LEAVE_S, grace_s / 2)):
            await wait_gone(target.process)
    return min(time.monotonic() - began, grace_s)


async def climb(
    target: Target,
    *,
    boot_id: str,
    grace_s: float,
    force: bool,
    before_kill: Callable[[], None] = lambda: None,
) -> tuple[ProcessId, ...]:
    """Ends an agent and all that is left of it.

    Args:
        force: KILL at once.
        before_kill: Called before KILL goes to the group, wrapper included.

    Returns:
        What could not be ended within `LIMIT_S`.
    """
    wrapper = target.process
    if not force:
        members = await find(target, boot_id=boot_id)
        keepers = _keepers(members)
        # CONT: a frozen one would not see its TERM
        group_told = (
            not keepers
            and wrapper is not None
            and signal_group(wrapper, boot_id, signal.SIGTERM, signal.SIGCONT)
        )
        for process in members:
            if process.pid in keepers:
                send(process, signal.SIGCONT)
            elif not (group_told and wrapper and _is_in_group(process, wrapper.pid)):
                send(process, signal.SIGTERM, signal.SIGCONT)
        members = await find(target, boot_id=boot_id)  # and what was forked meanwhile
        with anyio.move_on_after(grace_s):
            async with anyio.create_task_group() as group:
                for process in members:
                    group.start_soon(wait_gone, process)
    if wrapper is not None and is_alive(wrapper, boot_id):
        before_kill()
        signal_group(wrapper, boot_id, signal.SIGKILL)
    left = await end_all((target,), boot_id=boot_id)
    return left.get(target.agent, ())


async def end_all(
    targets: Sequence[Target], *, boot_id: str, limit_s: float = LIMIT_S
) -> dict[int, tuple[ProcessId, ...]]:
    """Kills what is left of agents, until a pass over `/proc` finds nothing.

    The cgroups of those of whom nothing is left are removed.

    Returns:
        What could not be ended, of those agents that have any.
    """
    return await anyio.to_thread.run_sync(
        _end_all, targets, boot_id, limit_s, abandon_on_cancel=True
    )


async def find(target: Target, *, boot_id: str) -> tuple[ProcessId, ...]:
    """Finds what runs of an agent: one pass over `/proc`."""
    found = await anyio.to_thread.run_sync(search, (target,), boot_id)
    return found[target.agent]


def send(process: ProcessId, *numbers: int) -> None:
    """Signals one process, if it is still the same one."""
    fd = open_process(process)
    if fd is None:
        return
    try:
        with suppress(ProcessLookupError, PermissionError):
            for number in numbers:
                signal.pidfd_send_signal(fd, number)
    finally:
        os.close(fd)


def _end_all(
    targets: Sequence[Target], boot_id: str, limit_s: float
) -> dict[int, tuple[ProcessId, ...]]:
    until = time.monotonic() + limit_s
    while True:
        for target in targets:
            for path in target.cgroups:
                if cgroups.pids(path):
                    cgroups.kill(path)
        found = {a: left for a, left in search(targets, boot_id).items() if left}
        if not found or time.monotonic() > until:
            break
        _kill(process for left in found.values() for process in left)
    for target in targets:
        if target.agent not in found:
            for path in target.cgroups:
                cgroups.remove(path)
    return found


def _kill(processes: Iterable[ProcessId]) -> None:
    """Kills and waits a moment; those that stay are met again in the next pass."""
    poll = select.poll()
    fds: list[int] = []
    try:
        for process in processes:
            if (fd := open_process(process)) is None:
                continue
            fds.append(fd)
            with suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
            poll.register(fd, select.POLLIN)
        until = time.monotonic() + _PASS_MS / 1000
        waiting = len(fds)
        while waiting and (left := until - time.monotonic()) > 0:
            for fd, _ in poll.poll(left * 1000):
                poll.unregister(fd)
                waiting -= 1
    finally:
        for fd in fds:
            os.close(fd)


def _is_in_group(process: ProcessId, group: int) -> bool:
    stat = read_stat(process.pid)
    return stat is not None and stat.group == group


def _keepers(members: Iterable[ProcessId]) -> frozenset[int]:
    """The parents of sandboxes' first processes: with them the sandbox ends."""
    firsts = (read_stat(p.pid) for p in members if is_first_of_namespace(p.pid))
    return frozenset(stat.parent for stat in firsts if stat is not None)
