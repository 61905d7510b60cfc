"""What to change about who does the work, from the record alone.

The same record gives the same proposals in the same order. Of each actor there is one
at the most, so that a trial tells what has done it; the first rule that holds is taken:

1. *retire*: others are clearly better at everything that it is judged by;
2. *actor*: others are clearly better at some of its skills: it gives them up;
3. *role*, else *tradeoff*: one dimension of its work is clearly below the rest, and
   there is a text for that (`graph/remedies`).

Clearly means that two intervals of 90 % do not meet. What somebody else proposes is
held against the same record in `graph/proposal_checks`. All of it is pure.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from msgspec import field

from workgraph.graph.matching import ANYTHING, DEFAULT, Standing, missing_skills
from workgraph.graph.model import Actor, Record, Role, Tradeoff
from workgraph.graph.proposals import (
    OPEN,
    Becomes,
    Draft,
    Proposal,
    ProposalKind,
    same_change,
)
from workgraph.graph.remedies import REMEDIES
from workgraph.graph.rubric import Interval, interval_of

#: Judged work below which nothing is concluded: with less, intervals of nine in ten
#: are as wide as half of the scale.
LEAST: Final = 10
#: A mean below which a dimension is worth a change, the default of `reward_threshold`.
LOW: Final = 0.7
#: So much more of an actor's work has to be judged before a change that was rejected,
#: or has failed its trial, is proposed once more.
NEW_EVIDENCE: Final = 20
Cell = tuple[str, str]
#: What a proposal's evidence is made of.
Numbers = dict[str, Any]


class Subject(Record, frozen=True, kw_only=True):
    """An actor that is in use, and what is recorded of its work."""

    actor: Actor
    role: Role | None = None
    tradeoff: Tradeoff | None = None
    overall: Standing = Standing()
    #: By skill and complexity.
    cells: Mapping[Cell, Standing] = field(default_factory=dict)
    #: By dimension.
    dimensions: Mapping[str, Standing] = field(default_factory=dict)


class EvolutionView(Record, frozen=True, kw_only=True):
    """All that proposals are made from."""

    subjects: tuple[Subject, ...]
    #: The ids of the actors that `[agency]` names.
    officials: frozenset[str] = frozenset()
    #: Every proposal so far.
    proposals: tuple[Proposal, ...] = ()

    @property
    def on_trial(self) -> frozenset[str]:
        """The ids of children that have not shown anything yet."""
        return frozenset(
            one.child for one in self.proposals if one.child and one.has_trial
        )

    @property
    def able(self) -> tuple[Subject, ...]:
        """Whom work could go to by itself, without the last resort."""
        return tuple(
            one
            for one in self.subjects
            if may_change(one.actor)
            and one.actor.id not in self.officials
            and one.actor.id not in self.on_trial
        )


def propose(view: EvolutionView) -> tuple[Draft, ...]:
    """What the record asks for, in the order of the actors' names."""
    busy = {one.subject for one in view.proposals if one.status in OPEN}
    found: dict[str, Draft] = {}
    changeable = [
        one
        for one in sorted(view.subjects, key=lambda one: one.actor.name)
        if may_change(one.actor)
        and one.actor.id not in busy
        and one.actor.id not in view.on_trial
    ]
    gone = {
        one.subject
        for one in view.proposals
        if one.kind == "retire" and one.status in OPEN
    }
    for one in changeable:
        draft = _of_skills(view, one, gone)
        if draft is not None and _is_new(view, draft, one):
            found[one.actor.id] = draft
            if draft.kind == "retire":
                gone.add(one.actor.id)
    taken = busy | set(found)
    for group in _by_role(view):
        if taken.isdisjoint(one.actor.id for one in group):
            most = max(group, key=lambda one: (one.overall.count, one.actor.name))
            for draft in _of_dimensions(group, most):
                if _is_new(view, draft, most):
                    found[most.actor.id] = draft
                    break
    return tuple(found[one.actor.id] for one in changeable if one.actor.id in found)


