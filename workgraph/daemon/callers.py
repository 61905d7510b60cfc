"""Who is calling: an operator, an attempt by its token, or an agent without one.

A token alone could be left out, and an agent would be an operator. So the process that
asks for more than reading is looked at (`peer`, `signs`), and what is found is compared
with this project's attempts: its ancestors and their sessions with the wrappers that
live, their environments, the locked folders that they have inherited, its cgroup.
This catches mistakes, not malice: without a sandbox it can be evaded
(docs/security.md).
"""

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar
from weakref import WeakKeyDictionary

import anyio.to_thread

from workgraph.agents import cgroups, kill, signs
from workgraph.agents.signs import LockedFolder, Memory, Named, Trail
from workgraph.commands.access import Origin, Reach, check_origin, reach_of
from workgraph.commands.context import Caller
from workgraph.daemon.engine import Engine
from workgraph.daemon.peer import Look, Peer, Witness
from workgraph.graph import requests as r
from workgraph.graph.errors import ConflictError, ForbiddenError, WorkgraphError
from workgraph.graph.model import ProcessId, parse_agent_id
from workgraph.store import agent_reads
from workgraph.store.database import Store, Tx

T = TypeVar("T")
#: Runs a job that reads the graph.
Read = Callable[[Callable[[Tx], T]], Awaitable[T]]
Wrappers = list[tuple[int, ProcessId]]


class Callers:
    """Says of each request who asks for it.

    Args:
        engine: Knows the attempts.
        wg_dir: The project's, as agents have it in their environment.
    """

    def __init__(self, engine: Engine, wg_dir: str) -> None:
        self._engine = engine
        self._wg_dir = wg_dir
        #: Whose children are the machinery's.
        self._daemon = os.getpid() if engine.mode.is_daemon else None
        self._memory = Memory()
        self._seen: WeakKeyDictionary[Witness, Origin] = WeakKeyDictionary()

    async def identify(self, request: r.AnyRequest, name: str, peer: Peer) -> Caller:
        """The caller, to be believed for this request.

        Args:
            request: Reading needs no look at who reads.
            name: What an operator is called.
            peer: The process at the other end.

        Raises:
            ForbiddenError: It comes from an agent and does not show its token.
            ConflictError: The token is of no attempt.
        """
        if reach_of(request) is Reach.READ:
            return await self._engine.caller_of(request.token, name)
        origin = await self._origin(peer)
        try:
            caller = await self._engine.caller_of(request.token, name)
        except ConflictError:
            if origin.agents:
                check_origin(origin, None)
            raise
        check_origin(origin, caller.agent)
        return caller

    async def _origin(self, peer: Peer) -> Origin:
        witness = peer.witness
        if witness is not None and witness in self._seen:
            return self._seen[witness]
        clock = self._engine.clock
        origin = await find_origin(
            await peer.look(self._memory),
            self._wg_dir,
            self._daemon,
            lambda job: self._engine.store.read(job, clock.now()),
        )
        if witness is not None:
            self._seen[witness] = origin
        return origin


async def find_origin(
    look: Look, wg_dir: str, daemon: int | None, read: Read[Wrappers]
) -> Origin:
    """Whose of this project a process is, by what a look at it has found.

    Args:
        look: What was found.
        wg_dir: The project's folder.
        daemon: The pid whose children are the machinery's.
        read: Reads the graph.
    """
    if look.is_gone:
        return Origin(is_gone=True)
    trail = look.trail
    pids = [pid for pid, _ in trail.processes]
    agents, gates = set[int](), False
    if trail.named or trail.locked or trail.cgroup:
        agents, gates = await anyio.to_thread.run_sync(_told_here, trail, wg_dir)
    numbers = {*pids, *trail.sessions}
    if numbers:
        wrappers = await read(lambda tx: agent_reads.live_wrappers(tx, numbers))
        agents |= {n for n, process in wrappers if _is_wrapper_of(process, trail)}
    return Origin(
        agents=frozenset(agents),
        is_machinery=gates or (daemon is not None and daemon in pids[1:]),
    )


async def refuse_agent(wg_dir: Path, env: Mapping[str, str], what: str) -> None:
    """Keeps an agent's process, which this one may be, from what is the operator's.

    For what no daemon is asked. Where the graph can't be read it names nobody: whoever
    needs it will say why.

    Raises:
        ForbiddenError: This process has an agent's token, or comes from an agent.
    """
    look = Look(trail=await anyio.to_thread.run_sync(signs.look, os.getpid()))

    async def read(job: Callable[[Tx], Wrappers]) -> Wrappers:
        try:
            store = await Store.open_to_read(wg_dir / "graph.db")
            try:
                return await store.read(
                    lambda tx: job(tx) if agent_reads.has_agents(tx) else [], 0
                )
            finally:
                await store.close()
        except WorkgraphError:
            return []

    origin = await find_origin(look, os.fspath(wg_dir), None, read)
    if env.get("WG_TOKEN") or origin.agents or origin.is_machinery:
        raise ForbiddenError(
            f"an agent may not do that: it is the operator's {what}",
            hint="an agent speaks for its own attempt alone",
        )


def _told_here(trail: Trail, wg_dir: str) -> tuple[set[int], bool]:
    """The agents that environments and locks name, and whether a gate is named."""
    here = [named for named in trail.named if _is_here(named, wg_dir)]
    numbers = {parse_agent_id(named.agent) for named in here}
    agents = {number for number in numbers if number is not None}
    agents |= {lock.agent for lock in trail.locked if _is_folder_of(lock, wg_dir)}
    number = cgroups.agent_named_in(trail.cgroup, wg_dir)
    if number is not None:
        agents.add(number)
    return agents, any(named.gate for named in here)


def _is_here(named: Named, wg_dir: str) -> bool:
    """Agents of two projects have the same ids; without a project this one is meant."""
    here = (wg_dir, os.path.dirname(wg_dir), "")
    return named.wg_dir in here or os.path.realpath(named.wg_dir) in here


def _is_folder_of(lock: LockedFolder, wg_dir: str) -> bool:
    folder = os.path.join(wg_dir, "agents", f"agent-{lock.agent}")
    try:
        stat = os.stat(folder)
    except OSError:  # it was removed: what it was called is all there is
        return lock.path.removesuffix(" (deleted)") == folder
    return (stat.st_dev, stat.st_ino) == (lock.device, lock.inode)


def _is_wrapper_of(process: ProcessId, trail: Trail) -> bool:
    """Whether a wrapper is an ancestor, or led the session of one."""
    if process.boot_id != kill.read_boot_id():
        return False
    if (process.pid, process.start_ticks) in trail.processes:
        return True
    leader = signs.read_stat(process.pid)
    # Its number is used again only when its session is empty.
    same = leader is None or leader.start_ticks == process.start_ticks
    return process.pid in trail.sessions and same
