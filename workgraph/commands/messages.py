"""Handlers of messages: to leave one, to list them, to be done with them."""

from collections.abc import Sequence
from typing import Final

from msgspec import structs

from workgraph.commands.context import Context, task_data
from workgraph.graph.errors import ForbiddenError, NotFoundError, UsageError, UserError
from workgraph.graph.messages import (
    Message,
    MessageData,
    Receipt,
    ReceiptData,
    SendMessage,
)
from workgraph.graph.model import Agent, AgentStatus, Task
from workgraph.graph.replies import Reply, TaskData
from workgraph.graph.status import Status
from workgraph.graph.times import to_rfc3339
from workgraph.store import agent_reads, agents, messages, reads
from workgraph.store.database import Tx

#: What one attempt may leave at its task; far more than anybody reads.
MOST_MESSAGES: Final = 100
#: What `wg show` has of them.
MOST_SHOWN: Final = 5
#: Nobody works on these until somebody opens them again.
_OVER: Final = frozenset({Status.DONE, Status.FAILED, Status.ABANDONED})


def message(context: Context, request: SendMessage) -> Reply:
    """Leaves a message, or says of messages that an attempt is done with them."""
    _check_one_wish(request)
    task = reads.task(context.tx, request.task or "")
    if request.text is None:
        _acknowledge(context, task, request)
        return Reply(data=_shown(context, task.id))
    if not request.text.strip():
        raise UsageError("the message is empty", hint="wg msg --help")
    agent = context.caller.agent
    if agent is not None and messages.count_sent(context.tx, agent) >= MOST_MESSAGES:
        raise ForbiddenError(
            f"{agent.id} has left {MOST_MESSAGES} messages: there may be no more",
            hint="wg log notes what others may want to know",
        )
    messages.send(context.tx, task.id, request.text, by=context.caller.by, agent=agent)
    data = _shown(context, task.id)
    if task.status not in _OVER:
        return Reply(data=data)
    note = f"{task.id} is {task.status}: its next attempt is given it, if there is one"
    return Reply(data=data, notes=(f"{note} (wg retry {task.id})",))


def list_messages(context: Context, request: SendMessage) -> Reply:
    """All messages of a task. The attempt whose task it is has read them with that."""
    _check_one_wish(request)
    tx = context.tx
    task = reads.task(tx, request.task or "")
    found = messages.of_task(tx, task.id)
    data = _message_data(tx, task.id, found)
    caller = context.caller.agent
    if caller is not None and caller.task == task.id:
        agent = agent_reads.by_number(tx, caller.number)
        if agent.status is not AgentStatus.ENDED:
            agents.touch(tx, agent)
            others = [one.number for one in found if one.agent != agent.id]
            messages.note_read(tx, others, agent.number)
    return Reply(data=data)


def with_messages(context: Context, task: TaskData) -> TaskData:
    """The task with its last messages."""
    tx = context.tx
    last = messages.last_of(tx, task.id, MOST_SHOWN)
    return structs.replace(task, messages=_message_data(tx, task.id, last))


def _shown(context: Context, task_id: str) -> TaskData:
    return with_messages(context, task_data(context, task_id))


def _check_one_wish(request: SendMessage) -> None:
    wishes = (
        request.text is not None,
        request.list,
        bool(request.ack),
        request.ack_all,
    )
    if sum(wishes) != 1:
        what = "a message is missing" if not any(wishes) else "that is too much at once"
        raise UsageError(what, hint="say a text, --list, --ack N or --ack-all")


def _acknowledge(context: Context, task: Task, request: SendMessage) -> None:
    tx = context.tx
    agent = context.caller.agent or _person(tx, task)
    if agent is None:
        raise UserError(
            f"no person holds {task.id}: who works on it says what it is done with",
            hint=f"wg msg {task.id} --list shows what was read",
        )
    there = {one.number for one in messages.of_task(tx, task.id)}
    for number in request.ack:
        if number not in there:
            raise NotFoundError(
                f"{task.id} has no message {number}", hint=f"wg msg {task.id} --list"
            )
    if not request.ack_all:
        messages.acknowledge(tx, request.ack, agent.number)
    elif agent.human:
        messages.acknowledge(tx, sorted(there), agent.number)
    else:
        # What it was not given yet may have come in this moment.
        messages.settle(tx, agent)


def _person(tx: Tx, task: Task) -> Agent | None:
    if task.claimed_by is None:
        return None
    agent = agent_reads.by_id(tx, task.claimed_by)
    return agent if agent.human else None


def _message_data(
    tx: Tx, task_id: str, found: Sequence[Message]
) -> tuple[MessageData, ...]:
    receipts: dict[int, list[Receipt]] = {}
    if found:
        for one in messages.receipts_of(tx, task_id):
            receipts.setdefault(one.message, []).append(one)
    attempts = (
        {agent.number: agent.attempt for agent in agent_reads.agents_of(tx, task_id)}
        if receipts
        else {}
    )
    return tuple(
        MessageData(
            number=one.number,
            task=one.task,
            at=to_rfc3339(one.at),
            by=one.by,
            agent=one.agent,
            kind=one.kind,
            reply_to=one.reply_to,
            text=one.text,
            unread=one.kind != "question"
            and not any(r.read_at for r in receipts.get(one.number, ())),
            receipts=tuple(
                ReceiptData(
                    agent=f"agent-{receipt.agent}",
                    attempt=attempts.get(receipt.agent, 0),
                    told_at=_moment(receipt.told_at),
                    read_at=_moment(receipt.read_at),
                    acknowledged_at=_moment(receipt.acknowledged_at),
                )
                for receipt in receipts.get(one.number, ())
            ),
        )
        for one in found
    )


def _moment(micros: int | None) -> str | None:
    return None if micros is None else to_rfc3339(micros)
