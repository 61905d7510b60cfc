"""`wg run`: the dispatcher in this terminal, with live progress.

Without a daemon this process is one while it runs: it holds the lock and answers on the
socket, so that agents and other terminals can speak with it. With a daemon it follows
that one.
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio
import anyio.abc
import msgspec

from workgraph.commands import local, queries, shapes
from workgraph.commands.context import officials_of
from workgraph.commands.escape import escape_line
from workgraph.commands.render import Style
from workgraph.commands.render_agents import progress_line
from workgraph.daemon import callers, control, lock
from workgraph.daemon.call import Call
from workgraph.daemon.main import Daemon, Options, serving
from workgraph.daemon.notify import Handover
from workgraph.daemon.service import style_of
from workgraph.graph.changes import Change, ChangeKind
from workgraph.graph.errors import UserError
from workgraph.graph.replies import AgentData, ProviderData
from workgraph.store import agent_reads, history, views
from workgraph.store import service as service_reads
from workgraph.store.database import Tx

T = TypeVar("T")

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode

#: How often progress is shown; it is for eyes.
_SHOW_S: Final = 0.2
_BATCH: Final = 1000
#: How long the changes that made a daemon idle may take to arrive.
_LAST_WORDS_S: Final = 0.05
_ENDS: Final = frozenset({"done", "failed", "abandoned"})
_MACHINERY: Final = ("assign-", "reward-", ".")


class Progress:
    """What is shown of a run: a line for each end, a count on a terminal."""

    def __init__(self, style: Style, *, terminal: bool) -> None:
        self._style = style
        self._terminal = terminal
        self._shown = 0
        #: The newest change that was told.
        self.since = 0

    def tell(self, changes: list[Change]) -> None:
        """Shows what tasks have come to."""
        lines = []
        for change in changes:
            if change.kind != ChangeKind.STATUS_CHANGED or change.to is None:
                continue
            retried = change.verb in {"requeue", "reject"}
            if change.to not in _ENDS and not retried:
                continue
            word = "retry" if retried else change.to
            why = f": {escape_line(change.reason)}" if change.reason else ""
            told = why if word in {"failed", "retry"} else ""
            lines.append(f"{self._style.word(word)} {change.task}{told}\n")
        if lines:
            self._clear()
            sys.stdout.write("".join(lines))
            sys.stdout.flush()

    @property
    def is_live(self) -> bool:
        """Whether anybody sees what is going on between two ends."""
        return self._terminal

    def count(
        self,
        counts: Mapping[str, int],
        running: int,
        agents: Sequence[AgentData],
        providers: Sequence[ProviderData],
    ) -> None:
        """Shows how far it is, on a terminal."""
        if not self._terminal:
            return
        columns = self._style.columns
        text = progress_line(counts, running, agents, providers, columns)
        sys.stdout.write(f"\r{text}\x1b[K")
        sys.stdout.flush()
        self._shown = len(text)

    def finish(self, counts: Mapping[str, int]) -> None:
        """The last line: what it all came to."""
        self._clear()
        parts = [f"{n} {s}" for s, n in counts.items() if n]
        sys.stdout.write(", ".join(parts or ["no tasks"]) + "\n")
        sys.stdout.flush()

    def _clear(self) -> None:
        if self._shown:
            sys.stdout.write("\r\x1b[K")
            self._shown = 0


async def run_dispatcher(
    wg_dir: Path, request: local.RunDispatcher, call: Call, env: Mapping[str, str]
) -> int:
    """Works the graph off, or follows the daemon that does; gives the exit status."""
    progress = Progress(style_of(call, 0), terminal=call.tty[1])
    path = lock.socket_path(os.fspath(wg_dir), env)
    if await control.does_answer(path):
        return await _follow(path, request, progress)
    await callers.refuse_agent(wg_dir, env, "to run the dispatcher")
    options = Options(
        directory=os.fspath(wg_dir),
        settings=request.settings,
        max_agents=request.max_agents,
    )
    handover = Handover(env=env)
    async with serving(wg_dir, options, handover, terminal=False, quiet=True) as daemon:
        progress.since = await _read(daemon, history.last_seq)
        async with anyio.create_task_group() as group:
            group.start_soon(_stop_on_signal, daemon)
            group.start_soon(_show, daemon, progress)
            await _wait_idle(daemon, until_idle=request.until_idle)
            group.cancel_scope.cancel()
        counts = await _read(daemon, service_reads.counts)
        unfinished = await _read(daemon, service_reads.count_unfinished)
        await _tell_rest(daemon, progress)
        progress.finish(counts)
    daemon.lookout.check()
    return 1 if unfinished else 0


async def _wait_idle(daemon: Daemon, *, until_idle: bool) -> None:
    if not until_idle:
        await daemon.stopping.wait()
        return
    async with anyio.create_task_group() as group:
        group.start_soon(_cancel_after, daemon.stopping, group.cancel_scope)
        ticked = daemon.engine.ticked
        while not await _is_idle(daemon):
            await ticked.wait()
            ticked = daemon.engine.ticked
        group.cancel_scope.cancel()


async def _is_idle(daemon: Daemon) -> bool:
    """Looks into the graph only where what this process knows leaves it open."""
    engine = daemon.engine
    if not engine.is_quiet or engine.effects.is_starting or engine.effects.is_awaiting:
        return False
    officials = officials_of(engine.host.grounds.layered.settings)
    return await _read(
        daemon, lambda tx: views.is_idle(tx, engine.max_agents, officials)
    )


async def _cancel_after(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


async def _show(daemon: Daemon, progress: Progress) -> None:
    while True:
        await _tell_rest(daemon, progress)
        if progress.is_live:
            progress.count(*await _read(daemon, _progress))
        await anyio.sleep(_SHOW_S)


def _progress(
    tx: Tx,
) -> tuple[Mapping[str, int], int, list[AgentData], tuple[ProviderData, ...]]:
    live = [a for a in agent_reads.list_agents(tx, alive=True) if not a.human]
    agents = [shapes.agent_data(agent) for agent in live]
    return service_reads.counts(tx), len(agents), agents, queries.providers(tx)


async def _tell_rest(daemon: Daemon, progress: Progress) -> None:
    while True:
        batch = await _read(
            daemon,
            lambda tx: history.changes_since(tx, progress.since, None, _BATCH),
        )
        progress.tell(batch)
        if batch:
            progress.since = batch[-1].seq
        if len(batch) < _BATCH:
            return


async def _read(daemon: Daemon, job: Callable[[Tx], T]) -> T:
    engine = daemon.engine
    return await engine.store.read(job, engine.clock.now())


async def _stop_on_signal(daemon: Daemon) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            daemon.stopping.set()
            return


async def _follow(path: str, request: local.RunDispatcher, progress: Progress) -> int:
    """Follows the daemon's changes; nothing is started or ended by this process."""
    if request.settings or request.max_agents is not None:
        sys.stderr.write(
            "wg: a daemon runs: its settings hold, not those of this command\n"
        )
    unread = b""
    async with await anyio.connect_unix(path) as stream:
        await stream.send(msgspec.json.encode({"cmd": "watch"}) + b"\n")
        while True:
            state = await control.ask(path, {"cmd": "status"}, 10)
            if progress.is_live:
                agents = await control.ask(path, {"cmd": "agents", "alive": True}, 10)
                progress.count(
                    state["counts"],
                    state["agents"],
                    msgspec.convert(agents, list[AgentData]),
                    msgspec.convert(state["providers"], list[ProviderData]),
                )
            is_over = request.until_idle and state["idle"]
            received = await _receive(stream, _LAST_WORDS_S if is_over else 1)
            *lines, unread = (unread + received).split(b"\n")
            progress.tell([_change(_decode(line)) for line in lines])
            if is_over and not received:
                progress.finish(state["counts"])
                return 1 if state["unfinished"] else 0


async def _receive(stream: anyio.abc.ByteStream, timeout_s: float) -> bytes:
    """What the daemon says next; nothing when it says nothing for so long."""
    try:
        with anyio.move_on_after(timeout_s):
            return await stream.receive(1 << 16)
    except (anyio.EndOfStream, anyio.BrokenResourceError) as error:
        raise UserError(
            "the daemon has ended; agents go on",
            hint="wg service start, or wg run to go on here",
        ) from error
    return b""


def _change(data: Mapping[str, Any]) -> Change:
    return Change(
        seq=data["seq"],
        at=0,
        kind=data["kind"],
        task=data["task"],
        verb=data.get("verb"),
        to=data["to"],
        reason=data["reason"],
    )
