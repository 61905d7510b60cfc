"""What a prompt is made from, read from the graph: a task and what is around it."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from workgraph.graph.context_view import (
    ActorView,
    Attempt,
    Chain,
    ContextView,
    Dependency,
    Loop,
    Message,
    NamedTask,
    Wait,
)
from workgraph.graph.inputs import split_reference
from workgraph.graph.judged_view import Note
from workgraph.graph.model import Actor, Artifact, Failure, Record, Task
from workgraph.store import artifacts, messages
from workgraph.store.database import Row, Tx
from workgraph.store.rows import encode

#: How many of each are looked at; more would not be read by anybody.
_ATTEMPTS: Final = 5
_NOTES: Final = 5
_LOG: Final = 200
_NEIGHBOURS: Final = 50
_OUTLINE: Final = 2000

#: Which of the tables below have anything about a task: most have nothing, and to ask
#: once is cheaper than to ask each.
WHAT_THERE_IS: Final = """
select exists (select 1 from edges where task = :task),
    exists (select 1 from edges where dep = :task),
    exists (select 1 from messages where task = :task),
    exists (select 1 from waits where task = :task),
    exists (select 1 from loop_members where task = :task and left_at is null),
    exists (select 1 from trajectory_steps where task = :task and left_at is null)
"""
IDENTITY: Final = "select record from identities where id = ?"
_DEPENDENCY: Final = """
select t.id, json_extract(t.spec, '$.title'), t.status, t.summary, t.failure,
    t.superseded_by, g.said
"""
DEPENDENCIES: Final = f"""
{_DEPENDENCY}
from edges e join tasks t on t.id = e.dep
left join agents g on g.number = cast(substr(t.last_agent, 7) as integer)
where e.task = ? order by e.dep
"""
DECLARED: Final = f"""
{_DEPENDENCY}
from tasks t
left join agents g on g.number = cast(substr(t.last_agent, 7) as integer)
where t.id in (select value from json_each(?)) order by t.id
"""  # noqa: S608 - constants
ARTIFACTS: Final = """
select task, name, path, sha256, size, agent from artifacts
where task in (select value from json_each(?)) order by task, name
"""
NOTES_OF: Final = """
select by, reason from changes indexed by changes_task
where task = ? and kind = 'log' and reason is not null order by seq desc limit ?
"""
ATTEMPTS: Final = """
select number, attempt, outcome, reason, said,
    coalesce(json_extract(plan, '$.stream.value'), 'text') = 'text' and human = 0
from agents where task = ? and status = 'ended' order by attempt desc limit ?
"""
LOG_OF_ATTEMPTS: Final = """
select kind, attempt, by, verb, "to", reason from changes indexed by changes_task
where task = ? and kind in ('log', 'gate_judged', 'status_changed')
    and reason is not null
order by seq desc limit ?
"""
REWARD_NOTES: Final = """
select attempt, by, source, score, notes from rewards
where task = ? and notes is not null order by attempt, source
"""
ADDED: Final = """
select t.id, json_extract(t.spec, '$.title'), t.status
from agents g join tasks t indexed by tasks_added_by
    on t.added_by = 'agent-' || g.number
where g.task = ? order by t.seq limit ?
"""
WAIT_OF: Final = """
select condition, reason, agent from waits where task = ? and woken_at is not null
"""
LOOP_OF: Final = """
select l.number, l.iteration, l.most, l.until, l.until_converged, l.evidence
from loop_members m join loops l on l.number = m.loop
where m.task = ? and m.left_at is null
"""
LOOP_MEMBERS: Final = """
select t.id, json_extract(t.spec, '$.title'), t.status, m.concluded
from loop_members m join tasks t on t.id = m.task
where m.loop = ? and m.left_at is null order by m.position
"""
CHAIN_OF: Final = """
select trajectory from trajectory_steps where task = ? and left_at is null
"""
STEPS: Final = """
select t.id, json_extract(t.spec, '$.title'), t.status
from trajectory_steps s join tasks t on t.id = s.task
where s.trajectory = ? order by s.step
"""
DEPENDENTS: Final = """
select t.id, json_extract(t.spec, '$.title'), t.status,
    json_extract(t.spec, '$.inputs')
from edges e join tasks t on t.id = e.task
where e.dep = ? order by e.kind, e.task limit ?
"""
COUNT_DEPENDENTS: Final = "select count(*) from edges where dep = ?"
#: What its dependencies wait for, and who else waits for these.
AROUND: Final = """
with near (id) as (
    select dep from edges
    where task in (select dep from edges where task = :task)
    union
    select s.task from edges d join edges s on s.dep = d.dep
    where d.task = :task and s.task <> :task
)
select t.id, json_extract(t.spec, '$.title'), t.status
from near join tasks t on t.id = near.id order by t.id limit :most
"""
OUTLINE: Final = """
select t.id, json_extract(t.spec, '$.title'), t.status,
    (select group_concat(dep, ' ') from (
        select dep from edges where task = t.id order by dep limit 20))
