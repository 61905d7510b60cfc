"""From what the store has to what is answered: the shapes of CONTRACT §3.4."""

from collections.abc import Sequence
from typing import Final

from workgraph.graph import loops
from workgraph.graph.changes import Change
from workgraph.graph.inputs import StaleInput
from workgraph.graph.loops import Loop
from workgraph.graph.model import (
    Agent,
    Artifact,
    Edge,
    Progress,
    RetryOn,
    Task,
    TaskSpec,
    Usage,
)
from workgraph.graph.replies import (
    AgentData,
    ChangeData,
    LogData,
    LoopData,
    ProgressData,
    TaskData,
    UsageData,
    WaitData,
)
from workgraph.graph.reservations import Reserved, ReservedData
from workgraph.graph.reward_requests import TaskReward
from workgraph.graph.rewards import Reward
from workgraph.graph.status import Status
from workgraph.graph.times import to_rfc3339
from workgraph.graph.waits import WaitState

_SPEC_FIELDS: Final = TaskSpec.__struct_fields__


def task_data(
    task: Task,
    *,
    after: tuple[Edge, ...],
    before: tuple[str, ...],
    artifacts: tuple[Artifact, ...],
    ready: bool,
    max_attempts_default: int,
    retry_on_default: RetryOn,
    holder: str | None = None,
    late: Sequence[Change] = (),
    leftover: tuple[int, ...] = (),
    stale: tuple[StaleInput, ...] = (),
    trajectory: Reserved | None = None,
    loop: Loop | None = None,
    wait: WaitState | None = None,
    unread: int = 0,
    reward: Reward | None = None,
) -> TaskData:
    """A task as the world sees it.

    Args:
        after: What it waits for.
        before: The ids of the tasks that wait for it.
        max_attempts_default: The setting, shown where the task has none of its own.
        retry_on_default: As above.
        holder: The name of the person whose claim it is, while a person holds it.
        late: What attempts have said after their end.
        leftover: What its attempts have left behind.
        stale: Inputs that were produced again since it worked from them.
        trajectory: How it is reserved.
        loop: The loop that it is in, or was in last.
        wait: What it waits for.
        unread: How many messages no attempt was given.
        reward: What counts of its judgements.
    """
    spec = {name: getattr(task.spec, name) for name in _SPEC_FIELDS}
    if task.spec.max_attempts is None:
        spec["max_attempts"] = max_attempts_default
    if task.spec.retry_on is None:
        spec["retry_on"] = retry_on_default
    return TaskData(
        **spec,
        id=task.id,
        status=task.status.value,
        ready=ready,
        paused=task.paused,
        priority=task.priority,
        after=after,
        before=before,
        artifacts=artifacts,
        actor=holder or task.actor,
        agent=_agent_of(task),
        attempts=task.attempts,
        retry_at=_moment(task.retry_at),
        not_before=_moment(task.not_before),
        failure=task.failure,
        progress=_progress_data(task.progress),
        usage=usage_data(task.usage),
        cached_tokens=task.usage.cached_tokens,
        gate=task.gate,
        loop=loop_data(loop),
        unread=unread,
        reward=_reward(reward),
        summary=task.summary,
        superseded_by=task.superseded_by,
        reserved_for=task.reserved_for,
        added_by=task.added_by,
        late=tuple(log_data(change) for change in late),
        claimed_by=holder or task.claimed_by,
        claimed_at=_moment(task.claimed_at),
        created_at=to_rfc3339(task.created_at),
        started_at=_moment(task.started_at),
        completed_at=_moment(task.completed_at),
        updated_at=to_rfc3339(task.updated_at),
        leftover=leftover,
        stale=stale,
        trajectory=_trajectory_data(trajectory),
        wait=wait_data(wait),
    )


