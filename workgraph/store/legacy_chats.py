"""The predecessor's chats among the tasks of a database: found, renamed, made chats.

It is done in one transaction, and there is nothing to find afterwards. What they were
in the middle of is ended: nobody works off a chat.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec import structs

from workgraph.graph import legacy
from workgraph.graph.changes import ChangeKind
from workgraph.graph.chats import Chat, chat_id, chat_number, parked_as_chat
from workgraph.graph.loops import LoopEnd
from workgraph.graph.model import (
    AgentStatus,
    Outcome,
    Record,
    Stop,
    StopThen,
    Task,
)
from workgraph.graph.status import Cause, Status, Verb
from workgraph.store import (
    agent_reads,
    agents,
    chats,
    loops,
    reads,
    trajectories,
    writes,
)
from workgraph.store.database import Tx

#: All that refers to a task by its id.
COLUMNS: Final = (
    ("edges", "task"),
    ("edges", "dep"),
    ("agents", "task"),
    ("artifacts", "task"),
    ("changes", "task"),
    ("changes", '"from"'),
    ("changes", '"to"'),
    ("rewards", "task"),
    ("choices", "task"),
    ("errands", "task"),
    ("errands", "about"),
    ("canary_cases", "task"),
    ("consumed", "task"),
    ("messages", "task"),
    ("waits", "task"),
    ("wait_terms", "task"),
    ("wait_terms", "target"),
    ("trajectory_steps", "task"),
    ("loop_members", "task"),
    ("tasks", "superseded_by"),
    ("tasks", "added_by"),
    ("tasks", "id"),
)
FIND_OLD: Final = "select id from tasks where id >= ? and id < ? order by seq"
#: Nodes that are named as chats are, and are none.
FIND_BARE: Final = """
select id from tasks
where id >= '.chat-' and id < '.chat.' and id not in (select task from chats)
order by seq
"""
#: Chats that can't be used, because their node is not there.
FIND_LOST: Final = """
select number from chats
where archived_at is null and not exists (select 1 from tasks where id = chats.task)
order by number
"""
DEFER: Final = "pragma defer_foreign_keys = on"
RENAME: Final = """
update {table}
set {column} = (select value from json_each(:names) where key = {table}.{column})
where {column} in (select key from json_each(:names))
"""
WITH_INPUTS: Final = """
select id, spec from tasks
where spec like '%.coordinator%' and json_extract(spec, '$.inputs') is not null
"""
SET_SPEC: Final = "update tasks set spec = ? where id = ?"
WITH_CONDITION: Final = """
select task, condition from waits where condition like '%task:.coordinator%'
"""
SET_CONDITION: Final = "update waits set condition = ? where task = ?"
UNPARK_PRODUCERS: Final = """
update tasks indexed by tasks_producer set parked = null, parked_until = null
where json_extract(parked, '$.producer') in (select key from json_each(:names))
"""
CLEAR: Final = """
update tasks
set paused = 0, actor = null, actor_matched = 0, reserved_for = null,
    not_before = null, retry_at = null, start_after = null,
    parked = ?, parked_until = null
