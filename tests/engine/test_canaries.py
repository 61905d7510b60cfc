"""An evaluator is tried on known answers: what it is given, waited for and told."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.core import OPERATOR, Core, running_core
from tests.engine.judged import ACTOR_MODE, add_actor, answer, every_task
from workgraph.daemon.calibrating import run_canaries, tell_nobody
from workgraph.daemon.engine import Mode
from workgraph.graph import requests as r
from workgraph.graph.canary_requests import CalibrationData, GetCanaries, RunCanaries
from workgraph.graph.errors import ForbiddenError, NeedsDaemonError, UserError
from workgraph.graph.reward_requests import GetStats, RecordReward
from workgraph.store import errands

if TYPE_CHECKING:
    from workgraph.graph.replies import Reply

#: Their titles are their names, which nobody is shown.
KNOWN: Mapping[str, float] = {"good": 0.9, "fair": 0.5, "bad": 0.1}
SETTINGS = (*ACTOR_MODE, "dispatcher.max_agents=9")


def a_file(known: Mapping[str, float] = KNOWN) -> RunCanaries:
    """A file of cases with these scores."""
    lines = [
        json.dumps(
            {
                "name": f"known {name}",
                "task": {"title": f"Task {name}"},
                "result": {"summary": f"it is {name}"},
                "score": score,
                "dimensions": {"correctness": score},
            }
        )
        for name, score in known.items()
    ]
    return RunCanaries(text="\n".join(lines))


class Waiting:
    """Somebody who waits for a run, and what they are told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.begun = anyio.Event()
        self.reply: Reply | None = None

    async def hear(self, line: str) -> None:
        """Takes a line."""
        self.told.append(line)
        self.begun.set()

    @property
    def data(self) -> CalibrationData:
        """The report that has come."""
        assert self.reply is not None
        data: CalibrationData = self.reply.data
        return data


@asynccontextmanager
async def a_run(core: Core, request: RunCanaries) -> AsyncGenerator[Waiting]:
    """A run that is waited for until the block ends, and then the answer."""
    waiting = Waiting()

    async def wait() -> None:
        waiting.reply = await run_canaries(core.engine, request, OPERATOR, waiting.hear)

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        with anyio.fail_after(30):
            await waiting.begun.wait()
        await core.settle()
        yield waiting
        await core.settle()
        group.cancel_scope.cancel()


async def try_on(core: Core, answers: Mapping[str, Any]) -> Waiting:
    """A run in which each case is answered so; null: three times nonsense."""
    before = set(await every_task(core))
    async with a_run(core, a_file()) as waiting:
        new = [task for task in await every_task(core) if task not in before]
        for task, said in zip(new, answers.values(), strict=True):
            for _ in range(1 if said is not None else 3):
                await answer(core, task, "well" if said is None else said)
    return waiting


def scores(good: float, fair: float, bad: float) -> dict[str, Any]:
    """Answers with these scores."""
    return {
        name: {"score": score}
        for name, score in (("good", good), ("fair", fair), ("bad", bad))
    }


async def test_it_is_told_how_near_the_answers_are() -> None:
    """An evaluator that knows its trade is calibrated: exit status 0."""
    async with running_core(*SETTINGS) as core:
        await add_actor(core, "eva")

        waiting = await try_on(core, scores(0.85, 0.5, 0.2))

        assert waiting.reply is not None
        assert waiting.reply.exit_code == 0
        fit = waiting.data.fit
        assert (fit.calibrated, fit.findings) == (True, ())
        assert [
            (one.name, one.expected, one.answered, one.difference)
            for one in waiting.data.cases
        ] == [
            ("known good", 0.9, 0.85, -0.05),
            ("known fair", 0.5, 0.5, 0.0),
            ("known bad", 0.1, 0.2, 0.1),
        ]
        assert waiting.told == [
            (
                "run 1: eva judges 3 cases; after Ctrl-C it goes on, and"
                " wg reward canary shows how it came out"
            )
        ]


