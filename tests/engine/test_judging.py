"""How work is judged: by checks, by an evaluator, and the gate that waits for it."""

from pathlib import Path

import pytest

from tests.core import OPERATOR, Core, plan_host, running_core
from tests.engine.judged import (
    ACTOR_MODE,
    ENFORCING,
    add_actor,
    answer,
    every_task,
    rewards_of,
)
from tests.fake_clock import FakeClock
from tests.fakes import FakeLauncher
from workgraph.commands import queries
from workgraph.graph import requests as r
from workgraph.graph.errors import ConflictError, ForbiddenError, UserError
from workgraph.graph.judging_requests import RunReward
from workgraph.graph.messages import GetInbox
from workgraph.graph.reward_requests import RecordReward
from workgraph.store import views
from workgraph.store.database import Store, Tx

NO_OBJECT = (
    "the output does not end with a line that is a JSON object, as it was asked for"
)
NO_NUMBER = (
    "the answer is not of the shape that was asked for: Expected `float | null`, got"
    " `str` - at `$.score`"
)
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
        assert dict(two.dimensions) == {"completeness": 0.0, "efficiency": 1.0}
        assert await every_task(core) == [good, bad]


@pytest.mark.slow
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
            f"verdict: {NO_OBJECT}",
            "verdict: the answer can't be taken: correctness: 7 is not between 0 and 1",
            f"verdict: {NO_NUMBER}",
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
        low, high = told
        assert low.startswith(
            "reward: the score 0.4 by eva (evaluator) is below the threshold of 0.7;"
            " correctness 0.4\nthe tests are missing"
        )
        assert high == (
            "reward: the score 0.8 by eva (evaluator) reaches the threshold of 0.7;"
            ' correctness 0.8 (reward_gate = "enforcing")'
        )


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


async def test_a_reactor_that_raises_contributes_nothing_and_is_named() -> None:
    """What the others did in that tick stays; it is tried again, and heals."""
    async with running_core(*CHECKS, "dispatcher.max_agents=2") as core:
        actor = await add_actor(core, "ann")
        one, two = await core.add("one"), await core.add("two", actor="ann")
        three = await core.add("three")
        before = await set_record(core, actor.id, "{")
        await core.exit(two)
        await core.exit(one)

        # `one` is judged before `two` fails, and its score is undone; what patrol and
        # dispatch did stays
        assert [await core.status(task) for task in (one, two)] == ["done", "done"]
        assert await core.status(three) == "in-progress"
        assert await rewards_of(core, one) == []
        ill = [reactor for reactor in core.engine.reactors if not reactor.ok]
        assert [reactor.name for reactor in ill] == ["reward"]
        assert ill[0].error is not None

        await set_record(core, actor.id, before)
        await core.advance(1)

        assert len(await rewards_of(core, one)) == len(await rewards_of(core, two)) == 1
        assert all(reactor.ok for reactor in core.engine.reactors)


async def test_the_mark_is_there_exactly_until_somebody_has_judged() -> None:
    """A restart in between loses nothing."""
    store = await Store.open(":memory:")
    clock, launcher = FakeClock(), FakeLauncher()
    async with running_core(
        *CHECKS, "dispatcher.max_agents=1", store=store, clock=clock, launcher=launcher
    ) as core:
        actor = await add_actor(core, "ann")
        task = await core.add("one", actor="ann")
        before = await set_record(core, actor.id, "{")
        await core.exit(task)
        assert await rewards_of(core, task) == []
        await set_record(core, actor.id, before)
    launcher.crash()

    async with running_core(
        *CHECKS, store=store, clock=clock, launcher=launcher
    ) as core:
        await core.advance(2)

        assert len(await rewards_of(core, task)) == 1
    await store.close()


