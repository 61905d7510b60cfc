"""Decisions to writes: what reactors have decided, made true in the tick's transaction.

What has to be done in the world afterwards is returned as effects.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Final, assert_never

import msgspec

from workgraph.agents.choices import SHELL, choose_stall_after, choose_working_dir
from workgraph.agents.context import compose_prompt
from workgraph.agents.plan import (
    AgentFacts,
    Flags,
    Grounds,
    PlanError,
    SpawnPlan,
    log_line,
    plan_gate,
    plan_spawn,
    visible,
)
from workgraph.agents.process import LaunchOrder
from workgraph.agents.redact import redact, secrets_in
from workgraph.agents.sandbox import PRIVATE
from workgraph.commands.context import retry_policy
from workgraph.commands.moves import move_task
from workgraph.daemon.effects import (
    AwaitHost,
    Effect,
    EndLeftover,
    LookAtOutput,
    RunGate,
    Spawn,
    StopProcess,
    target_of,
)
from workgraph.graph import decisions as d
from workgraph.graph.changes import ChangeKind
from workgraph.graph.facts import (
    AgentEnded,
    AgentStarted,
    Fact,
    GatesJudged,
    LeftoverFound,
    LifeSought,
)
from workgraph.graph.model import (
    Actor,
    Agent,
    Outcome,
    Parked,
    Record,
    Task,
    Usage,
)
from workgraph.graph.status import Cause, Status, Verb
from workgraph.graph.times import Duration
from workgraph.reactors import patrol
from workgraph.store import (
    agent_reads,
    agents,
    breakers,
    leftovers,
    reads,
    service,
    views,
    writes,
)
from workgraph.store.database import Tx

#: A parked task is looked at again after a minute, then two, up to half an hour.
_FIRST_LOOK: Final = Duration(60)
_LAST_LOOK: Final = Duration(1800)
_MAX_DOUBLINGS: Final = 10
#: A look at leftovers tries once more to end them.
_LOOK_S: Final = 1.0
_encode: Final = msgspec.json.Encoder().encode


class Host(Record, frozen=True, kw_only=True):
    """What applying needs besides the transaction."""

    grounds: Grounds
    #: Where an agent's files are kept.
    folder: Callable[[int], str]
    #: A new secret for each attempt.
    new_token: Callable[[], str]


def apply_decision(tx: Tx, decision: d.Decision, host: Host) -> list[Effect]:
    """Makes one decision true."""
    match decision:
        case d.ConcludeAttempt():
            _conclude(tx, decision)
            return []
        case d.MakeDue() | d.TakeClaim() | d.SetBreaker() | d.HoldTask():
            _write_down(tx, decision)
            return []
        case d.StopAgent():
            agent = agent_reads.by_number(tx, decision.agent)
            agents.order_stop(tx, agent, decision.stop, decision.verdict)
            return [stop_effect(tx, agent.number, host)]
        case d.LookAtLeftover():
            agent = agent_reads.by_number(tx, decision.agent)
            leftovers.put_off(tx, agent)
            return [leftover_effect(agent, host, _LOOK_S)]
        case d.LookForLife():
            folder = host.folder(decision.agent)
            known = decision.known_bytes
            return [
                LookAtOutput(agent=decision.agent, folder=folder, known_bytes=known)
            ]
        case d.JudgeGates():
            return [_gate_effect(tx, decision, host)]
        case d.LaunchAgent():
            return _launch_or_park(tx, decision.task, host)
        case _:
            assert_never(decision)


def apply_fact(tx: Tx, fact: Fact, host: Host) -> None:
    """Writes down what the world has answered."""
    match fact:
        case AgentStarted():
            agents.record_start(tx, fact.agent, fact.process, fact.folder_inode)
        case AgentEnded():
            agents.record_end(
                tx,
                fact.agent,
                agents.End(
                    exit_code=fact.exit_code,
                    signal=fact.signal,
                    outcome=fact.outcome,
                    # it may have the last words of the agent in it
                    reason=fact.reason
                    and redact(fact.reason, secrets_in(host.grounds.host.env)),
                    counted=not fact.never_started,
                ),
            )
            if fact.output_bytes is not None:
                agents.note_output(tx, fact.agent, fact.output_bytes)
        case LifeSought():
            # A file's time may lie ahead of a clock that was set back.
            written = None if fact.written_at is None else min(fact.written_at, tx.now)
            agents.note_look(tx, fact.agent, fact.output_bytes, written)
        case LeftoverFound():
            leftovers.note(tx, agent_reads.by_number(tx, fact.agent), fact.processes)
        case GatesJudged():
            _judge_gates(tx, fact, host)
        case _:
            assert_never(fact)


def launch(
    tx: Tx, task: Task, actor: Actor | None, flags: Flags, host: Host
) -> tuple[int, Spawn]:
    """Claims a task for a new agent, and freezes the plan that it is started with.

    Raises:
        PlanError: No plan can be made; nothing was written.
    """
    number, attempt = agents.next_agent(tx, task.id)
    token = host.new_token()
    prompt = compose_prompt(task)
    folder = host.folder(number)
    facts = AgentFacts(
        id=f"agent-{number}",
        attempt=attempt,
        token=token,
        folder=folder,
        prompt=prompt,
    )
    plan = plan_spawn(host.grounds, task=task, actor=actor, flags=flags, agent=facts)
    _refuse_beside_leftover(tx, task, plan.working_dir.value)
    line = log_line(plan, facts.id)
    shown = _encode(visible(plan)).decode()
    agents.insert_agent(
        tx,
        agents.NewAgent(
            task=task.id,
            attempt=attempt,
            actor=actor.name if actor else None,
            executor=plan.executor.value,
            model=plan.model.value,
            endpoint=plan.endpoint.value,
            workspace=plan.working_dir.value,
            timeout_at=tx.now + Duration(plan.timeout_s.value).micros,
            plan=shown,
            plan_line=line,
            token_sha256=sha256(token.encode()).digest(),
            sandbox=None if plan.sandbox.value == "none" else plan.sandbox.value,
            stall_after=choose_stall_after(
                host.grounds.layered, task, plan.executor.value
            ),
        ),
    )
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
            reason=line,
            claim_ends_at=tx.now + Duration(after).micros if after else None,
        ),
    )
    files = {"prompt.md": prompt, "plan.json": shown}
    order = _order(number, plan, files, host)
    is_shell = plan.executor.value == SHELL
    return number, Spawn(order=order, line=line, may_be_too_fast=not is_shell)


def stop_effect(tx: Tx, number: int, host: Host) -> StopProcess:
    """What has to be done to end an agent, from its row."""
    agent = agent_reads.by_number(tx, number)
    grace = host.grounds.layered.settings.agents.kill_grace
    return StopProcess(
        agent=agent.number,
        folder=host.folder(agent.number),
        process=agent.process,
        grace_s=float(grace),
        force=agent.stop is not None and agent.stop.force,
    )


def leftover_effect(agent: Agent, host: Host, limit_s: float) -> EndLeftover:
    """What has to be done about what an ended agent has left behind."""
    target = target_of(agent, host.folder(agent.number))
    return EndLeftover(target=target, limit_s=limit_s)


def _write_down(
    tx: Tx, decision: d.MakeDue | d.TakeClaim | d.SetBreaker | d.HoldTask
) -> None:
    match decision:
        case d.MakeDue():
            for task in decision.tasks:
                writes.clear_due(tx, task)
        case d.TakeClaim():
            agent = agent_reads.by_number(tx, decision.agent)
            reason = f"{agent.actor} held the task longer than --abandon-after"
            end = agents.End(outcome=Outcome.TIMED_OUT, reason=reason)
            agents.record_end(tx, agent.number, end)
        case d.SetBreaker():
            breakers.put(tx, decision.breaker)
        case d.HoldTask():
            writes.park(tx, reads.task(tx, decision.task), decision.parked, None)
        case _:
            assert_never(decision)


def _conclude(tx: Tx, decision: d.ConcludeAttempt) -> None:
    agent = agents.conclude(
        tx, decision.agent, decision.outcome, counted=decision.counted
    )
    if decision.move is None and agent.usage == Usage():
        return
    task = reads.task(tx, decision.task)
    writes.add_usage(tx, task, agent.usage)
    if decision.move is not None:
        cause = Cause.MACHINE
        if decision.move.verb is Verb.ABANDON:
            cause = Cause.OPERATOR
        move_task(
            tx,
            task,
            decision.move,
            cause=cause,
            agent=agent,
            counted=decision.counted,
        )
        if decision.move.parked is not None:
            writes.park(tx, task, decision.move.parked, None)
    if decision.quick is not None:
        writes.set_quick(tx, task.id, decision.quick)


def _refuse_beside_leftover(tx: Tx, task: Task, workspace: str) -> None:
    """What still runs of an attempt would change the next one's files under it."""
    for agent in leftovers.of_task(tx, task.id):
        if agent.workspace == workspace:
            pids = " ".join(str(process.pid) for process in agent.leftover)
            raise PlanError(
                f"{task.id}: processes of {agent.id} are not gone: {pids}",
                hint=f"wg kill {agent.id} --force",
                code="leftover",
            )


