"""What tasks in waiting wait for: rows, what of them is to be judged, and circles.

A term that may be met has a `due` that is not in the future: a timer's moment, a mark
that its task has settled (`mark`), the moment at which its file was seen. Who waits for
words is found by these. So a tick looks at what may have changed, and at nothing else.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from workgraph.graph.model import Agent
from workgraph.graph.status import MEETS, SETTLED, Status
from workgraph.graph.waits import MET_BY, Needs, Term, Wait, WaitState, find_circle
from workgraph.store import messages, reads, trajectories
from workgraph.store.database import Row, Tx

#: Waits that are judged in one tick; the others wait for the next one.
_BATCH: Final = 500

UPSERT: Final = """
insert into waits (
    task, agent, condition, question, since, woken_at, reason, quick
) values (?, ?, ?, ?, ?, ?, ?, ?)
on conflict (task) do update set
    agent = excluded.agent, condition = excluded.condition,
    question = excluded.question, since = excluded.since,
    woken_at = excluded.woken_at, reason = excluded.reason, quick = excluded.quick
"""
DELETE_TERMS: Final = "delete from wait_terms where task = ?"
INSERT_TERM: Final = """
insert into wait_terms (task, term, branch, kind, target, status, due, met_at)
values (?, ?, ?, ?, ?, ?, ?, ?)
"""
OF_TASK: Final = """
select task, agent, condition, question, since, woken_at, reason, quick
from waits where task = ?
"""
ALL: Final = """
select task, agent, condition, question, since, woken_at, reason, quick
from waits order by task
"""
TERMS_OF: Final = """
select branch, kind, target, status, due, met_at
from wait_terms where task = ? order by term
"""
#: By the place of a term in its wait.
SET_TERM: Final = (
    "update wait_terms set met_at = ?, due = ? where task = ? and term = ?"
)
END: Final = """
update waits set woken_at = ?, reason = ? where task = ? and woken_at is null
"""
DROP_UNMET: Final = "delete from wait_terms where task = ? and met_at is null"
MARK: Final = """
update wait_terms set due = :now
where kind = 'task' and target = :target and met_at is null
"""
WAITERS_OF: Final = """
select task, term from wait_terms
where kind = 'task' and target = ? and met_at is null and status in ('done', 'settled')
"""
RETARGET: Final = """
update wait_terms set target = ?, due = ? where task = ? and term = ?
"""
SEEN: Final = """
update wait_terms set due = :now
where kind = 'file' and target = :path and met_at is null and due is null
"""
FILES: Final = """
select distinct target from wait_terms
where kind = 'file' and met_at is null and due is null
"""
#: Most graphs have none, and each tick asks.
MAY_BE_OVER: Final = """
select 1 where exists (
        select 1 from wait_terms where due is not null and met_at is null)
    or exists (
        select 1 from wait_terms
        where kind in ('message', 'answer') and met_at is null)
"""
TO_JUDGE: Final = f"""
select task from wait_terms where met_at is null and due <= :now
union
select t.task
from wait_terms t indexed by wait_terms_words
join waits w on w.task = t.task
where t.kind in ('message', 'answer') and t.met_at is null
  and exists (
        select 1 from messages m
        where m.task = t.task and iif(t.kind = 'answer',
            m.kind = 'answer' and m.reply_to = w.question,
            m.kind <> 'question' and m.at >= w.since
                and m.agent is not coalesce('agent-' || w.agent, '')))
limit {_BATCH}
"""  # noqa: S608 - constants
IS_DUE: Final = """
select 1 from wait_terms where met_at is null and due <= ? limit 1
"""
MESSAGE_SINCE: Final = """
select by from messages
where task = :task and kind <> 'question' and at >= :since
  and agent is not coalesce('agent-' || :agent, '')
order by number limit 1
"""
#: What an agent that runs has not been given.
UNREAD: Final = """
select 1 from messages m
where m.task = :task and m.kind <> 'question' and m.at > :since
  and m.agent is not 'agent-' || :agent
  and not exists (
        select 1 from message_receipts r
        where r.message = m.number and r.agent = :agent
          and coalesce(r.read_at, r.acknowledged_at) is not null)
limit 1
"""
ANSWER_TO: Final = """
select by from messages
where task = ? and kind = 'answer' and reply_to = ? order by number limit 1
"""
QUESTION_OF: Final = "select number from messages where number = ? and task = ?"
TEXT_OF: Final = "select text from messages where number = ?"
STATUS_OF: Final = "select status from tasks where id = ?"
IS_HUMAN: Final = "select human from agents where number = ?"
ANY: Final = "select 1 from wait_terms where kind = 'task' and met_at is null limit 1"
#: A branch that lacks nothing but time.
WAKES_BY_ITSELF: Final = """
select 1 from wait_terms t
where t.met_at is null and t.due is not null and not exists (
    select 1 from wait_terms o
    where o.task = t.task and o.branch = t.branch and o.met_at is null
      and o.due is null)
