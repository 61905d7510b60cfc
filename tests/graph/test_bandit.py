from math import isclose
from random import Random

import pytest

from workgraph.graph.bandit import (
    MOST_SCORES,
    UNKNOWN,
    Belief,
    Sum,
    believe,
    credible,
    draw,
    win_chances,
)

NONE = Sum()


def a_belief(random: Random) -> Belief:
    """Any belief there may be."""
    count = random.choice([0, 1, 3, 20, 200, 400])
    total = count * random.choice([0.0, 0.5, random.random(), 1.0])
    return Belief(1 + total, 1 + count - total)


def test_without_scores_anything_is_as_likely() -> None:
    """Without scores anything is as likely."""
    assert believe(NONE, NONE, NONE) == UNKNOWN
    assert UNKNOWN.mean == 0.5


def test_scores_of_the_kind_count_in_full_and_once() -> None:
    """Scores of the kind count in full and once."""
    ten = Sum(10, 8)

    assert believe(ten, ten, ten) == Belief(9.0, 3.0)


def test_what_is_known_of_other_work_lends_a_little() -> None:
    """What is known of other work lends a little."""
    other_work = believe(NONE, NONE, Sum(100, 90))
    same_skill = believe(NONE, Sum(100, 90), Sum(100, 90))

    assert 0.5 < other_work.mean < same_skill.mean < 0.9


def test_a_belief_never_becomes_so_narrow_that_nothing_could_change_it() -> None:
    """A belief never becomes so narrow that nothing could change it."""
    many = Sum(100_000, 70_000)

    belief = believe(many, many, many)

    assert isclose(belief.alpha + belief.beta, 2 + MOST_SCORES)
    assert isclose(belief.mean, 0.7, abs_tol=0.002)


def test_chances_sum_to_one_for_any_beliefs() -> None:
    """Chances sum to one for any beliefs."""
    random = Random(6)

    for _ in range(400):
        beliefs = [a_belief(random) for _ in range(random.randint(1, 9))]
        offsets = [random.uniform(-2, 2) for _ in beliefs]
        chances = win_chances(beliefs, offsets)

        assert isclose(sum(chances), 1.0, abs_tol=1e-6)
        assert all(0.0 <= chance <= 1.0 for chance in chances)


@pytest.mark.parametrize("seed", range(6))
def test_chances_are_those_of_drawing_from_the_distributions(seed: int) -> None:
    """Chances are those of drawing from the distributions."""
    random = Random(seed)
    beliefs = [a_belief(random) for _ in range(4)]
    offsets = [random.uniform(-0.1, 0.1) for _ in beliefs]
    draws, won = 20_000, [0] * len(beliefs)

    for _ in range(draws):
        qualities = [
            random.betavariate(one.alpha, one.beta) + offset
            for one, offset in zip(beliefs, offsets, strict=True)
        ]
        won[qualities.index(max(qualities))] += 1

    # 20,000 draws have a standard deviation of 0.0035 at the most.
    assert win_chances(beliefs, offsets) == pytest.approx(
        [count / draws for count in won], abs=0.014
    )


def test_a_belief_that_is_rounded_at_an_end_has_chances() -> None:
    """A belief that is rounded at an end has chances."""
    # 3 scores of 1 less the rounding of their sum
    belief = Belief(3.0, 1.0000000000000002)

    assert win_chances([belief, belief], [0.0, 0.0]) == pytest.approx([0.5, 0.5])


def test_the_same_beliefs_have_the_same_chances() -> None:
    """The same beliefs have the same chances."""
    for count in (2, 3, 7):
        assert win_chances([Belief(30, 8)] * count, [0.25] * count) == pytest.approx(
            [1 / count] * count
        )


def test_who_is_better_besides_has_the_better_chance() -> None:
    """Who is better besides has the better chance."""
    first, second = win_chances([UNKNOWN, UNKNOWN], [0.0, 0.25])

    # Of two that are uniform, one moved by d: (1 - d)^2 / 2 for the other.
    assert first == pytest.approx(0.75**2 / 2, abs=0.002)
    assert second == pytest.approx(1 - 0.75**2 / 2, abs=0.002)


def test_who_is_out_of_reach_is_never_best() -> None:
    """Who is out of reach is never best."""
    assert win_chances([UNKNOWN, UNKNOWN], [0.0, 3.0]) == [0.0, 1.0]


def test_a_credible_range_holds_the_mean_and_narrows() -> None:
    """A credible range holds the mean and narrows."""
    few_low, few_high = credible(Belief(5, 3))
    low, high = credible(Belief(250, 150))

    assert few_low < low < 250 / 400 < high < few_high
    assert credible(UNKNOWN) == pytest.approx((0.025, 0.975), abs=0.01)


def test_a_draw_hangs_on_the_seed_alone() -> None:
    """A draw hangs on the seed alone."""
    assert draw("a") == 0.7913742705223815
    assert [draw("a"), draw("b")] == [draw("a"), draw("b")]
    assert 0.49 < sum(draw(str(i)) for i in range(5000)) / 5000 < 0.51
