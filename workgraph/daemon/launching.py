"""From a ready task to a claim, a frozen plan and an order to start its process.

All of it are rows before there is a process: a crash in between leaves a row that says
what was intended, and starting up settles it.
"""

import shlex
from collections.abc import Callable
from typing import Final

from msgspec import field
from msgspec.structs import replace

from workgraph.agents.choices import (
    SHELL,
    choose_account,
    choose_endpoint,
    choose_executor,
    choose_model,
    choose_stall_after,
    choose_working_dir,
)
from workgraph.agents.plan import (
    AgentFacts,
    Flags,
    Grounds,
    PlanError,
    plan_spawn,
)
from workgraph.agents.sessions import Whose, session_of
from workgraph.agents.streams.reader import client_home
from workgraph.commands.context import budget_limits
from workgraph.daemon import along, assigning
from workgraph.daemon.orders import AwaitHost, Effect, Listen, ReadFiles, Spawn
from workgraph.daemon.planned import add_agent
from workgraph.daemon.prompting import FilesWantedError, compile_prompt, draft_prompt
from workgraph.daemon.slate import Slate
from workgraph.graph.assigning import describe, lacks_skill
from workgraph.graph.budgets import Held, Reservation
from workgraph.graph.changes import ChangeKind
from workgraph.graph.context_view import Files
from workgraph.graph.matching import missing_skills
from workgraph.graph.model import Actor, Parked, Record, Task, Usage
from workgraph.graph.status import Cause, Verb
from workgraph.graph.times import Duration
from workgraph.reactors.budgets import SHARES, reserve
from workgraph.store import (
    agent_reads,
    agents,
    artifacts,
    budgets,
    choices,
    clients,
    messages,
    prompts,
    service,
    trajectories,
    writes,
)
from workgraph.store.database import Tx

#: A parked task is looked at again after a minute, then two, up to half an hour.
_FIRST_LOOK: Final = Duration(60)
_LAST_LOOK: Final = Duration(1800)
_MAX_DOUBLINGS: Final = 10


class OverBudgetError(PlanError):
    """A budget has nothing left for this start."""

    def __init__(self, task: Task, held: Held) -> None:
        parked = held.parked
        message = f"{task.id}: {parked.message}"
        super().__init__(message, hint=parked.remedy, code=parked.code)
        self.held = held


class Host(Record, frozen=True, kw_only=True):
    """What applying needs besides the transaction."""

    grounds: Grounds
    #: Where an agent's files are kept.
    folder: Callable[[int], str]
    #: A new secret for each attempt.
    new_token: Callable[[], str]
    #: A new UUID, for clients whose sessions are named by whoever starts them.
    new_session: Callable[[], str]
    #: What has just been read for prompts.
    files: Files = field(default_factory=dict)
    #: Who was chosen in this tick, or for this start.
    slate: Slate = field(default_factory=Slate)


def launch(
    tx: Tx, task: Task, actor: Actor | None, flags: Flags, host: Host
) -> tuple[int, Spawn]:
    """Claims a task for a new agent, and freezes the plan that it is started with.

    Raises:
        PlanError: No plan can be made, or a budget has nothing left; nothing was
            written.
        FilesWantedError: Its prompt shows files that are not among the host's; nothing
            was written either.
    """
    _refuse_incapable(task, actor)
    aside = set_aside(tx, task, host)
    inputs = artifacts.inputs_of(tx, task)
    number, attempt = agents.next_agent(tx, task.id)
    _, executor = choose_executor(host.grounds, task, actor, flags)
    session = session_to_go_on(tx, task, actor, flags, host.grounds)
    draft = draft_prompt(tx, task, actor, executor, host.grounds, session)
    compiled = compile_prompt(draft, host.grounds, host.files)
    facts = AgentFacts(
        id=f"agent-{number}",
        attempt=attempt,
        token=host.new_token(),
        folder=host.folder(number),
        session=session,
        new_session=host.new_session(),
        prompt=compiled.text,
        metered=aside != Reservation(),
    )
    plan = plan_spawn(
        host.grounds, task=task, actor=actor, flags=flags, agent=facts, inputs=inputs
    )
    planned = add_agent(
        tx,
        task,
        plan,
        facts,
        aside=aside,
        settings=host.grounds.layered.settings.agents,
        actor=actor,
        timeout_at=tx.now + Duration(plan.timeout_s.value).micros,
        stall_after=choose_stall_after(host.grounds.layered, task, plan.executor.value),
    )
    note_choice(tx, task, attempt, host.slate)
    prompts.keep(tx, number, compiled)
    if task.spec.exec is None:
        messages.note_read(tx, compiled.messages, number)
    if session:
        messages.go_on(tx, task)
    artifacts.note_consumed(tx, number, inputs)
    along.reserve_along(tx, task, actor, plan, host.grounds)
    after = task.spec.abandon_after_s
    writes.change_status(
        tx,
        task,
        Verb.CLAIM,
        Cause.MACHINE,
        writes.Marks(
            by="workgraph",
            agent=facts.id,
            attempt=facts.attempt,
            actor=actor.name if actor else None,
            reason=planned.line,
            claim_ends_at=tx.now + Duration(after).micros if after else None,
        ),
    )
    return number, Spawn(
        order=planned.order,
        line=planned.line,
        may_be_too_fast=plan.executor.value != SHELL,
        listen=listen_to(tx, planned.live),
    )