async def test_flip_guesses_and_compares() -> None:
    """For tasks that are tagged; a source of its own, that never counts."""
    async with running_core(*ACTOR_MODE) as core:
        await add_actor(core, "eva")
        task = await work(core, "parse-config", tag=("flip-eval",))
        await core.exit(task)
        _, errand, guess = await every_task(core)
        assert guess.startswith("reward-flip-")
        order = next(o for o in core.launcher.orders if o.env["WG_TASK_ID"] == guess)
        told = f"{order.env} {order.files}"
        assert "parse-config" not in told

        await answer(core, errand, {"score": 0.8})
        await answer(core, guess, {"task": "read a file of settings"})
        *_, compare = await every_task(core)
        prompt = core.launcher.orders[-1].files["prompt.md"]
        assert "> read a file of settings" in prompt
        assert "> parse-config" in prompt
        await answer(
            core,
            compare,
            {
                "dimensions": {
                    "semantic_match": 0.95,
                    "requirement_coverage": 0.70,
                    "specificity_match": 0.65,
                    "hallucination_rate": 0.25,
                }
            },
        )

        evaluator, flip = await rewards_of(core, task)
        assert (evaluator.source, flip.source) == ("evaluator", "flip")
        assert flip.score == 0.795
        row = (await core.do(r.ShowTask(task=task))).data
        assert row.reward is not None
        assert (row.reward.score, row.reward.by) == (0.8, "eva")


@pytest.mark.parametrize(
    ("setting", "tags", "errands"),
    [
        ("off", ("flip-eval",), 1),
        ("tagged", (), 1),
        ("tagged", ("flip-eval",), 2),
        ("all", (), 2),
    ],
)
async def test_flip_is_for_whom_it_is_set(
    setting: str, tags: tuple[str, ...], errands: int
) -> None:
    """Off, tagged or all."""
    async with running_core(*ACTOR_MODE, f"agency.flip={setting}") as core:
        await add_actor(core, "eva")
        task = await work(core, tag=tags)
        await core.exit(task)

        assert len(await every_task(core)) == 1 + errands


async def test_flip_that_fails_blocks_nothing() -> None:
    """The gate goes by the score alone."""
    async with running_core(*ENFORCING, "agency.flip=all") as core:
        await add_actor(core, "eva")
        task = await work(core)
        await core.exit(task)
        _, errand, guess = await every_task(core)

        for _ in range(3):
            await answer(core, guess, "no idea")
        await answer(core, errand, {"score": 0.9})

        assert await core.status(guess) == "failed"
        assert await core.status(task) == "done"


async def test_a_worker_cannot_pass_its_own_gate() -> None:
    """Not by approving, nor by judging, nor by printing what a judge would print."""
    async with running_core(*ENFORCING, "agents.exit_zero=done") as core:
        await add_actor(core, "eva")
        await add_actor(core, "ann")
        task = await work(core, actor="ann", verify=())
        caller = await core.agent_caller(task)
        core.launcher.write(await core.holder(task), b'{"score": 1}\n')
        await core.do(r.FinishTask(task=task), caller)

        for request in (
            r.ApproveTask(task=task),
            RecordReward(task=task, score=1.0),
            RunReward(task=task),
        ):
            with pytest.raises(ForbiddenError):
                await core.say(request, caller)
        core.launcher.exit(caller.agent.number if caller.agent else 0, code=0)
        await core.settle()

        assert await core.status(task) == "pending-review"
        assert await rewards_of(core, task) == []
        with pytest.raises((ForbiddenError, ConflictError)):
            await core.say(RecordReward(task=f"reward-{task}", score=1.0), caller)


async def test_an_errand_that_is_given_to_the_worker_brings_no_score() -> None:
    """Whoever it was sent to, nobody's answer counts for their own work."""
    async with running_core(*ENFORCING, "dispatcher.max_agents=1") as core:
        await add_actor(core, "eva")
        await add_actor(core, "ann")
        task = await work(core, actor="ann")
        await core.do(r.Pause())
        await core.exit(task)
        await core.do(r.EditTask(task=f"reward-{task}", actor="ann"))
        await core.do(r.Resume())

        await answer(core, f"reward-{task}", {"score": 1})

        assert await rewards_of(core, task) == []
        assert await core.status(task) == "pending-review"


async def test_the_evaluator_may_record_instead_of_answering() -> None:
    """With the token of its errand; the errand's gate is passed with that."""
    async with running_core(*ENFORCING) as core:
        await add_actor(core, "eva")
        task = await work(core)
        await core.exit(task)
        errand = f"reward-{task}"
        judge = await core.agent_caller(errand)

        await core.do(RecordReward(task=task, dim={"correctness": 0.9}), judge)
        assert await core.status(task) == "done"
        await core.do(r.FinishTask(task=errand), judge)

        assert await core.status(errand) == "done"


