"""Starts agents so that they outlive the daemon, and learns how they ended.

An agent is a shell, the wrapper (`wrapper`), around the program of the plan. From the
row before the start to the record of the end each step can be the last one of this
process; `settle` is what the next one does about it:

- prepared, not launched: the folder is there, its lock free, `run` not: never started;
- launched, not recorded: the lock is held, from before the fork on: adopted;
- ended while nobody watched: the lock is free and `run` has the status: recorded;
- no status, the wrapper dead, and nothing of it in `/proc`: lost.

How it ended is `ends`'s to say, ending agents is `kill`'s. Here is the only call of
`create_subprocess_exec`.
"""

import asyncio
import resource
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from glob import glob

import anyio
import anyio.to_thread
from msgspec import structs

from workgraph.agents import ends, freeze, kill, record, search, shell, signs, wrapper
from workgraph.agents.cgroups import Cgroups
from workgraph.agents.ends import Judge
from workgraph.agents.inputs import Inputs
from workgraph.agents.niceness import Niceness
from workgraph.agents.output import (
    Offsets,
    Output,
    OutputWatch,
    Written,
    measure_output,
    read_from,
    read_on,
)
from workgraph.agents.record import Lock
from workgraph.agents.search import Target
from workgraph.agents.trees import Trees
from workgraph.agents.wrapper import (
    Adopted,
    Ended,
    Fate,
    Launcher,
    LaunchOrder,
    SpawnError,
    Started,
)
from workgraph.graph.errors import WorkgraphBug
from workgraph.graph.model import ProcessId

__all__ = [
    "Adopted",
    "Ended",
    "Fate",
    "LaunchOrder",
    "Launcher",
    "Offsets",
    "Output",
    "RealLauncher",
    "SpawnError",
    "Started",
    "SweepTarget",
    "Written",
]

#: An agent that has ended; `own_session` is the launcher's to set.
SweepTarget = Target


class _Entry:
    """An agent whose end is waited for: a child, or one that was adopted."""

    def __init__(self, target: Target, child: Process | None) -> None:
        self.target = target
        # referenced until it has ended: collecting its transport would kill it
        self.child = child
        self.ended: Ended | None = None
        self.killed = False