def launch_or_park(tx: Tx, task: Task, host: Host) -> list[Effect]:
    """Launches a ready task's agent, or keeps the task back and says why it can't."""
    cleared = host.slate.find(task.id)
    if cleared is not None:
        name = cleared.actor
        actor = host.slate.actors.get(name) if name is not None else None
    else:
        name = trajectories.actor_for(tx, task.id, task.actor)
        actor = service.actor_by_name(tx, name)
    if name is not None and (actor is None or actor.human):
        code, shown = "assigned_to_person", shlex.quote(name)
        known = task.parked is not None and task.parked.code == code
        assigning.park(
            tx,
            task,
            Parked(
                code=code,
                message=f"it is assigned to {name}, a person",
                remedy=f"{name} takes it with: wg claim {task.id} --actor {shown}",
                looks=task.parked.looks + 1 if task.parked and known else 1,
            ),
        )
        return []
    try:
        _, spawn = launch(tx, task, actor, Flags(), host)
    except FilesWantedError as error:
        env = host.grounds.host.env
        return [ReadFiles(task=task.id, wishes=error.wishes, env=env)]
    except OverBudgetError as error:
        held = error.held
        known = task.parked is not None and task.parked.code == held.parked.code
        looks = task.parked.looks + 1 if task.parked and known else 1
        writes.park(tx, task, replace(held.parked, looks=looks), held.until)
        return []
    except PlanError as error:
        looks = task.parked.looks + 1 if task.parked else 1
        wait = min(
            _FIRST_LOOK.micros << min(looks - 1, _MAX_DOUBLINGS), _LAST_LOOK.micros
        )
        parked = Parked(
            code=error.code,
            message=error.message,
            remedy=error.hint,
            looks=looks,
            producer=error.producer,
        )
        # An artifact that is recorded says so itself.
        until = None if error.producer else tx.now + wait
        assigning.park(tx, task, parked, until)
        return [AwaitHost(awaited=error.awaits)] if error.awaits else []
    return [spawn]


def session_to_go_on(
    tx: Tx, task: Task, actor: Actor | None, flags: Flags, grounds: Grounds
) -> str:
    """The session of the last attempt, where the next one goes on with it; else empty.

    It is the same actor's, or none. A trajectory's next step goes on with that of the
    step before it.

    Raises:
        PlanError: No plan can be made.
    """
    if task.spec.exec is not None:
        return ""
    follows = along.previous_of(tx, task) is not None
    fresh = grounds.layered.settings.retry.resume == "fresh"
    if not follows and (task.last_agent is None or fresh):
        return ""
    chosen, executor = choose_executor(grounds, task, actor, flags)
    if not executor.can_resume:
        return ""
    model = choose_model(grounds, task, actor, flags, executor)
    endpoint, _ = choose_endpoint(grounds, task, flags, executor)
    account = choose_account(grounds.layered, executor, model.value, endpoint.value)
    whose = Whose(
        executor=chosen.value,
        account=account.value,
        workspace=choose_working_dir(grounds.host, task).value,
        actor_id=actor.id if actor else None,
    )
    if follows:
        return along.session_of_step(tx, task, whose)
    assert task.last_agent is not None
    return session_of(
        agent_reads.by_id(tx, task.last_agent),
        whose,
        rejected=task.failure is not None and task.failure.class_ == "rejected",
    )


def listen_to(tx: Tx, live: clients.LiveStream) -> Listen | None:
    """What is to be followed of an agent: nothing where it writes plain text."""
    if live.stream == "text":
        return None
    earlier = Usage()
    if live.resumed is not None:
        earlier = clients.usage_of_session(tx, live.resumed, live.agent)
    return Listen(
        stream=live.stream,
        earlier=earlier,
        since=live.started_at,
        home=client_home(live.stream, live.env),
    )


def note_choice(tx: Tx, task: Task, attempt: int, slate: Slate) -> None:
    """Keeps how an attempt's actor was chosen, where there was a choice."""
    cleared = slate.find(task.id)
    if cleared is None or cleared.choice is None:
        return
    choices.put(tx, task.id, attempt, cleared.choice)
    tx.emit(
        ChangeKind.ASSIGNED,
        task=task.id,
        attempt=attempt,
        actor=cleared.choice.actor,
        to=cleared.choice.actor,
        reason=describe(cleared.choice),
    )


def _refuse_incapable(task: Task, actor: Actor | None) -> None:
    """Whoever has chosen it: what lacks a skill is not started."""
    if actor is not None and missing_skills(actor, task.spec.requires_skills):
        parked = lacks_skill(task, actor)
        raise PlanError(
            f"{task.id}: {parked.message}", hint=parked.remedy, code=parked.code
        )


def set_aside(tx: Tx, task: Task, host: Host) -> Reservation:
    """What a start sets aside of its budgets; a command's costs nothing.

    Raises:
        OverBudgetError: There is nothing left of one.
    """
    if task.spec.exec is not None:
        return Reservation()
    limits = budget_limits(host.grounds.layered.settings)
    under = budgets.of_start(tx, task, limits, SHARES)
    result = reserve(task.id, under, tx.now)
    if isinstance(result, Held):
        raise OverBudgetError(task, result)
    return result
