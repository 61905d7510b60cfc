"""What a handler is given: its transaction, who asks, and how the service stands."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from workgraph.commands import shapes
from workgraph.graph import readiness
from workgraph.graph.budgets import Limits
from workgraph.graph.holds import account_in
from workgraph.graph.model import Agent, Record, Stop, Task
from workgraph.graph.readiness import ServiceFacts, TaskFacts
from workgraph.graph.replies import Reply, TaskData
from workgraph.graph.reservations import Reserved
from workgraph.graph.status import Cause, Status
from workgraph.graph.views import RetryPolicy
from workgraph.graph.waits import WaitState
from workgraph.settings import Settings
from workgraph.store import (
    accounts,
    agent_reads,
    agents,
    artifacts,
    breakers,
    errands,
    history,
    leftovers,
    loops,
    messages,
    reads,
    rewards,
    trajectories,
    waits,
)
from workgraph.store.database import Tx


class Caller(Record, frozen=True, kw_only=True):
    """Who asks: an operator by name, or an agent by its token."""

    name: str
    agent: Agent | None = None

    @property
    def by(self) -> str:
        """The name for the change log."""
        return self.agent.id if self.agent else self.name

    @property
    def cause(self) -> Cause:
        """What the table of transitions calls them."""
        return Cause.WORKER if self.agent else Cause.OPERATOR


def _nobody(chat: int) -> int:
    del chat
    return 0


class Context(Struct, frozen=True, kw_only=True):
    """One request's surroundings, inside its transaction."""

    tx: Tx
    caller: Caller
    settings: Settings
    #: Asked for by the few that tell how the service stands.
    ask_service: Callable[[Tx], ServiceFacts]
    project_dir: str
    #: How many are connected to a chat, by its number; nobody where no daemon runs.
    ask_consumers: Callable[[int], int] = _nobody
    #: A daemon answers, which starts what is wanted.
    is_served: bool = True

    @property
    def service(self) -> ServiceFacts:
        """How the service stands at this moment."""
        return self.ask_service(self.tx)

    @property
    def policy(self) -> RetryPolicy:
        """The retry rule's settings."""
        return retry_policy(self.settings)

    def policy_for(self, task: Task) -> RetryPolicy:
        """The same, for a task that may be an errand."""
        return retry_policy(self.settings, errands.among(self.tx, [task.id]))


class Deferred(Struct, frozen=True, kw_only=True):
    """An answer that has to wait until agents are gone.

    `finish` is asked in a new transaction when they are; null says the request over.
    """

    agents: tuple[int, ...]
    finish: Callable[[Context], Reply] | None = None
    #: Ended agents of which what is left is to be ended as well.
    leftover: tuple[int, ...] = ()


Answer = Reply | Deferred


def retry_policy(
    settings: Settings, errands: frozenset[str] = frozenset()
) -> RetryPolicy:
    """What of the settings decides about ended attempts.

    Args:
        settings: What is set.
        errands: Those of the tasks in question that are errands.
    """
    return RetryPolicy(
        max_attempts=settings.retry.max_attempts,
        on=settings.retry.on,
        backoff=settings.retry.backoff,
        backoff_max=settings.retry.backoff_max,
        exit_zero=settings.agents.exit_zero,
        reward_gate=settings.agency.reward_gate,
        errands=errands,
    )


def budget_limits(settings: Settings) -> Limits:
    """What of the settings limits what work may cost."""
    return Limits(
        tokens_per_attempt=settings.budget.tokens_per_attempt,
        usd_per_attempt=settings.budget.usd_per_attempt,
        tokens_per_task=settings.budget.tokens_per_task,
        usd_per_task=settings.budget.usd_per_task,
        tokens_per_day=settings.budget.tokens_per_day,
        usd_per_day=settings.budget.usd_per_day,
    )


def officials_of(settings: Settings) -> frozenset[str]:
    """The actors that assign, judge and propose changes: they are never chosen."""
    agency = settings.agency
    return frozenset({agency.assigner, agency.evaluator, agency.evolver} - {""})