async def test_an_answer_after_done_is_waited_for() -> None:
    """A client says its last word after it has called `wg done`."""
    async with running_core(*ENFORCING) as core:
        await add_actor(core, "eva")
        task = await work(core)
        await core.exit(task)
        errand = f"reward-{task}"
        judge = await core.agent_caller(errand)

        await core.do(r.FinishTask(task=errand), judge)
        assert await core.status(errand) == "pending-review"
        assert judge.agent is not None
        core.launcher.write(judge.agent.number, b'{"score": 0.9}')
        core.launcher.exit(judge.agent.number, code=0)
        await core.settle()

        assert await core.status(errand) == "done"
        assert await core.status(task) == "done"


async def test_what_a_person_is_to_see_is_judged_meanwhile() -> None:
    """One that waits for a review has an errand, too; its score decides nothing."""
    async with running_core(*ACTOR_MODE) as core:
        await add_actor(core, "eva")
        task = await work(core, review="human")
        await core.exit(task)
        assert (await core.task(task)).gate == "human"

        await answer(core, f"reward-{task}", {"score": 0.1})

        assert (await core.task(task)).status == "pending-review"
        assert [one.score for one in await rewards_of(core, task)] == [0.1]


async def test_a_gate_of_commands_is_judged_before_the_work_is(tmp_path: Path) -> None:
    """The evaluator is asked when they have spoken, and told what they said."""
    host = plan_host(project_dir=str(tmp_path), wg_dir=str(tmp_path / ".wg"))
    async with running_core(*ENFORCING, host=host) as core:
        await add_actor(core, "eva")
        task = await work(core, verify=("echo broken; false",), max_attempts=1)
        await core.exit(task)

        assert await core.status(task) == "failed"
        prompt = core.launcher.orders[-1].files["prompt.md"]
        assert core.launcher.orders[-1].env["WG_TASK_ID"] == f"reward-{task}"
        assert "> broken" in prompt
        assert "> gate" in prompt
        await answer(core, f"reward-{task}", {"score": 1})
        assert await core.status(task) == "failed"


async def test_a_person_who_does_an_errand_says_what_the_verdict_is() -> None:
    """By the command; there is no output to read."""
    async with running_core(*ENFORCING, "dispatcher.max_agents=1") as core:
        await add_actor(core, "eva")
        task = await work(core)
        core.launcher.exit(await core.holder(task), code=0)
        await core.settle()
        errand = f"reward-{task}"
        await core.do(r.KillAgents(agent=((await core.task(errand)).claimed_by or "",)))
        await core.do(r.ClaimTask(task=errand, actor="me", force=True))
        await core.do(r.FinishTask(task=errand))

        assert await core.status(errand) != "done"
        assert await core.status(task) == "pending-review"


async def reason(core: Core, task: str) -> str:
    """What `wg why` says first."""
    reply = await core.do(r.ExplainTask(task=task))
    return str(reply.data.reasons[0].message)


async def test_why_names_the_score_that_is_waited_for() -> None:
    """From whom, and how good it has to be; then that it failed, and in the inbox."""
    async with running_core(*ENFORCING) as core:
        await add_actor(core, "eva")
        task = await work(core)
        await core.exit(task)
        assert await reason(core, task) == (
            "it waits for the score of reward-t by eva: one of 0.7 lets it pass"
        )
        assert (await core.do(GetInbox())).data == ()

        for _ in range(3):
            await core.crash(f"reward-{task}")
            await core.advance(600)

        said = "its evaluator has failed (reward-t): a person decides"
        assert await reason(core, task) == said
        (item,) = (await core.do(GetInbox())).data
        assert (item.kind, item.task, item.text) == ("review", task, said)
        assert f"wg reward run {task}" in item.commands


async def test_why_names_what_keeps_it_from_being_judged() -> None:
    """Nobody is named, nobody is there, or it is their own work."""
    async with running_core(*ENFORCING) as core:
        task = await work(core)
        await core.exit(task)
        assert "evaluator names eva, and there is no such actor" in await reason(
            core, task
        )
        assert len((await core.do(GetInbox())).data) == 1


