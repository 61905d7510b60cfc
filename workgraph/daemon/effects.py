"""Effects: what a tick has decided, carried out in the world after its commit.

What they learn is posted as a fact and comes into the next tick. An effect that fails
is a fact, too: nothing here raises into the engine.
"""

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar, TypeVarTuple, Unpack

import anyio
import anyio.abc
import anyio.to_thread
from msgspec import structs

from workgraph.agents.choices import Awaited, Host
from workgraph.agents.process import (
    Adopted,
    Ended,
    Fate,
    Launcher,
    SpawnError,
    Started,
    SweepTarget,
)
from workgraph.daemon.answers import read_answer
from workgraph.daemon.artifacts import READERS
from workgraph.daemon.clients import Clients
from workgraph.daemon.fates import fact_of
from workgraph.daemon.fetching import read_files
from workgraph.daemon.gates import judge_gate
from workgraph.daemon.orders import (
    AwaitHost,
    Effect,
    EndLeftover,
    Listen,
    LookAtOutput,
    ReadAnswer,
    ReadFiles,
    RunGate,
    Spawn,
    StopProcess,
    WatchPaths,
    WriteInput,
    target_of,
)
from workgraph.daemon.paths import PathWatch
from workgraph.graph.errors import may_pass
from workgraph.graph.facts import (
    AgentEnded,
    AgentStarted,
    Fact,
    FilesRead,
    InputTaken,
    LeftoverFound,
    LifeSought,
    PathFound,
)
from workgraph.graph.model import Agent, Outcome, ProcessId
from workgraph.logs import Logger

#: The least time between two searches of `/proc` for what ended agents left behind.
_SWEEP_GAP_S: Final = 0.5
#: What the machine refuses is asked again after this, doubling to the second one.
_ASK_AGAIN_S: Final = 0.5
_ASK_AGAIN_MAX_S: Final = 10.0
#: What ends later has worked, whatever it has written.
_TOO_FAST_S: Final = 1.0

T = TypeVar("T")
Args = TypeVarTuple("Args")


