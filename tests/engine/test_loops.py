"""Loops: members run again in order, and whoever is behind waits for the end."""

from pathlib import Path
from typing import Any

import pytest

from tests.core import OPERATOR as ME
from tests.core import Core, plan_host, running_core
from tests.fake_clock import FakeClock
from tests.fakes import FakeLauncher
from workgraph.daemon.engine import Mode
from workgraph.graph import requests as r
from workgraph.graph.errors import ForbiddenError, UsageError, UserError
from workgraph.graph.loops import Loop, LoopTasks
from workgraph.graph.model import Failure, Outcome
from workgraph.graph.replies import LoopData
from workgraph.store import loops
from workgraph.store.database import Store

OFF = "dispatcher.max_agents=0"


async def three(core: Core, **options: Any) -> None:
    """Tasks `a`, `b` and `c` in a loop, and `after` behind them."""
    for name in "abc":
        await core.add(name, paused=True)
    await core.do(LoopTasks(task=("a", "b", "c"), **options))
    await core.add("after", after=("c",))
    for name in "abc":
        await core.do(r.Resume(task=name))


async def run(core: Core, *tasks: str) -> None:
    """Each of these tasks is in progress, and ends well."""
    for task in tasks:
        await core.exit(task)


async def loop_of(core: Core, task: str) -> LoopData:
    """The loop as `wg show` gives it."""
    reply = await core.do(r.ShowTask(task=task))
    assert isinstance(reply.data.loop, LoopData)
    return reply.data.loop


async def live(core: Core, task: str) -> Loop | None:
    """The loop that a task is in."""
    return await core.store.read(lambda tx: loops.live_of(tx, task), 0)


async def statuses(core: Core, *tasks: str) -> list[str]:
    """The statuses of some tasks."""
    return [await core.status(task) for task in tasks]


async def story(core: Core) -> list[tuple[str, str | None]]:
    """What the change log tells of loops."""
    return [
        (change.kind, change.reason)
        for change in await core.changes()
        if change.kind.startswith("loop_")
    ]


def core_in(folder: Path, **options: Any) -> Any:
    """A core whose project folder is real."""
    host = plan_host(project_dir=str(folder), wg_dir=str(folder / ".wg"))
    return running_core(host=host, **options)


async def test_the_members_run_in_order_so_many_times() -> None:
    """Each waits for the one before it, the first one for the end of all."""
    async with running_core() as core:
        await three(core, max=2)

        assert await statuses(core, "a", "b", "c") == ["in-progress", "open", "open"]
        await run(core, "a", "b")
        assert await statuses(core, "a", "b", "c") == ["done", "done", "in-progress"]
        await run(core, "c")

        assert await statuses(core, "a", "b", "c") == ["in-progress", "open", "open"]
        assert await statuses(core, "after") == ["open"]
        assert (await core.task("a")).attempts == 1
        await run(core, "a", "b", "c")
        assert await statuses(core, "a", "b", "c", "after") == [
            "done",
            "done",
            "done",
            "in-progress",
        ]
        assert [kind for kind, _ in await story(core)] == [
            "loop_started",
            "loop_iterated",
            "loop_ended",
        ]
        stands = await loop_of(core, "b")
        assert (stands.iteration, stands.reason) == (2, "max reached")
        assert stands.stands == "max reached after iteration 2 of 2, of a, b, c"


async def test_one_task_can_be_a_loop() -> None:
    """It runs again by itself."""
    async with running_core() as core:
        await core.add("a", paused=True)
        await core.do(LoopTasks(task="a", max=3))
        await core.do(r.Resume(task="a"))

        await run(core, "a", "a", "a")

        assert await core.status("a") == "done"
        assert [agent.attempt for agent in await core.agents("a")] == [1, 2, 3]
        assert (await core.task("a")).starts == 1


async def test_a_loop_can_have_one_iteration() -> None:
    """With `--max 1` nothing runs twice."""
    async with running_core() as core:
        await three(core, max=1)

        await run(core, "a", "b", "c")

        assert await statuses(core, "a", "b", "c") == ["done", "done", "done"]


