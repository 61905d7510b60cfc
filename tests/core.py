"""The whole core under test: real SQLite in memory, fake clock, fake processes."""

import hashlib
import itertools
import os
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
from msgspec.structs import replace

from tests.fake_clock import FakeClock
from tests.fakes import FakeLauncher
from tests.invariants import check_invariants
from workgraph import logs
from workgraph.agents.builtin import BUILTINS
from workgraph.agents.choices import Host as PlanHost
from workgraph.agents.executor import Executors, load_executors
from workgraph.agents.plan import prepare_grounds
from workgraph.commands import operate
from workgraph.commands.context import Caller
from workgraph.daemon import freezing, waiting
from workgraph.daemon.effects import Effects
from workgraph.daemon.engine import Engine, Mode
from workgraph.daemon.launching import Host
from workgraph.daemon.project import DEFAULT_ACTOR
from workgraph.daemon.recover import settle_agents
from workgraph.graph import requests as r
from workgraph.graph.changes import Change
from workgraph.graph.model import Agent, Task
from workgraph.graph.replies import Reply
from workgraph.settings import Layered, load_settings
from workgraph.store import agent_reads, history, reads, views
from workgraph.store.database import Store, Tx
from workgraph.store.identities import insert_actor

OPERATOR = Caller(name="me")
#: One for each run of tests: a daemon that starts ends the gates of its project, and
#: two runs at the same time would end each other's.
WG_DIR = f"/project/.wg-{os.getpid()}-{secrets.token_hex(4)}"


def plan_host(**changes: Any) -> PlanHost:
    """A machine on which every program is there."""
    values: dict[str, Any] = {
        "env": {"PATH": "/usr/bin:/bin", "HOME": "/home/me", "USER": "me"},
        "project_dir": "/project",
        "wg_dir": WG_DIR,
        "socket": f"{WG_DIR}/wgd.sock",
        "bin_dir": f"{WG_DIR}/bin",
        "home": "/home/me",
        "has_executable": lambda name, _path: f"/usr/bin/{name.rsplit('/', 1)[-1]}",
        "exists": lambda _path: True,
        "is_dir": lambda _path: True,
    }
    return PlanHost(**(values | changes))


@dataclass
class Core:
    """An engine with all its surroundings in a test's hands."""

    engine: Engine
    store: Store
    clock: FakeClock
    launcher: FakeLauncher

    async def do(self, request: r.AnyRequest, caller: Caller = OPERATOR) -> Reply:
        """Says a request and lets everything that follows from it happen."""
        reply = await self.say(request, caller)
        await self.settle()
        return reply

    async def say(self, request: r.AnyRequest, caller: Caller = OPERATOR) -> Reply:
        """Says a request."""
        if isinstance(request, r.WaitTask):  # its files are looked at before
            return await waiting.wait(self.engine, request, caller)
        return await self.engine.answer(request, caller)

    async def add(self, title: str, **options: Any) -> str:
        """Adds a task; a shell task unless the options say otherwise."""
        if "exec" not in options and "executor" not in options:
            options["exec"] = "true"
        reply = await self.do(r.AddTask(title=title, **options))
        task_id: str = reply.data.id
        return task_id

    async def freeze(self) -> None:
        """Freezes the service."""
        await freezing.freeze(self.engine, OPERATOR)
        await self.settle()

    async def thaw(self) -> None:
        """Thaws it."""
        await freezing.thaw(self.engine, OPERATOR)
        await self.settle()

    async def reload(self) -> None:
        """The settings are read again, and are what they were."""
        await self.engine.ask(operate.try_all_anew, OPERATOR)
        self.engine.wake()
        await self.settle()

    async def configure(self, *settings: str) -> None:
        """Other settings are read."""
        host = self.engine.host
        grounds = prepare_grounds(*_layers(settings), host.grounds.host)
        self.engine.configure(replace(host, grounds=grounds))
        await self.reload()

    async def advance(self, seconds: float) -> None:
        """Lets time pass, and what follows from that happen."""
        self.clock.advance(seconds)
        await self.settle()

    async def jump(self, seconds: float) -> None:
        """Lets the machine sleep, or its clock be set, until the daemon has seen it."""
        self.clock.jump(seconds)
        self.engine.wake()
        await self.settle()

    async def settle(self) -> None:
        """Returns when no fact, change or effect is on its way."""
        engine, effects, quiet = self.engine, self.engine.effects, False
        await anyio.wait_all_tasks_blocked()
        while not quiet:
            await engine.settle()
            while effects.judging or effects.looking or effects.reading:
                ticked = engine.ticked
                await ticked.wait()
                await engine.settle()
            await anyio.wait_all_tasks_blocked()
            failing = any(not reactor.ok for reactor in engine.reactors)
            quiet = engine.is_quiet or failing

    async def exit(self, task: str, code: int = 0) -> None:
        """Ends the agent that holds a task."""
        self.launcher.exit(await self.holder(task), code=code)
        await self.settle()

    async def crash(self, task: str, signal: int = 9) -> None:
        """Kills the agent that holds a task."""
        self.launcher.exit(await self.holder(task), signal=signal)
        await self.settle()

    async def holder(self, task: str) -> int:
        """The number of the agent that holds a task."""
        claimed_by = (await self.task(task)).claimed_by
        assert claimed_by is not None, f"{task} is not in progress"
        return int(claimed_by.removeprefix("agent-"))

    async def task(self, task: str) -> Task:
        """A task's row."""
        return await self.store.read(lambda tx: reads.task(tx, task), 0)

    async def status(self, task: str) -> str:
        """A task's status."""
        return (await self.task(task)).status

    async def agent(self, number: int) -> Agent:
        """An agent's row."""
        return await self.store.read(lambda tx: agent_reads.by_number(tx, number), 0)

    async def agents(self, task: str) -> list[Agent]:
        """All attempts at a task."""
        return await self.store.read(lambda tx: agent_reads.agents_of(tx, task), 0)

    async def changes(self) -> list[Change]:
        """Everything that was ever committed."""
        return await self.store.read(
            lambda tx: history.changes_since(tx, 0, None, 1_000_000), 0
        )

    async def next_moment(self) -> int | None:
        """When the engine would wake by time alone."""
        return await self.store.read(views.next_moment, self.clock.now())

    async def why(self, task: str) -> list[str]:
        """The codes of the reasons why a task is not running."""
        reply = await self.do(r.ExplainTask(task=task))
        return [reason.code for reason in reply.data.reasons]

    async def agent_caller(self, task: str) -> Caller:
        """Speaks as the agent that holds a task."""
        number = await self.holder(task)

        def load(tx: Tx) -> Agent:
            return agent_reads.by_number(tx, number)

        agent = await self.store.read(load, 0)
        return Caller(name=agent.id, agent=agent)


