"""The node of a chat in the graph: what becomes of it, and what may not be done to it.

It is open while the chat can be used and done when it is archived, so that tasks may
wait for that. Nobody works it off (CONTRACT §8).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import UNSET

from workgraph.graph import requests as r
from workgraph.graph.assigning import AssignTask
from workgraph.graph.chats import ARCHIVED_TAG, Chat
from workgraph.graph.errors import UserError
from workgraph.graph.judging_requests import RunReward
from workgraph.graph.loops import LoopTasks
from workgraph.graph.match_requests import MatchActors
from workgraph.graph.messages import SendMessage
from workgraph.graph.reservations import ClaimTrajectory, GetTrajectory
from workgraph.graph.reward_requests import RecordReward
from workgraph.graph.status import Cause, Status, Verb
from workgraph.store import chats, reads, writes
from workgraph.store.database import Tx

#: What is for work alone, in the words of the command.
_WORK: Final[Mapping[type, str]] = MappingProxyType(
    {
        r.LinkTask: "link",
        LoopTasks: "loop",
        AssignTask: "assign",
        r.ClaimTask: "claim",
        r.UnclaimTask: "unclaim",
        r.FinishTask: "done",
        r.SubmitTask: "submit",
        r.ApproveTask: "approve",
        r.RejectTask: "reject",
        r.FailTask: "fail",
        r.RetryTasks: "retry",
        r.AbandonTask: "abandon",
        r.Pause: "pause",
        r.Resume: "resume",
        r.WaitTask: "wait",
        r.AskQuestion: "ask",
        r.AnswerQuestion: "answer",
        r.ReportProgress: "progress",
        r.RecordArtifact: "artifact",
        r.SpawnAgent: "spawn",
        SendMessage: "msg",
        ClaimTrajectory: "claim-trajectory",
        GetTrajectory: "trajectory",
        MatchActors: "match",
        RecordReward: "reward record",
        RunReward: "reward run",
    }
)
#: What leads on instead, of a chat that can be used.
_INSTEAD: Final[Mapping[str, str]] = MappingProxyType(
    {
        "msg": "wg chat send {0} TEXT",
        "answer": "wg chat send {0} TEXT",
        "claim": "wg chat attach {0}",
        "spawn": "wg chat attach {0}",
        "pause": "wg chat archive {0}, or wg chat interrupt {0}",
        "link": "wg link TASK --after {0} is the other way round",
    }
)
_OTHERWISE: Final = "wg chat archive {0} puts it away"
#: What of a chat's node an edit may change.
_EDITABLE: Final = frozenset(
    {"task", "token", "title", "description", "executor", "model"}
)


def refuse_work(tx: Tx, request: r.AnyRequest) -> None:
    """Refuses what is for work, where the task that is named is a conversation.

    Raises:
        UserError: It is; the hint says what can be done instead.
    """
    if isinstance(request, r.EditTask):
        _check_edit(tx, request)
        return
    verb = _WORK.get(type(request))
    if verb is None or getattr(request, "list", False):
        return
    named = getattr(request, "task", None)
    for task in (named,) if isinstance(named, str) else named or ():
        chat = chats.of_task(tx, task)
        if chat is None:
            continue
        hint = _INSTEAD.get(verb, _OTHERWISE)
        if chat.archived_at is not None:
            hint = "wg chat restore {0} takes it up again"
        raise UserError(
            f"{task} is a conversation, which takes no wg {verb}",
            hint=hint.format(task),
        )


def _check_edit(tx: Tx, request: r.EditTask) -> None:
    chat = chats.of_task(tx, request.task or "")
    if chat is None:
        return
    if chat.archived_at is not None:
        raise UserError(
            f"{chat.task} is archived: a change would have no effect",
            hint=f"wg chat restore {chat.task}",
        )
    empty = r.EditTask()
    for name in request.__struct_fields__:
        if name in _EDITABLE or getattr(request, name) == getattr(empty, name):
            continue
        raise UserError(
            f"{chat.task} is a conversation: --{name.replace('_', '-')} is for work",
            hint="its title, description, executor and model can be changed",
        )
    if request.title is not UNSET and not request.title.strip():
        raise UserError("a chat needs a name", hint="give --title some words")
    has_command = reads.task(tx, chat.task).spec.exec is not None
    if has_command and (request.executor or request.model):
        raise UserError(
            f"{chat.task} is answered by a command: it has no executor and no model",
            hint="wg chat new NAME --executor X --model M begins another one",
        )


def put_away(
    tx: Tx, chat: Chat, by: str, *, purged: bool = False, reason: str | None = None
) -> None:
    """Archives a chat: its node is done, and tagged. Who answers is not ended here."""
    chats.archive(tx, chat, by, purged=purged, reason=reason)
    if not reads.is_taken(tx, chat.task):
        return
    _set_tag(tx, chat.task, by, archived=True)
    task = reads.task(tx, chat.task)
    if task.status is Status.OPEN:
        marks = writes.Marks(by=by, reason=reason or "archived")
        writes.change_status(tx, task, Verb.FINISH, Cause.OPERATOR, marks)


def take_up(tx: Tx, chat: Chat, by: str) -> None:
    """Restores a chat: its node is open again, and never ready."""
    chats.restore(tx, chat, by)
    _set_tag(tx, chat.task, by, archived=False)
    task = reads.task(tx, chat.task)
    if task.status is Status.DONE:
        marks = writes.Marks(by=by, reason="restored")
        writes.change_status(tx, task, Verb.RETRY, Cause.OPERATOR, marks)
    chats.park(tx, chat)


def _set_tag(tx: Tx, task_id: str, by: str, *, archived: bool) -> None:
    task = reads.task(tx, task_id)
    tags = tuple(tag for tag in task.spec.tags if tag != ARCHIVED_TAG)
    tags += (ARCHIVED_TAG,) if archived else ()
    if tags == task.spec.tags:
        return
    writes.update_spec(
        tx,
        task,
        writes.SpecUpdate(
            spec=writes.edited_spec(task.spec, tags=tags),
            priority=task.priority,
            paused=task.paused,
            actor=task.actor,
            actor_matched=task.actor_matched,
            not_before=task.not_before,
        ),
        by,
        "archived" if archived else "restored",
    )
