"""`wgd`: the daemon in the foreground, from the lock to the last commit."""

import asyncio
import os
import signal
import socket as sockets
import sys
import tempfile
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Final, NoReturn

import anyio
import anyio.abc
import typer

from workgraph import __version__, logs
from workgraph.agents.process import RealLauncher
from workgraph.agents.setup import install_child_watcher, raise_open_files
from workgraph.commands import parse
from workgraph.commands.render import render_error
from workgraph.daemon import backup, lock, project
from workgraph.daemon.alarm import SystemClock
from workgraph.daemon.assembly import Parts, running_engine
from workgraph.daemon.configuration import Configuration
from workgraph.daemon.engine import Engine, Mode
from workgraph.daemon.limits import Complaints, most_connections
from workgraph.daemon.server import Server
from workgraph.daemon.service import Service
from workgraph.daemon.special import Identity, Special
from workgraph.graph.errors import WorkgraphError, system_refusal
from workgraph.graph.model import Record
from workgraph.logs import Logger

_ENDING: Final = (signal.SIGTERM, signal.SIGINT)
_INTERRUPTED: Final = 130


class Options(Record, frozen=True, kw_only=True):
    """What `wgd` is started with."""

    directory: str | None = None
    settings: Sequence[str] = ()
    max_agents: int | None = None

    @property
    def overrides(self) -> tuple[str, ...]:
        """All `KEY=VALUE` that go over the files."""
        if self.max_agents is None:
            return tuple(self.settings)
        return (*self.settings, f"dispatcher.max_agents={self.max_agents}")


class Daemon(Record, frozen=True, kw_only=True):
    """A daemon that serves."""

    engine: Engine
    service: Service
    wg_dir: Path
    stopping: anyio.Event
    log: Logger


def locate(directory: str | None, env: Mapping[str, str]) -> Path:
    """The project's `.wg` folder, from here or as named.

    Raises:
        NotFoundError: There is none.
    """
    return Path(lock.find_wg_dir(directory, os.getcwd(), env))


@asynccontextmanager
async def serving(
    wg_dir: Path,
    options: Options,
    env: Mapping[str, str],
    *,
    terminal: bool,
    quiet: bool = False,
) -> AsyncGenerator[Daemon]:
    """Holds the lock, runs the engine and answers on the socket while the block runs.

    Raises:
        WorkgraphError: Another one holds the project, or a setting is wrong.
    """
    configuration = Configuration.load(wg_dir, env, options.overrides)
    guard = lock.ProjectLock(os.fspath(wg_dir))
    await guard.acquire("wgd", wait_for_wg_s=10, wait_for_daemon_s=0.5)
    try:
        install_child_watcher()
        launcher = RealLauncher(nofile_soft=raise_open_files())
        project.ensure_folders(wg_dir, env)
        backup.remove_left(wg_dir)
        log = logs.open_log(
            wg_dir / "log" / "wgd.jsonl", terminal=terminal, stderr=not quiet
        )
        asyncio.get_running_loop().set_exception_handler(Complaints(log))
        for warning in configuration.layered.warnings:
            log.warning("settings_warned", warning=warning)
        path = lock.socket_path(os.fspath(wg_dir), env)
        clock = SystemClock()
        parts = Parts(
            wg_dir=wg_dir,
            socket=path,
            configuration=configuration,
            clock=clock,
            launcher=launcher,
            mode=Mode(),
            log=log,
        )
        async with running_engine(parts) as engine:
            stopping = anyio.Event()
            identity = Identity(
                pid=os.getpid(), since=clock.now(), socket=path, wg_dir=wg_dir
            )
            special = Special(engine, configuration, identity, stopping.set)
            service = Service(engine, special)
            listener = lock.bind_socket(path)
            server = Server(
                service,
                owner_uid=os.geteuid(),
                log=log,
                max_connections=most_connections(),
            )
            async with anyio.create_task_group() as group:
                await _serve(group, server, listener)
                log.info("daemon_started", pid=os.getpid(), socket=path)
                try:
                    yield Daemon(
                        engine=engine,
                        service=service,
                        wg_dir=wg_dir,
                        stopping=stopping,
                        log=log,
                    )
                finally:
                    engine.draining = True
                    lock.unlink_socket(path)
                    server.stop()
            log.info("daemon_stopped", pid=os.getpid())
    finally:
        guard.release()


