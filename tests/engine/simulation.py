"""The whole core, driven by a list of steps: commands, ends, crashes, jumps in time.

A step is a name and two numbers that choose from what there is at that moment, so every
list of steps is a valid story and can be made shorter. After each step everything that
must hold is asserted: of the database (`tests.invariants`), and between the database
and the world as the fake launcher has it.
"""

import asyncio
import sys
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from random import Random
from typing import Any, TypeVar

import anyio
import anyio.abc
from anyio.lowlevel import checkpoint

from tests.agency_invariants import check_done, check_start, check_waits_for_actor
from tests.core import Core, running_core
from tests.engine import agency_steps, chat_steps
from tests.engine.identity_steps import identity_request
from tests.fake_clock import FakeClock
from tests.fakes import FakeLauncher
from tests.faulty import FAULTS, FaultyTx
from tests.invariants import Rows, check_invariants, dump
from workgraph.agents.process import Ended, Fate, LaunchOrder, Output, Started
from workgraph.commands import records
from workgraph.commands.context import Caller, task_facts
from workgraph.commands.transfer import import_graph
from workgraph.daemon.engine import Mode
from workgraph.graph import readiness
from workgraph.graph import requests as r
from workgraph.graph.assigning import AssignTask
from workgraph.graph.changes import Change, ChangeKind
from workgraph.graph.chats import chat_number
from workgraph.graph.ends import Report
from workgraph.graph.errors import (
    ConflictError,
    ForbiddenError,
    MachineError,
    WorkgraphError,
)
from workgraph.graph.facts import AgentReported
from workgraph.graph.identity import actor_id
from workgraph.graph.inputs import HashedFile
from workgraph.graph.judging_requests import RunReward
from workgraph.graph.loops import LoopTasks
from workgraph.graph.messages import SendMessage
from workgraph.graph.model import (
    Actor,
    Agent,
    AgentStatus,
    ClientEnd,
    EndKind,
    Outcome,
    Task,
)
from workgraph.graph.reservations import ClaimTrajectory, GetTrajectory
from workgraph.graph.reward_requests import RecordReward
from workgraph.graph.status import Status, Verb
from workgraph.graph.times import SECOND
from workgraph.graph.waits import met_branch
from workgraph.store import (
    accounts,
    agent_reads,
    artifacts,
    candidates,
    errands,
    history,
    identities,
    loops,
    reads,
    reconciling,
    service,
    waits,
)
from workgraph.store.database import Store, Tx
from workgraph.store.identities import insert_actor

T = TypeVar("T")
Step = tuple[str, int, int]

MAX_AGENTS = 3
#: An executor that is no shell.
BOT = "bot"
#: One that has an account with a provider, and says how that stands.
CLIENT = "client"
#: What the evaluator works with.
JUDGE = "judge"
SETTINGS = (
    f"dispatcher.max_agents={MAX_AGENTS}",
    f'executors.{BOT}.argv=["{BOT}"]',
    f'executors.{CLIENT}.argv=["{CLIENT}"]',
    f'executors.{CLIENT}.account="{CLIENT}"',
    f'executors.{CLIENT}.resume=["{CLIENT}","{{session}}"]',
    "dispatcher.trajectories=true",
    f'executors.{JUDGE}.argv=["{JUDGE}"]',
    "agency.evaluator=eva",
    "agency.reward_threshold=0.5",
)
EVALUATOR = Actor(id=actor_id(name="eva"), name="eva", executor=JUDGE)
ME = Caller(name="me")
#: By their word work is done, whatever else is said of it.
_PERSONS = {"me", "alice"}
#: One request without a daemon.
OFFLINE = Mode(is_daemon=False, may_start=False)
#: The least limit that a task of a story has.
LIMIT_S = 60
_NOT_OFFLINE = {
    "crash",
    "forget",
    "disk-full",
    "jump",
    "fail-bots",
    "bad-disk",
    "answer",
    "answer-more",
    "refuse",
    "loop-and-work",
    "loop-and-work-more",
    "hand-on",
    "hand-on-more",
    "practise",
    "answer-errands",
    "answer-errands-more",
    "fall-silent",
    "reactor-fails",
    "reactor-fails-more",
    *chat_steps.NOT_OFFLINE,
}
_LOTS = 1 << 30
#: What may undo that a task is done, and by whose word.
_UNDONE = {(Verb.RETRY, ME.name), (Verb.ITERATE, "workgraph")}


class WatchedStore(Store):
    """A store that knows which claims have been committed."""

    claimed: set[int]
    world: "World"
    #: What goes wrong with writes, after how many, and whether SQLite ends it all.
    fault: tuple[tuple[str, int, str], int, bool] | None = None

    async def transaction(
        self, job: Callable[[Tx], T], now: int
    ) -> tuple[T, list[Change]]:
        """Runs a job, looks at the starts in it, and notes what is now true."""

        def watched(tx: Tx) -> T:
            if self.fault is not None:
                fault, after, ends = self.fault
                tx = FaultyTx(tx, fault, after, ends=ends)
            before = chat_steps.handlers_of(tx)
            result = job(tx)
            for change in tx.changes:
                self._look_at(tx, change)
            chat_steps.check_started(tx, before, self.world.consumers)
            handlers.update(reconciling.live_handlers(tx))
            return result

        handlers: set[int] = set()
        result, changes = await super().transaction(watched, now)
        self.claimed |= handlers
        for change in changes:
            if change.verb == Verb.CLAIM and change.agent is not None:
                self.claimed.add(int(change.agent.removeprefix("agent-")))
        return result, changes

    def _look_at(self, tx: Tx, change: Change) -> None:
        if change.to == Status.DONE and change.by not in _PERSONS:
            self.world.check_ended_well(tx, change)
        if change.by != "workgraph":
            return
        if change.verb == Verb.CLAIM:
            _check_start(tx, reads.task(tx, change.task or ""))
        if change.verb == Verb.REQUEUE:
            _check_gap(tx, reads.task(tx, change.task or ""))
        if change.kind == ChangeKind.AGENT_STOPPING:
            self.world.check_late(tx, change)


def _check_start(tx: Tx, task: Task) -> None:
    """What was claimed for an agent was ready, and the service may start agents."""
    waits_for = readiness.unmet(reads.dependencies(tx, task.id))
    assert not waits_for, f"{task.id} is started and waits for {waits_for}"
    assert not artifacts.missing_of(tx, task), f"{task.id} lacks an input"
    assert not task.paused, f"{task.id} is started and paused"
    assert (task.not_before or 0) <= tx.now, f"{task.id} is started too early"
    assert not service.is_service_paused(tx), f"{task.id} is started in a pause"
    agent = agent_reads.by_id(tx, task.claimed_by or "")
    check_start(tx, task, agent.actor)
    if agent.account is not None:
        account = accounts.find(tx, (agent.account,)).get(agent.account)
        is_closed = account is not None and (account.until or 0) > tx.now
        assert not is_closed, f"{agent.id} is started on {account}"
    if agent.executor == BOT:
        since = broken_since(tx)
        assert since is None or tx.now - since >= 60 * SECOND, (
            f"{agent.id} is started {(tx.now - since) / SECOND} s after three failures"
        )


