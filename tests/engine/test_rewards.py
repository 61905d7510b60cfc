"""Who may judge what, what becomes of it, and what the next attempt is told."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from tests.commands.transfer_graph import lines
from tests.core import OPERATOR, Core, running_core
from workgraph.commands.context import Caller
from workgraph.commands.queries import check_graph
from workgraph.commands.transfer import import_graph
from workgraph.daemon.starting import Starting
from workgraph.graph import requests as r
from workgraph.graph.errands import Errand
from workgraph.graph.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UsageError,
    UserError,
)
from workgraph.graph.prompt_requests import GetContext
from workgraph.graph.reward_requests import GetStats, RecordReward, ShowRewards
from workgraph.store import errands

ACTORS = lines(
    {"kind": "role", "name": "coder", "description": "codes"},
    {"kind": "actor", "name": "ann", "skills": ["*"]},
    {"kind": "actor", "name": "eve", "skills": ["*"]},
)


@asynccontextmanager
async def judged_core() -> AsyncGenerator[Core]:
    """Ann has worked on `t`, which is done."""
    async with running_core("dispatcher.max_agents=4") as core:
        await core.engine.ask(lambda context: import_graph(context, ACTORS), OPERATOR)
        await core.add("t", actor="ann", skill=("go",), complexity="simple")
        await core.exit("t")
        yield core


async def a_judge(
    core: Core, task: str = "judge", actor: str = "eve", **errand: Any
) -> Caller:
    """An attempt whose task is to judge Ann's."""
    about: dict[str, Any] = {"task": task, "kind": "reward", "about": "t", "attempt": 1}
    await core.do(r.AddTask(title=task, exec="true", actor=actor, paused=True))

    def insert(tx: Any) -> None:
        errands.insert_errand(tx, Errand(**(about | {"part": "score"} | errand)))

    await core.store.transaction(insert, core.clock.now())
    await core.do(r.Resume(task=task))
    return await core.agent_caller(task)


async def test_an_operator_judges_the_last_attempt() -> None:
    """By its own name; the task shows it, and the actor has a record."""
    async with judged_core() as core:
        said = RecordReward(task="t", score=0.9, dim={"correctness": 0.5}, notes="hm")
        reply = await core.do(said)

        assert (reply.data.score, reply.data.given) == (0.5, 0.9)
        assert (reply.data.source, reply.data.by) == ("operator", "me")
        assert (reply.data.attempt, reply.data.actor) == (1, "ann")
        assert reply.notes == ("its dimensions make 0.5; 0.9 was given",)
        task = (await core.do(r.ShowTask(task="t"))).data
        assert (task.reward.score, task.reward.by) == (0.5, "me")
        [listed] = (await core.do(r.ListTasks())).data
        assert listed.reward == task.reward
        stats = (await core.do(GetStats(actor="ann", by="skill"))).data
        assert [
            (row.kind, row.skill, row.complexity, row.count) for row in stats.rows
        ] == [
            ("actor", None, None, 1),
            ("actor", "go", "simple", 1),
        ]
        assert [row.mean for row in stats.rows] == [0.5, 0.5]


async def test_an_errand_s_attempt_judges_what_it_is_about() -> None:
    """As an evaluator, by its actor's name; it is the errand's verdict."""
    async with judged_core() as core:
        judge = await a_judge(core)

        reply = await core.do(RecordReward(task="t", score=0.7, notes="ok"), judge)

        assert (reply.data.source, reply.data.by) == ("evaluator", "eve")
        assert reply.data.counts
        errand = await core.store.read(lambda tx: errands.find(tx, "judge"), 0)
        assert errand is not None
        assert msgspec.json.decode(errand.verdict or "") == {
            "score": 0.7,
            "dimensions": {},
            "notes": "ok",
        }


