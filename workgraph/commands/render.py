"""From a reply to text, for people and as JSON; what tasks say is escaped."""

from collections.abc import Mapping, Sequence
from typing import Final, get_args

import msgspec

from workgraph.commands.escape import escape_line
from workgraph.commands.local import LocalCommand, ServiceStatusQuery
from workgraph.commands.render_actors import identity_text
from workgraph.commands.render_agents import agent_table
from workgraph.commands.render_canaries import calibration_page
from workgraph.commands.render_chats import chat_text, refusal_text
from workgraph.commands.render_context import context_page
from workgraph.commands.render_evolve import evolve_text
from workgraph.commands.render_executors import executor_table, trial_page
from workgraph.commands.render_matching import match_page
from workgraph.commands.render_messages import inbox_lines, message_lines
from workgraph.commands.render_rewards import (
    recorded_line,
    reward_lines,
    run_line,
    stats_page,
)
from workgraph.commands.render_service import (
    findings_lines,
    imported_lines,
    killed_lines,
    output_text,
    plan_page,
    service_page,
    setting_lines,
    setting_value,
)
from workgraph.commands.render_spend import spend_table
from workgraph.commands.render_style import Style, as_lines
from workgraph.commands.render_task import (
    blocked_table,
    log_lines,
    ready_table,
    task_page,
    task_table,
    why_page,
)
from workgraph.commands.render_trajectories import trajectory_table
from workgraph.commands.render_verbs import verb_lines
from workgraph.graph import requests as r
from workgraph.graph.assigning import AssignTask
from workgraph.graph.canary_requests import GetCanaries, RunCanaries
from workgraph.graph.chat_requests import ChatRequest, CreateChat, SendToChat
from workgraph.graph.errors import WorkgraphError
from workgraph.graph.identity_requests import Adds, IdentityRequest
from workgraph.graph.judging_requests import RunReward
from workgraph.graph.match_requests import MatchActors
from workgraph.graph.messages import GetInbox, SendMessage
from workgraph.graph.prompt_requests import GetContext
from workgraph.graph.proposals import (
    Evolve,
    ListProposals,
    ReviewProposal,
    ShowProposal,
)
from workgraph.graph.replies import (
    ChangeData,
    DoneData,
    FindingData,
    Reply,
    ServiceData,
    SettingData,
    StatusData,
    UnitsData,
)
from workgraph.graph.reservations import ClaimTrajectory, GetTrajectory
from workgraph.graph.reward_requests import GetStats, RecordReward, ShowRewards

__all__ = [
    "Style",
    "render",
    "render_change",
    "render_error",
    "render_json",
    "render_notes",
]

SCHEMA: Final = "wg/1"
_ENCODER: Final = msgspec.json.Encoder()
#: What these print is taken by scripts as it is: notes go to standard error.
_BARE: Final = (
    r.AddTask,
    r.EditTask,
    r.ClaimTask,
    AssignTask,
    SendMessage,
    r.FinishTask,
    r.NextTask,
    r.GetTaskStatus,
    r.ExportGraph,
    r.ImportGraph,
    r.GetConfig,
    r.GetOutput,
    GetContext,
    r.Watch,
    r.ListTasks,
    r.ListReady,
    r.ListBlocked,
    r.ListAgents,
    *get_args(Adds),
    CreateChat,
    SendToChat,
)


def render(request: r.AnyRequest | LocalCommand, reply: Reply, style: Style) -> str:
    """The text for standard output, ending in a newline unless it is empty."""
    text = _data_text(request, reply, style)
    if isinstance(request, _BARE):
        return text
    return text + _notes(reply)


def render_notes(request: r.AnyRequest | LocalCommand, reply: Reply) -> str:
    """Words for standard error, where standard output is for scripts; JSON or not."""
    if isinstance(request, SendToChat):
        return refusal_text(reply.data) + _notes(reply)
    return _notes(reply) if isinstance(request, _BARE) else ""


def render_json(reply: Reply) -> bytes:
    """One document, and a newline."""
    return _ENCODER.encode({"schema": SCHEMA, "data": reply.data}) + b"\n"


def render_change(change: ChangeData) -> bytes:
    """A line of `watch`."""
    return _ENCODER.encode(change) + b"\n"


