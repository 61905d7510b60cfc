"""Who a task is given to: the request, who may be chosen, and what keeps it waiting."""

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Final

from msgspec import field

from workgraph.graph.errands import TAGS
from workgraph.graph.matching import DEFAULT, Choice, missing_skills
from workgraph.graph.model import Actor, Parked, Record, Task
from workgraph.graph.task_options import Request

#: Reasons why a task waits for an actor.
NOBODY: Final = "no_capable_actor"
BUSY: Final = "actor_busy"
AWAITING: Final = "awaiting_assignment"
#: What the keys of tasks begin with that wait for room, and for somebody able.
ROOM: Final = "actor:"
SKILL: Final = "skill:"

_LONGEST_KEY: Final = 120
#: How many are named in a message.
_MOST_NAMED: Final = 3


class AssignTask(Request, frozen=True, kw_only=True, tag="assign"):
    """Says who is to do a task: somebody by name, whom matching chooses, or nobody."""

    task: str | None = None
    actor: str | None = None
    auto: bool = False
    clear: bool = False


class Cast(Record, frozen=True, kw_only=True):
    """The living actors, and those that `[agency]` names for other work."""

    actors: tuple[Actor, ...] = ()
    officials: frozenset[str] = frozenset()
    #: Of those on trial, by id: their parent's, and their share of that one's work.
    trials: Mapping[str, tuple[str, float]] = field(default_factory=dict)

    def able(self, requires: Sequence[str]) -> tuple[Actor, ...]:
        """Those that may be chosen by themselves and lack nothing."""
        return tuple(
            actor
            for actor in self.actors
            if actor.id not in self.trials and self._is_fit(actor, requires)
        )

    def tried(self, requires: Sequence[str]) -> tuple[Actor, ...]:
        """Those on trial that lack nothing: they get a share of their parents' work."""
        if not self.trials:
            return ()
        return tuple(
            actor
            for actor in self.actors
            if actor.id in self.trials and self._is_fit(actor, requires)
        )

    def _is_fit(self, actor: Actor, requires: Sequence[str]) -> bool:
        return (
            not actor.human
            and actor.name not in self.officials
            and not missing_skills(actor, requires)
        )


def is_machinery(task: Task) -> bool:
    """Whether a task was made to assign, judge or change: it is not assigned itself."""
    return not TAGS.isdisjoint(task.spec.tags)


def has_room(actor: Actor, live: int) -> bool:
    """Whether an actor that works on so many tasks may take one more."""
    return actor.capacity is None or live < actor.capacity


def beside_default(actors: Sequence[Actor]) -> Sequence[Actor]:
    """Those of some who can do a task that it is open between: `default` only alone."""
    others = [actor for actor in actors if actor.name != DEFAULT]
    return others or actors


def person_of(task: Task) -> str | None:
    """Whom a person has assigned a task to; null: nobody."""
    return None if task.actor_matched else task.actor


def hold_key(prefix: str, assigned: str | None, requires: Iterable[str]) -> str:
    """The key of all tasks that the same actors could do: what they need is the same.

    Args:
        prefix: What they wait for.
        assigned: Who alone is meant; null: whoever is able.
        requires: The skills that they require.
    """
    words = json.dumps([assigned, *sorted(requires)], ensure_ascii=False)
    if len(words) > _LONGEST_KEY:
        words = sha256(words.encode("utf-8", "surrogatepass")).hexdigest()
    return prefix + words


