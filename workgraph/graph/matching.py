"""Who could do a task, and who should: a score of parts that can each be explained.

Required skills are a filter; what is left is ordered by a score that is the sum of its
parts. All of it is pure: the same need, candidates and seed give the same choice.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import field

from workgraph.graph.model import Actor, Complexity, Record

#: The skill of an actor that is good for anything.
ANYTHING: Final = "*"
#: The actor that `wg init` makes: the last among the capable.
DEFAULT: Final = "default"


class Standing(Record, frozen=True, kw_only=True):
    """What is recorded of scores, each 0 to 1: how many, their sum, that of squares."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0


class Need(Record, frozen=True, kw_only=True):
    """What a task asks of whoever is to do it."""

    task: str
    #: The attempt that is to begin, from 1.
    attempt: int = 1
    requires: tuple[str, ...] = ()
    prefers: tuple[str, ...] = ()
    complexity: Complexity | None = None
    #: The size of its prompt, uncut; null where nobody has a limit.
    prompt_tokens: int | None = None


class Candidate(Record, frozen=True, kw_only=True):
    """An actor, and how it stands."""

    actor: Actor
    #: How many tasks it works on now.
    live: int = 0
    #: `[agency]` names it as assigner, evaluator or evolver: it is never chosen.
    is_official: bool = False
    #: Of all its work.
    overall: Standing = Standing()
    #: Of its work that needed a skill as this task does, at this complexity, by skill;
    #: what needed none is under the empty text.
    cells: Mapping[str, Standing] = field(default_factory=dict)

    @property
    def has_room(self) -> bool:
        """Whether it may take one more task."""
        capacity = self.actor.capacity
        return capacity is None or self.live < capacity


class Match(Record, frozen=True, kw_only=True):
    """How an actor fits a task."""

    actor: str
    actor_id: str
    capable: bool
    #: Required skills that it lacks.
    missing: tuple[str, ...] = ()
    #: Why it is not chosen by itself, in words; null where it could be.
    reason: str | None = None
    #: It works on as much as it may.
    busy: bool = False
    score: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)


class Choice(Record, frozen=True, kw_only=True):
    """Who was chosen, and what is needed to learn from it later."""

    actor: str
    actor_id: str
    #: With which probability it was.
    propensity: float
    #: Who has the best score by what is known.
    greedy: str
    matches: tuple[Match, ...]


def missing_skills(actor: Actor, required: Sequence[str]) -> tuple[str, ...]:
    """The required skills that an actor lacks, in their order."""
    if ANYTHING in actor.skills:
        return ()
    return tuple(skill for skill in required if skill not in actor.skills)


def match(need: Need, candidates: Sequence[Candidate]) -> tuple[Match, ...]:
    """Every candidate, the best first; those that can't do it or never are last."""
    found = [_assess(need, candidate) for candidate in candidates]
    return tuple(
        sorted(
            found,
            key=lambda one: (
                not one.capable,
                one.reason is not None,
                -(one.score or 0.0),
                one.actor,
            ),
        )
    )


def choose(
    need: Need, candidates: Sequence[Candidate], *, explore: float, seed: str
) -> Choice | None:
    """One of the capable who may be chosen and have room; null where there is none.

    Args:
        need: What the task asks.
        candidates: All actors.
        explore: The share of choices, 0 to 1, that may differ from the best known.
        seed: What the draw depends on besides.
    """
    matches = match(need, candidates)
    able = [one for one in matches if one.capable and one.reason is None]
    able = [one for one in able if not one.busy]
    if not able:
        return None
    best = able[0]
    return Choice(
        actor=best.actor,
        actor_id=best.actor_id,
        propensity=1.0,
        greedy=best.actor,
        matches=matches,
    )


def _assess(need: Need, candidate: Candidate) -> Match:
    actor = candidate.actor
    missing = missing_skills(actor, need.requires)
    reason = None
    if missing:
        reason = f"it lacks {', '.join(missing)}"
    elif actor.human:
        reason = "a person takes work by wg claim, or is assigned by wg assign"
    elif candidate.is_official:
        reason = "it judges or assigns: it is assigned by people alone"
    parts = {"fallback": -10.0} if actor.name == DEFAULT else {}
    return Match(
        actor=actor.name,
        actor_id=actor.id,
        capable=not missing,
        missing=missing,
        reason=reason,
        busy=not candidate.has_room,
        score=None if missing else sum(parts.values()),
        parts=parts,
    )
