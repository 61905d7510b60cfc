"""Trying an executor: a tiny run that belongs to no task, and leaves nothing behind.

It is planned, started, read and ended as any agent is, with a number that no agent ever
has, in a folder of its own that is removed with it. The graph does not know of it. What
a daemon that was killed has left of one is ended and removed by the next.
"""

import os
import re
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

import anyio
import anyio.to_thread
from msgspec import structs

from workgraph import __version__
from workgraph.agents.choices import SHELL
from workgraph.agents.executor import module_of
from workgraph.agents.plan import (
    AgentFacts,
    Flags,
    Grounds,
    PlanError,
    SpawnPlan,
    plan_spawn,
)
from workgraph.agents.process import (
    Ended,
    Fate,
    Launcher,
    LaunchOrder,
    SpawnError,
    Started,
    SweepTarget,
)
from workgraph.commands.shapes import usage_data
from workgraph.daemon.clients import Clients
from workgraph.daemon.executors import a_task_of_none, find_path, without_task
from workgraph.daemon.hiding import hide_secrets
from workgraph.daemon.orders import Listen
from workgraph.daemon.planned import order_for
from workgraph.daemon.programs import ask_version
from workgraph.graph.ends import EndKind, Report
from workgraph.graph.errors import AgentError, UsageError
from workgraph.graph.facts import AgentReported, Fact
from workgraph.graph.model import ProcessId, Record
from workgraph.graph.replies import TrialData
from workgraph.graph.times import Duration
from workgraph.logs import NoLog
from workgraph.settings import Layered, Value

PROMPT: Final = "Say the word ok and nothing else."
#: What shell runs instead.
COMMAND: Final = "echo ok"
#: In `.wg`: a folder for each trial while it runs.
FOLDER: Final = "trials"
#: Outcomes besides those of a client's own word.
TIMED_OUT: Final = "timed-out"
NOT_STARTED: Final = "spawn-failed"

#: What has said its last word may take so long to leave.
_LAST_WORD_S: Final = 5.0
#: Between TERM and KILL: nothing of a trial is worth more.
_GRACE_S: Final = 2.0
#: A client of a hundred megabytes takes its time when it is read for the first time.
_VERSION_S: Final = 15.0
#: Read of what is plain text.
_MOST: Final = 64 * 1024
_LONGEST: Final = 500
_LONGEST_S: Final = 3600.0
_LOOK_AT_IT: Final = "wg executor list shows what it runs; try that by hand"
_HINTS: Final = MappingProxyType(
    {
        "auth": "log in with the client as whoever runs wgd, or mend its key",
        "limited": "wait until the provider answers again, or use another account",
        "overloaded": "try again later: the provider can't answer",
        "network": "see whether its provider or endpoint can be reached from here",
        "misconfigured": "another --model, or mend [executors.{executor}]",
        "denied": "it wanted more than to speak: see agents.permissions",
        TIMED_OUT: "--timeout gives it longer; by hand it may say what it waits for",
    }
)
_FOLDER_NAME: Final = re.compile(r"agent-(\d{1,18})")


class Wish(Record, frozen=True, kw_only=True):
    """What is to be tried, and for how long."""

    executor: str
    model: str | None
    endpoint: str | None
    timeout_s: float
    #: What stands for an agent's number: greater than any of them.
    number: int
    #: Of nobody: no call of `wg` is answered to it.
    token: str
    session: str


async def try_executor(
    launcher: Launcher, grounds: Grounds, folder: Path, wish: Wish
) -> TrialData:
    """Runs an executor that there is once, and tells how that went.

    A cancellation ends the run first. Nothing of it is left afterwards.

    Args:
        launcher: The seam to the world of processes.
        grounds: What plans are made from.
        folder: Its own, to be made and removed.
        wish: What is to be tried.

    Raises:
        PlanError: It could not run as it is.
    """
    grounds = _readonly(grounds)
    workspace = folder / "work"
    try:
        await anyio.to_thread.run_sync(_make, workspace)
        plan = _plan(grounds, folder, workspace, wish)
        executor = grounds.executors.by_name[plan.executor.value]
        version: str | None = __version__
        if not module_of(executor):
            version = await _version_of(grounds, wish.executor, wish.timeout_s)
        order = order_for(
            wish.number,
            os.fspath(folder),
            plan,
            {"prompt.md": PROMPT},
            grounds.layered.settings.agents,
        )
        run = _Run(launcher, order, plan)
        await run.carry_out(wish.timeout_s)
        return _told(run, plan, version, wish, grounds)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(_remove, folder)


