"""Handlers that read: show, listings, why, log, agents, status."""

from collections.abc import Iterator

from msgspec import structs

from workgraph.commands import judging, shapes
from workgraph.commands.chat_standing import all_chats, describe_chat
from workgraph.commands.context import (
    Context,
    describe,
    officials_of,
    task_data,
    task_facts,
)
from workgraph.commands.messages import with_messages
from workgraph.commands.officials import check_officials
from workgraph.commands.spending import notes_on, notes_on_client
from workgraph.graph import readiness
from workgraph.graph import requests as r
from workgraph.graph.changes import ChangeKind
from workgraph.graph.errors import UsageError
from workgraph.graph.inputs import (
    MISSING_INPUT,
    is_promised,
    missing_artifact,
    remedy_of,
)
from workgraph.graph.model import Task
from workgraph.graph.replies import (
    FindingData,
    ProviderData,
    ReasonData,
    Reply,
    RunningData,
    ServiceData,
    StatusData,
    WhyData,
)
from workgraph.graph.status import Status
from workgraph.graph.times import to_rfc3339
from workgraph.store import (
    accounts,
    agent_reads,
    artifacts,
    breakers,
    history,
    loops,
    reads,
    rewards,
    service,
    trajectories,
    views,
)
from workgraph.store.database import Tx

#: Tags of tasks that the machinery made.
MACHINERY_TAGS = frozenset({"assignment", "reward", "evolution", "chat"})
#: What `wg msg --list` is for.
_LISTED_APART = frozenset(
    {
        ChangeKind.MESSAGE_SENT,
        ChangeKind.MESSAGE_READ,
        ChangeKind.MESSAGE_ACKNOWLEDGED,
    }
)


def show_task(context: Context, request: r.ShowTask) -> Reply:
    """Everything about a task, with all attempts at it."""
    task = with_messages(context, task_data(context, request.task or ""))
    runs = map(shapes.agent_data, agent_reads.agents_of(context.tx, task.id))
    chat = describe_chat(context, task.id)
    return Reply(data=structs.replace(task, runs=tuple(runs), chat=chat))


def list_tasks(context: Context, request: r.ListTasks) -> Reply:
    """Tasks that fit, oldest first."""
    unknown = [one for one in request.status if one not in set(Status)]
    if unknown:
        raise UsageError(
            f"{unknown[0]!r} is not a status", hint=f"one of {', '.join(Status)}"
        )
    tasks = reads.list_tasks(
        context.tx,
        statuses=request.status,
        tag=request.tag,
        actor=request.actor,
        machinery=request.all,
    )
    if request.stale:
        stale = artifacts.stale_tasks(context.tx)
        tasks = [task for task in tasks if task.id in stale]
    return Reply(data=describe(context, tasks))


def list_ready(context: Context) -> Reply:
    """What can be worked on now, in the order of dispatch."""
    reserved = trajectories.every(context.tx)
    tasks = [
        task
        for task in reads.ready_tasks(context.tx)
        if readiness.is_ready(task_facts(context.tx, task, reserved), context.tx.now)
    ]
    return Reply(data=describe(context, tasks))


def list_blocked(context: Context) -> Reply:
    """Tasks that wait for something, each as `list` gives it."""
    reserved = trajectories.every(context.tx)
    tasks = [
        task
        for task in reads.unsettled_tasks(context.tx)
        if task.status is Status.OPEN
        and not readiness.is_ready(
            task_facts(context.tx, task, reserved), context.tx.now
        )
    ]
    return Reply(data=describe(context, tasks))


