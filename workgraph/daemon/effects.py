"""Effects: what a tick has decided, carried out in the world after its commit.

What they learn is posted as a fact and comes into the next tick. An effect that fails
is a fact, too: nothing here raises into the engine.
"""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar, TypeVarTuple, Unpack

import anyio
import anyio.abc
from msgspec import structs

from workgraph.agents.process import (
    Adopted,
    Ended,
    Fate,
    Launcher,
    LaunchOrder,
    SpawnError,
    Started,
    SweepTarget,
)
from workgraph.daemon.gates import Verdict, run_gate
from workgraph.graph.errors import may_pass
from workgraph.graph.facts import (
    AgentEnded,
    AgentStarted,
    Fact,
    GatesJudged,
    LeftoverFound,
)
from workgraph.graph.model import Agent, Outcome, ProcessId, Record
from workgraph.logs import Logger

#: The least time between two searches of `/proc` for what ended agents left behind.
_SWEEP_GAP_S: Final = 0.5
#: What the machine refuses is asked again after this, doubling to the second one.
_ASK_AGAIN_S: Final = 0.5
_ASK_AGAIN_MAX_S: Final = 10.0

T = TypeVar("T")
Args = TypeVarTuple("Args")


class Spawn(Record, frozen=True, kw_only=True):
    """A claimed task's agent is to be started."""

    order: LaunchOrder
    line: str


class StopProcess(Record, frozen=True, kw_only=True):
    """An agent is to be ended, with all that it has started."""

    agent: int
    folder: str
    process: ProcessId | None
    grace_s: float
    force: bool


class EndLeftover(Record, frozen=True, kw_only=True):
    """What an ended agent has left behind is to be ended, or seen to be gone."""

    target: SweepTarget
    limit_s: float


class RunGate(Record, frozen=True, kw_only=True):
    """A gate of a task that was handed in is to be run."""

    task: str
    agent: str | None
    gate: str
    working_dir: str
    outputs: tuple[str, ...]
    commands: tuple[str, ...]
    #: What goes before the commands' argv.
    sandbox: tuple[str, ...] = ()
    env: Mapping[str, str]
    timeout_s: float


Effect = Spawn | StopProcess | EndLeftover | RunGate


class Effects:
    """Carries out effects in a task group that its owner gives.

    Args:
        launcher: The seam to the world of processes.
        post: Where facts go.
        agents_dir: The folder that holds the agents' folders.
        log: The daemon's log.
    """

    def __init__(
        self,
        launcher: Launcher,
        post: Callable[[Fact], None],
        agents_dir: str,
        log: Logger,
    ) -> None:
        self._launcher = launcher
        self._post = post
        self._agents_dir = agents_dir
        self._log = log
        self._ended: list[SweepTarget] = []
        self._sweep_wanted = anyio.Event()
        #: Tasks whose gates are being run.
        self.judging: set[str] = set()
        self._stopping: dict[int, StopProcess] = {}
        self._starting = 0
        self._awaited = 0
        #: The daemon ends: what is not started yet is left to the next one.
        self.closing = False

    def folder(self, agent: int) -> str:
        """Where an agent's prompt, plan, output and exit are kept."""
        return os.path.join(self._agents_dir, f"agent-{agent}")

    @property
    def is_starting(self) -> bool:
        """Whether an agent is on its way to be started."""
        return self._starting > 0

    @property
    def is_awaiting(self) -> bool:
        """Whether the end of an agent is waited for."""
        return self._awaited > 0

    def perform(self, effects: Sequence[Effect], group: anyio.abc.TaskGroup) -> None:
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
                case RunGate():
                    self.judging.add(effect.task)
                    group.start_soon(self._judge, effect)
                case Spawn():
                    pass

    async def settle(self, agent: Agent) -> Adopted | Ended:
        """What has become of an agent that an earlier daemon started."""
        return await self._patiently(
            self._launcher.settle,
            agent.number,
            self.folder(agent.number),
            agent.folder_inode,
            agent.process,
        )

    async def wait_ended(self, agent: int, process: ProcessId | None) -> None:
        """Waits for an agent's end and posts it."""
        self._awaited += 1
        try:
            ended = await self._patiently(self._launcher.wait_ended, agent)
        finally:
            self._awaited -= 1
        self.note_end(ended, process)

    def note_end(self, ended: Ended, process: ProcessId | None) -> None:
        """Posts an end, and has what it left behind looked for."""
        self._stopping.pop(ended.agent, None)
        self._ended.append(
            SweepTarget(
                agent=ended.agent, folder=self.folder(ended.agent), process=process
            )
        )
        self._sweep_wanted.set()
        self._post(_fact_of(ended))

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
                self._post_start(spawn, started)
                group.start_soon(self._follow, spawn, started)
            finally:
                self._starting -= 1

    def _post_start(self, spawn: Spawn, started: Started) -> None:
        """Said while it is still on its way: who waits for quiet waits for this."""
        self._log.info("agent_started", line=spawn.line, pid=started.process.pid)
        self._post(
            AgentStarted(
                agent=spawn.order.agent,
                process=started.process,
                folder_inode=started.folder_inode,
            )
        )

    async def _follow(self, spawn: Spawn, started: Started) -> None:
        agent = spawn.order.agent
        early = self._stopping.get(agent)
        if early is not None:
            # The order to end it came when there was nothing to be ended yet.
            await self._stop(structs.replace(early, process=started.process))
        await self.wait_ended(agent, started.process)

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
        verdict: Verdict = await self._patiently(run_gate, effect)
        self.judging.discard(effect.task)
        self._post(
            GatesJudged(
                task=effect.task,
                agent=effect.agent,
                failed=None if verdict.passed else effect.gate,
                evidence=verdict.evidence,
            )
        )

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


def target_of(agent: Agent, folder: str) -> SweepTarget:
    """An ended agent, for a search after what it has left behind."""
    return SweepTarget(
        agent=agent.number,
        folder=folder,
        inode=agent.folder_inode,
        process=agent.process,
        known=agent.leftover,
    )


def _fact_of(ended: Ended) -> AgentEnded:
    match ended.fate:
        case Fate.EXITED:
            return AgentEnded(agent=ended.agent, exit_code=ended.exit_code)
        case Fate.SIGNALED:
            return AgentEnded(
                agent=ended.agent,
                signal=ended.signal,
                outcome=Outcome.CRASHED,
                reason=None if ended.signal else "killed by a signal",
            )
        case Fate.LOST:
            return AgentEnded(
                agent=ended.agent,
                outcome=Outcome.LOST,
                reason=ended.detail or "its process is gone, and nobody saw how",
            )
        case Fate.SHUT_OUT:
            return AgentEnded(
                agent=ended.agent, outcome=Outcome.SPAWN_FAILED, reason=ended.detail
            )
        case Fate.NEVER_STARTED:
            return AgentEnded(
                agent=ended.agent,
                outcome=Outcome.SPAWN_FAILED,
                reason=ended.detail or "nothing was started",
                never_started=True,
            )
