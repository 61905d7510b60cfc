"""Handlers of what workers leave behind: log, progress, artifacts."""

from workgraph.commands.context import Context, task_reply
from workgraph.commands.queries import list_log
from workgraph.graph import requests as r
from workgraph.graph.changes import ChangeKind
from workgraph.graph.errors import UsageError
from workgraph.graph.model import Artifact, Progress, Record
from workgraph.graph.replies import Reply
from workgraph.graph.times import to_rfc3339
from workgraph.store import reads, writes

_PERCENT_MAX = 100


def log(context: Context, request: r.Log) -> Reply:
    """Adds an entry to a task's log."""
    task = reads.task(context.tx, request.task or "")
    if request.message is None:
        return list_log(context, task.id)
    agent = context.caller.agent
    context.tx.emit(
        ChangeKind.TASK_LOGGED,
        task=task.id,
        agent=agent.id if agent else None,
        attempt=agent.attempt if agent else None,
        actor=agent.actor if agent else None,
        by=context.caller.by,
        reason=request.message,
    )
    return task_reply(context, task.id)


def report_progress(context: Context, request: r.ReportProgress) -> Reply:
    """Keeps how far the work is."""
    if not 0 <= request.percent <= _PERCENT_MAX:
        raise UsageError(
            f"{request.percent:g} is not a percentage", hint="write 0 to 100"
        )
    task = reads.task(context.tx, request.task or "")
    agent = context.caller.agent
    writes.set_progress(
        context.tx,
        task.id,
        Progress(percent=request.percent, message=request.message, at=context.tx.now),
    )
    context.tx.emit(
        ChangeKind.PROGRESS_REPORTED,
        task=task.id,
        agent=agent.id if agent else None,
        attempt=agent.attempt if agent else None,
        actor=agent.actor if agent else None,
        by=context.caller.by,
        reason=request.message,
        percent=request.percent,
    )
    return task_reply(context, task.id)


class HashedFile(Record, frozen=True, kw_only=True):
    """A file as it was found, before the transaction."""

    path: str
    sha256: str
    size: int


def record_artifact(
    context: Context, request: r.RecordArtifact, file: HashedFile
) -> Reply:
    """Records an output as it is now; the same name is recorded anew."""
    task = reads.task(context.tx, request.task or "")
    agent = context.caller.agent
    name = request.name or file.path.rsplit("/", 1)[-1]
    writes.record_artifact(
        context.tx,
        task.id,
        Artifact(
            name=name,
            path=file.path,
            sha256=file.sha256,
            size=file.size,
            agent=agent.id if agent else None,
        ),
    )
    context.tx.emit(
        ChangeKind.ARTIFACT_RECORDED,
        task=task.id,
        agent=agent.id if agent else None,
        attempt=agent.attempt if agent else None,
        by=context.caller.by,
        to=name,
        reason=f"{file.path} ({file.size} bytes, sha256 {file.sha256[:12]},"
        f" {to_rfc3339(context.tx.now)})",
    )
    return task_reply(context, task.id)
