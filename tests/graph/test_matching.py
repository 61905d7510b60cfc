from collections import Counter
from collections.abc import Mapping
from math import isclose
from random import Random
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workgraph.graph.matching import (
    Candidate,
    Need,
    Standing,
    choose,
    match,
    missing_skills,
)
from workgraph.graph.model import Actor

GOOD = Standing(count=40, total=36.0, squares=33.0)
POOR = Standing(count=40, total=12.0, squares=6.0)


def an_actor(name: str = "ada", **fields: Any) -> Actor:
    """An actor whose id hangs on its name."""
    number = int.from_bytes(name.encode())
    return Actor(id=f"{number:064x}", name=name, **fields)


def a_candidate(
    name: str = "ada",
    *,
    live: int = 0,
    is_official: bool = False,
    record: Standing | None = None,
    cells: Mapping[str, Standing] | None = None,
    trial_of: str | None = None,
    trial_share: float = 0.0,
    **fields: Any,
) -> Candidate:
    """An actor of whom nothing is known unless it is said."""
    return Candidate(
        actor=an_actor(name, **fields),
        live=live,
        is_official=is_official,
        overall=record or Standing(),
        cells=cells or ({"": record} if record else {}),
        trial_of=trial_of,
        trial_share=trial_share,
    )


def a_need(**fields: Any) -> Need:
    """A task that asks for nothing unless it is said."""
    return Need(task="t", **fields)


def parts_of(need: Need, *candidates: Candidate) -> dict[str, Mapping[str, float]]:
    """The parts of each score, by name."""
    return {one.actor: one.parts for one in match(need, candidates)}


def chances(need: Need, *candidates: Candidate, explore: float) -> dict[str, float]:
    """The propensities, by name."""
    found = match(need, candidates, explore=explore)
    return {one.actor: one.propensity or 0.0 for one in found}


def test_required_skills_are_a_filter() -> None:
    """Required skills are a filter."""
    actor = an_actor(skills=("python",))

    assert missing_skills(actor, ("python",)) == ()
    assert missing_skills(actor, ("sql", "python", "css")) == ("sql", "css")
    assert missing_skills(an_actor(skills=("*",)), ("sql",)) == ()


def test_each_who_is_not_chosen_is_shown_with_the_reason() -> None:
    """Each who is not chosen is shown with the reason."""
    found = match(
        a_need(requires=("sql",)),
        [
            a_candidate("human", human=True, skills=("sql",)),
            a_candidate("judge", is_official=True, skills=("sql",)),
            a_candidate("lacks", skills=("css",)),
            a_candidate("full", skills=("sql",), capacity=1, live=1),
            a_candidate("free", skills=("sql",)),
        ],
    )

    assert [(one.actor, one.capable, one.busy, one.reason) for one in found] == [
        ("free", True, False, None),
        ("full", True, True, None),
        (
            "human",
            True,
            False,
            "a person takes work by wg claim, or is assigned by wg assign",
        ),
        (
            "judge",
            True,
            False,
            "it judges or assigns: it is assigned by people alone",
        ),
        ("lacks", False, False, "it lacks sql"),
    ]
    assert found[-1].missing == ("sql",)
    assert found[-1].score is None


def test_a_score_is_the_sum_of_its_parts() -> None:
    """A score is the sum of its parts."""
    found = match(
        a_need(
            prefers=("sql", "css"),
            complexity="complex",
            prompt_tokens=60_000,
            reserve_tokens=10_000,
        ),
        [
            a_candidate(
                "ada",
                skills=("sql",),
                trust="provisional",
                context_limit=40_000,
                capacity=4,
                live=1,
                usd_per_hour=3.0,
            ),
            a_candidate("bob", usd_per_hour=1.0, trust="verified"),
        ],
    )

    by_name = {one.actor: one for one in found}
    assert by_name["ada"].parts == {
        "preferred": 0.125,
        "record": 0.5,
        "complexity": -0.125,
        "context": -0.25,
        "load": -0.0125,
        "cost": pytest.approx(-0.1 * 2 / 3),
        "fallback": 0.0,
    }
    for one in found:
        assert one.score == sum(one.parts.values())


