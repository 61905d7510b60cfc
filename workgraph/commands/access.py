"""What an agent's token may do (CONTRACT §4). An operator may do everything."""

from typing import Final

from workgraph.graph import requests as r
from workgraph.graph.changes import ChangeKind
from workgraph.graph.errors import ConflictError, ForbiddenError
from workgraph.graph.model import Agent, AgentStatus, Task
from workgraph.graph.status import Status
from workgraph.store import agent_reads, reads
from workgraph.store.database import Tx

_READS: Final = (
    r.ShowTask,
    r.ListTasks,
    r.ListReady,
    r.ListBlocked,
    r.ExplainTask,
    r.GetTaskStatus,
    r.CheckGraph,
    r.ExportGraph,
    r.ListAgents,
    r.GetPlan,
    r.GetOutput,
    r.GetServiceStatus,
    r.GetConfig,
    r.ListConfig,
    r.Watch,
)
#: What an agent may do, and to its own task only.
_OWN: Final = (
    r.FinishTask,
    r.SubmitTask,
    r.FailTask,
    r.Log,
    r.Heartbeat,
    r.ReportProgress,
    r.RecordArtifact,
)
#: What such a request says, in the order in which it is kept.
_WORDS: Final = ("percent", "path", "name", "summary", "reason", "message")
#: Of these, what may still be said after the task has left the agent.
_HARMLESS: Final = (r.Log, r.Heartbeat)
#: What may be said twice: the second time changes nothing.
_HANDING_IN: Final = (r.FinishTask, r.SubmitTask)


def check_access(tx: Tx, agent: Agent, request: r.AnyRequest) -> None:
    """Refuses what this agent may not do.

    Raises:
        ForbiddenError: Its token does not reach that far.
        ConflictError: Its attempt has ended.
    """
    if isinstance(request, _READS) or (isinstance(request, r.Log) and request.list):
        return
    # Its attempt may have ended since its token was looked up.
    agent = agent_reads.by_number(tx, agent.number)
    if agent.status is AgentStatus.ENDED:
        raise ConflictError(
            f"the attempt of {agent.id} has ended",
            hint="its results are kept, and shown to the operator",
        )
    if isinstance(request, r.AddTask):
        return
    if not isinstance(request, _OWN):
        raise ForbiddenError(
            f"{agent.id} may not do that: it is the operator's",
            hint="an agent works on its own task, and may add tasks",
        )
    if request.task != agent.task:
        raise ForbiddenError(
            f"{agent.id} works on {agent.task}, not on {request.task}",
            hint=f"wg add a task for what is to be done to {request.task}",
        )
    task = reads.task(tx, agent.task)
    if task.claimed_by != agent.id and not isinstance(request, _HARMLESS):
        if isinstance(request, _HANDING_IN) and _is_handed_in(task, agent):
            return
        raise ConflictError(
            f"{agent.id} does not hold {agent.task} any more",
            hint=f"wg show {agent.task}",
        )


def keep_late_result(tx: Tx, agent: Agent, request: r.AnyRequest) -> None:
    """Writes down what an attempt wanted to say after its end, for the operator."""
    if not isinstance(request, _OWN) or request.task != agent.task:
        return
    said = [getattr(request, name, None) for name in _WORDS]
    tx.emit(
        ChangeKind.LATE_RESULT,
        task=agent.task,
        agent=agent.id,
        attempt=agent.attempt,
        actor=agent.actor,
        by=agent.id,
        to=str(request.__struct_config__.tag),
        reason=": ".join(str(word) for word in said if word is not None) or None,
    )


def _is_handed_in(task: Task, agent: Agent) -> bool:
    return task.last_agent == agent.id and task.status in {
        Status.DONE,
        Status.PENDING_REVIEW,
    }
