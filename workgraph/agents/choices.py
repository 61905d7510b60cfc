"""The choices behind a plan: executor, model, endpoint, folder and time, by precedence.

Each is a plain function of the task, the actor, the flags and the layered settings, and
gives the value with the words for where it was set. Only `plan_spawn` calls them.
"""

import difflib
import posixpath
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal

from msgspec import Struct

from workgraph.agents.environment import Chosen
from workgraph.agents.executor import Executor, Executors
from workgraph.agents.postures import Posture
from workgraph.agents.sandbox import Machine
from workgraph.graph.errors import UserError
from workgraph.graph.model import Actor, Task
from workgraph.graph.times import Duration
from workgraph.settings import Endpoint, Layered

SHELL: Final = "shell"


class Awaited(Struct, frozen=True, kw_only=True):
    """Something the host lacks: when it is there, the plan can be made."""

    kind: Literal["program", "folder", "file", "module"]
    name: str
    #: Where a program is looked for.
    path: str = ""

    def is_there(self, host: "Host") -> bool:
        """Looks for it; a few stats."""
        match self.kind:
            case "program":
                return host.has_executable(self.name, self.path) is not None
            case "folder":
                return host.is_dir(self.name)
            case "file":
                return host.exists(self.name)
            case "module":
                return host.has_module(self.name)


class PlanError(UserError):
    """No plan can be made, or its process could not run: something has to change.

    Args:
        message: What is wrong.
        hint: What to do about it.
        awaits: What of it would come about by something appearing on this host.
        code: The reason that `wg why` gives.
        producer: The task that has not recorded what is needed: only that it does can
            change anything.
    """

    default_code = "misconfigured"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        awaits: tuple[Awaited, ...] = (),
        code: str = default_code,
        producer: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.awaits = awaits
        self.producer = producer


def _has_all(_module: str) -> bool:
    return True


class Host(Struct, frozen=True, kw_only=True):
    """The machine, as far as a plan depends on it."""

    env: Mapping[str, str]
    project_dir: str
    #: The `.wg` folder.
    wg_dir: str
    socket: str
    #: `.wg/bin`, which comes first in every agent's PATH.
    bin_dir: str
    home: str
    #: Where a program is, given its name and a PATH; null when it is nowhere.
    has_executable: Callable[[str, str], str | None]
    exists: Callable[[str], bool]
    is_dir: Callable[[str], bool]
    #: Whether the interpreter that workgraph runs on has a module.
    has_module: Callable[[str], bool] = _has_all
    #: A path without links in it.
    real_path: Callable[[str], str] = posixpath.normpath
    #: What there is for a sandbox; asked only where one is wanted.
    sandbox_machine: Callable[[], Machine] = Machine
    #: The interpreter that workgraph itself runs on.
    python: str = "python3"
    #: Some clients refuse root what others may do.
    is_root: bool = False


class Flags(Struct, frozen=True, kw_only=True):
    """What `wg spawn` and `wg plan` say for this one start."""

    executor: str | None = None
    model: str | None = None
    endpoint: str | None = None
    #: The caller looks it up: the plan is given the actor itself.
    actor: str | None = None


NO_FLAGS: Final = Flags()


class Grounds(Struct, frozen=True, kw_only=True):
    """What plans of all tasks share until the settings or the host change."""

    layered: Layered
    executors: Executors
    host: Host
    #: The environment before task and attempt, by executor.
    env: Mapping[str, Mapping[str, Chosen[str]]]
    #: Values in the environment that nobody is to see.
    secrets: tuple[str, ...] = ()


def from_settings(layered: Layered, key: str) -> Chosen[Any]:
    """The setting that holds, with its source as plans name it."""
    held = layered.effective(key)
    if held.layer in {"default", "command line"}:
        return Chosen(held.value, held.layer)
    table, dot, name = key.rpartition(".")
    where = f"[{table}].{name}" if dot else f"[[{key}]]"
    return Chosen(held.value, f"{held.layer} {where}")


