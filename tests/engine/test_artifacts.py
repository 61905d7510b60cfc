"""Results handed on: inputs that are missing, versions, copies, promised outputs."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from tests.core import OPERATOR, Core, plan_host, running_core
from workgraph.commands.context import Caller
from workgraph.daemon.recording import Recorder
from workgraph.graph import requests as r
from workgraph.graph.errors import ConflictError, NotFoundError, UserError
from workgraph.graph.inputs import Input
from workgraph.graph.replies import Reply, TaskData
from workgraph.graph.status import Status
from workgraph.store import artifacts, reads
from workgraph.store.database import Store

pytestmark = pytest.mark.slow


def core_in(folder: Path, *settings: str, **more: Any) -> Any:
    """A core whose project folder and files are real."""
    (folder / ".wg").mkdir(exist_ok=True)
    host = plan_host(
        project_dir=str(folder),
        wg_dir=str(folder / ".wg"),
        exists=os.path.exists,
        is_dir=os.path.isdir,
    )
    return running_core(*settings, host=host, **more)


async def record(
    core: Core, task: str, path: Path, name: str | None = None, by: Caller = OPERATOR
) -> Reply:
    """`wg artifact`, and what follows from it."""
    request = r.RecordArtifact(task=task, path=str(path), name=name)
    reply = await Recorder(core.engine).answer(request, by)
    await core.settle()
    return reply


async def inputs(core: Core, task: str) -> tuple[Input, ...]:
    """What a task is to work from."""
    return await core.store.read(
        lambda tx: artifacts.inputs_of(tx, reads.task(tx, task)), core.clock.now()
    )


async def stale(core: Core) -> list[str]:
    """The ids of `wg list --stale`."""
    reply = await core.do(r.ListTasks(stale=True))
    return [task.id for task in reply.data]


async def shown(core: Core, task: str) -> TaskData:
    """`wg show`."""
    reply = await core.do(r.ShowTask(task=task))
    assert isinstance(reply.data, TaskData)
    return reply.data


async def test_a_task_whose_input_was_not_produced_never_starts(tmp_path: Path) -> None:
    """Nobody gets it by any way, and `wg why` names the producer and the input."""
    async with core_in(tmp_path) as core:
        await core.add("a", id="a")
        await core.add("b", id="b", input=("a:out.json",))
        await core.exit("a")

        assert await core.status("b") == "open"
        assert [order.agent for order in core.launcher.orders] == [1]
        (reason,) = (await core.do(r.ExplainTask(task="b"))).data.reasons
        assert reason.code == "missing_input"
        assert reason.message == (
            "it needs a:out.json, and a, which is done, has recorded nothing named"
            " out.json"
        )
        assert reason.remedy == (
            "wg artifact a PATH --name out.json, or wg retry a,"
            " or wg edit b --input REF"
        )
        assert (await core.do(r.ListReady())).data == ()
        assert [t.id for t in (await core.do(r.ListBlocked())).data] == ["b"]
        assert (await core.do(r.NextTask(claim=True))).exit_code == 1
        for refused in (
            r.ClaimTask(task="b"),
            r.FinishTask(task="b"),
        ):
            with pytest.raises(UserError):
                await core.do(refused)
        assert not (await shown(core, "b")).ready
        assert (await core.do(r.GetServiceStatus())).data.ready == 0


async def test_it_starts_by_itself_when_the_artifact_is_recorded(
    tmp_path: Path,
) -> None:
    """An operator may record it on a task that is done; no time has to pass."""
    file = tmp_path / "out.json"
    file.write_text("{}")
    async with core_in(tmp_path) as core:
        await core.add("a", id="a")
        await core.add("b", id="b", input=("a:out.json",))
        await core.exit("a")
        assert await core.why("b") == ["missing_input"]
        assert await core.next_moment() is None

        await record(core, "a", tmp_path / "out.json", "another")
        assert await core.why("b") == ["missing_input"]
        await record(core, "a", file)

        assert await core.status("b") == "in-progress"


async def test_it_starts_after_its_producer_was_done_again(tmp_path: Path) -> None:
    """Meanwhile it waits for that one, as for any other dependency."""
    async with core_in(tmp_path) as core:
        await core.add("a", id="a")
        await core.add("b", id="b", input=("a:out.json",))
        await core.exit("a")

        await core.do(r.RetryTasks(task=("a",)))
        assert await core.why("b") == ["dependency_open"]
        await core.exit("a")
        assert await core.why("b") == ["missing_input"]
        await core.do(r.RetryTasks(task=("a",)))
        (tmp_path / "out.json").write_text("{}")
        await record(core, "a", tmp_path / "out.json", by=await core.agent_caller("a"))
        assert await core.why("b") == ["dependency_open"]
        await core.exit("a")

        assert await core.status("b") == "in-progress"


async def test_an_edit_lets_it_go(tmp_path: Path) -> None:
    """What it no longer needs it does not wait for; the edge stays."""
    async with core_in(tmp_path) as core:
        await core.add("a", id="a")
        await core.add("b", id="b", input=("a:out.json",))
        await core.exit("a")

        await core.do(r.EditTask(task="b", input=()))

        row = await shown(core, "b")
        assert (row.status, [edge.id for edge in row.after]) == ("in-progress", ["a"])


@pytest.mark.parametrize("end", ["abandoned", "settled"])
async def test_a_producer_that_never_will_is_named_too(
    tmp_path: Path, end: str
) -> None:
    """Abandoned, or failed where the edge is met by that."""
    async with core_in(tmp_path) as core:
        await core.add("a", id="a", paused=True)
        await core.add("b", id="b", after=("a",))
        await core.do(r.UnlinkTask(task="b", after="a"))
        await core.add("c", id="c", paused=True)
        await core.do(r.EditTask(task="c", input=("a:x",)))
        if end == "abandoned":
            await core.do(r.AbandonTask(task="a"))
        else:
            await core.do(r.LinkTask(task="c", after="a", on="settled"))
            await core.do(r.Resume(task="a"))
            await core.do(r.FailTask(task="a", reason="no"))
        await core.do(r.Resume(task="c"))

        assert await core.why("c") == ["missing_input"]


async def test_an_heir_produces_instead(tmp_path: Path) -> None:
    """Who waited for the abandoned one waits for its heir, and works from that's."""
    (tmp_path / "x").write_text("1")
    async with core_in(tmp_path) as core:
        await core.add("a", id="a", paused=True)
        await core.add("c", id="c", input=("a:x",))
        await core.add("heir", id="heir")
        await core.do(r.AbandonTask(task="a", superseded_by="heir"))
        assert await core.why("c") == ["dependency_open"]
        await record(core, "heir", tmp_path / "x")

        await core.exit("heir")

        assert await core.status("c") == "in-progress"
        (one,) = await inputs(core, "c")
        assert (one.ref, one.producer, one.missing) == ("a:x", "heir", False)