async def test_reward_run_asks_again_after_failures() -> None:
    """Whatever state the task is in; an errand that is there is not made twice."""
    async with running_core(*ENFORCING) as core:
        await add_actor(core, "eva")
        task = await work(core)
        await core.exit(task)
        for _ in range(3):
            await core.crash(f"reward-{task}")
            await core.advance(600)

        reply = await core.do(RunReward(task=task))
        assert reply.data.errands == (f"reward-{task}-2",)
        again = await core.do(RunReward(task=task))
        assert again.data.errands == (f"reward-{task}-2",)
        await answer(core, f"reward-{task}-2", {"score": 1})

        assert await core.status(task) == "done"


@pytest.mark.parametrize("end", ["done", "failed", "abandoned"])
async def test_reward_run_judges_at_once_where_there_is_no_evaluator(end: str) -> None:
    """With everything off, for a task in any state."""
    async with running_core() as core:
        task = await core.add("t")
        await core.exit(task, 1 if end == "failed" else 0)
        if end == "abandoned":
            await core.do(r.RetryTasks(task=(task,)))
            await core.do(r.AbandonTask(task=task))
        assert await core.status(task) == end

        reply = await core.do(RunReward(task=task, attempt=1))

        (reward,) = await rewards_of(core, task)
        assert reply.data.score == reward.score
        assert reward.source == "checks"


async def test_reward_run_refuses_what_is_not_over() -> None:
    """And what is the machinery's own, and what nobody has worked on."""
    async with running_core(*ENFORCING) as core:
        await add_actor(core, "eva")
        task = await work(core)
        with pytest.raises(ConflictError):
            await core.do(RunReward(task=task))
        await core.exit(task)
        with pytest.raises(UserError, match="machinery"):
            await core.do(RunReward(task=f"reward-{task}"))


async def test_an_operator_may_pass_and_shut_the_gate_by_hand() -> None:
    """`wg approve` and `wg reject` override whoever judges."""
    async with running_core(*ENFORCING) as core:
        await add_actor(core, "eva")
        one, two = await work(core, "one"), await work(core, "two")
        for task in (one, two):
            await core.exit(task)
        await core.do(r.ApproveTask(task=one))
        await core.do(r.RejectTask(task=two, reason="no"))

        assert await core.status(one) == "done"
        assert (await core.task(two)).attempts == 2


async def test_a_score_for_an_earlier_attempt_moves_nothing() -> None:
    """The gate asks for one of this attempt (RULES 74)."""
    async with running_core(*ENFORCING) as core:
        await add_actor(core, "eva")
        task = await work(core)
        await core.exit(task)
        await core.do(r.RejectTask(task=task, reason="no"))
        await core.exit(task)

        await answer(core, f"reward-{task}", {"score": 1})

        assert await core.status(task) == "pending-review"


async def test_a_run_until_idle_waits_for_errands() -> None:
    """They will run, so it is not over yet."""
    async with running_core(*ACTOR_MODE, "dispatcher.max_agents=1") as core:
        await add_actor(core, "eva")
        task = await work(core)
        core.launcher.exit(await core.holder(task), code=0)
        await core.settle()
        assert not await idle(core)

        await answer(core, f"reward-{task}", {"score": 1})

        assert await idle(core)


async def test_wg_check_names_an_evaluator_that_is_not_there() -> None:
    """And is quiet when it is."""
    async with running_core(*ACTOR_MODE) as core:

        async def findings() -> list[str]:
            reply = await core.engine.read(
                lambda context: queries.check_graph(context, frozenset()), OPERATOR
            )
            return [one.code for one in reply.data]

        assert await findings() == ["no_such_actor"]
        await add_actor(core, "eva")

        assert await findings() == []


async def idle(core: Core) -> bool:
    """Whether nothing runs and nothing will."""
    return await core.store.read(
        lambda tx: views.is_idle(tx, core.engine.max_agents), core.clock.now()
    )


async def set_record(core: Core, actor: str, record: str) -> str:
    """Damages what is kept of an actor, or mends it; gives what it was.

    While it is damaged it is retired, so that those who look for workers pass it over.
    """

    def write(tx: Tx) -> str:
        before = tx.value("select record from identities where id = ?", (actor,))
        tx.run(
            "update identities set record = ?, retired_at = ? where id = ?",
            (record, None if record != "{" else 1, actor),
        )
        return str(before)

    before, _ = await core.store.transaction(write, core.clock.now())
    return before
