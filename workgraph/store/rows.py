"""Rows to structs: the columns of a task and of an agent, in one place each."""

from typing import Any, Final, TypeVar

import msgspec

from workgraph.graph.model import (
    Agent,
    AgentStatus,
    ClientEnd,
    Failure,
    Outcome,
    Parked,
    ProcessId,
    Progress,
    Stop,
    Task,
    TaskSpec,
    Usage,
)
from workgraph.graph.status import Status
from workgraph.store.database import Row

T = TypeVar("T")

TASK_COLUMNS: Final = """
    t.seq, t.id, t.spec, t.status, t.priority, t.paused, t.unmet, t.chain,
    t.actor, t.actor_matched, t.claimed_by, t.claimed_at, t.reserved_for,
    t.attempts, t.starts, t.not_before, t.retry_at, t.start_after, t.parked,
    t.gate, t.failure, t.progress, t.usage, t.summary, t.superseded_by,
    t.added_by, t.depth, t.last_agent,
    t.created_at, t.started_at, t.completed_at, t.updated_at, t.quick
"""

AGENT_COLUMNS: Final = """
    a.number, a.task, a.attempt, a.actor, a.executor, a.model, a.endpoint,
    a.status, a.human, a.outcome, a.exit_code, a.signal, a.process,
    a.folder_inode, a.verdict, a.reason, a.stop, a.counted, a.workspace,
    a.timeout_at, a.started_at, a.ended_at, a.last_activity_at, a.usage,
    a.leftover, a.sandbox, a.stall_after, a.stall_at, a.looked_at, a.output_bytes,
    a.heard, a.account, a.session, a.resumed, a.answered, a.tool, a.said,
    a.client_end, a.trouble, a.client_until, a.reserved_tokens, a.reserved_usd,
    a.last_sign, a.actor_id
"""

encode: Final = msgspec.json.Encoder().encode
_spec: Final = msgspec.json.Decoder(TaskSpec).decode
_parked: Final = msgspec.json.Decoder(Parked).decode
_failure: Final = msgspec.json.Decoder(Failure).decode
_progress: Final = msgspec.json.Decoder(Progress).decode
_usage: Final = msgspec.json.Decoder(Usage).decode
decode_process: Final = msgspec.json.Decoder(ProcessId).decode
_client_end: Final = msgspec.json.Decoder(ClientEnd).decode
_stop: Final = msgspec.json.Decoder(Stop).decode
_processes: Final = msgspec.json.Decoder(tuple[ProcessId | int, ...]).decode
#: A list of texts.
decode_texts: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_NO_USAGE: Final = Usage()


def to_json(value: Any) -> str | None:  # noqa: ANN401 - any struct of ours
    """A struct as the text of a JSON column; null stays null."""
    return None if value is None else encode(value).decode()


def decode_task(row: Row) -> Task:
    """A task from its `TASK_COLUMNS`."""
    return Task(
        seq=row[0],
        id=row[1],
        spec=_spec(row[2]),
        status=Status(row[3]),
        priority=row[4],
        paused=bool(row[5]),
        unmet=row[6],
        chain=row[7],
        actor=row[8],
        actor_matched=bool(row[9]),
        claimed_by=row[10],
        claimed_at=row[11],
        reserved_for=row[12],
        attempts=row[13],
        starts=row[14],
        not_before=row[15],
        retry_at=row[16],
        start_after=row[17],
        parked=_parked(row[18]) if row[18] else None,
        gate=row[19],
        failure=_failure(row[20]) if row[20] else None,
        progress=_progress(row[21]) if row[21] else None,
        usage=_NO_USAGE if row[22] == "{}" else _usage(row[22]),
        summary=row[23],
        superseded_by=row[24],
        added_by=row[25],
        depth=row[26],
        last_agent=row[27],
        created_at=row[28],
        started_at=row[29],
        completed_at=row[30],
        updated_at=row[31],
        quick=row[32],
    )


def decode_agent(row: Row) -> Agent:
    """An agent from its `AGENT_COLUMNS`."""
    return Agent(
        number=row[0],
        task=row[1],
        attempt=row[2],
        actor=row[3],
        executor=row[4],
        model=row[5],
        endpoint=row[6],
        status=AgentStatus(row[7]),
        human=bool(row[8]),
        outcome=Outcome(row[9]) if row[9] else None,
        exit_code=row[10],
        signal=row[11],
        process=decode_process(row[12]) if row[12] else None,
        folder_inode=row[13],
        verdict=Outcome(row[14]) if row[14] else None,
        reason=row[15],
        stop=_stop(row[16]) if row[16] else None,
        counted=bool(row[17]),
        workspace=row[18],
        timeout_at=row[19],
        started_at=row[20],
        ended_at=row[21],
        last_activity_at=row[22],
        usage=_NO_USAGE if row[23] == "{}" else _usage(row[23]),
        leftover=() if row[24] == "[]" else decode_leftover(row[24]),
        sandbox=row[25],
        stall_after=row[26],
        stall_at=row[27],
        looked_at=row[28],
        output_bytes=row[29],
        heard=bool(row[30]),
        account=row[31],
        session=row[32],
        resumed=row[33],
        answered=bool(row[34]),
        tool=row[35],
        said=row[36],
        client_end=_client_end(row[37]) if row[37] else None,
        trouble=_client_end(row[38]) if row[38] else None,
        client_until=row[39],
        reserved_tokens=row[40],
        reserved_usd=row[41],
        last_sign=row[42],
        actor_id=row[43],
    )


def decode_leftover(text: str) -> tuple[ProcessId, ...]:
    """What an agent has left behind, from its column."""
    # Version 1 kept numbers alone: they name no process, and none is found by them.
    return tuple(
        p if isinstance(p, ProcessId) else ProcessId(pid=p, boot_id="", start_ticks=0)
        for p in _processes(text)
    )
