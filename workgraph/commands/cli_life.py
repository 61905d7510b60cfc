"""Commands that move a task through its life, or tell of it (CONTRACT §3.2)."""

from typing import Annotated

import typer

from workgraph.commands.cli_call import (
    TaskArgument,
    TaskOption,
    WgCommand,
    own_task,
    the_call,
    the_task,
)
from workgraph.graph.errors import UsageError
from workgraph.graph.requests import (
    AbandonTask,
    ApproveTask,
    ClaimTask,
    FailTask,
    FinishTask,
    Heartbeat,
    Log,
    NextTask,
    Pause,
    RecordArtifact,
    RejectTask,
    ReportProgress,
    Resume,
    RetryTasks,
    SubmitTask,
    UnclaimTask,
)

MOST_PERCENT = 100

Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; - reads it.")
]
OptionalReason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why; - reads it.")
]
Summary = Annotated[
    str | None,
    typer.Option("--summary", metavar="TEXT", help="What was concluded; - reads it."),
]


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    app.command("claim", cls=WgCommand)(_claim)
    app.command("unclaim", cls=WgCommand)(_unclaim)
    app.command("next", cls=WgCommand)(_next)
    app.command("done", cls=WgCommand)(_done)
    app.command("submit", cls=WgCommand)(_submit)
    app.command("approve", cls=WgCommand)(_approve)
    app.command("reject", cls=WgCommand)(_reject)
    app.command("fail", cls=WgCommand)(_fail)
    app.command("retry", cls=WgCommand)(_retry)
    app.command("abandon", cls=WgCommand)(_abandon)
    app.command("pause", cls=WgCommand)(_pause)
    app.command("resume", cls=WgCommand)(_resume)
    app.command("log", cls=WgCommand)(_log)
    app.command("heartbeat", cls=WgCommand)(_heartbeat)
    app.command("progress", cls=WgCommand)(_progress)
    app.command("artifact", cls=WgCommand)(_artifact)


def _claim(
    ctx: typer.Context,
    task: TaskArgument = None,
    other: TaskOption = None,
    actor: Annotated[
        str | None,
        typer.Option("--actor", metavar="NAME", help="For whom: an actor or any name."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also when it is not ready.")
    ] = False,
) -> ClaimTask:
    """Take a ready task."""
    return ClaimTask(task=the_task(ctx, task, other), actor=actor, force=force)


def _unclaim(
    ctx: typer.Context, task: TaskArgument = None, other: TaskOption = None
) -> UnclaimTask:
    """Give a claim back."""
    return UnclaimTask(task=the_task(ctx, task, other))


def _next(
    actor: Annotated[
        str | None,
        typer.Option("--actor", metavar="NAME", help="For whom: an actor or any name."),
    ] = None,
    claim: Annotated[
        bool, typer.Option("--claim", help="Claim it in the same step.")
    ] = False,
) -> NextTask:
    """Print the id of the best ready task."""
    return NextTask(actor=actor, claim=claim)


def _done(
    ctx: typer.Context,
    task: TaskArgument = None,
    other: TaskOption = None,
    summary: Summary = None,
    converged: Annotated[
        bool, typer.Option("--converged", help="Its loop has nothing left to do.")
    ] = False,
) -> FinishTask:
    """Say that the work is done."""
    return FinishTask(
        task=the_task(ctx, task, other), summary=summary, converged=converged
    )


def _submit(
    ctx: typer.Context,
    task: TaskArgument = None,
    other: TaskOption = None,
    summary: Summary = None,
) -> SubmitTask:
    """Give the work to a reviewer."""
    return SubmitTask(task=the_task(ctx, task, other), summary=summary)


def _approve(
    ctx: typer.Context, task: TaskArgument = None, other: TaskOption = None
) -> ApproveTask:
    """Accept work that is to be reviewed."""
    return ApproveTask(task=the_task(ctx, task, other))


def _reject(
    ctx: typer.Context,
    reason: Reason,
    task: TaskArgument = None,
    other: TaskOption = None,
) -> RejectTask:
    """Do not accept work that is to be reviewed."""
    return RejectTask(task=the_task(ctx, task, other), reason=reason)


def _fail(
    ctx: typer.Context,
    reason: Reason,
    task: TaskArgument = None,
    other: TaskOption = None,
) -> FailTask:
    """Give up a task."""
    return FailTask(task=the_task(ctx, task, other), reason=reason)


def _retry(
    *,
    tasks: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="The tasks.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All failed ones.")] = False,
    tag: Annotated[
        str | None,
        typer.Option(
            "--tag", metavar="TAG", help="Of the failed, those with this tag."
        ),
    ] = None,
    reason: OptionalReason = None,
    set_model: Annotated[
        str | None, typer.Option("--set-model", metavar="M", help="With this model.")
    ] = None,
    set_executor: Annotated[
        str | None,
        typer.Option("--set-executor", metavar="X", help="With this executor."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell which.")
    ] = False,
) -> RetryTasks:
    """Open ended tasks again with a new count of attempts."""
    if failed == bool(tasks):
        raise UsageError("name tasks, or say --failed, one of both")
    if tag is not None and not failed:
        raise UsageError("--tag goes with --failed")
    return RetryTasks(
        task=tuple(tasks or ()),
        failed=failed,
        tag=tag,
        reason=reason,
        set_model=set_model,
        set_executor=set_executor,
        dry_run=dry_run,
    )


