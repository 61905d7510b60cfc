"""Decisions to writes: what reactors have decided, made true in the tick's transaction.

What has to be done in the world afterwards is returned as effects.
"""

from typing import Final, assert_never

from workgraph.agents.choices import choose_working_dir
from workgraph.agents.plan import (
    plan_gate,
)
from workgraph.agents.redact import redact, secrets_in
from workgraph.agents.sandbox import PRIVATE
from workgraph.commands import iterations, judging, passing
from workgraph.commands.context import retry_policy
from workgraph.commands.moves import move_task
from workgraph.commands.records import keep_outputs
from workgraph.daemon import assigning, chatting, errands, evolving, spending
from workgraph.daemon.artifacts import copies_dir
from workgraph.daemon.launching import Host, launch_or_park
from workgraph.daemon.orders import (
    Effect,
    EndLeftover,
    LookAtOutput,
    RunGate,
    StopProcess,
    WatchPaths,
    target_of,
)
from workgraph.daemon.reporting import note_report
from workgraph.graph import decisions as d
from workgraph.graph.chats import (
    ArchiveChat,
    DeliverMessage,
    SettleHandler,
    StartHandler,
    StopHandler,
)
from workgraph.graph.errands import GATE as VERDICT
from workgraph.graph.facts import (
    AgentEnded,
    AgentReported,
    AgentStarted,
    ChatHeard,
    Fact,
    FilesRead,
    GatesJudged,
    InputTaken,
    LeftoverFound,
    LifeSought,
    PathFound,
)
from workgraph.graph.judging import (
    AskEvaluator,
    JudgeScore,
    LeaveUnjudged,
    ScoreAttempt,
)
from workgraph.graph.loops import GATE
from workgraph.graph.model import (
    Agent,
    Outcome,
    Task,
    Usage,
)
from workgraph.graph.status import Cause, Status, Verb
from workgraph.store import (
    accounts,
    agent_reads,
    agents,
    breakers,
    budgets,
    chats,
    leftovers,
    loops,
    messages,
    reads,
    views,
    waits,
    writes,
)
from workgraph.store.database import Tx

#: A look at leftovers tries once more to end them.
_LOOK_S: Final = 1.0


def apply_decision(  # noqa: C901, PLR0912 - one arm for each kind
    tx: Tx, decision: d.Decision, host: Host
) -> list[Effect]:
    """Makes one decision true."""
    match decision:
        case d.ConcludeAttempt():
            _conclude(tx, decision, host)
            _settle_messages(tx, agent_reads.by_number(tx, decision.agent))
            return []
        case (
            d.MakeDue()
            | d.TakeClaim()
            | d.SetBreaker()
            | d.SetAccount()
            | d.HoldTask()
            | d.WarnAgent()
            | d.WakeTask()
            | d.NoteWait()
        ):
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
        case d.WatchPaths():
            return [WatchPaths(paths=decision.paths)]
        case d.JudgeGates():
            if decision.gate == VERDICT:
                return errands.ask(tx, decision, host)
            return [_gate_effect(tx, decision, host)]
        case d.JudgeTrial():
            evolving.judge_trial(tx, decision, host)
            return []
        case ScoreAttempt() | AskEvaluator() | LeaveUnjudged() | JudgeScore():
            judging.carry_out(tx, decision, host.grounds.layered.settings)
            return []
        case d.ClearTask() | d.AskAssigner():
            assigning.carry_out(tx, decision, host.slate)
            return []
        case (
            StartHandler()
            | StopHandler()
            | DeliverMessage()
            | SettleHandler()
            | ArchiveChat()
        ):
            return chatting.carry_out(tx, decision, host)
        case d.LaunchAgent():
            return launch_or_park(tx, decision.task, host)
        case _:
            assert_never(decision)


def apply_fact(  # noqa: C901 - one arm for each kind
    tx: Tx, fact: Fact, host: Host
) -> None:
    """Writes down what the world has answered."""
    match fact:
        case AgentStarted():
            agents.record_start(tx, fact.agent, fact.process, fact.folder_inode)
        case AgentReported():
            note_report(tx, fact.agent, fact.report, host)
        case AgentEnded():
            _record_end(tx, fact, host)
        case LifeSought():
            # A file's time may lie ahead of a clock that was set back.
            written = None if fact.written_at is None else min(fact.written_at, tx.now)
            agents.note_look(tx, fact.agent, fact.output_bytes, written)
        case LeftoverFound():
            leftovers.note(tx, agent_reads.by_number(tx, fact.agent), fact.processes)
        case PathFound():
            waits.note_file(tx, fact.path)
        case GatesJudged():
            _judge_gates(tx, fact, host)
        case InputTaken():
            chats.note_taken(tx, fact.agent, taken=True)
        case ChatHeard():
            chatting.note_heard(tx, fact, host)
        case FilesRead():
            pass  # the tick hands it to those who start agents
        case _:
            assert_never(fact)


