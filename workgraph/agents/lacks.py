"""What a plan lacks to run well: folders, logins, permissions, and what has no use.

All of it is found without doing anything: the host is asked by the functions that it
brings along.
"""

import posixpath
from collections.abc import Mapping

from msgspec import Struct

from workgraph.agents.choices import SHELL, Awaited, Flags, Host, PlanError
from workgraph.agents.environment import (
    Chosen,
    credential_files,
    missing_credentials,
)
from workgraph.agents.executor import Executor, Job, extra_remedy, module_of
from workgraph.agents.postures import Posture
from workgraph.graph.inputs import (
    MISSING_INPUT,
    Input,
    missing_artifact,
    missing_file,
    remedy_of,
)
from workgraph.graph.model import Actor, Task
from workgraph.settings import Endpoint


class Draft(Struct, frozen=True, kw_only=True):
    """What has been chosen, before it is looked at whether it can run."""

    host: Host
    task: Task
    actor: Actor | None
    flags: Flags
    executor: Executor
    model: Chosen[str | None]
    endpoint: Chosen[str | None]
    address: Endpoint | None
    working_dir: Chosen[str]
    permissions: Chosen[str | None]
    posture: Posture
    job: Job
    inputs: tuple[Input, ...] = ()


def wanted(name: str, working_dir: str) -> str:
    """A program as it is looked for: a path is seen from the working directory."""
    return posixpath.join(working_dir, name) if "/" in name else name


def find_lacks(draft: Draft, env: Mapping[str, Chosen[str]]) -> list[PlanError]:
    """What the host would have to have, and hasn't."""
    host, task_id, address = draft.host, draft.task.id, draft.address
    name, where = draft.executor.name, draft.working_dir
    lacks = _missing_inputs(draft)
    if not host.is_dir(where.value):
        message = (
            f"{task_id}: working directory {where.value} ({where.source}) is no folder"
        )
        hint = f"make it, or wg edit {task_id} --working-dir PATH"
        folder = Awaited(kind="folder", name=where.value)
        lacks.append(PlanError(message, hint=hint, awaits=(folder,)))
    if unmet := _missing_module(draft):
        lacks.append(unmet)
    needed = draft.executor.credentials
    if needed and (missing := missing_credentials(needed, env, host.home, host.exists)):
        message = f"{task_id}: executor {name} has no credentials: {missing}"
        hint = "log in with the client, or set one of the variables for wgd"
        files = tuple(
            Awaited(kind="file", name=file)
            for file in credential_files(needed.files, env, host.home)
        )
        lacks.append(PlanError(message, hint=hint, awaits=files))
    if refused := _refused_to_root(draft, env):
        lacks.append(refused)
    if address and address.api_key_env and address.api_key_env not in env:
        message = (
            f"{task_id}: endpoint {address.name} wants {address.api_key_env}: not set"
        )
        lacks.append(PlanError(message, hint=f"set {address.api_key_env} for wgd"))
    return lacks


def copies_of(draft: Draft) -> tuple[str, ...]:
    """The copies of artifacts that the task is given."""
    where = draft.working_dir.value
    copies = (
        one.read_path(draft.host.wg_dir, where) for one in draft.inputs if one.kept
    )
    return tuple(copy for copy in copies if draft.host.exists(copy))


def _missing_inputs(draft: Draft) -> list[PlanError]:
    """Inputs that are not recorded, or whose file is not there."""
    host, task = draft.host, draft.task
    lacks = []
    for one in draft.inputs:
        if one.missing:
            lacks.append(
                PlanError(
                    f"{task.id}: {missing_artifact(one)}",
                    hint=remedy_of(task.id, one),
                    code=MISSING_INPUT,
                    producer=one.producer,
                )
            )
            continue
        path = one.read_path(host.wg_dir, draft.working_dir.value)
        if (one.sha256 or one.producer is None) and not host.exists(path):
            lacks.append(
                PlanError(
                    f"{task.id}: {missing_file(one, path)}",
                    hint=remedy_of(task.id, one),
                    awaits=(Awaited(kind="file", name=path),),
                    code=MISSING_INPUT,
                )
            )
    return lacks


def _missing_module(draft: Draft) -> PlanError | None:
    """What its program needs of workgraph's own interpreter, and that has not."""
    module, name = module_of(draft.executor), draft.executor.name
    if not module or draft.host.has_module(module):
        return None
    remedy = extra_remedy(name)
    message = f"{draft.task.id}: executor {name} needs {module}: {remedy}"
    hint = "install it where workgraph itself is installed"
    awaited = Awaited(kind="module", name=module)
    return PlanError(message, hint=hint, awaits=(awaited,))


def _refused_to_root(draft: Draft, env: Mapping[str, Chosen[str]]) -> PlanError | None:
    """The posture that the client refuses to root, unless the user says otherwise."""
    word = draft.posture.root_word
    if not (word and draft.host.is_root) or (word in env and env[word].value == "1"):
        return None
    said = f"permissions {draft.permissions.value} ({draft.permissions.source})"
    message = f"{draft.task.id}: {draft.executor.name} refuses {said} to root"
    hint = (
        'set agents.permissions = "edits", or run wgd as another user; where a sandbox '
        f"is around wgd already, {word}=1 in its environment says so"
    )
    return PlanError(message, hint=hint)


def tools_of(task: Task) -> tuple[str, ...]:
    """The tools that a task's agent is allowed besides: an agent can't widen them."""
    return () if task.added_by else task.spec.tools


def find_unused(draft: Draft) -> list[str]:
    """What was asked for, and the executor has no use for, or can't keep."""
    flags, spec, name = draft.flags, draft.task.spec, draft.executor.name
    return [
        *_unkept(draft),
        *_unallowed_tools(draft),
        *(
            f"{draft.task.id}: {what} {asked} ({source}) is not used by executor {name}"
            for what, chosen, asked, source in (
                ("model", draft.model, flags.model, "command line"),
                ("model", draft.model, spec.model, "task.model"),
                ("endpoint", draft.endpoint, flags.endpoint, "command line"),
                ("endpoint", draft.endpoint, spec.endpoint, "task.endpoint"),
            )
            if asked and chosen.value is None
        ),
    ]


def _unkept(draft: Draft) -> list[str]:
    """What a posture does not keep in workgraph's own sandbox."""
    if not (draft.job.enclosed and draft.posture.lacks_inside):
        return []
    said = f"permissions {draft.permissions.value} ({draft.permissions.source})"
    name = draft.executor.name
    lacks = draft.posture.lacks_inside
    return [f"{draft.task.id}: {said} are not kept by {name} in a sandbox: {lacks}"]


def _unallowed_tools(draft: Draft) -> list[str]:
    """Tools of the task that its agent will not be allowed because of it."""
    task, executor = draft.task, draft.executor
    if not task.spec.tools or draft.posture.allows_all or executor.name == SHELL:
        return []
    named = f"{task.id}: tools {', '.join(task.spec.tools)} (task.tools)"
    if task.added_by:
        return [f"{named} allow nothing more: {task.added_by}, an agent, named them"]
    if not {"tools", "tool_rules"} & executor.placeholders(draft.job):
        return [f"{named} can't be allowed one by one by executor {executor.name}"]
    return []
