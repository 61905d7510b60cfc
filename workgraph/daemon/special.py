"""Requests that need more than the graph: files, settings, the daemon itself."""

import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any, Final, cast, get_args

import anyio
import anyio.to_thread
from msgspec import structs

from workgraph import __version__
from workgraph.commands import matching, operate, queries, transfer
from workgraph.commands.access import check_access
from workgraph.commands.context import Caller, Context
from workgraph.commands.import_beads import import_beads
from workgraph.commands.import_wg_rs import import_wg_rs
from workgraph.daemon import (
    backup,
    calibrating,
    freezing,
    interrupting,
    showing,
    trials,
    waiting,
)
from workgraph.daemon.assembly import make_host
from workgraph.daemon.configuration import Configuration
from workgraph.daemon.conversing import Conversing
from workgraph.daemon.engine import Engine
from workgraph.daemon.executors import check_executor, look_at_executors
from workgraph.daemon.hiding import hide_secrets
from workgraph.daemon.notify import NotifySocket
from workgraph.daemon.prompting import measure_prompt
from workgraph.daemon.recording import Recorder
from workgraph.daemon.starting import Starting, needs_daemon
from workgraph.graph import requests as r
from workgraph.graph.canary_requests import RunCanaries
from workgraph.graph.chat_requests import InterruptChat, SendToChat
from workgraph.graph.errors import UserError
from workgraph.graph.match_requests import MatchActors
from workgraph.graph.model import AgentStatus, Record, Stop, StopThen
from workgraph.graph.prompt_requests import GetContext
from workgraph.graph.replies import DoneData, OutputData, Reply
from workgraph.graph.times import to_rfc3339
from workgraph.logs import NoLog
from workgraph.store import accounts, agent_reads, agents, reads

Answerer = Callable[[Any, Caller], Awaitable[Reply]]

#: Every command of the socket by its tag.
COMMANDS: Final = frozenset(
    str(cast("Any", kind).__struct_config__.tag) for kind in get_args(r.AnyRequest)
)


class Identity(Record, frozen=True, kw_only=True):
    """What the daemon says of itself."""

    pid: int
    since: int
    socket: str
    wg_dir: Path


