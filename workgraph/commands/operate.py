"""Handlers of the service: pause, freeze, retry, kill."""

from workgraph.commands.context import (
    Answer,
    Context,
    Deferred,
    describe,
    officials_of,
)
from workgraph.commands.life import pause_task, resume_task
from workgraph.graph import requests as r
from workgraph.graph.changes import ChangeKind
from workgraph.graph.errors import UsageError, UserError
from workgraph.graph.holds import account_key, breaker_key
from workgraph.graph.model import Agent, AgentStatus, Outcome, Stop, StopThen, Task
from workgraph.graph.replies import DoneData, KilledData, Reply
from workgraph.graph.status import Cause, Status, Verb
from workgraph.store import (
    accounts,
    agent_reads,
    agents,
    breakers,
    candidates,
    leftovers,
    moments,
    reads,
    service,
    views,
    writes,
)
from workgraph.store.database import Tx

_RETRIED = frozenset({Status.FAILED, Status.ABANDONED, Status.DONE})


def pause(context: Context, request: r.Pause) -> Reply:
    """Holds a task back; without one, no new agents are started."""
    if request.task is not None:
        return pause_task(context, request.task)
    return _pause_service(context, paused=True)


def resume(context: Context, request: r.Resume) -> Reply:
    """Undoes `pause`."""
    if request.task is not None:
        return resume_task(context, request.task)
    check_not_frozen(context.tx, "it can't be resumed")
    return _pause_service(context, paused=False)


def freeze(context: Context) -> tuple[int, ...]:
    """No time passes for agents from now on, and none are started.

    Returns:
        The agents that are to be stopped where they are.
    """
    tx = context.tx
    if service.frozen_since(tx) is None:
        moments.freeze(tx)
        service.set_meta(tx, "paused", "1")
        tx.emit(ChangeKind.SERVICE_FROZEN, by=context.caller.by)
    return live_agents(tx)


def live_agents(tx: Tx) -> tuple[int, ...]:
    """The agents that are processes and are not being ended."""
    return tuple(
        agent.number
        for agent in agent_reads.list_agents(tx, alive=True)
        if not agent.human and agent.status is not AgentStatus.STOPPING
    )


def thaw(context: Context) -> None:
    """Time passes again, and agents are started."""
    tx = context.tx
    since = service.frozen_since(tx)
    if since is not None:
        moments.thaw(tx, since)
        service.set_meta(tx, "paused", "0")
        tx.emit(ChangeKind.SERVICE_THAWED, by=context.caller.by)


def try_all_anew(context: Context) -> None:
    """Other settings, or an operator who has mended something: all is tried again."""
    views.look_at_all_parked(context.tx)
    candidates.wake_parked(
        context.tx,
        officials_of(context.settings),
        is_off=context.settings.agency.auto_assign == "off",
    )
    breakers.forget_troubled(context.tx, context.caller.by)
    accounts.try_all_now(context.tx)


def check_not_frozen(tx: Tx, what: str) -> None:
    """Refuses what makes no sense while everything stands still.

    Raises:
        UserError: The service is frozen.
    """
    if service.frozen_since(tx) is not None:
        raise UserError(f"the service is frozen: {what}", hint="wg service thaw")


def retry_tasks(context: Context, request: r.RetryTasks) -> Answer:
    """Opens ended tasks again with a new count; a running agent is ended first."""
    tx = context.tx
    ids = (request.task,) if isinstance(request.task, str) else request.task
    if request.failed == bool(ids):
        raise UsageError(
            "name tasks, or say --failed for all failed ones",
            hint="wg retry ID..., or wg retry --failed [--tag T]",
        )
    if request.failed:
        tasks = reads.list_tasks(tx, statuses=(Status.FAILED,), tag=request.tag)
    else:
        tasks = [reads.task(tx, task_id) for task_id in dict.fromkeys(ids)]
    for task in tasks:
        if task.status not in _RETRIED and not _is_parked(task):
            raise UserError(
                f"{task.id} is {task.status}: only what has ended can be retried",
                hint=f"wg why {task.id}",
            )
    if request.dry_run:
        notes = tuple(f"would retry {task.id}" for task in tasks)
        return Reply(data=describe(context, tasks), notes=notes)
    keys = _needs_of(tx, tasks)
    breakers.forget(tx, keys, context.caller.by)
    accounts.try_now(tx, keys)
    lingering = _lingering(context, tasks)
    if lingering:
        return Deferred(agents=lingering)
    for task in tasks:
        _retry(context, request, task)
    again = [reads.task(tx, task.id) for task in tasks]
    data = describe(context, again)
    if isinstance(request.task, str) or len(ids) == 1:
        return Reply(data=data[0])
    return Reply(data=data)


