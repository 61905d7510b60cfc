"""Judgements of attempts, and the sums of what counts.

Of each attempt there is one reward of each source; what the same source says later
takes its place, and the change log has both. `standings` are the sums of the one that
counts of each attempt: they move in the transaction that changes it, and are nothing
but a cache of `rewards` (`recount`). Scores have four decimals, and the sums are
rounded to what such scores can add up to, so that their order does not matter.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from workgraph.graph.changes import ChangeKind
from workgraph.graph.errors import NotFoundError
from workgraph.graph.matching import Standing
from workgraph.graph.model import Record
from workgraph.graph.rewards import (
    Cell,
    Judgement,
    Reward,
    SubjectKind,
    cells_of,
    effective,
    latest_effective,
    told,
)
from workgraph.graph.rubric import (
    DECIMALS,
    RUBRIC,
    Interval,
    check_dimensions,
    interval_of,
    score_of,
)
from workgraph.store import reads
from workgraph.store.database import Row, Tx
from workgraph.store.rows import decode_texts, encode
from workgraph.store.service import decode_actor

_COLUMNS: Final = """
    r.task, r.attempt, r.source, r.actor, r.actor_id, r.role, r.tradeoff, r.skills,
    r.complexity, r.score, r.given, r.dimensions, r.rubric, r.by, r.notes, r.at
"""
INSERT: Final = """
insert into rewards (
    task, attempt, source, actor, actor_id, role, tradeoff, skills,
    complexity, score, given, dimensions, rubric, by, notes, at
) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
REPLACE: Final = f"""
{INSERT}
on conflict (task, attempt, source) do update set
    score = excluded.score, given = excluded.given, dimensions = excluded.dimensions,
    rubric = excluded.rubric, by = excluded.by, notes = excluded.notes, at = excluded.at
"""
OF_ATTEMPT: Final = f"""
select {_COLUMNS} from rewards r where r.task = ? and r.attempt = ? order by r.source
"""  # noqa: S608 - constants
OF_TASK: Final = f"""
select {_COLUMNS} from rewards r where r.task = ? order by r.attempt, r.source
"""  # noqa: S608 - constants
OF_TASKS: Final = f"""
select {_COLUMNS} from rewards r
where r.task in (select value from json_each(?)) order by r.task
"""  # noqa: S608 - constants
IS_ANY: Final = "select 1 from rewards limit 1"
EVERY: Final = f"""
select {_COLUMNS} from rewards r join tasks t on t.id = r.task
order by t.seq, r.attempt, r.source
"""  # noqa: S608 - constants
NEWEST: Final = f"""
select {_COLUMNS} from rewards r
order by r.at desc, r.task, r.attempt desc, r.source limit ?
"""  # noqa: S608 - constants
WHOSE: Final = """
select number, actor, actor_id from agents where task = ? and attempt = ?
"""
ACTOR: Final = "select record from identities where id = ? and kind = 'actor'"
STANDING: Final = """
select count, total, squares from standings
where kind = ? and subject = ? and rubric = ? and skill = ? and complexity = ?
"""
STANDINGS: Final = """
select kind, subject, skill, complexity, count, total, squares from standings
where rubric = ? order by kind, subject, skill, complexity
"""
ADD: Final = f"""
insert into standings (rubric, kind, subject, skill, complexity, count, total, squares)
values (:rubric, :kind, :subject, :skill, :complexity, 1, :total, :squares)
on conflict (kind, subject, rubric, skill, complexity) do update set
    count = count + 1,
    total = round(total + excluded.total, {DECIMALS}),
    squares = round(squares + excluded.squares, {2 * DECIMALS})
"""  # noqa: S608 - constants
TAKE_OUT: Final = f"""
update standings
set count = count - 1,
    total = round(total - :total, {DECIMALS}),
    squares = round(squares - :squares, {2 * DECIMALS})
where kind = :kind and subject = :subject and rubric = :rubric
  and skill = :skill and complexity = :complexity
"""  # noqa: S608 - constants
DROP_EMPTY: Final = """
delete from standings
where kind = :kind and subject = :subject and rubric = :rubric
  and skill = :skill and complexity = :complexity and count = 0
"""

_decode_dimensions: Final = msgspec.json.Decoder(dict[str, float]).decode


class Difference(Record, frozen=True, kw_only=True):
    """A sum that is not what the rewards add up to."""

    cell: Cell
    kept: Standing
    counted: Standing


