"""Handlers of the service: pause, retry, kill."""

from workgraph.commands.context import (
    Answer,
    Context,
    Deferred,
    describe,
)
from workgraph.commands.life import pause_task, resume_task
from workgraph.graph import requests as r
from workgraph.graph.changes import ChangeKind
from workgraph.graph.errors import UsageError, UserError
from workgraph.graph.model import Agent, AgentStatus, Outcome, Stop, StopThen, Task
from workgraph.graph.replies import DoneData, KilledData, Reply
from workgraph.graph.status import Cause, Status, Verb
from workgraph.store import agent_reads, agents, leftovers, reads, service, writes

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
    return _pause_service(context, paused=False)


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
        if task.status not in _RETRIED:
            raise UserError(
                f"{task.id} is {task.status}: only what has ended can be retried",
                hint=f"wg why {task.id}",
            )
    if request.dry_run:
        notes = tuple(f"would retry {task.id}" for task in tasks)
        return Reply(data=describe(context, tasks), notes=notes)
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
    marks = writes.Marks(by=context.caller.by, reason=request.reason)
    writes.change_status(context.tx, task, Verb.RETRY, Cause.OPERATOR, marks)
