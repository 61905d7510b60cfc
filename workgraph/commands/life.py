"""Handlers of a task's life: unclaim, done, submit, fail, and what reviewers say."""

from workgraph.commands import iterations, judging, loops
from workgraph.commands.context import (
    Answer,
    Context,
    Deferred,
    stop_agent,
    task_facts,
    task_reply,
)
from workgraph.commands.moves import move_task
from workgraph.graph import readiness
from workgraph.graph import requests as r
from workgraph.graph.decisions import MoveTask
from workgraph.graph.errors import NotFoundError, UserError
from workgraph.graph.model import (
    Agent,
    Failure,
    Outcome,
    Stop,
    StopThen,
    Task,
)
from workgraph.graph.replies import DoneData, Reply
from workgraph.graph.status import Cause, Status, Verb
from workgraph.reactors import patrol
from workgraph.store import (
    agent_reads,
    agents,
    edges,
    reads,
    trajectories,
    writes,
)

#: What leads on from where nobody works on a task.
_WAYS_ON = {Status.PENDING_REVIEW: "approve", Status.WAITING: "resume"}


def unclaim_task(context: Context, request: r.UnclaimTask) -> Answer:
    """Gives a claim, or a reservation, back; a live agent is ended first."""
    tx = context.tx
    task = reads.task(tx, request.task or "")
    if task.status is not Status.IN_PROGRESS:
        by, was = context.caller.by, task.reserved_for is not None
        if trajectories.release(tx, task.id, f"released by {by}", by) or was:
            writes.clear_reservation(tx, task)
            return task_reply(context, task.id)
        raise UserError(
            f"{task.id} is {task.status}: nobody holds it", hint=f"wg show {task.id}"
        )
    agent = claimant(context, task)
    if not agent.human:
        stop = Stop(then=StopThen.UNCLAIM, by=context.caller.by, reason="unclaimed")
        return stop_agent(context, agent, stop)
    move = MoveTask(verb=Verb.RELEASE, by=context.caller.by, reason="unclaimed")
    end_claim(context, task, agent, Outcome.KILLED, move, counted=False)
    return task_reply(context, task.id)


def finish_task(context: Context, request: r.FinishTask) -> Answer:
    """The work is done: the task is, too, when it has no gate to pass."""
    note = loops.keep_word(context, request)
    answer = _hand_in(context, request.task or "", Outcome.DONE, request.summary)
    return loops.with_note(answer, note)


def submit_task(context: Context, request: r.SubmitTask) -> Answer:
    """The work is to be seen by somebody before it counts as done."""
    return _hand_in(context, request.task or "", Outcome.SUBMITTED, request.summary)


def fail_task(context: Context, request: r.FailTask) -> Answer:
    """The worker gives up; the retry rule says whether somebody tries again."""
    tx, caller = context.tx, context.caller
    task = reads.task(tx, request.task or "")
    if task.status is Status.FAILED:
        return task_reply(context, task.id)
    if task.status is not Status.IN_PROGRESS:
        raise UserError(
            f"{task.id} is {task.status}: only a task in progress can fail",
            hint=f"wg abandon {task.id} gives up one that nobody works on",
        )
    agent = claimant(context, task)
    if caller.agent is None and not agent.human:
        stop = Stop(then=StopThen.FAIL, by=caller.by, reason=request.reason)
        return stop_agent(context, agent, stop)
    move = patrol.judge(Outcome.FAILED, request.reason, task, context.policy, tx.now)
    end_claim(context, task, agent, Outcome.FAILED, _by(move, caller.by))
    return task_reply(context, task.id)


def approve_task(context: Context, request: r.ApproveTask) -> Reply:
    """A reviewer accepts the work. Doing so twice is doing it once."""
    tx = context.tx
    task = reads.task(tx, request.task or "")
    if task.status is Status.DONE:
        return task_reply(context, task.id)
    move = MoveTask(verb=Verb.APPROVE, by=context.caller.by)
    _in_review(task)
    move_task(tx, task, move, cause=context.caller.cause)
    return task_reply(context, task.id)


