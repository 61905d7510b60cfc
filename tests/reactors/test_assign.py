"""The reactor assign: what is so for whatever tasks and actors there are."""

from collections import Counter
from random import Random

import pytest

from tests.graph.builders import a_task
from workgraph.graph import assigning
from workgraph.graph.assigning import Cast
from workgraph.graph.decisions import AskAssigner, ClearTask, HoldTask
from workgraph.graph.matching import Candidate, Need, missing_skills
from workgraph.graph.model import Actor, Parked, Task
from workgraph.graph.views import AssignView
from workgraph.reactors.assign import decide

SKILLS = ("python", "rust", "law", "sql")


def an_actor(name: str, *skills: str, capacity: int | None = None) -> Actor:
    """An actor that may be chosen."""
    return Actor(id=name.ljust(64, "0"), name=name, skills=skills, capacity=capacity)


def a_view(*tasks: Task, actors: tuple[Actor, ...], **changes: object) -> AssignView:
    """What the reactor is shown."""
    cast = Cast(actors=actors, officials=frozenset({"judge"}))
    standing = {
        one.id: (
            Need(task=one.id, requires=one.spec.requires_skills),
            tuple(Candidate(actor=who) for who in cast.able(one.spec.requires_skills)),
        )
        for one in tasks
    }
    values: dict[str, object] = {
        "tasks": tasks,
        "cast": cast,
        "standing": standing,
        "free_slots": len(tasks),
    }
    return AssignView(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(300))
def test_whoever_is_chosen_can_do_it_and_has_room(seed: int) -> None:
    """None lacks a skill, is a person or an official, or gets more than it may."""
    random = Random(seed)
    actors = tuple(
        Actor(
            id=f"{n}".ljust(64, "0"),
            name="judge" if n == 0 else f"a{n}",
            human=random.random() < 0.2,
            skills=("*",)
            if random.random() < 0.1
            else tuple(random.sample(SKILLS, random.randrange(3))),
            capacity=random.choice((None, 1, 2)),
        )
        for n in range(random.randrange(7))
    )
    tasks = tuple(
        a_task(
            id=f"t{n}",
            seq=n,
            requires_skills=tuple(random.sample(SKILLS, random.randrange(3))),
            actor=random.choice((None, None, None, "a1", "nobody")),
        )
        for n in range(random.randrange(12))
    )
    live = {one.name: random.randrange(2) for one in actors}

    decisions = decide(a_view(*tasks, actors=actors, live=live), 0)

    by_name = {one.name: one for one in actors}
    given = Counter(live)
    assert len(decisions) == len(tasks)
    for decision in decisions:
        match decision:
            case ClearTask(task=one, actor=name, choice=choice):
                who = by_name.get(name or "")
                if who is None or who.human:
                    assert one.actor == name  # a person's, who is not started
                    assert not one.actor_matched
                    continue
                assert not missing_skills(who, one.spec.requires_skills)
                assert assigning.has_room(who, given[who.name])
                assert who.name != "judge"
                given[who.name] += 1
                assert choice is None or choice.actor == name
            case HoldTask(task=name, parked=parked):
                one = next(one for one in tasks if one.id == name)
                able = [
                    who
                    for who in Cast(actors=actors, officials=frozenset({"judge"})).able(
                        one.spec.requires_skills
                    )
                    if one.actor in {None, who.name}
                ]
                assert (parked.code == "actor_busy") == bool(able)
                assert parked.remedy
            case _:
                pytest.fail(f"{decision} was not to be")


