"""Carrying out what the retry rule says of a task, for handlers and for the tick."""

from workgraph.commands import iterations
from workgraph.graph.decisions import MoveTask
from workgraph.graph.loops import GATE
from workgraph.graph.model import Agent, Task
from workgraph.graph.status import Cause, Status
from workgraph.store import edges, writes
from workgraph.store.database import Tx


def move_task(
    tx: Tx,
    task: Task,
    move: MoveTask,
    *,
    cause: Cause = Cause.MACHINE,
    agent: Agent | None = None,
    counted: bool = True,
    refused: bool = False,
    reserved_for: str | None = None,
) -> Status:
    """Applies a move to a task; dependents of a superseded one wait for its heir.

    The last member of a loop is not done before its loop has ended.
    """
    loop = iterations.loop_ended_by(tx, task, move)
    marks = writes.Marks(
        by=move.by,
        reason=move.reason,
        agent=agent.id if agent else None,
        attempt=agent.attempt if agent else None,
        actor=agent.actor if agent else None,
        retry_at=move.retry_at,
        failure=move.failure,
        gate=move.gate if loop is None else GATE,
        summary=move.summary,
        superseded_by=move.superseded_by,
        paused=True if move.paused else None,
        counted=counted,
        refused=refused,
        reserved_for=reserved_for,
    )
    if loop is not None:
        return iterations.hand_in(tx, loop, task, cause, marks)
    status = writes.change_status(tx, task, move.verb, cause, marks)
    if move.superseded_by is not None:
        edges.supersede(tx, task.id, move.superseded_by, move.by)
    return status