class RealLauncher:
    """Starts agents on this machine.

    An orderly end must not kill them: asyncio kills the children whose transports are
    collected. So the launcher stays referenced, and the process ends with `os._exit`.

    Args:
        nofile_soft: The limit of open files that agents get: what the daemon had
            before `raise_open_files`. By default its present one.
        orphan_grace_s: What is left of an agent whose wrapper was killed has so long
            between TERM and KILL.
        cgroups: Where agents get one. By default where `find_place` says.
    """

    def __init__(
        self,
        shell: str = "/bin/sh",
        nofile_soft: int | None = None,
        orphan_grace_s: float = 10.0,
        cgroups: Cgroups | None = None,
    ) -> None:
        if nofile_soft is None:
            nofile_soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        unlimited = nofile_soft == resource.RLIM_INFINITY
        self._nofile = "unlimited" if unlimited else str(nofile_soft)
        self._shell = shell
        self._boot_id = kill.read_boot_id()
        self._niceness = Niceness()
        self._entries: dict[int, _Entry] = {}
        #: Prepared, not yet launched.
        self._opened: dict[int, wrapper.Opened] = {}
        #: Ended under our eyes: what has their session's number is still theirs.
        self._watched: set[int] = set()
        self._output = OutputWatch()
        self._inputs = Inputs()
        self._closed = False
        self._cgroups = Cgroups() if cgroups is None else cgroups
        self._trees = Trees(self._boot_id, self._cgroups)
        self._judge = Judge(
            self._trees,
            boot_id=self._boot_id,
            orphan_grace_s=orphan_grace_s,
            start=self._start,
        )
        #: What moves a prepared agent into its cgroup.
        self._ways_in: dict[int, str] = {}

    async def prepare(self, orders: Sequence[LaunchOrder]) -> dict[int, str]:
        """Makes folders, files, cgroups of a batch, and opens them, in one thread."""
        errors, opened = await anyio.to_thread.run_sync(self._prepare, orders)
        for agent, files in opened.items():
            if (older := self._opened.pop(agent, None)) is not None:
                older.abandon()
            self._opened[agent] = files
        return errors

    def _prepare(
        self, orders: Sequence[LaunchOrder]
    ) -> tuple[dict[int, str], dict[int, wrapper.Opened]]:
        errors, opened = wrapper.prepare(orders)
        for order in orders:
            if order.cgroup and order.agent not in errors:
                way = self._cgroups.make(order.folder, order.agent)
                if way is not None:
                    self._ways_in[order.agent] = way
        return errors, opened

    async def launch(self, order: LaunchOrder) -> Started:
        """Starts an agent. It holds the loop for half a millisecond and more."""
        if self._closed:
            msg = f"agent-{order.agent} was launched after the launcher was closed"
            raise WorkgraphBug(msg)
        with anyio.CancelScope(shield=True):
            try:
                child, inode = await self._start(order)
            except (OSError, ValueError, MemoryError) as error:
                return await self._look_after_failure(order, error)
        self._niceness.lower(child, order.nice)
        process = self._identify(child)
        target = Target(
            agent=order.agent, folder=order.folder, inode=inode, process=process
        )
        self._entries[order.agent] = _Entry(target, child)
        return Started(agent=order.agent, process=process, folder_inode=inode)

    async def wait_ended(self, agent: int) -> Ended:
        """Waits for a child's exit, or for the pidfd of an adopted one."""
        entry = self._entries[agent]
        status: int | None = None
        if entry.child is not None:
            # without pipes there is nothing in it that a cancellation could break
            status = await entry.child.wait()
        elif entry.target.process is not None and entry.ended is None:
            await kill.wait_gone(entry.target.process)
        plain = entry.ended or ends.judge_plain(entry.target, status)
        if plain is not None:
            ended = plain
        else:
            with anyio.CancelScope(shield=True):
                ended = await self._judge.judge(
                    entry.target, status, killed=entry.killed
                )
        if self._inputs.is_unread(agent):
            ended = structs.replace(ended, unread=True)
        self._inputs.close(agent)
        if self._entries.get(agent) is entry:
            del self._entries[agent]
            if entry.target.own_session:
                self._watched.add(agent)
        return ended

    async def find_running(
        self, agents: Sequence[Target]
    ) -> dict[int, tuple[ProcessId, ...]]:
        """One pass over `/proc` for all whose end may have to be guessed."""
        targets = [
            structs.replace(target, own_session=False)
            for target in agents
            if (known := target.process) is None
            or (
                known.boot_id == self._boot_id
                and not kill.is_alive(known, self._boot_id)
            )
        ]
        return await self._trees.find_all(targets) if targets else {}

    async def settle(
        self,
        agent: int,
        folder: str,
        inode: int | None,
        process: ProcessId | None,
        running: Sequence[ProcessId] | None = None,
    ) -> Adopted | Ended:
        """Adopts an agent or tells how it ended; the rules are DESIGN §7's."""
        target = Target(
            agent=agent, folder=folder, inode=inode, process=process, own_session=False
        )
        if process is not None and kill.is_alive(process, self._boot_id):
            return self._adopt(target, process)
        seen = await record.wait_first_line(folder, inode)
        if seen.lock is Lock.HELD:
            if seen.record.pid is not None:
                if process is None:  # killed between the start and its row
                    pid = seen.record.pid
                    process = await self._find_wrapper(target, pid, running or ())
                # the wrapper or, where it is dead, what it left: `wait_ended` sees
                return self._adopt(target, process)
            await self._climb(target, grace_s=0.0, force=True)
            seen = record.look(folder, inode)
        if seen.record.status is not None:
            return await self._judge.read_end(target, seen.record, seen.record.status)
        return await self._judge.judge_silent(target, seen, running)

    async def stop(
        self,
        agent: int,
        folder: str,
        process: ProcessId | None,
        grace_s: float,
        force: bool,  # noqa: FBT001 - as in the protocol
    ) -> tuple[ProcessId, ...]:
        """Ends its input, and after a moment the agent by the ladder of `kill`."""
        entry = self._entries.get(agent)
        target = (
            entry.target
            if entry is not None
            else Target(agent=agent, folder=folder, process=process, own_session=False)
        )
        if self._inputs.has(agent):
            self._inputs.close(agent)
            if not force:
                grace_s -= await kill.let_leave(target, grace_s)
        return await self._climb(target, grace_s=grace_s, force=force)

    async def sweep(
        self, agents: Sequence[SweepTarget], limit_s: float = kill.LIMIT_S
    ) -> dict[int, tuple[ProcessId, ...]]:
        """Ends what agents left behind, all in one search."""
        targets = [
            structs.replace(target, own_session=target.agent in self._watched)
            for target in agents
        ]
        left = await self._trees.sweep(targets, limit_s)
        self._watched.difference_update({t.agent for t in targets} - left.keys())
        return left

    async def agents_seen(self, agents_dir: str) -> frozenset[int]:
        """One pass over `/proc` for all agents of a project."""
        return await anyio.to_thread.run_sync(search.agents_seen, agents_dir)

    async def write_input(self, agent: int, data: bytes) -> bool:
        """Writes to its pipe."""
        return await self._inputs.write(agent, data)

    def has_input(self, agent: int) -> bool:
        """Whether its pipe is ours."""
        return self._inputs.has(agent)

    async def freeze(self, agents: Sequence[int]) -> tuple[int, ...]:
        """Stops groups, then what has left them."""
        return await self._signal_trees(agents, freeze.stop_trees)

    async def thaw(self, agents: Sequence[int]) -> tuple[int, ...]:
        """Lets all of it go on."""
        return await self._signal_trees(agents, freeze.continue_trees)

    async def read_output(self, agent: int, folder: str) -> Output:
        """Looks at the logs."""
        del agent
        return await anyio.to_thread.run_sync(measure_output, folder)

    async def wait_output(self, agent: int, folder: str, known: Offsets) -> None:
        """Waits for the kernel's word."""
        del agent
        await self._output.wait(folder, known)

    async def read_on(
        self, agent: int, folder: str, offsets: Offsets, most: int
    ) -> Written:
        """Reads in a thread."""
        del agent
        return await anyio.to_thread.run_sync(read_on, folder, offsets, most)

    async def find_kept(self, agent: int, pattern: str) -> str | None:
        """Looks in a thread: a client may have kept thousands of them."""
        del agent
        found = await anyio.to_thread.run_sync(glob, pattern)
        return found[0] if found else None

    async def read_kept(self, agent: int, path: str, offset: int, most: int) -> bytes:
        """Reads in a thread."""
        del agent
        return await anyio.to_thread.run_sync(read_from, path, offset, most)

    async def close(self) -> None:
        """Refuses further starts. Agents and waits are left as they are."""
        self._closed = True
        self._output.close()
        while self._opened:
            self._opened.popitem()[1].abandon()
        self._inputs.close_all()
        await anyio.to_thread.run_sync(self._cgroups.leave)

    async def _start(self, order: LaunchOrder) -> tuple[Process, int]:
        opened = self._opened.pop(order.agent, None) or wrapper.open_files(order)
        way_in = self._ways_in.pop(order.agent, None)
        try:
            record.take_lock(opened.lock)
            wrapper.check_program(order.argv[0])
            child = await asyncio.create_subprocess_exec(
                self._shell,
                "-c",
                shell.script(
                    apart=order.stderr_apart,
                    sandboxed=order.sandboxed,
                    cgroup=way_in is not None,
                ),
                shell.NAME,
                order.folder,
                self._nofile,
                *((way_in,) if way_in is not None else ()),
                *order.argv,
                stdin=opened.stdin,
                stdout=opened.log,
                stderr=opened.lock if order.sandboxed else opened.log,
                start_new_session=True,
                pass_fds=() if order.sandboxed else (opened.lock,),
                env=order.env,
                cwd=order.cwd,
            )
        except BaseException:
            opened.abandon()
            raise
        opened.close()
        if opened.input is not None:
            self._inputs.keep(order.agent, opened.input)
        return child, opened.inode

    def _identify(self, child: Process) -> ProcessId:
        # reaped already: its number may be another's
        found = signs.read_stat(child.pid) if child.returncode is None else None
        return ProcessId(
            pid=child.pid,
            boot_id=self._boot_id,
            start_ticks=found.start_ticks if found else 0,
        )

    async def _look_after_failure(
        self, order: LaunchOrder, error: Exception
    ) -> Started:
        """A start that raised may have started something all the same."""
        seen = await record.look_patiently(order.folder)
        if seen.lock is Lock.MISSING or (
            seen.lock is Lock.FREE and seen.record.pid is None
        ):
            raise SpawnError(wrapper.explain(error, order)) from error
        if isinstance(error, BlockingIOError) and order.agent in self._entries:
            msg = f"agent-{order.agent} was launched twice"
            raise WorkgraphBug(msg) from error
        assert seen.inode is not None
        found = await self.settle(order.agent, order.folder, seen.inode, None)
        if isinstance(found, Adopted):
            process = found.process
        elif found.fate is Fate.NEVER_STARTED or seen.record.pid is None:
            raise SpawnError(wrapper.explain(error, order)) from error
        else:
            process = self._gone(seen.record.pid)
            target = Target(agent=order.agent, folder=order.folder, process=process)
            entry = _Entry(target, None)
            entry.ended = found
            self._entries[order.agent] = entry
        return Started(agent=order.agent, process=process, folder_inode=seen.inode)

    async def _find_wrapper(
        self, target: Target, pid: int, running: Sequence[ProcessId]
    ) -> ProcessId:
        found = next((process for process in running if process.pid == pid), None)
        if found is not None:
            return found
        of_it = await self._trees.find(target)
        return next((one for one in of_it if one.pid == pid), self._gone(pid))

    def _gone(self, pid: int) -> ProcessId:
        """The identity of a wrapper that is dead: no process has this start time."""
        return ProcessId(pid=pid, boot_id=self._boot_id, start_ticks=0)

    def _adopt(self, target: Target, process: ProcessId) -> Adopted:
        own = kill.is_alive(process, self._boot_id)
        target = structs.replace(target, process=process, own_session=own)
        self._entries[target.agent] = _Entry(target, None)
        return Adopted(agent=target.agent, process=process)

    async def _climb(
        self, target: Target, *, grace_s: float, force: bool
    ) -> tuple[ProcessId, ...]:
        def note_kill() -> None:
            if (entry := self._entries.get(target.agent)) is not None:
                entry.killed = True

        return await self._trees.climb(
            target, grace_s=grace_s, force=force, before_kill=note_kill
        )

    async def _signal_trees(
        self,
        agents: Sequence[int],
        signal_all: Callable[[Sequence[Target], str], tuple[int, ...]],
    ) -> tuple[int, ...]:
        targets = [self._entries[n].target for n in agents if n in self._entries]
        if not targets:
            return ()
        return await anyio.to_thread.run_sync(signal_all, targets, self._boot_id)