def nobody_able(task: Task, cast: Cast) -> Parked:
    """Why a task waits that no actor can do."""
    requires = task.spec.requires_skills
    persons = [
        actor.name
        for actor in cast.actors
        if actor.human and not missing_skills(actor, requires)
    ]
    if not requires:
        message = "there is no actor that may be chosen"
        remedy = f"wg actor add NAME, or wg assign {task.id} NAME"
    else:
        message = f"no actor has the skills {', '.join(requires)}{_near(task, cast)}"
        remedy = (
            f"wg actor add NAME {' '.join(f'--skill {one}' for one in requires)},"
            f" or wg edit {task.id} --remove-skill S"
        )
    if persons:
        message += f"; {_named(persons)} could, and persons are not chosen"
        remedy = f"wg assign {task.id} {persons[0]}, or {remedy}"
    elif tried := [actor.name for actor in cast.tried(requires)]:
        message += f"; {_named(tried)} could, and what is on trial is not chosen"
        remedy = f"wg assign {task.id} {tried[0]}, or {remedy}"
    return Parked(
        code=NOBODY,
        message=message,
        remedy=remedy,
        key=hold_key(SKILL, None, requires),
    )


def not_assigned(task: Task) -> Parked:
    """Why a task waits that requires skills, where nothing is assigned by itself."""
    return Parked(
        code=NOBODY,
        message=f"it requires {', '.join(task.spec.requires_skills)}, and tasks are"
        " assigned by people alone (agency.auto_assign is off)",
        remedy=f"wg assign {task.id} NAME",
    )


def lacks_skill(task: Task, actor: Actor) -> Parked:
    """Why a task waits that is assigned to who can't do it."""
    requires = task.spec.requires_skills
    missing = missing_skills(actor, requires)
    return Parked(
        code=NOBODY,
        message=f"it is assigned to {actor.name}, which lacks {', '.join(missing)}",
        remedy=f"wg assign {task.id} --clear, or wg actor edit {actor.name}"
        f" {' '.join(f'--skill {one}' for one in missing)}",
        key=hold_key(SKILL, actor.name, requires),
    )


def vanished(task: Task, name: str) -> Parked:
    """Why a task waits that is assigned to who was removed."""
    return Parked(
        code=NOBODY,
        message=f"it is assigned to {name}, an actor that was removed",
        remedy=f"wg assign {task.id} --clear, or wg actor add {name}",
        key=hold_key(SKILL, name, task.spec.requires_skills),
    )


def busy(task: Task, assigned: str | None, able: Sequence[Actor]) -> Parked:
    """Why a task waits that all who could do it have no room for."""
    first = able[0]
    which = "which could do it" if assigned is None else "which it is assigned to"
    message = f"{first.name}, {which}, works on {first.capacity} now: as many as it may"
    if len(able) > 1:
        said = [f"{one.name} on {one.capacity}" for one in able]
        message = f"all who could do it work on as many as they may: {_named(said)}"
    remedy = f"wait, or wg actor edit {first.name} --capacity N"
    if assigned is not None:
        remedy += f", or wg assign {task.id} --clear"
    return Parked(
        code=BUSY,
        message=message,
        remedy=remedy,
        key=hold_key(ROOM, assigned, task.spec.requires_skills),
    )


def describe(choice: Choice) -> str:
    """A choice in one line."""
    scores = {one.actor: one.score for one in choice.matches}
    able = [one for one in choice.matches if one.capable and one.reason is None]
    score = scores.get(choice.actor)
    said = f"chosen of {len(able)}"
    if score is not None:
        said += f", score {score:.3f}"
    if choice.greedy != choice.actor:
        said += f", to learn more: {choice.greedy} has the best known"
    return f"{said}, with probability {choice.propensity:.3f}"


def _near(task: Task, cast: Cast) -> str:
    """What those lack who have at least one of several skills."""
    requires = task.spec.requires_skills
    near = [
        f"{actor.name} lacks {', '.join(missing)}"
        for actor in cast.actors
        if not actor.human
        and len(missing := missing_skills(actor, requires)) < len(requires)
        and missing
    ]
    return f" ({_named(near)})" if near else ""


def _named(words: Sequence[str]) -> str:
    more = len(words) - _MOST_NAMED
    said = "; ".join(words[:_MOST_NAMED]) if len(words) > 1 else "".join(words)
    return f"{said} and {more} more" if more > 0 else said
