"""Handlers of waits: wait, ask, answer.

A wait is refused where nothing could end it. What is met already does not stop anybody:
the task stays in progress, and its worker goes on at once.
"""

from collections.abc import Mapping, Set

from msgspec import structs

from workgraph.commands.context import (
    Answer,
    Context,
    stop_agent,
    task_reply,
)
from workgraph.commands.life import claimant, end_claim
from workgraph.graph import requests as r
from workgraph.graph import waits as conditions
from workgraph.graph.decisions import MoveTask
from workgraph.graph.errors import UserError
from workgraph.graph.model import Agent, Outcome, Record, Stop, StopThen, Task
from workgraph.graph.replies import Reply
from workgraph.graph.status import Status, Verb
from workgraph.graph.topology import show_cycle
from workgraph.graph.waits import Term, Wait, WaitState, write_term
from workgraph.reactors.waits import quick_after
from workgraph.store import reads, trajectories, waits
from workgraph.store.database import Tx

_LEAVE = "end here: the task goes on, in this session where it can, when it is over"


class Wish(Record, frozen=True, kw_only=True):
    """What a worker wants to wait for, its files looked at before the transaction."""

    condition: str
    terms: tuple[Term, ...]
    question: str | None = None


def wish_of(
    condition: str, now: int, files: Mapping[str, str], there: Set[str]
) -> Wish:
    """A condition whose files are looked up already.

    Args:
        condition: As it was said.
        now: The moment that durations count from.
        files: The absolute paths of its files.
        there: Those of these that are there.

    Raises:
        UsageError: The condition is not understood.
    """
    terms = []
    for term in conditions.parse_condition(condition, now):
        if term.kind != "file":
            terms.append(term)
            continue
        path = files[term.target]
        due = now if path in there else None
        terms.append(structs.replace(term, target=path, due=due))
    return Wish(condition=condition.strip(), terms=tuple(terms))


def wait_task(context: Context, request: r.WaitTask, wish: Wish) -> Answer:
    """Parks a task in progress until something happens."""
    task = reads.task(context.tx, request.task or "")
    return _wait(context, task, wish)


def ask_question(context: Context, request: r.AskQuestion) -> Answer:
    """Parks a task in progress until an operator has answered."""
    task = reads.task(context.tx, request.task or "")
    if not request.question.strip():
        raise UserError("the question is empty", hint="say what you want to know")
    return _wait(
        context,
        task,
        Wish(
            condition="answer",
            terms=(Term(branch=0, kind="answer"),),
            question=request.question,
        ),
    )


def answer_question(context: Context, request: r.AnswerQuestion) -> Reply:
    """Answers the question that a task waits with; that wakes it."""
    tx = context.tx
    task = reads.task(tx, request.task or "")
    wait = waits.find(tx, task.id)
    asked = wait is not None and wait.question is not None
    if wait is None or not asked or task.status is not Status.WAITING:
        raise UserError(
            f"{task.id} has no open question",
            hint=f"wg msg {task.id} TEXT tells it something all the same",
        )
    if waits.state_of(tx, wait).answer_by is not None:
        raise UserError(
            f"the question of {task.id} is answered already",
            hint=f"wg msg {task.id} TEXT adds to that",
        )
    waits.answer(tx, wait, context.caller.by, request.text)
    return task_reply(context, task.id)


def _wait(context: Context, task: Task, wish: Wish) -> Answer:
    tx, caller = context.tx, context.caller
    if task.status is Status.WAITING:
        return _wait_again(context, task, wish)
    if task.status is not Status.IN_PROGRESS:
        raise UserError(
            f"{task.id} is {task.status}: only what is in progress can wait",
            hint=f"wg pause {task.id} holds a task back, and wg edit --add-after"
            " lets it wait for another one",
        )
    agent = claimant(context, task)
    wait = Wait(
        task=task.id,
        agent=agent.number,
        condition=wish.condition,
        since=tx.now,
        quick=0
        if agent.human
        else quick_after(waits.find(tx, task.id), context.policy),
        terms=wish.terms,
    )
    for term in wish.terms:
        if term.kind == "task":
            reads.task(tx, term.target)
    state = _state_before(tx, wait, agent)
    branch = conditions.met_branch(state, tx.now)
    if branch is not None:
        met = "; ".join(conditions.say_met(term, state) for term in branch)
        return task_reply(context, task.id, f"met already: {met}; go on")
    notes = _let_go(tx, task, wish.terms)
    notes += _refuse_hopeless(tx, task, agent, wish.terms)
    _keep(context, agent, wait, state, wish.question)
    reason = wish.question if wish.question is not None else wish.condition
    move = MoveTask(verb=Verb.WAIT, by=caller.by, reason=reason)
    end_claim(context, task, agent, Outcome.WAITING, move, counted=False)
    if agent.human:
        return task_reply(context, task.id, *notes)
    if caller.agent is None:
        order = Stop(then=StopThen.NOTHING, by=caller.by, reason="it is to wait")
        return stop_agent(context, agent, order)
    return task_reply(context, task.id, *notes, _LEAVE)