def _check_gap(tx: Tx, task: Task) -> None:
    """What is tried again waits, twice as long each time."""
    failed_gate = task.failure is not None and task.failure.class_ == Outcome.GATE
    if failed_gate or task.parked is not None or task.status is not Status.OPEN:
        return
    least = 0.8 * min(10 * 2 ** (task.attempts - 1), 300) * SECOND
    gap = (task.retry_at or 0) - tx.now
    assert gap >= least - 1000, f"{task.id}: a gap of {gap / SECOND} s"


def broken_since(tx: Tx) -> int | None:
    """When the last of three failures of the bot came, that nothing has made good.

    Told from the change log and the rows of the agents alone. What an operator says,
    and a clock that jumps, begins anew.
    """
    failed: list[str] = []
    since: int | None = None
    newest = 0
    for change in history.changes_since(tx, 0, None, 1_000_000):
        if change.kind == ChangeKind.AGENT_STARTED:
            newest = max(newest, int((change.agent or "").removeprefix("agent-")))
        # A retry says so before it has ended what is still running of its tasks.
        is_anew = change.kind == ChangeKind.BREAKER_CLOSED and change.by == ME.name
        is_retry = change.verb == Verb.RETRY or change.kind == ChangeKind.TASK_UNPARKED
        if is_anew or is_retry or change.kind == ChangeKind.CLOCK_JUMPED:
            failed, since = [], None
        if change.kind != ChangeKind.AGENT_ENDED:
            continue
        agent = agent_reads.by_id(tx, change.agent or "")
        if agent.executor != BOT or agent.stop is not None:
            continue
        if _is_broken(agent):
            failed = [task for task in failed if task != agent.task] + [agent.task]
            since = change.at if len(failed) >= 3 else since
        elif agent.outcome in _WORKED:
            failed, since = [], None
    return since


_WORKED = {Outcome.DONE, Outcome.SUBMITTED, Outcome.FAILED, Outcome.GATE}


def _is_broken(agent: Agent) -> bool:
    if agent.outcome is Outcome.SPAWN_FAILED:
        return agent.counted
    return (
        agent.output_bytes == 0
        and not agent.heard
        and agent.verdict is None
        and agent.exit_code != 0
        and (agent.ended_at or 0) - agent.started_at < SECOND
    )


class World(FakeLauncher):
    """Processes that remember what has really become of them."""

    def __init__(self, store: WatchedStore) -> None:
        super().__init__()
        self.store = store
        self.ends: dict[int, Ended] = {}
        #: For how long each has really run, in seconds.
        self.lived: dict[int, float] = {}
        self.tasks: dict[int, str] = {}
        self.gone: set[int] = set()
        #: What is set, and whose it is.
        self.settings: tuple[str, ...] = ()
        self.core: Core | None = None
        #: The last agent that was started before something else was set.
        self.newest_before = 0
        #: Those that the provider would not have.
        self.refused: set[int] = set()
        #: How much each handler has said.
        self.heard: dict[int, int] = {}

    async def prepare(self, orders: Sequence[LaunchOrder]) -> dict[int, str]:
        """Looks whether what is to be started has been claimed, and that for good."""
        for order in orders:
            assert order.agent in self.store.claimed, (
                f"agent-{order.agent} is started before its claim is committed"
            )
        return await super().prepare(orders)

    async def launch(self, order: LaunchOrder) -> Started:
        """Starts it; there is never a second process of a task, nor of an agent."""
        task = order.env["WG_TASK_ID"]
        live = [self.tasks[agent] for agent in self.running()]
        assert task not in live, f"a second live agent of {task}"
        assert order.agent not in self.tasks, f"agent-{order.agent} is started twice"
        started = await super().launch(order)
        self.tasks[order.agent] = task
        self.lived[order.agent] = 0
        return started

    @property
    def consumers(self) -> Mapping[int, int]:
        """Those who are in chats, as far as there is a daemon."""
        return {} if self.core is None else self.core.engine.consumers.counts

    def pass_time(self, seconds: float) -> None:
        """Those that are not frozen get older."""
        for agent in set(self.running()) - self.frozen:
            self.lived[agent] += seconds

    def check_ended_well(self, tx: Tx, change: Change) -> None:
        """By itself work is done as the settings have it, which have not changed."""
        assert self.core is not None
        task = reads.task(tx, change.task or "")
        last = int((task.last_agent or "agent-0").removeprefix("agent-"))
        if last > self.newest_before:
            check_done(tx, task, self.core.engine.host.grounds.layered.settings)

    def check_late(self, tx: Tx, change: Change) -> None:
        """Nobody is ended by a limit whose time it has not lived."""
        assert service.frozen_since(tx) is None, f"{change.agent} is late while frozen"
        agent = agent_reads.by_id(tx, change.agent or "")
        lived = self.lived.get(agent.number, _LOTS)
        if agent.verdict in {Outcome.TIMED_OUT, Outcome.STALLED}:
            assert lived >= LIMIT_S, f"{agent.id} is late after {lived} s"

    def end(self, ended: Ended) -> None:
        """Keeps the end as it was."""
        self.ends[ended.agent] = ended
        super().end(ended)

    def forget(self, agent: int) -> None:
        """The folder and the process are gone."""
        self.gone.add(agent)
        super().forget(agent)


async def play(steps: Sequence[Step]) -> None:
    """Plays a story; the assertion of the first thing that is wrong comes through."""
    async with _a_store() as store:
        world, clock = World(store), FakeClock()
        store.world = world
        world.settings = (*SETTINGS, *_judging(steps))
        await store.transaction(
            lambda tx: identities.insert_actor(tx, EVALUATOR), clock.now()
        )
        rest = list(steps)
        while True:
            async with running_core(
                *world.settings, store=store, clock=clock, launcher=world
            ) as core:
                world.core = core
                story = Story(core, world)
                await story.check()
                while rest:
                    name, x, y = rest.pop(0)
                    if name == "crash":
                        await story.leave_chats()
                        await story.crash(x, y, rest)
                        break
                    await story.step(name, x, y)
                else:
                    await story.leave_chats()
                    return
            world.crash()
            if x % 3 == 0:
                world.frozen.clear()  # it has died before it could say so to all
            if rest and rest[0][0] == "forget":
                _, which, _ = rest.pop(0)
                running = world.running()
                if running:
                    world.forget(running[which % len(running)])
            await store.read(check_invariants, clock.now())
            if x % 2 and rest and rest[0][0] not in _NOT_OFFLINE:
                name, x, y = rest.pop(0)
                async with running_core(
                    *world.settings,
                    store=store,
                    clock=clock,
                    launcher=world,
                    mode=OFFLINE,
                ) as core:
                    world.core = core
                    await STEPS[name](Story(core, world), x, y)
                world.crash()