@pytest.mark.slow
async def test_a_command_says_when_it_is_enough(tmp_path: Path) -> None:
    """It is asked after each iteration, and what it said is given to the next one."""
    command = 'echo "$(cat n) is not 3"; test "$(cat n)" -ge 3'
    async with core_in(tmp_path) as core:
        await three(core, max=5, until=command)
        for n in (1, 2):
            (tmp_path / "n").write_text(str(n))
            await run(core, "a", "b", "c")
            stands = await loop_of(core, "a")
            assert stands.iteration == n + 1
            assert f"exited with 1:\n{n} is not 3" in (stands.evidence or "")
            assert stands.evidence is not None
            assert stands.evidence.startswith("--until ")
        (tmp_path / "n").write_text("3")

        await run(core, "a", "b", "c")

        assert await statuses(core, "c", "after") == ["done", "in-progress"]
        assert (await loop_of(core, "a")).reason == "condition met"
        assert [agent.outcome for agent in await core.agents("c")] == [
            Outcome.DONE,
            Outcome.DONE,
            Outcome.DONE,
        ]


@pytest.mark.slow
async def test_a_condition_that_is_never_met_fails_the_last_one(
    tmp_path: Path,
) -> None:
    """Nothing is called done that the command refuses; the evidence is the reason."""
    async with core_in(tmp_path) as core:
        await three(core, max=2, until="echo nope; false")

        await run(core, "a", "b", "c", "a", "b", "c")

        row = await core.task("c")
        assert row.status == "failed"
        assert row.failure == Failure(
            class_="gate",
            reason="the loop's condition was not met after 2 of 2 iterations:"
            " --until 'echo nope; false' exited with 1:\nnope",
        )
        assert await statuses(core, "a", "b", "after") == ["done", "done", "open"]
        assert (await core.agents("c"))[-1].outcome is Outcome.GATE
        assert (await loop_of(core, "c")).reason == "condition never met"
        assert await core.why("after") == ["dependency_failed"]

        await core.do(r.RetryTasks(task="c"))
        await run(core, "c")
        assert await statuses(core, "c", "after") == ["done", "in-progress"]


@pytest.mark.slow
async def test_the_gates_of_the_last_one_come_before_the_loop(tmp_path: Path) -> None:
    """A failed one uses up its attempt, and the iteration goes on."""
    async with core_in(tmp_path) as core:
        await core.add("a", paused=True, verify=("test -e ok",), review="human")
        await core.do(LoopTasks(task="a", max=3, until="test -e enough"))
        await core.do(r.Resume(task="a"))
        await run(core, "a")
        assert (await core.task("a")).attempts == 2
        assert (await loop_of(core, "a")).iteration == 1
        (tmp_path / "ok").touch()
        await run(core, "a")
        assert (await core.task("a")).gate == "human"

        await core.do(r.ApproveTask(task="a"))

        assert await core.status("a") == "in-progress"
        assert (await loop_of(core, "a")).iteration == 2
        (tmp_path / "enough").touch()
        await run(core, "a")
        await core.do(r.ApproveTask(task="a"))
        assert await core.status("a") == "done"


@pytest.mark.parametrize("who", ["a", "b", "c"])
async def test_any_member_can_say_that_it_has_converged(who: str) -> None:
    """The iteration is run to its end; then the loop is over."""
    async with running_core() as core:
        await three(core, max=9, until_converged=True)
        await run(core, "a", "b", "c")
        for task in "abc":
            agent = await core.agent_caller(task)
            said = r.FinishTask(task=task, converged=task == who, summary=f"by {task}")
            await core.do(said, agent)
            core.launcher.exit(int(agent.by.removeprefix("agent-")), code=0)
            await core.settle()

        assert await statuses(core, "a", "b", "c") == ["done", "done", "done"]
        stands = await loop_of(core, "a")
        assert (stands.reason, stands.iteration, stands.converged) == (
            "converged",
            2,
            (who,),
        )
        assert (await core.task("c")).summary == "by c"