def _record_end(tx: Tx, fact: AgentEnded, host: Host) -> None:
    if fact.report is not None:
        note_report(tx, fact.agent, fact.report, host)
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
    if fact.unread:
        chats.note_taken(tx, fact.agent, taken=False)
    if fact.output_bytes is not None:
        agents.note_output(tx, fact.agent, fact.output_bytes)


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
    tx: Tx,
    decision: d.MakeDue
    | d.TakeClaim
    | d.SetBreaker
    | d.SetAccount
    | d.HoldTask
    | d.WarnAgent
    | d.WakeTask
    | d.NoteWait,
) -> None:
    match decision:
        case d.WakeTask() | d.NoteWait():
            _judge_wait(tx, decision)
        case d.WarnAgent():
            agent = agent_reads.by_number(tx, decision.agent)
            budgets.warn(tx, agent, decision.warnings)
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
        case d.SetAccount():
            accounts.put(tx, decision.account)
        case d.HoldTask():
            assigning.park(tx, reads.task(tx, decision.task), decision.parked)
        case _:
            assert_never(decision)


def _judge_wait(tx: Tx, decision: d.WakeTask | d.NoteWait) -> None:
    wait = waits.find(tx, decision.task)
    assert wait is not None
    waits.note_terms(tx, wait, decision.met)
    if isinstance(decision, d.NoteWait):
        return
    task = reads.task(tx, decision.task)
    move = d.MoveTask(
        verb=Verb.WAKE, reason=decision.reason, retry_at=decision.retry_at
    )
    move_task(tx, task, move, reserved_for=task.reserved_for)


def _conclude(tx: Tx, decision: d.ConcludeAttempt, host: Host) -> None:
    settings = host.grounds.layered.settings
    task = reads.task(tx, decision.task)
    agent = agents.conclude(
        tx,
        decision.agent,
        decision.outcome,
        counted=decision.counted,
        to_judge=judging.is_to_judge(tx, task, decision.outcome, settings),
    )
    spending.settle_end(tx, agent, host)
    if decision.move is None and agent.usage == Usage():
        return
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
            refused=decision.refused,
        )
        if decision.move.parked is not None:
            spending.park(tx, task.id, decision.move, host)
    if decision.quick is not None:
        writes.set_quick(tx, task.id, decision.quick)


def _settle_messages(tx: Tx, agent: Agent) -> None:
    """Work that was taken, or that a person looks at, deals with what was said to it.

    Before a gate has judged it, the next attempt may have to know.
    """
    if agent.outcome not in {Outcome.DONE, Outcome.SUBMITTED}:
        return
    if not messages.has_any(tx, agent.task):
        return
    if reads.task(tx, agent.task).gate not in passing.UNSETTLED:
        messages.settle(tx, agent)


def _gate_effect(tx: Tx, decision: d.JudgeGates, host: Host) -> RunGate:
    task = reads.task(tx, decision.task)
    grounds = host.grounds
    env = {name: chosen.value for name, chosen in grounds.env["shell"].items()}
    env |= dict(task.spec.env)
    env |= {"WG_DIR": grounds.host.wg_dir, "WG_GATE": decision.gate}
    folder = choose_working_dir(grounds.host, task).value
    agent = _attempt_of(tx, task)
    commands = task.spec.verify
    if decision.gate == GATE:
        loop = loops.live_of(tx, task.id)
        until = loop.until if loop is not None else None
        commands = () if until is None else (until,)
    sandbox = () if decision.gate == "outputs" else plan_gate(grounds, task, folder)
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
        copies=copies_dir(grounds.host.wg_dir),
        within=agent.workspace if agent and agent.sandbox else None,
        commands=commands,
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
    if task.gate == VERDICT:
        fact = errands.judge(tx, fact, host)
    if task.gate == GATE:
        met = fact.failed is None
        iterations.judge(tx, task, agent, met=met, evidence=fact.evidence)
        return
    passed = fact.failed is None
    passing.note_judged(
        tx, task, agent, "passed" if passed else "failed", fact.evidence
    )
    keep_outputs(tx, task, fact.found, agent)
    policy = retry_policy(host.grounds.layered.settings)
    if passed:
        passing.let_pass(tx, task, agent, policy)
    else:
        passing.send_back(tx, task, agent, fact.evidence, policy)


def _attempt_of(tx: Tx, task: Task) -> Agent | None:
    return agent_reads.by_id(tx, task.last_agent) if task.last_agent else None