def loop_data(loop: Loop | None) -> LoopData | None:
    """A loop as the world sees it."""
    if loop is None:
        return None
    return LoopData(
        members=loop.ids,
        iteration=loop.iteration,
        max=loop.most,
        until=loop.until,
        until_converged=loop.until_converged,
        converged=loop.converged,
        evidence=loop.evidence,
        by=loop.by,
        created_at=to_rfc3339(loop.created_at),
        ended_at=_moment(loop.ended_at),
        reason=loop.reason,
        stands=loops.describe(loop),
    )


def wait_data(state: WaitState | None) -> WaitData | None:
    """What a task waits for as the world sees it."""
    if state is None:
        return None
    return WaitData(
        condition=state.wait.condition,
        since=to_rfc3339(state.wait.since),
        question=state.question,
    )


def agent_data(agent: Agent) -> AgentData:
    """An attempt as the world sees it."""
    return AgentData(
        id=agent.id,
        task=agent.task,
        attempt=agent.attempt,
        actor=agent.actor,
        executor=agent.executor,
        model=agent.model,
        endpoint=agent.endpoint,
        status=agent.status.value,
        outcome=agent.outcome.value if agent.outcome is not None else None,
        exit_code=agent.exit_code,
        signal=agent.signal,
        pid=agent.process.pid if agent.process is not None else None,
        started_at=to_rfc3339(agent.started_at),
        ended_at=_moment(agent.ended_at),
        last_activity_at=to_rfc3339(agent.last_activity_at),
        usage=usage_data(agent.usage),
        cached_tokens=agent.usage.cached_tokens,
        workspace=agent.workspace,
        reason=agent.reason,
        leftover=tuple(process.pid for process in agent.leftover),
        account=agent.account,
        session=agent.session,
        resumed=agent.resumed is not None,
        tool=agent.tool if agent.ended_at is None else None,
        said=agent.said,
        client_end=agent.client_end,
        trouble=agent.trouble if agent.ended_at is None else None,
        last_sign=agent.last_sign,
    )


def usage_data(usage: Usage) -> UsageData:
    """What was used, without what came from a cache."""
    return UsageData(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost_usd=usage.cost_usd,
    )


def change_data(change: Change) -> ChangeData:
    """A change as `watch` tells it."""
    return ChangeData(
        seq=change.seq,
        at=to_rfc3339(change.at),
        kind=str(change.kind),
        task=change.task,
        agent=change.agent,
        actor=change.actor,
        by=change.by,
        from_=change.from_,
        to=change.to,
        reason=change.reason,
        verb=change.verb,
        attempt=change.attempt,
        percent=change.percent,
    )


def log_data(change: Change) -> LogData:
    """A change as an entry of its task's log: a worker's words, or what happened."""
    return LogData(
        at=to_rfc3339(change.at),
        by=change.by,
        agent=change.agent,
        attempt=change.attempt,
        kind=str(change.kind),
        message=_message_of(change),
        percent=change.percent,
    )


def _agent_of(task: Task) -> str | None:
    match task.status:
        case Status.IN_PROGRESS:
            return task.claimed_by
        case Status.OPEN | Status.WAITING:
            return None
        case _:
            return task.last_agent


def _message_of(change: Change) -> str:
    moved = f"{change.from_} → {change.to}" if change.from_ and change.to else ""
    return ": ".join(part for part in (moved or change.to, change.reason) if part)


def _progress_data(progress: Progress | None) -> ProgressData | None:
    if progress is None:
        return None
    return ProgressData(
        percent=progress.percent,
        message=progress.message,
        at=to_rfc3339(progress.at),
    )


def _reward(reward: Reward | None) -> TaskReward | None:
    if reward is None:
        return None
    return TaskReward(score=reward.score, dimensions=reward.dimensions, by=reward.by)


def _trajectory_data(reserved: Reserved | None) -> ReservedData | None:
    if reserved is None:
        return None
    return ReservedData(
        number=reserved.number,
        actor=reserved.actor,
        step=reserved.step,
        steps=reserved.steps,
    )


def _moment(micros: int | None) -> str | None:
    return None if micros is None else to_rfc3339(micros)
