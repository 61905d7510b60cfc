"""Why a task is not running: the one place that knows every reason.

`explain` is asked by ready, blocked, why, claim, done and dispatch alike. A task that
is not running never has an empty list of reasons.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from workgraph.graph.assigning import AWAITING
from workgraph.graph.chats import ARCHIVED_TAG, PARKED_CODE, chat_number
from workgraph.graph.errands import ASSIGN
from workgraph.graph.holds import Account, AccountState, Breaker
from workgraph.graph.inputs import MISSING_INPUT, Input, missing_artifact, remedy_of
from workgraph.graph.judging import Awaited, explain_score
from workgraph.graph.loops import Loop
from workgraph.graph.model import Edge, Record, Task
from workgraph.graph.reasons import Reason, Weight
from workgraph.graph.reservations import Reserved
from workgraph.graph.status import MEETS, Status
from workgraph.graph.times import to_rfc3339
from workgraph.graph.waiting import explain_wait
from workgraph.graph.waits import WaitState


class ServiceFacts(Record, frozen=True, kw_only=True):
    """How the service stands, as far as it keeps tasks from running."""

    daemon_running: bool = True
    paused: bool = False
    frozen: bool = False
    draining: bool = False
    live_agents: int = 0
    max_agents: int = 4
    #: Why nothing can be written just now, a full disk for one; null while it can.
    trouble: str | None = None


class TaskFacts(Record, frozen=True, kw_only=True):
    """A task, and what the answer depends on besides it."""

    task: Task
    dependencies: tuple[tuple[Edge, Status], ...] = ()
    #: Processes of earlier attempts that could not be ended, and whose they are.
    leftover: tuple[int, ...] = ()
    left_by: tuple[str, ...] = ()
    #: How the breaker stands that keeps it back, if one does.
    breaker: Breaker | None = None
    #: How the account stands that does.
    account: Account | None = None
    #: Inputs that nobody is going to record.
    missing: tuple[Input, ...] = ()
    #: How a trajectory reserves it, if one does.
    trajectory: Reserved | None = None
    #: What it waits for, while its status says so.
    wait: WaitState | None = None
    #: The loop that it is in; only `why` looks it up.
    loop: Loop | None = None
    #: Whose score it waits for; only `why` and the inbox look it up.
    score: Awaited | None = None


def unmet(
    dependencies: tuple[tuple[Edge, Status], ...],
) -> tuple[tuple[Edge, Status], ...]:
    """The dependencies that a task still waits for."""
    return tuple((edge, at) for edge, at in dependencies if at not in MEETS[edge.on])


def explain_task(facts: TaskFacts, now: int) -> tuple[Reason, ...]:
    """The reasons that lie in the task and its surroundings, gravest first.

    Nothing weighs more than the service exactly when the task could be started now,
    or is in progress.
    """
    task = facts.task
    if task.status is not Status.OPEN or _is_chat(task):
        if facts.wait is not None:
            return explain_wait(facts.wait, now)
        return _closed(task, facts.loop, facts.score)
    reasons = [_waits_for(task, edge, at) for edge, at in unmet(facts.dependencies)]
    reasons += [_misses(task, one) for one in facts.missing]
    if task.paused:
        reasons.append(
            Reason(
                code="paused",
                message=f"{task.id} is paused",
                remedy=f"wg resume {task.id}",
            )
        )
    if task.not_before is not None and task.not_before > now:
        reasons.append(
            Reason(
                code="not_before",
                message=f"it is not to start before {to_rfc3339(task.not_before)}",
                remedy=f"wait, or wg edit {task.id} --not-before 0s",
            )
        )
    if task.retry_at is not None and task.retry_at > now:
        why = f" after: {task.failure.reason}" if task.failure else ""
        reasons.append(
            Reason(
                code="backoff",
                message=f"the next attempt starts at {to_rfc3339(task.retry_at)}{why}",
                remedy=f"wait, or wg claim --force {task.id} to do it yourself",
            )
        )
    if task.reserved_for is not None:
        reasons.append(
            Reason(
                code="reserved",
                message=f"{task.id} is reserved for {task.reserved_for}",
                remedy=f"wg claim {task.id} --actor {task.reserved_for},"
                f" or wg unclaim {task.id}",
                weight=Weight.DISPATCH,
            )
        )
    if facts.trajectory is not None:
        reasons.append(_in_trajectory(task, facts.trajectory))
    if task.parked is not None and not (
        (facts.leftover and task.parked.code == "leftover")
        # told by `missing`, as it is now
        or task.parked.producer is not None
    ):
        reasons.append(_parked(facts, now))
    if facts.leftover:
        pids = " ".join(str(pid) for pid in facts.leftover)
        agents = " ".join(facts.left_by) or task.last_agent
        reasons.append(
            Reason(
                code="leftover",
                message=f"processes of its last attempt are not gone: {pids}",
                remedy=f"wg kill {agents} --force",
                weight=Weight.SERVICE,
            )
        )
    return tuple(reasons)


def explain_service(service: ServiceFacts) -> tuple[Reason, ...]:
    """The reasons why a task that could be started is not, all of the service."""
    if not service.daemon_running:
        return (_DAEMON_NOT_RUNNING,)
    if service.frozen:
        return (_SERVICE_FROZEN,)
    if service.paused:
        return (_SERVICE_PAUSED,)
    if service.draining:
        return (_DRAINING,)
    if service.trouble is not None:
        return (
            Reason(
                code="no_free_slot",
                message=f"the daemon can't start anything just now: {service.trouble}",
                remedy="mend that: it goes on by itself, within a minute",
                weight=Weight.SERVICE,
            ),
        )
    if service.live_agents >= service.max_agents:
        return (
            Reason(
                code="no_free_slot",
                message=f"{service.live_agents} agents are running, and at most"
                f" {service.max_agents} may",
                remedy="wait, or wg config set dispatcher.max_agents N",
                weight=Weight.SERVICE,
            ),
        )
    return (_ABOUT_TO_START,)


def explain(facts: TaskFacts, service: ServiceFacts, now: int) -> tuple[Reason, ...]:
    """Every reason why a task is not running; empty only while it is in progress."""
    if facts.task.status is Status.IN_PROGRESS:
        return ()
    reasons = explain_task(facts, now)
    if facts.task.status is not Status.OPEN or _is_chat(facts.task):
        return reasons
    if not service.daemon_running or service.paused:
        return (*reasons, *explain_service(service))
    if all(_is_turn(reason) for reason in reasons):
        return (*reasons, *explain_service(service))
    return reasons


def is_ready(facts: TaskFacts, now: int) -> bool:
    """Whether a task can be worked on now, by somebody whom it is meant for."""
    return facts.task.status is Status.OPEN and all(
        reason.weight is Weight.SERVICE for reason in explain_task(facts, now)
    )


def blocks_claim(facts: TaskFacts, now: int) -> tuple[Reason, ...]:
    """What keeps a person from taking a task."""
    return tuple(
        reason for reason in explain_task(facts, now) if reason.weight is Weight.WORK
    )


_DAEMON_NOT_RUNNING: Final = Reason(
    code="daemon_not_running",
    message="no daemon is running that would start it",
    remedy="wg service start, or wg run",
    weight=Weight.SERVICE,
)
_SERVICE_PAUSED: Final = Reason(
    code="service_paused",
    message="the service is paused: it starts no new agents",
    remedy="wg service resume",
    weight=Weight.SERVICE,
)
_SERVICE_FROZEN: Final = Reason(
    code="service_paused",
    message="the service is frozen: agents stand still, and none are started",
    remedy="wg service thaw",
    weight=Weight.SERVICE,
)
_DRAINING: Final = Reason(
    code="service_paused",
    message="the daemon is about to end and starts no new agents",
    remedy="wg service start",
    weight=Weight.SERVICE,
)
_ABOUT_TO_START: Final = Reason(
    code="no_free_slot",
    message="it is ready and will be started at the next tick",
    remedy="wait a moment",
    weight=Weight.SERVICE,
)

#: What each parked code holds back; what is not here is `DISPATCH`.
_PARKED_WEIGHT: Final[Mapping[str, Weight]] = MappingProxyType(
    {"assigned_to_person": Weight.SERVICE, "leftover": Weight.SERVICE}
)


def _is_chat(task: Task) -> bool:
    return task.parked is not None and task.parked.key == PARKED_CODE


def _parked(facts: TaskFacts, now: int) -> Reason:
    task = facts.task
    assert task.parked is not None
    if facts.breaker is not None:
        return _held(facts.breaker)
    if facts.account is not None:
        return _limited(facts.account, task, now)
    return Reason(
        code=task.parked.code,
        message=task.parked.message,
        remedy=task.parked.remedy,
        weight=_PARKED_WEIGHT.get(task.parked.code, Weight.DISPATCH),
    )


def _in_trajectory(task: Task, trajectory: Reserved) -> Reason:
    """Its own agent is not kept from it when it is its turn; all others are."""
    message = (
        f"{task.id} is reserved for {trajectory.whose}: step {trajectory.step} of"
        f" {trajectory.steps} of trajectory {trajectory.number}"
    )
    if trajectory.behind is not None:
        message += f", after {trajectory.behind}"
    remedy = f"wg unclaim {task.id} releases it and what comes after it"
    mine = trajectory.is_next and not trajectory.human
    if trajectory.human and trajectory.actor is not None:
        remedy = f"wg claim {task.id} --actor {trajectory.actor}, or {remedy}"
    return Reason(
        code="reserved",
        message=message,
        remedy=remedy,
        weight=Weight.SERVICE if mine else Weight.DISPATCH,
    )


def _is_turn(reason: Reason) -> bool:
    return reason.code == "reserved" and reason.weight is Weight.SERVICE


def _held(breaker: Breaker) -> Reason:
    kind, _, name = breaker.key.partition(":")
    if breaker.opened_at is None:
        return Reason(
            code="no_free_slot",
            message=f"{kind} {name} is on trial: three agents at a time are started"
            " until one has ended well",
            remedy="wait a moment",
            weight=Weight.SERVICE,
        )
    then = to_rfc3339(breaker.until or breaker.opened_at)
    return Reason(
        code="quarantined",
        message=f"{kind} {name} is held back: {len(breaker.failed)} starts in a row"
        f" have failed, the last: {breaker.reason}; one is tried from {then} on",
        remedy="mend it, then: wg service reload; or wait",
        weight=Weight.DISPATCH,
    )


def _limited(account: Account, task: Task, now: int) -> Reason:
    name = f"account {account.key}"
    if account.at_once is not None:
        return Reason(
            code="provider_limited",
            message=f"{name} answers again: at most {account.at_once} agents at a time"
            " are sent there, and more with each that is answered",
            remedy="wait a moment",
            weight=Weight.SERVICE,
        )
    is_broken = account.state is AccountState.BROKEN
    until = account.until or 0
    then = f"one agent is tried from {to_rfc3339(until)} on"
    if until <= now:
        then = "one agent at a time is tried"
    elif not is_broken:
        then += ", and the others follow"
    return Reason(
        code="provider_limited",
        message=f"{name} is {account.state}: {account.reason}; {then}",
        remedy="log in, or mend its key; then: wg service reload"
        if is_broken
        else f"wait, or have it tried now: wg retry {task.id}",
        weight=Weight.DISPATCH,
    )


def _misses(task: Task, one: Input) -> Reason:
    return Reason(
        code=MISSING_INPUT,
        message=missing_artifact(one),
        remedy=remedy_of(task.id, one),
    )


def _waits_for(task: Task, edge: Edge, at: Status) -> Reason:
    if edge.on == "settled" and edge.id.startswith(ASSIGN):
        return Reason(
            code=AWAITING,
            message=f"{edge.id} is to say who does it, and is {at}",
            remedy=f"wg why {edge.id}, or wg assign {task.id} NAME",
        )
    if at is Status.FAILED:
        return Reason(
            code="dependency_failed",
            message=f"{edge.id}, which it waits for, has failed",
            remedy=f"wg retry {edge.id}, or wg abandon {edge.id} to go on without it",
        )
    return Reason(
        code="dependency_open",
        message=f"it waits for {edge.id}, which is {at}",
        remedy=f"wg why {edge.id}",
    )


def _closed(task: Task, loop: Loop | None, score: Awaited | None) -> tuple[Reason, ...]:
    match task.status:
        case Status.OPEN if task.parked is not None:
            parked = task.parked
            return (
                Reason(code=parked.code, message=parked.message, remedy=parked.remedy),
            )
        case Status.OPEN | Status.IN_PROGRESS:
            return ()
        case Status.WAITING:
            return (
                Reason(
                    code="waiting_for",
                    message="its worker has put it off until something happens",
                    remedy=f"wg show {task.id}",
                ),
            )
        case Status.PENDING_REVIEW:
            return (_pending(task, score),)
        case Status.FAILED:
            why = f": {task.failure.reason}" if task.failure else ""
            return (
                Reason(
                    code="attempts_exhausted" if task.failure else "settled",
                    message=f"it has failed after {task.attempts} attempts{why}",
                    remedy=f"wg retry {task.id}",
                ),
            )
        case Status.DONE if loop is not None:
            return (
                Reason(
                    code="settled",
                    message=f"it is done in {loop.progress} of its loop",
                    remedy=f"wg why {loop.last}, which ends the iteration",
                ),
            )
        case Status.DONE:
            message, remedy = "it is done", "nothing to do"
            if chat_number(task.id) is not None and ARCHIVED_TAG in task.spec.tags:
                message = "it is a conversation that was archived"
                remedy = f"wg chat restore {task.id}"
            return (Reason(code="settled", message=message, remedy=remedy),)
        case Status.ABANDONED:
            return (
                Reason(
                    code="settled",
                    message="it was abandoned",
                    remedy=f"wg retry {task.id}",
                ),
            )


def _pending(task: Task, score: Awaited | None) -> Reason:
    if score is not None:
        return explain_score(task, score)
    gates = {
        "outputs": "its promised outputs are being looked for",
        "verify": "its --verify commands are being run",
        "reward": "it waits for an evaluator's score",
        "verdict": "what it has answered is being read",
        "loop": "its loop is about to say whether it runs again",
    }
    message = gates.get(task.gate or "", "it waits for a person's review")
    return Reason(
        code="pending_review",
        message=message,
        remedy=f"wg approve {task.id}, or wg reject {task.id} --reason R",
    )
