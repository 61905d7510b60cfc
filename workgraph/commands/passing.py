"""What becomes of a task whose gate has been judged: the next gate, done, or open."""

import msgspec

from workgraph.commands.moves import move_task
from workgraph.graph.changes import ChangeKind
from workgraph.graph.decisions import MoveTask
from workgraph.graph.model import Agent, Outcome, Task
from workgraph.graph.status import Verb
from workgraph.graph.views import RetryPolicy
from workgraph.reactors import patrol
from workgraph.store import agents, messages, writes
from workgraph.store.database import Tx

#: Before one of these has spoken, the next attempt may have to know what was said.
UNSETTLED = frozenset({"outputs", "verify", "reward"})


def note_judged(
    tx: Tx, task: Task, agent: Agent | None, to: str, evidence: str
) -> None:
    """Tells the change log what a gate has said, and by which rule."""
    tx.emit(
        ChangeKind.GATE_JUDGED,
        task=task.id,
        agent=agent.id if agent else None,
        attempt=agent.attempt if agent else None,
        to=to,
        reason=f"{task.gate}" + (f": {evidence}" if evidence else ""),
    )


def let_pass(tx: Tx, task: Task, agent: Agent | None, policy: RetryPolicy) -> None:
    """A gate is passed: the next one comes, or the task is done."""
    following = patrol.gate_after(task.gate or "outputs", task, policy)
    if following is not None:
        writes.set_gate(tx, task.id, following)
    if agent is not None and following not in UNSETTLED:
        messages.settle(tx, agent)
    if following is None:
        move_task(tx, task, MoveTask(verb=Verb.APPROVE), agent=agent)


def send_back(
    tx: Tx, task: Task, agent: Agent | None, evidence: str, policy: RetryPolicy
) -> None:
    """A gate is not passed: open again with the evidence, or failed."""
    move = patrol.judge(Outcome.GATE, evidence, task, policy, tx.now)
    verb = Verb.REJECT if move.verb is Verb.REQUEUE else Verb.FAIL
    if agent is not None:
        agents.fail_gate(tx, agent)
    move_task(tx, task, msgspec.structs.replace(move, verb=verb), agent=agent)
