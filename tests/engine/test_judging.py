"""How work is judged: by checks, by an evaluator, and the gate that waits for it."""

import pytest

from tests.core import Core, running_core
from tests.engine.judged import (
    ACTOR_MODE,
    ENFORCING,
    add_actor,
    answer,
    every_task,
    rewards_of,
)
from workgraph.graph import requests as r
from workgraph.graph.reward_requests import RecordReward

CHECKS = ("agency.auto_reward=checks",)


async def work(core: Core, title: str = "t", **options: object) -> str:
    """A task that an agent begins with."""
    return await core.add(title, executor="tool", **options)


async def test_nothing_is_judged_where_nobody_asks_for_it() -> None:
    """The default."""
    async with running_core() as core:
        task = await core.add("t")
        await core.exit(task)

        assert await rewards_of(core, task) == []
        assert await core.status(task) == "done"


async def test_checks_score_what_ends_in_the_same_tick() -> None:
    """Done and failed alike, as a reward by workgraph; no node is added."""
    async with running_core(*CHECKS) as core:
        good, bad = await core.add("good"), await core.add("bad")

        await core.exit(good)
        await core.exit(bad, 3)

        (one,), (two,) = await rewards_of(core, good), await rewards_of(core, bad)
        assert (one.source, one.by, one.score) == ("checks", "workgraph", 1.0)
        assert dict(one.dimensions) == {"efficiency": 1.0}
        assert dict(two.dimensions) == {"correctness": 0.0, "efficiency": 1.0}
        assert await every_task(core) == [good, bad]


async def test_a_hundred_tasks_leave_a_hundred_nodes() -> None:
    """With `match` and `checks` nothing is added for the machinery (RULES 29)."""
    settings = ("dispatcher.max_agents=100", "agency.auto_assign=match", *CHECKS)
    async with running_core(*settings) as core:
        tasks = [await core.add(f"t {n}") for n in range(100)]
        for task in tasks:
            core.launcher.exit(await core.holder(task), code=0)
        await core.settle()

        assert await every_task(core) == tasks
        for task in tasks:
            assert len(await rewards_of(core, task)) == 1


@pytest.mark.parametrize("signal", [9, 15])
async def test_a_crash_is_not_judged(signal: int) -> None:
    """It tells nothing of the worker."""
    async with running_core(*CHECKS) as core:
        task = await core.add("t")
        await core.crash(task, signal)

        assert await rewards_of(core, task) == []


async def test_a_persons_work_is_judged_too() -> None:
    """A claim is an attempt."""
    async with running_core(*CHECKS, "dispatcher.max_agents=0") as core:
        task = await core.add("t")
        await core.do(r.ClaimTask(task=task, actor="me"))
        await core.do(r.FinishTask(task=task))

        (reward,) = await rewards_of(core, task)
        assert (reward.attempt, reward.actor) == (1, "me")


async def test_an_evaluator_judges_after_done_and_after_failed() -> None:
    """`reward-T` runs, its answer is kept, and it gets none of its own."""
    async with running_core(*ACTOR_MODE) as core:
        await add_actor(core, "eva")
        good, bad = await work(core, "good"), await work(core, "bad")
        await core.exit(good)
        await core.exit(bad, 1)
        assert await every_task(core) == [good, bad, f"reward-{good}", f"reward-{bad}"]

        await answer(core, f"reward-{good}", {"dimensions": {"correctness": 0.9}})
        await answer(core, f"reward-{bad}", {"score": 0.2, "notes": "nothing there"})

        (one,), (two,) = await rewards_of(core, good), await rewards_of(core, bad)
        assert (one.source, one.by, one.score) == ("evaluator", "eva", 0.9)
        assert (two.score, two.notes) == (0.2, "nothing there")
        assert await core.status(f"reward-{good}") == "done"
        assert len(await every_task(core)) == 4
        assert await rewards_of(core, f"reward-{good}") == []


async def test_an_answer_that_is_none_is_asked_for_three_times() -> None:
    """Each time with what was wrong; then the errand has failed."""
    async with running_core(*ACTOR_MODE) as core:
        await add_actor(core, "eva")
        task = await work(core)
        await core.exit(task)
        errand = f"reward-{task}"

        for said in ("fine", {"dimensions": {"correctness": 7}}, {"score": "good"}):
            await answer(core, errand, said)

        told = [c.reason or "" for c in await core.changes() if c.task == errand]
        assert [word for word in told if word.startswith("verdict")] == [
            "verdict: the output does not end with a line that is a JSON object, as it"
            " was asked for",
            "verdict: the answer can't be taken: correctness: 7 is not between 0 and 1",
            "verdict: the answer is not of the shape that was asked for:"
            " Expected `float | null`, got `str` - at `$.score`",
        ]
        row = await core.task(errand)
        assert (row.status, row.attempts) == ("failed", 3)
        assert await rewards_of(core, task) == []
        assert await core.status(task) == "done"


