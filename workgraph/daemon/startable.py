"""What keeps `wg spawn` from starting an agent on a task, whatever the slots."""

from workgraph.commands.context import Context, task_facts
from workgraph.graph import readiness
from workgraph.graph.errors import ConflictError, UserError
from workgraph.graph.model import Task
from workgraph.graph.status import Status
from workgraph.store import agent_reads, trajectories


def check_startable(context: Context, task: Task) -> None:
    """Refuses to start what is not ready, or is held already.

    Raises:
        UserError: The task is not ready.
        ConflictError: Somebody has it, or its last agent is not gone.
    """
    if task.status is Status.IN_PROGRESS:
        raise ConflictError(
            f"{task.id} is in progress: {task.claimed_by}", hint=f"wg why {task.id}"
        )
    reasons = readiness.blocks_claim(task_facts(context.tx, task), context.tx.now)
    if reasons:
        raise UserError(
            f"{task.id} can't be started: "
            + "; ".join(reason.message for reason in reasons),
            hint=f"wg why {task.id}",
        )
    trajectories.check_start(context.tx, task.id)
    live = agent_reads.live_process_of(context.tx, task.id)
    if live is not None:
        raise ConflictError(
            f"{live.id}, the last agent of {task.id}, is not gone yet",
            hint="wait a moment, or wg kill it",
        )