async def test_what_the_abandoned_one_records_after_all_counts(tmp_path: Path) -> None:
    """Also for whoever was parked for its heir."""
    async with core_in(tmp_path) as core:
        (tmp_path / "x").write_text("x")
        await core.add("a", id="a", paused=True)
        await core.add("heir", id="heir", paused=True)
        await core.do(r.AbandonTask(task="a", superseded_by="heir"))
        await core.add("c", id="c", input=("a:x",))
        (reason,) = (await core.do(r.ExplainTask(task="c"))).data.reasons
        assert reason.code == "missing_input"

        await record(core, "a", tmp_path / "x")

        assert await core.status("c") == "in-progress"


async def test_what_a_consumer_is_given_does_not_change(tmp_path: Path) -> None:
    """The file is overwritten afterwards; the join reads what was recorded."""
    file = tmp_path / "out.json"
    file.write_text("first")
    async with core_in(tmp_path) as core:
        await core.add("a", id="a")
        await core.add("b", id="b", input=("a:out.json",))
        await record(core, "a", file, by=await core.agent_caller("a"))
        file.write_text("overwritten")
        await core.exit("a")

        (one,) = await inputs(core, "b")
        read = one.read_path("/project/.wg", "/project")
        assert read == f"/project/.wg/artifacts/{one.sha256}"
        copy = tmp_path / ".wg" / "artifacts" / Path(read).name
        assert copy.read_text() == "first"
        assert one.sha256 == hashlib.sha256(b"first").hexdigest()
        assert (one.kept, one.size, one.producer_status) == (True, 5, Status.DONE)