def parse_limit(text: str) -> float:
    """How long a trial may take, in seconds.

    Raises:
        UsageError: It is no duration, or none that a trial may take.
    """
    limit_s = float(Duration.parse(text))
    if not 0 < limit_s <= _LONGEST_S:
        message = f"--timeout {text} is not between 0 and {_LONGEST_S:g} s"
        raise UsageError(message, hint="such as 60s")
    return limit_s


def judge_trial(trial: TrialData) -> TrialData:
    """The same, where it went well.

    Raises:
        AgentError: It did not; what it was, and what to do about it.
    """
    if trial.outcome == EndKind.FINISHED and not trial.leftover:
        return trial
    version = f" ({trial.version})" if trial.version else ""
    message = f"{trial.executor}{version}: {trial.message}, after {trial.seconds:g} s"
    if trial.leftover:
        pids = " ".join(map(str, trial.leftover))
        message += f"; these of its processes are not gone: {pids}"
    hint = _HINTS.get(trial.outcome, _LOOK_AT_IT).format(executor=trial.executor)
    raise AgentError(message, hint=hint, code=trial.outcome)


async def clear_trials(launcher: Launcher, wg_dir: Path) -> None:
    """Ends and removes what a daemon that was killed has left of its trials."""
    for number, folder in await anyio.to_thread.run_sync(_found, wg_dir / FOLDER):
        await launcher.stop(number, os.fspath(folder), None, 0.0, force=True)
        await anyio.to_thread.run_sync(_remove, folder)


