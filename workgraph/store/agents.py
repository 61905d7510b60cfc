"""Writes to agents: one row for each attempt, from its intent to its last word."""

from typing import Final

from workgraph.graph.changes import ChangeKind
from workgraph.graph.errors import ConflictError
from workgraph.graph.model import (
    Agent,
    AgentStatus,
    Outcome,
    ProcessId,
    Record,
    Stop,
)
from workgraph.store.database import Tx
from workgraph.store.rows import AGENT_COLUMNS, decode_agent, to_json

#: The next agent's number, and which attempt of a task it would be.
NEXT: Final = """
select coalesce((select seq from sqlite_sequence where name = 'agents'), 0) + 1,
       (select coalesce(max(attempt), 0) + 1 from agents where task = ?)
"""
INSERT_AGENT: Final = """
insert into agents (
    task, attempt, actor, executor, model, endpoint, status, human, workspace,
    timeout_at, started_at, last_activity_at, plan, plan_line, token_sha256,
    stall_after, stall_at, sandbox, account, session, resumed,
    reserved_tokens, reserved_usd, actor_id
) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
RECORD_START: Final = """
update agents
set status = iif(status = 'starting', 'working', status),
    process = ?, folder_inode = coalesce(?, folder_inode),
    last_activity_at = max(last_activity_at, ?)
where number = ? and status <> 'ended'
returning task, attempt, actor
"""
RECORD_END: Final = """
update agents
set status = 'ended', exit_code = ?, signal = ?, outcome = ?,
    counted = ?, reason = coalesce(reason, ?), ended_at = ?, last_activity_at = ?
where number = ? and status <> 'ended'
returning task, attempt, actor
"""
CONCLUDE: Final = f"""
update agents set outcome = ?, counted = ?, concluded = 1, to_judge = ?
where number = ? and status = 'ended' and concluded = 0
returning {AGENT_COLUMNS.replace("a.", "")}
"""  # noqa: S608 - constants
SET_STOP: Final = """
update agents
set status = 'stopping', stop = ?, verdict = coalesce(verdict, ?),
    reason = coalesce(?, reason), timeout_at = null, stall_at = null,
    client_until = null
where number = ? and status <> 'ended'
"""
SET_VERDICT: Final = """
update agents set verdict = ?, reason = ?, timeout_at = ?, stall_at = null
where number = ? and status <> 'ended' and verdict is null
"""
FAIL_GATE: Final = """
update agents
set outcome = iif(outcome in ('done', 'submitted'), 'gate', outcome),
    verdict = iif(verdict in ('done', 'submitted'), 'gate', verdict)
where number = ?
"""
TOUCH: Final = """
update agents set last_activity_at = ?, last_sign = 'call', heard = 1 where number = ?
"""
SET_OUTPUT: Final = "update agents set output_bytes = ? where number = ?"
#: What was silent until now could be stalled a whole limit after its last sign.
SET_LOOKED: Final = """
update agents
set output_bytes = :output_bytes, looked_at = :now,
    last_sign = iif(coalesce(:written_at, 0) > last_activity_at, 'output', last_sign),
    last_activity_at = max(last_activity_at, coalesce(:written_at, 0)),
    stall_at = max(
        stall_at, max(last_activity_at, coalesce(:written_at, 0)) + stall_after)
where number = :number and status <> 'ended' and stall_at is not null
"""


class NewAgent(Record, frozen=True, kw_only=True):
    """An attempt that is about to begin."""

    task: str
    attempt: int
    actor: str | None
    executor: str
    model: str | None = None
    endpoint: str | None = None
    human: bool = False
    workspace: str | None = None
    timeout_at: int | None = None
    #: What a process is started with, frozen, as JSON; null for a person's claim.
    plan: str | None = None
    #: The same in one line, for people and the log.
    plan_line: str | None = None
    #: The hash of the token that its process speaks with.
    token_sha256: bytes | None = None
    #: What its process is locked into; null: nothing.
    sandbox: str | None = None
    #: How long it may give no sign of life, in microseconds; null is for ever.
    stall_after: int | None = None
    #: Whose limits hold for it.
    account: str | None = None
    #: What its client was told to call the conversation.
    session: str | None = None
    #: The session that it is to go on with.
    resumed: str | None = None
    #: What is set aside of the budgets that it is under.
    reserved_tokens: int | None = None
    reserved_usd: float | None = None
    #: The identity of its actor; null: it is none of ours.
    actor_id: str | None = None


def next_agent(tx: Tx, task: str) -> tuple[int, int]:
    """The next agent's number, and which attempt of this task it would be.

    No number is used twice, and the ordinal of attempts is never reset.
    """
    row = tx.one(NEXT, (task,))
    assert row is not None
    number, attempt = row
    return number, attempt


def insert_agent(tx: Tx, new: NewAgent) -> int:
    """Adds a row that says what is intended; gives the agent's number."""
    status = AgentStatus.WORKING if new.human else AgentStatus.STARTING
    return tx.insert(
        INSERT_AGENT,
        (
            new.task,
            new.attempt,
            new.actor,
            new.executor,
            new.model,
            new.endpoint,
            status,
            new.human,
            new.workspace,
            new.timeout_at,
            tx.now,
            tx.now,
            new.plan,
            new.plan_line,
            new.token_sha256,
            new.stall_after,
            None if new.stall_after is None else tx.now + new.stall_after,
            new.sandbox,
            new.account,
            new.session,
            new.resumed,
            new.reserved_tokens,
            new.reserved_usd,
            new.actor_id,
        ),
    )