def _launch_or_park(tx: Tx, task: Task, host: Host) -> list[Effect]:
    actor = service.actor_by_name(tx, task.actor)
    if task.actor is not None and (actor is None or actor.human):
        writes.park(
            tx,
            task,
            Parked(
                code="assigned_to_person",
                message=f"it is assigned to {task.actor}, a person",
                remedy=f"{task.actor} takes it with: wg claim {task.id}"
                f" --actor {task.actor}",
            ),
            None,
        )
        return []
    try:
        _, spawn = launch(tx, task, actor, Flags(), host)
    except PlanError as error:
        looks = task.parked.looks + 1 if task.parked else 1
        wait = min(
            _FIRST_LOOK.micros << min(looks - 1, _MAX_DOUBLINGS), _LAST_LOOK.micros
        )
        parked = Parked(
            code=error.code, message=error.message, remedy=error.hint, looks=looks
        )
        writes.park(tx, task, parked, tx.now + wait)
        return [AwaitHost(awaited=error.awaits)] if error.awaits else []
    return [spawn]


def _order(
    number: int, plan: SpawnPlan, files: Mapping[str, str], host: Host
) -> LaunchOrder:
    folder = host.folder(number)
    settings = host.grounds.layered.settings.agents
    return LaunchOrder(
        agent=number,
        folder=folder,
        argv=plan.argv.value,
        env={name: chosen.value for name, chosen in plan.env.items()},
        cwd=plan.working_dir.value,
        stdin=f"{folder}/prompt.md" if plan.stdin.value == "prompt" else None,
        stderr_apart=plan.stderr_apart,
        files=files,
        nice=settings.nice,
        sandboxed=plan.sandbox.value != "none",
        cgroup=settings.cgroups == "auto",
    )