def render_error(error: WorkgraphError, json: bool, prog: str = "wg") -> str:
    """An error for standard error: a line and a hint, or one JSON document."""
    if json:
        told = {"code": error.code, "message": error.message, "hint": error.hint}
        document = _ENCODER.encode({"schema": SCHEMA, "error": told})
        return document.decode() + "\n"
    lines = [f"{prog}: {escape_line(error.message)}"]
    if error.hint:
        lines.append(f"hint: {escape_line(error.hint)}")
    return as_lines(lines)


def _notes(reply: Reply) -> str:
    return as_lines([escape_line(note) for note in reply.notes])


def _data_text(  # noqa: C901, PLR0912 - one arm for each command
    request: r.AnyRequest | LocalCommand, reply: Reply, style: Style
) -> str:
    data = reply.data
    match request:
        case r.AddTask() | r.NextTask():
            return "" if data is None else f"{data.id}\n"
        case r.GetTaskStatus():
            return f"{_status_word(data)}\n"
        case r.ShowTask():
            return task_page(data, style)
        case r.ListTasks():
            return task_table(data, style)
        case r.ListReady():
            return ready_table(data, style)
        case r.ListBlocked():
            return blocked_table(data, style)
        case r.ExplainTask():
            return why_page(data, style)
        case r.CheckGraph():
            return findings_lines(data)
        case r.ListAgents():
            return agent_table(data, style)
        case r.GetSpend():
            return spend_table(data, style)
        case GetTrajectory() | ClaimTrajectory():
            return trajectory_table(data, style)
        case RecordReward():
            return recorded_line(data)
        case RunReward():
            return run_line(data)
        case ShowRewards():
            return reward_lines(data, style)
        case Evolve() | ReviewProposal() | ListProposals() | ShowProposal():
            return evolve_text(request, data, style)
        case GetStats():
            return stats_page(data, style)
        case r.ListExecutors():
            return executor_table(data, style)
        case r.TryExecutor():
            return trial_page(data)
        case r.Log(list=True):
            return log_lines(data, style)
        case SendMessage(list=True):
            return message_lines(data, style)
        case SendMessage(text=str()):
            return f"{data.messages[-1].number}\n"
        case GetInbox():
            return inbox_lines(data, style)
        case r.GetPlan():
            return plan_page(msgspec.to_builtins(data))
        case GetContext():
            return context_page(request, data, style)
        case MatchActors():
            return match_page(request, data, style)
        case RunCanaries() | GetCanaries():
            return calibration_page(data, style)
        case r.ExportGraph():
            return _export_text(data)
        case r.ImportGraph():
            return imported_lines(data)
        case r.GetOutput():
            return output_text(data, raw=request.raw)
        case r.KillAgents():
            return killed_lines(data, style)
        case r.Watch():
            changes = data if isinstance(data, list | tuple) else (data,)
            return "".join(render_change(change).decode() for change in changes)
        case r.GetConfig():
            return f"{setting_value(data.value)}\n"
        case r.ListConfig():
            return setting_lines(data, origin=request.origin)
        case r.SetConfig() if isinstance(data, SettingData):
            return setting_lines((data,), origin=False)
        case r.GetServiceStatus() | ServiceStatusQuery():
            return service_page(data, style)
        case _:
            return _other_text(request, reply, style)


def _other_text(
    request: r.AnyRequest | LocalCommand, reply: Reply, style: Style
) -> str:
    data = reply.data
    if isinstance(request, IdentityRequest):
        return identity_text(request, data, style)
    if isinstance(request, ChatRequest):
        return chat_text(request, data, style)
    match data:
        case None:
            return ""
        case DoneData():
            return f"{escape_line(data.message)}\n" if data.message else ""
        case UnitsData():
            return f"{escape_line(data.message)}\n"
        case ServiceData() if isinstance(request, r.Pause | r.Resume):
            return f"service: {'paused' if data.paused else 'resumed'}\n"
        case ServiceData():
            return service_page(data, style)
        case [FindingData(), *_]:
            return findings_lines(data)
        case str():
            return as_lines([escape_line(line) for line in data.splitlines()])
        case _:
            return verb_lines(request, reply, style)


def _status_word(data: StatusData | Mapping[str, str]) -> str:
    return str(data["status"] if isinstance(data, Mapping) else data.status)


def _export_text(data: str | bytes | Sequence[str]) -> str:
    """The lines as they are: JSON escapes what a terminal must not see."""
    if isinstance(data, bytes):
        return data.decode()
    return data if isinstance(data, str) else as_lines(data)