async def test_flip_is_kept_and_never_counts() -> None:
    """Its second step gives it; the first knows too little."""
    dim = {
        "semantic-match": 0.95,
        "requirement coverage": 0.70,
        "specificity_match": 0.65,
        "hallucination_rate": 0.25,
    }
    async with judged_core() as core:
        guess = await a_judge(core, "guess", part="guess")
        with pytest.raises(ForbiddenError, match="has no score to give"):
            await core.do(RecordReward(task="t", dim=dim), guess)
        compare = await a_judge(core, "compare", part="compare")

        reply = await core.do(RecordReward(task="t", dim=dim), compare)

        assert (reply.data.source, reply.data.score) == ("flip", 0.795)
        assert not reply.data.counts
        assert reply.notes == ("by flip it is shown, and never counts",)
        assert (await core.do(r.ShowTask(task="t"))).data.reward is None
        assert (await core.do(GetStats())).data.rows == ()
        [row] = (await core.do(GetStats(by="source"))).data.rows
        assert (row.name, row.source, row.mean) == ("ann", "flip", 0.795)


@pytest.mark.parametrize(
    ("errand", "request_", "message"),
    [
        ({"about": "other"}, {}, "is the operator's"),
        ({"kind": "assignment"}, {}, "is the operator's"),
        ({}, {"task": "other"}, "is the operator's"),
        ({}, {"task": "judge"}, "is the operator's"),
        ({}, {"attempt": 2}, "is about attempt 1 at t, not 2"),
        ({}, {"source": "operator"}, "can't judge as 'operator'"),
        ({"actor": "ann"}, {}, "ann can't judge its own work"),
    ],
)
async def test_an_attempt_judges_nothing_else(
    errand: dict[str, Any], request_: dict[str, Any], message: str
) -> None:
    """Neither another task or attempt, nor as somebody else, nor its own work."""
    async with judged_core() as core:
        await core.add("other", paused=True)
        judge = await a_judge(core, **errand)
        words: dict[str, Any] = {"task": "t", "score": 1.0} | request_
        said = RecordReward(**words)

        with pytest.raises(ForbiddenError, match=message):
            await core.do(said, judge)

        assert (await core.do(ShowRewards())).data == ()


async def test_who_is_judged_and_who_just_works_may_not() -> None:
    """The worker of the task, while it has it, is nobody's judge."""
    async with judged_core() as core:
        await core.add("u", actor="ann")
        worker = await core.agent_caller("u")
        for task in ("u", "t"):
            with pytest.raises(ForbiddenError):
                await core.do(RecordReward(task=task, score=1.0), worker)


async def test_a_judgement_after_the_end_is_a_late_result() -> None:
    """It is kept with the task that was to judge, and counts for nothing."""
    async with judged_core() as core:
        judge = await a_judge(core)
        await core.exit("judge")

        with pytest.raises(ConflictError, match="has ended"):
            await core.do(RecordReward(task="t", score=1.0), judge)

        assert (await core.do(ShowRewards(task="t"))).data == ()


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        ({"task": "x"}, NotFoundError, "no task 'x'"),
        ({"task": "new"}, UserError, "nobody has worked on new"),
        ({"task": "busy"}, ConflictError, "attempt 1 at busy is not over"),
        ({"attempt": 3}, NotFoundError, "no attempt 3 at t"),
        ({"score": 1.2}, UsageError, "the score: 1.2 is not between 0 and 1"),
        ({"dim": {"correctness": 80}}, UsageError, "correctness: 80 is not"),
        ({"score": None}, UsageError, "neither a score nor a dimension"),
        ({"source": "checks"}, UsageError, "'checks' is what workgraph itself says"),
        ({"source": "A B"}, UsageError, "'A B' is no name for a source"),
        ({"notes": "x" * 70_000}, UsageError, "notes: more than"),
    ],
)
async def test_what_can_not_be_is_refused_with_a_remedy(
    said: dict[str, Any], error: type[Exception], message: str
) -> None:
    """And nothing of it is kept."""
    async with judged_core() as core:
        words: dict[str, Any] = {"task": "t", "score": 0.5} | said
        await core.add("new", paused=True)
        await core.add("busy")

        with pytest.raises(error, match=message) as raised:
            await core.do(RecordReward(**words))

        assert getattr(raised.value, "hint", "")
        assert (await core.do(ShowRewards())).data == ()


