"""The plan: the only place where it is decided what runs, and where each value is from.

`plan_spawn` is pure. What is the same for all tasks until the settings or the host
change is put together once, as `Grounds`. What is launched is exactly the plan.
"""

import posixpath
from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from workgraph.agents.choices import (
    NO_FLAGS,
    SHELL,
    Awaited,
    Flags,
    Grounds,
    Host,
    PlanError,
    choose_account,
    choose_endpoint,
    choose_executor,
    choose_model,
    choose_permissions,
    choose_timeout,
    choose_working_dir,
    from_settings,
)
from workgraph.agents.enclosure import choose_enclosure, lacks_inside
from workgraph.agents.environment import (
    MASK,
    VARIABLE_NAME,
    Chosen,
    base_environment,
    credential_files,
    executor_environment,
    with_bin,
)
from workgraph.agents.executor import (
    Executor,
    Executors,
    Job,
    escaped,
    fill_text,
    goes_on,
)
from workgraph.agents.lacks import (
    Draft,
    copies_of,
    find_lacks,
    find_unused,
    tools_of,
    wanted,
)
from workgraph.agents.redact import secrets_in
from workgraph.agents.sandbox import SOCKET_DIR, enclose, enclose_gate
from workgraph.graph.inputs import Input
from workgraph.graph.model import Actor, Task
from workgraph.settings import Layered, PromptMode, Stream

__all__ = [
    "AgentFacts",
    "Chosen",
    "Flags",
    "Grounds",
    "Host",
    "PlanError",
    "SpawnPlan",
    "before_the_claim",
    "plan_gate",
    "plan_spawn",
    "prepare_grounds",
]


class AgentFacts(Struct, frozen=True, kw_only=True):
    """What is known once the claim has been made."""

    id: str
    attempt: int
    token: str
    folder: str
    #: The session to go on with; empty: a new one.
    session: str = ""
    #: A UUID for a new one, used by clients that let themselves be told.
    new_session: str = ""
    #: What it uses has to be known while it runs, for a budget.
    metered: bool = False
    #: It answers message by message, from an input that stays open.
    kept_open: bool = False
    #: The text of the prompt; only executors that take it as an argument need it.
    prompt: str = ""


class SpawnPlan(Struct, frozen=True, kw_only=True):
    """Everything that decides what a process is, each value with its source."""

    task: str
    executor: Chosen[str]
    model: Chosen[str | None]
    #: The name of an endpoint of the settings, or the URL that was given.
    endpoint: Chosen[str | None]
    working_dir: Chosen[str]
    #: What the limits of its provider hold for.
    account: Chosen[str | None]
    #: The posture that the client is told to take.
    permissions: Chosen[str | None]
    #: Ready to be executed: the program is an absolute path, if there is one.
    argv: Chosen[tuple[str, ...]]
    env: Mapping[str, Chosen[str]]
    #: `prompt`, `pipe` or `/dev/null`.
    stdin: Chosen[str]
    timeout_s: Chosen[float]
    #: `none` or `bwrap`, and what it sees of the network: `host` or `none`.
    sandbox: Chosen[str]
    network: Chosen[str]
    prompt: PromptMode
    #: What it prints; where that is structured, stderr gets a file of its own.
    stream: Chosen[Stream]
    #: The session that the client is told of; null: it says later which it has.
    session: str | None
    #: That session was there before.
    resumes: bool
    #: What would keep it from running well.
    problems: tuple[str, ...] = ()


def prepare_grounds(layered: Layered, executors: Executors, host: Host) -> Grounds:
    """Does the part of planning that is the same for all tasks. Pure."""
    base = base_environment(layered.settings.env.pass_, host.env, host.bin_dir)
    env = {
        name: executor_environment(base, executor, host.env)
        for name, executor in executors.by_name.items()
    }
    keys = {endpoint.api_key_env for endpoint in layered.settings.endpoints}
    return Grounds(
        layered=layered,
        executors=executors,
        host=host,
        env=env,
        secrets=secrets_in(host.env, named=keys),
    )