def reject_task(context: Context, request: r.RejectTask) -> Reply:
    """A reviewer does not accept it: open again while attempts remain."""
    tx = context.tx
    task = reads.task(tx, request.task or "")
    _in_review(task)
    again = patrol.has_attempt_left(task, context.policy)
    move = MoveTask(
        verb=Verb.REJECT if again else Verb.FAIL,
        by=context.caller.by,
        reason=request.reason,
        failure=Failure(class_="rejected", reason=request.reason),
    )
    move_task(
        tx,
        task,
        move,
        cause=context.caller.cause,
        reserved_for=_person_of(context, task) if again else None,
    )
    return task_reply(context, task.id)


def abandon_task(context: Context, request: r.AbandonTask) -> Answer:
    """Nobody will do it; whoever waits for it goes on, or waits for its heir."""
    tx, caller = context.tx, context.caller
    task = reads.task(tx, request.task or "")
    heir = request.superseded_by
    if heir is not None:
        if heir == task.id:
            raise UserError(
                f"{task.id} can't be superseded by itself", hint="name another task"
            )
        reads.task(tx, heir)
    if task.status is Status.DONE:
        raise UserError(
            f"{task.id} is done: it can't be abandoned",
            hint=f"wg retry {task.id} opens it again",
        )
    if task.status is Status.ABANDONED and heir in {None, task.superseded_by}:
        return task_reply(context, task.id)
    iterations.end_loop_of(tx, task.id, caller.by)
    released = reads.dependents(tx, task.id)
    word = f"now wait for {heir}" if heir else "released"
    notes = (f"{word}: {', '.join(released)}",) if released else ()
    agent = _live_process(context, task)
    if agent is not None:
        then = StopThen.ABANDON if task.claimed_by == agent.id else StopThen.NOTHING
        order = Stop(then=then, by=caller.by, reason=request.reason, superseded_by=heir)
        deferred = stop_agent(context, agent, order)
        if then is StopThen.NOTHING:
            return Deferred(agents=deferred.agents)
        if heir is not None:
            # Now, so that a cycle is refused before anything is ended.
            edges.supersede(tx, task.id, heir, caller.by)
        return Deferred(
            agents=deferred.agents,
            finish=lambda later: task_reply(later, task.id, *notes),
        )
    move = MoveTask(
        verb=Verb.ABANDON,
        by=caller.by,
        reason=request.reason,
        superseded_by=heir,
    )
    if task.status is Status.IN_PROGRESS:
        holder = claimant(context, task)
        end_claim(context, task, holder, Outcome.KILLED, move, counted=False)
    else:
        move_task(tx, task, move, cause=caller.cause)
    return task_reply(context, task.id, *notes)


def pause_task(context: Context, task_id: str) -> Reply:
    """Holds a task back; a running agent may finish."""
    task = reads.task(context.tx, task_id)
    writes.set_paused(context.tx, task, context.caller.by, paused=True)
    return task_reply(context, task.id)


def resume_task(context: Context, task_id: str) -> Reply:
    """Undoes `pause`; a task in waiting that is not paused waits no longer."""
    task = reads.task(context.tx, task_id)
    if task.status is Status.WAITING and not task.paused:
        by = context.caller.by
        move = MoveTask(verb=Verb.WAKE, by=by, reason=f"resumed by {by}")
        move_task(
            context.tx,
            task,
            move,
            cause=context.caller.cause,
            reserved_for=task.reserved_for,
        )
    writes.set_paused(context.tx, task, context.caller.by, paused=False)
    return task_reply(context, task.id)


def heartbeat(context: Context, request: r.Heartbeat) -> Reply:
    """A sign of life, nothing else; agents give one with each call."""
    reads.task(context.tx, request.task or "")
    return Reply(data=DoneData())