async def test_unknown_dimensions_are_kept_and_named() -> None:
    """They weigh nothing, and what was given stands."""
    async with judged_core() as core:
        reply = await core.do(RecordReward(task="t", score=0.4, dim={"charm": 1.0}))

        assert (reply.data.score, reply.data.dimensions) == (0.4, {"charm": 1.0})
        assert reply.notes == (
            "warning: the dimension charm is not known: it weighs nothing",
        )


async def test_an_override_is_beside_what_it_overrides() -> None:
    """The operator's counts; the statistics say by how much they differ."""
    async with judged_core() as core:
        judge = await a_judge(core)
        await core.do(RecordReward(task="t", score=0.9), judge)
        await core.do(RecordReward(task="t", score=0.4))

        shown = (await core.do(ShowRewards(task="t"))).data
        assert [(one.source, one.score, one.counts) for one in shown] == [
            ("evaluator", 0.9, False),
            ("operator", 0.4, True),
        ]
        stats = (await core.do(GetStats())).data
        assert [(row.name, row.mean) for row in stats.rows] == [("ann", 0.4)]
        [over] = stats.overrides
        assert (over.name, over.count) == ("ann", 1)
        assert (over.operator, over.evaluator, over.difference) == (0.4, 0.9, -0.5)


async def test_the_next_attempt_is_told_what_was_said() -> None:
    """With the score, in the entry of the attempt that it is about."""
    async with judged_core() as core:
        await core.do(RecordReward(task="t", score=0.4, notes="look at the edges"))
        await core.do(RecordReward(task="t", score=0.3, source="zoe"))
        await core.do(r.RetryTasks(task="t"))

        reply = await Starting(core.engine).context(GetContext(task="t"), OPERATOR)
        text = reply.data.text

        assert "review by me as operator, score 0.4" in text
        assert "look at the edges" in text
        assert "zoe" not in text


async def test_a_person_s_work_counts_for_nobody() -> None:
    """It is judged as any other."""
    async with running_core() as core:
        await core.add("t", paused=True)
        await core.do(r.ClaimTask(task="t", actor="paul", force=True))
        await core.do(r.FinishTask(task="t"))

        reply = await core.do(RecordReward(task="t", score=0.4))

        assert (reply.data.actor, reply.data.counts) == ("paul", True)
        assert reply.notes == ("it counts for nobody: the attempt was no actor's",)
        assert (await core.do(GetStats())).data.rows == ()


async def test_a_record_that_was_damaged_is_found() -> None:
    """`wg check` says whose; it is mended by nobody but us."""
    async with judged_core() as core:
        await core.do(RecordReward(task="t", score=0.5))
        damage = "update standings set count = 2 where skill = ''"
        await core.store.transaction(lambda tx: tx.run(damage), 0)

        reply = await core.engine.ask(
            lambda context: check_graph(context, frozenset()), OPERATOR
        )
        findings = reply.data

        assert [one.code for one in findings] == ["wrong_record"]
        assert "has 2 scores that make 0.5, and was given 1" in findings[0].message
        mend = "update standings set count = 1"
        await core.store.transaction(lambda tx: tx.run(mend), 0)


async def test_who_is_not_known_has_no_statistics() -> None:
    """An actor without any is shown as such; its id will do for its name."""
    async with judged_core() as core:
        [row] = (await core.do(GetStats(actor="eve"))).data.rows
        assert (row.name, row.count, row.mean) == ("eve", 0, None)
        assert (row.low, row.high) == (0.0, 1.0)
        [same] = (await core.do(GetStats(actor=row.id[:8]))).data.rows
        assert same == row
        with pytest.raises(NotFoundError, match="no actor 'x'"):
            await core.do(GetStats(actor="x"))
