"""The doctor: looks at the installation and the project, and changes nothing.

Each check is a function of its own and gives what it found. What is only worth knowing
(an executor that is not installed and that nobody asked for) is a finding that is ok.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import anyio
import anyio.to_thread
import msgspec
from anyio.abc import SocketStream

from workgraph import __version__, wire
from workgraph.agents.executor import TemplateExecutor, extra_remedy
from workgraph.commands.escape import escape_line
from workgraph.daemon.configuration import Configuration
from workgraph.daemon.doctor_project import check_project
from workgraph.daemon.executors import look_at_executors
from workgraph.daemon.finding import CheckData, bad, good
from workgraph.daemon.installed import find_wg, is_our_wg, why_not_runnable
from workgraph.daemon.lock import Holder, ProjectLock
from workgraph.daemon.programs import Program, ask_version, find_program, has_module
from workgraph.daemon.project import find_exclude_file
from workgraph.graph.errors import UserError
from workgraph.graph.model import Record
from workgraph.graph.replies import ExecutorData, Reply
from workgraph.store.health import OLDEST_SQLITE, SQLITE_VERSION, is_sqlite_new_enough

__all__ = ["CheckData", "examine", "render_doctor"]

OLDEST_PYTHON: Final = (3, 11)
#: Clients that workgraph knows how to run, by the name of their executor.
CLIENTS: Final = ("claude", "codex", "gemini", "opencode")
#: What a daemon may take to answer, as `wg` itself gives it.
ANSWER_S: Final = 5.0
#: What executors run on that need not be looked for.
_ALWAYS_THERE: Final = frozenset({"/bin/sh", "{python}"})
_ASK: Final = b'{"cmd":"status"}\n'


class _Answer(msgspec.Struct):
    ok: bool


_answer: Final = msgspec.json.Decoder(_Answer).decode


async def examine(wg_dir: Path | None, env: Mapping[str, str], now: int) -> Reply:
    """Looks at everything that has to be right; the exit code is 1 if anything is not.

    Args:
        wg_dir: The project's `.wg`; null outside of one.
        env: Of whoever asks: PATH, HOME and the like.
        now: For noticing a clock that was set back.
    """
    look = await anyio.to_thread.run_sync(_look_around, wg_dir, env)
    programs = await _ask_versions(look.clients, env)
    checks = [
        *await anyio.to_thread.run_sync(_check_installation, env),
        _check_git(programs["git"], is_in_git=look.is_in_git),
    ]
    if wg_dir is None:
        checks.append(good("project", "none here", "wg init makes one"))
    else:
        checks += await anyio.to_thread.run_sync(check_project, wg_dir, env, now)
        checks.append(await _check_daemon(wg_dir, env))
    checks += await anyio.to_thread.run_sync(_check_executors, look, programs)
    failed = not all(check.ok for check in checks)
    return Reply(data=tuple(checks), exit_code=1 if failed else 0)


def render_doctor(reply: Reply, color: bool) -> str:  # noqa: FBT001 - as `render` has it
    """The findings for people, one line each, and a remedy below where there is one."""
    checks: Sequence[CheckData] = reply.data
    width = max((len(check.name) for check in checks), default=0)
    lines = []
    for check in checks:
        word = "ok  " if check.ok else "FAIL"
        if color:
            word = f"\x1b[{32 if check.ok else 31}m{word}\x1b[0m"
        lines.append(f"{word}  {check.name:<{width}}  {escape_line(check.detail)}")
        if check.remedy:
            lines.append(f"{' ' * (width + 8)}→ {escape_line(check.remedy)}")
    failed = sum(not check.ok for check in checks)
    end = "nothing is wrong" if not failed else f"{failed} of {len(checks)} are not ok"
    return "".join(f"{line}\n" for line in (*lines, end))


def _check_installation(env: Mapping[str, str]) -> list[CheckData]:
    return [_check_python(), _check_sqlite(), _check_wg(env)]


def _check_python() -> CheckData:
    version = ".".join(map(str, sys.version_info[:3]))
    detail = f"{version} ({sys.executable})"
    if sys.version_info[:2] >= OLDEST_PYTHON:
        return good("python", detail)
    wanted = ".".join(map(str, OLDEST_PYTHON))
    return bad("python", detail, f"install Python {wanted} or later")


def _check_sqlite() -> CheckData:
    if is_sqlite_new_enough():
        return good("sqlite", SQLITE_VERSION)
    wanted = ".".join(map(str, OLDEST_SQLITE))
    return bad("sqlite", SQLITE_VERSION, f"{wanted} or later is needed")


def _check_wg(env: Mapping[str, str]) -> CheckData:
    wg = find_wg(env)
    if wg is None:
        beside = Path(sys.executable).parent / "wg"
        problem = why_not_runnable(beside) or f"{beside} is not workgraph's"
        return bad("wg", problem, "install workgraph again (make install)")
    in_path = find_program("wg", env)
    detail = f"{__version__} ({wg})"
    if in_path is not None and not is_our_wg(Path(in_path)):
        remedy = f"put {wg.parent} before {os.path.dirname(in_path)} in PATH"
        # Not a failure: agents find ours in .wg/bin, and this one was found, too.
        return good("wg", f"{detail}; in PATH {in_path} goes first", remedy)
    return good("wg", detail)


def _check_git(git: Program, *, is_in_git: bool) -> CheckData:
    if git.version is not None:
        version = git.version.removeprefix("git version ")
        return good("git", f"{version} ({git.path})")
    if git.path is not None:
        return bad("git", f"{git.path} {git.problem}", "install git again")
    if is_in_git:
        return bad("git", "not found, and the project is a repository", "install git")
    return good("git", "not found", "install git to keep the project in it")


async def _check_daemon(wg_dir: Path, env: Mapping[str, str]) -> CheckData:
    try:
        holder, paths = await anyio.to_thread.run_sync(_who_holds, wg_dir, env)
    except OSError as error:
        detail = f"{wg_dir}: {error.strerror}"
        return bad("daemon", detail, "the folder has to be yours")
    if holder is None:
        return good("daemon", "not running")
    if holder.role == "wg":
        return good("daemon", f"not running; wg (pid {holder.pid}) is at work")
    who = f"wgd (pid {holder.pid})" if holder.pid else "wgd"
    for path in paths:
        if await _answers(path):
            return good("daemon", f"{who} answers at {path}")
    remedy = "it may hang: end it, agents go on"
    if holder.pid:
        remedy = f"it may hang: kill {holder.pid} ends it, agents go on"
    return bad("daemon", f"{who} holds the project and does not answer", remedy)


def _who_holds(wg_dir: Path, env: Mapping[str, str]) -> tuple[Holder | None, list[str]]:
    """Who holds the lock, and where a daemon's socket would be."""
    holder = ProjectLock(os.fspath(wg_dir)).holder()
    runtime_dir = env.get("XDG_RUNTIME_DIR")
    owner = wg_dir.stat().st_uid
    real = os.path.realpath(wg_dir)
    return holder, wire.socket_candidates(real, owner, runtime_dir)


