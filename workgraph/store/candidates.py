"""Who could do a task, how they stand, and which tasks wait for them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from workgraph.graph import assigning
from workgraph.graph.assigning import ROOM, SKILL, Cast
from workgraph.graph.context_view import AbleActor, Assignment
from workgraph.graph.matching import (
    Candidate,
    Need,
    Standing,
    match,
    missing_skills,
)
from workgraph.graph.model import Actor, Task
from workgraph.graph.rewards import TEACHING
from workgraph.graph.rubric import RUBRIC
from workgraph.store import (
    agents,
    choices,
    errands,
    holds,
    proposals,
    reads,
    service,
)
from workgraph.store.database import Tx
from workgraph.store.rows import encode

ACTORS: Final = service.ACTORS
STANDINGS: Final = """
select s.subject, s.skill, s.complexity, s.count, s.total, s.squares
from json_each(:ids) i join standings s
    on s.kind = 'actor' and s.subject = i.value and s.rubric = :rubric
where (s.skill = '*' and s.complexity = '')
   or s.skill in (select value from json_each(:skills))
"""
#: Whose trajectory each of some tasks is in.
RESERVED: Final = """
select s.task, r.actor
from json_each(?) i
join trajectory_steps s indexed by trajectory_steps_task
    on s.task = i.value and s.left_at is null
join trajectories r on r.number = s.trajectory
where r.actor is not null
"""
ASKED: Final = """
select e.about from json_each(?) i
join errands e indexed by errands_about on e.about = i.value and e.kind = 'assignment'
where e.about is not null
"""
RETIRED: Final = """
select name from identities
where kind = 'actor' and retired_at is not null
  and name in (select value from json_each(?))
"""
#: Each key that holds tasks and begins so, by a jump through the index for each.
KEYS: Final = """
with recursive held (key) as (
    select min(json_extract(parked, '$.key')) from tasks indexed by tasks_held
    where json_extract(parked, '$.key') >= :low
      and json_extract(parked, '$.key') < :high
    union all
    select (
        select min(json_extract(parked, '$.key')) from tasks indexed by tasks_held
        where json_extract(parked, '$.key') > held.key
          and json_extract(parked, '$.key') < :high)
    from held where held.key is not null
)
select key from held where key is not null
"""
#: Assigned to a name that was nobody's, and is an actor's now.
WAKE_NAMED: Final = """
update tasks indexed by tasks_parked set parked = null, parked_until = null
where parked is not null and json_extract(parked, '$.code') = 'assigned_to_person'
  and exists (
    select 1 from identities i
    where i.kind = 'actor' and i.name = tasks.actor and i.retired_at is null
      and coalesce(json_extract(i.record, '$.human'), 0) = 0)
