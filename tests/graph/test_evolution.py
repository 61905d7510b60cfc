"""Proposals from the record: which ones, in which order, and what is never proposed."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from workgraph.graph.evolution import (
    NEW_EVIDENCE,
    EvolutionView,
    Subject,
    needs_review,
    propose,
)
from workgraph.graph.identity import actor_id, role_id, tradeoff_id
from workgraph.graph.matching import Standing
from workgraph.graph.model import Actor, Role, Tradeoff
from workgraph.graph.proposal_checks import refusal
from workgraph.graph.proposals import (
    OPEN,
    Becomes,
    Draft,
    Proposal,
    ProposalStatus,
)
from workgraph.graph.remedies import REMEDIES
from workgraph.graph.rubric import WEIGHTLESS, WEIGHTS

BUILDER = Role(
    id=role_id(description="builds", skills=(), outcome="It works."),
    name="builder",
    description="builds",
    outcome="It works.",
)
CAREFUL = Tradeoff(
    id=tradeoff_id(description="careful", accept=(), reject=("haste",)),
    name="careful",
    description="careful",
    reject=("haste",),
)


def scores(count: int, mean: float) -> Standing:
    """So many scores with this mean."""
    return Standing(count=count, total=count * mean, squares=count * mean * mean)


def a_subject(
    name: str,
    cells: Mapping[str, tuple[int, float]] | None = None,
    dimensions: Mapping[str, tuple[int, float]] | None = None,
    **fields: Any,
) -> Subject:
    """An actor with the skills that it is judged by, and no others."""
    cells = cells or {}
    role, tradeoff = fields.pop("role", None), fields.pop("tradeoff", None)
    count = fields.pop("count", sum(count for count, _ in cells.values()))
    role_id, tradeoff_id = role and role.id, tradeoff and tradeoff.id
    actor = Actor(
        id=actor_id(name=name, role=role_id, tradeoff=tradeoff_id),
        name=name,
        role=role_id,
        tradeoff=tradeoff_id,
        **({"skills": tuple(cells)} | fields),
    )
    return Subject(
        actor=actor,
        role=role,
        tradeoff=tradeoff,
        overall=scores(count, 0.5),
        cells={(skill, ""): scores(*one) for skill, one in cells.items()},
        dimensions={name: scores(*one) for name, one in (dimensions or {}).items()},
    )


def a_view(*subjects: Subject, **fields: Any) -> EvolutionView:
    """What proposals are made from."""
    return EvolutionView(subjects=subjects, **fields)


def kept(draft: Draft, number: int = 1, **fields: Any) -> Proposal:
    """A draft as a proposal."""
    values = {
        "number": number,
        "kind": draft.kind,
        "subject": draft.subject,
        "change": draft.change,
        "reason": draft.reason,
        "evidence": draft.evidence,
        "created_at": 0,
    }
    return Proposal(**(values | fields))


def in_short(drafts: tuple[Draft, ...], view: EvolutionView) -> list[tuple[str, str]]:
    """The kinds, and of whom."""
    names = {one.actor.id: one.actor.name for one in view.subjects}
    return [(draft.kind, names[draft.subject]) for draft in drafts]


GOOD = {"rust": (30, 0.9), "docs": (30, 0.9)}


def test_nothing_is_concluded_from_little() -> None:
    """However bad it looks."""
    view = a_view(a_subject("ann", GOOD), a_subject("bob", {"rust": (9, 0.0)}))

    assert propose(view) == ()


def test_what_others_are_clearly_better_at_is_given_up() -> None:
    """With the numbers of both."""
    bob = a_subject("bob", {"rust": (30, 0.3), "docs": (30, 0.9)})
    view = a_view(a_subject("ann", GOOD), bob)

    (draft,) = propose(view)

    assert (draft.kind, draft.subject) == ("actor", bob.actor.id)
    assert draft.change == Becomes(skills=("docs",))
    assert draft.evidence["judged"] == 60
    (cell,) = draft.evidence["skills"]
    assert (cell["skill"], cell["better"]) == ("rust", "ann")
    assert cell["actor"]["high"] < cell["better_has"]["low"]


def test_intervals_that_meet_say_nothing() -> None:
    """The same means with less behind them."""
    bob = a_subject("bob", {"rust": (12, 0.75), "docs": (30, 0.9)})

    assert propose(a_view(a_subject("ann", GOOD), bob)) == ()


def test_who_is_better_at_what_is_complex_keeps_the_skill() -> None:
    """A mean over both would tell who gets the hard work."""
    ann = replace(
        a_subject("ann", {"rust": (60, 0.9), "docs": (30, 0.9)}),
        cells={("rust", "simple"): scores(60, 0.9)},
    )
    bob = replace(
        a_subject("bob", {"rust": (60, 0.4), "docs": (30, 0.9)}),
        cells={
            ("rust", "simple"): scores(30, 0.4),
            ("rust", "complex"): scores(30, 0.4),
        },
    )

    assert propose(a_view(ann, bob)) == ()


def test_who_is_outdone_in_everything_is_to_be_retired() -> None:
    """Not who can do one thing more than it is judged by."""
    bob = a_subject("bob", {"rust": (30, 0.3), "docs": (30, 0.2)})
    more = a_subject(
        "bob", {"rust": (30, 0.3), "docs": (30, 0.2)}, skills=("rust", "docs", "art")
    )
    ann = a_subject("ann", GOOD)

    view = a_view(ann, bob)
    assert in_short(propose(view), view) == [("retire", "bob")]
    (draft,) = propose(a_view(ann, more))
    assert draft.change == Becomes(skills=("art",))


@pytest.mark.parametrize(
    "fields", [{"human": True}, {"name": "default", "skills": ("*",)}]
)
def test_persons_and_the_last_resort_stay(fields: dict[str, Any]) -> None:
    """Whatever the record says of them; and they are nobody's replacement."""
    name = fields.pop("name", "bob")
    bad = {"rust": (30, 0.1), "docs": (30, 0.1)}
    weak = {"completeness": (30, 0.1), "correctness": (30, 0.9)}
    theirs = a_subject(name, bad, weak, **fields)

    assert propose(a_view(a_subject("ann", GOOD), theirs)) == ()
    best = a_subject(name, GOOD, **fields)
    assert propose(a_view(best, a_subject("cat", bad))) == ()