async def _serve(
    group: anyio.abc.TaskGroup, server: Server, listener: sockets.socket
) -> None:
    await group.start(server.serve, listener)


async def run_daemon(options: Options, env: Mapping[str, str]) -> int:
    """Serves until SIGTERM, SIGINT or a request to shut down."""
    wg_dir = locate(options.directory, env)
    terminal = os.isatty(2)
    async with serving(wg_dir, options, env, terminal=terminal) as daemon:
        parse.warm()
        async with anyio.create_task_group() as group:
            group.start_soon(_stop_on_signal, daemon)
            group.start_soon(_stop_when_gone, daemon)
            await daemon.stopping.wait()
            group.cancel_scope.cancel()
    return 0


async def _stop_on_signal(daemon: Daemon) -> None:
    # Handled, so that agents do not inherit an ignored one, which no shell can reset.
    with anyio.open_signal_receiver(*_ENDING, signal.SIGHUP, signal.SIGQUIT) as signals:
        async for number in signals:
            if number in _ENDING:
                daemon.log.info("daemon_stopping", signal=int(number))
                daemon.stopping.set()
                return


async def _stop_when_gone(daemon: Daemon) -> None:
    """Ends a daemon whose folder or database was deleted or replaced underneath."""
    database = daemon.wg_dir / "graph.db"
    inode = _inode(database)
    while True:
        await anyio.sleep(1)
        if _inode(database) != inode:
            daemon.log.error("database_vanished", path=str(database))
            daemon.stopping.set()
            return


def _inode(path: Path) -> int | None:
    """A stat takes microseconds; a thread for it would be a second wake-up."""
    try:
        return path.stat().st_ino
    except OSError:
        return None


def main() -> NoReturn:
    """`wgd`: parses, serves, and leaves without collecting its children."""
    # Not `typer.run`: its errors are boxes, and a daemon's words go into files.
    app = typer.Typer(
        add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
    )
    app.command()(_wgd)
    app()
    sys.exit(0)


def _wgd(
    directory: Annotated[
        str | None, typer.Option("--dir", help="The project, or its .wg folder.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting, KEY=VALUE.")
    ] = None,
    max_agents: Annotated[
        int | None, typer.Option("--max-agents", min=0, help="Agents at once.")
    ] = None,
    version: Annotated[  # noqa: FBT002 - typer's way to write a flag
        bool, typer.Option("--version", help="Says the version.")
    ] = False,
) -> None:
    """Runs the workgraph daemon of this project in the foreground."""
    if version:
        sys.stdout.write(f"wgd {__version__}\n")
        return
    options = Options(
        directory=directory, settings=tuple(settings or ()), max_agents=max_agents
    )
    leave(carry_out(run_daemon, options, dict(os.environ), prog="wgd", json=False))


def carry_out(
    job: Callable[..., Awaitable[int]], *args: object, prog: str, json: bool
) -> int:
    """Runs a loop for a job; gives the exit status, whatever happens.

    Nobody is shown a traceback: a defect of ours is told in one line, and where to
    find the rest.
    """
    try:
        return anyio.run(job, *args)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BaseException as raised:
        error = _cause_of(raised)
        if isinstance(error, OSError):
            error = system_refusal(error) or error
        if not isinstance(error, WorkgraphError):
            error = WorkgraphError(
                f"a defect of workgraph: {error!r}",
                hint=f"please report it; the details are in {_keep_details(raised)}",
                code="bug",
            )
        sys.stderr.write(render_error(error, json=json, prog=prog))
        return error.exit_code


def _cause_of(error: BaseException) -> BaseException:
    """The one error inside groups of one; a group of several stays as it is."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _keep_details(error: BaseException) -> str:
    fd, path = tempfile.mkstemp(prefix="wg-defect-", suffix=".txt", text=True)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.writelines(traceback.format_exception(error))
    return path


def leave(status: int) -> NoReturn:
    """Ends the process at once: collecting asyncio's transports would kill agents."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # its disk is full, or its reader is gone
            status = status or 1
    os._exit(status)