limit 1
"""


def find(tx: Tx, task: str) -> Wait | None:
    """What a task waits for or has waited for last; null where it never has."""
    row = tx.one(OF_TASK, (task,))
    return None if row is None else _decode(tx, row)


def every(tx: Tx) -> list[Wait]:
    """All waits, those that are over included, by their task."""
    return [_decode(tx, row) for row in tx.all(ALL)]


def put(tx: Tx, wait: Wait) -> None:
    """Keeps what a task waits for; what it has waited for before is forgotten.

    It goes before the change of status, in the same transaction.
    """
    tx.run(DELETE_TERMS, (wait.task,))
    tx.run(
        UPSERT,
        (
            wait.task,
            wait.agent,
            wait.condition,
            wait.question,
            wait.since,
            wait.woken_at,
            wait.reason,
            wait.quick,
        ),
    )
    tx.many(
        INSERT_TERM,
        (
            (
                wait.task,
                place,
                term.branch,
                term.kind,
                term.target,
                term.status,
                term.due,
                term.met_at,
            )
            for place, term in enumerate(wait.terms)
        ),
    )


def insert(tx: Tx, new: Iterable[Wait]) -> None:
    """Adds waits that come from elsewhere, and has them looked at.

    A question that has not come with its task can't be answered any more.
    """
    for wait in new:
        asked = tx.value(QUESTION_OF, (wait.question, wait.task))
        put(tx, replace(wait, question=asked))
        for term in wait.terms:
            if term.kind == "task" and wait.woken_at is None:
                mark(tx, term.target)


def end(tx: Tx, task: str, reason: str) -> None:
    """The task waits no longer; of its terms those stay that were met."""
    tx.run(END, (tx.now, reason, task))
    tx.run(DROP_UNMET, (task,))


def note_terms(tx: Tx, wait: Wait, met: Iterable[int]) -> None:
    """Keeps which terms are met, by their places; looked at they have been by now."""
    here = frozenset(met)
    for place, term in enumerate(wait.terms):
        met_at = (term.met_at or tx.now) if place in here else None
        due = term.due
        if term.kind != "timer" and place not in here:
            due = None
        if (met_at, due) != (term.met_at, term.due):
            tx.run(SET_TERM, (met_at, due, wait.task, place))


def mark(tx: Tx, target: str) -> None:
    """A task has settled: who waits for it is looked at in the next tick."""
    tx.run(MARK, {"now": tx.now, "target": target})


def note_file(tx: Tx, path: str) -> None:
    """A path that is waited for is there."""
    tx.run(SEEN, {"now": tx.now, "path": path})


def files(tx: Tx) -> frozenset[str]:
    """The paths that are waited for and have not been seen."""
    return frozenset(row[0] for row in tx.rows(FILES))


def to_judge(tx: Tx) -> tuple[WaitState, ...]:
    """The waits that may be over."""
    if tx.one(MAY_BE_OVER) is None:
        return ()
    found = (find(tx, row[0]) for row in tx.all(TO_JUDGE, {"now": tx.now}))
    return tuple(state_of(tx, wait) for wait in found if wait is not None)


def is_any_due(tx: Tx) -> bool:
    """Whether there is something to look at, by moments and marks alone."""
    return tx.one(IS_DUE, (tx.now,)) is not None


def state_of(tx: Tx, wait: Wait) -> WaitState:
    """A wait with all that it depends on."""
    kinds = {term.kind for term in wait.terms}
    targets = {term.target for term in wait.terms if term.kind == "task"}
    statuses = {name: Status(tx.value(STATUS_OF, (name,))) for name in targets}
    message_by = answer_by = question = None
    if "message" in kinds:
        message_by = _message_by(tx, wait.task, wait.since, wait.agent)
    if wait.question is not None:
        question = tx.value(TEXT_OF, (wait.question,))
        answer_by = tx.value(ANSWER_TO, (wait.task, wait.question))
    return WaitState(
        wait=wait,
        statuses=statuses,
        message_by=message_by,
        answer_by=answer_by,
        question=question,
        human=bool(wait.agent and tx.value(IS_HUMAN, (wait.agent,))),
    )


def has_unread(tx: Tx, agent: Agent) -> bool:
    """Whether something was said to a running agent that it has not been given."""
    params = {"task": agent.task, "since": agent.started_at, "agent": agent.number}
    return not agent.human and tx.one(UNREAD, params) is not None


def wakes_by_itself(tx: Tx) -> bool:
    """Whether a task in waiting will go on by nothing but time."""
    return tx.one(WAKES_BY_ITSELF) is not None


def circle(
    tx: Tx, start: str, targets: Sequence[str], *, by_turns: bool = False
) -> tuple[str, ...] | None:
    """How one of some tasks needs `start` before it can settle; null: none does.

    Args:
        tx: The transaction.
        start: The task that is about to wait.
        targets: What it would wait for.
        by_turns: A step of an agent's trajectory needs those before it, too.
    """
    return find_circle(start, targets, _needs(tx, start, targets, by_turns=by_turns))


def circle_of_edge(tx: Tx, task: str, dep: str) -> tuple[str, ...] | None:
    """How `dep` waits for `task` in ways that are no edges; null: it does not."""
    if tx.one(ANY) is None:
        return None
    return circle(tx, task, (dep,))


def supersede(tx: Tx, task: str, successor: str) -> None:
    """Who waits for a task's end waits for its successor's instead.

    Where that would be waiting for itself, the end of the first one has to do.
    """
    for waiter, place in tx.all(WAITERS_OF, (task,)):
        needs = circle(tx, waiter, (successor,), by_turns=True)
        if waiter != successor and needs is None:
            tx.run(RETARGET, (successor, tx.now, waiter, place))


def ask(tx: Tx, task: str, by: str, agent: Agent | None, question: str) -> int:
    """Adds a question about a task; gives its number."""
    speaker = None if agent is None or agent.human else agent
    return messages.send(tx, task, question, by=by, agent=speaker, kind="question")


def answer(tx: Tx, wait: Wait, by: str, text: str) -> int:
    """Adds the answer to the question that a task waits with; gives its number."""
    return messages.send(
        tx, wait.task, text, by=by, kind="answer", reply_to=wait.question
    )


def _message_by(tx: Tx, task: str, since: int, agent: int | None) -> str | None:
    by: str | None = tx.value(
        MESSAGE_SINCE, {"task": task, "since": since, "agent": agent}
    )
    return by


def _needs(
    tx: Tx, start: str, targets: Iterable[str], *, by_turns: bool
) -> dict[str, Needs]:
    """What these tasks need, and what that needs, and so on, up to `start`."""
    found: dict[str, Needs] = {}
    work = list(targets)
    while work:
        task = work.pop()
        if task in found or task == start:
            continue
        need = found[task] = _needs_of(tx, task, by_turns=by_turns)
        work.extend(need.edges)
        work.extend(target for branch in need.branches for target in branch)
    return found


def _needs_of(tx: Tx, task: str, *, by_turns: bool) -> Needs:
    status = Status(tx.value(STATUS_OF, (task,)))
    if status in SETTLED:
        return Needs()
    edges = tuple(
        edge.id for edge, at in reads.dependencies(tx, task) if at not in MEETS[edge.on]
    )
    if by_turns and status is Status.OPEN:
        edges += _turns_before(tx, task)
    wait = find(tx, task) if status is Status.WAITING else None
    if wait is None:
        return Needs(edges=edges)
    branches: dict[int, tuple[str, ...]] = {}
    for term in wait.terms:
        lacks = term.kind == "task" and (
            Status(tx.value(STATUS_OF, (term.target,))) not in MET_BY[term.status or ""]
        )
        more = (term.target,) if lacks else ()
        branches[term.branch] = branches.get(term.branch, ()) + more
    return Needs(edges=edges, branches=tuple(branches.values()))


def _turns_before(tx: Tx, task: str) -> tuple[str, ...]:
    """The steps before a task's own; a person takes its own in any order."""
    reserved = trajectories.of_task(tx, task)
    if reserved is None or reserved.human:
        return ()
    steps = trajectories.steps_of(tx, reserved.number)
    return steps[: steps.index(task)]


def _decode(tx: Tx, row: Row) -> Wait:
    task, agent, condition, question, since, woken_at, reason, quick = row
    return Wait(
        task=task,
        agent=agent,
        condition=condition,
        question=question,
        since=since,
        woken_at=woken_at,
        reason=reason,
        quick=quick,
        terms=tuple(
            Term(
                branch=one[0],
                kind=one[1],
                target=one[2],
                status=one[3],
                due=one[4],
                met_at=one[5],
            )
            for one in tx.all(TERMS_OF, (task,))
        ),
    )
