"""Export and import: the whole graph as JSON lines, and back without loss.

What can't be taken elsewhere is left out: the claim of a task in progress (it is
written as open, the start of the running attempt not counted), attempts that are not
over, and the rows of the change log that tell of just these. What such an agent has
said stays. So what is exported, imported and exported again is the same to the byte, in
whatever state the graph is.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from msgspec import UNSET, UnsetType, structs

from workgraph.commands.context import Context, officials_of
from workgraph.commands.tie_lines import PromptLine
from workgraph.commands.transfer_batch import Batch
from workgraph.commands.transfer_canaries import canary_lines
from workgraph.commands.transfer_chats import chat_lines
from workgraph.commands.transfer_identities import identity_line
from workgraph.commands.transfer_lines import (
    AgentLine,
    ArtifactRef,
    ConsumedRef,
    EdgeRef,
    FailureRef,
    Line,
    LineReader,
    LogLine,
    ProcessRef,
    ProgressRef,
    SpendRef,
    TaskLine,
    UsageRef,
    encode,
    write_moment,
)
from workgraph.commands.transfer_loops import loop_line
from workgraph.commands.transfer_messages import message_lines
from workgraph.commands.transfer_rewards import agency_lines
from workgraph.commands.transfer_trajectories import trajectory_lines
from workgraph.commands.transfer_waits import wait_line
from workgraph.graph import legacy
from workgraph.graph.budgets import date_of
from workgraph.graph.changes import Change, ChangeKind
from workgraph.graph.model import (
    Edge,
    Failure,
    ProcessId,
    Progress,
    Task,
    Usage,
)
from workgraph.graph.replies import ImportedData, Reply
from workgraph.graph.status import Status, Verb
from workgraph.store import (
    candidates,
    legacy_chats,
    loops,
    prompts,
    reads,
    transfer,
    waits,
)
from workgraph.store.database import Tx
from workgraph.store.transfer import EndedAgent
from workgraph.store.transfer_artifacts import StoredArtifact, artifacts_by_task

_NO_USAGE: Final = Usage()
#: Rows that tell of an attempt itself, not of what came of it.
_ABOUT_ATTEMPTS: Final = frozenset(
    {
        ChangeKind.AGENT_STARTED,
        ChangeKind.AGENT_STOPPING,
        ChangeKind.AGENT_ENDED,
        ChangeKind.BUDGET_WARNED,
        ChangeKind.MESSAGE_READ,
        ChangeKind.MESSAGE_ACKNOWLEDGED,
        ChangeKind.REWARD_RECORDED,
    }
)


def export_lines(context: Context) -> list[bytes]:
    """The whole graph as JSON lines without their ends, in a stable order.

    Identities come first, then tasks, attempts, loops, messages, chats, trajectories,
    waits, errands, choices, judgements, known answers and the log, each as they came
    up. An agent gets no known answers: it may be the one that is asked for them.
    """
    return list(_lines(context.tx, has_answers=context.caller.agent is None))


def import_graph(context: Context, text: str) -> Reply:
    """Takes JSON lines in, in the transaction: all of them or, raising, none.

    Raises:
        UserError: A line can't come in; it is named.
        NotFoundError: A dependency is neither in the text nor in the graph.
        ConflictError: An id is taken.
    """
    reader = LineReader()
    return take_in(context, reader.read(text), reader.warnings)


def take_in(
    context: Context,
    lines: Iterable[tuple[int, Line]],
    warnings_of: Callable[[], Iterable[str]],
    fill: Callable[[Sequence[legacy_chats.Adopted]], Iterable[str]] = lambda _: (),
) -> Reply:
    """Takes lines in with their numbers: all of them or, raising, none.

    The predecessor's chats among them are chats afterwards.

    Args:
        context: The transaction, and who asks.
        lines: What comes in.
        warnings_of: What is to be said of it, when all were read.
        fill: Writes what was said in these; gives more to be said.
    """
    batch = Batch(context.tx, context.caller.by)
    for number, line in lines:
        batch.take(number, line)
    batch.settle()
    batch.write()
    if batch.identity_count:
        candidates.wake_parked(context.tx, officials_of(context.settings))
    chats = legacy_chats.adopt(context.tx, context.caller.by)
    warnings = (
        *warnings_of(),
        *batch.warnings,
        *(legacy.show(one.old, one.number, usable=one.usable) for one in chats),
        *fill(chats),
    )
    data = ImportedData(
        tasks=batch.task_count,
        edges=batch.edge_count,
        actors=batch.identity_count,
        log=batch.log_count,
        warnings=warnings,
    )
    notes = tuple(f"warning: {text}" for text in warnings)
    return Reply(data=data, notes=notes)


def _lines(tx: Tx, *, has_answers: bool) -> Iterator[bytes]:
    for identity in transfer.identities(tx):
        yield identity_line(identity, _moment(identity.retired_at))
    after = transfer.edges_by_task(tx)
    artifacts = artifacts_by_task(tx)
    held = set()
    for task in transfer.tasks(tx):
        if task.claimed_by is not None:
            held.add(task.claimed_by)
        line = _task_line(task, after.get(task.id, ()), artifacts.get(task.id, ()))
        yield encode(line)
    for ended in transfer.ended_agents(tx):
        yield encode(_agent_line(ended))
    for number, prompt in prompts.of_ended(tx):
        yield encode(PromptLine(agent=f"agent-{number}", **structs.asdict(prompt)))
    live = transfer.live_agents(tx)
    yield from _lines_between(tx, live)
    if has_answers:
        yield from map(encode, canary_lines(tx))
    for change in transfer.task_changes(tx):
        if change.kind in _ABOUT_ATTEMPTS and change.agent in live:
            continue
        if change.verb == Verb.CLAIM and change.agent in held:
            continue
        yield encode(_log_line(change))


def _lines_between(tx: Tx, live: set[str]) -> Iterator[bytes]:
    """What ties tasks to each other and to people, after the attempts."""
    for loop in loops.every(tx):
        yield encode(loop_line(loop, lambda task: reads.task(tx, task).status))
    yield from map(encode, message_lines(tx, live))
    yield from map(encode, chat_lines(tx))
    yield from map(encode, trajectory_lines(tx, live))
    for wait in waits.every(tx):
        yield encode(wait_line(wait, live))
    yield from map(encode, agency_lines(tx))


def _task_line(
    task: Task,
    after: list[Edge] | tuple[()],
    artifacts: list[StoredArtifact] | tuple[()],
) -> TaskLine:
    running = task.status is Status.IN_PROGRESS
    # As when a claim is given back: a machine's choice of actor ends with it.
    drops_actor = running and task.actor_matched
    return TaskLine(
        **structs.asdict(task.spec),
        id=task.id,
        status=Status.OPEN if running else task.status,
        priority=task.priority,
        paused=task.paused,
        after=tuple(EdgeRef(id=edge.id, on=edge.on) for edge in after),
        actor=None if drops_actor else task.actor,
        actor_matched=task.actor_matched and not drops_actor,
        reserved_for=task.reserved_for,
        attempts=max(task.attempts - running, 0),
        starts=max(task.starts - running, 0),
        not_before=_moment(task.not_before),
        retry_at=_moment(task.retry_at),
        gate=task.gate,
        failure=_failure(task.failure),
        progress=_progress(task.progress),
        usage=_usage(task.usage),
        summary=task.summary,
        superseded_by=task.superseded_by,
        added_by=task.added_by,
        depth=task.depth,
        artifacts=tuple(
            ArtifactRef(
                name=artifact.name,
                path=artifact.path,
                sha256=artifact.sha256,
                size=artifact.size,
                agent=artifact.agent,
                at=write_moment(artifact.at),
                kept=artifact.kept,
            )
            for artifact in artifacts
        ),
        created_at=write_moment(task.created_at),
        started_at=_moment(task.started_at),
        completed_at=_moment(task.completed_at),
        updated_at=write_moment(task.updated_at),
    )


def _agent_line(ended: EndedAgent) -> AgentLine:
    agent = ended.agent
    assert agent.ended_at is not None
    return AgentLine(
        id=agent.id,
        task=agent.task,
        attempt=agent.attempt,
        actor=agent.actor,
        actor_id=agent.actor_id,
        to_judge=ended.to_judge,
        executor=agent.executor,
        model=agent.model,
        endpoint=agent.endpoint,
        human=agent.human,
        outcome=agent.outcome,
        exit_code=agent.exit_code,
        signal=agent.signal,
        process=_process(agent.process),
        verdict=agent.verdict,
        reason=agent.reason,
        counted=agent.counted,
        workspace=agent.workspace,
        plan=ended.plan_line,
        said=agent.said,
        started_at=write_moment(agent.started_at),
        ended_at=write_moment(agent.ended_at),
        last_activity_at=write_moment(agent.last_activity_at),
        usage=_usage(agent.usage),
        spend=_spend(ended),
        consumed=tuple(
            ConsumedRef(task=one.task, name=one.name, sha256=one.sha256)
            for one in ended.consumed
        ),
    )


def _spend(ended: EndedAgent) -> tuple[SpendRef, ...] | UnsetType:
    """What it has used by days; left out where that follows from the rest."""
    found = tuple(
        SpendRef(
            day=date_of(spend.day),
            input_tokens=spend.input_tokens,
            cached_tokens=spend.cached_tokens,
            output_tokens=spend.output_tokens,
            cost_usd=spend.cost_usd,
        )
        for spend in ended.spend
    )
    return UNSET if not found and ended.agent.usage == _NO_USAGE else found


def _log_line(change: Change) -> LogLine:
    assert change.task is not None
    return LogLine(
        task=change.task,
        at=write_moment(change.at),
        change=change.kind,
        agent=change.agent,
        attempt=change.attempt,
        actor=change.actor,
        by=change.by,
        verb=change.verb,
        from_=change.from_,
        to=change.to,
        reason=change.reason,
        percent=change.percent,
    )


def _moment(micros: int | None) -> str | None:
    return None if micros is None else write_moment(micros)


def _failure(failure: Failure | None) -> FailureRef | None:
    if failure is None:
        return None
    return FailureRef(class_=failure.class_, reason=failure.reason)


def _progress(progress: Progress | None) -> ProgressRef | None:
    if progress is None:
        return None
    return ProgressRef(
        percent=progress.percent,
        message=progress.message,
        at=write_moment(progress.at),
    )


def _usage(usage: Usage) -> UsageRef | None:
    return None if usage == _NO_USAGE else UsageRef(**structs.asdict(usage))


def _process(process: ProcessId | None) -> ProcessRef | None:
    return None if process is None else ProcessRef(**structs.asdict(process))
