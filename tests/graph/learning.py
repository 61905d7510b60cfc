"""Actors of known quality, and what comes of choosing among them for a long time.

The choice is the product's own: `choose`, given what `standings` would hold. Scores are
noisy fractions, and come some tasks later, as judging takes its time.
"""

from collections import deque
from collections.abc import Mapping
from random import Random
from typing import Final

from workgraph.graph.matching import Candidate, Need, Standing, choose
from workgraph.graph.model import Actor, Complexity, Record

COMPLEXITIES: Final[tuple[Complexity | None, ...]] = ("simple", "moderate", None)
#: How narrow scores lie about the true quality: a standard deviation of some 0.2.
CONCENTRATION: Final = 4.0
#: What each actor's work is worth, by skill: each is the best at one.
QUALITY: Final[Mapping[str, Mapping[str, float]]] = {
    "ada": {"parser": 0.85, "query": 0.60, "prose": 0.50},
    "bob": {"parser": 0.65, "query": 0.80, "prose": 0.55},
    "cyd": {"parser": 0.55, "query": 0.65, "prose": 0.75},
}

#: How many scores there are, their sum, that of squares: by skill and complexity.
Sums = Mapping[tuple[str, ...], tuple[int, float, float]]


class Chosen(Record, frozen=True, kw_only=True):
    """What was chosen for one task."""

    actor: str
    skill: str
    #: With which probability the best one was to be chosen.
    chance_of_best: float
    #: How much worse the actor is than the best there is.
    regret: float
    is_best: bool


def an_actor(name: str, skills: tuple[str, ...]) -> Actor:
    """An actor whose id hangs on its name."""
    number = int.from_bytes(name.encode())
    return Actor(id=f"{number:064x}", name=name, skills=skills)


def work_off(
    seed: int,
    *,
    tasks: int,
    explore: float,
    quality: Mapping[str, Mapping[str, float]] = QUALITY,
    joins: Mapping[str, int] | None = None,
    delay: int = 10,
) -> list[Chosen]:
    """Chooses for so many tasks, one after the other, and learns from the scores.

    Args:
        seed: Of the tasks, of the scores and of the choices.
        tasks: How many.
        explore: As `agency.explore`.
        quality: The truth, by actor and skill.
        joins: At which task who is not there from the beginning comes.
        delay: After how many tasks a score comes; as many are worked on at once.
    """
    random = Random(seed)
    joins = joins or {}
    skills = tuple(next(iter(quality.values())))
    actors = {name: an_actor(name, skills) for name in quality}
    records: dict[str, dict[tuple[str, ...], tuple[int, float, float]]] = {
        name: {} for name in quality
    }
    live = dict.fromkeys(quality, 0)
    late: deque[tuple[str, str, str, float]] = deque()
    found = []
    for at in range(tasks):
        if len(late) > delay:
            name, skill, level, score = late.popleft()
            live[name] -= 1
            for key in {(skill, level), (skill, "*"), ("", "")}:
                count, total, squares = records[name].get(key, (0, 0.0, 0.0))
                records[name][key] = (count + 1, total + score, squares + score**2)
        skill = random.choice(skills)
        complexity = random.choice(COMPLEXITIES)
        there = [name for name in quality if joins.get(name, 0) <= at]
        candidates = [
            _candidate(actors[name], live[name], skill, complexity or "", records[name])
            for name in there
        ]
        need = Need(task=f"t-{at}", requires=(skill,), complexity=complexity)
        choice = choose(need, candidates, explore=explore, seed=str(seed))
        assert choice is not None
        best = max(quality[name][skill] for name in there)
        own = quality[choice.actor][skill]
        found.append(
            Chosen(
                actor=choice.actor,
                skill=skill,
                chance_of_best=sum(
                    one.propensity or 0.0
                    for one in choice.matches
                    if quality[one.actor][skill] == best
                ),
                regret=best - own,
                is_best=own == best,
            )
        )
        score = random.betavariate(CONCENTRATION * own, CONCENTRATION * (1 - own))
        late.append((choice.actor, skill, complexity or "", score))
        live[choice.actor] += 1
    return found


def _candidate(
    actor: Actor, live: int, skill: str, complexity: str, record: Sums
) -> Candidate:
    def standing(*key: str) -> Standing:
        count, total, squares = record.get(key, (0, 0.0, 0.0))
        return Standing(count=count, total=total, squares=squares)

    return Candidate(
        actor=actor,
        live=live,
        overall=standing("", ""),
        cells={skill: standing(skill, complexity)},
        skills={skill: standing(skill, "*")},
    )