async def test_who_always_says_the_same_is_told_so() -> None:
    """0.9, whatever it is shown."""
    async with running_core(*SETTINGS) as core:
        await add_actor(core, "eva")

        waiting = await try_on(core, scores(0.9, 0.9, 0.9))

        assert waiting.reply is not None
        assert waiting.reply.exit_code == 1
        assert waiting.data.fit.findings[0] == "it says 0.90 whatever it is shown"


async def test_an_errand_does_not_tell_that_its_answer_is_known() -> None:
    """Its id, title, tags and what it is given are as those about real work."""
    async with running_core(*SETTINGS) as core:
        await add_actor(core, "eva")
        async with a_run(core, a_file()):
            tasks = await every_task(core)
            assert tasks == ["reward-task-good", "reward-task-fair", "reward-task-bad"]

            row = await core.task("reward-task-good")
            errand = await core.store.read(
                lambda tx: errands.find(tx, "reward-task-good"), 0
            )
            assert row.spec.title == "judge attempt 1 at task-good"
            assert row.spec.tags == ("reward",)
            assert errand is not None
            assert errand.given is not None
            assert json.loads(errand.given) == {
                "task": {"title": "Task good"},
                "result": {"summary": "it is good"},
            }


async def test_errands_of_cases_are_not_judged_themselves() -> None:
    """Whatever becomes of them."""
    async with running_core(*SETTINGS) as core:
        await add_actor(core, "eva")

        await try_on(core, {"good": {"score": 1}, "fair": None, "bad": {"score": 0}})

        assert len(await every_task(core)) == 3


async def test_what_is_no_answer_is_asked_for_three_times() -> None:
    """Then the case is over, and counted."""
    async with running_core(*SETTINGS) as core:
        await add_actor(core, "eva")

        answers = {"good": {"score": 0.9}, "fair": None, "bad": {"score": 0.1}}
        waiting = await try_on(core, answers)

        fit = waiting.data.fit
        assert (fit.answered, fit.unanswered, fit.calibrated) == (2, 1, False)
        assert waiting.data.cases[1].status == "failed"
        assert fit.findings == ("it gave no valid answer to 1 of 3 cases",)


async def test_an_errand_that_is_given_up_is_waited_for_no_more() -> None:
    """Nothing becomes of it before a person sees to it."""
    async with running_core(*SETTINGS, "retry.backoff=1ms") as core:
        await add_actor(core, "eva")
        async with a_run(core, a_file({"good": 1, "bad": 0})) as waiting:
            for task in await every_task(core):
                for _ in range(3):
                    await core.crash(task)
                    await core.advance(1)

        fit = waiting.data.fit
        assert (fit.answered, fit.unanswered, fit.pending) == (0, 2, 0)
        assert {one.status for one in waiting.data.cases} <= {"open", "failed"}


async def test_a_score_is_made_from_dimensions_as_that_of_work() -> None:
    """What was said is kept beside it."""
    async with running_core(*SETTINGS) as core:
        await add_actor(core, "eva")
        said = {"score": 0.1, "dimensions": {"correctness": 0.9}, "notes": "fine"}

        waiting = await try_on(core, scores(0, 0.5, 0.1) | {"good": said})

        case = waiting.data.cases[0]
        assert (case.answered, case.given, case.notes) == (0.9, 0.1, "fine")
        assert case.dimensions == {"correctness": 0.9}
        (dimension,) = waiting.data.fit.dimensions
        assert (dimension.name, dimension.cases) == ("correctness", 1)


async def test_drift_is_told_against_earlier_runs_on_the_same_cases() -> None:
    """The last one first."""
    async with running_core(*SETTINGS) as core:
        await add_actor(core, "eva")
        await try_on(core, scores(0.8, 0.5, 0.1))
        await try_on(core, scores(0.9, 0.5, 0.1))

        waiting = await try_on(core, scores(0.9, 0.8, 0.4))

        data = waiting.data
        assert [(one.run, one.cases) for one in data.drift] == [(2, 3), (1, 3)]
        assert data.drift[0].change.mean == pytest.approx(0.2)
        assert [one.before for one in data.cases] == [0.9, 0.5, 0.1]
        assert data.fit.drift_cases == 3


