"""Who may do what (CONTRACT §4): an operator everything, an attempt what it needs.

`REACH` has a place for every request. What an attempt may do is asked inside of the
transaction that does it, by `check_access`; who is asking at all, by `check_origin`.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, get_args

import msgspec

from workgraph.commands.chat_token import (
    CHAT_REACH,
    ChatReach,
    check_chat_access,
    is_of_chat,
)
from workgraph.graph import chat_requests as chats
from workgraph.graph import identity_requests
from workgraph.graph import requests as r
from workgraph.graph.assigning import AssignTask
from workgraph.graph.canary_requests import GetCanaries, RunCanaries
from workgraph.graph.changes import ChangeKind
from workgraph.graph.errands import ErrandKind
from workgraph.graph.errors import ConflictError, ForbiddenError
from workgraph.graph.judging_requests import RunReward
from workgraph.graph.loops import LoopTasks
from workgraph.graph.match_requests import MatchActors
from workgraph.graph.messages import GetInbox, SendMessage
from workgraph.graph.model import Agent, AgentStatus, Record, Task
from workgraph.graph.prompt_requests import GetContext
from workgraph.graph.proposals import (
    Evolve,
    ListProposals,
    ReviewProposal,
    ShowProposal,
)
from workgraph.graph.reservations import ClaimTrajectory, GetTrajectory
from workgraph.graph.reward_requests import GetStats, RecordReward, ShowRewards
from workgraph.graph.status import Status
from workgraph.store import agent_reads, errands, reads
from workgraph.store.database import Tx


class Reach(StrEnum):
    """How far an attempt's token reaches."""

    #: Anything: reading is free.
    READ = "read"
    #: Its own task.
    OWN = "own"
    #: New tasks, within the limits.
    ADD = "add"
    #: What its task was made for: the one that it judges. The handler asks the rest.
    ERRAND = "errand"
    #: Nothing.
    OPERATOR = "operator"


#: Every request has its place here. What lists is a READ: ask `reach_of`.
REACH: Final[Mapping[type, Reach]] = MappingProxyType(
    {
        r.ShowTask: Reach.READ,
        r.ListTasks: Reach.READ,
        r.ListReady: Reach.READ,
        r.ListBlocked: Reach.READ,
        r.ExplainTask: Reach.READ,
        r.GetTaskStatus: Reach.READ,
        r.CheckGraph: Reach.READ,
        r.ExportGraph: Reach.READ,
        r.ListAgents: Reach.READ,
        r.GetSpend: Reach.READ,
        GetInbox: Reach.READ,
        r.GetPlan: Reach.READ,
        GetTrajectory: Reach.READ,
        GetContext: Reach.READ,
        MatchActors: Reach.READ,
        ShowRewards: Reach.READ,
        GetStats: Reach.READ,
        ListProposals: Reach.READ,
        ShowProposal: Reach.READ,
        Evolve: Reach.OPERATOR,
        ReviewProposal: Reach.OPERATOR,
        r.GetOutput: Reach.READ,
        r.ListExecutors: Reach.READ,
        r.GetServiceStatus: Reach.READ,
        r.GetConfig: Reach.READ,
        r.ListConfig: Reach.READ,
        r.Watch: Reach.READ,
        r.FinishTask: Reach.OWN,
        r.SubmitTask: Reach.OWN,
        r.FailTask: Reach.OWN,
        r.WaitTask: Reach.OWN,
        r.AskQuestion: Reach.OWN,
        r.Log: Reach.OWN,
        r.Heartbeat: Reach.OWN,
        r.ReportProgress: Reach.OWN,
        r.RecordArtifact: Reach.OWN,
        SendMessage: Reach.OWN,
        AssignTask: Reach.ERRAND,
        r.AddTask: Reach.ADD,
        RecordReward: Reach.ERRAND,
        r.EditTask: Reach.OPERATOR,
        RunReward: Reach.OPERATOR,
        r.LinkTask: Reach.OPERATOR,
        r.UnlinkTask: Reach.OPERATOR,
        LoopTasks: Reach.OPERATOR,
        r.ClaimTask: Reach.OPERATOR,
        r.UnclaimTask: Reach.OPERATOR,
        r.NextTask: Reach.OPERATOR,
        r.ApproveTask: Reach.OPERATOR,
        r.RejectTask: Reach.OPERATOR,
        r.RetryTasks: Reach.OPERATOR,
        r.AbandonTask: Reach.OPERATOR,
        r.Pause: Reach.OPERATOR,
        r.Resume: Reach.OPERATOR,
        r.AnswerQuestion: Reach.OPERATOR,
        r.ImportGraph: Reach.OPERATOR,
        r.BackUp: Reach.OPERATOR,
        r.Shutdown: Reach.OPERATOR,
        r.GraphChanged: Reach.OPERATOR,
        r.Tick: Reach.OPERATOR,
        r.Reconfigure: Reach.OPERATOR,
        r.Freeze: Reach.OPERATOR,
        r.Thaw: Reach.OPERATOR,
        r.SpawnAgent: Reach.OPERATOR,
        r.TryExecutor: Reach.OPERATOR,
        r.KillAgents: Reach.OPERATOR,
        ClaimTrajectory: Reach.OPERATOR,
        r.SetConfig: Reach.OPERATOR,
        **dict.fromkeys(identity_requests.READS, Reach.READ),
        **dict.fromkeys(identity_requests.WRITES, Reach.OPERATOR),
        **dict.fromkeys(get_args(chats.ChatRead), Reach.READ),
        **dict.fromkeys(get_args(chats.ChatWrite), Reach.OPERATOR),
        # Who is attached has a process kept for it.
        chats.AttachChat: Reach.OPERATOR,
        RunCanaries: Reach.OPERATOR,
        # The known answers are not for whoever is asked for them.
        GetCanaries: Reach.OPERATOR,
    }
)

