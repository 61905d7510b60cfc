"""Who could do a task, and who should: a score of parts that can each be explained.

Required skills are a filter; what is left is ordered by a score that is the sum of its
parts (docs/matching.md). What is known of an actor's work enters as a bandit: most choices
take the best, some are drawn with the probability that one is the best. All of it is
pure: the same need, candidates and seed give the same choice.

The parts, what each may add, and where it comes from:

`preferred`: 0 to .25, the share of the preferred skills that it has (`requires` of the
    task is no part: it is the filter).
`record`: 0 to 1, the expected score of its work of this kind, from `standings`. Nothing
    known: 0.5.
`complexity`: -.25 to 0, how far its trust (`wg actor edit --trust`) falls short of what
    the task's complexity asks. Simple work is for anybody.
`context`: -.5 to 0, the share of the prompt that its context limit, less the reserve,
    would cut off.
`load`: -.05 to 0, what it works on, against its capacity; without one against the others.
`cost`: -.1 to 0, its `usd_per_hour`, against the dearest.
`fallback`: -10 for the actor `default`, else 0.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from msgspec import field

from workgraph.graph.bandit import Belief, Sum, believe, draw, win_chances
from workgraph.graph.model import Actor, Complexity, Record, Trust
from workgraph.graph.tokens import room_of

#: The skill of an actor that is good for anything.
ANYTHING: Final = "*"
#: The actor that `wg init` makes: the last among the capable.
DEFAULT: Final = "default"

#: The unit: an expected score of 0 to 1 is what all else is measured in.
RECORD: Final = 1.0
#: Somebody has said so, of this task: as much as a quarter of a score.
PREFERRED: Final = 0.25
#: Trust is somebody's word, too; a good record outweighs it.
COMPLEXITY: Final = 0.25
#: An agent that is not told half of what it should know does much worse.
CONTEXT: Final = 0.5
#: Money decides between two that are about as good.
COST: Final = 0.1
#: Capacity is a limit of its own: load only decides between equals.
LOAD: Final = 0.05
#: More than all else together: whoever else is capable comes before it.
FALLBACK: Final = 10.0

#: How much trust a task asks for, and how much an actor has.
_ASKED: Final[Mapping[Complexity, float]] = MappingProxyType(
    {"simple": 0.0, "moderate": 0.5, "complex": 1.0}
)
_TRUSTED: Final[Mapping[Trust, float]] = MappingProxyType(
    {"unknown": 0.0, "provisional": 0.5, "verified": 1.0}
)
#: What an actor does that has done nothing yet is its own quality's middle.
_SAME: Final = 1e-12


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
    #: What is kept back of a context limit for the work itself.
    reserve_tokens: int = 0


class Candidate(Record, frozen=True, kw_only=True):
    """An actor, and how it stands."""

    actor: Actor
    #: How many tasks it works on now.
    live: int = 0
    #: `[agency]` names it as assigner, evaluator or evolver: it is never chosen.
    is_official: bool = False
    #: Of all its work that teaches anything.
    overall: Standing = Standing()
    #: Of its work that needed a skill as this task does, at this complexity, by skill;
    #: what needed none is under the empty text.
    cells: Mapping[str, Standing] = field(default_factory=dict)
    #: Of its work that needed a skill as this task does, at whatever complexity, by
    #: skill; where one is missing, what is known is that at this complexity.
    skills: Mapping[str, Standing] = field(default_factory=dict)
    #: The id of the actor that it is made from, while it is tried: it is not chosen by
    #: itself, but takes this share, 0 to 1, of what goes to that one.
    trial_of: str | None = None
    trial_share: float = 0.0

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
    belief: Belief
    score: float
    parts: dict[str, float]
    unknown: tuple[str, ...]

    @property
    def is_able(self) -> bool:
        """Whether it may be chosen by itself, now."""
        return self.reason is None and self.candidate.has_room


class _Others(NamedTuple):
    """What those that could do it have in common."""

    #: The most that any of them works on.
    live: int
    cheapest: float
    dearest: float
    #: What one is taken to cost of which it is not known.
    usual: float


def missing_skills(actor: Actor, required: Sequence[str]) -> tuple[str, ...]:
    """The required skills that an actor lacks, in their order."""
    if not required or ANYTHING in actor.skills:
        return ()
    return tuple(skill for skill in required if skill not in actor.skills)


def belief_of(need: Need, candidate: Candidate) -> Belief:
    """What to think of an actor's work of the kind that a task is."""
    if not candidate.overall.count and not candidate.cells and not candidate.skills:
        return believe(_NO_SCORES, _NO_SCORES, _NO_SCORES)
    cell, skill = kind_of(need, candidate)
    overall = candidate.overall
    return believe(cell, skill, Sum(overall.count, overall.total))


def kind_of(need: Need, candidate: Candidate) -> tuple[Sum, Sum]:
    """An actor's scores of the kind that a task is: at its complexity, and at any.

    Of several skills it is the mean: a task that needs two says half as much of each.
    """
    named = (*need.requires, *(s for s in need.prefers if s not in need.requires))
    named = named or ("",)
    cells = [candidate.cells.get(skill, _NOTHING) for skill in named]
    broad = [
        candidate.skills.get(skill, cell)
        for skill, cell in zip(named, cells, strict=True)
    ]
    return _mean(cells), _mean(broad)


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