class _Run:
    """One run: what was started, what it has said, how it has ended."""

    def __init__(self, launcher: Launcher, order: LaunchOrder, plan: SpawnPlan) -> None:
        self._launcher = launcher
        self._order = order
        self._stream = plan.stream.value
        self._clients = Clients(launcher, self._note, lambda _: order.folder, NoLog())
        self._has_said_all = anyio.Event()
        self.seconds = 0.0
        self.report: Report | None = None
        self.text = ""
        self.errors = ""
        self.ended: Ended | None = None
        self.refused: str | None = None
        self.is_over_time = False
        self.leftover: tuple[ProcessId, ...] = ()

    async def carry_out(self, timeout_s: float) -> None:
        """Starts it, waits for its end or the limit, and ends all of it."""
        number = self._order.agent
        failed = await self._launcher.prepare([self._order])
        if number in failed:
            self.refused = failed[number]
            return
        began = anyio.current_time()
        try:
            started = await self._launcher.launch(self._order)
        except SpawnError as error:
            self.refused = error.message
            return
        if self._stream != "text":
            self._clients.open(number, Listen(stream=self._stream))
        try:
            with anyio.move_on_after(timeout_s) as limit:
                await self._wait()
            self.is_over_time = limit.cancelled_caught
        finally:
            self.seconds = anyio.current_time() - began
            with anyio.CancelScope(shield=True):
                await self._end(started)

    def _note(self, fact: Fact) -> None:
        if isinstance(fact, AgentReported) and fact.report.end is not None:
            self._has_said_all.set()

    async def _wait(self) -> None:
        """Returns at its end, or when it stays after its last word."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._clients.follow, self._order.agent)
            group.start_soon(self._leave_after_last_word, group.cancel_scope)
            self.ended = await self._launcher.wait_ended(self._order.agent)
            group.cancel_scope.cancel()

    async def _leave_after_last_word(self, scope: anyio.CancelScope) -> None:
        await self._has_said_all.wait()
        await anyio.sleep(_LAST_WORD_S)
        scope.cancel()

    async def _end(self, started: Started) -> None:
        number, folder = self._order.agent, self._order.folder
        left: tuple[ProcessId, ...] = ()
        if self.ended is None:
            left = await self._launcher.stop(
                number, folder, started.process, _GRACE_S, force=False
            )
        if self.ended is None and not left:
            self.ended = await self._launcher.wait_ended(number)
        target = SweepTarget(agent=number, folder=folder, process=started.process)
        found = await self._launcher.sweep([target])
        self.leftover = found.get(number, left)
        code = self.ended.exit_code if self.ended else None
        signal = self.ended.signal if self.ended else None
        self.report = await self._clients.finish(number, code, signal)
        words = await self._launcher.read_on(number, folder, (0, 0), _MOST)
        self.text = words.out.decode("utf-8", "replace")
        self.errors = words.err.decode("utf-8", "replace")


def _plan(grounds: Grounds, folder: Path, workspace: Path, wish: Wish) -> SpawnPlan:
    is_shell = wish.executor == SHELL
    task = a_task_of_none(COMMAND if is_shell else None, os.fspath(workspace))
    facts = AgentFacts(
        id=f"agent-{wish.number}",
        attempt=1,
        token=wish.token,
        folder=os.fspath(folder),
        new_session=wish.session,
        prompt=PROMPT,
    )
    flags = Flags(executor=wish.executor, model=wish.model, endpoint=wish.endpoint)
    try:
        return plan_spawn(grounds, task=task, flags=flags, agent=facts)
    except PlanError as error:
        message = without_task(error.message)
        raise PlanError(message, hint=error.hint, code=error.code) from error


def _readonly(grounds: Grounds) -> Grounds:
    """The same grounds, with the posture that lets nothing be changed."""
    key, layered = "agents.permissions", grounds.layered
    settings = layered.settings
    said = Value(layer="command line", file=None, value="readonly")
    return structs.replace(
        grounds,
        layered=Layered(
            settings=structs.replace(
                settings,
                agents=structs.replace(settings.agents, permissions="readonly"),
            ),
            values={**layered.values, key: (*layered.values.get(key, ()), said)},
            warnings=layered.warnings,
        ),
    )


async def _version_of(grounds: Grounds, name: str, timeout_s: float) -> str | None:
    """What its program says of itself; a shell is not asked."""
    executor = grounds.executors.by_name[name]
    _, path = find_path(grounds, executor)
    if name == SHELL or path is None:
        return None
    ask = partial(ask_version, timeout_s=min(_VERSION_S, timeout_s))
    found = await anyio.to_thread.run_sync(ask, path, grounds.host.env)
    return found.version


def _told(
    run: _Run, plan: SpawnPlan, version: str | None, wish: Wish, grounds: Grounds
) -> TrialData:
    hide = hide_secrets(grounds)
    report = run.report or Report()
    said = report.said if run.report else _last_line(run.text)
    outcome, message = _judge(run, report, wish.timeout_s)
    model = report.model or plan.model.value
    return TrialData(
        executor=wish.executor,
        program=find_path(grounds, grounds.executors.by_name[wish.executor])[1] or "",
        version=version,
        account=plan.account.value,
        model=model,
        endpoint=plan.endpoint.value,
        seconds=round(run.seconds, 1),
        usage=usage_data(report.usage),
        cached_tokens=report.usage.cached_tokens,
        said=hide(said) if said else None,
        outcome=outcome,
        message=hide(message),
        exit_code=run.ended.exit_code if run.ended else None,
        signal=run.ended.signal if run.ended else None,
        leftover=tuple(process.pid for process in run.leftover),
    )


def _judge(run: _Run, report: Report, timeout_s: float) -> tuple[str, str]:
    """The kind of its end, and in words: its own word goes before its exit."""
    if run.refused is not None:
        return NOT_STARTED, run.refused
    if run.is_over_time:
        why = f"it was not at its end after {timeout_s:g} s"
        if report.trouble is not None:
            trouble = report.trouble
            return trouble.kind.value, f"{why}; it tries again: {trouble.message}"
        if report.end is None or report.end.kind is EndKind.FAILED:
            return TIMED_OUT, why
    if report.end is not None:
        return report.end.kind.value, report.end.message
    ended = run.ended
    if ended is None or ended.fate not in {Fate.EXITED, Fate.SIGNALED}:
        detail = ended.detail if ended else "it could not be ended"
        return NOT_STARTED, detail or "nothing was started"
    if ended.detail:
        return NOT_STARTED, ended.detail
    if ended.exit_code == 0:
        return EndKind.FINISHED.value, "it has ended with 0"
    how = f"it has ended with {ended.exit_code}"
    if ended.exit_code is None:
        how = f"signal {ended.signal} has ended it" if ended.signal else "it was killed"
    last = _last_line(run.errors) or _last_line(run.text)
    return EndKind.FAILED.value, f"{how}: {last}" if last else how


def _last_line(text: str) -> str | None:
    lines = text.strip().splitlines()
    return lines[-1].strip()[:_LONGEST] if lines else None


def _make(workspace: Path) -> None:
    workspace.parent.parent.mkdir(mode=0o700, exist_ok=True)
    workspace.parent.mkdir(mode=0o700)
    workspace.mkdir(mode=0o700)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # others are being tried
        folder.parent.rmdir()


def _found(trials: Path) -> list[tuple[int, Path]]:
    try:
        names = os.listdir(trials)
    except OSError:
        return []
    return [
        (int(match[1]), trials / name)
        for name in names
        if (match := _FOLDER_NAME.fullmatch(name))
    ]