def _abandon(
    ctx: typer.Context,
    task: TaskArgument = None,
    other: TaskOption = None,
    reason: OptionalReason = None,
    superseded_by: Annotated[
        str | None,
        typer.Option("--superseded-by", metavar="ID", help="Dependents wait for it."),
    ] = None,
) -> AbandonTask:
    """Say that nobody will do a task; dependents are released."""
    return AbandonTask(
        task=the_task(ctx, task, other), reason=reason, superseded_by=superseded_by
    )


def _pause(
    ctx: typer.Context, task: TaskArgument = None, other: TaskOption = None
) -> Pause:
    """Hold a task back."""
    return Pause(task=the_task(ctx, task, other))


def _resume(
    ctx: typer.Context, task: TaskArgument = None, other: TaskOption = None
) -> Resume:
    """Undo `pause`."""
    return Resume(task=the_task(ctx, task, other))


def _log(
    ctx: typer.Context,
    first: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The task.")
    ] = None,
    second: Annotated[
        str | None, typer.Argument(metavar="[MESSAGE]", help="What to log; - reads it.")
    ] = None,
    other: TaskOption = None,
    list: Annotated[bool, typer.Option("--list", help="Show the log.")] = False,
) -> Log:
    """Add an entry to a task's log, or list it."""
    words = [word for word in (first, second) if word is not None]
    if list:
        task = the_task(ctx, words.pop(0) if words else None, other)
        if words:
            raise UsageError("--list takes no message")
        return Log(task=task, list=True)
    task, words = task_and_words(ctx, words, other, most=1)
    if not words:
        raise UsageError("a message is missing")
    return Log(task=task, message=words[0])


def _heartbeat(
    ctx: typer.Context, task: TaskArgument = None, other: TaskOption = None
) -> Heartbeat:
    """Give a sign of life."""
    return Heartbeat(task=the_task(ctx, task, other))


def _progress(
    ctx: typer.Context,
    first: TaskArgument = None,
    second: Annotated[
        str | None, typer.Argument(metavar="PERCENT", help="0 to 100.")
    ] = None,
    third: Annotated[
        str | None, typer.Argument(metavar="[MESSAGE]", help="In words; - reads it.")
    ] = None,
    other: TaskOption = None,
) -> ReportProgress:
    """Tell how far the work is."""
    words = [word for word in (first, second, third) if word is not None]
    most = 2
    numbers = [_percent(word) is not None for word in words[:2]]
    if numbers == [False, True]:
        # A message may be left out, too: the number says which word is the percentage.
        most = 1
    task, words = task_and_words(ctx, words, other, most=most)
    if not words:
        raise UsageError("the percentage is missing")
    percent = _percent(words[0])
    if percent is None:
        raise UsageError(f"{words[0]!r} is not a percentage from 0 to 100")
    message = words[1] if len(words) > 1 else None
    return ReportProgress(task=task, percent=percent, message=message)


def _artifact(
    ctx: typer.Context,
    first: TaskArgument = None,
    second: Annotated[
        str | None, typer.Argument(metavar="PATH", help="The file.")
    ] = None,
    other: TaskOption = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Its name for other tasks."),
    ] = None,
) -> RecordArtifact:
    """Record an output: path, size and hash as they are now."""
    words = [word for word in (first, second) if word is not None]
    task, words = task_and_words(ctx, words, other, most=1)
    if not words:
        raise UsageError("the path of the file is missing")
    path = the_call(ctx).absolute(words[0])
    return RecordArtifact(task=task, path=path, name=name)


def task_and_words(
    ctx: typer.Context, words: list[str], option: str | None, *, most: int
) -> tuple[str, list[str]]:
    """Tells the task's id, which may be left out, from the words that follow it.

    Args:
        most: How many words there can be besides the id.
    """
    left_out = option is not None or (own_task(ctx) is not None and len(words) <= most)
    if not left_out:
        return the_task(ctx, words[0] if words else None, None), words[1:]
    if len(words) > most:
        raise UsageError(f"{words[-1]!r} is one word too many beside --task")
    return the_task(ctx, None, option), words


def _percent(word: str) -> float | None:
    try:
        percent = float(word)
    except ValueError:
        return None
    return percent if 0 <= percent <= MOST_PERCENT else None