def _hand_in(
    context: Context, task_id: str, outcome: Outcome, summary: str | None
) -> Answer:
    tx, caller = context.tx, context.caller
    task = reads.task(tx, task_id)
    if task.status is Status.DONE:
        return task_reply(context, task.id)
    if task.status is Status.PENDING_REVIEW and (
        outcome is Outcome.SUBMITTED or caller.agent is not None
    ):
        return task_reply(context, task.id)
    if task.status not in {Status.IN_PROGRESS, Status.OPEN}:
        verb = _WAYS_ON.get(task.status, "retry")
        raise UserError(
            f"{task.id} is {task.status}: it can't be finished",
            hint=f"wg {verb} {task.id}",
        )
    facts = task_facts(tx, task)
    waits_for = readiness.unmet(facts.dependencies)
    if waits_for:
        names = ", ".join(f"{edge.id} ({at})" for edge, at in waits_for)
        raise UserError(
            f"{task.id} waits for {names}",
            hint="finish or abandon those first, or wg unlink them",
        )
    policy = context.policy_for(task)
    move = patrol.judge(outcome, "", task, policy, tx.now)
    move = _by(move, caller.by, summary)
    if task.status is Status.OPEN:
        if outcome is Outcome.SUBMITTED or readiness.blocks_claim(facts, tx.now):
            raise UserError(
                f"{task.id} is not in progress", hint=f"wg claim {task.id} first"
            )
        move_task(tx, task, move, cause=Cause.OPERATOR)
        return task_reply(context, task.id)
    agent = claimant(context, task)
    if caller.agent is None and not agent.human:
        stop = Stop(then=StopThen.FINISH, by=caller.by, summary=summary)
        return stop_agent(context, agent, stop)
    end_claim(context, task, agent, outcome, move)
    return task_reply(context, task.id)


def end_claim(
    context: Context,
    task: Task,
    agent: Agent,
    outcome: Outcome,
    move: MoveTask,
    *,
    counted: bool = True,
) -> None:
    """Moves a task on by the word of who holds it.

    A person's attempt is over with that; one who waits finds it reserved. A process is
    given the grace to leave.
    """
    tx = context.tx
    cause = Cause.WORKER if context.caller.agent else Cause.OPERATOR
    if agent.human:
        agents.record_end(
            tx, agent.number, agents.End(outcome=outcome, reason=move.reason), move.by
        )
        to_judge = judging.is_to_judge(tx, task, outcome, context.settings)
        agents.conclude(tx, agent.number, outcome, counted=counted, to_judge=to_judge)
    else:
        leave_by = tx.now + context.settings.agents.kill_grace.micros
        agents.set_verdict(tx, agent, outcome, move.reason, leave_by)
    stays = agent.human and move.verb is Verb.WAIT
    move_task(
        tx,
        task,
        move,
        cause=cause,
        agent=agent,
        counted=counted,
        reserved_for=agent.actor if stays else None,
    )


def _by(move: MoveTask, by: str, summary: str | None = None) -> MoveTask:
    return MoveTask(
        verb=move.verb,
        by=by,
        reason=move.reason or None,
        failure=move.failure,
        retry_at=move.retry_at,
        gate=move.gate,
        summary=summary,
    )


def claimant(context: Context, task: Task) -> Agent:
    """Who holds a task in progress."""
    assert task.claimed_by is not None
    return agent_reads.by_id(context.tx, task.claimed_by)


def _live_process(context: Context, task: Task) -> Agent | None:
    return agent_reads.live_process_of(context.tx, task.id)


def _person_of(context: Context, task: Task) -> str | None:
    if task.last_agent is None:
        return None
    try:
        agent = agent_reads.by_id(context.tx, task.last_agent)
    except NotFoundError:  # imported without its attempts
        return None
    return agent.actor if agent.human else None


def _in_review(task: Task) -> None:
    if task.status is not Status.PENDING_REVIEW:
        raise UserError(
            f"{task.id} is {task.status}: there is nothing to review",
            hint=f"wg show {task.id}",
        )
