"""Requests to handlers: which function answers which request, inside a transaction."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, get_args

from msgspec import structs

from workgraph.commands import (
    assigning,
    calibration,
    chats,
    claiming,
    evolving,
    identities,
    inbox,
    judging_now,
    life,
    loops,
    messages,
    operate,
    queries,
    records,
    rewards,
    spending,
    standings,
    starters,
    tasks,
    trajectories,
    waits,
)
from workgraph.commands.access import check_access
from workgraph.commands.chat_tasks import refuse_work
from workgraph.commands.context import Answer, Context
from workgraph.commands.strangers import tell_of_stranger
from workgraph.graph import chat_requests as c
from workgraph.graph import identity_requests as q
from workgraph.graph import requests as r
from workgraph.graph.assigning import AssignTask
from workgraph.graph.canary_requests import GetCanaries
from workgraph.graph.judging_requests import RunReward
from workgraph.graph.loops import LoopTasks
from workgraph.graph.messages import GetInbox, SendMessage
from workgraph.graph.proposals import (
    Evolve,
    ListProposals,
    ReviewProposal,
    ShowProposal,
)
from workgraph.graph.reservations import ClaimTrajectory, GetTrajectory
from workgraph.graph.reward_requests import GetStats, RecordReward, ShowRewards
from workgraph.store import agents
from workgraph.store.identities import actor_name

#: Requests that change the graph, each in one transaction.
WRITES: Final[Mapping[type, Callable[[Context, Any], Answer]]] = MappingProxyType(
    {
        r.AddTask: tasks.add_task,
        r.EditTask: tasks.edit_task,
        r.LinkTask: tasks.link_task,
        r.UnlinkTask: tasks.unlink_task,
        LoopTasks: loops.loop_tasks,
        AssignTask: assigning.assign_task,
        r.ClaimTask: claiming.claim_task,
        r.UnclaimTask: life.unclaim_task,
        r.NextTask: claiming.next_task,
        r.FinishTask: life.finish_task,
        r.SubmitTask: life.submit_task,
        r.ApproveTask: life.approve_task,
        r.RejectTask: life.reject_task,
        r.FailTask: life.fail_task,
        r.RetryTasks: operate.retry_tasks,
        r.AbandonTask: life.abandon_task,
        r.Pause: operate.pause,
        r.Resume: operate.resume,
        r.AskQuestion: waits.ask_question,
        r.AnswerQuestion: waits.answer_question,
        r.Log: records.log,
        r.Heartbeat: life.heartbeat,
        r.ReportProgress: records.report_progress,
        SendMessage: messages.message,
        r.KillAgents: operate.kill_agents,
        ClaimTrajectory: trajectories.claim_trajectory,
        Evolve: evolving.evolve,
        ReviewProposal: evolving.review,
        **dict.fromkeys(get_args(q.Adds), identities.add_identity),
        **dict.fromkeys(get_args(q.Edits), identities.edit_identity),
        **dict.fromkeys(get_args(q.Removes), identities.remove_identity),
        q.InitActors: lambda context, _: starters.add_starters(context),
        RecordReward: rewards.record_reward,
        RunReward: judging_now.run_reward,
        c.CreateChat: chats.create_chat,
        c.SendToChat: chats.send_to_chat,
        c.AttachChat: chats.attach_chat,
        c.ArchiveChat: chats.archive_chat,
        c.RestoreChat: chats.restore_chat,
        c.InterruptChat: chats.interrupt_chat,
        c.PurgeChats: chats.purge_chats,
    }
)

#: Requests that only read, on the connection that can't write.
READS: Final[Mapping[type, Callable[[Context, Any], Answer]]] = MappingProxyType(
    {
        r.ShowTask: queries.show_task,
        r.ListTasks: queries.list_tasks,
        r.ListReady: lambda context, _: queries.list_ready(context),
        r.ListBlocked: lambda context, _: queries.list_blocked(context),
        r.ExplainTask: queries.explain,
        r.GetTaskStatus: queries.task_status,
        r.ListAgents: queries.list_agents,
        r.GetSpend: spending.spend,
        GetInbox: inbox.inbox,
        r.GetServiceStatus: queries.get_service_status,
        GetTrajectory: trajectories.get_trajectory,
        **dict.fromkeys(get_args(q.Lists), identities.list_identities),
        **dict.fromkeys(get_args(q.Shows), identities.show_identity),
        **dict.fromkeys(get_args(q.Traces), identities.trace_identity),
        GetCanaries: calibration.get_canaries,
        ShowRewards: rewards.show_rewards,
        GetStats: standings.actor_stats,
        ListProposals: evolving.list_proposals,
        ShowProposal: evolving.show_proposal,
        c.ListChats: chats.list_chats,
        c.ShowChat: chats.show_chat,
        c.GetChatHistory: chats.chat_history,
    }
)


def is_read(request: r.AnyRequest) -> bool:
    """Whether a request changes nothing. An agent that lists messages has read them."""
    if isinstance(request, SendMessage):
        return request.list and not request.token
    if isinstance(request, Evolve | c.PurgeChats):
        return request.dry_run
    if isinstance(request, ReviewProposal):
        return request.verdict is None
    return type(request) in READS or (isinstance(request, r.Log) and request.list)


def handle(context: Context, request: r.AnyRequest) -> Answer:
    """Answers a request inside its transaction.

    Raises:
        WorkgraphError: It can't be done as asked for.
    """
    agent = context.caller.agent
    request = _with_actor_named(context, request)
    if agent is not None:
        check_access(context.tx, agent, request)
    refuse_work(context.tx, request)
    if isinstance(request, r.Log) and request.list:
        return queries.list_log(context, request.task or "")
    if isinstance(request, SendMessage) and request.list:
        return messages.list_messages(context, request)
    handler = READS.get(type(request))
    if handler is not None:
        return handler(context, request)
    if agent is not None:
        agents.touch(context.tx, agent)
    answer = WRITES[type(request)](context, request)
    return tell_of_stranger(context, request, answer)


def _with_actor_named(context: Context, request: r.AnyRequest) -> r.AnyRequest:
    """The beginning of an actor's id becomes its name: tasks keep names."""
    named = getattr(request, "actor", None)
    if not isinstance(named, str) or isinstance(request, q.IdentityRequest):
        return request
    name = actor_name(context.tx, named)
    return request if name == named else structs.replace(request, actor=name)