_NOTHING: Final = Standing()
_NO_SCORES: Final = Sum()
_NOBODY: Final = _Others(live=0, cheapest=0.0, dearest=0.0, usual=0.0)


def _weigh(need: Need, candidates: Sequence[Candidate]) -> list[_Weighed]:
    """All, in order: who may be chosen now, who is busy, who never is, who can't."""
    names = {one.actor.id: one.actor.name for one in candidates if one.trial_of}
    if names:
        names = {one.actor.id: one.actor.name for one in candidates}
    judged = []
    for one in candidates:
        missing = missing_skills(one.actor, need.requires)
        judged.append((one, missing, _reason(one, missing, names)))
    others = _NOBODY
    if len(judged) > 1:
        others = _others([one for one, _, reason in judged if reason is None])
    found = [
        _Weighed(one, missing, reason, *_NO_SCORE)
        if missing
        else _score(need, one, reason, others)
        for one, missing, reason in judged
    ]
    if len(found) > 1:
        found.sort(key=_order)
    return found


_NO_SCORE: Final = (believe(_NO_SCORES, _NO_SCORES, _NO_SCORES), 0.0, {}, ())


def _order(one: _Weighed) -> tuple[bool, bool, bool, float, str]:
    return (
        bool(one.missing),
        one.reason is not None,
        not one.candidate.has_room,
        -one.score,
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


def _others(peers: Sequence[Candidate]) -> _Others:
    costs = [
        one.actor.usd_per_hour for one in peers if one.actor.usd_per_hour is not None
    ]
    return _Others(
        live=max((one.live for one in peers), default=0),
        cheapest=min(costs, default=0.0),
        dearest=max(costs, default=0.0),
        usual=sum(costs) / len(costs) if costs else 0.0,
    )


def _score(need: Need, one: Candidate, reason: str | None, others: _Others) -> _Weighed:
    actor = one.actor
    belief = belief_of(need, one)
    unknown = []
    preferred = complexity = context = cost = 0.0
    if need.prefers:
        lacks = missing_skills(actor, need.prefers)
        preferred = PREFERRED * (1 - len(lacks) / len(need.prefers))
    if belief.alpha + belief.beta <= _KNOWS_NOTHING:
        unknown.append("record")
    if need.complexity is not None:
        short = _ASKED[need.complexity] - _TRUSTED[actor.trust]
        complexity = -COMPLEXITY * max(short, 0.0)
    else:
        unknown.append("complexity")
    if need.prompt_tokens and actor.context_limit is not None:
        room = room_of(actor.context_limit, need.reserve_tokens)
        context = -CONTEXT * max(1 - room / need.prompt_tokens, 0.0)
    else:
        unknown.append("context")
    full = one.live / (1 + others.live) if actor.capacity is None else 1.0
    if actor.capacity:
        full = one.live / actor.capacity
    if actor.usd_per_hour is None:
        unknown.append("cost")
    if others.dearest > 0:
        price = others.usual if actor.usd_per_hour is None else actor.usd_per_hour
        cost = -COST * min(max(price - others.cheapest, 0.0) / others.dearest, 1.0)
    parts = {
        "preferred": preferred,
        "record": RECORD * belief.mean,
        "complexity": complexity,
        "context": context,
        "load": -LOAD * min(full, 1.0),
        "cost": cost,
        "fallback": -FALLBACK if actor.name == DEFAULT else 0.0,
    }
    score = sum(parts.values())
    return _Weighed(one, (), reason, belief, score, parts, tuple(unknown))


#: Of a belief that is made of no scores.
_KNOWS_NOTHING: Final = 2.0


def _mean(standings: Sequence[Standing]) -> Sum:
    if len(standings) == 1:
        return Sum(standings[0].count, standings[0].total)
    return Sum(
        sum(one.count for one in standings) / len(standings),
        sum(one.total for one in standings) / len(standings),
    )


def _chances(found: Sequence[_Weighed], explore: float) -> dict[str, float]:
    """With which probability each is chosen, by id; only of those that may be."""
    pool = [one for one in found if one.is_able]
    if len(pool) > 1:
        # Whoever else has room comes first, and `default` is not tried.
        pool = [one for one in pool if one.candidate.actor.name != DEFAULT]
    if not pool:
        return {}
    if len(pool) == 1:
        chances = {pool[0].candidate.actor.id: 1.0}
    else:
        beliefs = [one.belief for one in pool]
        offsets = [one.score / RECORD - one.belief.mean for one in pool]
        drawn = win_chances(beliefs, offsets)
        # Who are equally good share what goes to the best.
        best = sum(1 for one in pool if pool[0].score - one.score <= _SAME)
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
        score=None if one.missing else one.score,
        parts=one.parts,
        unknown=one.unknown,
        propensity=None if chances is None else chances.get(actor.id, 0.0),
    )
