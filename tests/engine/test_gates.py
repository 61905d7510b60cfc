"""Gates: promised outputs, `--verify` with a real shell, and reviews."""

from pathlib import Path
from typing import Any

import pytest

from tests.core import OPERATOR as ME
from tests.core import Core, plan_host, running_core
from workgraph.graph import requests as r
from workgraph.graph.errors import UserError
from workgraph.graph.model import Outcome

pytestmark = pytest.mark.slow


def core_in(folder: Path, *settings: str) -> Any:
    """A core whose project folder is real, and its own: a start ends earlier gates."""
    (folder / ".wg").mkdir(exist_ok=True)
    host = plan_host(project_dir=str(folder), wg_dir=str(folder / ".wg"))
    return running_core(*settings, host=host)


async def test_a_promised_output_that_is_there_passes(tmp_path: Path) -> None:
    """Done without anybody's help."""
    (tmp_path / "report.html").touch()
    async with core_in(tmp_path) as core:
        task = await core.add("t", output=("report.html",))

        await core.exit(task)

        assert await core.status(task) == "done"


async def test_a_missing_output_uses_up_the_attempt(tmp_path: Path) -> None:
    """Open again at once while attempts remain, with what is missing as the reason."""
    async with core_in(tmp_path) as core:
        task = await core.add("t", output=("a.html", "b.html"), max_attempts=2)
        await core.exit(task)

        row = await core.task(task)
        assert (row.status, row.attempts) == ("in-progress", 2)
        (tmp_path / "a.html").touch()
        await core.exit(task)

        row = await core.task(task)
        assert row.status == "failed"
        assert row.failure is not None
        assert (row.failure.class_, row.failure.reason) == (
            "gate",
            "promised outputs are missing: b.html",
        )


async def test_the_outcome_of_an_attempt_that_fails_a_gate_is_gate(
    tmp_path: Path,
) -> None:
    """The failure's class is the outcome of the last agent (CONTRACT §3.4)."""
    async with core_in(tmp_path) as core:
        task = await core.add("t", verify=("false",), max_attempts=1)

        await core.exit(task)

        (agent,) = await core.agents(task)
        assert agent.outcome is Outcome.GATE


async def test_verify_runs_in_order_and_stops_at_the_first_that_fails(
    tmp_path: Path,
) -> None:
    """The evidence has the command, its status and its last output."""
    async with core_in(tmp_path) as core:
        task = await core.add(
            "t",
            verify=(
                "echo one >>ran",
                "echo two >>ran; echo why >&2; exit 7",
                "touch no",
            ),
            max_attempts=1,
        )

        await core.exit(task)

        assert (tmp_path / "ran").read_text() == "one\ntwo\n"
        assert not (tmp_path / "no").exists()
        failure = (await core.task(task)).failure
        assert failure is not None
        assert failure.class_ == "gate"
        assert "exited with 7:\nwhy" in failure.reason


async def test_verify_that_passes_is_told_in_the_log(tmp_path: Path) -> None:
    """One entry for each gate, then done."""
    (tmp_path / "out").touch()
    async with core_in(tmp_path) as core:
        task = await core.add("t", output=("out",), verify=("true",))

        await core.exit(task)

        told = [
            (change.kind, change.to, change.reason)
            for change in await core.changes()
            if change.kind == "gate_judged"
        ]
        assert told == [
            ("gate_judged", "passed", "outputs"),
            ("gate_judged", "passed", "verify"),
        ]
        assert await core.status(task) == "done"


@pytest.mark.parametrize(
    ("command", "limit", "reason"),
    [
        ("kill -9 $$", "20s", "signal 9"),
        ("sleep 60", "200ms", "took longer than 200ms"),
        ("sleep 60 & exit 3", "20s", "exited with 3"),
    ],
    ids=["signal", "timeout", "background"],
)
async def test_a_gate_that_does_not_end_well_is_not_passed(
    tmp_path: Path, command: str, limit: str, reason: str
) -> None:
    """Killed, too slow, or leaving something behind: none of it hangs."""
    async with core_in(tmp_path) as core:
        task = await core.add("t", max_attempts=1)
        await core.do(r.EditTask(task=task, verify=(command,), timeout=limit))

        await core.exit(task)

        failure = (await core.task(task)).failure
        assert failure is not None
        assert reason in failure.reason