#: Of which errand the agent may say it.
_ERRANDS: Final[Mapping[type, ErrandKind]] = MappingProxyType(
    {AssignTask: "assignment", RecordReward: "reward"}
)
#: What a late request of these says, in the order in which it is kept.
_WORDS: Final = (
    "percent",
    "path",
    "name",
    "summary",
    "reason",
    "message",
    "text",
    "until",
    "question",
)
#: What may still be said after the task has left the agent.
_HARMLESS: Final = (r.Log, r.Heartbeat, SendMessage)
#: What may be said twice: the second time changes nothing.
_HANDING_IN: Final = (r.FinishTask, r.SubmitTask)
_PARKING: Final = (r.WaitTask, r.AskQuestion)
_VERDICTS: Final = (
    r.FinishTask,
    r.SubmitTask,
    r.FailTask,
    *_PARKING,
    RecordReward,
)


class Origin(Record, frozen=True, kw_only=True):
    """What a caller's process tells of where it comes from; nothing: an operator."""

    #: The numbers of the agents that its ancestors, session, environment … name.
    agents: frozenset[int] = frozenset()
    #: It is a `--verify` command, or something else that the daemon itself has started.
    is_machinery: bool = False
    #: It was gone before it could be looked at.
    is_gone: bool = False


def reach_of(request: r.AnyRequest) -> Reach:
    """How far an attempt must reach to say this."""
    if isinstance(request, r.Log | SendMessage) and request.list:
        return Reach.READ
    return REACH.get(type(request), Reach.OPERATOR)


def check_origin(origin: Origin, agent: Agent | None) -> None:
    """Refuses whoever comes from an agent and does not show that agent's token.

    Args:
        origin: Where the caller's process comes from.
        agent: Whose token it has shown.

    Raises:
        ForbiddenError: It has shown none, or another's.
    """
    own = agent.number if agent is not None else None
    others = sorted(origin.agents - {own})
    if others:
        shown = f"the token of {agent.id}" if agent is not None else "no token"
        raise ForbiddenError(
            f"this comes from agent-{others[0]} and shows {shown}",
            hint="an agent speaks with the WG_TOKEN that it was started with",
        )
    if agent is not None:
        return
    if origin.is_machinery:
        raise ForbiddenError(
            "this comes from a command that the daemon runs: it may only read",
            hint="a --verify command says what it found by its exit status",
        )
    if origin.is_gone:
        raise ForbiddenError(
            "who asked has ended before the daemon could see whose process it was",
            hint="stay until the answer has come, or show a token",
        )