async def _answers(path: str) -> bool:
    """Whether a daemon at a socket says that all is well."""
    try:
        with anyio.fail_after(ANSWER_S):
            async with await anyio.connect_unix(path) as stream:
                return _answer(await _ask_status(stream)).ok
    except (OSError, anyio.EndOfStream, anyio.BrokenResourceError):
        return False
    except msgspec.MsgspecError:
        return False


async def _ask_status(stream: SocketStream) -> bytes:
    await stream.send(_ASK)
    line = b""
    while b"\n" not in line:
        line += await stream.receive()
    return line


class _Look(Record, frozen=True, kw_only=True):
    """What has to be known before programs are asked."""

    is_in_git: bool
    #: Those of the settings among them; none where the settings are broken.
    executors: Mapping[str, TemplateExecutor] = MappingProxyType({})
    #: What `wg executor list` says of each.
    found: Mapping[str, ExecutorData] = MappingProxyType({})
    #: Those that are code of somebody else's.
    plugins: frozenset[str] = frozenset()
    problems: Mapping[str, str] = MappingProxyType({})
    #: The executor that the settings ask for; null when none is named.
    wanted: str | None = None
    #: The program of each client that may be asked for its version.
    clients: Mapping[str, str]


def _look_around(wg_dir: Path | None, env: Mapping[str, str]) -> _Look:
    clients = {name: name for name in CLIENTS}
    if wg_dir is None:
        return _Look(is_in_git=False, clients=clients)
    is_in_git = find_exclude_file(wg_dir.parent) is not None
    try:
        configuration = Configuration.load(wg_dir, env)
    except UserError:
        return _Look(is_in_git=is_in_git, clients=clients)
    loaded = configuration.executors
    executors = {
        name: executor
        for name, executor in loaded.by_name.items()
        if isinstance(executor, TemplateExecutor)
    }
    programs = {name: executors[name].argv[0] for name in CLIENTS if name in executors}
    wanted = configuration.layered.effective("dispatcher.executor")
    return _Look(
        is_in_git=is_in_git,
        executors=executors,
        found={
            found.name: found for found in look_at_executors(configuration.grounds(""))
        },
        plugins=frozenset(loaded.by_name.keys() - executors.keys()),
        problems=loaded.problems,
        wanted=None if wanted.layer == "default" else str(wanted.value),
        clients={
            name: program
            for name, program in programs.items()
            # Another program in its place may do anything when it is called.
            if os.path.basename(program) == name
        },
    )


