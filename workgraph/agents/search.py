"""The search of `/proc` for what runs of agents.

What belongs to an agent is told by any of

- its session, whose number is the wrapper's pid;
- `WG_AGENT_ID` in the environment, together with the project's `WG_DIR`: agents of two
  projects have the same ids;
- the lock of the agent's folder: a descriptor that is inherited with it. The folder
  open without the lock is somebody's `ls`;
- its cgroup, where it was given one: that holds whatever it does;
- having been found before, by number and start time.
"""

import os
from collections.abc import Mapping, Sequence

from msgspec import Struct

from workgraph.agents import cgroups
from workgraph.agents.procfs import is_alive
from workgraph.agents.signs import (
    Named,
    Stat,
    locked_folders,
    read_named,
    read_stat,
)
from workgraph.graph.model import ProcessId, parse_agent_id


class Target(Struct, frozen=True, kw_only=True):
    """An agent whose tree is looked for.

    Args:
        folder: Absolute; the folder of the agents is beside it, the project's above.
        process: Its wrapper, if that is known. Nothing older can be the agent's.
        own_session: The wrapper was ours until just now. Otherwise its number may have
            become another session's, and the session alone is no proof.
        known: What an earlier search has found and could not end.
        cgroups: Its own, where it was given one.
    """

    agent: int
    folder: str
    inode: int | None = None
    process: ProcessId | None = None
    own_session: bool = True
    known: tuple[ProcessId, ...] = ()
    cgroups: tuple[str, ...] = ()


def search(
    targets: Sequence[Target], boot_id: str
) -> Mapping[int, tuple[ProcessId, ...]]:
    """Looks at every process once and says whose it is. Blocks for some milliseconds.

    Processes of others can't be looked into and are passed over; so is this one.
    """
    marks = _Marks(targets, boot_id)
    found: dict[int, list[ProcessId]] = {target.agent: [] for target in targets}
    own = os.getpid()
    for name in os.listdir("/proc"):
        if not name.isdigit() or (pid := int(name)) == own:
            continue
        stat = read_stat(pid)
        if stat is None or not stat.alive or stat.start_ticks < marks.oldest:
            continue
        agent = marks.owner(pid, stat)
        if agent is not None:
            found[agent].append(
                ProcessId(pid=pid, boot_id=boot_id, start_ticks=stat.start_ticks)
            )
    return {agent: tuple(processes) for agent, processes in found.items()}


def agents_seen(agents_dir: str) -> frozenset[int]:
    """The agents of a project that anything runs of, whoever started it. Blocks.

    By environment, lock and cgroup; what only its session tells is not among them.
    """
    wg_dir = os.path.dirname(os.path.realpath(agents_dir))
    found = set(cgroups.populated(wg_dir))
    own = os.getpid()
    for name in os.listdir("/proc"):
        if not name.isdigit() or (pid := int(name)) == own:
            continue
        agent = _agent_of(pid, wg_dir)
        if agent is not None:
            found.add(agent)
    return frozenset(found)


class _Marks:
    """What tells the processes of some agents, made once for a pass."""

    def __init__(self, targets: Sequence[Target], boot_id: str) -> None:
        wrappers = {
            t.agent: t.process
            for t in targets
            if t.process and t.process.boot_id == boot_id
        }
        self._since = {
            t.agent: wrappers[t.agent].start_ticks if t.agent in wrappers else 0
            for t in targets
        }
        self.oldest = min(self._since.values(), default=0)
        self._sessions = {
            wrapper.pid: t.agent
            for t in targets
            if (wrapper := wrappers.get(t.agent))
            and _is_session_ours(wrapper, gone_too=t.own_session)
        }
        self._ids = {f"agent-{t.agent}": t for t in targets}
        self._folders = {key: t.agent for t in targets if (key := _folder_key(t))}
        self._members = {
            pid: t.agent for t in targets for c in t.cgroups for pid in cgroups.pids(c)
        }
        for t in targets:
            alive = (p for p in t.known if is_alive(p, boot_id))
            self._members.update((process.pid, t.agent) for process in alive)

    def owner(self, pid: int, stat: Stat) -> int | None:
        agent = self._members.get(pid)
        if agent is None:
            agent = self._sessions.get(stat.session)
        if agent is None:
            agent = self._by_environment(pid)
        if agent is None:
            agent = self._by_lock(pid)
        if agent is None or stat.start_ticks < self._since[agent]:
            return None
        return agent

    def _by_environment(self, pid: int) -> int | None:
        said = read_named(pid)
        target = self._ids.get(said.agent) if said is not None else None
        if said is None or target is None:
            return None
        # the folder itself may be a link by now: its agent's doing
        wg_dir = os.path.dirname(os.path.realpath(os.path.dirname(target.folder)))
        return target.agent if _is_of_project(said, wg_dir) else None

    def _by_lock(self, pid: int) -> int | None:
        for folder in locked_folders(pid):
            agent = self._folders.get((folder.device, folder.inode))
            if agent is not None:
                return agent
        return None


def _is_of_project(said: Named, wg_dir: str) -> bool:
    """Whether `WG_DIR` is the `.wg` folder, or the one that contains it."""
    if not said.wg_dir:
        return False
    return os.path.realpath(said.wg_dir) in (wg_dir, os.path.dirname(wg_dir))


def _agent_of(pid: int, wg_dir: str) -> int | None:
    said = read_named(pid)
    if said is not None and said.agent and _is_of_project(said, wg_dir):
        return parse_agent_id(said.agent)
    agents_dir = os.path.join(wg_dir, "agents")
    for folder in locked_folders(pid):
        if os.path.dirname(folder.path) == agents_dir:
            return folder.agent
    return None


def _is_session_ours(wrapper: ProcessId, *, gone_too: bool) -> bool:
    """A number is used again only when its session is empty, so by a new leader."""
    leader = read_stat(wrapper.pid)
    if leader is None:
        return gone_too
    return leader.start_ticks == wrapper.start_ticks


def _folder_key(target: Target) -> tuple[int, int] | None:
    try:
        if target.inode is None:
            stat = os.stat(target.folder)
            return stat.st_dev, stat.st_ino
        # the folder may be gone; what holds it is found all the same
        return os.stat(os.path.dirname(target.folder)).st_dev, target.inode
    except OSError:
        return None