def record(tx: Tx, judgement: Judgement) -> Reward:
    """Keeps a judgement of an attempt, and what it changes in the record.

    To say the same again changes nothing.

    Raises:
        NotFoundError: There was no such attempt.
        UsageError: A number is out of range, or there is nothing to make a score of.
    """
    dimensions = check_dimensions(judgement.dimensions.items())
    score, given = score_of(judgement.source, judgement.score, dimensions)
    row = tx.one(WHOSE, (judgement.task, judgement.attempt))
    if row is None:
        raise NotFoundError(
            f"there was no attempt {judgement.attempt} at {judgement.task}",
            hint=f"wg show {judgement.task} lists them",
        )
    number, actor, actor_id = row
    there = of_attempt(tx, judgement.task, judgement.attempt)
    reward = Reward(
        task=judgement.task,
        attempt=judgement.attempt,
        actor=actor,
        actor_id=actor_id,
        score=score,
        given=given,
        dimensions=dimensions,
        source=judgement.source,
        by=judgement.by,
        notes=judgement.notes or None,
        at=tx.now,
    )
    reward = _placed(tx, reward, there)
    before = next((one for one in there if one.source == reward.source), None)
    if before is not None and msgspec.structs.replace(reward, at=before.at) == before:
        return before
    tx.run(REPLACE, _params(reward))
    others = [one for one in there if one.source != reward.source]
    _move(tx, effective(there), effective([*others, reward]))
    tx.emit(
        ChangeKind.REWARD_RECORDED,
        task=reward.task,
        agent=f"agent-{number}",
        attempt=reward.attempt,
        actor=actor,
        by=reward.by,
        reason=told(reward, before),
    )
    return reward


def of_attempt(tx: Tx, task: str, attempt: int) -> list[Reward]:
    """All rewards of an attempt, by source."""
    return [_decode(row) for row in tx.rows(OF_ATTEMPT, (task, attempt))]


def of_task(tx: Tx, task: str) -> list[Reward]:
    """All rewards of a task, by attempt and source."""
    return [_decode(row) for row in tx.rows(OF_TASK, (task,))]


def latest(tx: Tx, task: str) -> Reward | None:
    """The reward that counts of the last attempt that has one."""
    return latest_effective(of_task(tx, task))


def latest_of(tx: Tx, tasks: Iterable[str]) -> dict[str, Reward]:
    """The same of many tasks; those without one are not among them."""
    if tx.one(IS_ANY) is None:
        return {}
    found: dict[str, list[Reward]] = {}
    for row in tx.rows(OF_TASKS, (encode(list(tasks)).decode(),)):
        found.setdefault(row[0], []).append(_decode(row))
    counting = {task: latest_effective(these) for task, these in found.items()}
    return {task: one for task, one in counting.items() if one is not None}


def every(tx: Tx) -> Iterator[Reward]:
    """All rewards one by one: by tasks, oldest first, attempts and sources."""
    return map(_decode, tx.rows(EVERY))


def newest(tx: Tx, most: int) -> list[Reward]:
    """The rewards that were given last, the newest first."""
    return [_decode(row) for row in tx.rows(NEWEST, (most,))]


def standing(  # noqa: PLR0913 - the key of a sum
    tx: Tx,
    kind: SubjectKind,
    subject: str,
    skill: str = "",
    complexity: str = "",
    *,
    rubric: str = RUBRIC,
) -> Standing:
    """How somebody stands at a kind of work; with neither skill nor complexity, at all.

    Args:
        tx: The transaction.
        kind: Of whom.
        subject: The id; of a pair that of the role, a blank, that of the tradeoff.
        skill: What the work asked for; empty: no skill.
        complexity: Of the work; empty: nobody has said.
        rubric: By which rubric.
    """
    row = tx.one(STANDING, (kind, subject, rubric, skill, complexity))
    if row is None:
        return Standing()
    return Standing(count=row[0], total=row[1], squares=row[2])


def standings(tx: Tx) -> dict[Cell, Standing]:
    """All sums by the rubric of today, in order."""
    return {
        Cell(kind=row[0], subject=row[1], skill=row[2], complexity=row[3]): Standing(
            count=row[4], total=row[5], squares=row[6]
        )
        for row in tx.rows(STANDINGS, (RUBRIC,))
    }


def record_of(tx: Tx, actor_id: str) -> Interval:
    """How an actor stands with all of its work."""
    whole = standing(tx, "actor", actor_id)
    return interval_of(whole.count, whole.total)