async def test_a_loop_that_has_not_converged_says_so() -> None:
    """All iterations were run as ordered: done, with a note in the summary."""
    async with running_core() as core:
        await three(core, max=2, until_converged=True)

        await run(core, "a", "b", "c", "a", "b", "c")

        assert await statuses(core, "c", "after") == ["done", "in-progress"]
        assert (await core.task("c")).summary == (
            "The loop of a, b, c has not converged in 2 of 2 iterations."
        )
        assert (await loop_of(core, "c")).reason == "max reached"


@pytest.mark.slow
async def test_the_word_of_an_attempt_that_did_not_pass_counts_for_nothing(
    tmp_path: Path,
) -> None:
    """What was said with work that a gate refuses is void."""
    async with core_in(tmp_path) as core:
        await core.add("a", paused=True, verify=("test -e ok",))
        await core.do(LoopTasks(task="a", max=2, until_converged=True))
        await core.do(r.Resume(task="a"))
        agent = await core.agent_caller("a")
        await core.do(r.FinishTask(task="a", converged=True), agent)
        core.launcher.exit(1, code=0)
        await core.settle()
        (tmp_path / "ok").touch()

        await run(core, "a")

        assert (await loop_of(core, "a")).iteration == 2
        assert await core.status("a") == "in-progress"


async def test_whoever_is_in_no_loop_is_told() -> None:
    """`--converged` is no error where it counts for nothing."""
    async with running_core(OFF) as core:
        await core.add("x")
        await core.add("a")
        await core.do(LoopTasks(task="a", max=1, until="true"))

        reply = await core.do(r.FinishTask(task="x", converged=True))
        other = await core.do(r.FinishTask(task="a", converged=True))

        assert reply.data.status == "done"
        assert reply.notes == ("x is in no loop: --converged changes nothing",)
        assert other.notes == (
            "the loop of a does not ask for it: --converged changes nothing",
        )


async def test_a_member_that_fails_holds_the_loop_until_a_retry() -> None:
    """The iteration goes on where it stood."""
    async with running_core() as core:
        await three(core, max=2)
        await run(core, "a")
        await core.exit("b", 1)
        assert await statuses(core, "a", "b", "c") == ["done", "failed", "open"]
        assert await core.why("c") == ["dependency_failed"]
        stands = (await core.do(r.ExplainTask(task="c"))).data.loop
        assert stands.stands == "iteration 1 of 2 of a, b, c, that often"

        await core.do(r.RetryTasks(task="b"))
        await run(core, "b", "c")

        assert (await loop_of(core, "a")).iteration == 2
        assert await statuses(core, "a", "b", "c") == ["in-progress", "open", "open"]


async def test_an_abandoned_member_ends_the_loop() -> None:
    """The others are tasks as others are."""
    async with running_core() as core:
        await three(core, max=5)
        await run(core, "a")

        await core.do(r.AbandonTask(task="b"))
        await run(core, "c")

        assert await statuses(core, "a", "b", "c") == ["done", "abandoned", "done"]
        assert (await loop_of(core, "a")).reason == "member abandoned"


async def test_what_was_concluded_is_kept_for_the_next_iteration() -> None:
    """The summary of each member; that of the new iteration is its own."""
    async with running_core() as core:
        await three(core, max=3)
        for task in "abc":
            agent = await core.agent_caller(task)
            await core.do(r.FinishTask(task=task, summary=f"{task} said"), agent)
            core.launcher.exit(int(agent.by.removeprefix("agent-")), code=0)
            await core.settle()

        loop = await live(core, "b")

        assert loop is not None
        assert [one.concluded for one in loop.members] == ["a said", "b said", "c said"]
        assert (await core.task("a")).summary is None
        await run(core, "a", "b", "c")
        loop = await live(core, "b")
        assert loop is not None
        assert [one.concluded for one in loop.members] == [None, None, None]


