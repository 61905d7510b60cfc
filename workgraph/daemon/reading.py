"""Reading a project that can't be written, or whose settings are broken.

Nothing is settled and nothing is judged here: shown is what was last recorded, and a
line on stderr says so and why. Without it a full disk or a slip in config.toml would
hide the graph from whoever has to mend it.
"""

import os
import sys
from pathlib import Path
from typing import Final

from workgraph import logs
from workgraph.agents.process import RealLauncher
from workgraph.commands.escape import escape_line
from workgraph.commands.handlers import is_read
from workgraph.daemon import lock
from workgraph.daemon.alarm import SystemClock
from workgraph.daemon.assembly import DATABASE, make_host
from workgraph.daemon.call import Call
from workgraph.daemon.configuration import Configuration
from workgraph.daemon.effects import Effects
from workgraph.daemon.engine import Engine, Mode
from workgraph.daemon.service import Service
from workgraph.daemon.special import Identity, Special
from workgraph.daemon.streams_local import LocalStreams
from workgraph.graph import requests as r
from workgraph.graph.errors import UserError
from workgraph.graph.match_requests import MatchActors
from workgraph.store.database import Store

#: Reads that the engine alone does not answer: of the graph, and of settings.
_OF_THE_GRAPH: Final = (r.GetOutput, r.ExportGraph, r.BackUp, r.Watch)
_OF_SETTINGS: Final = (
    r.GetConfig,
    r.ListConfig,
    r.GetPlan,
    r.CheckGraph,
    MatchActors,
)


def is_of_the_graph(request: r.AnyRequest) -> bool:
    """Whether a request reads, and what it says does not hang on the settings."""
    return is_read(request) or isinstance(request, _OF_THE_GRAPH)


def changes_nothing(request: r.AnyRequest) -> bool:
    """Whether a request can be answered without writing anything."""
    return is_of_the_graph(request) or isinstance(request, _OF_SETTINGS)


async def answer(
    wg_dir: Path, call: Call, configuration: Configuration, reason: UserError
) -> int:
    """Answers a request that changes nothing, and says that it is answered so.

    Args:
        wg_dir: The project's `.wg`.
        call: The request as it was made.
        configuration: The settings, or their defaults where they are broken.
        reason: Why there is no engine.

    Raises:
        UserError: The database can't be read either.
    """
    path = lock.socket_path(os.fspath(wg_dir), call.env)
    clock, log = SystemClock(), logs.NoLog()
    agents_dir = os.fspath(wg_dir / "agents")
    store = await Store.open_to_read(wg_dir / DATABASE)
    try:
        engine = Engine(
            store=store,
            clock=clock,
            effects=lambda post: Effects(RealLauncher(), post, agents_dir, log),
            host=lambda effects: make_host(configuration, path, effects),
            mode=Mode(is_daemon=False, may_start=False),
            log=log,
        )
        identity = Identity(
            pid=os.getpid(), since=clock.now(), socket=path, wg_dir=wg_dir
        )
        service = Service(
            engine, Special(engine, configuration, identity, lambda: None)
        )
        status = await service.run_call(call, LocalStreams())
        sys.stderr.write(
            f"wg: this is what was last recorded: {escape_line(reason.message)}\n"
        )
        return status
    finally:
        await store.close()
