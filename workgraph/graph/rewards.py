"""Judgements of attempts: what one is, which one of several counts, and for whom."""

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, Literal

from msgspec import field

from workgraph.graph.errors import UsageError
from workgraph.graph.model import Complexity, Record
from workgraph.graph.rubric import FLIP, RUBRIC

OPERATOR: Final = "operator"
EVALUATOR: Final = "evaluator"
CHECKS: Final = "checks"
#: Whose word is taken first; who is not here speaks as an evaluator. FLIP never counts.
_RANK: Final[Mapping[str, int]] = MappingProxyType({OPERATOR: 0, CHECKS: 2})
_EVALUATORS: Final = 1
_SOURCE: Final = re.compile(r"[a-z][a-z0-9._-]{0,39}")

SubjectKind = Literal["actor", "role", "tradeoff", "pair"]


class Judgement(Record, frozen=True, kw_only=True):
    """What somebody says of an attempt."""

    task: str
    attempt: int
    source: str
    #: Who says it, by name.
    by: str
    #: The score, where one is said.
    score: float | None = None
    dimensions: Mapping[str, float] = field(default_factory=dict)
    notes: str | None = None


class Reward(Record, frozen=True, kw_only=True):
    """A judgement of an attempt as it is kept; there is one of each source."""

    task: str
    attempt: int
    #: Whose work it is: null where nobody has said, or it is none of ours.
    actor: str | None = None
    actor_id: str | None = None
    role: str | None = None
    tradeoff: str | None = None
    #: What the work was when it was judged: all skills that it asked for.
    skills: tuple[str, ...] = ()
    complexity: Complexity | None = None
    score: float
    #: The score that was said, where it was computed anew from the dimensions.
    given: float | None = None
    dimensions: Mapping[str, float] = field(default_factory=dict)
    source: str
    by: str
    rubric: str = RUBRIC
    notes: str | None = None
    at: int

    @property
    def teaches(self) -> bool:
        """Whether it says something of how well the work was done.

        What is known without a model, of a task without a gate, is but that the attempt
        has ended: it is shown, and no actor is chosen by it (docs/adr/0017).
        """
        return self.source != CHECKS or "correctness" in self.dimensions


#: In the place of a skill: all of an actor's work of which something was learned.
TEACHING: Final = "*"


class Cell(Record, frozen=True, kw_only=True):
    """Where the record keeps a score: of whom, at what kind of work."""

    kind: SubjectKind
    #: The id; of a pair that of the role, a blank, that of the tradeoff.
    subject: str
    #: With no complexity either it is the total.
    skill: str = ""
    complexity: str = ""


def check_source(source: str) -> str:
    """A name by which somebody else than workgraph may judge.

    Raises:
        UsageError: It is none.
    """
    if source == CHECKS:
        raise UsageError(
            f"{source!r} is what workgraph itself says",
            hint="leave --source out, or give it a name of its own",
        )
    if not is_source(source):
        raise UsageError(
            f"{source!r} is no name for a source",
            hint="small letters, digits, . _ and -, at most 40, a letter first",
        )
    return source


def is_source(source: str) -> bool:
    """Whether a source can have this name."""
    return _SOURCE.fullmatch(source) is not None


def rank(source: str) -> int | None:
    """Whose word is taken first, from 0 on; null: it never counts."""
    return None if source == FLIP else _RANK.get(source, _EVALUATORS)


def is_evaluator(source: str) -> bool:
    """Whether a source speaks as an evaluator does."""
    return rank(source) == _EVALUATORS


def effective(rewards: Iterable[Reward]) -> Reward | None:
    """The one of an attempt's rewards that counts; null: none does.

    The best source's, by the rubric of today; of several evaluators the last one's.
    """
    ranked = [
        (place, -one.at, one.source, one)
        for one in rewards
        if one.rubric == RUBRIC and (place := rank(one.source)) is not None
    ]
    return min(ranked, key=lambda entry: entry[:3])[3] if ranked else None


def latest_effective(rewards: Iterable[Reward]) -> Reward | None:
    """Of a task's rewards the one that counts of the last attempt that has one."""
    of_attempt: dict[int, list[Reward]] = {}
    for one in rewards:
        of_attempt.setdefault(one.attempt, []).append(one)
    for attempt in sorted(of_attempt, reverse=True):
        if (found := effective(of_attempt[attempt])) is not None:
            return found
    return None


def cells_of(reward: Reward) -> Iterator[Cell]:
    """Where a reward that counts is kept; nowhere where the work is nobody's.

    The total of the actor, its role, its tradeoff and the pair; and, where it teaches,
    the actor's under `TEACHING`, and by each skill that the work asked for at its
    complexity. What asked for none is kept by its complexity alone.
    """
    if reward.actor_id is None:
        return
    yield Cell(kind="actor", subject=reward.actor_id)
    if reward.role is not None:
        yield Cell(kind="role", subject=reward.role)
    if reward.tradeoff is not None:
        yield Cell(kind="tradeoff", subject=reward.tradeoff)
    if reward.role is not None and reward.tradeoff is not None:
        yield Cell(kind="pair", subject=f"{reward.role} {reward.tradeoff}")
    if not reward.teaches:
        return
    yield Cell(kind="actor", subject=reward.actor_id, skill=TEACHING)
    complexity = reward.complexity or ""
    for skill in sorted(set(reward.skills) - {TEACHING}) or [""]:
        if skill or complexity:  # else it is the total
            yield Cell(
                kind="actor",
                subject=reward.actor_id,
                skill=skill,
                complexity=complexity,
            )


def told(reward: Reward, before: Reward | None) -> str:
    """A reward in a line, as the change log has it."""
    was = "" if before is None else f" (was {before.score:g})"
    notes = f": {reward.notes}" if reward.notes else ""
    return f"{reward.score:g} by {reward.source}{was}{notes}"