def test_the_last_one_who_can_do_something_keeps_it() -> None:
    """Somebody may be better at it by the record who has given it up since."""
    ann = a_subject("ann", GOOD, skills=("docs",))
    bob = a_subject("bob", {"rust": (30, 0.3), "docs": (30, 0.9)})

    assert propose(a_view(ann, bob)) == ()
    assert propose(a_view(a_subject("ann", GOOD), bob)) != ()


def test_of_two_that_are_outdone_none_goes_because_of_the_other() -> None:
    """Who is to be retired is nobody's replacement any more."""
    ann = a_subject("ann", {"rust": (30, 0.9)})
    bob = a_subject("bob", {"rust": (30, 0.5)})
    cat = a_subject("cat", {"rust": (30, 0.1)})
    view = a_view(ann, bob, cat)

    assert in_short(propose(view), view) == [("retire", "bob"), ("retire", "cat")]


def test_one_for_anything_goes_only_if_another_is_there() -> None:
    """The last resort is not another one."""
    bob = a_subject("bob", {"rust": (30, 0.2)}, skills=("*",))
    default = a_subject("default", {}, skills=("*",))
    ann = a_subject("ann", GOOD)
    one = a_view(ann, bob, default)
    two = a_view(replace(ann, actor=replace(ann.actor, skills=("*",))), bob, default)

    assert propose(one) == ()
    assert in_short(propose(two), two) == [("retire", "bob")]


def test_a_weak_dimension_gets_its_sentence() -> None:
    """In the outcome of the role, then as a hard constraint, then nothing."""
    weak = {"completeness": (30, 0.4), "correctness": (30, 0.9)}
    remedy = REMEDIES["completeness"]
    ann = a_subject("ann", {}, weak, role=BUILDER, tradeoff=CAREFUL, count=30)

    (draft,) = propose(a_view(ann))
    assert draft.kind == "role"
    assert draft.change == Becomes(outcome=f"It works. {remedy.outcome}")
    assert draft.evidence["dimension"] == "completeness"

    told = replace(BUILDER, outcome=draft.change.outcome or "")
    ann = replace(ann, role=told)
    (draft,) = propose(a_view(ann))
    assert draft.kind == "tradeoff"
    assert draft.change == Becomes(reject=("haste", remedy.reject))

    ann = replace(ann, tradeoff=replace(CAREFUL, reject=draft.change.reject or ()))
    assert propose(a_view(ann)) == ()


def test_a_role_is_tried_with_the_one_that_works_most() -> None:
    """Its dimensions are those of all who have it, and one trial tells."""
    weak = {"style_adherence": (8, 0.3), "correctness": (8, 0.9)}
    ann = a_subject("ann", {}, weak, role=BUILDER, count=20)
    bob = a_subject("bob", {}, weak, role=BUILDER, count=30)
    view = a_view(ann, bob)

    assert in_short(propose(view), view) == [("role", "bob")]
    assert propose(a_view(ann)) == ()


def test_a_dimension_that_is_low_with_the_rest_is_not_the_matter() -> None:
    """Nor is one that is good enough."""
    low = {"style_adherence": (30, 0.4), "correctness": (30, 0.45)}
    high = {"style_adherence": (90, 0.8), "correctness": (90, 0.99)}

    assert propose(a_view(a_subject("ann", {}, low, count=30))) == ()
    assert propose(a_view(a_subject("ann", {}, high, count=30))) == ()