def plan_spawn(  # noqa: PLR0913 - what a plan depends on, all but one by keyword
    grounds: Grounds,
    *,
    task: Task,
    actor: Actor | None = None,
    flags: Flags = NO_FLAGS,
    agent: AgentFacts | None = None,
    inputs: tuple[Input, ...] = (),
    preview: bool = False,
) -> SpawnPlan:
    """Decides what an attempt at a task would run. Pure.

    Args:
        actor: Whose attempt it is.
        agent: Null before the claim: what is not known yet shows as `<agent>`,
            `<session>`, and the token as `***`.
        inputs: What the task is to work from.
        preview: For `wg plan`: a missing program, folder or credential is listed in
            `problems` instead of refused.

    Raises:
        PlanError: No plan can be made, or (but for a preview) it could not run.
    """
    chosen, executor = choose_executor(grounds, task, actor, flags)
    model = choose_model(grounds, task, actor, flags, executor)
    if model.value is not None and (reason := executor.accepts(model.value)):
        message = (
            f"{task.id}: model {model.value} ({model.source}) does not go with "
            f"executor {chosen.value} ({chosen.source}): {reason}"
        )
        hint = f"change the model ({model.source}) or the executor ({chosen.source})"
        raise PlanError(message, hint=hint)
    endpoint, address = choose_endpoint(grounds, task, flags, executor)
    working_dir = choose_working_dir(grounds.host, task)
    facts = agent or before_the_claim(grounds.host)
    permissions, posture = choose_permissions(grounds, executor)
    job = Job(
        task=task.id,
        agent=facts.id,
        workspace=working_dir.value,
        prompt_file=f"{facts.folder}/prompt.md",
        prompt=facts.prompt,
        model=model.value or "",
        endpoint=address.url if address else "",
        api_key_env=address.api_key_env if address else "",
        session=facts.session if goes_on(executor, kept_open=facts.kept_open) else "",
        new_session=facts.new_session,
        permissions=grounds.layered.settings.agents.permissions,
        tools=",".join(tools_of(task)),
        tool_rules="".join(f',"{escaped(tool)}":"allow"' for tool in tools_of(task)),
        enclosed=grounds.layered.settings.sandbox.kind != "none",
        metered=facts.metered,
        kept_open=facts.kept_open,
        workspace_escaped=escaped(working_dir.value),
        wg_dir_escaped=escaped(grounds.host.wg_dir),
        exec=task.spec.exec or "",
        python=grounds.host.python,
    )
    command = _command(task, executor, job)
    draft = Draft(
        host=grounds.host,
        task=task,
        actor=actor,
        flags=flags,
        executor=executor,
        model=model,
        endpoint=endpoint,
        address=address,
        working_dir=working_dir,
        permissions=permissions,
        posture=posture,
        job=job,
        inputs=inputs,
    )
    env = _environment(draft, facts, grounds.env[executor.name])
    credentials = executor.credentials.files if executor.credentials else ()
    enclosure = choose_enclosure(
        grounds,
        task.id,
        working_dir.value,
        agent_folder=facts.folder,
        credentials=credential_files(credentials, env, grounds.host.home),
        copies=copies_of(draft),
    )
    program = _locate(command[0], env["PATH"].value, working_dir.value, grounds.host)
    lacks = find_lacks(draft, env)
    if program is None:
        message = (
            f"{task.id}: {command[0]}, the program of executor {chosen.value} "
            f"({chosen.source}), is not there"
        )
        hint = f"install it, or name its path in [executors.{chosen.value}].argv"
        missing = wanted(command[0], working_dir.value)
        awaited = Awaited(kind="program", name=missing, path=env["PATH"].value)
        lacks.append(PlanError(message, hint=hint, awaits=(awaited,)))
    elif unseen := lacks_inside(grounds, enclosure, task.id, program):
        lacks.append(unseen)
    if enclosure.problem is not None:
        lacks.insert(0, enclosure.problem)
    if lacks and not preview:
        raise lacks[0]
    argv = (program or command[0], *command[1:])
    source = _source_of(grounds.layered, task, executor, "argv")
    if enclosure.room is not None:
        argv = enclose(enclosure.machine, enclosure.room, argv)
        source = f"{source}, in bwrap ({enclosure.kind.source})"
        for name, value in (
            ("WG_SOCKET", f"{SOCKET_DIR}/{posixpath.basename(grounds.host.socket)}"),
            ("WG_SANDBOX", enclosure.kind.value),
        ):
            env[name] = Chosen(value, "workgraph")
    return SpawnPlan(
        task=task.id,
        executor=chosen,
        model=model,
        endpoint=endpoint,
        working_dir=working_dir,
        account=choose_account(grounds.layered, executor, model.value, endpoint.value),
        permissions=permissions,
        argv=Chosen(argv, source),
        env=MappingProxyType(env),
        stdin=_stdin(grounds.layered, task, executor, job),
        timeout_s=choose_timeout(grounds.layered, task),
        sandbox=enclosure.kind,
        network=enclosure.network,
        prompt=executor.prompt,
        stream=Chosen(
            executor.stream, _source_of(grounds.layered, task, executor, "stream")
        ),
        session=job.session
        or (job.new_session if executor.chooses_session else "")
        or None,
        resumes=bool(job.session),
        problems=(
            *(lack.message for lack in lacks),
            *find_unused(draft),
        ),
    )