def _judging(steps: Sequence[Step]) -> tuple[str, ...]:
    """How work is judged in a story: not at all where no step has to do with it."""
    first = next((x for name, x, _ in steps if name in _JUDGING), None)
    if first is None:
        return ()
    mode = ("actor", "checks", "actor")[first % 3]
    gate = ("enforcing", "advisory")[first % 2]
    flip = ("off", "all")[first % 5 // 4]
    return (
        f"agency.auto_reward={mode}",
        f"agency.reward_gate={gate}",
        f"agency.flip={flip}",
    )


class _a_store:  # noqa: N801 - a block, not a thing
    async def __aenter__(self) -> WatchedStore:
        opened = await WatchedStore.open(":memory:")
        assert isinstance(opened, WatchedStore)
        self._store = opened
        opened.claimed = set()
        return opened

    async def __aexit__(self, *_: object) -> None:
        await self._store.close()


class Story:
    """One daemon's part of a story."""

    def __init__(self, core: Core, world: World) -> None:
        self.core = core
        self.world = world
        #: Those who are in chats.
        self.consumers: list[AbstractAsyncContextManager[None]] = []

    async def step(self, name: str, x: int, y: int) -> None:
        """Takes one step, lets all that follows happen, and looks at everything."""
        await STEPS[name](self, x, y)
        await self.core.settle()
        await self.check()

    async def crash(self, x: int, y: int, rest: list[Step]) -> None:
        """The daemon dies some turns of the loop into the next step."""
        async with anyio.create_task_group() as group:
            if rest and rest[0][0] not in _NOT_OFFLINE:
                name, a, b = rest.pop(0)
                group.start_soon(STEPS[name], self, a, b)
            for _ in range(x % 16 + y):
                await checkpoint()
            group.cancel_scope.cancel()

    async def leave_chats(self) -> None:
        """Connections end with their daemon."""
        while self.consumers:
            await self.consumers.pop().__aexit__(None, None, None)

    async def check(self) -> None:
        """What must hold whenever nothing is on its way."""
        core = self.core
        assert all(reactor.ok for reactor in core.engine.reactors), core.engine.reactors
        before = await core.store.read(self._check, core.clock.now())
        await core.engine.settle()
        after = await core.store.read(dump, core.clock.now())
        assert after == before, "a tick without input has written"
        moment = await core.next_moment()
        assert moment is None or moment > core.clock.now(), "a busy loop"

    def _check(self, tx: Tx) -> Rows:
        check_invariants(tx)
        agents = agent_reads.list_agents(tx)
        running = set(self.world.running())
        for agent in agents:
            if not agent.human:
                self._check_agent(agent, running)
        live = [a for a in agents if a.status is not AgentStatus.ENDED and not a.human]
        going = {a.number for a in live if a.status is not AgentStatus.STOPPING}
        frozen = service.frozen_since(tx) is not None
        assert self.world.frozen & going == (going if frozen else set()), "frozen"
        assert running <= {agent.number for agent in live}, "a process nobody knows"
        chat_steps.check_settled(tx, self)
        working = sum(chat_number(agent.task) is None for agent in live)
        assert working <= MAX_AGENTS
        lingering = {agent.task for agent in live}
        for task in reads.every_task(tx):
            self._check_task(tx, task, working, lingering)
        for change in history.changes_since(tx, 0, None, 1_000_000):
            if change.from_ == Status.DONE and change.kind == "status_changed":
                assert (change.verb, change.by) in _UNDONE, change
        return dump(tx)

    def _check_agent(self, agent: Agent, running: set[int]) -> None:
        if agent.status is not AgentStatus.ENDED:
            assert agent.number in running, f"{agent.id} is said to be alive"
            return
        assert agent.number not in running, f"{agent.id} is said to be dead"
        assert agent.outcome is not None, f"{agent.id} was not concluded"
        end = self.world.ends.get(agent.number)
        if agent.number in self.world.gone:
            assert (agent.exit_code, agent.signal) == (None, None)
        elif end is None:
            assert agent.number not in self.world.tasks
            assert agent.outcome in {Outcome.SPAWN_FAILED, Outcome.KILLED}
        else:
            if agent.number in self.world.refused and agent.stop is None:
                turned_away = {Outcome.RATE_LIMITED, Outcome.SPAWN_FAILED}
                limited = agent.outcome in turned_away and not agent.counted
                limited |= chat_number(agent.task) is not None  # it is no attempt
                assert limited or agent.verdict, f"{agent}: an attempt is used up"
            told = (agent.exit_code, agent.signal)
            assert told == (end.exit_code, end.signal), f"{agent.id}: {told}, was {end}"

    def _check_task(self, tx: Tx, task: Task, live: int, lingering: set[str]) -> None:
        facts = task_facts(tx, task)
        if task.status is Status.IN_PROGRESS:
            assert task.claimed_by is not None
            holder = agent_reads.by_id(tx, task.claimed_by)
            assert holder.status is not AgentStatus.ENDED, (
                f"{task.id}: held by the dead"
            )
        else:
            around = self.core.engine.service_facts(tx)
            assert readiness.explain(facts, around, tx.now), f"{task.id}: no reason"
        if facts.wait is not None:
            met = met_branch(facts.wait, tx.now)
            assert met is None, f"{task.id} waits on, and {met} is met"
        could = live < MAX_AGENTS and not service.is_service_paused(tx)
        if could and task.status is Status.OPEN and task.id not in lingering:
            reasons = readiness.explain_task(facts, tx.now)
            assert reasons, f"{task.id} could be started and is not"
            if len(reasons) == 1 and task.parked is not None:
                settings = self.core.engine.host.grounds.layered.settings
                check_waits_for_actor(tx, task, settings)

    # What steps need.

    me = ME

    async def configure(self, *settings: str) -> None:
        """Other settings hold from now on, and after a restart."""
        self.world.newest_before = max(self.world.tasks, default=0)
        self.world.settings += settings
        await self.core.configure(*self.world.settings)

    def pass_time(self, seconds: float) -> None:
        """Time passes, for those that run, too."""
        _pass_time(self, seconds)

    async def go_on(self) -> None:
        """Nothing keeps agents from being started, but what they lack."""
        await self.core.thaw()
        await self.ask(r.Resume())
        for agent in self.world.running()[1:]:
            self.world.unmoved.discard(agent)
            self.world.end(Ended(agent=agent, fate=Fate.EXITED, exit_code=0))
        await self.core.settle()

    async def ask(self, request: r.AnyRequest, caller: Caller = ME) -> None:
        """Says something; what is refused must have changed nothing.

        A request that waits for the end of an agent that does not leave goes on
        waiting, until the agent leaves or the daemon dies.
        """
        core = self.core
        before = await core.store.read(dump, 0)
        stops = len(self.world.stops)
        scope = anyio.CancelScope()
        refused: list[WorkgraphError] = []

        async def say() -> None:
            with scope:
                try:
                    await core.say(request, caller)
                except WorkgraphError as error:
                    refused.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(say)
            await core.settle()
            scope.cancel()
        if refused and len(self.world.stops) == stops:
            after = await core.store.read(dump, 0)
            assert after == before, f"{request} was refused: {refused[0].message}"

    async def pick(self, x: int) -> str:
        """The id of a task, or of one that is not there."""
        tasks = await self.core.store.read(reads.every_task, 0)
        return tasks[x % len(tasks)].id if tasks else "nobody"

    async def agents(self, *, alive: bool) -> list[Agent]:
        """Agents that are processes."""
        found = await self.core.store.read(agent_reads.list_agents, 0)
        return [
            a
            for a in found
            if not a.human and (a.status is not AgentStatus.ENDED) == alive
        ]

    def end(self, x: int, **how: Any) -> None:
        """Ends a process that runs."""
        running = self.world.running()
        if running:
            agent = running[x % len(running)]
            self.world.unmoved.discard(agent)
            self.world.end(Ended(agent=agent, **how))


OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"max_attempts": 1},
    {"retry_on": "failure"},
    {"output": ("/dev/null",)},
    {"output": ("/nowhere/at/all",)},
    {"review": "human"},
    {"priority": 0},
    {"not_before": "1m"},
    {"timeout": "1m"},
    {"executor": BOT, "exec": ""},
    {"executor": BOT, "exec": "", "stall_timeout": "1m"},
    {"executor": BOT, "exec": "", "retry_on": "failure"},
    {"executor": CLIENT, "exec": ""},
    {"abandon_after": "1m"},
    {"actor": "alice"},
    {"executor": "nobody", "exec": ""},
    {"paused": True},
)


