"""Attempts that are to be judged, tasks that wait for a score, and what judges see."""

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec.structs import replace

from workgraph.graph.canaries import judged_case, read_shown
from workgraph.graph.errands import Errand
from workgraph.graph.judged_view import Judged, Note
from workgraph.graph.judging import CANARY, COMPARE, GUESS, SCORE, Scored, Work
from workgraph.graph.model import Agent, Record, Task
from workgraph.graph.rewards import effective
from workgraph.graph.status import Status
from workgraph.graph.times import SECOND, format_duration
from workgraph.settings import Stream
from workgraph.store import artifacts, reads, rewards
from workgraph.store.database import Tx
from workgraph.store.rows import (
    AGENT_COLUMNS,
    TASK_COLUMNS,
    decode_agent,
    decode_task,
)

#: In one tick; the others wait for the next one.
_BATCH: Final = 500
_NOTES: Final = 20
_GATES: Final = 6
_WRONG: Final = 3
_AGENT_WIDTH: Final = AGENT_COLUMNS.count(",") + 1
#: Not while a gate that needs nobody has not spoken: its word is part of the judgement.
TO_JUDGE: Final = f"""
select {AGENT_COLUMNS}, {TASK_COLUMNS}
from agents a indexed by agents_to_judge join tasks t on t.id = a.task
where a.to_judge = 1
  and (t.gate is null or t.gate not in ('outputs', 'verify', 'loop')
       or t.last_agent <> 'agent-' || a.number)
order by a.number limit {_BATCH}
"""  # noqa: S608 - constants
#: An attempt that a score has sent back once is not sent back by it again.
SCORED: Final = f"""
select {TASK_COLUMNS}, a.attempt
from tasks t
join agents a on a.number = cast(substr(t.last_agent, 7) as integer)
where t.gate is not null and t.gate = 'reward'
  and coalesce(a.outcome, a.verdict, '') <> 'gate'
  and exists (
        select 1 from rewards r where r.task = t.id and r.attempt = a.attempt)
  and (:task is null or t.id = :task)
order by t.seq limit {_BATCH}
"""  # noqa: S608 - constants
#: Where nothing is judged, this is all that a tick asks.
IS_ANY: Final = """
select exists (select 1 from agents indexed by agents_to_judge where to_judge = 1)
    or exists (select 1 from tasks where gate is not null and gate = 'reward')
"""
CLEAR: Final = "update agents set to_judge = 0 where number = ?"
ATTEMPT: Final = f"""
select {AGENT_COLUMNS} from agents a where a.task = ? and a.attempt = ?
"""  # noqa: S608 - constants
#: The newest errand that is to bring the score of an attempt.
ERRAND_FOR: Final = """
select e.task, t.status, t.actor
from errands e indexed by errands_about join tasks t on t.id = e.task
where e.about = ? and e.kind = 'reward' and e.attempt = ? and e.part = ?
order by t.seq desc limit 1
"""
IS_MARKED: Final = "select 1 from agents where number = ? and to_judge = 1"
STREAM_OF: Final = """
select coalesce(json_extract(plan, '$.stream.value'), 'text') from agents
where number = ?
"""
LOG_OF: Final = """
select kind, by, "to", reason from changes indexed by changes_task
where task = ? and kind in ('log', 'gate_judged') and attempt = ?
    and reason is not null
order by seq desc limit 200
"""
WRONG: Final = """
select reason from changes indexed by changes_task
where task = ? and kind = 'gate_judged' and "to" = 'failed' and reason is not null
order by seq desc limit ?
"""


class ErrandFor(Record, frozen=True, kw_only=True):
    """Who has been asked to judge an attempt, and how that stands."""

    task: str
    status: Status
    actor: str | None


class _Guess(Record, frozen=True, kw_only=True):
    """What was guessed, as it was answered."""

    task: str = ""


_decode_guess: Final = msgspec.json.Decoder(_Guess).decode


def is_any(tx: Tx) -> bool:
    """Whether an attempt waits for a judgement, or a task for a score."""
    return bool(tx.value(IS_ANY))


def to_judge(tx: Tx) -> Iterator[Work]:
    """The attempts that wait for a judgement, the oldest first."""
    for row in tx.all(TO_JUDGE):
        yield Work(
            agent=decode_agent(row[:_AGENT_WIDTH]), task=decode_task(row[_AGENT_WIDTH:])
        )


def scored(tx: Tx, task: str | None = None) -> Iterator[Scored]:
    """The tasks at the reward gate whose attempt has a score that counts.

    Args:
        tx: The transaction.
        task: Only this one; null: all.
    """
    for row in tx.all(SCORED, {"task": task}):
        reward = effective(rewards.of_attempt(tx, row[1], row[-1]))
        if reward is not None:
            yield Scored(task=decode_task(row[:-1]), reward=reward)