async def test_a_gate_sees_the_tasks_environment(tmp_path: Path) -> None:
    """The task's `--env`, `WG_DIR`, and the task's folder as working directory."""
    (tmp_path / "sub").mkdir()
    async with core_in(tmp_path) as core:
        task = await core.add(
            "t",
            working_dir="sub",
            env=("COLOUR=blue green",),
            verify=('printf %s "$COLOUR|$WG_DIR|$WG_TOKEN" >seen',),
        )

        await core.exit(task)

        seen = (tmp_path / "sub" / "seen").read_text()
        assert seen == f"blue green|{tmp_path}/.wg|"


async def test_an_agents_own_done_passes_the_same_gates(tmp_path: Path) -> None:
    """And a task that fails them is open while its agent has yet to leave."""
    async with core_in(tmp_path) as core:
        task = await core.add("t", verify=("false",))

        await core.do(r.FinishTask(task=task), await core.agent_caller(task))

        assert await core.status(task) == "open"
        core.launcher.exit(1, code=0)
        await core.settle()
        assert await core.status(task) == "in-progress"
        first, _ = await core.agents(task)
        assert first.outcome is Outcome.GATE


async def test_a_persons_done_passes_the_same_gates(tmp_path: Path) -> None:
    """An operator who finishes an open task is held to what it promises, too."""
    async with core_in(tmp_path, "dispatcher.max_agents=0") as core:
        task = await core.add("t", verify=("test -e it",), max_attempts=2)
        await core.do(r.FinishTask(task=task))
        assert await core.status(task) == "open"
        (tmp_path / "it").touch()

        await core.do(r.FinishTask(task=task))

        assert await core.status(task) == "done"


async def test_a_review_comes_after_the_other_gates(tmp_path: Path) -> None:
    """A person is asked only about what has passed the rest."""
    async with core_in(tmp_path) as core:
        task = await core.add("t", verify=("true",), review="human")

        await core.exit(task)

        row = await core.task(task)
        assert (row.status, row.gate) == ("pending-review", "human")
        await core.do(r.ApproveTask(task=task))
        assert await core.status(task) == "done"


async def test_a_rejected_agents_work_is_done_again() -> None:
    """The next agent starts; the reason is on the task."""
    async with running_core() as core:
        task = await core.add("t", review="human")
        await core.exit(task)

        await core.do(r.RejectTask(task=task, reason="too long"))

        row = await core.task(task)
        assert (row.status, row.attempts, row.reserved_for) == ("in-progress", 2, None)


async def test_a_verdict_on_work_that_was_withdrawn_is_dropped(tmp_path: Path) -> None:
    """The task was abandoned while its gate ran."""
    async with core_in(tmp_path) as core:
        task = await core.add("t", verify=("while test ! -e go; do :; done",))
        core.launcher.exit(await core.holder(task), code=0)
        await _wait_judging(core)
        await core.engine.answer(r.AbandonTask(task=task), ME)

        (tmp_path / "go").touch()
        await core.settle()

        assert await core.status(task) == "abandoned"
        with pytest.raises(UserError):
            await core.do(r.FinishTask(task=task))


async def _wait_judging(core: Core) -> None:
    while not core.engine.effects.judging:
        ticked = core.engine.ticked
        core.engine.wake()
        await ticked.wait()


async def test_a_verdict_on_what_was_sent_back_is_dropped(tmp_path: Path) -> None:
    """Rejected and done again while the gate was run: that is another hand-in."""
    first, second = tmp_path / "first", tmp_path / "second"
    verify = f"test -e {second} || {{ while ! test -e {first}; do :; done; false; }}"
    async with core_in(tmp_path) as core:
        task = await core.add("t", verify=(verify,), max_attempts=9)
        await core.engine.answer(r.FinishTask(task=task), await core.agent_caller(task))
        while task not in core.engine.effects.judging:
            ticked = core.engine.ticked
            await ticked.wait()
        await core.engine.answer(r.Pause(), ME)
        await core.engine.answer(r.RejectTask(task=task, reason="too early"), ME)
        await core.engine.answer(r.FinishTask(task=task), ME)

        second.touch()
        first.touch()
        await core.settle()

        assert await core.status(task) == "done"
        kinds = [change.kind for change in await core.changes()]
        assert kinds.count("gate_judged") == 1