def _make_default(tx: Tx) -> None:
    """A new graph has the actor that `wg init` makes."""
    if not tx.value("select count(*) from identities where name = 'default'"):
        insert_actor(tx, DEFAULT_ACTOR)


def _layers(settings: Sequence[str]) -> tuple[Layered, Executors]:
    layered = load_settings(None, None, settings)
    return layered, load_executors(layered.settings, BUILTINS)


@asynccontextmanager
async def running_core(
    *settings: str,
    store: Store | None = None,
    clock: FakeClock | None = None,
    launcher: FakeLauncher | None = None,
    mode: Mode | None = None,
    host: PlanHost | None = None,
    has_default: bool = True,
) -> AsyncGenerator[Core]:
    """A core that runs while the block does, and is whole at its end.

    A `store` that is given stays open, so that the next core is a restart.
    """
    own = await Store.open(":memory:") if store is None else store
    if has_default:
        await own.transaction(_make_default, 0)
    clock = clock or FakeClock()
    launcher = launcher or FakeLauncher()
    host = host or plan_host()
    grounds = prepare_grounds(*_layers(settings), host)
    tokens, sessions = itertools.count(1), itertools.count(1)
    log = logs.NoLog()

    def make_host(effects: Effects) -> Host:
        return Host(
            grounds=grounds,
            folder=effects.folder,
            new_token=lambda: hashlib.sha256(b"%d" % next(tokens)).hexdigest(),
            new_session=lambda: str(UUID(int=next(sessions))),
        )

    engine = Engine(
        store=own,
        clock=clock,
        effects=lambda post: Effects(
            launcher, post, f"{host.wg_dir}/agents", log, time=clock.elapsed
        ),
        host=make_host,
        mode=mode or Mode(),
        log=log,
    )
    try:
        async with anyio.create_task_group() as group:
            await group.start(engine.run)
            await settle_agents(engine, group, log)
            core = Core(engine, own, clock, launcher)
            await core.settle()
            yield core
            group.cancel_scope.cancel()
        await own.read(check_invariants, clock.now())
    finally:
        if store is None:
            await own.close()


def project_file(tmp_path: Path, text: str) -> Path:
    """A settings file."""
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    return file
