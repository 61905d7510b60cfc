"""What keeps `wg spawn` from starting an agent on a task, whatever the slots."""

import shlex

from workgraph.commands.context import Context, task_facts
from workgraph.graph import readiness
from workgraph.graph.errors import ConflictError, UserError
from workgraph.graph.model import Actor, Task
from workgraph.graph.status import Status
from workgraph.store import agent_reads, trajectories
from workgraph.store.database import Tx


def check_no_person(tx: Tx, task: Task, actor: Actor | None) -> None:
    """Refuses to start an agent where a person is to do it.

    Args:
        tx: The transaction.
        task: The task.
        actor: Who would work; null: whoever it is assigned to is no actor.

    Raises:
        UserError: It is a person, or a name that no actor bears.
    """
    name = actor.name if actor else trajectories.actor_for(tx, task.id, task.actor)
    if name is None or (actor is not None and not actor.human):
        return
    raise UserError(
        f"{task.id} is for {name}, a person: no agent is started for one",
        hint=f"wg claim {task.id} --actor {shlex.quote(name)}, or"
        f" wg spawn {task.id} --actor OTHER",
    )


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
