"""What an agent in a sandbox may not say (CONTRACT §4): the ways out that tasks are.

What it says is carried out by others, some of them outside: a command of its choice, a
variable, a program, or a path that it can't reach itself.
"""

import os
from typing import Final

from msgspec import UNSET, structs

from workgraph.graph.errors import ForbiddenError
from workgraph.graph.inputs import split_reference
from workgraph.graph.model import Agent, TaskSpec
from workgraph.graph.task_options import TaskOptions

_FORBIDDEN: Final = ("exec", "verify", "env", "executor", "endpoint", "until")
_HINT: Final = "do it within the task, or ask the operator: wg log"


def check_options(agent: Agent | None, request: TaskOptions) -> None:
    """Refuses the options that are not for an agent in a sandbox.

    Raises:
        ForbiddenError: One of them is given.
    """
    if agent is None or agent.sandbox is None:
        return
    for name in _FORBIDDEN:
        if getattr(request, name, UNSET) not in {UNSET, None}:
            raise ForbiddenError(
                f"{agent.id} is in a sandbox: it may not set {name}", hint=_HINT
            )


def check_files(agent: Agent | None, spec: TaskSpec, project_dir: str) -> TaskSpec:
    """Refuses files of a task outside the workspace of an agent in a sandbox.

    Returns:
        The task's options; it works where the agent does if they do not say where.

    Raises:
        ForbiddenError: One is outside, or leads there.
    """
    if agent is None or agent.sandbox is None:
        return spec
    workspace = agent.workspace or project_dir
    if spec.working_dir is None and workspace != project_dir:
        spec = structs.replace(spec, working_dir=workspace)
    folder = os.path.join(project_dir, spec.working_dir or "")
    inputs = (i for i in spec.inputs if split_reference(i) is None)
    for path in (folder, *inputs, *spec.outputs, *spec.context_files):
        check_path(agent, os.path.join(folder, path), project_dir)
    return spec


def check_path(agent: Agent, path: str, project_dir: str) -> None:
    """Refuses one path outside an agent's workspace, links in it followed.

    Raises:
        ForbiddenError: It is outside.
    """
    workspace = os.path.realpath(agent.workspace or project_dir)
    real = os.path.realpath(path)
    if not _is_below(real, workspace):
        raise ForbiddenError(
            f"{agent.id} is in a sandbox: {path} is outside its workspace", hint=_HINT
        )


def _is_below(path: str, folder: str) -> bool:
    return os.path.commonpath((path, folder)) == folder