def record_start(
    tx: Tx, number: int, process: ProcessId, folder_inode: int | None
) -> None:
    """The process exists. Nothing is written when its end is known already."""
    row = tx.returning(RECORD_START, (to_json(process), folder_inode, tx.now, number))
    if row is not None:
        task, attempt, actor = row
        tx.emit(
            ChangeKind.AGENT_STARTED,
            task=task,
            agent=f"agent-{number}",
            attempt=attempt,
            actor=actor,
            reason=f"pid {process.pid}",
        )


class End(Record, frozen=True, kw_only=True):
    """What is known of the end of an agent."""

    exit_code: int | None = None
    signal: int | None = None
    outcome: Outcome | None = None
    reason: str | None = None
    #: False for a start of which nothing came.
    counted: bool = True


def record_end(tx: Tx, number: int, end: End, by: str = "workgraph") -> bool:
    """The process is gone, or the person has let go. False: that was known already."""
    row = tx.returning(
        RECORD_END,
        (
            end.exit_code,
            end.signal,
            end.outcome,
            end.counted,
            end.reason,
            tx.now,
            tx.now,
            number,
        ),
    )
    if row is None:
        return False
    task, attempt, actor = row
    if end.signal is not None:
        how = f"signal {end.signal}"
    elif end.exit_code is not None:
        how = f"exit {end.exit_code}"
    else:
        how = end.reason or "ended"
    tx.emit(
        ChangeKind.AGENT_ENDED,
        task=task,
        agent=f"agent-{number}",
        attempt=attempt,
        actor=actor,
        by=by,
        to=end.outcome,
        reason=how,
    )
    return True


def conclude(
    tx: Tx, number: int, outcome: Outcome, *, counted: bool, to_judge: bool = False
) -> Agent:
    """The agent's end has been turned into its task's next status.

    Args:
        tx: The transaction.
        number: Its number.
        outcome: How its attempt ended.
        counted: Whether it uses up an attempt.
        to_judge: Whether somebody is to say how well it was done.

    Raises:
        ConflictError: It was already, or the agent has not ended.
    """
    row = tx.returning(CONCLUDE, (outcome, counted, to_judge, number))
    if row is None:
        raise ConflictError(f"agent-{number} was concluded already")
    return decode_agent(row)


def order_stop(tx: Tx, agent: Agent, stop: Stop, verdict: Outcome | None) -> None:
    """Keeps the order to end an agent, so that a crash can't lose it."""
    if not tx.run(SET_STOP, (to_json(stop), verdict, stop.reason, agent.number)):
        raise ConflictError(f"{agent.id} has ended already")
    tx.emit(
        ChangeKind.AGENT_STOPPING,
        task=agent.task,
        agent=agent.id,
        attempt=agent.attempt,
        actor=agent.actor,
        by=stop.by,
        to=stop.then,
        reason=stop.reason,
    )


def set_verdict(
    tx: Tx, agent: Agent, verdict: Outcome, reason: str | None, leave_by: int
) -> None:
    """Keeps what a worker says of its work; it is ended if it has not left by then."""
    tx.run(SET_VERDICT, (verdict, reason, leave_by, agent.number))


def fail_gate(tx: Tx, agent: Agent) -> None:
    """What the attempt has handed in did not pass: that is its outcome now."""
    tx.run(FAIL_GATE, (agent.number,))


def touch(tx: Tx, agent: Agent) -> None:
    """A sign of life."""
    tx.run(TOUCH, (tx.now, agent.number))


def note_output(tx: Tx, number: int, output_bytes: int) -> None:
    """Keeps how much an agent has written."""
    tx.run(SET_OUTPUT, (output_bytes, number))


def note_look(tx: Tx, number: int, output_bytes: int, written_at: int | None) -> None:
    """An agent that seemed silent was looked at; its output is a sign of life."""
    looked = {
        "number": number,
        "output_bytes": output_bytes,
        "now": tx.now,
        "written_at": written_at,
    }
    tx.run(SET_LOOKED, looked)