async def _add(story: Story, x: int, y: int) -> None:
    after = {await story.pick(n) for n in range(x % 4, x % 4 + y % 3)} - {"nobody"}
    options = {"exec": "true"} | OPTIONS[x % len(OPTIONS)]
    await story.ask(r.AddTask(title=f"t{x % 8}", after=tuple(sorted(after)), **options))


#: Actors that come into a story, by skill, capacity, and whether they are persons.
_ACTORS = (
    ("ada", ("python",), 1, False),
    ("bob", ("python", "rust"), 2, False),
    ("eva", ("law",), 1, False),
    ("alice", ("law", "rust"), None, True),
)


async def _add_actor(story: Story, x: int, y: int) -> None:
    name, skills, capacity, human = _ACTORS[(x + y) % len(_ACTORS)]
    actor = Actor(
        id=actor_id(name=name), name=name, skills=skills, capacity=capacity, human=human
    )

    def add(tx: Tx) -> None:
        insert_actor(tx, actor)
        candidates.wake_parked(tx)

    with suppress(MachineError):
        await story.core.store.transaction(add, story.core.clock.now())
    story.core.engine.wake()


async def _add_skilled(story: Story, x: int, y: int) -> None:
    """Some that one actor can do, or nobody can yet."""
    skills = (("python",), ("rust",), ("law",), ("python", "rust"))[x % 4]
    options: dict[str, Any] = {"executor": CLIENT} if y % 4 == 0 else {"exec": "true"}
    for n in range(1 + y % 3):
        title = f"k{x % 8}-{n}"
        await story.ask(r.AddTask(title=title, skill=skills, priority=1, **options))


async def _assign(story: Story, x: int, y: int) -> None:
    words: tuple[dict[str, Any], ...] = (
        {"auto": True},
        {"clear": True},
        {"actor": "ada"},
        {"actor": "default"},
        {"actor": "alice"},
        {"actor": "nobody"},
    )
    await story.ask(AssignTask(task=await story.pick(x), **words[y % len(words)]))


async def _add_consumer(story: Story, x: int, y: int) -> None:
    """A task that works from others' results; some of these will not be there."""
    if x % 2:
        producer = f"p{x}-{y}"
        await story.ask(r.AddTask(title=producer, id=producer, paused=True))
        await story.ask(r.ClaimTask(task=producer, actor="alice", force=True))
        await story.ask(r.FinishTask(task=producer))
        await story.ask(
            r.AddTask(title="c", exec="true", input=(f"{producer}:a",), priority=0)
        )
        return
    inputs = {f"{await story.pick(x)}:{'ab'[y % 2]}", f"{await story.pick(y)}:a"}
    options: dict[str, Any] = {"exec": "true"} if x % 4 else {"executor": CLIENT}
    request = r.AddTask(title=f"i{x % 8}", input=tuple(sorted(inputs)), **options)
    await story.ask(request)


async def _record(story: Story, x: int, y: int) -> None:
    """An operator, or the agent that holds it, records an artifact of a task."""
    tasks = await story.core.store.read(reads.every_task, 0)
    wanted = [t.parked.producer for t in tasks if t.parked and t.parked.producer]
    task = wanted[x % len(wanted)] if wanted and x % 4 else await story.pick(x)
    living = [a for a in await story.agents(alive=True) if a.task == task]
    caller = ME
    if living and y % 3:
        caller = Caller(name=living[0].id, agent=living[0])
    request = r.RecordArtifact(path="/f", task=task, name="ab"[y % 2])
    file = HashedFile(path="/f", sha256=f"{y % 3}" * 64, size=1, kept=bool(y % 2))
    with suppress(WorkgraphError):
        await story.core.engine.ask(
            lambda context: records.record_artifact(context, request, file), caller
        )


async def _add_bots(story: Story, x: int, y: int) -> None:
    for n in range(2 + y % 3):
        await story.ask(r.AddTask(title=f"b{x % 8}-{n}", executor=BOT))


async def _fail_bots(story: Story, x: int, y: int) -> None:
    """The bot is broken for a while: it ends at once and says nothing."""
    for _ in range(1 + x % 4):
        for agent in await story.agents(alive=True):
            if agent.executor == BOT and agent.number in story.world.running():
                story.world.outputs[agent.number] = Output(size=0, written_at=0)
                end = Ended(agent=agent.number, fate=Fate.EXITED, exit_code=y % 3 or 1)
                story.world.end(end)
        await story.core.settle()


async def _add_clients(story: Story, x: int, y: int) -> None:
    for n in range(2 + y % 4):
        await story.ask(r.AddTask(title=f"c{x % 8}-{n}", executor=CLIENT))


