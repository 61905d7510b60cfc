"""`wg` where no daemon answers: the commands of this process, and one request's engine.

The engine that answers is the daemon's own, for one request: it holds the lock, settles
what ended meanwhile, answers, ticks without starting anything, and leaves.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

import anyio

from workgraph import __version__, logs, wire
from workgraph.agents.process import RealLauncher
from workgraph.agents.setup import install_child_watcher, raise_open_files
from workgraph.commands import local, parse
from workgraph.commands.render import Style, render, render_json
from workgraph.daemon import (
    completion,
    control,
    doctor,
    lock,
    managed,
    project,
    reading,
    run,
    talk,
)
from workgraph.daemon.alarm import SystemClock
from workgraph.daemon.assembly import Parts, running_engine
from workgraph.daemon.call import Call
from workgraph.daemon.configuration import Configuration
from workgraph.daemon.engine import Mode
from workgraph.daemon.main import carry_out, leave, locate
from workgraph.daemon.notify import without_handover
from workgraph.daemon.peer import Peer
from workgraph.daemon.service import Service, style_of
from workgraph.daemon.special import Identity, Special
from workgraph.daemon.streams_local import LocalStreams
from workgraph.graph import requests as r
from workgraph.graph.chat_requests import AttachChat
from workgraph.graph.errors import (
    MachineError,
    NeedsDaemonError,
    NotFoundError,
    TryLaterError,
    UserError,
)
from workgraph.graph.replies import Reply

#: As long as `wg` elsewhere waits for a daemon that is starting or stopping.
_DAEMON_COMES_S: Final = 10.0
_ASK_AGAIN_S: Final = 0.05
#: How often this call has met a daemon that came up and did not take it.
_TRIES: Final = "WG_TRIES"
_MOST_TRIES: Final = 5
_TRY_AGAIN_S: Final = 0.1


def main(argv: list[str]) -> int:
    """Carries out a command line in this process; ends the process."""
    env = without_handover(os.environ)
    leave(carry_out(_main, argv, env, prog="wg", json=wire.wants_json(argv)))


async def _main(argv: list[str], env: dict[str, str]) -> int:
    call = _call(argv, env)
    directory, words = wire.named_dir(argv)
    if parse.COMPLETE_VARIABLE in env:
        done = parse.complete(words, env)
        await LocalStreams().out(done.text)
        return done.exit_code
    context = parse.ParseContext(
        cwd=call.cwd, env=env | ({"COLUMNS": str(call.columns)} if call.columns else {})
    )
    parsed = parse.parse_argv(words, context)
    if isinstance(parsed, parse.Help):
        await LocalStreams().out(parsed.text)
        return 0
    request = parsed.request
    if isinstance(request, AttachChat):
        path = None if directory else env.get("WG_SOCKET")
        path = path or lock.socket_path(os.fspath(locate(directory, env)), env)
        if await control.does_answer(path) or not _is_in_project(directory, env):
            return await talk.attach(path, request, call, env, SystemClock().now())
    if not isinstance(request, local.LocalCommand):
        wg_dir = locate(directory, env)
        return await _answer(wg_dir, call, request, env)
    if isinstance(request, local.RunDispatcher):
        return await run.run_dispatcher(locate(directory, env), request, call, env)
    reply = await _carry_out(request, directory, env)
    await _show(request, reply, call, as_json=parsed.json)
    return reply.exit_code


def _is_in_project(directory: str | None, env: Mapping[str, str]) -> bool:
    """Whether the graph is here; a socket may be named where there is none."""
    try:
        locate(directory, env)
    except NotFoundError:
        return False
    return True


async def _carry_out(
    request: local.LocalCommand, directory: str | None, env: Mapping[str, str]
) -> Reply:
    match request:
        case local.InitProject(agents_md=agents_md):
            folder = Path(directory or os.getcwd())
            folder = folder.parent if folder.name == ".wg" else folder
            return await project.init_project(
                folder.absolute(), agents_md=agents_md, env=env, now=SystemClock().now()
            )
        case local.Doctor():
            try:
                wg_dir = locate(directory, env)
            except NotFoundError:
                wg_dir = None
            return await doctor.examine(wg_dir, env, SystemClock().now())
        case local.InstallCompletion():
            return completion.install_completion(request, env)
        case local.RunDispatcher():
            raise AssertionError(request)
        case _:
            return await _serve(request, locate(directory, env), env)


async def _serve(
    request: local.ServiceCommand, wg_dir: Path, env: Mapping[str, str]
) -> Reply:
    match request:
        case local.StartService():
            return await managed.start(wg_dir, request, env)
        case local.StopService():
            return await managed.stop(wg_dir, request, env)
        case local.RestartService():
            return await managed.restart(wg_dir, request, env)
        case local.InstallService():
            return await managed.install(wg_dir, env)
        case local.UninstallService():
            return await managed.uninstall(wg_dir, env)
        case local.ServiceStatusQuery():
            return await control.status(wg_dir, env)


async def _answer(
    wg_dir: Path, call: Call, request: r.AnyRequest, env: Mapping[str, str]
) -> int:
    """Answers by an engine of its own; what only reads, where it must, without one."""
    if env.get("WG_SANDBOX"):
        await _wait_for_daemon(env.get("WG_SOCKET", ""))
        await _call_again(call)
    try:
        configuration = Configuration.load(wg_dir, env, ())
    except UserError as error:
        if not reading.is_of_the_graph(request):
            raise
        defaults = Configuration.defaults(wg_dir, env)
        return await reading.answer(wg_dir, call, defaults, error)
    try:
        return await _run_engine(wg_dir, call, request, configuration)
    except MachineError as error:
        if not reading.changes_nothing(request):
            raise
        return await reading.answer(wg_dir, call, configuration, error)


async def _run_engine(
    wg_dir: Path, call: Call, request: r.AnyRequest, configuration: Configuration
) -> int:
    env = call.env
    guard = lock.ProjectLock(os.fspath(wg_dir))
    path = lock.socket_path(os.fspath(wg_dir), env)

    async def answers() -> bool:
        return await control.does_answer(path)

    if not await guard.acquire("wg", on_retry=answers):
        await _call_again(call)
    try:
        project.check_database(wg_dir)
        install_child_watcher()
        clock = SystemClock()
        parts = Parts(
            wg_dir=wg_dir,
            socket=path,
            configuration=configuration,
            clock=clock,
            launcher=RealLauncher(nofile_soft=raise_open_files()),
            mode=Mode(is_daemon=False, may_start=isinstance(request, r.Tick)),
            log=logs.NoLog(),
        )
        async with running_engine(parts) as engine:
            identity = Identity(
                pid=os.getpid(), since=clock.now(), socket=path, wg_dir=wg_dir
            )
            service = Service(
                engine, Special(engine, configuration, identity, lambda: None)
            )
            await engine.settle()
            status = await service.run_call(call, LocalStreams())
            await engine.settle()
            return status
    finally:
        guard.release()


async def _wait_for_daemon(path: str) -> None:
    """Waits while a daemon is being restarted: a sandbox holds no graph to work on.

    Raises:
        NeedsDaemonError: None came.
    """
    with anyio.move_on_after(_DAEMON_COMES_S):
        while True:
            if await control.does_answer(path):
                return
            await anyio.sleep(_ASK_AGAIN_S)
    raise NeedsDaemonError(
        "no daemon answers, and the graph can't be reached from inside a sandbox",
        hint="try again, or leave: an exit without a word is judged by its status",
    )


async def _call_again(call: Call) -> NoReturn:
    """A daemon has come up meanwhile: the call is its.

    Raises:
        TryLaterError: It hangs up again and again: it has too many connections.
    """
    tries = int(call.env.get(_TRIES, "0"))
    if tries >= _MOST_TRIES:
        message = "the daemon hangs up at once: it has too many connections"
        raise TryLaterError(message, hint="try again")
    await anyio.sleep(tries * _TRY_AGAIN_S)
    again = [sys.executable, "-P", "-m", "workgraph", *call.argv]
    env = dict(call.env) | {_TRIES: str(tries + 1)}
    os.execve(sys.executable, again, env)  # noqa: S606 - ourselves


async def _show(
    request: local.LocalCommand, reply: Reply, call: Call, *, as_json: bool
) -> None:
    streams = LocalStreams()
    if as_json:
        await streams.out(render_json(reply))
    elif isinstance(request, local.Doctor):
        color = style_of(call, 0).color
        await streams.out(doctor.render_doctor(reply, color=color))
    else:
        now = SystemClock().now()
        style: Style = style_of(call, now)
        await streams.out(render(request, reply, style))


def _call(argv: list[str], env: Mapping[str, str]) -> Call:
    terminals = (os.isatty(0), os.isatty(1), os.isatty(2))
    columns = os.get_terminal_size(1).columns if terminals[1] else 0
    umask = os.umask(0o077)
    os.umask(umask)
    return Call(
        argv=tuple(argv),
        cwd=os.getcwd(),
        umask=umask,
        tty=terminals,
        columns=columns,
        env=env,
        version=__version__,
        pid=os.getpid(),
        peer=Peer(pid=os.getpid(), uid=os.geteuid(), gid=os.getegid()),
    )