@pytest.mark.parametrize("seed", range(200))
def test_what_is_on_trial_gets_work_through_its_parent_alone(seed: int) -> None:
    """Never more than its share, and nothing that its parent could not have got."""
    random = Random(seed)
    actors = tuple(
        an_actor(
            random.choice((f"a{n}", "default" if n == 0 else f"a{n}")),
            *random.sample(SKILLS, random.randrange(3)),
            capacity=random.choice((None, 1, 2)),
        )
        for n in range(random.randrange(2, 6))
    )
    trials = {
        one.id: (actors[0].id, 0.3) for one in actors[1:] if random.random() < 0.5
    }
    cast = Cast(actors=actors, trials=trials)
    tasks = tuple(
        a_task(id=f"t{n}", seq=n, requires_skills=tuple(random.sample(SKILLS, n % 2)))
        for n in range(8)
    )
    standing = {
        one.id: (
            Need(task=one.id, requires=one.spec.requires_skills),
            tuple(
                Candidate(
                    actor=who,
                    trial_of=trials[who.id][0] if who.id in trials else None,
                    trial_share=0.3 if who.id in trials else 0.0,
                )
                for of in (cast.able, cast.tried)
                for who in of(one.spec.requires_skills)
            ),
        )
        for one in tasks
    }
    live = Counter({one.name: random.randrange(2) for one in actors})

    decisions = decide(
        a_view(*tasks, actors=actors, cast=cast, standing=standing, live=live), 0
    )

    by_name = {one.name: one for one in actors}
    for decision in decisions:
        match decision:
            case ClearTask(task=one, actor=name, choice=choice):
                who = by_name[name or ""]
                if who.id in trials:
                    assert choice is not None
                    assert choice.propensity <= 0.3
                    parent = actors[0]
                    assert not missing_skills(parent, one.spec.requires_skills)
                    assert assigning.has_room(parent, live[parent.name])
                live[who.name] += 1
            case HoldTask(task=name, parked=parked):
                one = next(one for one in tasks if one.id == name)
                able = cast.able(one.spec.requires_skills)
                assert (parked.code == "actor_busy") == bool(able)
                assert not any(assigning.has_room(who, live[who.name]) for who in able)
            case _:
                pytest.fail(f"{decision} was not to be")


def test_what_waits_for_the_same_is_not_parked_again() -> None:
    """Neither for room nor for a skill; for something else it is."""
    ada = an_actor("ada", "python", capacity=1)
    waits = a_task(id="a", requires_skills=("python",))
    (held,) = decide(a_view(waits, actors=(ada,), live={"ada": 1}), 0)
    assert isinstance(held, HoldTask)
    again = a_task(id="a", requires_skills=("python",), parked=held.parked)
    law = a_task(id="b", requires_skills=("law",), parked=held.parked)

    assert decide(a_view(again, actors=(ada,), live={"ada": 1}), 0) == ()
    (other,) = decide(a_view(law, actors=(ada,)), 0)
    assert isinstance(other, HoldTask)
    assert (other.parked.code, other.parked.looks) == ("no_capable_actor", 1)


def test_tasks_that_need_the_same_have_one_key() -> None:
    """In whatever order, and however long; who is assigned makes a difference."""
    key = assigning.hold_key("actor:", None, ("b", "a"))
    assert key == assigning.hold_key("actor:", None, ("a", "b"))
    assert key != assigning.hold_key("actor:", "a", ("b",))
    long = assigning.hold_key("skill:", None, tuple("x" * n for n in range(50)))
    assert len(long) < 100


def test_all_who_are_able_are_named_where_they_are_busy() -> None:
    """The first few, and how many more there are."""
    many = tuple(an_actor(f"a{n}", capacity=1) for n in range(5))
    view = a_view(a_task(id="a"), actors=many, live={one.name: 1 for one in many})

    (held,) = decide(view, 0)

    assert isinstance(held, HoldTask)
    assert held.parked == Parked(
        code="actor_busy",
        message="all who could do it work on as many as they may:"
        " a0 on 1; a1 on 1; a2 on 1 and 2 more",
        remedy="wait, or wg actor edit a0 --capacity N",
        key="actor:[null]",
    )


def test_an_assigner_is_asked_for_as_many_as_there_are_slots() -> None:
    """The others wait; who was asked for already is matched."""
    tasks = [a_task(id=f"t{n}", seq=n) for n in range(4)]
    view = a_view(
        *tasks,
        actors=(an_actor("ada"),),
        mode="actor",
        assigner="boss",
        asked=frozenset({"t1"}),
        free_slots=2,
    )

    decisions = decide(view, 0)

    asked = [d.task.id for d in decisions if isinstance(d, AskAssigner)]
    cleared = [d.task.id for d in decisions if isinstance(d, ClearTask)]
    assert (asked, cleared) == (["t0", "t2"], ["t1"])


def test_what_a_machine_chose_stands_while_it_can_be_had() -> None:
    """Else it is decided again."""
    ada, bob = an_actor("ada", "python", capacity=1), an_actor("bob", "python")
    kept = a_task(id="a", actor="ada", actor_matched=True, requires_skills=("python",))

    (first,) = decide(a_view(kept, actors=(ada, bob)), 0)
    (then,) = decide(a_view(kept, actors=(ada, bob), live={"ada": 1}), 0)

    assert isinstance(first, ClearTask)
    assert isinstance(then, ClearTask)
    assert (first.actor, then.actor) == ("ada", "bob")