def explain(context: Context, request: r.ExplainTask) -> Reply:
    """Every reason why a task is not running; if it runs, since when and by what."""
    task = reads.task(context.tx, request.task or "")
    loop = loops.live_of(context.tx, task.id)
    facts = structs.replace(
        task_facts(context.tx, task),
        loop=loop,
        score=judging.awaited_of(context.tx, task, context.settings),
    )
    reasons = readiness.explain(facts, context.service, context.tx.now)
    running = task.status is Status.IN_PROGRESS
    return Reply(
        data=WhyData(
            task=task.id,
            status=task.status,
            running=running,
            run=_run_of(context, task) if running else None,
            reasons=tuple(
                ReasonData(code=r.code, message=r.message, remedy=r.remedy)
                for r in reasons
            ),
            loop=shapes.loop_data(loop),
        )
    )


def task_status(context: Context, request: r.GetTaskStatus) -> Reply:
    """The status, one bare word."""
    task_id = request.task or ""
    found = reads.status(context.tx, task_id)
    return Reply(data=StatusData(task=task_id, status=found))


def list_log(context: Context, task_id: str) -> Reply:
    """All that was said and done about a task, without its messages."""
    reads.task(context.tx, task_id)
    return Reply(
        data=tuple(
            shapes.log_data(change)
            for change in history.task_log(context.tx, task_id)
            if change.kind not in _LISTED_APART
        )
    )


def list_agents(context: Context, request: r.ListAgents) -> Reply:
    """Agents, oldest first."""
    found = agent_reads.list_agents(context.tx, alive=request.alive)
    return Reply(data=tuple(shapes.agent_data(agent) for agent in found))


def service_status(context: Context) -> ServiceData:
    """How the service stands, as far as the graph knows."""
    tx, facts = context.tx, context.service
    return ServiceData(
        running=facts.daemon_running,
        paused=service.is_service_paused(tx),
        frozen=facts.frozen,
        draining=facts.draining,
        max_agents=facts.max_agents,
        agents=service.count_live(tx),
        ready=service.count_ready(tx),
        idle=views.is_idle(tx, facts.max_agents, officials_of(context.settings)),
        unfinished=service.count_unfinished(tx),
        counts=service.counts(tx),
        providers=providers(tx),
        chats=all_chats(tx, context.ask_consumers, is_served=context.is_served),
    )


def providers(tx: Tx) -> tuple[ProviderData, ...]:
    """How accounts stand, and which executors are held back."""
    known = tuple(
        ProviderData(
            account=account.key,
            state=account.state,
            until=to_rfc3339(account.until) if account.until else None,
            reason=account.reason,
        )
        for account in accounts.every(tx)
    )
    broken = tuple(
        ProviderData(
            account=breaker.key,
            state="open" if (breaker.until or 0) > tx.now else "half-open",
            until=to_rfc3339(breaker.until) if breaker.until else None,
            reason=breaker.reason,
        )
        for breaker in breakers.troubled(tx).values()
        if breaker.opened_at is not None
    )
    return (*known, *broken)


def get_service_status(context: Context, request: r.GetServiceStatus) -> Reply:
    """How the service stands; the daemon adds what only it knows."""
    del request
    return Reply(data=service_status(context))


def check_graph(context: Context, executors: frozenset[str]) -> Reply:
    """Lint: what can never work as it stands, each with a remedy."""
    tasks = reads.every_task(context.tx)
    by_id = {task.id: task for task in tasks}
    findings: list[FindingData] = []
    for task in tasks:
        if task.status in {Status.OPEN, Status.WAITING}:
            findings.extend(_findings(context, task, by_id, executors))
    findings.extend(_stale(context, by_id))
    findings.extend(_recount(context, tasks))
    findings.extend(_recount_rewards(context))
    findings.extend(check_officials(context))
    return Reply(data=tuple(findings), exit_code=1 if findings else 0)