class Special:
    """Answers what the engine alone can't.

    Args:
        engine: The engine.
        configuration: The settings as they are loaded.
        identity: What the daemon says of itself.
        shutdown: Ends the process in order.
        notify: The service manager, if one has started the daemon.
    """

    def __init__(
        self,
        engine: Engine,
        configuration: Configuration,
        identity: Identity,
        shutdown: Callable[[], None],
        notify: NotifySocket | None = None,
    ) -> None:
        self._engine = engine
        self._configuration = configuration
        self._identity = identity
        self._shutdown = shutdown
        #: The number of the last trial of an executor.
        self._last_trial = 0
        self._record = Recorder(engine).answer
        self._notify = notify or NotifySocket(None, NoLog())
        self._starting = Starting(engine)
        self._handlers: dict[type, Answerer] = {
            r.GetServiceStatus: self._status,
            r.Shutdown: self._shut_down,
            r.GraphChanged: self._wake,
            r.Tick: self._tick,
            r.Reconfigure: self._reconfigure,
            r.Freeze: self._freeze,
            r.Thaw: self._thaw,
            r.CheckGraph: self._check_graph,
            r.ExportGraph: self._export,
            r.ImportGraph: self._import,
            r.BackUp: self._back_up,
            r.SpawnAgent: self._starting.spawn,
            r.GetPlan: self._starting.plan,
            GetContext: self._starting.context,
            MatchActors: self._match,
            r.GetOutput: self._output,
            r.ListExecutors: self._executors,
            r.TryExecutor: self._try_executor,
            r.RecordArtifact: self._record,
            r.WaitTask: self._wait,
            r.GetConfig: self._get_config,
            r.SetConfig: self._set_config,
            r.ListConfig: self._list_config,
            RunCanaries: self._run_canaries,
            SendToChat: Conversing(engine).send,
            InterruptChat: self._interrupt,
        }

    def handler_for(self, request: r.AnyRequest) -> Answerer | None:
        """Who answers a request, if not the engine alone."""
        return self._handlers.get(type(request))

    async def check(self, request: r.AnyRequest, caller: Caller) -> None:
        """Refuses what an agent may not do; the engine does it for its own requests."""
        agent = caller.agent
        if agent is not None:
            await self._engine.read(
                lambda context: check_access(context.tx, agent, request), caller
            )

    def backup_copy(self) -> AbstractAsyncContextManager[str]:
        """A consistent copy of the database, gone after the block."""
        return backup.copy_made(self._engine.store, self._identity.wg_dir)

    async def _status(self, request: r.GetServiceStatus, caller: Caller) -> Reply:
        del request
        data = await self._engine.read(queries.service_status, caller)
        identity = self._identity
        running = self._engine.mode.is_daemon
        return Reply(
            data=type(data)(
                running=running,
                pid=identity.pid if running else None,
                since=to_rfc3339(identity.since) if running else None,
                version=__version__,
                socket=identity.socket,
                paused=data.paused,
                frozen=data.frozen,
                draining=self._engine.draining,
                max_agents=self._engine.max_agents,
                agents=data.agents,
                ready=data.ready,
                idle=data.idle,
                unfinished=data.unfinished,
                counts=data.counts,
                reactors=self._engine.reactors,
                providers=data.providers,
                chats=data.chats,
            )
        )

    async def _shut_down(self, request: r.Shutdown, caller: Caller) -> Reply:
        self._engine.draining = True
        if request.kill_agents:
            await self._kill_all(caller)
        self._shutdown()
        return Reply(data=DoneData(message="the daemon ends; agents go on"))

    async def _kill_all(self, caller: Caller) -> None:
        def order(context: Context) -> tuple[int, ...]:
            tx = context.tx
            live = [a for a in agent_reads.list_agents(tx, alive=True) if not a.human]
            for agent in live:
                held = reads.task(tx, agent.task).claimed_by == agent.id
                then = StopThen.REQUEUE if held else StopThen.NOTHING
                stop = Stop(then=then, by=caller.by, reason="the service was stopped")
                if agent.status is not AgentStatus.STOPPING:
                    agents.order_stop(tx, agent, stop, None)
            return tuple(agent.number for agent in live)

        numbers = await self._engine.ask(order, caller)
        await self._engine.end_agents(numbers)

    async def _wake(self, request: r.GraphChanged, caller: Caller) -> Reply:
        del request, caller
        self._engine.wake()
        return Reply(data=DoneData())

    async def _tick(self, request: r.Tick, caller: Caller) -> Reply:
        del request, caller
        await self._engine.settle()
        return Reply(data=DoneData(message="ticked"))

    async def _reconfigure(self, request: r.Reconfigure, caller: Caller) -> Reply:
        """Reads the settings again; broken ones are refused and the old ones stay."""
        async with self._notify.reloading():
            await self._load(self._configuration.reload(), caller)
        if request.max_agents is not None:
            if request.max_agents < 0:
                raise UserError("max_agents can't be negative", hint="0 starts nothing")
            self._engine.max_agents = request.max_agents
            self._engine.wake()
        return Reply(
            data=DoneData(message="the settings were read again"),
            notes=self._configuration.layered.warnings,
        )

    async def _freeze(self, request: r.Freeze, caller: Caller) -> Reply:
        del request
        return await freezing.freeze(self._engine, caller)

    async def _thaw(self, request: r.Thaw, caller: Caller) -> Reply:
        del request
        return await freezing.thaw(self._engine, caller)

    async def _load(self, configuration: Configuration, caller: Caller) -> None:
        self._configuration = configuration
        self._engine.configure(
            make_host(configuration, self._identity.socket, self._engine.effects)
        )
        await self._engine.ask(operate.try_all_anew, caller)
        self._engine.wake()

    async def _check_graph(self, request: r.CheckGraph, caller: Caller) -> Reply:
        del request
        executors = frozenset(self._engine.host.grounds.executors.by_name)
        return await self._engine.read(
            lambda context: queries.check_graph(context, executors), caller
        )

    async def _export(self, request: r.ExportGraph, caller: Caller) -> Reply:
        del request
        lines = await self._engine.read(transfer.export_lines, caller)
        return Reply(data=[line.decode() for line in lines])

    async def _import(self, request: r.ImportGraph, caller: Caller) -> Reply:
        async with self._notify.long_job():
            return await self._engine.ask(partial(_take_in, request), caller)

    async def _back_up(self, request: r.BackUp, caller: Caller) -> Reply:
        del caller
        if not os.path.isabs(request.file):
            raise UserError(
                f"{request.file} is not an absolute path", hint="name it from / on"
            )
        async with self.backup_copy() as copy:
            await anyio.to_thread.run_sync(backup.place, copy, request.file)
        return Reply(data=DoneData(message=request.file))

    async def locate_output(self, agent_id: str, caller: Caller) -> OutputData:
        """Where an agent's output is, and whether more will come; nothing of it."""
        agent = await self._engine.read(
            lambda context: agent_reads.by_id(context.tx, agent_id), caller
        )
        if agent.human:
            raise UserError(
                f"{agent.id} is a person's claim: there is no output",
                hint=f"wg log {agent.task} --list",
            )
        folder = self._engine.effects.folder(agent.number)
        return OutputData(
            agent=agent.id,
            task=agent.task,
            path=os.path.join(folder, "output.log"),
            output="",
            stderr=None,
            ended=agent.status is AgentStatus.ENDED,
        )

    async def show_output(
        self, agent_id: str, caller: Caller, clean: Callable[[str], str]
    ) -> showing.Shown:
        """What an agent's output is shown through: its stream decides."""
        return await self._engine.read(
            lambda context: showing.shown_as(
                context.tx, agent_reads.by_id(context.tx, agent_id), clean
            ),
            caller,
        )

    async def _output(self, request: r.GetOutput, caller: Caller) -> Reply:
        found = await self.locate_output(request.agent, caller)
        hide = hide_secrets(self._engine.host.grounds)
        shown = None
        if not request.raw:
            shown = await self.show_output(request.agent, caller, hide)
        output, errors = await anyio.to_thread.run_sync(
            partial(showing.read_output, ended=found.ended), found.path, shown, hide
        )
        return Reply(data=structs.replace(found, output=output, stderr=errors))

    async def _match(self, request: MatchActors, caller: Caller) -> Reply:
        return await self._engine.read(
            lambda context: matching.match_actors(
                context,
                request,
                lambda tx, task: measure_prompt(tx, task, self._engine.host.grounds),
            ),
            caller,
        )

    async def _executors(self, request: r.ListExecutors, caller: Caller) -> Reply:
        del request, caller
        grounds = self._engine.host.grounds
        return Reply(
            data=await anyio.to_thread.run_sync(look_at_executors, grounds),
        )

    async def _try_executor(self, request: r.TryExecutor, caller: Caller) -> Reply:
        """A run that no task is asked for; the graph learns of the account alone."""
        engine, name = self._engine, request.executor
        check_executor(engine.host.grounds, name)
        timeout_s = trials.parse_limit(request.timeout)
        if not engine.mode.is_daemon:
            raise needs_daemon("to try an executor")
        # Two may begin at one moment.
        number = self._last_trial = max(engine.clock.now(), self._last_trial + 1)
        trial = await trials.try_executor(
            engine.effects.launcher,
            engine.host.grounds,
            self._identity.wg_dir / trials.FOLDER / f"agent-{number}",
            trials.Wish(
                executor=name,
                model=request.model,
                endpoint=request.endpoint,
                timeout_s=timeout_s,
                number=number,
                token=engine.host.new_token(),
                session=engine.host.new_session(),
            ),
        )
        told = trials.judge_trial(trial)
        if (account := told.account) is not None:
            await engine.ask(lambda c: accounts.note_answer(c.tx, account), caller)
            engine.wake()
        return Reply(data=told)

    async def _wait(self, request: r.WaitTask, caller: Caller) -> Reply:
        return await waiting.wait(self._engine, request, caller)

    async def _interrupt(self, request: InterruptChat, caller: Caller) -> Reply:
        return await interrupting.interrupt(self._engine, request, caller)

    async def _run_canaries(self, request: RunCanaries, caller: Caller) -> Reply:
        return await calibrating.run_canaries(
            self._engine, request, caller, calibrating.tell_nobody
        )

    async def _get_config(self, request: r.GetConfig, caller: Caller) -> Reply:
        del caller
        return self._configuration.get(request.key)

    async def _list_config(self, request: r.ListConfig, caller: Caller) -> Reply:
        del request, caller
        return self._configuration.list_()

    async def _set_config(self, request: r.SetConfig, caller: Caller) -> Reply:
        reply = await anyio.to_thread.run_sync(
            self._configuration.set_, request.key, request.value, request.globally
        )
        await self._load(self._configuration.reload(), caller)
        return reply


def _take_in(request: r.ImportGraph, context: Context) -> Reply:
    if request.format == "wg-rs":
        return import_wg_rs(context, request.text, request.files)
    if request.format == "beads":
        return import_beads(context, request.text)
    return transfer.import_graph(context, request.text)
