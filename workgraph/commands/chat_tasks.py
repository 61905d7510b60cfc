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
_SEND: Final = "wg chat send {0} TEXT"
_ATTACH: Final = "wg chat attach {0}"
_SHOW: Final = "wg chat show {0} says how it stands"
_WHO: Final = "wg chat show {0} says who answers"
_NOTE: Final = "wg log {0} TEXT leaves a note in its log"
_SAID: Final = "wg chat history {0} shows what was said"
_ALONE: Final = "leave it out: tasks alone go together"
_AWAY: Final = "wg chat archive {0} puts it away"
_AGAIN: Final = "wg chat restore {0} takes it up again"
#: What leads on instead, of a chat that can be used.
_INSTEAD: Final[Mapping[str, str]] = MappingProxyType(
    {
        "link": "wg link TASK --after {0} is the other way round",
        "loop": _ALONE,
        "claim-trajectory": _ALONE,
        "trajectory": _SAID,
        "assign": _WHO,
        "match": _WHO,
        "claim": _ATTACH,
        "spawn": _ATTACH,
        "unclaim": "wg chat interrupt {0} stops the answer that is being given",
        "pause": f"{_AWAY}, wg chat interrupt {{0}} stops the answer that is given",
        "resume": _SHOW,
        "retry": f"{_SEND} has it answer, {_SHOW}",
        "wait": f"{_SEND} --wait 5m waits for the reply",
        "ask": _SEND,
        "answer": _SEND,
        "msg": _SEND,
        "progress": _NOTE,
        "artifact": _NOTE,
        "reward record": _SAID,
        "reward run": _SAID,
    }
)
#: That is so of an archived one, too; with all else it has to be taken up again.
_STILL: Final = frozenset(
    {
        *("link", "loop", "claim-trajectory", "trajectory", "assign", "match"),
        *("progress", "artifact", "reward record", "reward run"),
    }
)
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
        hint = _INSTEAD.get(verb, _AWAY)
        if chat.archived_at is not None and verb not in _STILL:
            hint = _AGAIN
        what = "a" if chat.archived_at is None else "an archived"
        raise UserError(
            f"{task} is {what} conversation, which takes no wg {verb}",
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