def test_every_dimension_of_the_rubric_has_its_texts() -> None:
    """Whole sentences that differ."""
    assert set(REMEDIES) == set(WEIGHTS) | WEIGHTLESS
    texts = [text for one in REMEDIES.values() for text in (one.outcome, one.reject)]
    assert len(set(texts)) == len(texts)
    assert all(text.endswith(".") and "  " not in text for text in texts)


@pytest.mark.parametrize("status", sorted(ProposalStatus))
def test_nothing_is_proposed_twice(status: ProposalStatus) -> None:
    """While it is open, or until there is new evidence after it was closed."""
    ann = a_subject("ann", GOOD)
    bob = a_subject("bob", {"rust": (30, 0.3), "docs": (30, 0.9)})
    (draft,) = propose(a_view(ann, bob))
    once = (kept(draft, status=status),)

    assert propose(a_view(ann, bob, proposals=once)) == ()
    more = replace(bob, overall=scores(60 + NEW_EVIDENCE, 0.5))
    again = propose(a_view(ann, more, proposals=once))
    assert bool(again) == (status not in OPEN)


def test_of_an_actor_one_thing_is_changed_at_a_time() -> None:
    """So that the trial tells what has done it; the child is not changed meanwhile."""
    ann = a_subject("ann", GOOD)
    weak = {"completeness": (30, 0.4), "correctness": (30, 0.9)}
    bob = a_subject("bob", {"rust": (30, 0.3), "docs": (30, 0.9)}, weak)
    child = a_subject("bob-2", {"docs": (30, 0.9)}, weak)
    view = a_view(ann, bob)
    (draft,) = propose(view)
    assert draft.kind == "actor"

    trial = kept(draft, status=ProposalStatus.TRIAL, child=child.actor.id)
    assert propose(a_view(ann, bob, child, proposals=(trial,))) == ()


def test_who_judges_assigns_or_evolves_is_for_a_person_to_change() -> None:
    """Their role and tradeoff, too, where others share them."""
    eva = a_subject("eva", {}, role=BUILDER, tradeoff=CAREFUL)
    ann = a_subject("ann", {}, role=BUILDER)
    bob = a_subject("bob", {}, tradeoff=CAREFUL)
    cat = a_subject("cat", {})
    view = a_view(eva, ann, bob, cat, officials=frozenset({eva.actor.id}))

    def waits(kind: Any, one: Subject) -> bool:
        draft = Draft(kind=kind, subject=one.actor.id, reason="")
        return needs_review(draft, view)

    assert all(waits(kind, eva) for kind in ("role", "tradeoff", "actor"))
    assert [waits("role", one) for one in (ann, bob, cat)] == [True, False, False]
    assert [waits("tradeoff", one) for one in (ann, bob, cat)] == [False, True, False]
    assert not any(waits("actor", one) for one in (ann, bob, cat))


def test_who_judges_is_never_to_be_retired() -> None:
    """And is nobody's replacement: work does not go to it by itself."""
    eva = a_subject("eva", {"rust": (30, 0.3)})
    ann = a_subject("ann", GOOD)
    judges = a_view(ann, eva, officials=frozenset({eva.actor.id}))
    judged = a_view(ann, eva, officials=frozenset({ann.actor.id}))

    assert propose(judges) == ()
    assert propose(judged) == ()


REFUSED: list[tuple[Draft, str]] = [
    (Draft(kind="retire", subject="0" * 64, reason=""), "no such actor"),
    (Draft(kind="retire", subject="ann", reason=""), "does not show"),
    (Draft(kind="role", subject="me", reason=""), "a person"),
    (Draft(kind="role", subject="ann", reason=""), "changes nothing"),
    (
        Draft(kind="role", subject="ann", change=Becomes(reject=("x",)), reason=""),
        "reject is not of",
    ),
    (
        Draft(kind="role", subject="ann", change=Becomes(outcome=" "), reason=""),
        "none empty",
    ),
    (
        Draft(
            kind="role", subject="ann", change=Becomes(outcome="x" * 2001), reason=""
        ),
        "longer than",
    ),
    (
        Draft(
            kind="tradeoff",
            subject="ann",
            change=Becomes(reject=tuple("abcdefghijklmnopqrstuvw")),
            reason="",
        ),
        "at most 20",
    ),
    (
        Draft(
            kind="role", subject="ann", change=Becomes(outcome="It works."), reason=""
        ),
        "so already",
    ),
    (
        Draft(kind="actor", subject="ann", change=Becomes(skills=()), reason=""),
        "none would be left",
    ),
    (
        Draft(
            kind="actor",
            subject="ann",
            change=Becomes(skills=("rust", "go")),
            reason="",
        ),
        "has no go",
    ),
    (
        Draft(kind="actor", subject="ann", change=Becomes(skills=("rust",)), reason=""),
        "better at docs",
    ),
    (
        Draft(kind="role", subject="new", change=Becomes(outcome="X"), reason=""),
        "too little",
    ),
]


