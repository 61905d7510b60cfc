"""What an actor's score for a task is made of: parts, in units of an expected score.

Pure. The weights stand here alone, each with its reason.

The parts, what each may add, and where it comes from:

`preferred`: 0 to .25, the share of the task's preferred skills that it has.
`record`: 0 to 1, the expected score of its work of this kind, from `standings`. Nothing
    known: 0.5.
`complexity`: -.25 to 0, how far its trust (`wg actor edit --trust`) falls short of what
    the task's complexity asks. Simple work is for anybody.
`context`: -.5 to 0, the share of the prompt that its context limit, less the reserve,
    would cut off.
`load`: -.05 to 0, what it works on, against its capacity; without one against others.
`cost`: -.1 to 0, how much dearer it is than the cheapest, against the dearest.
`fallback`: -10 for the actor `default`, else 0.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from msgspec import field

from workgraph.graph.bandit import UNKNOWN, Belief, Sum, believe
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
#: What the numbers of a belief add up to that is made of no scores.
_KNOWS_NOTHING: Final = 2.0


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


class Score(NamedTuple):
    """How well an actor fits a task."""

    belief: Belief
    #: The sum of the parts.
    total: float
    parts: dict[str, float]
    #: The parts of which nothing is known.
    unknown: tuple[str, ...]


class Others(NamedTuple):
    """What those that could do it have in common."""

    #: The most that any of them works on.
    live: int
    cheapest: float
    dearest: float
    #: What one is taken to cost of which it is not known.
    usual: float


_NOTHING: Final = Standing()
#: Of one who is alone.
NOBODY: Final = Others(live=0, cheapest=0.0, dearest=0.0, usual=0.0)


def missing_skills(actor: Actor, required: Sequence[str]) -> tuple[str, ...]:
    """The required skills that an actor lacks, in their order."""
    if not required or ANYTHING in actor.skills:
        return ()
    return tuple(skill for skill in required if skill not in actor.skills)


def belief_of(need: Need, candidate: Candidate) -> Belief:
    """What to think of an actor's work of the kind that a task is."""
    if not candidate.overall.count and not candidate.cells and not candidate.skills:
        return UNKNOWN
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


def others_of(peers: Sequence[Candidate]) -> Others:
    """What those have in common who could do a task."""
    costs = [
        one.actor.usd_per_hour for one in peers if one.actor.usd_per_hour is not None
    ]
    return Others(
        live=max((one.live for one in peers), default=0),
        cheapest=min(costs, default=0.0),
        dearest=max(costs, default=0.0),
        usual=sum(costs) / len(costs) if costs else 0.0,
    )


def score_of(need: Need, one: Candidate, others: Others) -> Score:
    """How well an actor that has the skills fits.

    Args:
        need: What the task asks.
        one: The actor.
        others: What those have in common who could do it.
    """
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
        complexity = 0.0 - COMPLEXITY * max(short, 0.0)
    else:
        unknown.append("complexity")
    if need.prompt_tokens and actor.context_limit is not None:
        room = room_of(actor.context_limit, need.reserve_tokens)
        context = 0.0 - CONTEXT * max(1 - room / need.prompt_tokens, 0.0)
    else:
        unknown.append("context")
    full = one.live / (1 + others.live) if actor.capacity is None else 1.0
    if actor.capacity:
        full = one.live / actor.capacity
    if actor.usd_per_hour is None:
        unknown.append("cost")
    if others.dearest > 0:
        price = others.usual if actor.usd_per_hour is None else actor.usd_per_hour
        dearer = max(price - others.cheapest, 0.0) / others.dearest
        cost = 0.0 - COST * min(dearer, 1.0)
    parts = {
        "preferred": preferred,
        "record": RECORD * belief.mean,
        "complexity": complexity,
        "context": context,
        "load": 0.0 - LOAD * min(full, 1.0),
        "cost": cost,
        "fallback": -FALLBACK if actor.name == DEFAULT else 0.0,
    }
    return Score(belief, sum(parts.values()), parts, tuple(unknown))


def _mean(standings: Sequence[Standing]) -> Sum:
    if len(standings) == 1:
        return Sum(standings[0].count, standings[0].total)
    return Sum(
        sum(one.count for one in standings) / len(standings),
        sum(one.total for one in standings) / len(standings),
    )
