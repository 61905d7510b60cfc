"""Whether a task can have the sandbox that the settings ask for, and which. Pure.

What is asked for and can't be had is refused, with the remedy: nothing ever runs
outside of a sandbox that should be inside of one.
"""

import posixpath
from collections.abc import Iterable

from msgspec import Struct

from workgraph.agents import sandbox
from workgraph.agents.choices import Grounds, PlanError, from_settings
from workgraph.agents.environment import Chosen
from workgraph.agents.sandbox import Machine, Room, contains


class Enclosure(Struct, frozen=True, kw_only=True):
    """The sandbox of one task."""

    kind: Chosen[str]
    network: Chosen[str]
    machine: Machine = Machine()
    #: Null where nothing is enclosed.
    room: Room | None = None
    #: Why it can't be had on this machine.
    problem: PlanError | None = None


def choose_enclosure(  # noqa: PLR0913 - what it is for, most of it by keyword
    grounds: Grounds,
    task_id: str,
    workspace: str,
    *,
    agent_folder: str = "",
    credentials: Iterable[str] = (),
    copies: tuple[str, ...] = (),
) -> Enclosure:
    """The sandbox for a workspace, from the settings and the machine.

    Args:
        agent_folder: The agent's; empty for a gate.
        credentials: Login files that its executor may read.
        copies: The artifacts that it is given.

    Raises:
        PlanError: It would not hold anything, or the settings name what is not there.
    """
    kind = from_settings(grounds.layered, "sandbox.kind")
    if kind.value == "none":
        return Enclosure(kind=kind, network=Chosen("host", "none (sandbox=none)"))
    host, settings = grounds.host, grounds.layered.settings.sandbox
    machine = host.sandbox_machine()
    problem = None
    if machine.problem:
        message = f"{task_id}: no sandbox bwrap ({kind.source}): {machine.problem}"
        problem = PlanError(message, hint=machine.remedy)
    _check_workspace(grounds, machine, task_id, workspace)
    named: dict[str, tuple[str, ...]] = {
        key: tuple(
            _checked_path(grounds, f"sandbox.{key}", path, workspace)
            for path in getattr(settings, key)
        )
        for key in ("readable", "writable")
    }
    room = Room(
        workspace=workspace,
        project_dir=host.project_dir,
        wg_dir=host.wg_dir,
        home=host.home,
        network=settings.network,
        agent_folder=agent_folder,
        socket_dir=sandbox.socket_dir(host.socket, host.wg_dir),
        readable=(
            *(path for path in credentials if host.exists(path)),
            *named["readable"],
        ),
        writable=named["writable"],
        copies=copies,
    )
    network = from_settings(grounds.layered, "sandbox.network")
    return Enclosure(
        kind=kind, network=network, machine=machine, room=room, problem=problem
    )


def lacks_inside(
    grounds: Grounds, enclosure: Enclosure, task_id: str, program: str
) -> PlanError | None:
    """Says if the program of the plan would not be found inside."""
    if enclosure.room is None:
        return None
    seen = sandbox.mounts(enclosure.machine, enclosure.room)
    for path in (program, grounds.host.real_path(program)):
        if not sandbox.shows(seen, path):
            return PlanError(
                f"{task_id}: {path} is not to be seen in the sandbox",
                hint="name its folder in [sandbox].readable",
            )
    return None


def _check_workspace(
    grounds: Grounds, machine: Machine, task_id: str, workspace: str
) -> None:
    host = grounds.host
    hint = f"work in a folder below: wg edit {task_id} --working-dir PATH"
    kept = {"your home": host.home} | {
        f"{mount.path} of the system": mount.path
        for mount in machine.system
        if mount.way == "--ro-bind"
    }
    for what, path in kept.items():
        if path and contains(workspace, path):
            message = (
                f"{task_id}: a sandbox around {workspace} would hold {what}:"
                " there would be nothing to keep out"
            )
            raise PlanError(message, hint=hint)
    real, real_project = host.real_path(workspace), host.real_path(host.project_dir)
    if contains(host.project_dir, workspace) and not contains(real_project, real):
        message = f"{task_id}: {workspace} leads out of the project, to {real}"
        raise PlanError(message, hint=f"wg edit {task_id} --working-dir {real}")


def _checked_path(grounds: Grounds, key: str, path: str, workspace: str) -> str:
    """A path of the settings, from the root on."""
    source = from_settings(grounds.layered, key).source
    first, _, rest = path.partition("/")
    full = posixpath.join(grounds.host.home, rest) if first == "~" else path
    full = posixpath.normpath(full)
    if not full.startswith("/"):
        message = f"{path} ({source}) is not a path from / or ~/ on"
        raise PlanError(message, hint=f"mend {key}")
    if contains(workspace, full):
        # By a link that an agent made there it would be any folder of the machine.
        message = f"{path} ({source}) is inside the workspace, which is writable"
        raise PlanError(message, hint=f"leave it out of {key}")
    if not grounds.host.exists(full):
        message = f"{full} ({source}) is not there"
        raise PlanError(message, hint=f"make it, or leave it out of {key}")
    return full
