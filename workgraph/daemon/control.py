"""`wg service start|stop|restart|status`: the daemon from outside."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.abc
import msgspec

from workgraph import __version__
from workgraph.commands import local
from workgraph.commands.chat_standing import all_chats
from workgraph.daemon import callers, lock
from workgraph.daemon.alarm import SystemClock
from workgraph.daemon.configuration import Configuration
from workgraph.daemon.detach import start_detached
from workgraph.graph.errors import (
    UserError,
    WorkgraphError,
    system_refusal,
)
from workgraph.graph.replies import DoneData, Reply, ServiceData
from workgraph.store import service
from workgraph.store.database import Store

#: How long a daemon may take to answer after its start, and to go after its stop.
_START_S: Final = 30.0
_STOP_S: Final = 60.0
_LOOK_S: Final = 0.02
_ANSWER_S: Final = 5.0
#: How long a daemon that holds the lock may take to answer: it starts, or ends.
_COMES_UP_S: Final = 10.0

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


async def start(
    wg_dir: Path, request: local.StartOptions, env: Mapping[str, str]
) -> Reply:
    """Starts the daemon in the background; returns when it answers."""
    path = lock.socket_path(os.fspath(wg_dir), env)
    holder = daemon_of(wg_dir)
    if holder is not None and await does_answer(path):
        return Reply(data=DoneData(message=f"it runs already (pid {holder.pid})"))
    await callers.refuse_agent(wg_dir, env, "to start the service")
    # -P: what lies in the project's folder is not to be imported.
    argv = [sys.executable, "-P", "-m", "workgraph.daemon"]
    argv += ["--dir", os.fspath(wg_dir), *daemon_options(request)]
    (wg_dir / "log").mkdir(mode=0o700, exist_ok=True)
    errors = wg_dir / "log" / "wgd.stderr"
    # A daemon that can't even say why it ends leaves nothing to tell: a full disk.
    try:
        errors.write_bytes(b"\n")
    except OSError as error:
        what = f"{errors} can't be written"
        raise system_refusal(error, what) or error from error
    process = start_detached(argv, errors=errors, cwd=wg_dir.parent, env=env)
    with anyio.move_on_after(_START_S):
        while True:
            if await does_answer(path):
                pid = process.pid
                holder = daemon_of(wg_dir)
                if holder is not None and holder.pid is not None:
                    pid = holder.pid
                return Reply(data=DoneData(message=f"started (pid {pid})"))
            if process.has_ended():
                break
            await anyio.sleep(_LOOK_S)
    said = errors.read_text("utf-8", "replace").strip().splitlines()
    told = [line.removeprefix("wgd: ") for line in said if line.startswith("wgd: ")]
    hint = [line.removeprefix("hint: ") for line in said if line.startswith("hint: ")]
    raise UserError(
        f"the daemon did not start: {told[-1] if told else said[-1] if said else '?'}",
        hint=hint[-1] if hint else f"see {errors}",
    )


async def stop(
    wg_dir: Path, request: local.StopService, env: Mapping[str, str]
) -> Reply:
    """Stops the daemon; its agents go on unless they are to be ended."""
    holder = daemon_of(wg_dir)
    if holder is None:
        return Reply(data=DoneData(message="it does not run"))
    path = lock.socket_path(os.fspath(wg_dir), env)
    # One that hangs is found out before the long wait for the end of agents.
    await ask(path, {"cmd": "status"}, _ANSWER_S, holder)
    shutdown = {"cmd": "shutdown", "kill_agents": request.kill_agents}
    await ask(path, shutdown | {"token": env.get("WG_TOKEN")}, _STOP_S, holder)
    with anyio.move_on_after(_STOP_S):
        await lock.ProjectLock(os.fspath(wg_dir)).wait_released_by(holder)
        return Reply(data=DoneData(message=f"stopped (pid {holder.pid})"))
    raise UserError(
        f"the daemon (pid {holder.pid}) does not end",
        hint=f"kill -9 {holder.pid}; agents go on, and the next one adopts them",
    )


async def restart(
    wg_dir: Path, request: local.RestartService, env: Mapping[str, str]
) -> Reply:
    """Stops the daemon, if it runs, and starts it again."""
    await stop(wg_dir, local.StopService(kill_agents=request.kill_agents), env)
    return await start(wg_dir, request, env)


async def status(wg_dir: Path, env: Mapping[str, str]) -> Reply:
    """What the daemon is and does. Takes no lock; without a daemon reads the graph."""
    path = lock.socket_path(os.fspath(wg_dir), env)
    if await _wait_for_daemon(wg_dir, path):
        answer = await ask(path, {"cmd": "status"}, _ANSWER_S, daemon_of(wg_dir))
        return Reply(data=msgspec.convert(answer, ServiceData))
    return Reply(data=await _read_status(wg_dir, path, _max_agents(wg_dir, env)))


def daemon_options(request: local.StartOptions) -> list[str]:
    """What `wgd` is given of the options of a start."""
    options = [word for setting in request.settings for word in ("--set", setting)]
    if request.max_agents is not None:
        options += ["--max-agents", str(request.max_agents)]
    return options


async def _wait_for_daemon(wg_dir: Path, path: str) -> bool:
    """Whether a daemon answers; one that holds the lock is given time to come up.

    Raises:
        UserError: It holds the lock and does not answer.
    """
    with anyio.move_on_after(_COMES_UP_S):
        while (holder := daemon_of(wg_dir)) is not None:
            if await does_answer(path):
                return True
            await anyio.sleep(_LOOK_S)
        return False
    raise _no_answer(holder)


async def does_answer(path: str) -> bool:
    """Whether somebody accepts connections on the socket."""
    try:
        stream = await anyio.connect_unix(path)
    except OSError:
        return False
    await stream.aclose()
    return True


async def ask(
    path: str,
    request: Mapping[str, Any],
    timeout_s: float,
    holder: lock.Holder | None = None,
) -> Any:  # noqa: ANN401 - as the command has it
    """Sends one request to the daemon and gives the data of its answer.

    Args:
        path: Its socket.
        request: What is asked.
        timeout_s: How long it may take.
        holder: The daemon, to be named if it does not answer.

    Raises:
        WorkgraphError: The daemon refused, or did not answer.
    """
    try:
        with anyio.fail_after(timeout_s):
            async with await anyio.connect_unix(path) as stream:
                await stream.send(msgspec.json.encode(request) + b"\n")
                answer = _decode(await _receive_line(stream))
    except (TimeoutError, OSError, anyio.EndOfStream) as error:
        raise _no_answer(holder) from error
    if not answer["ok"]:
        told = answer["error"]
        raise WorkgraphError(
            told["message"], hint=told.get("hint", ""), code=told["code"]
        )
    return answer["data"]


def _no_answer(holder: lock.Holder | None) -> UserError:
    if holder is None or holder.pid is None:
        hint = "wg doctor says who holds the project"
        return UserError("the daemon does not answer", hint=hint)
    return UserError(
        f"the daemon (pid {holder.pid}) does not answer",
        hint=f"it may hang: `kill -9 {holder.pid}` ends it, agents go on",
    )


async def _receive_line(stream: anyio.abc.ByteStream) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        line += await stream.receive()
    return line


def daemon_of(wg_dir: Path) -> lock.Holder | None:
    """The daemon that holds the project, by the lock; nobody is connected to."""
    holder = lock.ProjectLock(os.fspath(wg_dir)).holder()
    return holder if holder is not None and holder.role == "wgd" else None


def _max_agents(wg_dir: Path, env: Mapping[str, str]) -> int:
    """How many a daemon would run; none while a broken setting keeps it from that."""
    try:
        configuration = Configuration.load(wg_dir, env, ())
    except WorkgraphError:
        return 0
    return configuration.layered.settings.dispatcher.max_agents


async def _read_status(wg_dir: Path, path: str, max_agents: int) -> ServiceData:
    store = await Store.open_to_read(wg_dir / "graph.db")
    try:
        return await store.read(
            lambda tx: ServiceData(
                running=False,
                version=__version__,
                socket=path,
                paused=service.is_service_paused(tx),
                frozen=service.frozen_since(tx) is not None,
                max_agents=max_agents,
                agents=service.count_live(tx),
                ready=service.count_ready(tx),
                idle=service.count_live(tx) == 0,
                unfinished=service.count_unfinished(tx),
                counts=service.counts(tx),
                chats=all_chats(tx, lambda _: 0, is_served=False),
            ),
            SystemClock().now(),
        )
    finally:
        await store.close()
