"""The end of an iteration: what a loop makes of its members, in their transaction.

`moves.move_task` asks here before a task becomes done. The last member of a loop waits
at the loop's gate instead; where the condition needs no command, it is decided at once.
"""

from workgraph.graph.changes import ChangeKind
from workgraph.graph.decisions import MoveTask
from workgraph.graph.loops import GATE, Loop, LoopEnd, condition, describe
from workgraph.graph.model import Agent, Failure, Outcome, Task
from workgraph.graph.status import Cause, Status, Verb
from workgraph.reactors.loops import Verdict, decide
from workgraph.store import agents, loops, reads, writes
from workgraph.store.database import Tx

#: What would make a task done.
_DONE = frozenset({Verb.FINISH, Verb.APPROVE})


def loop_ended_by(tx: Tx, task: Task, move: MoveTask) -> Loop | None:
    """The loop whose iteration a move would end; null where it ends none.

    Also null when an operator approves while the loop decides: that ends the loop.
    """
    if move.verb not in _DONE:
        return None
    loop = loops.live_of(tx, task.id)
    if loop is None or loop.last != task.id:
        return None
    if move.verb is Verb.APPROVE and task.gate == GATE:
        end_loop(tx, loop, LoopEnd.APPROVED, move.by)
        return None
    return loop


def hand_in(
    tx: Tx, loop: Loop, task: Task, cause: Cause, marks: writes.Marks
) -> Status:
    """The last member has passed all gates of its own: now the loop decides.

    Returns:
        Its status.
    """
    if task.status is Status.PENDING_REVIEW:
        writes.set_gate(tx, task.id, GATE)
    else:
        writes.change_status(tx, task, Verb.SUBMIT, cause, marks)
    if loop.until is None and loops.is_over(tx, loop):
        judge(tx, reads.task(tx, task.id), None, met=True, evidence="")
    return reads.task(tx, task.id).status


def judge(tx: Tx, task: Task, agent: Agent | None, *, met: bool, evidence: str) -> None:
    """Ends a loop or begins its next iteration: all of that or nothing.

    Args:
        tx: The transaction.
        task: The last member, at the gate of its loop.
        agent: Whose work it is.
        met: Whether `--until` has succeeded.
        evidence: What it has said.
    """
    loop = loops.live_of(tx, task.id)
    if loop is None:  # it was ended meanwhile
        writes.change_status(
            tx, task, Verb.APPROVE, Cause.MACHINE, writes.Marks(by="workgraph")
        )
        return
    if not loops.is_over(tx, loop):
        return
    verdict = decide(loop, met=met, evidence=evidence)
    if verdict.end is None:
        _iterate(tx, loop, evidence or None)
        return
    marks = _last_marks(task, agent, verdict)
    verb = Verb.APPROVE if verdict.succeeded else Verb.FAIL
    if agent is not None and not verdict.succeeded:
        agents.fail_gate(tx, agent)
    writes.change_status(tx, task, verb, Cause.MACHINE, marks)
    end_loop(tx, loop, verdict.end, "workgraph", evidence or None)


def end_loop(
    tx: Tx, loop: Loop, reason: LoopEnd, by: str, evidence: str | None = None
) -> None:
    """A loop is over; its members stay as they are."""
    loops.end(tx, loop, reason, evidence)
    said = f"{reason} after {loop.progress} of {', '.join(loop.ids)}"
    tx.emit(
        ChangeKind.LOOP_ENDED,
        task=loop.last,
        by=by,
        to=reason,
        reason=f"{said}: {evidence}" if evidence else said,
    )


def end_loop_of(tx: Tx, task: str, by: str) -> None:
    """Ends the loop that an abandoned task was in, if it was in one."""
    loop = loops.live_of(tx, task)
    if loop is not None:
        end_loop(tx, loop, LoopEnd.ABANDONED, by)


def start_loop(tx: Tx, loop: Loop) -> None:
    """Writes a loop down whose members are in order."""
    loops.insert(tx, loop)
    tx.emit(
        ChangeKind.LOOP_STARTED,
        task=loop.last,
        by=loop.by,
        reason=describe(loop),
    )


def _iterate(tx: Tx, loop: Loop, evidence: str | None) -> None:
    loops.begin_next(tx, loop, evidence)
    number = loop.iteration + 1
    progress = f"iteration {number} of {loop.most}"
    said = f"{progress} of {', '.join(loop.ids)}, {condition(loop)}"
    tx.emit(
        ChangeKind.LOOP_ITERATED,
        task=loop.last,
        to=str(number),
        reason=f"{said}: {evidence}" if evidence else said,
    )
    marks = writes.Marks(by="workgraph", reason=progress)
    for member in loop.ids:
        task = reads.task(tx, member)
        writes.change_status(tx, task, Verb.ITERATE, Cause.MACHINE, marks)


def _last_marks(task: Task, agent: Agent | None, verdict: Verdict) -> writes.Marks:
    summary = task.summary
    failure = None
    if not verdict.succeeded:
        failure = Failure(class_=Outcome.GATE, reason=verdict.note or "")
    elif verdict.note is not None:
        summary = "\n\n".join(part for part in (task.summary, verdict.note) if part)
    return writes.Marks(
        by="workgraph",
        reason=verdict.note,
        agent=agent.id if agent else None,
        attempt=agent.attempt if agent else None,
        actor=agent.actor if agent else None,
        failure=failure,
        summary=summary,
    )