def _gate_effect(tx: Tx, decision: d.JudgeGates, host: Host) -> RunGate:
    task = reads.task(tx, decision.task)
    grounds = host.grounds
    env = {name: chosen.value for name, chosen in grounds.env["shell"].items()}
    env |= dict(task.spec.env)
    env |= {"WG_DIR": grounds.host.wg_dir, "WG_GATE": decision.gate}
    folder = choose_working_dir(grounds.host, task).value
    sandbox = plan_gate(grounds, task, folder) if decision.gate == "verify" else ()
    if sandbox:
        env["TMPDIR"] = PRIVATE[0]
    limit = task.spec.timeout_s or float(grounds.layered.settings.agents.timeout)
    return RunGate(
        task=task.id,
        agent=decision.agent,
        gate=decision.gate,
        handed_in=decision.handed_in,
        working_dir=folder,
        outputs=task.spec.outputs,
        commands=task.spec.verify,
        sandbox=sandbox,
        env=env,
        timeout_s=limit,
    )


def _judge_gates(tx: Tx, fact: GatesJudged, host: Host) -> None:
    """Moves a task on by what its gate said; a verdict on older work is dropped."""
    task = reads.task(tx, fact.task)
    if (
        task.status is not Status.PENDING_REVIEW
        or task.gate != fact.gate
        or views.handed_in(tx, task.id) != fact.handed_in
    ):
        return
    agent = _attempt_of(tx, task)
    tx.emit(
        ChangeKind.GATE_JUDGED,
        task=task.id,
        agent=fact.agent,
        attempt=agent.attempt if agent else None,
        to="failed" if fact.failed else "passed",
        reason=f"{task.gate}" + (f": {fact.evidence}" if fact.evidence else ""),
    )
    if fact.failed is None:
        following = patrol.gate_after(task.gate or "outputs", task)
        if following is not None:
            writes.set_gate(tx, task.id, following)
            return
        move_task(tx, task, d.MoveTask(verb=Verb.APPROVE), agent=agent)
        return
    policy = retry_policy(host.grounds.layered.settings)
    move = patrol.judge(Outcome.GATE, fact.evidence, task, policy, tx.now)
    verb = Verb.REJECT if move.verb is Verb.REQUEUE else Verb.FAIL
    if agent is not None:
        agents.fail_gate(tx, agent)
    move_task(tx, task, msgspec.structs.replace(move, verb=verb), agent=agent)


def _attempt_of(tx: Tx, task: Task) -> Agent | None:
    return agent_reads.by_id(tx, task.last_agent) if task.last_agent else None
