"""Handlers of loops: making one, ending one, and a member's word that it converged."""

from collections.abc import Sequence
from itertools import pairwise

from workgraph.commands import iterations
from workgraph.commands.context import Answer, Context, Deferred, describe
from workgraph.graph import requests as r
from workgraph.graph.changes import ChangeKind
from workgraph.graph.errors import UsageError, UserError
from workgraph.graph.loops import GATE, MOST, Loop, LoopEnd, LoopTasks, Member
from workgraph.graph.model import Task
from workgraph.graph.replies import Reply
from workgraph.graph.status import SETTLED, Cause, Status, Verb
from workgraph.store import edges, loops, reads, writes
from workgraph.store.database import Tx

_MACHINERY = (".", "assign-", "reward-")


def loop_tasks(context: Context, request: LoopTasks) -> Reply:
    """Makes a loop of open tasks, or ends the one that a task is in.

    Raises:
        UsageError: It can't be meant so: no `--max`, two conditions, a task twice.
        UserError: A task can't be in it, or others would start in its middle.
        NotFoundError: A task does not exist.
    """
    ids = (request.task,) if isinstance(request.task, str) else request.task
    _check_usage(request, ids)
    if request.end:
        return _end(context, ids[0])
    tx, by = context.tx, context.caller.by
    for task in [reads.task(tx, task_id) for task_id in ids]:
        _check_member(tx, task)
    loops.refuse_outsiders(tx, ids)
    for before, after in pairwise(ids):
        if not any(edge.id == before for edge in reads.edges(tx, after)):
            edges.insert_edge(tx, after, before, "done", by)
    assert request.max is not None
    loop = Loop(
        number=0,
        most=request.max,
        until=request.until,
        until_converged=request.until_converged,
        by=by,
        created_at=tx.now,
        members=tuple(Member(task=task) for task in ids),
    )
    iterations.start_loop(tx, loop)
    return _reply(context, ids)


def keep_word(context: Context, request: r.FinishTask) -> str | None:
    """Keeps that whoever says `done` says that it has converged, too.

    To be said before the task is moved. When that is open again, the word is void.

    Returns:
        What to tell where it counts for nothing.
    """
    tx, caller = context.tx, context.caller
    if not request.converged:
        return None
    task = reads.task(tx, request.task or "")
    loop = loops.live_of(tx, task.id)
    if loop is None:
        return f"{task.id} is in no loop: --converged changes nothing"
    if not loop.until_converged:
        return f"the loop of {task.id} does not ask for it: --converged changes nothing"
    if task.status in {Status.OPEN, Status.IN_PROGRESS}:
        loops.set_converged(tx, task.id)
        agent = caller.agent
        tx.emit(
            ChangeKind.LOOP_CONVERGED,
            task=task.id,
            agent=agent.id if agent else None,
            attempt=agent.attempt if agent else None,
            by=caller.by,
            reason=loop.progress,
        )
    return None


def with_note(answer: Answer, note: str | None) -> Answer:
    """An answer that says one thing more."""
    if note is None:
        return answer
    if isinstance(answer, Deferred):
        finish = answer.finish
        if finish is None:
            return answer
        return Deferred(
            agents=answer.agents,
            finish=lambda later: _noted(finish(later), note),
            leftover=answer.leftover,
        )
    return _noted(answer, note)


def _noted(reply: Reply, note: str) -> Reply:
    return Reply(data=reply.data, notes=(*reply.notes, note), exit_code=reply.exit_code)


def _check_usage(request: LoopTasks, ids: Sequence[str]) -> None:
    if not ids:
        raise UsageError("the tasks are missing", hint="wg loop ID... --max N")
    if len(set(ids)) < len(ids):
        raise UsageError("a task is named twice", hint="wg loop ID... --max N")
    others = request.max is not None or request.until is not None
    if request.end:
        if others or request.until_converged or len(ids) > 1:
            raise UsageError(
                "--end takes one task and nothing else", hint="wg loop ID --end"
            )
        return
    if request.max is None:
        raise UsageError(
            "--max is missing: a loop has a last iteration",
            hint="wg loop ID... --max N",
        )
    if not 1 <= request.max <= MOST:
        raise UsageError(
            f"--max {request.max} is not between 1 and {MOST}",
            hint="wg loop ID... --max N",
        )
    if request.until is not None and request.until_converged:
        raise UsageError(
            "--until and --until-converged exclude each other",
            hint="choose one of them",
        )
    if request.until is not None and (
        not request.until.strip() or "\0" in request.until
    ):
        raise UsageError("--until is not a command", hint="--until 'make test'")


def _check_member(tx: Tx, task: Task) -> None:
    if task.id.startswith(_MACHINERY):
        raise UserError(
            f"{task.id} is the machinery's: it can't be in a loop",
            hint="name the tasks that it is for",
        )
    if loops.live_of(tx, task.id) is not None:
        raise UserError(
            f"{task.id} is in a loop already",
            hint=f"wg loop {task.id} --end ends that one",
        )
    if task.status is Status.OPEN:
        return
    if task.status in SETTLED:
        hint = f"wg retry {task.id} opens it again"
    elif task.status is Status.IN_PROGRESS:
        hint = f"wait until it has ended, or wg unclaim {task.id}"
    else:
        hint = f"wg why {task.id}"
    raise UserError(
        f"{task.id} is {task.status}: the members of a loop are open when it begins",
        hint=hint,
    )


def _end(context: Context, task_id: str) -> Reply:
    """The iteration that runs is the last; one that was over is approved."""
    tx, by = context.tx, context.caller.by
    reads.task(tx, task_id)
    loop = loops.live_of(tx, task_id)
    if loop is None:
        if loops.latest_of(tx, (task_id,)):
            return _reply(context, (task_id,))
        raise UserError(f"{task_id} is in no loop", hint="wg loop ID... --max N")
    iterations.end_loop(tx, loop, LoopEnd.ENDED, by)
    last = reads.task(tx, loop.last)
    if last.gate == GATE:
        marks = writes.Marks(by=by, reason="its loop was ended")
        writes.change_status(tx, last, Verb.APPROVE, Cause.OPERATOR, marks)
    return _reply(context, loop.ids)


def _reply(context: Context, ids: Sequence[str]) -> Reply:
    tasks = [reads.task(context.tx, task_id) for task_id in ids]
    return Reply(data=describe(context, tasks))