@pytest.mark.parametrize(("draft", "words"), REFUSED)
def test_what_can_not_be_is_refused_with_the_reason(draft: Draft, words: str) -> None:
    """Whoever proposes it."""
    subjects = {
        "ann": a_subject("ann", GOOD, role=BUILDER),
        "bob": a_subject("bob", GOOD),
        "me": a_subject("me", GOOD, human=True),
        "new": a_subject("new", {"rust": (3, 0.5)}),
    }
    named = subjects.get(draft.subject)
    if named is not None:
        draft = replace(draft, subject=named.actor.id)

    assert words in (refusal(draft, a_view(*subjects.values())) or "")


NAMES = ("ann", "bob", "cat", "dan", "default", "eva")
SKILLS = ("rust", "docs", "art")


@st.composite
def views(draw: st.DrawFn) -> EvolutionView:
    """Records of a few actors, good and bad, with little and much behind them."""
    random = Random(draw(st.integers(0, 2**32)))
    subjects = []
    for name in NAMES[: random.randint(1, len(NAMES))]:
        skills = random.sample(SKILLS, random.randint(0, 3))
        cells = {
            skill: (random.choice((3, 12, 40)), random.choice((0.1, 0.5, 0.9)))
            for skill in skills
        }
        dimensions = {
            name: (random.choice((3, 12, 40)), random.choice((0.2, 0.6, 0.95)))
            for name in random.sample(sorted(REMEDIES), 3)
        }
        own = ("*",) if random.random() < 0.2 else tuple(skills)
        subject = a_subject(
            name,
            cells,
            dimensions,
            skills=own,
            human=random.random() < 0.1,
            role=random.choice((None, BUILDER)),
            tradeoff=random.choice((None, CAREFUL)),
            count=40,
        )
        subjects.append(subject)
    official = frozenset(one.actor.id for one in subjects if one.actor.name == "eva")
    return a_view(*subjects, officials=official)


@settings(max_examples=100, deadline=None)
@given(views(), st.randoms(use_true_random=False))
def test_what_holds_of_every_proposal(view: EvolutionView, random: Random) -> None:
    """The same record, the same proposals; never of a person, default, the last one."""
    drafts = propose(view)
    shuffled = list(view.subjects)
    random.shuffle(shuffled)

    assert propose(replace(view, subjects=tuple(shuffled))) == drafts
    assert len({draft.subject for draft in drafts}) == len(drafts)
    by_id = {one.actor.id: one.actor for one in view.subjects}
    for draft in drafts:
        actor = by_id[draft.subject]
        assert not actor.human
        assert actor.name != "default"
        assert refusal(draft, view) is None
    expect_nobody_missed(view, drafts)
    # It is not proposed again, and what is open counts for what comes after it.
    proposals = tuple(kept(draft, n) for n, draft in enumerate(drafts, start=1))
    again = propose(replace(view, proposals=proposals))
    assert not {one.subject for one in again} & {one.subject for one in drafts}
    expect_nobody_missed(view, (*drafts, *again))


def test_whom_an_open_proposal_retires_is_counted_out() -> None:
    """Of two who can do anything one stays, even if they are proposed one by one."""
    bad = {"rust": (40, 0.1)}
    bob = a_subject("bob", {"rust": (40, 0.9)})
    view = a_view(
        bob, a_subject("ann", bad, skills=("*",)), a_subject("cat", bad, skills=("*",))
    )
    first = propose(view)
    assert in_short(first, view) == [("retire", "ann")]

    assert propose(replace(view, proposals=(kept(first[0]),))) == ()


def expect_nobody_missed(view: EvolutionView, drafts: Sequence[Draft]) -> None:
    """Carried out, all together, whatever somebody could do somebody still can."""
    by_id = {one.actor.id: one.actor for one in view.subjects}
    left = dict(by_id)
    for draft in drafts:
        if draft.kind == "retire":
            del left[draft.subject]
        elif draft.change.skills is not None:
            actor = left[draft.subject]
            left[draft.subject] = replace(actor, skills=draft.change.skills)
    free = [
        one
        for one in by_id.values()
        if not one.human and one.name not in {"default", "eva"}
    ]
    remaining = [left[one.id] for one in free if one.id in left]
    for skill in (*SKILLS, "*"):
        could = any({skill, "*"} & set(one.skills) for one in free)
        can = any({skill, "*"} & set(one.skills) for one in remaining)
        assert can or not could, skill