async def _answer(story: Story, x: int, y: int) -> None:
    """A model answers an agent that has an account."""
    del y
    if clients := await _clients(story):
        agent = clients[x % len(clients)]
        story.core.engine.post(AgentReported(agent=agent, report=Report(answered=True)))


async def _refuse(story: Story, x: int, y: int) -> None:
    """The provider would not have some of those that run, and may say until when."""
    kind = (EndKind.LIMITED, EndKind.OVERLOADED, EndKind.NETWORK, EndKind.AUTH)[x % 4]
    now = story.core.clock.now()
    named: dict[str, Any] = (
        {},
        {"retry_after_s": 10.0 * y},
        {"retry_at": now + (y - 8) * 60 * SECOND},
    )[y % 3]
    end = ClientEnd(kind=kind, message="no more", **named)
    for agent in (await _clients(story))[: 1 + x % 3]:
        story.core.engine.post(AgentReported(agent=agent, report=Report(end=end)))
        story.world.refused.add(agent)
        story.world.unmoved.discard(agent)
        story.world.end(Ended(agent=agent, fate=Fate.EXITED, exit_code=1))


async def _clients(story: Story) -> list[int]:
    """Those of which nobody reads a stream: that would have the last word."""
    running = story.world.running()
    living = await story.agents(alive=True)
    return [
        one.number for one in living if one.executor == CLIENT and one.number in running
    ]


async def _edit(story: Story, x: int, y: int) -> None:
    changes: tuple[dict[str, Any], ...] = (
        {"priority": y % 5},
        {"not_before": "1m"},
        {"not_before": ""},
        {"executor": "", "exec": "true"},
        {"paused": bool(x % 2)},
    )
    await story.ask(r.EditTask(task=await story.pick(x), **changes[y % len(changes)]))


async def _edit_input(story: Story, x: int, y: int) -> None:
    inputs = (f"{await story.pick(y)}:a",) if y % 3 else ()
    await story.ask(r.EditTask(task=await story.pick(x), input=inputs))


async def _link(story: Story, x: int, y: int) -> None:
    on = r.LinkTask(task=await story.pick(x), after=await story.pick(y))
    if (x + y) % 2:
        on = r.LinkTask(task=on.task, after=on.after, on="settled")
    await story.ask(on)


async def _edges(story: Story) -> list[tuple[str, str]]:
    return await story.core.store.read(
        lambda tx: [
            (task.id, edge.id)
            for task in reads.every_task(tx)
            for edge in reads.edges(tx, task.id)
        ],
        0,
    )


async def _unlink(story: Story, x: int, y: int) -> None:
    if edges := await _edges(story):
        task, dep = edges[(x + y) % len(edges)]
        await story.ask(r.UnlinkTask(task=task, after=dep))