def test_what_is_not_known_stands_in_the_middle_and_is_named() -> None:
    """What is not known stands in the middle and is named."""
    (found,) = match(a_need(), [a_candidate()])

    assert found.unknown == ("record", "complexity", "context", "cost")
    assert found.score == found.parts["record"] == 0.5


def test_an_unknown_price_counts_as_the_usual_one() -> None:
    """An unknown price counts as the usual one."""
    parts = parts_of(
        a_need(),
        a_candidate("ada", usd_per_hour=1.0),
        a_candidate("bob", usd_per_hour=3.0),
        a_candidate("cyd"),
    )

    assert parts["ada"]["cost"] == 0.0
    assert parts["bob"]["cost"] < parts["cyd"]["cost"] < 0.0


def test_the_record_is_that_of_the_skills_that_are_needed() -> None:
    """The record is that of the skills that are needed."""
    one = a_candidate(
        skills=("sql", "css"), record=GOOD, cells={"sql": GOOD, "css": POOR}
    )
    sql, css = (
        parts_of(a_need(requires=(skill,)), one)["ada"]["record"]
        for skill in ("sql", "css")
    )
    both = parts_of(a_need(requires=("sql",), prefers=("css",)), one)["ada"]["record"]

    assert css < 0.35 < both < 0.85 < sql


def test_default_is_last_among_the_capable_and_not_tried_beside_another() -> None:
    """Default is last among the capable and not tried beside another."""
    default = a_candidate("default", skills=("*",), record=GOOD)
    other = a_candidate("ada", record=POOR)
    full = a_candidate("ada", record=POOR, capacity=1, live=1)

    assert chances(a_need(), default, other, explore=1.0) == {"ada": 1, "default": 0}
    assert chances(a_need(), default, full, explore=1.0) == {"ada": 0, "default": 1}
    assert [one.actor for one in match(a_need(), [default, other])] == [
        "ada",
        "default",
    ]


def test_nobody_is_chosen_where_nobody_may_be() -> None:
    """Nobody is chosen where nobody may be."""
    assert choose(a_need(), [], explore=0.2, seed="") is None
    assert choose(a_need(), [a_candidate(human=True)], explore=0.2, seed="") is None


def test_the_same_is_chosen_again_and_another_attempt_is_another_draw() -> None:
    """The same is chosen again and another attempt is another draw."""
    candidates = [a_candidate(name) for name in ("ada", "bob", "cyd")]

    def chosen(attempt: int, seed: str) -> str:
        choice = choose(a_need(attempt=attempt), candidates, explore=1.0, seed=seed)
        assert choice is not None
        return choice.actor

    assert [chosen(i, "s") for i in range(50)] == [chosen(i, "s") for i in range(50)]
    assert len({chosen(i, "s") for i in range(50)}) == 3
    assert len({chosen(1, f"s{i}") for i in range(50)}) == 3


def test_without_exploring_the_best_known_is_chosen() -> None:
    """Without exploring the best known is chosen."""
    choice = choose(
        a_need(),
        [a_candidate("poor", record=POOR), a_candidate("good", record=GOOD)],
        explore=0.0,
        seed="",
    )

    assert choice is not None
    assert (choice.actor, choice.greedy, choice.propensity) == ("good", "good", 1.0)


def test_who_are_equally_good_share_the_work() -> None:
    """Who are equally good share the work."""
    found = chances(a_need(), a_candidate("ada"), a_candidate("bob"), explore=0.0)

    assert found == {"ada": 0.5, "bob": 0.5}