def choose_executor(
    grounds: Grounds, task: Task, actor: Actor | None, flags: Flags
) -> tuple[Chosen[str], Executor]:
    """The executor's name with its source, and the executor.

    Raises:
        PlanError: The task or a flag contradicts itself, or there is no such executor.
    """
    chosen = _choose_name(grounds, task, actor, flags)
    executor = grounds.executors.by_name.get(chosen.value)
    if executor is not None:
        return chosen, executor
    message = f"{task.id}: there is no executor {chosen.value} ({chosen.source})"
    if problem := grounds.executors.problems.get(chosen.value):
        raise PlanError(message, hint=problem)
    raise PlanError(message, hint=nearest(chosen.value, grounds.executors.by_name))


def _choose_name(
    grounds: Grounds, task: Task, actor: Actor | None, flags: Flags
) -> Chosen[str]:
    own: Chosen[str] | None = None
    if task.spec.executor:
        own = Chosen(task.spec.executor, "task.executor")
    if task.spec.exec:
        if own is not None and own.value != SHELL:
            message = (
                f"{task.id}: it has a command, which shell runs (task.exec), and "
                f"executor {own.value} (task.executor)"
            )
            raise PlanError(message, hint=f"drop one of them: wg edit {task.id}")
        own = Chosen(SHELL, "task.exec")
    if own is not None:
        if flags.executor and flags.executor != own.value:
            message = (
                f"{task.id}: executor {flags.executor} (command line) contradicts "
                f"executor {own.value} ({own.source})"
            )
            raise PlanError(message, hint=f"leave --executor out, or wg edit {task.id}")
        return own
    if flags.executor:
        return Chosen(flags.executor, "command line")
    setting = from_settings(grounds.layered, "dispatcher.executor")
    if actor is not None and actor.executor and setting.source != "command line":
        return Chosen(actor.executor, "actor.executor")
    return setting


def choose_model(
    grounds: Grounds, task: Task, actor: Actor | None, flags: Flags, executor: Executor
) -> Chosen[str | None]:
    """The model; null leaves it to the executor, whose own is the default."""
    if executor.name == SHELL:
        return Chosen(None, f"none (executor={SHELL})")
    setting = from_settings(grounds.layered, "dispatcher.model")
    said_here = setting.value if setting.source == "command line" else None
    for value, source in (
        (flags.model or said_here, "command line"),
        (task.spec.model, "task.model"),
        (actor.model if actor else None, "actor.model"),
        # An empty model of the project's goes before the user's: the executor's own.
        (setting.value, setting.source),
    ):
        if value:
            return Chosen(value, source)
    return Chosen(None, setting.source)


def choose_endpoint(
    grounds: Grounds, task: Task, flags: Flags, executor: Executor
) -> tuple[Chosen[str | None], Endpoint | None]:
    """The endpoint's name or URL with its source, and the endpoint; null for most.

    Raises:
        PlanError: The executor needs one, and none or several could be meant.
    """
    if not executor.needs_endpoint:
        return Chosen(None, f"none (executor={executor.name})"), None
    endpoints = grounds.layered.settings.endpoints
    for name, source in (
        (flags.endpoint, "command line"),
        (task.spec.endpoint, "task.endpoint"),
    ):
        if not name:
            continue
        for endpoint in endpoints:
            if name in {endpoint.name, endpoint.url}:
                return Chosen(name, source), endpoint
        if name.startswith(("http://", "https://")):
            return Chosen(name, source), Endpoint(name=name, url=name)
        message = f"{task.id}: there is no endpoint {name} ({source})"
        raise PlanError(message, hint=nearest(name, (e.name for e in endpoints)))
    source = from_settings(grounds.layered, "endpoints").source
    defaults = [endpoint for endpoint in endpoints if endpoint.default]
    if len(defaults) == 1:
        return Chosen(defaults[0].name, f"{source} (the default)"), defaults[0]
    if len(endpoints) == 1:
        return Chosen(endpoints[0].name, f"{source} (the only one)"), endpoints[0]
    names = ", ".join(endpoint.name for endpoint in defaults or endpoints)
    found = "there is none" if not endpoints else f"it could be any of {names}"
    if len(defaults) > 1:
        found = f"several are marked default: {names}"
    message = f"{task.id}: executor {executor.name} needs an endpoint, and {found}"
    hint = "add an [[endpoints]] table to the settings, mark one default = true"
    raise PlanError(message, hint=f"{hint}, or say --endpoint")


