"""Handlers of what workers leave behind: log, progress, artifacts."""

from collections.abc import Sequence
from typing import Final

from workgraph.commands.context import Context, task_reply
from workgraph.commands.queries import list_log
from workgraph.graph import requests as r
from workgraph.graph.changes import ChangeKind
from workgraph.graph.errors import UsageError
from workgraph.graph.inputs import FoundOutput, HashedFile
from workgraph.graph.model import Agent, Artifact, Outcome, Progress, Task
from workgraph.graph.replies import Reply
from workgraph.graph.times import to_rfc3339
from workgraph.store import artifacts, reads, writes
from workgraph.store.database import Tx

_PERCENT_MAX = 100
_HANDED_IN: Final = frozenset({Outcome.DONE, Outcome.SUBMITTED})


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


def check_artifact(context: Context, request: r.RecordArtifact) -> None:
    """Refuses what can't be recorded, before a file is read for it.

    Raises:
        NotFoundError: There is no such task.
        UsageError: The name is none.
    """
    reads.task(context.tx, request.task or "")
    if request.name is not None and not request.name.strip("/ "):
        raise UsageError(
            f"{request.name!r} is no name for an artifact",
            hint="leave --name out: then it is the file's",
        )


def record_artifact(
    context: Context, request: r.RecordArtifact, file: HashedFile
) -> Reply:
    """Records an output as it is now; the same name is recorded anew."""
    task = reads.task(context.tx, request.task or "")
    name = request.name or file.path.rsplit("/", 1)[-1]
    caller = context.caller
    keep_artifact(context.tx, task.id, name, file, agent=caller.agent, by=caller.by)
    return task_reply(context, task.id)


def keep_artifact(
    tx: Tx, task_id: str, name: str, file: HashedFile, *, agent: Agent | None, by: str
) -> None:
    """Records a file as a task's artifact, and says so in the change log."""
    artifacts.record(
        tx,
        task_id,
        artifacts.KeptArtifact(
            name=name,
            path=file.path,
            sha256=file.sha256,
            size=file.size,
            agent=agent.id if agent else None,
            kept=file.kept,
        ),
    )
    kept = "" if file.kept else ", no copy"
    tx.emit(
        ChangeKind.ARTIFACT_RECORDED,
        task=task_id,
        agent=agent.id if agent else None,
        attempt=agent.attempt if agent else None,
        by=by,
        to=name,
        reason=f"{file.path} ({file.size} bytes, sha256 {file.sha256[:12]}{kept},"
        f" {to_rfc3339(tx.now)})",
    )


def keep_outputs(
    tx: Tx, task: Task, found: Sequence[FoundOutput], agent: Agent | None
) -> None:
    """Records what a gate has found of the outputs that a task promises.

    What the attempt itself has recorded stays as it was then; what an earlier one has,
    of the same file, is recorded anew with it.
    """
    recorded = {one.name: one for one in artifacts.of_task(tx, task.id)}
    for output in found:
        file = output.file
        names = [name for name, one in recorded.items() if one.path == file.path]
        if not any(_is_by(recorded[name], agent) for name in names):
            names.append(output.name)
        for name in dict.fromkeys(names):
            before = recorded.get(name)
            if before is None or not (_is_by(before, agent) or _is_of(before, file)):
                keep_artifact(tx, task.id, name, file, agent=agent, by="workgraph")


def _is_by(artifact: Artifact, agent: Agent | None) -> bool:
    """Whether it was recorded by the attempt whose work is handed in."""
    if agent is None or artifact.agent != agent.id:
        return False
    return not {agent.outcome, agent.verdict}.isdisjoint(_HANDED_IN)


def _is_of(artifact: artifacts.KeptArtifact, file: HashedFile) -> bool:
    found = (file.path, file.sha256, file.kept)
    return (artifact.path, artifact.sha256, artifact.kept) == found