def _findings(
    context: Context, task: Task, by_id: dict[str, Task], executors: frozenset[str]
) -> list[FindingData]:
    found = []
    for edge in reads.edges(context.tx, task.id):
        at = by_id[edge.id].status
        if at is Status.FAILED and edge.on == "done":
            found.append(
                FindingData(
                    code="unreachable",
                    task=task.id,
                    message=f"{task.id} waits for {edge.id}, which has failed",
                    remedy=f"wg retry {edge.id}, or wg abandon {edge.id}",
                )
            )
    found.extend(_missing(context, task, by_id))
    if task.spec.executor is not None and task.spec.executor not in executors:
        found.append(
            FindingData(
                code="unknown_executor",
                task=task.id,
                message=f"{task.id} wants the executor {task.spec.executor},"
                " which is not there",
                remedy=f"wg edit {task.id} --executor NAME, or [executors."
                f"{task.spec.executor}] in the settings",
            )
        )
    if task.spec.requires_skills and not _is_anybody_skilled(context, task):
        found.append(
            FindingData(
                code="no_capable_actor",
                task=task.id,
                message=f"nobody has the skills {', '.join(task.spec.requires_skills)}"
                f" that {task.id} requires",
                remedy=f"wg edit {task.id} --remove-skill S, or add an actor",
            )
        )
    return found


def _missing(
    context: Context, task: Task, by_id: dict[str, Task]
) -> Iterator[FindingData]:
    """Inputs that nobody has recorded, and nobody says that he will."""
    for one in artifacts.inputs_of(context.tx, task):
        if one.producer is None or one.sha256 is not None:
            continue
        promised = by_id[one.producer].spec.outputs if one.producer in by_id else ()
        if not one.missing and is_promised(one.name, promised):
            continue
        message = f"{task.id} needs {one.ref}, which no task promises"
        remedy = (
            f"wg edit {one.producer} --output PATH, or wg edit {task.id} --input REF"
        )
        if one.missing:
            message, remedy = missing_artifact(one), remedy_of(task.id, one)
        yield FindingData(
            code=MISSING_INPUT, task=task.id, message=message, remedy=remedy
        )


def _stale(context: Context, by_id: dict[str, Task]) -> Iterator[FindingData]:
    """Work that was done from what has been produced again since."""
    for task, inputs in artifacts.stale_tasks(context.tx).items():
        if by_id[task].status is Status.OPEN:
            continue  # it is going to be done anew
        named = ", ".join(f"{one.producer}:{one.name}" for one in inputs)
        yield FindingData(
            code="stale",
            task=task,
            message=f"{task} was done from older versions of its inputs: {named}",
            remedy=f"wg retry {task}",
        )


def _is_anybody_skilled(context: Context, task: Task) -> bool:
    required = set(task.spec.requires_skills)
    return any(
        "*" in actor.skills or required <= set(actor.skills)
        for actor in service.actors(context.tx)
    )


def _recount(context: Context, tasks: list[Task]) -> list[FindingData]:
    """The counts that are kept, against what they are kept of."""
    return [
        FindingData(
            code="wrong_count",
            task=task.id,
            message=f"{task.id} is said to wait for {task.unmet} tasks,"
            f" and waits for {found}",
            remedy="this is a defect of workgraph: please report it",
        )
        for task in tasks
        if (found := len(readiness.unmet(reads.dependencies(context.tx, task.id))))
        != task.unmet
    ]


def _recount_rewards(context: Context) -> list[FindingData]:
    """The record of actors, against the judgements that it is kept of."""
    return [
        FindingData(
            code="wrong_record",
            task="",
            message=f"the record of the {one.cell.kind} {one.cell.subject[:8]} has"
            f" {one.kept.count} scores that make {one.kept.total:g}, and was given"
            f" {one.counted.count} that make {one.counted.total:g}",
            remedy="this is a defect of workgraph: please report it",
        )
        for one in rewards.recount(context.tx)
    ]


def _run_of(context: Context, task: Task) -> RunningData:
    assert task.claimed_by is not None
    assert task.claimed_at is not None
    agent = agent_reads.by_id(context.tx, task.claimed_by)
    return RunningData(
        agent=agent.id,
        actor=agent.actor,
        since=to_rfc3339(task.claimed_at),
        plan=agent_reads.plan_line(context.tx, agent.number),
        notes=()
        if agent.human
        else (*notes_on_client(context, agent), *notes_on(context, agent)),
    )