def choose_permissions(
    grounds: Grounds, executor: Executor
) -> tuple[Chosen[str | None], Posture]:
    """The posture's name, and how the client is told; null when it can't be told."""
    setting = from_settings(grounds.layered, "agents.permissions")
    posture = executor.posture(setting.value)
    if posture is None:
        return Chosen(None, f"none (executor={executor.name})"), Posture()
    return setting, posture


def choose_working_dir(host: Host, task: Task) -> Chosen[str]:
    """The folder to work in: the task's, seen from the project's, or that one."""
    if not task.spec.working_dir:
        return Chosen(host.project_dir, "default")
    joined = posixpath.join(host.project_dir, task.spec.working_dir)
    return Chosen(posixpath.normpath(joined), "task.working_dir")


def executor_of(grounds: Grounds, task: Task, actor: Actor | None) -> str | None:
    """The executor's name; null for a task that contradicts itself."""
    try:
        return _choose_name(grounds, task, actor, NO_FLAGS).value
    except PlanError:
        return None


def choose_account(
    layered: Layered, executor: Executor, model: str | None, endpoint: str | None
) -> Chosen[str | None]:
    """The account with a provider whose limits hold; null where that is nobody's.

    Executors that are set up for different accounts of one provider, or for the same,
    say so by `[executors.NAME].account`.
    """
    name = executor.name
    given = layered.settings.executors.get(name)
    if name != SHELL and given is not None and given.account is not None:
        return Chosen(given.account or None, f"[executors.{name}].account")
    source = f"executor={name}"
    if name == SHELL or executor.stream == "text":
        # What it ends with, nobody can tell from a failure of its own.
        return Chosen(None, f"none ({source})")
    if executor.needs_endpoint:
        return Chosen(f"{name}:{endpoint}", source)
    if executor.stream == "opencode":
        provider, slash, _ = (model or "").replace(":", "/").partition("/")
        return Chosen(f"{name}:{provider}" if slash else name, source)
    return Chosen(name, source)


def account_of(grounds: Grounds, task: Task, actor: Actor | None) -> str | None:
    """The account that a task's next attempt would use; null for one without a plan."""
    try:
        _, executor = choose_executor(grounds, task, actor, NO_FLAGS)
        model = choose_model(grounds, task, actor, NO_FLAGS, executor)
        endpoint, _ = choose_endpoint(grounds, task, NO_FLAGS, executor)
    except PlanError:
        return None
    account = choose_account(grounds.layered, executor, model.value, endpoint.value)
    return account.value


def choose_stall_after(layered: Layered, task: Task, executor: str) -> int | None:
    """How long an attempt may be silent, in microseconds; null is for ever.

    A shell task is silent for good reasons, so it has a limit only of its own.
    """
    limit = task.spec.stall_timeout_s
    if limit is None and executor != SHELL:
        limit = layered.settings.agents.stall_timeout
    return Duration(limit).micros if limit else None


def choose_timeout(layered: Layered, task: Task) -> Chosen[float]:
    """The wall clock of the attempt, in seconds."""
    if task.spec.timeout_s is not None:
        return Chosen(task.spec.timeout_s, "task.timeout_s")
    return from_settings(layered, "agents.timeout")


def nearest(name: str, names: Iterable[str]) -> str:
    """What could be meant by a name that there is not, or what there is."""
    there = sorted(names)
    near = difflib.get_close_matches(name, there, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"there are: {', '.join(there)}" if there else "the settings name none"
