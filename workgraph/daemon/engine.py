"""The engine: requests in, one transaction per tick, effects out.

Everything that changes the graph goes through here. Requests are answered after their
own commit; what they changed wakes the tick. A tick takes the facts that effects have
posted, runs the reactors in order in one transaction, a savepoint each, and hands what
is to be done to `Effects` after the commit. While nothing happens it waits for one
event or one moment, and does nothing (DESIGN §3).
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final, TypeVar

import anyio
import anyio.abc

from workgraph.agents.kill import LIMIT_S
from workgraph.commands.context import Answer, Caller, Context
from workgraph.commands.handlers import handle, is_read
from workgraph.daemon import apply
from workgraph.daemon.alarm import Clock
from workgraph.daemon.consumers import Consumers
from workgraph.daemon.effects import Effects
from workgraph.daemon.launching import Host
from workgraph.daemon.life import note_life
from workgraph.daemon.orders import Effect, EndLeftover
from workgraph.daemon.reactors import REACTORS, Surroundings
from workgraph.daemon.tick import tick
from workgraph.graph import requests as r
from workgraph.graph.changes import Change
from workgraph.graph.errors import ConflictError, UserError, WorkgraphError
from workgraph.graph.facts import Fact
from workgraph.graph.model import Record
from workgraph.graph.readiness import ServiceFacts
from workgraph.graph.replies import ReactorData, Reply
from workgraph.logs import Logger
from workgraph.store import agent_reads, chats, moments, service
from workgraph.store.database import Store, Tx

T = TypeVar("T")

#: A reactor that failed is tried again after this, doubling to a minute.
_RETRY_REACTOR_US: Final = 1_000_000
_RETRY_REACTOR_MAX_US: Final = 60_000_000
#: What a tick that can't be committed fails in, among the names of reactors.
_STORE: Final = "store"


class Mode(Record, frozen=True, kw_only=True):
    """As what the engine runs."""

    #: False for one request without a daemon.
    is_daemon: bool = True
    #: Whether it may start processes.
    may_start: bool = True


class Engine:
    """The one owner of the store, of the effects, and of time.

    Args:
        store: The graph.
        clock: The seam to time.
        effects: The seam to processes.
        host: What plans are made from.
        mode: As what it runs.
        log: The daemon's log.
    """

    def __init__(  # noqa: PLR0913 - its parts
        self,
        *,
        store: Store,
        clock: Clock,
        effects: Callable[[Callable[[Fact], None]], Effects],
        host: Callable[[Effects], Host],
        mode: Mode,
        log: Logger,
    ) -> None:
        self.store = store
        self.clock = clock
        self.effects = effects(self.post)
        self.host = host(self.effects)
        self.mode = mode
        self.draining = False
        #: Who uses which chat.
        self.consumers = Consumers(self._note_consumer, self.wake)
        #: What is being said in chats, and a bell for each.
        self.feed = self.effects.clients.feed
        #: Those who are told of each commit, and who is waited for without a daemon.
        self.listeners: list[Callable[[Sequence[Change]], None]] = []
        self.finishers: list[Callable[[], Awaitable[object]]] = []
        self.max_agents = self.host.grounds.layered.settings.dispatcher.max_agents
        self._log = log
        self._facts: deque[Fact] = deque()
        self._wake = anyio.Event()
        self._committed: anyio.Event | None = None
        self._ticked: anyio.Event | None = None
        self._settled = anyio.Event()
        self._waiting: dict[int, anyio.Event] = {}
        self._reactor_errors: dict[str, str] = {}
        self._retry_gap_us = _RETRY_REACTOR_US
        self._is_ticking = False
        self._retry_at: int | None = None
        self._followed: moments.Anchor | None = None
        self._wake_at: int | None = None
        self._group: anyio.abc.TaskGroup | None = None

    async def run(
        self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Ticks until it is cancelled. Starts with a tick: starting up is an event.

        The first one comes after `begin`.
        """
        async with anyio.create_task_group() as group:
            self._group = group
            group.start_soon(self.effects.sweep_forever)
            task_status.started()
            await self._settled.wait()
            while True:
                await self.tick()
                if not self._wake.is_set():
                    await self.clock.wait(self._wake, self._next_moment())

    def begin(self) -> None:
        """Lets the first tick come: what an earlier daemon left is settled.

        A tick before that would judge agents by what the graph knows of them, which is
        old; and its own, which are about to start, would be taken for the earlier's.
        """
        self._settled.set()

    async def tick(self) -> bool:
        """One tick. Returns whether it has decided anything."""
        if self._wake.is_set():
            self._wake = anyio.Event()
        self._is_ticking = True
        facts = list(self._facts)
        self._facts.clear()
        # At once with the call below: what is asked from now on comes after the shift.
        self.clock.catch_up()
        anchor = self.clock.anchor()
        around = Surroundings(
            host=self.host,
            max_agents=self.max_agents,
            may_start=self.mode.may_start and not self.draining,
            judging=frozenset(self.effects.judging),
            looking=frozenset(self.effects.looking),
            watching=self.effects.paths.wanted,
            fetching={task: one.needs for task, one in self.effects.fetching.items()},
            consumers=self.consumers.counts,
            inputs=frozenset(self.effects.inputs),
            found=frozenset(self.effects.found_ended),
            anchor=None if anchor == self._followed else anchor,
        )
        try:
            result, changes = await self.store.transaction(
                lambda tx: tick(tx, facts, around), self.clock.now()
            )
        except WorkgraphError as error:
            # The disk may be full: what was learnt is kept for the next try.
            self._facts.extendleft(reversed(facts))
            self._note_failure({_STORE: error.message})
            self._end_tick()
            return False
        self._followed = anchor
        self._note_failure(result.failed)
        self._facts.extendleft(reversed(result.unwritten))
        self._wake_at = result.wake_at
        self.publish(changes)
        for number in result.concluded:
            waiting = self._waiting.pop(number, None)
            if waiting is not None:
                waiting.set()
        self.effects.clients.note_given(result.effects)
        if result.effects and self._group is not None:
            self.effects.perform(result.effects, self._group)
        if result.busy:
            self._wake.set()
        self._end_tick()
        return result.busy or bool(facts)

    async def submit(self, request: r.AnyRequest, caller: Caller) -> Reply:
        """Carries out a request and answers after its commit.

        A request that has to end agents first is answered when they are gone.

        Raises:
            WorkgraphError: It can't be done as asked for; nothing was changed.
        """
        return await self.carry_out(lambda context: handle(context, request), caller)

    async def carry_out(
        self, job: Callable[[Context], Answer], caller: Caller
    ) -> Reply:
        """Runs a handler that may have to end agents first, until it has answered."""
        while True:
            answer = await self.ask(job, caller)
            if isinstance(answer, Reply):
                return answer
            await self.end_agents(answer.agents)
            if answer.leftover:
                await self.end_leftover(answer.leftover)
            if answer.finish is not None:
                return await self.read(answer.finish, caller)

    async def ask(
        self, job: Callable[[Context], T], caller: Caller, *, reads: bool = False
    ) -> T:
        """Runs a handler in a transaction, and wakes the tick by what it changed."""
        if reads:
            return await self.read(job, caller)
        result, changes = await self.store.transaction(
            lambda tx: job(self._context(tx, caller)), self.clock.now()
        )
        if changes:
            self.publish(changes)
            self.wake()
            for finish in self.finishers:
                await finish()
        return result

    async def read(self, job: Callable[[Context], T], caller: Caller) -> T:
        """Runs a handler that changes nothing."""
        return await self.store.read(
            lambda tx: job(self._context(tx, caller)), self.clock.now()
        )

    async def answer(self, request: r.AnyRequest, caller: Caller) -> Reply:
        """Carries out a request by the cheapest way: reads do not queue with writes."""
        if is_read(request):
            answer: Answer = await self.read(
                lambda context: handle(context, request), caller
            )
            assert isinstance(answer, Reply)
            await self.note_life(caller)
            return answer
        return await self.submit(request, caller)

    async def note_life(self, caller: Caller) -> None:
        """An agent that reads is alive, too; one that writes is noted with that."""
        if caller.agent is not None:
            await note_life(self.store, caller.agent, self.clock.now())

    async def caller_of(self, token: str | None, name: str) -> Caller:
        """Who is speaking: the attempt whose token it is, or an operator.

        Raises:
            ConflictError: The token is of no attempt.
        """
        if not token:
            return Caller(name=name)
        digest = sha256(token.encode("utf-8", "surrogateescape")).digest()
        agent = await self.store.read(
            lambda tx: agent_reads.by_token(tx, digest), self.clock.now()
        )
        if agent is None:
            raise ConflictError(
                "this token is of no attempt",
                hint="an agent speaks for its own attempt alone",
            )
        return Caller(name=agent.id, agent=agent)

    async def end_agents(self, numbers: Sequence[int]) -> None:
        """Ends agents whose rows have the order to stop; returns when all are gone."""
        waits = [self._waiting.setdefault(n, anyio.Event()) for n in numbers]
        await self.perform_stops(numbers)
        for wait in waits:
            await wait.wait()

    async def end_leftover(self, numbers: Sequence[int]) -> None:
        """Ends what ended agents have left behind; returns when it is written down."""

        def effects_of(tx: Tx) -> list[EndLeftover]:
            found = (agent_reads.by_number(tx, number) for number in numbers)
            return [apply.leftover_effect(a, self.host, LIMIT_S) for a in found]

        async with anyio.create_task_group() as group:
            for effect in await self.store.read(effects_of, self.clock.now()):
                group.start_soon(self.effects.end_leftover, effect)
        while self._facts:
            ticked = self.ticked
            await ticked.wait()

    async def perform_stops(self, numbers: Iterable[int]) -> None:
        """Starts the kill ladder for agents that are to stop."""

        def effects_of(tx: Tx) -> list[Effect]:
            found: list[Effect] = []
            for number in numbers:
                agent = agent_reads.by_number(tx, number)
                if agent.ended_at is None:
                    found.append(apply.stop_effect(tx, number, self.host))
                elif (wait := self._waiting.pop(number, None)) is not None:
                    wait.set()
            return found

        effects = await self.store.read(effects_of, self.clock.now())
        self.perform(effects)

    def perform(self, effects: Sequence[Effect]) -> None:
        """Starts to carry out effects that a request has decided."""
        if self._group is None:
            raise UserError("the engine does not run", hint="wg service start")
        self.effects.perform(effects, self._group)

    def configure(self, host: Host) -> None:
        """Plans and limits come from other settings from now on."""
        self.host = host
        self.max_agents = host.grounds.layered.settings.dispatcher.max_agents

    async def settle(self) -> None:
        """Ticks until there is nothing to decide and nothing on its way to start.

        Gives up where a reactor or the database fails: that is tried again later.
        """
        self.wake()
        while not self.is_quiet or self.effects.is_starting:
            if self._reactor_errors and not self._wake.is_set():
                return
            ticked = self.ticked
            await ticked.wait()

    async def flush(self) -> None:
        """Writes down what has been posted; nothing more is started."""
        self.draining = True
        self.effects.closing = True
        await self.effects.sweep()
        while self._facts:
            await self.tick()
            if self._reactor_errors:
                return  # they can't be written now; starting up finds them out again

    def post(self, fact: Fact) -> None:
        """Takes what the world has answered into the next tick."""
        self._facts.append(fact)
        self._wake.set()

    def wake(self) -> None:
        """Has the engine look at the graph."""
        self._wake.set()

    def publish(self, changes: Sequence[Change]) -> None:
        """Tells those who watch, or are in a chat, that there is more to read."""
        self.feed.heed(changes)
        for listener in self.listeners:
            listener(changes)
        if changes and self._committed is not None:
            self._committed.set()
            self._committed = None

    @property
    def committed(self) -> anyio.Event:
        """Set at the next commit that changes something. Take it before reading."""
        if self._committed is None:
            self._committed = anyio.Event()
        return self._committed

    @property
    def ticked(self) -> anyio.Event:
        """Set at the end of the next tick. Take it before reading."""
        if self._ticked is None:
            self._ticked = anyio.Event()
        return self._ticked

    @property
    def is_quiet(self) -> bool:
        """Whether neither fact nor change waits for a tick, or is in one."""
        return not (self._facts or self._wake.is_set() or self._is_ticking)

    @property
    def reactors(self) -> tuple[ReactorData, ...]:
        """How each reactor's last run went; what else failed in a tick comes last."""
        errors = self._reactor_errors
        names = [reactor.name for reactor in REACTORS]
        return tuple(
            ReactorData(name=name, ok=name not in errors, error=errors.get(name))
            for name in dict.fromkeys((*names, *errors))
        )

    def service_facts(self, tx: Tx) -> ServiceFacts:
        """How the service stands, for the reasons that `wg why` gives."""
        return ServiceFacts(
            daemon_running=self.mode.is_daemon,
            paused=service.is_service_paused(tx),
            frozen=service.frozen_since(tx) is not None,
            draining=self.draining,
            live_agents=service.count_live(tx),
            max_agents=self.max_agents,
            trouble=self._reactor_errors.get(_STORE),
        )

    async def _note_consumer(self, chat: int) -> None:
        await self.store.transaction(
            lambda tx: chats.note_consumer(tx, chat), self.clock.now()
        )
        self.feed.ring(chat)

    def _context(self, tx: Tx, caller: Caller) -> Context:
        return Context(
            tx=tx,
            caller=caller,
            settings=self.host.grounds.layered.settings,
            ask_service=self.service_facts,
            project_dir=self.host.grounds.host.project_dir,
            ask_consumers=lambda chat: self.consumers.counts.get(chat, 0),
            is_served=self.mode.is_daemon,
        )

    def _end_tick(self) -> None:
        self._is_ticking = False
        if self._ticked is not None:
            self._ticked.set()
            self._ticked = None

    def _next_moment(self) -> int | None:
        wake_at = self._wake_at
        if self._retry_at is not None and (wake_at or 0) <= self.clock.now():
            # What is due can't be done just now: trying at once would be a busy loop.
            return self._retry_at
        moments = [m for m in (wake_at, self._retry_at) if m is not None]
        return min(moments, default=None)

    def _note_failure(self, failed: dict[str, str]) -> None:
        for name, error in failed.items():
            if self._reactor_errors.get(name) != error:
                self._log.error("reactor_failed", reactor=name, error=error)
        self._reactor_errors = failed
        if failed:
            self._retry_at = self.clock.now() + self._retry_gap_us
            self._retry_gap_us = min(self._retry_gap_us * 2, _RETRY_REACTOR_MAX_US)
        else:
            self._retry_at, self._retry_gap_us = None, _RETRY_REACTOR_US