from tasks t order by t.seq limit ?
"""
COUNT_TASKS: Final = "select count(*) from tasks"

_decode_failure: Final = msgspec.json.Decoder(Failure).decode
_decode_texts: Final = msgspec.json.Decoder(tuple[str, ...]).decode


class _Role(Record, frozen=True, kw_only=True):
    """What of a role a prompt says."""

    name: str
    description: str = ""
    outcome: str = ""


class _Tradeoff(Record, frozen=True, kw_only=True):
    """What of a tradeoff a prompt says."""

    description: str = ""
    accept: tuple[str, ...] = ()
    reject: tuple[str, ...] = ()


_decode_role: Final = msgspec.json.Decoder(_Role).decode
_decode_tradeoff: Final = msgspec.json.Decoder(_Tradeoff).decode


def fill(
    tx: Tx,
    view: ContextView,
    actor: Actor | None,
    known: frozenset[int],
    session: str = "",
) -> ContextView:
    """A view with all that the graph knows of its task.

    Args:
        tx: The transaction.
        view: The task, and what is known without the graph.
        actor: Who is to work.
        known: The agents whose session the attempt goes on with.
        session: That session; empty for a new one.
    """
    task = view.task
    scope = task.spec.context_scope or "task"
    own = None if actor is None else _actor(tx, actor)
    if scope == "clean":
        return replace(view, actor=own)
    row = tx.one(WHAT_THERE_IS, {"task": task.id})
    assert row is not None
    has_deps, has_dependents, has_messages, has_wait, has_loop, has_chain = row
    counts: dict[str, int] = {}
    around: tuple[NamedTask, ...] = ()
    outline: tuple[NamedTask, ...] = ()
    if scope in {"graph", "full"}:
        around = _named(tx.rows(AROUND, {"task": task.id, "most": _NEIGHBOURS}))
    if scope == "full":
        rows = tx.rows(OUTLINE, (_OUTLINE,))
        outline = tuple(_with(r, (f"after: {r[3]}",) if r[3] else ()) for r in rows)
        counts["outline"] = int(tx.value(COUNT_TASKS))
    dependents: tuple[NamedTask, ...] = ()
    if has_dependents:
        dependents = _dependents(tx, task.id)
        counts["dependents"] = len(dependents)
        if len(dependents) == _NEIGHBOURS:
            counts["dependents"] = int(tx.value(COUNT_DEPENDENTS, (task.id,)))
    was_tried = task.last_agent is not None
    return replace(
        view,
        actor=own,
        inputs=artifacts.inputs_of(tx, task) if task.spec.inputs else (),
        dependencies=_dependencies(tx, task) if has_deps or task.spec.inputs else (),
        attempts=_attempts(tx, task.id, known) if was_tried else (),
        added=_named(tx.rows(ADDED, (task.id, _NEIGHBOURS))) if was_tried else (),
        messages=_messages(tx, task.id, session) if has_messages else (),
        wait=_wait(tx, task) if has_wait else None,
        loop=_loop(tx, task.id) if has_loop else None,
        chain=_chain(tx, task.id) if has_chain else None,
        dependents=dependents,
        around=around,
        outline=outline,
        counts=counts,
    )


def _actor(tx: Tx, actor: Actor) -> ActorView:
    role, tradeoff = None, _Tradeoff()
    if actor.role and (record := tx.value(IDENTITY, (actor.role,))):
        role = _decode_role(record)
    if actor.tradeoff and (record := tx.value(IDENTITY, (actor.tradeoff,))):
        tradeoff = _decode_tradeoff(record)
    return ActorView(
        name=actor.name,
        role=role.name if role else None,
        does=role.description if role else "",
        outcome=role.outcome if role else "",
        why=tradeoff.description,
        accepts=tradeoff.accept,
        rejects=tradeoff.reject,
    )


def _dependencies(tx: Tx, task: Task) -> tuple[Dependency, ...]:
    rows = [(row, True) for row in tx.rows(DEPENDENCIES, (task.id,))]
    direct = {row[0] for row, _ in rows}
    named = (split_reference(reference) for reference in task.spec.inputs)
    declared = sorted({one[0] for one in named if one is not None} - direct)
    if declared:
        rows += [(row, False) for row in tx.rows(DECLARED, (_json(declared),))]
    recorded: dict[str, list[Artifact]] = {}
    for row in tx.rows(ARTIFACTS, (_json([row[0] for row, _ in rows]),)):
        artifact = Artifact(
            name=row[1], path=row[2], sha256=row[3], size=row[4], agent=row[5]
        )
        recorded.setdefault(row[0], []).append(artifact)
    return tuple(
        Dependency(
            id=row[0],
            title=row[1],
            status=row[2],
            direct=direct,
            summary=row[3],
            said=row[6],
            failure=_decode_failure(row[4]) if row[4] else None,
            superseded_by=row[5],
            artifacts=tuple(recorded.get(row[0], ())),
            notes=tuple(
                Note(by=note[0], text=note[1])
                for note in reversed(tx.all(NOTES_OF, (row[0], _NOTES)))
            ),
        )
        for row, direct in rows
    )


def _attempts(tx: Tx, task: str, known: frozenset[int]) -> tuple[Attempt, ...]:
    rows = tx.all(ATTEMPTS, (task, _ATTEMPTS))
    number = 0
    notes: dict[int, list[Note]] = {}
    reviews: dict[int, list[Note]] = {}
    log = reversed(tx.all(LOG_OF_ATTEMPTS, (task, _LOG)))
    for kind, attempt, by, verb, to, reason in log:
        note = Note(by=by, text=reason)
        # What a person says between two attempts is about the first of them.
        number = attempt or number
        if kind == "log":
            notes.setdefault(number, []).append(note)
        elif (kind == "gate_judged" and to == "failed") or (
            kind == "status_changed" and verb == "reject"
        ):
            said = reviews.setdefault(number, [])
            # What sends it back for a gate repeats what that has said.
            if not any(by == one.by and reason in one.text for one in said):
                said.append(note)
    for attempt, by, source, score, text in tx.rows(REWARD_NOTES, (task,)):
        said = reviews.setdefault(attempt, [])
        # A gate that was judged by it has said it already.
        if not any(text in one.text for one in said):
            said.append(Note(by=f"{by} as {source}, score {score:g}", text=text))
    return tuple(
        Attempt(
            agent=row[0],
            attempt=row[1],
            outcome=row[2] or "ended",
            reason=row[3],
            said=row[4],
            reviews=tuple(reviews.get(row[1], ())),
            notes=tuple(notes.get(row[1], ())[-_NOTES:]),
            known=row[0] in known,
            plain=bool(row[5]),
        )
        for row in rows
    )


def _messages(tx: Tx, task: str, session: str) -> tuple[Message, ...]:
    return tuple(
        Message(
            number=one.number,
            by=one.by,
            kind=one.kind,
            text=one.text,
            asked=one.question,
        )
        for one in messages.unread_of(tx, task, session)
    )


def _wait(tx: Tx, task: Task) -> Wait | None:
    """Only what the last attempt has waited for."""
    row = tx.one(WAIT_OF, (task.id,))
    if row is None or (row[2] is not None and f"agent-{row[2]}" != task.last_agent):
        return None
    return Wait(condition=row[0], reason=row[1])


def _loop(tx: Tx, task: str) -> Loop | None:
    row = tx.one(LOOP_OF, (task,))
    if row is None:
        return None
    return Loop(
        number=row[0],
        iteration=row[1],
        most=row[2],
        until=row[3],
        until_converged=bool(row[4]),
        evidence=row[5],
        members=tuple(
            _with(member, (member[3],) if member[3] else ())
            for member in tx.rows(LOOP_MEMBERS, (row[0],))
        ),
    )


def _chain(tx: Tx, task: str) -> Chain | None:
    number = tx.value(CHAIN_OF, (task,))
    if number is None:
        return None
    return Chain(number=number, steps=_named(tx.rows(STEPS, (number,))))


def _dependents(tx: Tx, task: str) -> tuple[NamedTask, ...]:
    return tuple(
        _with(
            row,
            tuple(
                f"takes {reference}"
                for reference in (_decode_texts(row[3]) if row[3] else ())
                if reference.startswith(f"{task}:")
            ),
        )
        for row in tx.rows(DEPENDENTS, (task, _NEIGHBOURS))
    )


def _named(rows: Iterable[Row]) -> tuple[NamedTask, ...]:
    return tuple(_with(row, ()) for row in rows)


def _with(row: Row, of: tuple[str, ...]) -> NamedTask:
    return NamedTask(id=row[0], title=row[1], status=row[2], of=of)


def _json(values: Sequence[object]) -> str:
    return encode(values).decode()
