"""Fakes of the seams to the world; each passes the contract tests of the real thing."""

from collections.abc import Sequence
from fnmatch import fnmatch

import anyio
from msgspec import structs

from workgraph.agents.kill import LIMIT_S
from workgraph.agents.process import (
    Adopted,
    Ended,
    Fate,
    LaunchOrder,
    Offsets,
    Output,
    SpawnError,
    Started,
    SweepTarget,
    Written,
)
from workgraph.graph.errors import WorkgraphBug
from workgraph.graph.model import ProcessId

_FIRST_PID = 1_000_000


class _Agent:
    """An agent as the world has it, whether or not a daemon knows."""

    def __init__(self, order: LaunchOrder) -> None:
        self.order = order
        self.started: Started | None = None
        self.ended: Ended | None = None
        #: Set at the end; made anew when a daemon dies, with those who wait on it.
        self.gone = anyio.Event()
        self.adopted = False


class FakeLauncher:
    """A launcher without processes: tests say what agents do.

    `orders` and `stops` are what was asked of it, in order. The agents live on when
    the daemon "dies" (`crash`), as the real ones do.
    """

    def __init__(self) -> None:
        self.orders: list[LaunchOrder] = []
        #: Agent and whether it was forced.
        self.stops: list[tuple[int, bool]] = []
        self.swept: list[int] = []
        self.frozen: set[int] = set()
        #: What agents have written, and when; a byte and never unless tests say so.
        self.outputs: dict[int, Output] = {}
        #: What agents have written to out and err, for those that follow it.
        self.written: dict[int, tuple[bytes, bytes]] = {}
        #: Agents that have made something else of their files.
        self.unreadable: set[int] = set()
        #: Files that clients keep elsewhere, by path.
        self.kept: dict[str, bytes] = {}
        self._more: dict[int, anyio.Event] = {}
        #: Whether agents write nothing unless tests say so.
        self.silent = False
        #: Agents that ignore TERM.
        self.stubborn: set[int] = set()
        #: Agents that go on after any signal: tests end them with `exit`.
        self.unmoved: set[int] = set()
        #: What `stop` and `sweep` can't end, by agent.
        self.leftovers: dict[int, tuple[ProcessId, ...]] = {}
        #: Agents of which something is seen to run when a daemon starts.
        self.strays: set[int] = set()
        #: Whom each search at a daemon's start was for, in order.
        self.searches: list[tuple[int, ...]] = []
        #: Agents that were settled without having been searched for.
        self.unsearched: set[int] = set()
        self._agents: dict[int, _Agent] = {}
        #: What agents that keep their input were given to read, while they have it.
        self.inputs: dict[int, list[bytes]] = {}
        #: All that was ever given, in order, by agent.
        self.given: list[tuple[int, bytes]] = []
        #: Agents that read nothing of it.
        self.deaf: set[int] = set()
        #: Agents that end by themselves at the end of their input.
        self.polite: set[int] = set()
        self._failures: list[str] = []
        self._prepare_failures: list[str] = []
        self._closed = False

    # What tests say.

    def exit(
        self, agent: int, code: int | None = None, signal: int | None = None
    ) -> None:
        """Ends an agent: by itself with a code, or by a signal."""
        fate = Fate.SIGNALED if code is None else Fate.EXITED
        self.end(Ended(agent=agent, fate=fate, exit_code=code, signal=signal))

    def end(self, ended: Ended) -> None:
        """Ends an agent in any way there is, lost ones included."""
        known = self._agents[ended.agent]
        assert known.started is not None, f"agent-{ended.agent} was not launched"
        assert known.ended is None, f"agent-{ended.agent} has ended"
        if ended.agent in self.deaf and self.inputs.get(ended.agent):
            ended = structs.replace(ended, unread=True)
        known.ended = ended
        self.inputs.pop(ended.agent, None)
        self.frozen.discard(ended.agent)
        known.gone.set()

    def write(self, agent: int, out: bytes = b"", err: bytes = b"") -> None:
        """Has an agent write more."""
        before = self.written.get(agent, (b"", b""))
        self.written[agent] = (before[0] + out, before[1] + err)
        self._more.pop(agent, anyio.Event()).set()

    def fail_next(self, reason: str) -> None:
        """Makes the next launch fail; calls add up."""
        self._failures.append(reason)

    def fail_next_prepare(self, reason: str) -> None:
        """Makes the next folder that is to be made fail; calls add up."""
        self._prepare_failures.append(reason)

    def crash(self) -> None:
        """The daemon dies: what runs goes on, and nobody waits for it.

        The inputs that it kept open have ended with it.
        """
        self.inputs.clear()
        for agent in self._agents.values():
            agent.adopted = False
            agent.gone = anyio.Event()
            if agent.ended is not None:
                agent.gone.set()
        self._closed = False

    def forget(self, agent: int) -> None:
        """Removes an agent with its folder, as if it had never been prepared."""
        del self._agents[agent]

    def running(self) -> tuple[int, ...]:
        """The agents that run, by number."""
        return tuple(sorted(n for n in self._agents if self._runs(n)))

    # What the daemon asks.

    async def prepare(self, orders: Sequence[LaunchOrder]) -> dict[int, str]:
        """Keeps the orders; see `Launcher`."""
        errors = {}
        for order in orders:
            if self._prepare_failures:
                errors[order.agent] = self._prepare_failures.pop(0)
            elif self._was_started(order.agent):
                errors[order.agent] = "an agent ran there already"
            else:
                self._agents[order.agent] = _Agent(order)
        return errors

    async def launch(self, order: LaunchOrder) -> Started:
        """Records the order and says that it runs."""
        if self._closed:
            msg = f"agent-{order.agent} was launched after the launcher was closed"
            raise WorkgraphBug(msg)
        if self._failures:
            raise SpawnError(self._failures.pop(0))
        agent = self._agents.get(order.agent)
        if agent is None:
            msg = f"{order.folder} can't be used: No such file or directory"
            raise SpawnError(msg)
        if agent.started is not None:
            msg = f"agent-{order.agent} was launched twice"
            raise WorkgraphBug(msg)
        self.orders.append(order)
        agent.adopted = True
        if order.keeps_input:
            self.inputs[order.agent] = []
        agent.started = Started(
            agent=order.agent,
            process=self._process_of(order.agent),
            folder_inode=order.agent,
        )
        return agent.started

    async def wait_ended(self, agent: int) -> Ended:
        """Waits until the test has ended it."""
        known = self._agents[agent]
        if not known.adopted:
            msg = f"agent-{agent} was neither launched nor adopted"
            raise WorkgraphBug(msg)
        await known.gone.wait()
        assert known.ended is not None
        if agent in self.unreadable:
            raise PermissionError(13, "Permission denied", f"agent-{agent}/run")
        return known.ended

    async def find_running(
        self, agents: Sequence[SweepTarget]
    ) -> dict[int, tuple[ProcessId, ...]]:
        """Notes who was looked for."""
        self.searches.append(tuple(target.agent for target in agents))
        return {
            target.agent: (self._process_of(target.agent),)
            if self._runs(target.agent)
            else ()
            for target in agents
        }

    async def settle(
        self,
        agent: int,
        folder: str,
        inode: int | None,
        process: ProcessId | None,
        running: Sequence[ProcessId] | None = None,
    ) -> Adopted | Ended:
        """Adopts what runs, and tells how the others ended."""
        del folder
        if running is None:
            self.unsearched.add(agent)
        known = self._agents.get(agent)
        if known is None or known.started is None:
            unknown = inode is None and process is None
            fate = Fate.NEVER_STARTED if unknown else Fate.LOST
            return Ended(agent=agent, fate=fate)
        if known.ended is not None:
            return known.ended
        known.adopted = True
        return Adopted(agent=agent, process=known.started.process)

    async def stop(
        self,
        agent: int,
        folder: str,
        process: ProcessId | None,
        grace_s: float,
        force: bool,
    ) -> tuple[ProcessId, ...]:
        """Ends it by TERM, or by KILL if it is stubborn or that is asked."""
        del folder, process, grace_s
        self.stops.append((agent, force))
        leaves = agent in self.polite and agent in self.inputs and not force
        self.inputs.pop(agent, None)
        self.frozen.discard(agent)  # CONT goes with TERM
        if self._runs(agent) and leaves:
            self.exit(agent, code=0)
        elif self._runs(agent) and agent not in self.unmoved:
            self.exit(agent, signal=9 if force or agent in self.stubborn else 15)
        return self.leftovers.get(agent, ())

    async def sweep(
        self, agents: Sequence[SweepTarget], limit_s: float = LIMIT_S
    ) -> dict[int, tuple[ProcessId, ...]]:
        """Notes who was swept."""
        del limit_s
        numbers = [target.agent for target in agents]
        self.swept.extend(numbers)
        return {n: self.leftovers[n] for n in numbers if self.leftovers.get(n)}

    async def agents_seen(self, agents_dir: str) -> frozenset[int]:
        """Those that run, and `strays`."""
        del agents_dir
        return frozenset(self.strays) | {n for n in self._agents if self._runs(n)}

    async def write_input(self, agent: int, data: bytes) -> bool:
        """Keeps what it is given, as long as it can be given anything."""
        if agent not in self.inputs:
            return False
        self.inputs[agent].append(data)
        self.given.append((agent, data))
        return True

    def has_input(self, agent: int) -> bool:
        """Whether it can be given something."""
        return agent in self.inputs

    async def freeze(self, agents: Sequence[int]) -> tuple[int, ...]:
        """Notes them in `frozen`."""
        running = tuple(agent for agent in agents if self._runs(agent))
        self.frozen.update(running)
        return running

    async def thaw(self, agents: Sequence[int]) -> tuple[int, ...]:
        """Takes them out of `frozen`."""
        self.frozen.difference_update(agents)
        return tuple(agent for agent in agents if self._runs(agent))

    async def read_output(self, agent: int, folder: str) -> Output:
        """What a test has said."""
        del folder
        default = Output(size=0 if self.silent else 1, written_at=0)
        return self.outputs.get(agent, default)

    async def wait_output(self, agent: int, folder: str, known: Offsets) -> None:
        """Waits until a test has it write more."""
        while True:
            if agent in self.unreadable:
                raise IsADirectoryError(21, "Is a directory", "output.log")
            more = self._more.setdefault(agent, anyio.Event())
            out, err = self.written.get(agent, (b"", b""))
            if len(out) > known[0] or len(err) > known[1]:
                return
            await more.wait()

    async def read_on(
        self, agent: int, folder: str, offsets: Offsets, most: int
    ) -> Written:
        """A piece of what it has written."""
        del folder
        out, err = self.written.get(agent, (b"", b""))
        return Written(out[offsets[0] :][:most], err[offsets[1] :][:most])

    async def find_kept(self, agent: int, pattern: str) -> str | None:
        """The first of `kept` that the pattern names."""
        del agent
        return next((path for path in self.kept if fnmatch(path, pattern)), None)

    async def read_kept(self, agent: int, path: str, offset: int, most: int) -> bytes:
        """A piece of it, or of what a test has had it write."""
        if path.endswith("/output.log"):
            return self.written.get(agent, (b"", b""))[0][offset:][:most]
        return self.kept[path][offset:][:most]

    async def close(self) -> None:
        """Refuses further starts, and ends all inputs."""
        self._closed = True
        self.inputs.clear()

    def _process_of(self, agent: int) -> ProcessId:
        return ProcessId(pid=_FIRST_PID + agent, boot_id="fake", start_ticks=agent)

    def _was_started(self, agent: int) -> bool:
        known = self._agents.get(agent)
        return known is not None and known.started is not None

    def _runs(self, agent: int) -> bool:
        return self._was_started(agent) and self._agents[agent].ended is None