async def _loop(story: Story, x: int, y: int) -> tuple[str, ...]:
    """New tasks, or some that may well be in no order."""
    if x % 2:
        ids: tuple[str, ...] = (f"l{x}-{y}", f"m{x}-{y}")[: 1 + x // 2 % 2]
        for task in ids:
            await story.ask(r.AddTask(title=task, id=task, exec="true", priority=0))
    else:
        ids = tuple(sorted({await story.pick(x + n) for n in range(1 + y % 3)}))
    options: tuple[dict[str, Any], ...] = (
        {},
        {"until_converged": True},
        {"until": "false"},
        {"until": "true"},
    )
    await story.ask(LoopTasks(task=ids, max=1 + x % 4, **options[y % 4]))
    return ids


async def _make_loop(story: Story, x: int, y: int) -> None:
    await _loop(story, x, y)


async def _loop_and_work(story: Story, x: int, y: int) -> None:
    """A loop of new tasks, which end well for a while."""
    if x % 4:
        await story.go_on()
    ids = await _loop(story, x | 1, y)
    for _ in range(2 + y % 5):
        await story.core.settle()
        for agent in story.world.running():
            if story.world.tasks[agent] in ids:
                story.world.unmoved.discard(agent)
                story.world.end(Ended(agent=agent, fate=Fate.EXITED, exit_code=0))


async def _work_on_loop(story: Story, x: int, y: int) -> None:
    """An operator does the members of a loop, in order or nearly so."""
    every = await story.core.store.read(lambda tx: [*loops.every(tx)], 0)
    live = [loop.ids for loop in every if loop.ended_at is None]
    ids = live[x % len(live)] if live else await _loop(story, x | 1, y)
    for n in range((1 + y % 3) * len(ids)):
        task = ids[n % len(ids)]
        await story.ask(r.FinishTask(task=task, converged=(x + n) % 5 == 0))


async def _add_chain(story: Story, x: int, y: int) -> None:
    """Tasks of clients each of which waits for the one before; some are a loop."""
    ids = tuple(f"{letter}{x}-{y}" for letter in "xyz"[: 2 + x % 2])
    for n, task in enumerate(ids):
        before = ids[n - 1 : n]
        inputs = tuple(f"{one}:a" for one in before) if y % 5 == 0 else ()
        await story.ask(
            r.AddTask(
                title=task,
                id=task,
                executor=CLIENT,
                after=before,
                input=inputs,
                paused=not before,
                priority=0,
            )
        )
    if y % 3 == 0:
        await story.ask(LoopTasks(task=ids, max=1 + y % 4))
    await story.ask(r.Resume(task=ids[0]))


async def _hand_on(story: Story, x: int, y: int) -> None:
    """Clients work in their sessions for a while, and end well; some wait first."""
    if x % 4:
        await story.go_on()
    for n in range(2 + y % 3):
        await story.core.settle()
        for agent in await story.agents(alive=True):
            if agent.account is None or agent.number not in story.world.running():
                continue
            session = agent.resumed or f"session-{agent.number}"
            report = Report(session=session, answered=True)
            story.core.engine.post(AgentReported(agent=agent.number, report=report))
            await story.core.settle()
            caller = Caller(name=agent.id, agent=agent)
            if (x + n) % 4 == 0:
                until = _until(x, await story.pick(y))
                await story.ask(r.WaitTask(task=agent.task, until=until), caller)
            elif (x + n) % 4 == 1:
                request = SendMessage(task=agent.task, list=True, token="its own")
                await story.ask(request, caller)
            story.world.unmoved.discard(agent.number)
            story.world.end(Ended(agent=agent.number, fate=Fate.EXITED, exit_code=0))


def _say(make: Callable[[str, int], r.AnyRequest]) -> Any:
    async def step(story: Story, x: int, y: int) -> None:
        await story.ask(make(await story.pick(x), y))

    return step


async def _claim_trajectory(story: Story, x: int, y: int) -> None:
    """A person reserves tasks, or one and what goes with it; dispatch does itself."""
    task = await story.pick(x)
    if y % 3 == 0:
        await story.ask(GetTrajectory(task=task))
        await story.ask(ClaimTrajectory(from_=task, actor="alice"))
        return
    tasks: tuple[str, ...] = (task, await story.pick(y))
    if y % 3 == 1:
        edges = await _edges(story)
        tasks = edges[x % len(edges)][::-1] if edges else tasks
    await story.ask(ClaimTrajectory(task=tasks, actor="bob" if x % 2 else None))


async def _change_identity(story: Story, x: int, y: int) -> None:
    """Somebody who could work appears, changes, becomes a person, goes."""
    await story.ask(identity_request(x, y))


async def _add_known(story: Story, x: int, y: int) -> None:
    """A task of an actor that has a record."""
    with suppress(WorkgraphError):
        await story.core.engine.ask(
            lambda context: import_graph(context, '{"kind":"actor","name":"judy"}'), ME
        )
    await story.core.settle()
    skill = ((), ("go",), ("go", "sql"))[x % 3]
    options: dict[str, Any] = {"complexity": "simple"} if y % 2 else {}
    await story.ask(
        r.AddTask(
            title="k", exec="true", actor="judy", priority=0, skill=skill, **options
        )
    )


async def _judge_known(story: Story, x: int, y: int) -> None:
    """An operator judges what was tried, and sometimes what was not."""
    agents = await story.agents(alive=False)
    agents = [agent for agent in agents if agent.actor_id] or agents
    tried = agents[x % len(agents)].task if agents and y % 8 else await story.pick(x)
    await story.ask(
        RecordReward(
            task=tried,
            score=y / 64,
            dim={"correctness": x / 64} if x % 2 else {},
            source=(None, "eve", "zoe")[y % 3],
            attempt=1 if x % 4 == 0 else None,
        )
    )


async def _heir(story: Story, x: int, y: int) -> None:
    task, heir = await story.pick(x), await story.pick(y)
    await story.ask(r.AbandonTask(task=task, superseded_by=heir))


async def _kill(story: Story, x: int, y: int) -> None:
    options: tuple[dict[str, Any], ...] = ({}, {"requeue": True}, {"fail": True})
    living = await story.agents(alive=True)
    if living:
        agent = living[x % len(living)].id
        await story.ask(r.KillAgents(agent=agent, force=y % 5 == 0, **options[y % 3]))


def _words(task: str, y: int) -> r.AnyRequest:
    words: tuple[r.AnyRequest, ...] = (
        r.FinishTask(task=task),
        r.SubmitTask(task=task),
        r.FailTask(task=task, reason="no"),
        r.AddTask(title="more", exec="true"),
        r.Log(task=task, message="hm"),
        r.ReportProgress(task=task, percent=y),
        r.Heartbeat(task=task),
        SendMessage(task=task, text="to the next one"),
        SendMessage(task=task, ack_all=True),
    )
    return words[y % len(words)]


def _more_words(task: str, y: int) -> r.AnyRequest:
    words: tuple[r.AnyRequest, ...] = (
        r.FinishTask(task=task, converged=True),
        r.AskQuestion(task=task, question=f"why {y}?"),
        r.WaitTask(task=task, until=_until(y, "t0")),
        r.WaitTask(task=task, until=_until(y // 2, "t1")),
        SendMessage(task=task, ack_all=True),
    )
    return words[y % len(words)]


def _until(y: int, task: str) -> str:
    conditions = (
        "message",
        "timer:10s",
        "timer:1m,message",
        "timer:10s|message",
        f"task:{task}=done",
        f"task:{task}=settled|timer:10m",
        f"task:{task}=failed,message",
        "file:/dev/null,timer:1s",
        "file:/nowhere/at/all|message",
    )
    return conditions[y % len(conditions)]


async def _wait(story: Story, x: int, y: int) -> None:
    """An operator has one wait for another, whether it works or not."""
    until = _until(y, await story.pick(x + y))
    task = await story.pick(x)
    if x % 2:
        await story.ask(r.ClaimTask(task=task, actor="alice", force=True))
    await story.ask(r.WaitTask(task=task, until=until))


async def _let_wake(story: Story, x: int, y: int) -> None:
    """What waits is told something, or waited for long enough."""
    lasting = [
        wait
        for wait in await story.core.store.read(lambda tx: [*waits.every(tx)], 0)
        if wait.woken_at is None
    ]
    if not lasting:
        return
    wait = lasting[x % len(lasting)]
    if wait.question is not None:
        await story.ask(r.AnswerQuestion(task=wait.task, text=f"{y}"))
    await story.ask(SendMessage(task=wait.task, text="go on"))
    for term in wait.terms:
        if term.kind == "task" and y % 3:
            await story.ask(r.FinishTask(task=term.target))
    _pass_time(story, (1, 10, 60, 600)[y % 4])


async def _agent_waits(story: Story, x: int, y: int) -> None:
    """Agents that run do: for something, or for an answer."""
    for agent in (await story.agents(alive=True))[: 1 + x % 2]:
        caller = Caller(name=agent.id, agent=agent)
        until = _until(y, await story.pick(x))
        await story.ask(r.WaitTask(task=agent.task, until=until), caller)
        if x % 4 == 0:
            await story.ask(r.AskQuestion(task=agent.task, question="why?"), caller)
    story.end(x, fate=Fate.EXITED, exit_code=0)


async def _reply(story: Story, x: int, y: int) -> None:
    """An operator answers whoever has asked."""
    asking = await story.core.store.read(
        lambda tx: [wait.task for wait in waits.every(tx) if wait.question], 0
    )
    if asking:
        await story.ask(r.AnswerQuestion(task=asking[x % len(asking)], text=f"{y}"))


async def _tell(story: Story, x: int, y: int) -> None:
    """An operator writes to a task that waits for something, or is worked on."""
    del y
    tasks = await story.core.store.read(reads.every_task, 0)
    listen = [t for t in tasks if t.status in {Status.WAITING, Status.IN_PROGRESS}]
    if listen:
        await story.ask(SendMessage(task=listen[x % len(listen)].id, text="go on"))


def _agent_says(words: Callable[[str, int], r.AnyRequest]) -> Any:
    async def step(story: Story, x: int, y: int) -> None:
        living = await story.agents(alive=True)
        if living:
            agent = living[x % len(living)]
            request = words(agent.task, y)
            await story.ask(request, Caller(name=agent.id, agent=agent))

    return step


async def _agent_reads(story: Story, x: int, y: int) -> None:
    del y
    living = await story.agents(alive=True)
    if living:
        agent = living[x % len(living)]
        request = SendMessage(task=agent.task, list=True, token="its own")
        await story.ask(request, Caller(name=agent.id, agent=agent))


def _late_word(words: Callable[[str, int], r.AnyRequest]) -> Any:
    async def step(story: Story, x: int, y: int) -> None:
        dead = await story.agents(alive=False)
        if not dead:
            return
        agent = dead[x % len(dead)]
        before = await story.core.store.read(dump, 0)
        try:
            caller = Caller(name=agent.id, agent=agent)
            await story.core.say(words(agent.task, y), caller)
        except (ConflictError, ForbiddenError):
            after = await story.core.store.read(dump, 0)
            assert after == before, "an ended token has changed something"
        else:
            raise AssertionError(f"{agent.id} has ended, and was listened to")

    return step


def _exit(**how: Any) -> Any:
    async def step(story: Story, x: int, y: int) -> None:
        del y
        story.end(x, **how)

    return step


async def _advance(story: Story, x: int, y: int) -> None:
    _pass_time(story, (0.001, 1, 10, 60, 600, 86400)[x % 6] + y / 1000)


def _pass_time(story: Story, seconds: float) -> None:
    story.world.pass_time(seconds)
    story.core.clock.advance(seconds)


async def _jump(story: Story, x: int, y: int) -> None:
    """The machine has slept, or its clock was set, either way."""
    seconds = (0.5, 30, 3600, 86400, -0.5, -30, -3600, -86400)[x % 8] + y / 1000
    await story.core.jump(seconds)


async def _freeze(story: Story, x: int, y: int) -> None:
    del x, y
    await story.core.freeze()


async def _thaw(story: Story, x: int, y: int) -> None:
    del x, y
    await story.core.thaw()


async def _freeze_for(story: Story, x: int, y: int) -> None:
    """Agents stand still for longer than any of them may run."""
    await story.core.freeze()
    _pass_time(story, 600 * x + y)
    await story.core.settle()
    await story.core.thaw()


async def _write(story: Story, x: int, y: int) -> None:
    """An agent says something, or is found to have said nothing yet."""
    running = story.world.running()
    if running:
        agent = running[x % len(running)]
        written = Output(size=y, written_at=story.core.clock.now())
        story.world.outputs[agent] = written


async def _fail_start(story: Story, x: int, y: int) -> None:
    del y
    fail = story.world.fail_next if x % 2 else story.world.fail_next_prepare
    fail("no more processes")


async def _resist(story: Story, x: int, y: int) -> None:
    running = story.world.running()
    if running:
        agent = running[x % len(running)]
        (story.world.unmoved if y % 2 else story.world.stubborn).add(agent)


async def _fill_disk(story: Story, x: int, y: int) -> None:
    """The disk is full for a while: nothing is lost, and nothing half done."""
    core = story.core
    await core.store.read(lambda tx: tx.value("pragma max_page_count = 1"), 0)
    story.end(x, fate=Fate.EXITED, exit_code=0)
    request = r.Log(task=await story.pick(x), message="x" * 50_000)
    with suppress(WorkgraphError):
        await core.engine.answer(request, ME)
    ticked = core.engine.ticked
    core.engine.wake()
    await ticked.wait()
    await core.store.read(lambda tx: tx.value(f"pragma max_page_count = {_LOTS}"), 0)
    await core.settle()
    for _ in range(2):
        _pass_time(story, 61)
        await core.settle()


async def _bad_disk(story: Story, x: int, y: int) -> None:
    """Writes fail from some statement on: what was done before it is undone, whole."""
    core = story.core
    before = await core.store.read(dump, 0)
    story.world.store.fault = (FAULTS[y % len(FAULTS)], x % 12, bool(y % 2))
    refused = False
    try:
        request = r.AddTask(title="t", exec="true", after=(await story.pick(y),))
        await core.engine.answer(request, ME)
    except WorkgraphError as error:
        refused = isinstance(error, MachineError)
    if refused:
        assert await core.store.read(dump, 0) == before, "half a request is there"
    story.end(x, fate=Fate.EXITED, exit_code=y % 2)
    ticked = core.engine.ticked
    core.engine.wake()
    await ticked.wait()
    story.world.store.fault = None
    await core.settle()  # what has been claimed is there before it gets older
    for _ in range(2):
        _pass_time(story, 61)
        await core.settle()


async def _verdict(story: Story, x: int, y: int) -> None:
    """An evaluator answers, by its output or by a command, and ends."""
    judges = [
        agent
        for agent in await story.agents(alive=True)
        if agent.executor == JUDGE and agent.number in story.world.running()
    ]
    if not judges:
        return
    judge = judges[x % len(judges)]
    caller = Caller(name=judge.id, agent=judge)
    if y % 5 == 0:
        errand = await story.core.store.read(
            lambda tx: errands.find(tx, judge.task), story.core.clock.now()
        )
        about = errand.about if errand is not None else None
        await story.ask(RecordReward(task=about, score=y / 64), caller)
    if y % 4 == 0:
        await story.ask(r.FinishTask(task=judge.task), caller)
    story.world.write(
        judge.number,
        f"well\n{agency_steps.ANSWERS[y % len(agency_steps.ANSWERS)]}\n".encode(),
    )
    if judge.number in story.world.running():
        story.world.end(Ended(agent=judge.number, fate=Fate.EXITED, exit_code=0))


STEPS: dict[str, Callable[[Story, int, int], Coroutine[Any, Any, None]]] = {
    "add": _add,
    "add-more": _add,
    "edit": _edit,
    "link": _link,
    "unlink": _unlink,
    "claim": _say(
        lambda task, y: r.ClaimTask(task=task, actor="alice", force=y % 3 == 0)
    ),
    "unclaim": _say(lambda task, _: r.UnclaimTask(task=task)),
    "next": _say(lambda _, y: r.NextTask(actor="alice", claim=True)),
    "done": _say(lambda task, _: r.FinishTask(task=task)),
    "submit": _say(lambda task, _: r.SubmitTask(task=task)),
    "approve": _say(lambda task, _: r.ApproveTask(task=task)),
    "reject": _say(lambda task, _: r.RejectTask(task=task, reason="no")),
    "fail": _say(lambda task, _: r.FailTask(task=task, reason="no")),
    "retry": _say(lambda task, _: r.RetryTasks(task=task)),
    "retry-failed": _say(lambda _, y: r.RetryTasks(failed=True)),
    "abandon": _say(lambda task, _: r.AbandonTask(task=task)),
    "heir": _heir,
    "pause": _say(lambda task, _: r.Pause(task=task)),
    "resume": _say(lambda task, _: r.Resume(task=task)),
    "pause-service": _say(lambda _, y: r.Pause()),
    "resume-service": _say(lambda _, y: r.Resume()),
    "log": _say(lambda task, _: r.Log(task=task, message="hello")),
    "progress": _say(lambda task, y: r.ReportProgress(task=task, percent=y)),
    "kill": _kill,
    "agent-says": _agent_says(_words),
    "agent-says-more": _agent_says(_words),
    "late-word": _late_word(_words),
    "message": _say(lambda task, _: SendMessage(task=task, text="hello")),
    "acknowledge": _say(lambda task, y: SendMessage(task=task, ack=(y % 4 + 1,))),
    "agent-reads": _agent_reads,
    "exit-0": _exit(fate=Fate.EXITED, exit_code=0),
    "exit-0-again": _exit(fate=Fate.EXITED, exit_code=0),
    "exit-1": _exit(fate=Fate.EXITED, exit_code=1),
    "signal": _exit(fate=Fate.SIGNALED, signal=11),
    "lost": _exit(fate=Fate.LOST),
    "advance": _advance,
    "advance-more": _advance,
    "add-bots": _add_bots,
    "fail-bots": _fail_bots,
    "add-clients": _add_clients,
    "answer": _answer,
    "answer-more": _answer,
    "refuse": _refuse,
    "write": _write,
    "jump": _jump,
    "freeze": _freeze,
    "thaw": _thaw,
    "freeze-for": _freeze_for,
    "fail-start": _fail_start,
    "resist": _resist,
    "disk-full": _fill_disk,
    "bad-disk": _bad_disk,
    # Means something only while no daemon runs.
    "forget": _say(lambda task, _: r.Heartbeat(task=task)),
}

#: Steps that are woven into every other seeded story: the others stay what they were.
_JUDGING = frozenset({"judge", "judge-now", "verdict", "verdict-more"})
WOVEN: dict[str, Callable[[Story, int, int], Coroutine[Any, Any, None]]] = {
    "add-consumer": _add_consumer,
    "record": _record,
    "edit-input": _edit_input,
    "tell": _tell,
    "agent-reads-more": _agent_reads,
    "agent-says-else": _agent_says(_more_words),
    "late-word-else": _late_word(_more_words),
    "wait": _wait,
    "agent-waits": _agent_waits,
    "agent-waits-more": _agent_waits,
    "ask": _say(lambda task, y: r.AskQuestion(task=task, question=f"why {y}?")),
    "reply": _reply,
    "let-wake": _let_wake,
    "let-wake-more": _let_wake,
    "claim-trajectory": _claim_trajectory,
    "add-chain": _add_chain,
    "add-chain-more": _add_chain,
    "hand-on": _hand_on,
    "hand-on-more": _hand_on,
    "loop": _make_loop,
    "loop-and-work": _loop_and_work,
    "loop-and-work-more": _loop_and_work,
    "work-on-loop": _work_on_loop,
    "work-on-loop-more": _work_on_loop,
    "add-known": _add_known,
    "add-known-more": _add_known,
    "judge-known": _judge_known,
    "judge-known-more": _judge_known,
    "add-actor": _add_actor,
    "add-skilled": _add_skilled,
    "add-skilled-more": _add_skilled,
    "assign": _assign,
    "end-loop": _say(lambda task, _: LoopTasks(task=task, end=True)),
    "identity": _change_identity,
    "identity-more": _change_identity,
    "give-to-somebody": _say(
        lambda task, y: r.EditTask(task=task, actor=("ann", "bob", "alice", "")[y % 4])
    ),
    "judge": _say(lambda task, y: RecordReward(task=task, score=y / 64)),
    "judge-now": _say(lambda task, _: RunReward(task=task)),
    "verdict": _verdict,
    "verdict-more": _verdict,
    "set-agency": agency_steps.set_agency,
    "set-agency-more": agency_steps.set_agency,
    "capacity": agency_steps.change_capacity,
    "skills": agency_steps.change_skills,
    "remove-actor": agency_steps.remove_actor,
    "assign-some": agency_steps.assign_some,
    "match": agency_steps.match_actors,
    "evolve": agency_steps.evolve,
    "evolve-more": agency_steps.evolve,
    "review": agency_steps.review,
    "canary": agency_steps.try_evaluator,
    "practise": agency_steps.practise,
    "answer-errand": agency_steps.answer_errand,
    "answer-errands": agency_steps.answer_errands,
    "answer-errands-more": agency_steps.answer_errands,
    "fall-silent": agency_steps.fall_silent,
    "judge-late": agency_steps.judge_late,
    "reactor-fails": agency_steps.fail_reactor,
    "reactor-fails-more": agency_steps.fail_reactor,
    **chat_steps.STEPS,
}
#: What a woven story is mostly about. There are so many kinds of steps that a story
#: with some of all of them hardly ever comes upon what needs several of one part.
THEMES: tuple[tuple[str, ...], ...] = (
    (
        *("add-consumer", "record", "edit-input", "tell", "agent-reads-more"),
        *("agent-says-else", "late-word-else"),
    ),
    ("wait", "agent-waits", "ask", "reply", "let-wake", "tell", "agent-reads-more"),
    ("claim-trajectory", "add-chain", "hand-on", "loop", "agent-says-else"),
    ("loop", "loop-and-work", "work-on-loop", "end-loop", "agent-waits"),
    (
        *("add-actor", "add-skilled", "assign", "identity", "give-to-somebody"),
        *("capacity", "skills", "remove-actor", "assign-some", "match"),
    ),
    (
        *("set-agency", "answer-errand", "answer-errands", "fall-silent"),
        *("judge", "judge-now", "judge-late", "verdict", "reactor-fails"),
    ),
    (
        *("evolve", "review", "canary", "practise", "add-known", "judge-known"),
        *("answer-errands", "set-agency", "identity"),
    ),
    tuple(chat_steps.STEPS),
)
#: Of so many woven steps one is about anything.
_ASIDE = 4

_BASE: tuple[str, ...] = (*STEPS, "crash")
STEPS |= WOVEN
#: Every step that a story may have.
NAMES: tuple[str, ...] = (*_BASE, *WOVEN)


def play_seeded(seed: int, length: int = 40) -> None:
    """A story that a seed has made up."""
    random = Random(seed)
    story = [
        (random.choice(_BASE), random.randrange(64), random.randrange(64))
        for _ in range(length)
    ]
    theme = THEMES[seed // 2 % len(THEMES)]
    for _ in range(length // 2 if seed % 2 else 0):
        kinds = theme if random.randrange(_ASIDE) else (*WOVEN,)
        step = (random.choice(kinds), random.randrange(64), random.randrange(64))
        story.insert(random.randrange(len(story) + 1), step)

    async def play_in_time() -> None:
        with anyio.fail_after(120):
            await play(story)

    asyncio.run(play_in_time())


def main() -> int:
    """Plays stories from seeds: `python -m tests.engine.simulation COUNT [FIRST]`."""
    count, first = int(sys.argv[1]), int((*sys.argv, "0")[2])
    for seed in range(first, first + count):
        try:
            play_seeded(seed)
        except BaseException:
            sys.stdout.write(f"seed {seed}\n")
            traceback.print_exc()
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
