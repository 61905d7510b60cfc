"""What can be asked of workgraph: one struct per command, the same for `wg` and socket.

A request is a wish: typed and validated at the edge, carried out by a handler in one
transaction. `cmd` is the tag of the union, the fields are the command line's option
names with `_`, and the task is `task` (CONTRACT §5). Durations and moments are written
as on the command line (`30m`); `-` and relative paths are the client's business.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from workgraph.graph.assigning import AssignTask
from workgraph.graph.canary_requests import CanaryRequest
from workgraph.graph.chat_requests import ChatRequest
from workgraph.graph.identity_requests import IdentityRequest
from workgraph.graph.judging_requests import JudgementRequest
from workgraph.graph.loops import LoopTasks
from workgraph.graph.match_requests import MatchActors
from workgraph.graph.messages import GetInbox, SendMessage
from workgraph.graph.model import EdgeKind
from workgraph.graph.plan_requests import (
    GetPlan,
    ListExecutors,
    PlanOptions,
    SpawnAgent,
    TryExecutor,
)
from workgraph.graph.prompt_requests import GetContext
from workgraph.graph.proposals import ProposalCommand
from workgraph.graph.reservations import ClaimTrajectory, GetTrajectory
from workgraph.graph.service_requests import (
    Freeze,
    GetServiceStatus,
    GraphChanged,
    Reconfigure,
    Shutdown,
    Thaw,
    Tick,
)
from workgraph.graph.task_options import Request, TaskOptions, Texts

#: So that all are found in one place.
__all__ = [
    "Freeze",
    "GetPlan",
    "GetServiceStatus",
    "GraphChanged",
    "ListExecutors",
    "PlanOptions",
    "Reconfigure",
    "Shutdown",
    "SpawnAgent",
    "Thaw",
    "Tick",
    "TryExecutor",
]

SpendKey = Literal["task", "actor", "model", "day"]
#: One task's id, or several.
Ids = str | tuple[str, ...]


class AddTask(TaskOptions, frozen=True, kw_only=True, tag="add_task"):
    """Adds an open task; its id is given or made from the title."""

    title: str
    id: str | None = None
    after: Texts = ()
    independent: bool = False
    paused: bool = False


class EditTask(TaskOptions, frozen=True, kw_only=True, tag="edit"):
    """Changes what `add` sets. An empty text takes an optional value away."""

    task: str | None = None
    title: str | UnsetType = UNSET
    after: Texts | UnsetType = UNSET
    independent: bool | UnsetType = UNSET
    paused: bool | UnsetType = UNSET
    add_after: Texts = ()
    remove_after: Texts = ()
    add_tag: Texts = ()
    remove_tag: Texts = ()
    add_skill: Texts = ()
    remove_skill: Texts = ()


class LinkTask(Request, frozen=True, kw_only=True, tag="link"):
    """Makes a task wait for another one."""

    after: str
    task: str | None = None
    on: EdgeKind = "done"


class UnlinkTask(Request, frozen=True, kw_only=True, tag="unlink"):
    """Takes a dependency away."""

    after: str
    task: str | None = None


class ShowTask(Request, frozen=True, kw_only=True, tag="show"):
    """Everything about a task."""

    task: str | None = None


class ListTasks(Request, frozen=True, kw_only=True, tag="list"):
    """Tasks in every status; the machinery's only with `all`."""

    status: Texts = ()
    tag: str | None = None
    actor: str | None = None
    stale: bool = False
    all: bool = False


class ListReady(Request, frozen=True, kw_only=True, tag="ready"):
    """What can be worked on now, in the order of dispatch."""


class ListBlocked(Request, frozen=True, kw_only=True, tag="blocked"):
    """Open tasks that can't be worked on."""


class ExplainTask(Request, frozen=True, kw_only=True, tag="why"):
    """Every reason why a task is not running, or since when it does."""

    task: str | None = None


class GetTaskStatus(Request, frozen=True, kw_only=True, tag="task_status"):
    """The status, one bare word."""

    task: str | None = None


class CheckGraph(Request, frozen=True, kw_only=True, tag="check"):
    """Lint: what in the graph can never work."""


class ExportGraph(Request, frozen=True, kw_only=True, tag="export"):
    """The whole graph as JSON lines."""


class ImportGraph(Request, frozen=True, kw_only=True, tag="import"):
    """Takes JSON lines in, all or nothing."""

    text: str
    format: Literal["jsonl", "beads", "wg-rs"] = "jsonl"
    #: With `wg-rs`, what stands beside the file, by its path from there.
    files: Mapping[str, str] = field(default_factory=dict)


class BackUp(Request, frozen=True, kw_only=True, tag="backup"):
    """A consistent copy of the database in `file`, an absolute path."""

    file: str


class ClaimTask(Request, frozen=True, kw_only=True, tag="claim"):
    """Takes a ready task for a person or an actor."""

    task: str | None = None
    actor: str | None = None
    force: bool = False


class UnclaimTask(Request, frozen=True, kw_only=True, tag="unclaim"):
    """Gives a claim back."""

    task: str | None = None


class NextTask(Request, frozen=True, kw_only=True, tag="next"):
    """The best ready task for an actor."""

    actor: str | None = None
    claim: bool = False


class FinishTask(Request, frozen=True, kw_only=True, tag="done"):
    """The work is done; gates may follow."""

    task: str | None = None
    summary: str | None = None
    #: Its loop has nothing left to do.
    converged: bool = False


class SubmitTask(Request, frozen=True, kw_only=True, tag="submit"):
    """The work is to be seen by a person or an evaluator."""

    task: str | None = None
    summary: str | None = None