def clear(tx: Tx, agent: int) -> None:
    """An attempt waits for a judgement no more."""
    tx.run(CLEAR, (agent,))


def is_marked(tx: Tx, agent: int) -> bool:
    """Whether an attempt waits to be judged by itself."""
    return tx.one(IS_MARKED, (agent,)) is not None


def attempt(tx: Tx, task: str, number: int) -> Agent | None:
    """An attempt at a task by its number."""
    row = tx.one(ATTEMPT, (task, number))
    return None if row is None else decode_agent(row)


def errand_for(tx: Tx, task: str, number: int, part: str = SCORE) -> ErrandFor | None:
    """The newest errand to judge an attempt."""
    row = tx.one(ERRAND_FOR, (task, number, part))
    if row is None:
        return None
    return ErrandFor(task=row[0], status=Status(row[1]), actor=row[2])


def stream_of(tx: Tx, agent: int) -> Stream:
    """What an agent prints."""
    stream: Stream = tx.value(STREAM_OF, (agent,))
    return stream


def view_of(tx: Tx, errand: Errand) -> Judged | None:
    """What the evaluator sees whose errand this is; null: it judges no attempt."""
    if errand.part == CANARY:
        return _canary(tx, errand)
    if errand.part not in {SCORE, GUESS, COMPARE}:
        return None
    if errand.about is None or errand.attempt is None:
        return None
    agent = attempt(tx, errand.about, errand.attempt)
    if agent is None:
        return None
    task = reads.task(tx, errand.about)
    view = _result(tx, errand, task, agent)
    if errand.part == GUESS:
        return view
    spec = task.spec
    guess = _decode_guess(errand.given).task if errand.given else None
    return replace(
        view,
        title=spec.title,
        description=spec.description,
        prompt=spec.prompt or spec.exec or "",
        tags=spec.tags,
        skills=(*spec.requires_skills, *spec.prefers_skills),
        outputs=spec.outputs,
        verify=spec.verify,
        guess=guess,
    )


def _canary(tx: Tx, errand: Errand) -> Judged | None:
    """A case with a known answer, as an attempt would be shown."""
    if errand.given is None:
        return None
    wrong = tuple(row[0] for row in tx.rows(WRONG, (errand.task, _WRONG)))
    about = errand.task.removeprefix("reward-")
    return judged_case(about, read_shown(errand.given), SCORE, wrong)


def _result(tx: Tx, errand: Errand, task: Task, agent: Agent) -> Judged:
    """What came of an attempt, without a word of what was asked for."""
    refs = tuple(f"{task.id}:{one.name}" for one in artifacts.of_task(tx, task.id))
    asker = replace(task, spec=replace(task.spec, inputs=refs))
    notes: list[Note] = []
    gates: list[Note] = []
    for kind, by, to, reason in tx.rows(LOG_OF, (task.id, agent.attempt)):
        if kind == "log":
            notes.append(Note(by=by, text=reason))
        else:
            gates.append(Note(by=to or "", text=reason))
    is_last = task.last_agent == agent.id
    wrong = tx.rows(WRONG, (errand.task, _WRONG))
    return Judged(
        part=errand.part,
        task=task.id,
        attempt=agent.attempt,
        agent=agent.number,
        workspace=None if agent.human or agent.sandbox else agent.workspace,
        outcome=agent.outcome or "",
        reason=agent.reason,
        summary=task.summary if is_last else None,
        said=agent.said,
        plain=not agent.human and stream_of(tx, agent.number) == "text",
        figures=_figures(task, agent),
        gates=tuple(reversed(gates[:_GATES])),
        notes=tuple(reversed(notes[:_NOTES])),
        artifacts=artifacts.inputs_of(tx, asker) if is_last else (),
        wrong=tuple(row[0] for row in wrong),
    )


def _figures(task: Task, agent: Agent) -> tuple[str, ...]:
    spec = task.spec
    figures = [f"attempt {agent.attempt}"]
    if agent.ended_at is not None:
        took = format_duration(max(agent.ended_at - agent.started_at, 0) / SECOND)
        estimate = spec.estimate_s
        of = f" of an estimate of {format_duration(estimate)}" if estimate else ""
        figures.append(f"took {took}{of}")
    used = (agent.usage.input_tokens or 0) + (agent.usage.output_tokens or 0)
    if used:
        of = f" of a budget of {spec.budget_tokens}" if spec.budget_tokens else ""
        figures.append(f"used {used} tokens{of}")
    return tuple(figures)