def task_facts(
    tx: Tx, task: Task, reserved: Mapping[str, Reserved] | None = None
) -> TaskFacts:
    """What the reasons for a task's rest depend on.

    Args:
        tx: The transaction.
        task: The task.
        reserved: What trajectories reserve, where that is known for many tasks.
    """
    left = leftovers.of_task(tx, task.id) if task.last_agent is not None else []
    key = task.parked.key if task.parked else None
    name = account_in(key) if key else None
    is_open = task.status is Status.OPEN
    return TaskFacts(
        task=task,
        dependencies=reads.dependencies(tx, task.id) if task.unmet else (),
        leftover=tuple(process.pid for agent in left for process in agent.leftover),
        left_by=tuple(agent.id for agent in left),
        breaker=breakers.find(tx, (key,)).get(key) if key else None,
        account=accounts.find(tx, (name,)).get(name) if name else None,
        missing=artifacts.missing_of(tx, task) if is_open else (),
        trajectory=trajectories.of_task(tx, task.id)
        if reserved is None
        else reserved.get(task.id),
        wait=_wait_of(tx, task),
    )


def _wait_of(tx: Tx, task: Task) -> WaitState | None:
    wait = waits.find(tx, task.id) if task.status is Status.WAITING else None
    return None if wait is None else waits.state_of(tx, wait)


def task_data(context: Context, task_id: str) -> TaskData:
    """A task as `wg show --json` gives it."""
    task = reads.task(context.tx, task_id)
    return describe(context, [task])[0]


def describe(context: Context, tasks: list[Task]) -> tuple[TaskData, ...]:
    """Tasks as `--json` gives them, with their surroundings."""
    tx = context.tx
    reserved = trajectories.every(tx)
    ids = [task.id for task in tasks]
    near = reads.Neighbours(tx, ids)
    late = history.late_results(tx, ids)
    in_loops = loops.latest_of(tx, ids)
    left: dict[str, list[int]] = {}
    for agent in leftovers.all_of(tx):
        left.setdefault(agent.task, []).extend(p.pid for p in agent.leftover)
    stale = artifacts.stale_among(tx, tasks)
    unread = messages.unread_among(tx, ids)
    judged = rewards.latest_of(tx, ids)
    return tuple(
        shapes.task_data(
            task,
            after=tuple(near.after.get(task.id, ())),
            before=tuple(near.before.get(task.id, ())),
            artifacts=tuple(near.artifacts.get(task.id, ())),
            ready=is_ready(tx, task, reserved),
            max_attempts_default=context.settings.retry.max_attempts,
            retry_on_default=context.settings.retry.on,
            holder=_person_holding(tx, task),
            late=late.get(task.id, ()),
            leftover=tuple(left.get(task.id, ())),
            stale=tuple(stale.get(task.id, ())),
            trajectory=reserved.get(task.id),
            loop=in_loops.get(task.id),
            wait=_wait_of(tx, task),
            unread=unread.get(task.id, 0),
            reward=judged.get(task.id),
        )
        for task in tasks
    )


def _person_holding(tx: Tx, task: Task) -> str | None:
    if task.claimed_by is None:
        return None
    agent = agent_reads.by_id(tx, task.claimed_by)
    return agent.actor if agent.human else None


def is_ready(
    tx: Tx, task: Task, reserved: Mapping[str, Reserved] | None = None
) -> bool:
    """Whether a task can be worked on; cheap for those that plainly can't."""
    return task.status is Status.OPEN and readiness.is_ready(
        task_facts(tx, task, reserved), tx.now
    )


def task_reply(context: Context, task_id: str, *notes: str) -> Reply:
    """The answer of a command that has changed a task."""
    return Reply(data=task_data(context, task_id), notes=notes)


def stop_agent(context: Context, agent: Agent, stop: Stop) -> Deferred:
    """Orders the end of a task's process, and answers when it is gone."""
    agents.order_stop(context.tx, agent, stop, None)
    return Deferred(
        agents=(agent.number,),
        finish=lambda later: task_reply(later, agent.task),
    )
