"""Who could do a task, and who should: a score of parts that can each be explained.

Required skills are a filter; what is left is ordered by a score that is the sum of its
parts (docs/matching.md). What is known of an actor's work enters as a bandit: most
choices take the best, some are drawn with the probability that one is the best. All of
it is pure: the same need, candidates and seed give the same choice.

The parts of a score and their weights are in `scoring`.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import field

from workgraph.graph.bandit import UNKNOWN, draw, win_chances
from workgraph.graph.model import Record
from workgraph.graph.scoring import (
    ANYTHING,
    DEFAULT,
    NOBODY,
    RECORD,
    Candidate,
    Need,
    Score,
    Standing,
    missing_skills,
    others_of,
    score_of,
)

__all__ = [
    "ANYTHING",
    "DEFAULT",
    "Candidate",
    "Choice",
    "Match",
    "Need",
    "Standing",
    "choose",
    "match",
    "missing_skills",
    "seed_of",
]

#: Scores that differ by less are equal: sums of floats are rounded.
_SAME: Final = 1e-12
_NO_SCORE: Final = Score(UNKNOWN, 0.0, {}, ())


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
    #: The parts of which nothing is known: they stand in the middle, or at nothing.
    unknown: tuple[str, ...] = ()
    #: With which probability it is chosen; null where that was not asked.
    propensity: float | None = None


class Choice(Record, frozen=True, kw_only=True):
    """Who was chosen, and what is needed to learn from it later."""

    actor: str
    actor_id: str
    #: With which probability it was.
    propensity: float
    #: Who has the best score by what is known.
    greedy: str
    matches: tuple[Match, ...]


class _Weighed(NamedTuple):
    """An actor, with what can be said of it by itself and against the others."""

    candidate: Candidate
    missing: tuple[str, ...]
    reason: str | None
    score: Score

    @property
    def is_able(self) -> bool:
        """Whether it may be chosen by itself, now."""
        return self.reason is None and self.candidate.has_room


def match(
    need: Need, candidates: Sequence[Candidate], *, explore: float | None = None
) -> tuple[Match, ...]:
    """Every candidate, the best first; those that can't do it or never are last.

    Args:
        need: What the task asks.
        candidates: All actors.
        explore: As for `choose`; null: the propensities are not asked.
    """
    found = _weigh(need, candidates)
    chances = None if explore is None else _chances(found, explore)
    return tuple(_as_match(one, chances) for one in found)


def choose(
    need: Need, candidates: Sequence[Candidate], *, explore: float, seed: str
) -> Choice | None:
    """One of the capable who may be chosen and have room; null where there is none.

    Args:
        need: What the task asks.
        candidates: All actors.
        explore: The share of choices, 0 to 1, that are drawn by how probable it is that
            one is the best; the others take the best known.
        seed: What the draw depends on besides the task and the attempt.
    """
    found = _weigh(need, candidates)
    if not found or not found[0].is_able:
        return None
    chances = _chances(found, explore)
    chosen = found[0]
    if len(chances) > 1:
        chosen = _drawn(found, chances, f"{seed}\n{need.task}\n{need.attempt}")
    actor = chosen.candidate.actor
    return Choice(
        actor=actor.name,
        actor_id=actor.id,
        propensity=chances[actor.id],
        greedy=found[0].candidate.actor.name,
        matches=tuple([_as_match(one, chances) for one in found]),
    )


def seed_of(need: Need) -> str:
    """What draws hang on where nothing else is said: each attempt is one of its own."""
    return f"{need.task}:{need.attempt}"


def _weigh(need: Need, candidates: Sequence[Candidate]) -> list[_Weighed]:
    """All, in order: who may be chosen now, who is busy, who never is, who can't."""
    names = {one.actor.id: one.actor.name for one in candidates if one.trial_of}
    if names:
        names = {one.actor.id: one.actor.name for one in candidates}
    judged = []
    for one in candidates:
        missing = missing_skills(one.actor, need.requires)
        judged.append((one, missing, _reason(one, missing, names)))
    others = NOBODY
    if len(judged) > 1:
        others = others_of([one for one, _, reason in judged if reason is None])
    found = [
        _Weighed(
            one, missing, reason, _NO_SCORE if missing else score_of(need, one, others)
        )
        for one, missing, reason in judged
    ]
    if len(found) > 1:
        found.sort(key=_order)
    return found