def plan_gate(grounds: Grounds, task: Task, folder: str) -> tuple[str, ...]:
    """What goes before a task's `--verify` commands: its sandbox, or nothing. Pure.

    A gate gets no socket in it: without a token it would speak as the operator.

    Raises:
        PlanError: The sandbox that is asked for can't be had.
    """
    enclosure = choose_enclosure(grounds, task.id, folder)
    if enclosure.room is None:
        return ()
    if enclosure.problem is not None:
        raise enclosure.problem
    return enclose_gate(enclosure.machine, enclosure.room)


def before_the_claim(host: Host, session: str = "") -> AgentFacts:
    """What stands for what is not known yet, in a plan that is only shown.

    Args:
        host: This machine.
        session: The session that the attempt would go on with; empty: none.
    """
    return AgentFacts(
        id="<agent>",
        attempt=0,
        token=MASK,
        folder=f"{host.wg_dir}/agents/<agent>",
        session=session,
        new_session="<session>",
        prompt="<prompt>",
    )


def _command(task: Task, executor: Executor, job: Job) -> tuple[str, ...]:
    if executor.name == SHELL and not job.exec:
        message = f"{task.id}: executor {SHELL} runs a command, and the task has none"
        hint = f"wg edit {task.id} --exec CMD, or choose another executor"
        raise PlanError(message, hint=hint)
    command = executor.command(job)
    if not command or not command[0]:
        message = f"{task.id}: executor {executor.name} gives no program to run"
        raise PlanError(message, hint=f"mend [executors.{executor.name}].argv")
    if any("\0" in part for part in command):
        message = f"{task.id}: an argument of the command holds a NUL character"
        raise PlanError(message, hint=f"take it out: wg edit {task.id}")
    return command


def _environment(
    draft: Draft, facts: AgentFacts, base: Mapping[str, Chosen[str]]
) -> dict[str, Chosen[str]]:
    host, task, address = draft.host, draft.task, draft.address
    env = dict(base)
    for name, template in draft.posture.env.items():
        env[name] = Chosen(fill_text(template, draft.job), draft.permissions.source)
    if address is not None and (key := host.env.get(address.api_key_env)):
        env.setdefault(address.api_key_env, Chosen(key, f"endpoint {address.name}"))
    own = {
        "WG_DIR": host.wg_dir,
        "WG_SOCKET": host.socket,
        "WG_TASK_ID": task.id,
        "WG_AGENT_ID": facts.id,
        "WG_ATTEMPT": str(facts.attempt or "<attempt>"),
        "WG_ACTOR": draft.actor.name if draft.actor else "",
        "WG_EXECUTOR": draft.executor.name,
        "WG_MODEL": draft.job.model,
        "WG_TOKEN": facts.token,
        "WG_PROMPT_FILE": draft.job.prompt_file,
        "WG_WORKSPACE": draft.working_dir.value,
        "WG_BRANCH": "",
        "TMPDIR": f"{facts.folder}/tmp",  # noqa: S108 - in the agent's own folder
    }
    for name, value in own.items():
        env[name] = Chosen(value, "workgraph")
    for name, value in task.spec.env.items():
        checked = _checked_variable(task, name, value)
        if name == "PATH":
            checked = with_bin(host.bin_dir, value)
        env[name] = Chosen(checked, "task.env")
    return env


def _checked_variable(task: Task, name: str, value: str) -> str:
    hint = f"wg edit {task.id} --env NAME=VALUE"
    if not VARIABLE_NAME.fullmatch(name):
        message = f"{task.id}: {name!r} (task.env) can't be a variable's name"
        raise PlanError(message, hint=f"letters, digits and _ only: {hint}")
    if name.startswith("WG_"):
        message = f"{task.id}: {name} (task.env) is workgraph's to set"
        raise PlanError(message, hint=f"use another name: {hint}")
    if "\0" in value:
        message = f"{task.id}: {name} (task.env) holds a NUL character"
        raise PlanError(message, hint=hint)
    return value


def _stdin(layered: Layered, task: Task, executor: Executor, job: Job) -> Chosen[str]:
    if job.kept_open:
        return Chosen("pipe", _source_of(layered, task, executor, "chat"))
    what = "prompt" if executor.prompt == "stdin" else "/dev/null"
    return Chosen(what, _source_of(layered, task, executor, "prompt"))


def _locate(name: str, path: str, working_dir: str, host: Host) -> str | None:
    """The absolute path of a program, as the process itself would find it."""
    found = host.has_executable(wanted(name, working_dir), path)
    return None if found is None else posixpath.join(working_dir, found)


def _source_of(layered: Layered, task: Task, executor: Executor, key: str) -> str:
    if executor.name == SHELL and task.spec.exec:
        return "task.exec"
    setting = from_settings(layered, f"executors.{executor.name}.{key}")
    return f"executor {executor.name}" if setting.value is None else setting.source