async def _ask_versions(
    clients: Mapping[str, str], env: Mapping[str, str]
) -> dict[str, Program]:
    found: dict[str, Program] = {}

    async def ask(name: str, program: str) -> None:
        found[name] = await anyio.to_thread.run_sync(ask_version, program, env)

    async with anyio.create_task_group() as group:
        for name, program in {"git": "git", **clients}.items():
            group.start_soon(ask, name, program)
    return found


def _check_executors(look: _Look, programs: Mapping[str, Program]) -> list[CheckData]:
    checks = []
    for name in dict.fromkeys((*look.clients, *look.executors)):
        program = programs.get(name)
        if program is None:
            executor = look.executors[name]
            if executor.module:
                checks.append(_check_module(executor, is_wanted=name == look.wanted))
                continue
            if executor.argv[0] in _ALWAYS_THERE:
                continue
            found = look.found[name]
            program = Program(name=executor.argv[0], path=found.path)
        checks.append(_judge(name, program, is_wanted=name == look.wanted))
    remedy = "mend the settings or the plug-in"
    checks += [
        bad(f"executor {name}", problem, remedy)
        for name, problem in look.problems.items()
    ]
    wanted = look.wanted
    known = {*look.executors, *look.plugins, *look.problems}
    if wanted is not None and wanted not in known:
        remedy = "name one that there is: wg config set dispatcher.executor NAME"
        checks.append(
            bad(f"executor {wanted}", "there is no executor of that name", remedy)
        )
    return checks


def _check_module(executor: TemplateExecutor, *, is_wanted: bool) -> CheckData:
    title = f"executor {executor.name}"
    if has_module(executor.module):
        return good(title, f"{executor.module} is installed")
    make = bad if is_wanted else good
    remedy = f"{extra_remedy(executor.name)}, if tasks are to use it"
    return make(title, f"{executor.module} is not installed", remedy)


def _judge(name: str, program: Program, *, is_wanted: bool) -> CheckData:
    title = f"executor {name}"
    if program.path is None:
        make = bad if is_wanted else good
        remedy = f"install {program.name}, if tasks are to use it"
        return make(title, "not found", remedy)
    if program.problem:
        detail = f"{program.path} {program.problem}"
        make = bad if is_wanted else good
        return make(title, detail, "install it again, or mend what it complains about")
    said = f"{program.version} " if program.version else ""
    return good(title, f"{said}({program.path})")