def check_access(tx: Tx, agent: Agent, request: r.AnyRequest) -> None:
    """Refuses what this agent may not do.

    Raises:
        ForbiddenError: Its token does not reach that far.
        ConflictError: Its attempt has ended.
    """
    reach = reach_of(request)
    if reach is Reach.READ:
        return
    # Its attempt may have ended since its token was looked up.
    agent = agent_reads.by_number(tx, agent.number)
    if agent.status is AgentStatus.ENDED:
        raise ConflictError(
            f"the attempt of {agent.id} has ended",
            hint="its results are kept, and shown to the operator",
        )
    if is_of_chat(agent):
        check_chat_access(tx, agent, request)
        return
    if reach is Reach.ADD:
        return
    if reach is Reach.OWN:
        _check_own(tx, agent, request)
        return
    if reach is Reach.ERRAND and _is_errand_about(tx, agent, request):
        _check_held(reads.task(tx, agent.task), agent, request)
        return
    raise ForbiddenError(
        f"{agent.id} may not do that: it is the operator's",
        hint="an agent works on its own task, and may add tasks",
    )


def keep_late_result(tx: Tx, agent: Agent, request: r.AnyRequest) -> None:
    """Writes down, whole, what an attempt wanted to say after its end."""
    agent = agent_reads.by_number(tx, agent.number)
    reach = reach_of(request)
    if reach is Reach.OWN and getattr(request, "task", None) == agent.task:
        said = [getattr(request, name, None) for name in _WORDS]
        words = ": ".join(str(word) for word in said if word is not None)
    elif agent.status is AgentStatus.ENDED and (
        reach is Reach.ADD
        or (is_of_chat(agent) and CHAT_REACH.get(type(request)) is ChatReach.MADE)
        or (reach is Reach.ERRAND and _is_errand_about(tx, agent, request))
    ):
        words = _as_json(request)
    else:
        return
    tx.emit(
        ChangeKind.LATE_RESULT,
        task=agent.task,
        agent=agent.id,
        attempt=agent.attempt,
        actor=agent.actor,
        by=agent.id,
        to=str(request.__struct_config__.tag),
        reason=words or None,
    )


def _is_plain(request: r.AnyRequest) -> bool:
    """An assigner names somebody: it neither clears nor has it chosen."""
    return not (isinstance(request, AssignTask) and (request.auto or request.clear))


def _check_own(tx: Tx, agent: Agent, request: r.AnyRequest) -> None:
    named = getattr(request, "task", None)
    if named != agent.task:
        raise ForbiddenError(
            f"{agent.id} works on {agent.task}, not on {named}",
            hint=f"wg add a task for what is to be done to {named}",
        )
    _check_held(reads.task(tx, agent.task), agent, request)


def _is_errand_about(tx: Tx, agent: Agent, request: r.AnyRequest) -> bool:
    errand = errands.find(tx, agent.task)
    return (
        errand is not None
        and errand.kind == _ERRANDS.get(type(request))
        and errand.about == getattr(request, "task", None)
        and _is_plain(request)
    )


def _check_held(task: Task, agent: Agent, request: r.AnyRequest) -> None:
    if task.claimed_by != agent.id and not isinstance(request, _HARMLESS):
        if isinstance(request, _HANDING_IN) and _is_handed_in(task, agent):
            return
        if isinstance(request, _PARKING) and _is_waiting(task, agent):
            return
        raise ConflictError(
            f"{agent.id} does not hold {agent.task} any more",
            hint=f"wg show {agent.task}",
        )
    if agent.stop is not None and isinstance(request, _VERDICTS):
        # What becomes of the task was said with the order to end its agent.
        raise ConflictError(
            f"{agent.id} is being ended: {agent.stop.reason or agent.stop.then}",
            hint="its results are kept, and shown to the operator",
        )


def _as_json(request: r.AnyRequest) -> str:
    """What was set of a request, in the words of the socket; never the token."""
    said = {
        field.name: getattr(request, field.name)
        for field in msgspec.structs.fields(request)
        if field.name != "token" and getattr(request, field.name) != field.default
    }
    return msgspec.json.encode(said).decode()


def _is_waiting(task: Task, agent: Agent) -> bool:
    return task.last_agent == agent.id and task.status is Status.WAITING


def _is_handed_in(task: Task, agent: Agent) -> bool:
    return task.last_agent == agent.id and task.status in {
        Status.DONE,
        Status.PENDING_REVIEW,
    }
