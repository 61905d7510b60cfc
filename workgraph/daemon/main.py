"""`wgd`: the daemon in the foreground, from the lock to the last commit."""

import asyncio
import faulthandler
import os
import signal
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
from workgraph.commands.context import Caller
from workgraph.commands.render import render_error
from workgraph.daemon import callers, lock, project
from workgraph.daemon.activation import find_place
from workgraph.daemon.alarm import SystemClock
from workgraph.daemon.assembly import Parts, running_engine
from workgraph.daemon.configuration import Configuration
from workgraph.daemon.engine import Engine, Mode
from workgraph.daemon.limits import Complaints, bounds
from workgraph.daemon.lookout import Lookout
from workgraph.daemon.notify import (
    HANDED_OVER,
    Handover,
    NotifySocket,
    keep_status,
    keep_watchdog,
    take_over,
)
from workgraph.daemon.server import Server
from workgraph.daemon.service import Service
from workgraph.daemon.special import Identity, Special
from workgraph.daemon.streams_local import ReaderGoneError
from workgraph.graph import requests as r
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
    lookout: Lookout
    log: Logger
    notify: NotifySocket


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
    handover: Handover,
    *,
    terminal: bool,
    quiet: bool = False,
) -> AsyncGenerator[Daemon]:
    """Holds the lock, runs the engine and answers on the socket while the block runs.

    Args:
        wg_dir: The project.
        options: What was asked for at the start.
        handover: The environment, and what a service manager left for us.
        terminal: stderr is one.
        quiet: Nothing is said there.

    Raises:
        WorkgraphError: Another one holds the project, or a setting is wrong.
    """
    env = handover.env
    configuration = Configuration.load(wg_dir, env, options.overrides)
    project.check_database(wg_dir)
    guard = lock.ProjectLock(os.fspath(wg_dir))
    await guard.acquire("wgd", wait_for_wg_s=10, wait_for_daemon_s=0.5)
    try:
        install_child_watcher()
        launcher = RealLauncher(nofile_soft=raise_open_files())
        project.ensure_folders(wg_dir, env)
        project.remove_copies(wg_dir)
        log = logs.open_log(
            wg_dir / "log" / "wgd.jsonl", terminal=terminal, stderr=not quiet
        )
        asyncio.get_running_loop().set_exception_handler(Complaints(log))
        for warning in configuration.layered.warnings:
            log.warning("settings_warned", warning=warning)
        place = find_place(os.fspath(wg_dir), env, handover.listen_fd)
        clock = SystemClock()
        parts = Parts(
            wg_dir=wg_dir,
            socket=place.path,
            configuration=configuration,
            clock=clock,
            launcher=launcher,
            mode=Mode(),
            log=log,
        )
        async with running_engine(parts) as engine:
            stopping = anyio.Event()
            identity = Identity(
                pid=os.getpid(),
                since=clock.now(),
                socket=place.path,
                wg_dir=wg_dir,
            )
            notify = NotifySocket(handover.notify_path, log, handover.watchdog_s)
            special = Special(engine, configuration, identity, stopping.set, notify)
            service = Service(engine, special)
            listener = place.open()
            lock.share_socket(place.path, os.fspath(wg_dir))
            server = Server(
                service,
                owner_uid=os.geteuid(),
                log=log,
                bounds=bounds(),
            )
            lookout = Lookout(engine, wg_dir, stopping, log)
            async with anyio.create_task_group() as group:
                await group.start(server.serve, listener)
                group.start_soon(lookout.run)
                log.info("daemon_started", pid=os.getpid(), socket=place.path)
                try:
                    yield Daemon(
                        engine=engine,
                        service=service,
                        wg_dir=wg_dir,
                        stopping=stopping,
                        lookout=lookout,
                        log=log,
                        notify=notify,
                    )
                finally:
                    engine.draining = True
                    place.close()
                    lookout.stop()
                    server.stop()
            log.info("daemon_stopped", pid=os.getpid())
    finally:
        guard.release()


async def run_daemon(options: Options, handover: Handover) -> int:
    """Serves until SIGTERM, SIGINT or a request to shut down."""
    wg_dir = locate(options.directory, handover.env)
    await callers.refuse_agent(wg_dir, handover.env, "to start the daemon")
    async with serving(wg_dir, options, handover, terminal=os.isatty(2)) as daemon:
        parse.warm()
        notify = daemon.notify
        async with anyio.create_task_group() as group:
            # First, so that a signal finds its handler as soon as we are ready.
            await group.start(_heed_signals, daemon)
            await notify.tell("READY=1")
            if handover.watchdog_s:
                group.start_soon(
                    keep_watchdog, notify, daemon.engine, handover.watchdog_s
                )
            if notify.is_heard:
                group.start_soon(keep_status, notify, daemon.engine)
            await daemon.stopping.wait()
            group.cancel_scope.cancel()
        await notify.tell("STOPPING=1")
    daemon.lookout.check()
    return 0


async def _heed_signals(
    daemon: Daemon,
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Ends on the first SIGTERM or SIGINT; SIGHUP has the settings read again.

    SIGQUIT is handled, and means nothing, so that agents do not inherit an ignored
    one, which no shell can reset.
    """
    with anyio.open_signal_receiver(*_ENDING, signal.SIGHUP, signal.SIGQUIT) as signals:
        task_status.started()
        async for number in signals:
            if number in _ENDING:
                daemon.log.info("daemon_stopping", signal=int(number))
                daemon.stopping.set()
                return
            if number == signal.SIGHUP:
                await _reload(daemon)


async def _reload(daemon: Daemon) -> None:
    try:
        await daemon.service.answer(r.Reconfigure(), Caller(name="SIGHUP"))
    except WorkgraphError as error:
        daemon.log.warning("settings_refused", error=error.message)
    else:
        daemon.log.info("settings_reloaded", signal=int(signal.SIGHUP))


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
    leave(carry_out(_run, options, prog="wgd", json=False))


async def _run(options: Options) -> int:
    """The daemon, with what its starter left it; says why it ends, if it fails."""
    env = dict(os.environ)
    for name in HANDED_OVER:
        os.environ.pop(name, None)
    handover = take_over(env, os.getpid())
    if handover.watchdog_s:
        # The watchdog's SIGABRT then says where each thread was.
        faulthandler.enable()
    try:
        return await run_daemon(options, handover)
    except BaseException as raised:
        error = _cause_of(raised)
        said = error.message if isinstance(error, WorkgraphError) else repr(error)
        await NotifySocket(handover.notify_path, logs.NoLog()).tell(f"STATUS={said}")
        raise


def carry_out(
    job: Callable[..., Awaitable[int]], *args: object, prog: str, json: bool
) -> int:
    """Runs a loop for a job; gives the exit status, whatever happens.

    Nobody is shown a traceback: a defect of ours is told in one line, and where to
    find the rest.

    Raises:
        ReaderGoneError: Nobody reads what it says; all else has come to its end.
    """
    try:
        return anyio.run(job, *args)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BaseException as raised:
        error = _cause_of(raised)
        if isinstance(error, ReaderGoneError):
            raise error from None
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