"""
#: A record is decoded once, not in each tick.
_decode: Final = lru_cache(maxsize=4096)(service.decode_actor)
#: How many actors an assigner is told of.
_MOST_TOLD: Final = 40


def cast(tx: Tx, officials: frozenset[str]) -> Cast:
    """The living actors.

    Args:
        tx: The transaction.
        officials: Those that `[agency]` names for other work.
    """
    found = tuple(_decode(row[0]) for row in tx.rows(ACTORS))
    # who is alone is not on trial
    trials = proposals.trials(tx) if len(found) > 1 else {}
    return Cast(actors=found, officials=officials, trials=trials)


def load(  # noqa: PLR0913 - all but three by keyword
    tx: Tx,
    task: Task,
    known: Cast,
    *,
    counts: Mapping[str, int] | None = None,
    prompt_size: Callable[[Task], int | None] | None = None,
    reserve: int = 0,
    only_able: bool = False,
) -> tuple[Need, tuple[Candidate, ...]]:
    """What a task asks, and how the actors stand.

    Args:
        tx: The transaction.
        task: The task.
        known: The living actors.
        counts: How many tasks each works on, where that is known.
        prompt_size: Measures a task's prompt; asked where an actor has a limit.
        reserve: How many tokens of a limit are kept back.
        only_able: Without those that nothing is given to but by people.
    """
    spec = task.spec
    actors = known.actors
    if only_able:
        requires = spec.requires_skills
        actors = (*known.able(requires), *known.tried(requires))
    counts = choices.live(tx) if counts is None else counts
    has_limit = any(actor.context_limit is not None for actor in actors)
    attempt = 1
    if task.last_agent is not None:
        _, attempt = agents.next_agent(tx, task.id)
    need = Need(
        task=task.id,
        attempt=attempt,
        requires=spec.requires_skills,
        prefers=spec.prefers_skills,
        complexity=spec.complexity,
        prompt_tokens=prompt_size(task) if prompt_size and has_limit else None,
        reserve_tokens=reserve,
    )
    records = _records(tx, actors, need)
    alone = (None, 0.0)
    return need, tuple(
        Candidate(
            actor=actor,
            live=counts.get(actor.name, 0),
            is_official=actor.name in known.officials,
            overall=records[actor.id].overall,
            cells=records[actor.id].cells,
            skills=records[actor.id].skills,
            trial_of=known.trials.get(actor.id, alone)[0],
            trial_share=known.trials.get(actor.id, alone)[1],
        )
        for actor in actors
    )


def assignment(tx: Tx, task: Task, officials: frozenset[str]) -> Assignment | None:
    """What the assigner of another task is told; null where a task is no errand."""
    errand = errands.find(tx, task.id)
    if errand is None or errand.about is None:
        return None
    about = reads.task(tx, errand.about)
    need, found = load(tx, about, cast(tx, officials), only_able=True)
    by_name = {one.actor.name: one for one in found}
    return Assignment(
        task=about.id,
        title=about.spec.title,
        description=about.spec.description,
        requires=need.requires,
        prefers=need.prefers,
        complexity=need.complexity,
        able=tuple(
            AbleActor(
                name=one.actor,
                skills=by_name[one.actor].actor.skills,
                score=one.score,
                parts=one.parts,
                live=by_name[one.actor].live,
                busy=one.busy,
            )
            for one in match(need, found)[:_MOST_TOLD]
            if one.reason is None
        ),
    )


def reserved(tx: Tx, tasks: Sequence[Task]) -> dict[str, str]:
    """Whose trajectory each of some tasks is in, by task."""
    return dict(tx.all(RESERVED, (_ids(tasks),)))


def asked(tx: Tx, tasks: Sequence[Task]) -> frozenset[str]:
    """Those of some tasks for which an assigner was asked."""
    return frozenset(row[0] for row in tx.rows(ASKED, (_ids(tasks),)))


def retired(tx: Tx, names: Iterable[str]) -> frozenset[str]:
    """Those of some names that actors had who were removed."""
    wanted = sorted(set(names))
    if not wanted:
        return frozenset()
    rows = tx.rows(RETIRED, (encode(wanted).decode(),))
    return frozenset(row[0] for row in rows)


def with_room(tx: Tx, officials: frozenset[str]) -> list[str]:
    """The keys of tasks that wait for room, where some of their actors have it."""
    keys = _keys(tx, ROOM)
    if not keys:
        return []
    known, counts = cast(tx, officials), choices.live(tx)
    return [key for key in keys if _is_free(tx, key, known, counts)]


def wake_parked(
    tx: Tx, officials: frozenset[str] = frozenset(), *, is_off: bool = False
) -> None:
    """Lets go the tasks that waited for somebody able, where there is one now.

    To be said when actors, or the settings about them, have changed. What waits for
    room is looked at in each tick.

    Args:
        tx: The transaction.
        officials: The actors that `[agency]` names.
        is_off: Nobody is chosen any more, so nothing waits for somebody who could be.
    """
    known = cast(tx, officials)
    for key in (*_keys(tx, ROOM), *_keys(tx, SKILL)) if is_off else ():
        task = next(iter(holds.any_of(tx, key)), None)
        if task is not None and _name_of(tx, task) is None:
            holds.release(tx, key)
    for key in _keys(tx, SKILL):
        task = next(iter(holds.any_of(tx, key)), None)
        if task is not None and _may_be_able(tx, task, known):
            holds.release(tx, key)
    tx.run(WAKE_NAMED)


def _name_of(tx: Tx, task: Task) -> str | None:
    """Who alone is meant by a trajectory, or by a person."""
    return reserved(tx, [task]).get(task.id) or assigning.person_of(task)


def _may_be_able(tx: Tx, task: Task, known: Cast) -> bool:
    name = _name_of(tx, task)
    if name is None:
        return bool(known.able(task.spec.requires_skills))
    actor = next((one for one in known.actors if one.name == name), None)
    if actor is None:
        return not retired(tx, [name])
    return actor.human or not missing_skills(actor, task.spec.requires_skills)


def _is_free(tx: Tx, key: str, known: Cast, counts: Mapping[str, int]) -> bool:
    """Whether somebody who could do what a key holds has room.

    The same where nobody could do it any more: then it waits for something else.
    """
    task = next(iter(holds.any_of(tx, key)), None)
    if task is None:
        return False
    name = _name_of(tx, task)
    actors = known.able(task.spec.requires_skills)
    if name is not None:
        actors = tuple(one for one in known.actors if one.name == name)
    return not actors or any(
        assigning.has_room(one, counts.get(one.name, 0)) for one in actors
    )


class _Records:
    """What is known of an actor's work, as far as a task asks for it."""

    def __init__(self) -> None:
        self.overall = Standing()
        self.cells: dict[str, Standing] = {}
        self.skills: dict[str, Standing] = {}


def _records(tx: Tx, actors: Sequence[Actor], need: Need) -> dict[str, _Records]:
    """Of all their work, and of work like this by skill; by the actors' ids."""
    found = {actor.id: _Records() for actor in actors}
    skills = sorted({*need.requires, *need.prefers} - {TEACHING}) or [""]
    complexity = need.complexity or ""
    # of a task that says nothing of itself all work is of its kind
    is_any = skills == [""] and not complexity
    rows = tx.rows(
        STANDINGS,
        {
            "ids": encode([actor.id for actor in actors]).decode(),
            "rubric": RUBRIC,
            "skills": encode(skills).decode(),
        },
    )
    for subject, skill, at, count, total, squares in rows:
        standing = Standing(count=count, total=total, squares=squares)
        one = found[subject]
        if skill == TEACHING:
            one.overall = standing
            if is_any:
                one.cells[""] = standing
            continue
        if at == complexity and not is_any:
            one.cells[skill] = standing
        if skill and skill in skills:
            before = one.skills.get(skill, Standing())
            one.skills[skill] = Standing(
                count=before.count + count,
                total=before.total + total,
                squares=before.squares + squares,
            )
    return found


def _keys(tx: Tx, prefix: str) -> list[str]:
    # ";" comes right after ":"
    bounds = {"low": prefix, "high": f"{prefix[:-1]};"}
    return [row[0] for row in tx.rows(KEYS, bounds)]


def _ids(tasks: Sequence[Task]) -> str:
    return encode([task.id for task in tasks]).decode()