def kill_agents(context: Context, request: r.KillAgents) -> Answer:
    """Ends agents, and says what becomes of their tasks."""
    tx = context.tx
    ids = (request.agent,) if isinstance(request.agent, str) else request.agent
    if request.requeue and request.fail:
        raise UsageError(
            "--requeue and --fail exclude each other", hint="choose one of them"
        )
    if request.all == bool(ids):
        raise UsageError(
            "name agents, or say --all", hint="wg kill AGENT..., or wg kill --all"
        )
    if request.all:
        found = [a for a in agent_reads.list_agents(tx, alive=True) if not a.human]
        if request.force:
            found += [a for a in leftovers.all_of(tx) if a.ended_at is not None]
    else:
        found = [agent_reads.by_id(tx, agent_id) for agent_id in dict.fromkeys(ids)]
    for agent in found:
        if agent.human:
            raise UserError(
                f"{agent.id} is a person's claim: there is no process to kill",
                hint=f"wg unclaim {agent.task}",
            )
    then = StopThen.PAUSE
    if request.requeue or request.fail:
        then = StopThen.REQUEUE if request.requeue else StopThen.FAIL
    live = [agent for agent in found if agent.status is not AgentStatus.ENDED]
    for agent in live:
        held = reads.task(tx, agent.task).claimed_by == agent.id
        stop = Stop(
            then=then if held else StopThen.NOTHING,
            by=context.caller.by,
            reason=f"killed by {context.caller.by}",
            force=request.force,
        )
        agents.order_stop(tx, agent, stop, Outcome.KILLED if held else None)
    numbers = tuple(agent.number for agent in found)
    left = [a.number for a in found if request.force and a.leftover and a not in live]
    if live or left:
        return Deferred(
            agents=tuple(agent.number for agent in live),
            finish=lambda later: _killed(later, numbers),
            leftover=tuple(left),
        )
    return _killed(context, numbers)


def _killed(context: Context, numbers: tuple[int, ...]) -> Reply:
    data = []
    for number in numbers:
        agent = agent_reads.by_number(context.tx, number)
        task = reads.task(context.tx, agent.task)
        data.append(
            KilledData(
                agent=agent.id,
                task=task.id,
                status=task.status,
                paused=task.paused,
                leftover=tuple(process.pid for process in agent.leftover),
            )
        )
    return Reply(data=tuple(data))


def _pause_service(context: Context, *, paused: bool) -> Reply:
    tx = context.tx
    if service.is_service_paused(tx) != paused:
        service.set_meta(tx, "paused", "1" if paused else "0")
        kind = ChangeKind.SERVICE_PAUSED if paused else ChangeKind.SERVICE_RESUMED
        tx.emit(kind, by=context.caller.by)
    word = "paused: no new agents are started" if paused else "resumed"
    return Reply(data=DoneData(message=f"the service is {word}"))


def _lingering(context: Context, tasks: list[Task]) -> tuple[int, ...]:
    """Orders the end of agents that still run though their task has ended."""
    found: list[Agent] = []
    for task in tasks:
        agent = agent_reads.live_process_of(context.tx, task.id)
        if agent is not None:
            stop = Stop(then=StopThen.NOTHING, by=context.caller.by, reason="retried")
            agents.order_stop(context.tx, agent, stop, None)
            found.append(agent)
    return tuple(agent.number for agent in found)


def _is_parked(task: Task) -> bool:
    """Whether the dispatcher leaves an open task alone until something changes."""
    return task.status is Status.OPEN and task.parked is not None


def _needs_of(tx: Tx, tasks: list[Task]) -> tuple[str, ...]:
    """What the tasks were last tried with, and what keeps them back."""
    keys: dict[str, None] = {}
    for task in tasks:
        if task.parked is not None and task.parked.key is not None:
            keys[task.parked.key] = None
        attempts = agent_reads.agents_of(tx, task.id)
        if attempts and not attempts[-1].human:
            keys[breaker_key(attempts[-1].executor)] = None
            if attempts[-1].account is not None:
                keys[account_key(attempts[-1].account)] = None
    return tuple(keys)


def _retry(context: Context, request: r.RetryTasks, task: Task) -> None:
    spec = task.spec
    if request.set_model is not None:
        spec = writes.edited_spec(spec, model=request.set_model or None)
    if request.set_executor is not None:
        spec = writes.edited_spec(spec, executor=request.set_executor or None)
    if spec != task.spec:
        writes.update_spec(
            context.tx,
            task,
            writes.SpecUpdate(
                spec=spec,
                priority=task.priority,
                paused=task.paused,
                actor=task.actor,
                actor_matched=task.actor_matched,
                not_before=task.not_before,
            ),
            context.caller.by,
            "retry",
        )
    if _is_parked(task):
        writes.restart_count(context.tx, task, context.caller.by, request.reason)
        return
    if task.quick:
        writes.set_quick(context.tx, task.id, 0)
    marks = writes.Marks(by=context.caller.by, reason=request.reason)
    writes.change_status(context.tx, task, Verb.RETRY, Cause.OPERATOR, marks)