async def test_a_consumer_of_an_older_version_is_listed(tmp_path: Path) -> None:
    """By what its last attempt was given; the next one brings it up to date."""
    file = tmp_path / "out.json"
    file.write_text("1")
    async with core_in(tmp_path) as core:
        await core.add("a", id="a")
        await record(core, "a", file)
        await core.add("b", id="b", input=("a:out.json", "a:out.json"))
        await core.add("person", id="person", input=("a:out.json",), paused=True)
        await core.exit("a")
        await core.exit("b")
        await core.do(r.Resume(task="person"))
        await core.exit("person")
        assert await stale(core) == []

        file.write_text("2")
        await record(core, "a", file)

        assert await stale(core) == ["b", "person"]
        (given,) = (await shown(core, "b")).stale
        assert (given.producer, given.name) == ("a", "out.json")
        assert given.given == hashlib.sha256(b"1").hexdigest()
        assert given.now == hashlib.sha256(b"2").hexdigest()
        await core.do(r.RetryTasks(task=("b",)))
        assert await stale(core) == ["person"]


async def test_a_persons_claim_is_given_versions_too(tmp_path: Path) -> None:
    """Nothing is started for it, and it works from something all the same."""
    (tmp_path / "x").write_text("1")
    async with core_in(tmp_path, "dispatcher.max_agents=0") as core:
        await core.add("a", id="a")
        await core.add("b", id="b", input=("a:x",))
        await record(core, "a", tmp_path / "x")
        await core.do(r.FinishTask(task="a"))
        await core.do(r.ClaimTask(task="b"))
        await core.do(r.FinishTask(task="b"))

        (tmp_path / "x").write_text("2")
        await record(core, "a", tmp_path / "x")

        assert await stale(core) == ["b"]


async def test_a_path_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    """Seen from the task's folder; it starts when the file has come."""
    async with core_in(tmp_path) as core:
        (tmp_path / "w").mkdir()
        with pytest.raises(NotFoundError) as raised:
            await core.add("b", input=("notes:1.md",))
        assert "./notes:" in raised.value.hint
        await core.add("c", id="c", input=("./notes:1.md",), working_dir="w")
        (reason,) = (await core.do(r.ExplainTask(task="c"))).data.reasons
        assert reason.code == "missing_input"
        assert f"{tmp_path}/w/./notes:1.md is not there" in reason.message

        (tmp_path / "w" / "notes:1.md").touch()
        await core.reload()

        assert await core.status("c") == "in-progress"


async def test_a_copy_that_is_gone_is_missed(tmp_path: Path) -> None:
    """Somebody has tidied up: nothing is started with nothing to work from."""
    file = tmp_path / "x"
    file.write_text("1")
    async with core_in(tmp_path) as core:
        await core.add("a", id="a")
        await record(core, "a", file)
        (copy,) = (tmp_path / ".wg" / "artifacts").iterdir()
        copy.unlink()
        await core.add("b", id="b", input=("a:x",))
        await core.exit("a")

        (reason,) = (await core.do(r.ExplainTask(task="b"))).data.reasons
        assert (reason.code, str(copy) in reason.message) == ("missing_input", True)
        await record(core, "a", file)
        await core.reload()
        assert await core.status("b") == "in-progress"


async def test_an_input_is_a_dependency(tmp_path: Path) -> None:
    """At add and at edit; unknown ones and cycles are refused as with --after."""
    async with core_in(tmp_path, "dispatcher.max_agents=0") as core:
        await core.add("a", id="a")
        await core.add("b", id="b", input=("a:x", "a:y"), after=("a",))
        assert [edge.id for edge in (await shown(core, "b")).after] == ["a"]
        with pytest.raises(NotFoundError):
            await core.add("c", input=("nobody:x",))
        with pytest.raises(UserError, match="b -> a -> b"):
            await core.do(r.EditTask(task="a", input=("b:x",)))
        with pytest.raises(UserError, match="itself"):
            await core.do(r.EditTask(task="a", input=("a:x",)))