async def test_overrides_are_told_beside_the_known_answers() -> None:
    """Of work that both have judged: here, and in how the evaluator stands."""
    async with running_core(*SETTINGS) as core:
        await add_actor(core, "eva")
        task = await core.add("t", executor="tool")
        await core.exit(task)
        await answer(core, f"reward-{task}", {"score": 0.9})
        await core.do(RecordReward(task=task, score=0.5))

        waiting = await try_on(core, scores(0.9, 0.5, 0.1))
        stats = (await core.do(GetStats(actor="eva"))).data

        overrides = waiting.data.overrides
        assert overrides.count == 1
        assert overrides.difference is not None
        assert overrides.difference.mean == pytest.approx(-0.4)
        assert stats.as_evaluator == overrides


async def test_who_goes_away_can_ask_for_the_report_later() -> None:
    """The errands go on."""
    async with running_core(*SETTINGS) as core:
        await add_actor(core, "eva")
        async with a_run(core, a_file()) as waiting:
            pass
        assert waiting.reply is None

        early = await core.say(GetCanaries())
        for task, score in zip(await every_task(core), (0.9, 0.5, 0.1), strict=True):
            await answer(core, task, {"score": score})
        late = await core.say(GetCanaries(run=1))

        assert (early.exit_code, early.data.fit.calibrated) == (1, None)
        assert (late.exit_code, late.data.fit.calibrated) == (0, True)


async def test_whoever_waits_is_told_what_nobody_can_be_started_on() -> None:
    """Once for each errand."""
    settings = ("agency.evaluator=eva", "dispatcher.executor=nothing")
    async with running_core(*settings) as core:
        await add_actor(core, "eva")
        async with a_run(core, a_file()) as waiting:
            await core.settle()

        told = [line.partition(":")[0] for line in waiting.told[1:]]
        assert told == [f"nobody is started on reward-task-{name}" for name in KNOWN]


async def test_without_an_evaluator_nothing_is_begun() -> None:
    """With the remedy; and no person is tried."""
    for settings, actor, message in (
        ((), None, "there is no evaluator to try"),
        (SETTINGS, None, "evaluator names eva, and there is no such actor"),
        (SETTINGS, True, "evaluator names eva, who is a person"),
    ):
        async with running_core(*settings) as core:
            if actor:
                await add_actor(core, "eva", human=True)
            with pytest.raises(UserError, match=message) as refused:
                await run_canaries(core.engine, a_file(), OPERATOR, tell_nobody)

            assert "wg config set agency.evaluator" in refused.value.hint
            assert await every_task(core) == []


async def test_without_a_daemon_nobody_is_asked() -> None:
    """What there is can be read."""
    async with running_core(*SETTINGS, mode=Mode(is_daemon=False)) as core:
        await add_actor(core, "eva")
        with pytest.raises(NeedsDaemonError):
            await run_canaries(core.engine, a_file(), OPERATOR, tell_nobody)


async def test_an_agent_is_not_shown_known_answers() -> None:
    """Neither by the report nor by an export."""
    async with running_core(*SETTINGS) as core:
        await add_actor(core, "eva")
        async with a_run(core, a_file()):
            caller = await core.agent_caller("reward-task-good")
            with pytest.raises(ForbiddenError):
                await core.say(GetCanaries(), caller)
            for request in (
                r.ShowTask(task="reward-task-good"),
                r.Log(list=True, task="reward-task-good"),
                r.ListTasks(all=True),
            ):
                seen = repr(await core.say(request, caller)).lower()
                assert "canary" not in seen
                assert "known" not in seen