@pytest.mark.slow
@pytest.mark.parametrize("explore", [0.0, 0.2, 1.0])
def test_choices_are_as_frequent_as_their_propensities_say(explore: float) -> None:
    """Choices are as frequent as their propensities say."""
    candidates = [
        a_candidate("ada", record=Standing(count=10, total=7.0)),
        a_candidate("bob", record=Standing(count=3, total=2.2), usd_per_hour=2.0),
        a_candidate("cyd"),
        a_candidate("new", trial_of=an_actor("ada").id, trial_share=0.25),
    ]
    expected = chances(a_need(), *candidates, explore=explore)
    times, counts = 4000, Counter[str]()

    for at in range(times):
        choice = choose(a_need(), candidates, explore=explore, seed=str(at))
        assert choice is not None
        assert choice.propensity == expected[choice.actor]
        counts[choice.actor] += 1

    for name, chance in expected.items():
        deviation = (chance * (1 - chance) / times) ** 0.5
        assert abs(counts[name] / times - chance) <= 4 * deviation


def test_one_on_trial_gets_its_share_of_what_goes_to_its_parent_alone() -> None:
    """One on trial gets its share of what goes to its parent alone."""
    parent = an_actor("ada").id
    ada = a_candidate("ada", record=GOOD)
    bob = a_candidate("bob", record=POOR)
    child = a_candidate("child", trial_of=parent, trial_share=0.2)
    second = a_candidate("second", trial_of=an_actor("child").id, trial_share=0.5)

    without = chances(a_need(), ada, bob, explore=0.5)
    tried = chances(a_need(), ada, bob, child, second, explore=0.5)

    assert tried["bob"] == without["bob"]
    assert tried["ada"] == pytest.approx(0.8 * without["ada"])
    assert tried["child"] == tried["second"] == pytest.approx(0.1 * without["ada"])
    assert match(a_need(), [ada, child])[-1].reason == (
        "it is on trial: it gets 20% of what goes to ada"
    )


def test_one_on_trial_takes_nothing_where_its_parent_could_not_be_chosen() -> None:
    """One on trial takes nothing where its parent could not be chosen."""
    parent = an_actor("ada").id
    child = a_candidate("child", trial_of=parent, trial_share=0.9)
    full = a_candidate("ada", capacity=1, live=1)

    assert choose(a_need(), [child], explore=1.0, seed="") is None
    assert choose(a_need(), [full, child], explore=1.0, seed="") is None


def test_what_one_on_trial_can_not_take_stays_with_its_parent() -> None:
    """What one on trial can not take stays with its parent."""
    parent = an_actor("ada").id
    ada = a_candidate("ada", skills=("sql",))
    lacking = a_candidate("lacking", trial_of=parent, trial_share=0.5)
    full = a_candidate(
        "full", trial_of=parent, trial_share=0.5, skills=("*",), capacity=1, live=1
    )

    found = chances(a_need(requires=("sql",)), ada, lacking, full, explore=0.2)

    assert found == {"ada": 1.0, "full": 0.0, "lacking": 0.0}


def test_shares_of_more_than_the_whole_are_made_smaller() -> None:
    """Shares of more than the whole are made smaller."""
    parent = an_actor("ada").id
    found = chances(
        a_need(),
        a_candidate("ada"),
        a_candidate("one", trial_of=parent, trial_share=0.9),
        a_candidate("two", trial_of=parent, trial_share=0.9),
        explore=0.2,
    )

    assert found == {"ada": 0.0, "one": 0.5, "two": 0.5}


SKILLS = ("*", "css", "python", "sql")


def a_random_candidate(random: Random, at: int, ids: list[str]) -> Candidate:
    """Any actor there may be."""
    count = random.choice([0, 0, 3, 50])
    record = Standing(count=count, total=count * random.random())
    kind = random.choice(["human", "official", "trial", *["plain"] * 5])
    name = "default" if at == 0 and random.random() < 0.5 else f"a{at}"
    ids.append(an_actor(name).id)
    return a_candidate(
        name,
        human=kind == "human",
        is_official=kind == "official",
        skills=tuple(random.sample(SKILLS, random.choice([0, 1, 1, 2]))),
        trust=random.choice(["verified", "provisional", "unknown"]),
        capacity=random.choice([None, None, 0, 1, 2]),
        live=random.choice([0, 0, 1, 2]),
        context_limit=random.choice([None, 1000, 50_000]),
        usd_per_hour=random.choice([None, 0.0, 3.0]),
        record=record,
        cells={random.choice(SKILLS): record},
        trial_of=random.choice(ids) if kind == "trial" else None,
        trial_share=random.random(),
    )