class Effects:
    """Carries out effects in a task group that its owner gives.

    Args:
        launcher: The seam to the world of processes.
        post: Where facts go.
        agents_dir: The folder that holds the agents' folders.
        log: The daemon's log.
        time: Seconds that only go on, by which it is seen who ends too fast.
    """

    def __init__(
        self,
        launcher: Launcher,
        post: Callable[[Fact], None],
        agents_dir: str,
        log: Logger,
        *,
        time: Callable[[], float] = anyio.current_time,
    ) -> None:
        self._time = time
        self._launcher = launcher
        self._post = post
        self._agents_dir = agents_dir
        self._log = log
        self.clients = Clients(launcher, post, self.folder, log)
        self._ended: list[SweepTarget] = []
        self._sweep_wanted = anyio.Event()
        #: Tasks whose gates are being run.
        self.judging: set[str] = set()
        #: Agents whose output is being looked at.
        self.looking: set[int] = set()
        #: Paths that tasks wait for.
        self.paths = PathWatch(lambda path: post(PathFound(path=path)))
        #: Ended agents whose last words are being read.
        self.reading: set[int] = set()
        #: Tasks for whose prompts files are being read.
        self.fetching: dict[str, ReadFiles] = {}
        #: What tasks wait for that this host lacks.
        self.awaited: set[Awaited] = set()
        #: Whatever starts now is to stand still at once.
        self._is_frozen = False
        #: Files that are read through take their time, and others need threads.
        self._readers = anyio.CapacityLimiter(READERS)
        #: Handlers that can be written to: their ends have not been posted.
        self.inputs: set[int] = set()
        self.found_ended: set[int] = set()
        self._stopping: dict[int, StopProcess] = {}
        self._starting = 0
        self._awaited = 0
        #: The daemon ends: what is not started yet is left to the next one.
        self.closing = False

    def folder(self, agent: int) -> str:
        """Where an agent's prompt, plan, output and exit are kept."""
        return os.path.join(self._agents_dir, f"agent-{agent}")

    @property
    def launcher(self) -> Launcher:
        """The seam to the world of processes, for a run that is no agent's."""
        return self._launcher

    @property
    def is_starting(self) -> bool:
        """Whether an agent is on its way to be started."""
        return self._starting > 0 or bool(self.fetching)

    @property
    def is_awaiting(self) -> bool:
        """Whether the end of an agent is waited for."""
        return self._awaited > 0

    def perform(  # noqa: C901, PLR0912 - one arm for each kind
        self, effects: Sequence[Effect], group: anyio.abc.TaskGroup
    ) -> None:
        """Starts to carry out what a tick has decided."""
        spawns = [effect for effect in effects if isinstance(effect, Spawn)]
        if spawns:
            self._starting += len(spawns)
            group.start_soon(self._spawn, spawns, group)
        for effect in effects:
            match effect:
                case StopProcess():
                    if effect.agent not in self._stopping:
                        self._stopping[effect.agent] = effect
                        group.start_soon(self._stop, effect)
                case EndLeftover():
                    group.start_soon(self.end_leftover, effect)
                case LookAtOutput():
                    self.looking.add(effect.agent)
                    group.start_soon(self._look, effect)
                case AwaitHost():
                    self.awaited.update(effect.awaited)
                case WatchPaths():
                    self.paths.want(effect.paths, group)
                case RunGate():
                    self.judging.add(effect.task)
                    group.start_soon(self._judge, effect)
                case ReadAnswer():
                    self.judging.add(effect.task)
                    group.start_soon(self._read_answer, effect)
                case ReadFiles():
                    self.fetching[effect.task] = effect
                    group.start_soon(self._fetch, effect)
                case WriteInput():
                    group.start_soon(self._write, effect)
                case Spawn():
                    pass

    async def find_running(
        self, agents: Sequence[Agent]
    ) -> dict[int, tuple[ProcessId, ...]]:
        """What runs of agents that an earlier daemon left, in one search."""
        if not agents:
            return {}
        targets = [target_of(agent, self.folder(agent.number)) for agent in agents]
        return await self._patiently(self._launcher.find_running, targets)

    async def settle(
        self, agent: Agent, running: Sequence[ProcessId] | None
    ) -> Adopted | Ended:
        """What has become of an agent that an earlier daemon started."""
        return await self._patiently(
            self._launcher.settle,
            agent.number,
            self.folder(agent.number),
            agent.folder_inode,
            agent.process,
            running,
        )

    async def wait_ended(
        self,
        agent: int,
        process: ProcessId | None,
        *,
        may_be_too_fast: bool = False,
    ) -> None:
        """Waits for an agent's end and posts it."""
        began = self._time()
        output = None
        self._awaited += 1
        try:
            ended = await self._wait_listening(agent)
            if may_be_too_fast and self._time() - began < _TOO_FAST_S:
                output = await self._launcher.read_output(agent, self.folder(agent))
            await self.note_end(ended, process, output.size if output else None)
        finally:
            self._awaited -= 1

    def listen(self, agent: int, listen: Listen | None) -> None:
        """Has what an agent writes read from its start on, once it is waited for."""
        self.clients.open(agent, listen)

    async def note_end(
        self, ended: Ended, process: ProcessId | None, output_bytes: int | None = None
    ) -> None:
        """Posts an end with the last words, and has what it left behind looked for."""
        report = None
        if self.clients.has(ended.agent):
            self.reading.add(ended.agent)
            report = await self._patiently(
                self.clients.finish, ended.agent, ended.exit_code, ended.signal
            )
            self.reading.discard(ended.agent)
        self._stopping.pop(ended.agent, None)
        self.inputs.discard(ended.agent)
        self._ended.append(
            SweepTarget(
                agent=ended.agent, folder=self.folder(ended.agent), process=process
            )
        )
        self._sweep_wanted.set()
        fact = fact_of(ended)
        self._post(structs.replace(fact, output_bytes=output_bytes, report=report))

    async def _wait_listening(self, agent: int) -> Ended:
        """Waits for an agent's end, and reads meanwhile what its client says."""
        if not self.clients.has(agent):
            return await self._wait_end(agent)
        async with anyio.create_task_group() as group:
            group.start_soon(self._patiently, self.clients.follow, agent)
            ended = await self._wait_end(agent)
            self.reading.add(agent)
            group.cancel_scope.cancel()
        return ended

    async def _wait_end(self, agent: int) -> Ended:
        try:
            return await self._patiently(self._launcher.wait_ended, agent)
        except OSError as error:  # what an agent makes of its folder ends nobody else
            return Ended(agent=agent, fate=Fate.LOST, detail=f"not told: {error}")

    async def freeze(self, agents: Sequence[int]) -> None:
        """Stops agents where they are, with all that they have started."""
        self._is_frozen = True
        await self._launcher.freeze(agents)

    async def thaw(self, agents: Sequence[int]) -> None:
        """Lets frozen agents go on."""
        self._is_frozen = False
        await self._launcher.thaw(agents)

    async def has_come(self, host: Host) -> bool:
        """Whether something that tasks wait for is there now; asked no more, then."""
        awaited = tuple(self.awaited)
        there = await anyio.to_thread.run_sync(
            lambda: {one for one in awaited if one.is_there(host)}
        )
        self.awaited -= there
        return bool(there)

    async def sweep_forever(self) -> None:
        """Ends what ended agents left behind, many of them in one search."""
        while True:
            await self._sweep_wanted.wait()
            await self.sweep()
            await anyio.sleep(_SWEEP_GAP_S)

    async def sweep(self) -> None:
        """One search for all agents that have ended since the last one."""
        self._sweep_wanted = anyio.Event()
        targets, self._ended = self._ended, []
        if not targets:
            return
        found = await self._patiently(self._launcher.sweep, targets)
        for agent, left in found.items():
            self._post_leftover(agent, left)

    async def end_leftover(self, effect: EndLeftover) -> None:
        """Posts what is left of an agent in any case: nothing is news, too."""
        agent = effect.target.agent
        left = await self._patiently(
            self._launcher.sweep, [effect.target], effect.limit_s
        )
        self._post(LeftoverFound(agent=agent, processes=left.get(agent, ())))

    async def agents_seen(self) -> frozenset[int]:
        """The agents of which anything runs, as far as that can be told."""
        return await self._patiently(self._launcher.agents_seen, self._agents_dir)

    def sweep_soon(self, agent: Agent) -> None:
        """Has what an agent left behind looked for that ended some time ago."""
        self._ended.append(target_of(agent, self.folder(agent.number)))
        self._sweep_wanted.set()

    async def _spawn(self, spawns: Sequence[Spawn], group: anyio.abc.TaskGroup) -> None:
        failed = await self._patiently(
            self._launcher.prepare, [spawn.order for spawn in spawns]
        )
        for spawn in spawns:
            agent = spawn.order.agent
            if self.closing:
                return
            if agent in failed:
                self._starting -= 1
                self._post_failure(agent, failed[agent], never_started=True)
                continue
            # One after the other: a start holds the loop, and between two of them
            # others are served.
            try:
                started = await self._launcher.launch(spawn.order)
            except SpawnError as error:
                self._post_failure(agent, error.message)
            else:
                self.clients.open(agent, spawn.listen)
                self._post_start(spawn, started)
                group.start_soon(self._follow, spawn, started)
            finally:
                self._starting -= 1

    def _post_start(self, spawn: Spawn, started: Started) -> None:
        """Said while it is still on its way: who waits for quiet waits for this."""
        self._log.info("agent_started", line=spawn.line, pid=started.process.pid)
        if spawn.order.keeps_input:
            self.inputs.add(spawn.order.agent)
        self._post(
            AgentStarted(
                agent=spawn.order.agent,
                process=started.process,
                folder_inode=started.folder_inode,
            )
        )

    async def _follow(self, spawn: Spawn, started: Started) -> None:
        agent = spawn.order.agent
        if self._is_frozen:
            await self._launcher.freeze([agent])
        early = self._stopping.get(agent)
        if early is not None:
            # The order to end it came when there was nothing to be ended yet.
            await self._stop(structs.replace(early, process=started.process))
        await self.wait_ended(
            agent, started.process, may_be_too_fast=spawn.may_be_too_fast
        )

    async def _fetch(self, effect: ReadFiles) -> None:
        files = await read_files(effect.wishes, env=effect.env)
        self.fetching.pop(effect.task, None)
        self._post(FilesRead(task=effect.task, files=files))

    async def _look(self, effect: LookAtOutput) -> None:
        output = await self._launcher.read_output(effect.agent, effect.folder)
        self.looking.discard(effect.agent)
        grown = output.size != effect.known_bytes
        self._post(
            LifeSought(
                agent=effect.agent,
                output_bytes=output.size,
                written_at=output.written_at if grown else None,
            )
        )

    async def _write(self, effect: WriteInput) -> None:
        if await self._launcher.write_input(effect.agent, effect.data):
            self._post(InputTaken(agent=effect.agent))
        else:
            self.inputs.discard(effect.agent)

    async def _stop(self, effect: StopProcess) -> None:
        left = await self._patiently(
            self._launcher.stop,
            effect.agent,
            effect.folder,
            effect.process,
            effect.grace_s,
            effect.force,
        )
        self._post_leftover(effect.agent, left)

    def _post_leftover(self, agent: int, left: tuple[ProcessId, ...]) -> None:
        if left:
            pids = [process.pid for process in left]
            self._log.warning("leftover_found", agent=f"agent-{agent}", pids=pids)
            self._post(LeftoverFound(agent=agent, processes=left))

    async def _judge(self, effect: RunGate) -> None:
        judged = await self._patiently(judge_gate, effect, self._readers)
        self.judging.discard(effect.task)
        self._post(judged)

    async def _read_answer(self, effect: ReadAnswer) -> None:
        judged = await self._patiently(read_answer, effect, self._launcher)
        self.judging.discard(effect.task)
        self._post(judged)

    async def _patiently(
        self, job: Callable[[Unpack[Args]], Awaitable[T]], *args: *Args
    ) -> T:
        """Does what the machine may refuse for a while: no more files, no more memory.

        Nothing is known then of what was asked, so it is asked again, ever more rarely.
        """
        gap_s = _ASK_AGAIN_S
        while True:
            try:
                return await job(*args)
            except (OSError, RuntimeError) as error:
                if not may_pass(error):
                    raise
                self._log.warning("machine_refused", job=job.__name__, error=str(error))
                await anyio.sleep(gap_s)
                gap_s = min(gap_s * 2, _ASK_AGAIN_MAX_S)

    def _post_failure(
        self, agent: int, reason: str, *, never_started: bool = False
    ) -> None:
        self._log.warning("agent_spawn_failed", agent=f"agent-{agent}", reason=reason)
        self._post(
            AgentEnded(
                agent=agent,
                outcome=Outcome.SPAWN_FAILED,
                reason=reason,
                never_started=never_started,
            )
        )