async def test_below_the_threshold_it_is_open_again_with_the_notes() -> None:
    """The second attempt is judged anew, and done when it is good enough."""
    async with running_core(*ENFORCING) as core:
        await add_actor(core, "eva")
        task = await work(core)
        await core.exit(task)
        assert (await core.task(task)).gate == "reward"

        await answer(
            core,
            f"reward-{task}",
            {"dimensions": {"correctness": 0.4}, "notes": "the tests are missing"},
        )

        row = await core.task(task)
        assert (row.status, row.attempts) == ("in-progress", 2)
        second = await core.holder(task)
        prompt = core.launcher.orders[-1].files["prompt.md"]
        assert core.launcher.orders[-1].agent == second
        assert "the tests are missing" in prompt
        assert "0.4 by eva (evaluator) is below the threshold of 0.7" in prompt

        await core.exit(task)
        assert await core.status(task) == "pending-review"
        await answer(core, f"reward-{task}-2", {"dimensions": {"correctness": 0.8}})

        assert await core.status(task) == "done"
        assert [(one.attempt, one.score) for one in await rewards_of(core, task)] == [
            (1, 0.4),
            (2, 0.8),
        ]
        told = [
            change.reason or ""
            for change in await core.changes()
            if change.kind == "gate_judged" and change.task == task
        ]
        assert [line.splitlines()[0] for line in told] == [
            "reward: the score 0.4 by eva (evaluator) is below the threshold of 0.7;"
            " correctness 0.4",
            "reward: the score 0.8 by eva (evaluator) reaches the threshold of 0.7;"
            ' correctness 0.8 (reward_gate = "enforcing")',
        ]


async def test_an_evaluator_that_crashes_three_times_leaves_it_to_a_person() -> None:
    """Pending, never done; the reason says so (RULES 72)."""
    async with running_core(*ENFORCING) as core:
        await add_actor(core, "eva")
        task = await work(core)
        await core.exit(task)

        for _ in range(3):
            await core.crash(f"reward-{task}")
            await core.advance(600)

        assert await core.status(f"reward-{task}") == "failed"
        assert await core.status(task) == "pending-review"
        await core.do(RecordReward(task=task, score=0.9))
        assert await core.status(task) == "done"


async def test_checks_decide_at_an_enforcing_gate_in_the_same_tick() -> None:
    """What fails a gate of its own has no second chance there."""
    settings = (*CHECKS, "agency.reward_gate=enforcing", "agency.reward_threshold=0.6")
    async with running_core(*settings) as core:
        task = await core.add("t", max_attempts=1)
        await core.exit(task)

        assert await core.status(task) == "done"
        assert (await rewards_of(core, task))[0].score == 1.0


async def test_an_advisory_gate_holds_nothing_back() -> None:
    """The log says what it would have done."""
    async with running_core(*ACTOR_MODE, "agency.reward_gate=advisory") as core:
        await add_actor(core, "eva")
        task = await work(core)
        await core.exit(task)
        assert await core.status(task) == "done"

        await answer(core, f"reward-{task}", {"score": 0.1})

        told = [c for c in await core.changes() if c.kind == "gate_judged"]
        assert (told[0].task, told[0].to) == (task, "advisory")
        assert "advisory" in (told[0].reason or "")
        assert await core.status(task) == "done"


async def test_nobody_judges_their_own_work() -> None:
    """It is left to a person where it has to be judged, and to nobody elsewhere."""
    async with running_core(*ENFORCING) as core:
        await add_actor(core, "eva")
        task = await work(core, actor="eva")
        await core.exit(task)

        assert await every_task(core) == [task]
        assert await core.status(task) == "pending-review"


async def test_an_evaluator_that_comes_later_is_asked_then() -> None:
    """What waits at the gate is not forgotten."""
    async with running_core(*ENFORCING) as core:
        task = await work(core)
        await core.exit(task)
        assert await every_task(core) == [task]

        await add_actor(core, "eva")

        assert await core.status(f"reward-{task}") == "in-progress"


async def test_review_none_passes_an_enforcing_gate() -> None:
    """A task may say that it needs no judgement; it is judged all the same."""
    async with running_core(*ENFORCING) as core:
        await add_actor(core, "eva")
        task = await work(core, review="none")
        await core.exit(task)

        assert await core.status(task) == "done"
        assert await core.status(f"reward-{task}") == "in-progress"


async def test_review_reward_waits_for_whoever_scores() -> None:
    """With everything off that is an operator."""
    async with running_core() as core:
        task = await core.add("t", review="reward")
        await core.exit(task)
        assert (await core.task(task)).gate == "reward"

        await core.do(RecordReward(task=task, score=0.3, notes="no"))
        assert (await core.task(task)).attempts == 2
        await core.exit(task)
        await core.do(RecordReward(task=task, score=0.7))

        assert await core.status(task) == "done"