def _wait_again(context: Context, task: Task, wish: Wish) -> Reply:
    """To say the same twice is to say it once."""
    wait = waits.find(context.tx, task.id)
    assert wait is not None
    question = waits.state_of(context.tx, wait).question
    if (wait.condition, question) == (wish.condition, wish.question):
        return task_reply(context, task.id)
    raise UserError(
        f"{task.id} waits already: {wait.condition}",
        hint=f"wg resume {task.id} ends that",
    )


def _state_before(tx: Tx, wait: Wait, agent: Agent) -> WaitState:
    """How things stand before it waits; what it has not read yet is there already."""
    state = waits.state_of(tx, wait)
    if waits.has_unread(tx, agent):
        state = structs.replace(state, message_by="somebody")
    return state


def _keep(
    context: Context, agent: Agent, wait: Wait, state: WaitState, question: str | None
) -> None:
    tx, now = context.tx, context.tx.now
    terms = tuple(
        structs.replace(
            term, met_at=now if conditions.is_met(term, state, now) else None
        )
        for term in wait.terms
    )
    number = None
    if question is not None:
        number = waits.ask(tx, wait.task, context.caller.by, agent, question)
    waits.put(tx, structs.replace(wait, terms=terms, question=number))


def _let_go(tx: Tx, task: Task, terms: tuple[Term, ...]) -> tuple[str, ...]:
    """Releases the later steps of its trajectory where what it waits for needs one.

    They were reserved so that one session does them all. That gives way to a wait: a
    step whose turn comes after its own could not begin before it.

    Returns:
        What is to be said of that.
    """
    targets = [term.target for term in terms if term.kind == "task"]
    for target in targets:
        if (
            waits.circle(tx, task.id, (target,)) is None
            and waits.circle(tx, task.id, (target,), by_turns=True) is not None
        ):
            why = f"{task.id} waits for {target}"
            released = trajectories.release_behind(tx, task.id, why)
            return (f"released: {', '.join(released)}",) if released else ()
    return ()


def _refuse_hopeless(
    tx: Tx, task: Task, agent: Agent, terms: tuple[Term, ...]
) -> tuple[str, ...]:
    """Refuses a wait that no branch could end.

    Returns:
        What is to be said of branches that can't, where others can.

    Raises:
        NotFoundError: A task is not there.
        UserError: No branch can be met.
    """
    branches = conditions.branches_of(terms)
    refusals = [_refusal(tx, task, agent, branch) for branch in branches]
    hopeless = [refusal for refusal in refusals if refusal is not None]
    if len(hopeless) == len(branches):
        raise hopeless[0]
    return tuple(refusal.message for refusal in hopeless)


def _refusal(
    tx: Tx, task: Task, agent: Agent, branch: tuple[Term, ...]
) -> UserError | None:
    """Why a branch can't be met; null where it can."""
    refusal = None
    for term in branch:
        if term.kind != "task":
            continue
        target = reads.task(tx, term.target)
        if target.status in conditions.MET_BY[term.status or ""]:
            continue
        why = conditions.unsatisfiable(term, target.status)
        if why is not None:
            refusal = refusal or UserError(
                f"{task.id} can't wait for {write_term(term)}: {why}",
                hint=f"an operator's wg retry {target.id} opens it again;"
                f" task:{target.id}=settled is met by any end",
            )
            continue
        path = waits.circle(tx, task.id, (target.id,), by_turns=True)
        if path is not None:
            refusal = refusal or _circular(tx, task, agent, target, path)
    return refusal


def _circular(
    tx: Tx, task: Task, agent: Agent, target: Task, path: tuple[str, ...]
) -> UserError:
    if target.id == task.id:
        return UserError(f"{task.id} can't wait for itself", hint="name another task")
    hint = f"wg why {target.id} says what it waits for"
    if any(edge.id == task.id for edge in reads.edges(tx, target.id)):
        hint = "add it with --independent: wg add TITLE --independent"
        if target.added_by is None or target.added_by != agent.id:
            hint = f"wg unlink {target.id} --after {task.id}, by an operator"
    return UserError(
        f"{task.id} can't wait for {target.id}, which waits for it:"
        f" {show_cycle((task.id, *path))}",
        hint=hint,
    )
