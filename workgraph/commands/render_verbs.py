"""What a command that changed something says: one short line for each thing changed."""

from pathlib import PurePosixPath

from workgraph.commands.escape import escape_line
from workgraph.commands.local import LocalCommand
from workgraph.commands.render_style import Style, as_lines
from workgraph.graph import requests as r
from workgraph.graph.assigning import AssignTask
from workgraph.graph.loops import LoopTasks
from workgraph.graph.messages import SendMessage
from workgraph.graph.replies import AgentData, Reply, TaskData


def verb_lines(request: r.AnyRequest | LocalCommand, reply: Reply, style: Style) -> str:
    """One line for each task or agent in the reply; nothing where there is none."""
    data = reply.data
    things = data if isinstance(data, list | tuple) else (data,)
    lines = []
    for thing in things:
        match thing:
            case TaskData():
                said = _said(request, thing, style)
                lines += [f"{escape_line(thing.id)}: {said}"] if said else []
            case AgentData():
                by = ", ".join(part for part in (thing.executor, thing.model) if part)
                lines.append(
                    f"{thing.id}: started on {escape_line(thing.task)}"
                    f" (attempt {thing.attempt}, {escape_line(by)})"
                )
            case _:
                pass
    return as_lines(lines)


def _said(  # noqa: C901, PLR0912 - one arm for each command
    request: r.AnyRequest | LocalCommand, task: TaskData, style: Style
) -> str:
    match request:
        case r.EditTask():
            return "changed"
        case r.LinkTask():
            return f"waits for {escape_line(request.after)}"
        case r.UnlinkTask():
            return f"no longer waits for {escape_line(request.after)}"
        case LoopTasks():
            return f"loop: {escape_line(task.loop.stands)}" if task.loop else ""
        case AssignTask():
            return f"assigned to {escape_line(task.actor)}" if task.actor else "cleared"
        case r.Pause():
            return "paused"
        case r.Resume():
            return "resumed"
        case r.Log():
            return "logged"
        case SendMessage():
            return "acknowledged"
        case r.Heartbeat():
            return ""
        case r.ReportProgress():
            return f"{request.percent:g} %"
        case r.RecordArtifact():
            name = request.name or PurePosixPath(request.path).name
            return f"recorded {escape_line(name)}"
        case r.RetryTasks() if request.dry_run:
            return "would be open again"
        case _:
            return _state(task, style)


def _state(task: TaskData, style: Style) -> str:
    status = style.word(task.status)
    if task.status == "in-progress":
        held_by = task.actor or task.agent
        return f"{status} ({escape_line(held_by)})" if held_by else status
    return f"{status} (paused)" if task.paused else status