def _order(one: _Weighed) -> tuple[bool, bool, bool, float, str]:
    return (
        bool(one.missing),
        one.reason is not None,
        not one.candidate.has_room,
        -one.score.total,
        one.candidate.actor.name,
    )


def _reason(
    one: Candidate, missing: Sequence[str], names: Mapping[str, str]
) -> str | None:
    if missing:
        return f"it lacks {', '.join(missing)}"
    if one.actor.human:
        return "a person takes work by wg claim, or is assigned by wg assign"
    if one.is_official:
        return "it judges or assigns: it is assigned by people alone"
    if one.trial_of is not None:
        parent = names.get(one.trial_of, one.trial_of[:8])
        return f"it is on trial: it gets {one.trial_share:.0%} of what goes to {parent}"
    return None


def _chances(found: Sequence[_Weighed], explore: float) -> dict[str, float]:
    """With which probability each is chosen, by id; only of those that may be."""
    pool = [one for one in found if one.is_able]
    if len(pool) > 1:
        # Beside another one `default` could only lose: nothing is to be computed.
        pool = [one for one in pool if one.candidate.actor.name != DEFAULT]
    if not pool:
        return {}
    if len(pool) == 1:
        chances = {pool[0].candidate.actor.id: 1.0}
    else:
        beliefs = [one.score.belief for one in pool]
        offsets = [one.score.total / RECORD - one.score.belief.mean for one in pool]
        drawn = win_chances(beliefs, offsets)
        # Who are equally good share what goes to the best.
        best = sum(1 for one in pool if pool[0].score.total - one.score.total <= _SAME)
        chances = {
            one.candidate.actor.id: explore * chance
            + ((1 - explore) / best if at < best else 0.0)
            for at, (one, chance) in enumerate(zip(pool, drawn, strict=True))
        }
    children: dict[str, list[Candidate]] = {}
    for one in found:
        parent = one.candidate.trial_of
        if parent is not None and _may_be_tried(one):
            children.setdefault(parent, []).append(one.candidate)
    if children:
        for parent in tuple(chances):
            _split(parent, chances, children)
    return chances


def _may_be_tried(one: _Weighed) -> bool:
    candidate = one.candidate
    return (
        not one.missing
        and candidate.has_room
        and not candidate.actor.human
        and not candidate.is_official
        and candidate.trial_share > 0
    )


def _split(
    parent: str, chances: dict[str, float], children: Mapping[str, Sequence[Candidate]]
) -> None:
    """Gives those that are tried their share of what goes to the one they are from."""
    tried = children.get(parent, ())
    asked = sum(min(child.trial_share, 1.0) for child in tried)
    if not asked:
        return
    whole = chances[parent]
    for child in tried:
        share = min(child.trial_share, 1.0) / max(asked, 1.0)
        chances[child.actor.id] = whole * share
        _split(child.actor.id, chances, children)
    chances[parent] = whole * max(1.0 - asked, 0.0)


def _drawn(
    found: Sequence[_Weighed], chances: Mapping[str, float], seed: str
) -> _Weighed:
    """The one at which the sum of the probabilities passes the seed's number."""
    at, passed = draw(seed), 0.0
    chosen = found[0]
    for one in found:
        chance = chances.get(one.candidate.actor.id, 0.0)
        if chance > 0.0:
            chosen = one
            passed += chance
            if passed > at:
                break
    return chosen


def _as_match(one: _Weighed, chances: Mapping[str, float] | None) -> Match:
    actor = one.candidate.actor
    return Match(
        actor=actor.name,
        actor_id=actor.id,
        capable=not one.missing,
        missing=one.missing,
        reason=one.reason,
        busy=not one.candidate.has_room,
        score=None if one.missing else one.score.total,
        parts=one.score.parts,
        unknown=one.score.unknown,
        propensity=None if chances is None else chances.get(actor.id, 0.0),
    )