async def test_an_edge_that_an_input_needs_can_not_be_taken_away(
    tmp_path: Path,
) -> None:
    """Neither by unlink nor by edit; with the input it can."""
    async with core_in(tmp_path, "dispatcher.max_agents=0") as core:
        await core.add("a", id="a")
        await core.add("b", id="b", input=("a:x",))
        for refused in (
            r.UnlinkTask(task="b", after="a"),
            r.EditTask(task="b", remove_after=("a",)),
        ):
            with pytest.raises(UserError, match="input"):
                await core.do(refused)

        await core.do(r.EditTask(task="b", input=(), remove_after=("a",)))

        assert (await shown(core, "b")).after == ()


async def test_promised_outputs_are_recorded_with_the_gate(tmp_path: Path) -> None:
    """By the name of the promise, so that consumers may name it; a folder is none."""
    (tmp_path / "out").mkdir()
    async with core_in(tmp_path) as core:
        await core.add("a", id="a", output=("out/r.md", "out"))
        await core.add("b", id="b", input=("a:out/r.md",))
        await core.add("c", id="c", input=("a:r.md",))
        (tmp_path / "out" / "r.md").write_text("1")

        await core.exit("a")

        (recorded,) = (await shown(core, "a")).artifacts
        assert (recorded.name, recorded.agent) == ("out/r.md", "agent-1")
        assert recorded.path == str(tmp_path / "out" / "r.md")
        assert [await core.status(task) for task in ("b", "c")] == ["in-progress"] * 2


async def test_what_the_agent_has_recorded_itself_stays(tmp_path: Path) -> None:
    """It has said which version it means; the next attempt's is another one."""
    file = tmp_path / "r.md"
    file.write_text("1")
    async with core_in(tmp_path) as core:
        await core.add("a", id="a", output=("r.md",))
        await record(core, "a", file, by=await core.agent_caller("a"))
        file.write_text("scribbled over")
        await core.exit("a")
        (first,) = (await shown(core, "a")).artifacts
        assert first.sha256 == hashlib.sha256(b"1").hexdigest()

        await core.do(r.RetryTasks(task=("a",)))
        await core.exit("a")

        (second,) = (await shown(core, "a")).artifacts
        assert (second.name, second.agent) == ("r.md", "agent-2")
        assert second.sha256 == hashlib.sha256(b"scribbled over").hexdigest()


@pytest.mark.parametrize("how", ["exit", "agent", "operator", "person"])
async def test_nothing_is_done_while_an_output_is_missing(
    tmp_path: Path, how: str
) -> None:
    """Whoever says that it is done, and in whatever way."""
    async with core_in(
        tmp_path, *(["dispatcher.max_agents=0"] if how == "person" else [])
    ) as core:
        task = await core.add("a", id="a", output=("r.md",), max_attempts=1)
        match how:
            case "exit":
                await core.exit(task)
            case "agent":
                by = await core.agent_caller(task)
                await core.do(r.FinishTask(task=task), by)
            case "operator":
                await core.do(r.FinishTask(task=task))
            case _:
                await core.do(r.ClaimTask(task=task))
                await core.do(r.FinishTask(task=task))

        row = await core.task(task)
        assert row.status is Status.FAILED
        assert row.failure is not None
        assert row.failure.reason == "promised outputs are missing: r.md"


async def test_an_ended_attempt_records_nothing(tmp_path: Path) -> None:
    """Its token has ended with it; the task keeps what it had."""
    (tmp_path / "x").write_text("1")
    async with core_in(tmp_path) as core:
        await core.add("a", id="a")
        late = await core.agent_caller("a")
        await core.exit("a")

        with pytest.raises(ConflictError):
            await record(core, "a", tmp_path / "x", by=late)

        assert (await shown(core, "a")).artifacts == ()


async def test_a_restart_changes_nothing(tmp_path: Path) -> None:
    """What is missing is missing still, and comes by the same way."""
    (tmp_path / "x").write_text("1")
    store = await Store.open(":memory:")
    try:
        async with core_in(tmp_path, store=store) as core:
            await core.add("a", id="a")
            await core.add("b", id="b", input=("a:x",))
            await core.exit("a")
            clock = core.clock
        async with core_in(tmp_path, store=store, clock=clock) as core:
            assert await core.why("b") == ["missing_input"]
            await record(core, "a", tmp_path / "x")
            assert await core.status("b") == "in-progress"
    finally:
        await store.close()