class ApproveTask(Request, frozen=True, kw_only=True, tag="approve"):
    """A reviewer accepts the work."""

    task: str | None = None


class RejectTask(Request, frozen=True, kw_only=True, tag="reject"):
    """A reviewer does not accept the work."""

    reason: str
    task: str | None = None


class FailTask(Request, frozen=True, kw_only=True, tag="fail"):
    """The worker gives up."""

    reason: str
    task: str | None = None


class RetryTasks(Request, frozen=True, kw_only=True, tag="retry"):
    """Opens ended tasks again with a new count of attempts."""

    task: Ids = ()
    failed: bool = False
    tag: str | None = None
    reason: str | None = None
    set_model: str | None = None
    set_executor: str | None = None
    dry_run: bool = False


class AbandonTask(Request, frozen=True, kw_only=True, tag="abandon"):
    """Nobody will do it; dependents are released, or wait for another one."""

    task: str | None = None
    reason: str | None = None
    superseded_by: str | None = None


class Pause(Request, frozen=True, kw_only=True, tag="pause"):
    """Holds a task back; without a task, the service."""

    task: str | None = None


class Resume(Request, frozen=True, kw_only=True, tag="resume"):
    """Undoes `pause`."""

    task: str | None = None


class WaitTask(Request, frozen=True, kw_only=True, tag="wait"):
    """Stops work on a task until a condition is met."""

    until: str
    task: str | None = None


class AskQuestion(Request, frozen=True, kw_only=True, tag="ask"):
    """Stops work on a task until an operator has answered."""

    question: str
    task: str | None = None


class AnswerQuestion(Request, frozen=True, kw_only=True, tag="answer"):
    """Answers the question that a task waits with."""

    text: str
    task: str | None = None


class Log(Request, frozen=True, kw_only=True, tag="log"):
    """Adds an entry to a task's log, or lists it."""

    task: str | None = None
    message: str | None = None
    list: bool = False


class Heartbeat(Request, frozen=True, kw_only=True, tag="heartbeat"):
    """A sign of life, nothing else."""

    task: str | None = None


class ReportProgress(Request, frozen=True, kw_only=True, tag="progress"):
    """How far the work is, 0 to 100."""

    percent: float
    task: str | None = None
    message: str | None = None


class RecordArtifact(Request, frozen=True, kw_only=True, tag="artifact"):
    """Records an output; `path` is absolute or relative to the workspace."""

    path: str
    task: str | None = None
    name: str | None = None


class ListAgents(Request, frozen=True, kw_only=True, tag="agents"):
    """Agents, newest last."""

    alive: bool = False


class GetSpend(Request, frozen=True, kw_only=True, tag="spend"):
    """What agents have used: tokens and dollars."""

    by: SpendKey = "task"
    #: The first day that counts: a date, a moment, or how long ago.
    since: str | None = None
    #: Only of this task, and of what its agents have added.
    task: str | None = None


class KillAgents(Request, frozen=True, kw_only=True, tag="kill"):
    """Ends agents with their whole process trees."""

    agent: Ids = ()
    all: bool = False
    requeue: bool = False
    fail: bool = False
    force: bool = False


class GetOutput(Request, frozen=True, kw_only=True, tag="output"):
    """What an agent has written."""

    agent: str
    #: Goes on with what is written from then on, until the agent is gone.
    follow: bool = False
    raw: bool = False


class Watch(Request, frozen=True, kw_only=True, tag="watch"):
    """Changes as they are committed."""

    since: Annotated[int, Meta(ge=0, le=2**62)] | None = None
    task: str | None = None


class GetConfig(Request, frozen=True, kw_only=True, tag="config_get"):
    """One setting by dotted key."""

    key: str


class SetConfig(Request, frozen=True, kw_only=True, tag="config_set"):
    """Writes one setting into a file and reads the settings again."""

    key: str
    value: str
    globally: bool = False


class ListConfig(Request, frozen=True, kw_only=True, tag="config_list"):
    """All settings with their origins; `origin` shows them to people, too."""

    origin: bool = False


TaskCommand = (
    AddTask
    | EditTask
    | LinkTask
    | UnlinkTask
    | LoopTasks
    | AssignTask
    | ClaimTask
    | UnclaimTask
    | NextTask
    | FinishTask
    | SubmitTask
    | ApproveTask
    | RejectTask
    | FailTask
    | RetryTasks
    | AbandonTask
    | Pause
    | Resume
    | WaitTask
    | AskQuestion
    | AnswerQuestion
    | Log
    | Heartbeat
    | ReportProgress
    | RecordArtifact
    | SendMessage
    | ClaimTrajectory
    | JudgementRequest
    | ProposalCommand
)
GraphQuery = (
    ShowTask
    | ListTasks
    | ListReady
    | ListBlocked
    | ExplainTask
    | GetTaskStatus
    | CheckGraph
    | ExportGraph
    | ListAgents
    | GetSpend
    | GetInbox
    | GetPlan
    | GetContext
    | MatchActors
    | GetOutput
    | ListExecutors
    | GetTrajectory
)
ServiceCommand = (
    ImportGraph
    | BackUp
    | GetServiceStatus
    | Shutdown
    | GraphChanged
    | Tick
    | Reconfigure
    | Freeze
    | Thaw
    | SpawnAgent
    | TryExecutor
    | KillAgents
    | Watch
    | GetConfig
    | SetConfig
    | ListConfig
)
AnyRequest = (
    TaskCommand
    | GraphQuery
    | ServiceCommand
    | IdentityRequest
    | CanaryRequest
    | ChatRequest
)