def needs_review(draft: Draft, view: EvolutionView) -> bool:
    """Whether a person has to say yes: it would change who judges, assigns or evolves.

    Their roles and tradeoffs are theirs where others share them, too.
    """
    if draft.subject in view.officials:
        return True
    own = [one for one in view.subjects if one.actor.id in view.officials]
    subject = find_subject(view, draft.subject)
    if subject is None:
        return False
    actor = subject.actor
    if draft.kind == "role":
        return actor.role is not None and any(actor.role == o.actor.role for o in own)
    if draft.kind == "tradeoff":
        return actor.tradeoff is not None and any(
            actor.tradeoff == o.actor.tradeoff for o in own
        )
    return False


def is_repeated(draft: Draft, view: EvolutionView) -> bool:
    """Whether the same is open, or was closed and little has been judged since."""
    subject = find_subject(view, draft.subject)
    return subject is not None and not _is_new(view, draft, subject)


def _worse_cells(view: EvolutionView, one: Subject) -> dict[str, list[Numbers]]:
    """By skill, where somebody's interval lies wholly above an actor's."""
    found: dict[str, list[Numbers]] = {}
    for (skill, complexity), standing in sorted(one.cells.items()):
        if not skill or standing.count < LEAST:
            continue
        mine = _interval(standing)
        above = []
        for other in view.able:
            theirs = other.cells.get((skill, complexity), Standing())
            # Who is better must still have the skill, so that somebody is left.
            if theirs.count < LEAST or missing_skills(other.actor, (skill,)):
                continue
            interval = _interval(theirs)
            if interval.low > mine.high:
                above.append((interval.low, other.actor.name, interval))
        if above:
            _, name, interval = max(above, key=lambda found: found[:2])
            found.setdefault(skill, []).append(
                {
                    "skill": skill,
                    "complexity": complexity or None,
                    "actor": _numbers(mine),
                    "better": name,
                    "better_has": _numbers(interval),
                }
            )
    return found


def may_change(actor: Actor) -> bool:
    """Whether proposals may be about it: no person, and not the last resort."""
    return not actor.human and actor.name != DEFAULT


def is_last_able(view: EvolutionView, actor_id: str, skill: str) -> bool:
    """Whether nobody else whom work goes to by itself has a skill."""
    subject = find_subject(view, actor_id)
    return subject is not None and _is_last(view, subject, skill, frozenset())


def find_subject(view: EvolutionView, actor_id: str) -> Subject | None:
    """An actor that is in use, by its id."""
    return next((one for one in view.subjects if one.actor.id == actor_id), None)


def _interval(standing: Standing) -> Interval:
    return interval_of(standing.count, standing.total)


def _numbers(interval: Interval) -> Numbers:
    return {
        "count": interval.count,
        "mean": interval.mean,
        "low": interval.low,
        "high": interval.high,
    }


def _is_new(view: EvolutionView, draft: Draft, subject: Subject) -> bool:
    for one in view.proposals:
        if not same_change(one, draft):
            continue
        known = one.evidence.get("judged", 0)
        if one.status in OPEN or subject.overall.count < known + NEW_EVIDENCE:
            return False
    return True


def _judged_skills(one: Subject) -> frozenset[str]:
    return frozenset(
        skill
        for (skill, _), standing in one.cells.items()
        if skill and standing.count >= LEAST
    )


def outdone_skills(view: EvolutionView, one: Subject) -> dict[str, list[Numbers]]:
    """Skills in which others are clearly better wherever that can be said.

    Where an actor is worse at what is simple and not at what is complex, it keeps the
    skill. So whoever is best at some complexity always does, and no skill is lost.
    """
    judged: dict[str, int] = {}
    for (skill, _), standing in one.cells.items():
        if skill and standing.count >= LEAST:
            judged[skill] = judged.get(skill, 0) + 1
    return {
        skill: cells
        for skill, cells in _worse_cells(view, one).items()
        if len(cells) == judged[skill]
    }


def _is_last(
    view: EvolutionView, one: Subject, skill: str, gone: AbstractSet[str]
) -> bool:
    return not any(
        other.actor.id != one.actor.id
        and other.actor.id not in gone
        and not missing_skills(other.actor, (skill,))
        for other in view.able
    )


