"""What a sandboxed agent or a chat may not say (CONTRACT §4): the ways out of tasks.

What it says is carried out by others, some of them outside: a command of its choice, a
variable, a program, or a path that it can't reach itself.
"""

import os
from typing import Final

from msgspec import UNSET, structs

from workgraph.commands.chat_token import CHAT_HINT, is_of_chat
from workgraph.graph.errors import ForbiddenError
from workgraph.graph.inputs import split_reference
from workgraph.graph.model import Agent, TaskSpec
from workgraph.graph.task_options import TaskOptions

_FORBIDDEN: Final = ("exec", "verify", "env", "executor", "endpoint", "until")
_FILES: Final = ("working_dir", "input", "output", "context_file")
_HINT: Final = "do it within the task, or ask the operator: wg log"


def is_confined(agent: Agent) -> bool:
    """Whether what an agent says must not reach further than itself."""
    return agent.sandbox is not None or is_of_chat(agent)


def check_options(agent: Agent | None, request: TaskOptions) -> None:
    """Refuses the options that are not for an agent in a sandbox, nor for a chat.

    Raises:
        ForbiddenError: One of them is given.
    """
    if agent is None or not is_confined(agent):
        return
    for name in _FORBIDDEN:
        if getattr(request, name, UNSET) not in {UNSET, None}:
            raise ForbiddenError(
                f"{agent.id} {_why(agent)}: it may not set {name}", hint=_hint(agent)
            )


def check_files(agent: Agent | None, spec: TaskSpec, project_dir: str) -> TaskSpec:
    """Refuses files of a task outside the workspace of such an agent.

    Returns:
        The task's options; it works where the agent does if they do not say where.

    Raises:
        ForbiddenError: One is outside, or leads there.
    """
    if agent is None or not is_confined(agent):
        return spec
    workspace = agent.workspace or project_dir
    if spec.working_dir is None and workspace != project_dir:
        spec = structs.replace(spec, working_dir=workspace)
    folder = os.path.join(project_dir, spec.working_dir or "")
    inputs = (i for i in spec.inputs if split_reference(i) is None)
    for path in (folder, *inputs, *spec.outputs, *spec.context_files):
        check_path(agent, os.path.join(folder, path), project_dir)
    return spec


def check_changed_files(
    agent: Agent | None, request: TaskOptions, spec: TaskSpec, project_dir: str
) -> None:
    """The same for an edit, where it names files; what others have named may stay.

    Raises:
        ForbiddenError: One is outside, or leads there.
    """
    if any(getattr(request, name) is not UNSET for name in _FILES):
        check_files(agent, spec, project_dir)


def check_path(agent: Agent, path: str, project_dir: str) -> None:
    """Refuses one path outside an agent's workspace, links in it followed.

    Raises:
        ForbiddenError: It is outside.
    """
    workspace = os.path.realpath(agent.workspace or project_dir)
    real = os.path.realpath(path)
    if not _is_below(real, workspace):
        raise ForbiddenError(
            f"{agent.id} {_why(agent)}: {path} is outside its workspace",
            hint=_hint(agent),
        )


def _is_below(path: str, folder: str) -> bool:
    return os.path.commonpath((path, folder)) == folder


def _hint(agent: Agent) -> str:
    return CHAT_HINT if is_of_chat(agent) else _HINT


def _why(agent: Agent) -> str:
    return "is a chat's" if is_of_chat(agent) else "is in a sandbox"
