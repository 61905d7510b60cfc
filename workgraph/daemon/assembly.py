"""Putting an engine together from its parts, and taking it apart in order."""

import os
import secrets
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio

from workgraph.agents.process import Launcher
from workgraph.agents.redact import TOKEN_PREFIX
from workgraph.daemon.alarm import Clock
from workgraph.daemon.chat_files import ChatFiles
from workgraph.daemon.configuration import Configuration
from workgraph.daemon.effects import Effects
from workgraph.daemon.engine import Engine, Mode
from workgraph.daemon.launching import Host
from workgraph.daemon.leaving import end_handlers
from workgraph.daemon.recover import settle_agents
from workgraph.graph.model import Record
from workgraph.logs import Logger
from workgraph.store.database import Store

DATABASE: Final = "graph.db"
_TOKEN_BYTES: Final = 24


class Parts(Record, frozen=True, kw_only=True):
    """What an engine is made of, apart from the graph itself."""

    wg_dir: Path
    socket: str
    configuration: Configuration
    clock: Clock
    launcher: Launcher
    mode: Mode
    log: Logger


def make_host(configuration: Configuration, socket: str, effects: Effects) -> Host:
    """What plans are made from; anew for each load of the settings."""
    return Host(
        grounds=configuration.grounds(socket),
        folder=effects.folder,
        new_token=lambda: TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES),
        new_session=lambda: str(uuid.uuid4()),
    )


@asynccontextmanager
async def running_engine(parts: Parts) -> AsyncGenerator[Engine]:
    """An engine that ticks while the block runs. Agents go on after it.

    Handlers of chats end with a daemon. Agents that an earlier daemon left are settled
    before the block begins.
    """
    store = await Store.open(parts.wg_dir / DATABASE)
    agents_dir = os.fspath(parts.wg_dir / "agents")
    try:
        engine = Engine(
            store=store,
            clock=parts.clock,
            effects=lambda post: Effects(parts.launcher, post, agents_dir, parts.log),
            host=lambda effects: make_host(parts.configuration, parts.socket, effects),
            mode=parts.mode,
            log=parts.log,
        )
        files = ChatFiles(store, parts.clock, parts.wg_dir, parts.log)
        engine.listeners.append(files.heed)
        if not parts.mode.is_daemon:
            engine.finishers.append(files.write)
        async with anyio.create_task_group() as group:
            await group.start(engine.run)
            await settle_agents(engine, group, parts.log)
            if parts.mode.is_daemon:
                group.start_soon(files.run)
            yield engine
            # What is known by now is written down; what still runs is left running.
            with anyio.CancelScope(shield=True):
                if parts.mode.is_daemon:
                    await end_handlers(engine)
                await engine.flush()
                await files.write()
                await parts.launcher.close()
            group.cancel_scope.cancel()
    finally:
        await store.close()