def a_random_case(random: Random) -> tuple[Need, list[Candidate]]:
    """Any task, and any actors."""
    ids: list[str] = []
    count = random.choice([0, 1, 2, 3, 6])
    candidates = [a_random_candidate(random, at, ids) for at in range(count)]
    need = Need(
        task=f"t-{random.randrange(99)}",
        attempt=random.randint(1, 3),
        requires=tuple(random.sample(SKILLS[1:], random.choice([0, 1, 1, 2]))),
        prefers=tuple(random.sample(SKILLS[1:], random.choice([0, 1, 2]))),
        complexity=random.choice([None, "simple", "moderate", "complex"]),
        prompt_tokens=random.choice([None, 0, 900, 40_000]),
        reserve_tokens=random.choice([0, 20_000]),
    )
    return need, candidates


def check(need: Need, candidates: list[Candidate], explore: float, seed: str) -> None:
    """Nobody is ever chosen who must not be; and somebody is, where one could be."""
    by_id = {one.actor.id: one for one in candidates}

    def may_take(one: Candidate) -> bool:
        skills = one.actor.skills
        skilled = "*" in skills or set(need.requires) <= set(skills)
        free = not one.actor.human and not one.is_official
        has_room = one.actor.capacity is None or one.live < one.actor.capacity
        return skilled and free and has_room

    choice = choose(need, candidates, explore=explore, seed=seed)

    able = [one for one in candidates if may_take(one) and one.trial_of is None]
    assert (choice is None) == (not able)
    if choice is None:
        return
    chosen = by_id[choice.actor_id]
    assert may_take(chosen)
    while chosen.trial_of is not None:
        chosen = by_id[chosen.trial_of]
        assert may_take(chosen)
    if chosen.actor.name == "default":
        assert len(able) == 1
    assert {one.actor_id for one in choice.matches} == set(by_id)
    assert isclose(sum(one.propensity or 0.0 for one in choice.matches), 1.0)
    assert 0.0 < choice.propensity <= 1.0
    assert choice.greedy in {one.actor.name for one in able}


@pytest.mark.slow
def test_nobody_takes_what_he_must_not_in_ten_thousand_cases() -> None:
    """Nobody takes what he must not in ten thousand cases."""
    random = Random(10_000)

    for _ in range(10_000):
        need, candidates = a_random_case(random)
        check(need, candidates, random.choice([0.0, 0.2, 1.0]), str(random.random()))


@settings(max_examples=300, deadline=None)
@given(st.randoms(use_true_random=False), st.floats(0, 1), st.text(max_size=8))
def test_nobody_ever_takes_what_he_must_not(
    random: Random, explore: float, seed: str
) -> None:
    """Nobody ever takes what he must not."""
    need, candidates = a_random_case(random)
    check(need, candidates, explore, seed)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "most_us"), [(1, 20), (5, 1000), (50, 15_000)])
def test_a_choice_is_cheap(count: int, most_us: float) -> None:
    """Ten times what it is to take, for a machine that is busy with other things."""
    candidates = [
        a_candidate(f"a{at}", record=Standing(count=at, total=at * 0.7))
        for at in range(count)
    ]
    spent = []

    for _ in range(5):
        start = process_time()
        for at in range(20):
            choose(a_need(), candidates, explore=0.2, seed=str(at))
        spent.append((process_time() - start) / 20)

    assert min(spent) * 1e6 < 10 * most_us