where id = ?
"""
BY_ORIGIN: Final = """
select value, t.id
from chats c join tasks t on t.id = c.task, json_each(t.spec, '$.metadata')
where key = ? and type = 'text'
order by c.number desc
"""
ARCHIVE: Final = "update chats set archived_at = ? where number = ?"
SAY: Final = """
insert into chat_messages (chat, at, by, kind, text, reply_to, answered_at)
values (?, ?, ?, ?, ?, ?, ?)
"""

#: How a node that is in a status becomes one of a chat that can be used.
_TO_OPEN: Final = {
    Status.IN_PROGRESS: Verb.RELEASE,
    Status.WAITING: Verb.WAKE,
    Status.PENDING_REVIEW: Verb.REJECT,
}
_CAUSES: Final = {Verb.REJECT: Cause.OPERATOR, Verb.RETRY: Cause.OPERATOR}
_WHY: Final = "it is a chat now"


class Adopted(Record, frozen=True, kw_only=True):
    """A task that has become a chat."""

    old: str
    number: int
    usable: bool


def adopt(tx: Tx, by: str) -> list[Adopted]:
    """Makes chats of the predecessor's tasks, and of nodes that have lost theirs.

    Returns:
        What has become of which; empty when there is nothing to do.
    """
    rows = tx.all(FIND_OLD, (legacy.FIRST, legacy.BEHIND))
    old = [row[0] for row in rows if legacy.old_number(row[0]) is not None]
    bare = [row[0] for row in tx.all(FIND_BARE) if chat_number(row[0]) is not None]
    done = [_make_chat(tx, name, name, by) for name in bare]
    if old:
        numbers = legacy.new_numbers(
            old, lambda number: _is_taken(tx, number), lambda: chats.next_number(tx)
        )
        names = {name: chat_id(number) for name, number in numbers.items()}
        _rename(tx, names)
        done += [_make_chat(tx, name, names[name], by) for name in old]
    return done


def by_origin(tx: Tx, key: str) -> dict[str, str]:
    """The chats that an import has brought, by what they keep of where they were.

    Args:
        tx: The transaction.
        key: Under which of a node's metadata that is.
    """
    return dict(tx.all(BY_ORIGIN, (key,)))


def archive_lost(tx: Tx) -> list[int]:
    """Archives the chats whose node is not there; gives their numbers."""
    lost = [row[0] for row in tx.all(FIND_LOST)]
    for number in lost:
        chat = chats.by_number(tx, number)
        reason = "its task is not there"
        chats.archive(tx, chat, "workgraph", purged=False, reason=reason)
    return lost


def insert_history(tx: Tx, chat: int, history: Iterable[legacy.Said]) -> None:
    """Writes down what was said before; no message of it waits for an answer."""
    numbers: list[int] = []
    for one in history:
        reply_to = None if one.reply_to is None else numbers[one.reply_to]
        answered_at = one.at if one.kind == "message" else None
        params = (chat, one.at, one.by, one.kind, one.text, reply_to, answered_at)
        numbers.append(tx.insert(SAY, params))


def _is_taken(tx: Tx, number: int) -> bool:
    return chats.find(tx, number) is not None or reads.is_taken(tx, chat_id(number))


def _rename(tx: Tx, names: Mapping[str, str]) -> None:
    params = {"names": msgspec.json.encode(names).decode()}
    tx.run(DEFER)
    tx.run(UNPARK_PRODUCERS, params)
    for table, column in COLUMNS:
        tx.run(RENAME.format(table=table, column=column), params)
    for task, condition in tx.all(WITH_CONDITION):
        renamed = legacy.new_condition(condition, names.items())
        tx.run(SET_CONDITION, (renamed, task))
    for task, spec in tx.all(WITH_INPUTS):
        fields = msgspec.json.decode(spec)
        fields["inputs"] = [_new_reference(one, names) for one in fields["inputs"]]
        tx.run(SET_SPEC, (msgspec.json.encode(fields).decode(), task))


def _new_reference(reference: str, names: Mapping[str, str]) -> str:
    task, colon, name = reference.partition(":")
    return f"{names[task]}:{name}" if colon and task in names else reference


def _make_chat(tx: Tx, old: str, task_id: str, by: str) -> Adopted:
    task = reads.task(tx, task_id)
    usable = legacy.is_usable(task.status, task.spec.tags)
    _end_work(tx, task)
    task = _move(tx, reads.task(tx, task_id), usable=usable)
    spec = structs.replace(
        task.spec, tags=legacy.new_tags(task.spec.tags, usable=usable)
    )
    update = writes.SpecUpdate(
        spec=spec,
        priority=task.priority,
        paused=False,
        actor=None,
        actor_matched=False,
        not_before=None,
    )
    writes.update_spec(tx, task, update, by, _WHY)
    number = chat_number(task_id)
    assert number is not None
    parked = msgspec.json.encode(parked_as_chat(number)).decode() if usable else None
    tx.run(CLEAR, (parked, task_id))
    chat = Chat(number=number, task=task_id, created_at=task.created_at, by=by)
    chats.insert_chat(tx, chat)
    if not usable:
        tx.run(ARCHIVE, (task.completed_at or tx.now, number))
    tx.emit(
        ChangeKind.CHAT_CREATED,
        task=task_id,
        by=by,
        from_=old,
        reason=legacy.show(old, number, usable=usable),
    )
    return Adopted(old=old, number=number, usable=usable)


def _end_work(tx: Tx, task: Task) -> None:
    """Ends what only work can be in: a loop, a trajectory, an attempt."""
    loop = loops.live_of(tx, task.id)
    if loop is not None:
        loops.end(tx, loop, LoopEnd.ENDED, _WHY)
    trajectories.release(tx, task.id, _WHY)
    for agent in agent_reads.agents_of(tx, task.id):
        if agent.status is AgentStatus.ENDED:
            continue
        if agent.human:
            end = agents.End(outcome=Outcome.KILLED, reason=_WHY, counted=False)
            agents.record_end(tx, agent.number, end)
            agents.conclude(tx, agent.number, Outcome.KILLED, counted=False)
        elif agent.status is not AgentStatus.STOPPING:
            stop = Stop(then=StopThen.UNCLAIM, by="workgraph", reason=_WHY)
            agents.order_stop(tx, agent, stop, None)


def _move(tx: Tx, task: Task, *, usable: bool) -> Task:
    """Brings a node to open, or to done."""
    verbs: list[Verb] = []
    if task.status in _TO_OPEN:
        verbs.append(_TO_OPEN[task.status])
    elif task.status in {Status.FAILED, Status.ABANDONED}:
        verbs.append(Verb.RETRY)
    if not usable and task.status is not Status.DONE:
        verbs.append(Verb.FINISH)
    for verb in verbs:
        cause = _CAUSES.get(verb, Cause.MACHINE)
        marks = writes.Marks(by="workgraph", reason=_WHY)
        writes.change_status(tx, task, verb, cause, marks)
        task = reads.task(tx, task.id)
    return task