def is_outdone(view: EvolutionView, one: Subject, gone: AbstractSet[str]) -> bool:
    """Whether others are better at all that it can do, and can do all of that."""
    if one.overall.count < LEAST:
        return False
    bad = set(outdone_skills(view, one))
    can = set(one.actor.skills)
    if not bad or not can:
        return False
    if ANYTHING in can:
        can = (can - {ANYTHING}) | _judged_skills(one)
        if _is_last(view, one, ANYTHING, gone):
            return False
    return can <= bad


def _of_skills(
    view: EvolutionView, one: Subject, gone: AbstractSet[str]
) -> Draft | None:
    bad = outdone_skills(view, one)
    if not bad:
        return None
    name = one.actor.name
    evidence = {
        "judged": one.overall.count,
        "overall": _numbers(_interval(one.overall)),
        "skills": [cell for cells in bad.values() for cell in cells],
    }
    words = ", ".join(bad)
    if one.actor.id not in view.officials and is_outdone(view, one, gone):
        return Draft(
            kind="retire",
            subject=one.actor.id,
            reason=f"others are clearly better than {name} at all its skills: {words}",
            evidence=evidence,
        )
    kept = tuple(skill for skill in one.actor.skills if skill not in bad)
    # One without skills of its own, or with *, can't give one up by naming the others.
    if not kept or len(kept) == len(one.actor.skills) or ANYTHING in kept:
        return None
    return Draft(
        kind="actor",
        subject=one.actor.id,
        change=Becomes(skills=kept),
        reason=f"others are clearly better than {name} at {words}",
        evidence=evidence,
    )


def _by_role(view: EvolutionView) -> Iterator[list[Subject]]:
    """Those of each role; who has none stands alone."""
    groups: dict[str, list[Subject]] = {}
    for one in view.subjects:
        if may_change(one.actor) and one.actor.id not in view.on_trial:
            groups.setdefault(one.actor.role or one.actor.id, []).append(one)
    yield from groups.values()


def _of_dimensions(group: Sequence[Subject], most: Subject) -> Iterator[Draft]:
    """Changes that address the weakest dimension, the better one first."""
    sums = _added(one.dimensions for one in group)
    enough = {
        name: standing
        for name, standing in sums.items()
        if standing.count >= LEAST and name in REMEDIES
    }
    weak = []
    for name, standing in enough.items():
        others = [other for key, other in enough.items() if key != name]
        if not others:
            continue
        mine = _interval(standing)
        rest = _mean(others)
        if mine.mean is not None and mine.mean <= LOW and mine.high < rest:
            weak.append((mine.mean, name, mine, rest))
    for _, name, mine, rest in sorted(weak, key=lambda found: found[:2]):
        remedy = REMEDIES[name]
        evidence = {
            "judged": most.overall.count,
            "dimension": name,
            "role": most.role.name if most.role is not None else None,
            "actors": sorted(one.actor.name for one in group),
            "has": _numbers(mine),
            "rest": round(rest, 4),
        }
        whose = f"the role {most.role.name}" if most.role else most.actor.name
        reason = f"{name} is clearly the weakest of the work of {whose}"
        for kind, change in _texts(most, remedy.outcome, remedy.reject):
            yield Draft(
                kind=kind,
                subject=most.actor.id,
                change=change,
                reason=reason,
                evidence=evidence,
            )


def _texts(
    one: Subject, outcome: str, reject: str
) -> Iterator[tuple[ProposalKind, Becomes]]:
    """The ways in which a remedy's texts can be added that are not there yet."""
    role, tradeoff = one.role, one.tradeoff
    if role is not None and outcome not in role.outcome:
        yield "role", Becomes(outcome=f"{role.outcome} {outcome}".strip())
    kept = tradeoff.reject if tradeoff is not None else ()
    if reject not in kept:
        yield "tradeoff", Becomes(reject=(*kept, reject))


def _added(parts: Iterable[Mapping[str, Standing]]) -> dict[str, Standing]:
    found: dict[str, Standing] = {}
    for part in parts:
        for name, standing in sorted(part.items()):
            so_far = found.get(name, Standing())
            found[name] = Standing(
                count=so_far.count + standing.count,
                total=so_far.total + standing.total,
                squares=so_far.squares + standing.squares,
            )
    return found


def _mean(standings: Sequence[Standing]) -> float:
    count = sum(one.count for one in standings)
    return math.fsum(one.total for one in standings) / count