def insert(tx: Tx, new: Iterable[Reward]) -> None:
    """Adds rewards from elsewhere, of attempts that have none, and counts them."""
    of: dict[tuple[str, int], list[Reward]] = {}
    for one in new:
        tx.run(INSERT, _params(one))
        of.setdefault((one.task, one.attempt), []).append(one)
    for these in of.values():
        _move(tx, None, effective(these))


def recount(tx: Tx) -> tuple[Difference, ...]:
    """Where the sums are not what the rewards add up to: nowhere, if all is well."""
    counted: dict[Cell, Standing] = {}
    these: list[Reward] = []
    for one in every(tx):
        if these and (one.task, one.attempt) != (these[0].task, these[0].attempt):
            _count(counted, these)
            these = []
        these.append(one)
    _count(counted, these)
    kept = standings(tx)
    return tuple(
        Difference(
            cell=cell,
            kept=kept.get(cell, Standing()),
            counted=counted.get(cell, Standing()),
        )
        for cell in (*kept, *(cell for cell in counted if cell not in kept))
        if kept.get(cell) != counted.get(cell)
    )


def _count(counted: dict[Cell, Standing], of_one_attempt: Iterable[Reward]) -> None:
    reward = effective(of_one_attempt)
    if reward is None:
        return
    for cell in cells_of(reward):
        was = counted.get(cell, Standing())
        counted[cell] = Standing(
            count=was.count + 1,
            total=round(was.total + reward.score, DECIMALS),
            squares=round(was.squares + reward.score**2, 2 * DECIMALS),
        )


def _placed(tx: Tx, reward: Reward, there: Iterable[Reward]) -> Reward:
    """With what it counts for: as the attempt was when it was judged first."""
    for first in there:
        return msgspec.structs.replace(
            reward,
            actor=first.actor,
            actor_id=first.actor_id,
            role=first.role,
            tradeoff=first.tradeoff,
            skills=first.skills,
            complexity=first.complexity,
        )
    spec = reads.task(tx, reward.task).spec
    identity = tx.value(ACTOR, (reward.actor_id,)) if reward.actor_id else None
    actor = decode_actor(identity) if identity is not None else None
    return msgspec.structs.replace(
        reward,
        # Of one that nobody knows there is nothing to keep a record of.
        actor_id=actor.id if actor is not None else None,
        role=actor.role if actor is not None else None,
        tradeoff=actor.tradeoff if actor is not None else None,
        skills=tuple(sorted({*spec.requires_skills, *spec.prefers_skills})),
        complexity=spec.complexity,
    )


def _move(tx: Tx, old: Reward | None, new: Reward | None) -> None:
    """Takes out of the sums what does not count any longer, and puts in what does."""
    if old is not None:
        for cell in cells_of(old):
            params = _cell_params(cell, old.score)
            tx.run(TAKE_OUT, params)
            tx.run(DROP_EMPTY, params)
    if new is not None:
        for cell in cells_of(new):
            tx.run(ADD, _cell_params(cell, new.score))


def _cell_params(cell: Cell, score: float) -> Mapping[str, object]:
    return {
        "rubric": RUBRIC,
        "kind": cell.kind,
        "subject": cell.subject,
        "skill": cell.skill,
        "complexity": cell.complexity,
        "total": score,
        "squares": round(score**2, 2 * DECIMALS),
    }


def _params(reward: Reward) -> tuple[object, ...]:
    return (
        reward.task,
        reward.attempt,
        reward.source,
        reward.actor,
        reward.actor_id,
        reward.role,
        reward.tradeoff,
        encode(reward.skills).decode(),
        reward.complexity,
        reward.score,
        reward.given,
        encode(reward.dimensions).decode(),
        reward.rubric,
        reward.by,
        reward.notes,
        reward.at,
    )


def _decode(row: Row) -> Reward:
    return Reward(
        task=row[0],
        attempt=row[1],
        source=row[2],
        actor=row[3],
        actor_id=row[4],
        role=row[5],
        tradeoff=row[6],
        skills=() if row[7] == "[]" else decode_texts(row[7]),
        complexity=row[8],
        score=row[9],
        given=row[10],
        dimensions={} if row[11] == "{}" else _decode_dimensions(row[11]),
        rubric=row[12],
        by=row[13],
        notes=row[14],
        at=row[15],
    )