async def test_an_operator_ends_a_loop() -> None:
    """The iteration that runs is the last; saying so twice is saying it once."""
    async with running_core() as core:
        await three(core, max=9)
        await run(core, "a", "b")

        await core.do(LoopTasks(task="a", end=True))
        await core.do(LoopTasks(task="b", end=True))
        await run(core, "c")

        assert await statuses(core, "a", "b", "c") == ["done", "done", "done"]
        assert (await loop_of(core, "c")).reason == "ended"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["approve", "end"])
async def test_an_operator_has_the_last_word_at_the_gate(
    tmp_path: Path, how: str
) -> None:
    """While the command runs, its word can be given by a person."""
    async with core_in(tmp_path) as core:
        await core.add("a", paused=True)
        await core.do(LoopTasks(task="a", max=9, until="sleep 60"))
        await core.do(r.Resume(task="a"))
        core.launcher.exit(await core.holder("a"), code=0)
        while (await core.task("a")).gate != "loop":
            await core.engine.settle()
        assert await core.engine.answer(r.ExplainTask(task="a"), ME)

        request = r.ApproveTask(task="a")
        await core.engine.answer(
            request if how == "approve" else LoopTasks(task="a", end=True), ME
        )

        assert await core.status("a") == "done"
        stands = await core.store.read(lambda tx: loops.latest_of(tx, ("a",)), 0)
        assert stands["a"].reason == {"approve": "approved", "end": "ended"}[how]


@pytest.mark.slow
async def test_the_command_is_run_again_after_a_restart(tmp_path: Path) -> None:
    """The daemon dies while it runs: the next one asks anew, and decides once."""
    store = await Store.open(":memory:")
    clock, launcher = FakeClock(), FakeLauncher()
    again: dict[str, Any] = {"store": store, "clock": clock, "launcher": launcher}
    command = "test -e quick || sleep 60; false"
    async with core_in(tmp_path, **again) as core:
        await three(core, max=3, until=command)
        await run(core, "a", "b")
        launcher.exit(await core.holder("c"), code=0)
        while (await core.task("c")).gate != "loop":
            await core.engine.settle()
    launcher.crash()
    (tmp_path / "quick").touch()

    async with core_in(tmp_path, **again) as core:
        assert (await loop_of(core, "c")).iteration == 2
        assert await statuses(core, "a", "b", "c") == ["in-progress", "open", "open"]
    await store.close()


async def test_without_a_daemon_the_loop_goes_on_all_the_same() -> None:
    """Where no command is to be run it is decided with the word of the last one."""
    offline = Mode(is_daemon=False, may_start=False)
    async with running_core(mode=offline) as core:
        for name in "ab":
            await core.add(name)
        await core.do(LoopTasks(task=("a", "b"), max=2))

        await core.do(r.FinishTask(task="a"))
        reply = await core.do(r.FinishTask(task="b"))

        assert reply.data.status == "open"
        assert await statuses(core, "a", "b") == ["open", "open"]
        await core.do(r.FinishTask(task="a"))
        assert (await core.do(r.FinishTask(task="b"))).data.status == "done"


async def test_a_member_that_is_opened_again_is_waited_for() -> None:
    """The loop decides when all are done, not when the last one is."""
    async with running_core() as core:
        await three(core, max=2)
        await run(core, "a", "b")
        await core.do(r.RetryTasks(task="a"))

        await run(core, "c")

        assert (await core.task("c")).gate == "loop"
        await run(core, "a")
        assert (await loop_of(core, "a")).iteration == 2


async def test_a_new_iteration_is_a_new_count() -> None:
    """Attempts that were used up in one are not missing in the next."""
    async with running_core() as core:
        await core.add("a", paused=True, max_attempts=2)
        await core.do(LoopTasks(task="a", max=2))
        await core.do(r.Resume(task="a"))
        await core.crash("a")
        await core.advance(60)
        await run(core, "a")

        await core.crash("a")

        assert await core.status("a") == "open"


