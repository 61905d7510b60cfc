"""The node of a chat in the graph: what becomes of it, and what may not be done to it.

It is open while the chat can be used and done when it is archived, so that tasks may
wait for that. Nobody works it off (CONTRACT §8).
"""

from typing import Final

from workgraph.graph.chats import ARCHIVED_TAG, Chat, chat_number
from workgraph.graph.errors import UserError
from workgraph.graph.status import Cause, Status, Verb
from workgraph.store import chats, reads, writes
from workgraph.store.database import Tx

#: What is said instead of what is refused; what is not here is for work alone.
_INSTEAD: Final = {
    "done": "wg chat archive {0}",
    "submit": "wg chat archive {0}",
    "fail": "wg chat archive {0}",
    "abandon": "wg chat archive {0}",
    "retry": "wg chat restore {0}",
    "msg": "wg chat send {0} TEXT",
    "pause": "wg chat interrupt {0}, or wg chat archive {0}",
}
_OTHERWISE: Final = "wg chat show {0}"


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


def refuse_for_chat(tx: Tx, task: str | None, verb: str) -> None:
    """Refuses what is for work, where a task is a conversation.

    Args:
        tx: The transaction.
        task: The id of the task.
        verb: What is to be done with it, as a command says it.

    Raises:
        UserError: It is a chat's.
    """
    if task is None or chat_number(task) is None:
        return
    chat = chats.of_task(tx, task)
    if chat is None:
        return
    raise UserError(
        f"{task} is a conversation: nobody works it off, so it takes no '{verb}'",
        hint=_INSTEAD.get(verb, _OTHERWISE).format(task),
    )


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