@pytest.mark.parametrize(
    "wrong",
    [
        {"task": ("a",)},
        {"task": ("a",), "max": 0},
        {"task": ("a",), "max": 1001},
        {"task": (), "max": 1},
        {"task": ("a", "a"), "max": 1},
        {"task": ("a",), "max": 1, "until": " "},
        {"task": ("a",), "max": 1, "until": "x", "until_converged": True},
        {"task": ("a",), "end": True, "max": 1},
    ],
    ids=str,
)
async def test_what_is_no_loop(wrong: dict[str, Any]) -> None:
    """Wrong usage, and nothing is written."""
    async with running_core(OFF) as core:
        await core.add("a")

        with pytest.raises(UsageError):
            await core.do(LoopTasks(**wrong))

        assert await live(core, "a") is None


async def test_what_can_not_be_in_a_loop() -> None:
    """What is not open, in another loop, or would close a cycle."""
    async with running_core(OFF) as core:
        for name in ("a", "b", "c", "d"):
            await core.add(name)
        await core.do(r.FinishTask(task="d"))
        await core.do(r.LinkTask(task="b", after="c"))
        await core.do(LoopTasks(task="a", max=2))

        for ids, word in (
            (("d",), "wg retry d"),
            (("a", "b"), "wg loop a --end"),
            (("b", "c"), "unlink"),
        ):
            with pytest.raises(UserError) as refused:
                await core.do(LoopTasks(task=ids, max=2))
            assert word in (refused.value.hint or "")


async def test_nobody_starts_in_the_middle_of_a_loop() -> None:
    """At its making, by link, add, edit and an heir; beside the last one it is fine."""
    async with running_core(OFF) as core:
        for name in ("a", "b", "x"):
            await core.add(name)
        await core.do(r.LinkTask(task="x", after="a"))
        refused: list[UserError] = []

        async def refuse(request: r.AnyRequest) -> None:
            with pytest.raises(UserError) as error:
                await core.do(request)
            refused.append(error.value)

        await refuse(LoopTasks(task=("a", "b"), max=2))
        await core.do(r.UnlinkTask(task="x", after="a"))
        await core.do(LoopTasks(task=("a", "b"), max=2))
        await refuse(r.LinkTask(task="x", after="a"))
        await refuse(r.AddTask(title="y", after=("a",)))
        await refuse(r.AddTask(title="y", input=("a:out",)))
        await refuse(r.EditTask(task="x", add_after=("a",)))
        await core.add("old")
        await core.do(r.LinkTask(task="x", after="old"))
        await refuse(r.AbandonTask(task="old", superseded_by="a"))
        assert {"--after b" in (error.hint or "") for error in refused} == {True}

        await core.add("fine", input=("a:out",), after=("b",))
        await refuse(r.UnlinkTask(task="fine", after="b"))
        await refuse(r.UnlinkTask(task="b", after="a"))
        await refuse(r.EditTask(task="b", remove_after=("a",)))
        await core.do(r.EditTask(task="fine", input=()))
        await core.do(r.UnlinkTask(task="fine", after="a"))
        await core.do(r.UnlinkTask(task="fine", after="b"))


async def test_what_a_member_adds_waits_for_the_end_of_the_loop() -> None:
    """Not for its own task, which runs again."""
    async with running_core() as core:
        await three(core, max=2)
        agent = await core.agent_caller("a")

        reply = await core.do(r.AddTask(title="more", exec="true"), agent)

        assert [edge.id for edge in reply.data.after] == ["c"]


async def test_loops_are_the_operators() -> None:
    """An agent makes none and ends none."""
    async with running_core() as core:
        await core.add("a")
        agent = await core.agent_caller("a")

        with pytest.raises(ForbiddenError):
            await core.do(LoopTasks(task="a", max=2), agent)


async def test_the_log_of_each_member_tells_the_iterations() -> None:
    """By a verb of its own, each with its number."""
    async with running_core() as core:
        await three(core, max=2)
        await run(core, "a", "b", "c")

        told = [c for c in await core.changes() if c.verb == "iterate"]
        assert [(c.task, c.from_, c.to, c.reason) for c in told] == [
            ("a", "done", "open", "iteration 2 of 2"),
            ("b", "done", "open", "iteration 2 of 2"),
            ("c", "pending-review", "open", "iteration 2 of 2"),
        ]
