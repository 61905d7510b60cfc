"""What agents are told: conclusions, inputs, earlier attempts, deltas, files."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.core import Core, plan_host, running_core
from workgraph.commands.context import Caller
from workgraph.daemon.starting import Starting
from workgraph.graph import requests as r
from workgraph.graph.ends import Report
from workgraph.graph.facts import AgentReported
from workgraph.graph.loops import LoopTasks
from workgraph.graph.messages import SendMessage
from workgraph.graph.prompt_requests import ContextData, GetContext
from workgraph.graph.reservations import ClaimTrajectory
from workgraph.graph.tokens import EXCERPT_BYTES, estimate
from workgraph.store.database import Tx

TOOL = (
    'dispatcher.executor="tool"',
    'executors.tool.argv=["tool", "--as", "{new_session}"]',
    'executors.tool.resume=["tool", "--resume", "{session}"]',
)


async def told(core: Core, task: str, **options: Any) -> ContextData:
    """What the next agent of a task would be told."""
    request = GetContext(task=task, **options)
    reply = await Starting(core.engine).context(request, Caller(name="me"))
    data: ContextData = reply.data
    return data


def prompt_of(core: Core, number: int) -> str:
    """What an agent was given."""
    [order] = [o for o in core.launcher.orders if o.agent == number]
    return str(order.files["prompt.md"])


async def finish(core: Core, task: str, summary: str | None = None) -> None:
    """The agent of a task says that it is done, and leaves."""
    caller = await core.agent_caller(task)
    number = await core.holder(task)
    await core.do(r.FinishTask(task=task, summary=summary), caller)
    core.launcher.exit(number, code=0)
    await core.settle()


async def test_a_join_is_told_what_both_branches_found(tmp_path: Path) -> None:
    """Conclusions, the artifact's path, hash and excerpt, and a context file."""
    report = tmp_path / "report.md"
    report.write_text("forty-two is the answer\n", encoding="utf-8")
    notes = tmp_path / "notes.txt"
    notes.write_text("never forget the towel\n", encoding="utf-8")
    digest = "ab" * 32
    async with running_core(*TOOL, host=plan_host(project_dir=str(tmp_path))) as core:
        top = await core.add("Top", executor="tool")
        left = await core.add("Left", executor="tool", after=(top,))
        right = await core.add("Right", executor="tool", after=(top,))
        join = await core.add(
            "Join",
            executor="tool",
            after=(right,),
            input=(f"{left}:report.md",),
            context_file=("notes.txt",),
        )
        await finish(core, top, "the top is done")
        await core.store.transaction(
            lambda tx: _record(tx, left, str(report), digest), 0
        )
        await finish(core, left, "the left has a report")
        before = await told(core, join)
        assert before == await told(core, join)
        await finish(core, right, "the right is right")

        number = await core.holder(join)
        prompt = prompt_of(core, number)

        for said in (
            "the left has a report",
            "the right is right",
            f"path: {report}",
            f"sha256: {digest}",
            "forty-two is the answer",
            "never forget the towel",
        ):
            assert said in prompt
        assert "the top is done" not in prompt
        kept = await told(core, join, agent=f"agent-{number}")
        assert sum(block.tokens for block in kept.blocks) == kept.tokens
        assert {"rules", "task", "inputs", "files", "dependencies"} <= {
            block.name for block in kept.blocks
        }


def _record(tx: Tx, task: str, path: str, digest: str, size: int = 1) -> None:
    tx.run(
        "insert into artifacts (task, name, path, sha256, size, at)"
        " values (?, ?, ?, ?, ?, 0)",
        (task, "report.md", path, digest, size),
    )


@pytest.mark.parametrize("now", ["as it was", "overwritten"])
async def test_a_file_without_a_copy_that_was_overwritten_is_called_stale(
    tmp_path: Path, now: str
) -> None:
    """It is compared with the recorded hash before the start, in a plan, too."""
    report = tmp_path / "report.md"
    report.write_text(now, encoding="utf-8")
    digest = sha256(b"as it was").hexdigest()
    is_stale = now != "as it was"
    async with running_core(*TOOL, host=plan_host(project_dir=str(tmp_path))) as core:
        first = await core.add("First", executor="tool")
        second = await core.add(
            "Second", executor="tool", after=(first,), input=(f"{first}:report.md",)
        )
        await core.store.transaction(
            lambda tx: _record(tx, first, str(report), digest, len("as it was")), 0
        )

        announced = (await told(core, second)).text or ""
        assert ("stale: the file has changed" in announced) == is_stale
        await finish(core, first)

        prompt = prompt_of(core, await core.holder(second))
        assert ("stale: the file has changed" in prompt) == is_stale
        assert f"sha256: {digest}" in prompt
        assert now in prompt


async def test_of_an_input_an_excerpt_is_shown(tmp_path: Path) -> None:
    """Of a context file there is more, and both say how large the whole is."""
    (tmp_path / "large.txt").write_text("x" * (EXCERPT_BYTES + 1000), encoding="utf-8")
    async with running_core(*TOOL, host=plan_host(project_dir=str(tmp_path))) as core:
        await core.do(r.Pause())
        task = await core.add("T", executor="tool", input=("large.txt",))
        other = await core.add("U", executor="tool", context_file=("large.txt",))

        [excerpt] = [b for b in (await told(core, task)).blocks if b.name == "inputs"]
        [whole] = [b for b in (await told(core, other)).blocks if b.name == "files"]

        assert excerpt.cut
        assert excerpt.tokens < estimate(EXCERPT_BYTES) + 100
        assert not whole.cut


async def test_the_same_state_gives_the_same_prompt_as_was_announced() -> None:
    """`wg context` before the start and the prompt of the start are the same bytes."""
    async with running_core(*TOOL) as core:
        await core.do(r.Pause())
        task = await core.add("T", executor="tool", description="do it")
        announced = await told(core, task)
        await core.do(r.Resume())

        assert prompt_of(core, await core.holder(task)) == announced.text


async def test_a_rejected_attempt_tells_the_next_one_why() -> None:
    """With what was logged, and what it had added."""
    async with running_core(*TOOL) as core:
        task = await core.add("T", executor="tool", review="human")
        caller = await core.agent_caller(task)
        await core.do(r.Log(task=task, message="half way there"), caller)
        await core.do(r.AddTask(title="Follow up", paused=True), caller)
        await finish(core, task, "all done")
        await core.do(r.RejectTask(task=task, reason="the tests are missing"))

        prompt = prompt_of(core, await core.holder(task))

        assert "the tests are missing" in prompt
        assert "follow-up" in prompt


async def test_what_a_gate_said_is_told_once(tmp_path: Path) -> None:
    """It is in the log twice: as the gate's word, and as why the task is open."""
    (tmp_path / ".wg").mkdir()
    host = plan_host(project_dir=str(tmp_path), wg_dir=str(tmp_path / ".wg"))
    async with running_core(*TOOL, host=host) as core:
        task = await core.add(
            "t", executor="tool", verify=("echo 1 test fails; false",)
        )
        await finish(core, task)

        prompt = prompt_of(core, await core.holder(task))

        assert prompt.count("\n1 test fails\n") == 1


async def test_a_fresh_attempt_is_told_what_the_last_one_said() -> None:
    """Its outcome, and its notes."""
    async with running_core(*TOOL, 'retry.resume="fresh"') as core:
        task = await core.add("T", executor="tool")
        caller = await core.agent_caller(task)
        await core.do(r.Log(task=task, message="half way there"), caller)
        await core.crash(task)
        await core.advance(600)

        prompt = prompt_of(core, await core.holder(task))

        assert "attempt 1, agent-1: crashed" in prompt
        assert "half way there" in prompt


async def test_messages_are_given_once_they_were_read() -> None:
    """Unread ones are in the prompt, and are read by the attempt that is given them."""
    async with running_core(*TOOL) as core:
        await core.do(r.Pause())
        task = await core.add("T", executor="tool")
        await core.do(SendMessage(task=task, text="mind the gap"))
        await core.do(r.Resume())

        assert "mind the gap" in prompt_of(core, await core.holder(task))
        rows = await core.store.read(
            lambda tx: tx.all("select message, agent from message_receipts"), 0
        )
        assert rows == [(1, 1)]


async def test_files_are_read_before_the_start_and_not_in_it(tmp_path: Path) -> None:
    """A pipe, a folder and a file that is not there keep nobody from starting."""
    (tmp_path / "folder").mkdir()
    async with running_core(*TOOL, host=plan_host(project_dir=str(tmp_path))) as core:
        task = await core.add(
            "T", executor="tool", context_file=("folder", "nothing", "/dev/zero")
        )

        prompt = prompt_of(core, await core.holder(task))

        assert prompt.count("it can't be shown") == 3


async def test_a_link_out_of_the_workspace_is_not_followed(tmp_path: Path) -> None:
    """An agent could make one to what it can't read itself."""
    outside = tmp_path / "secret"
    outside.write_text("the crown jewels", encoding="utf-8")
    project = tmp_path / "project"
    project.mkdir()
    (project / "notes").symlink_to(outside)
    async with running_core(*TOOL, host=plan_host(project_dir=str(project))) as core:
        task = await core.add("T", executor="tool", context_file=("notes",))

        prompt = prompt_of(core, await core.holder(task))

        assert "the crown jewels" not in prompt
        assert "leads out of" in prompt


async def test_a_prompt_that_fits_nowhere_parks_its_task() -> None:
    """With a remedy; and goes on when the limit is higher."""
    async with running_core(*TOOL, "context.limit=1000") as core:
        task = await core.add("T", executor="tool", description="x" * 10_000)
        assert await core.status(task) == "in-progress"
    limits = ("context.limit=1000", f'executors.tool.preamble="{"long " * 1000}"')
    async with running_core(*TOOL, *limits) as core:
        task = await core.add("T", executor="tool")

        assert await core.why(task) == ["misconfigured"]
        plan = await Starting(core.engine).plan(r.GetPlan(task=task), Caller(name="me"))
        assert "its prompt takes" in plan.data["problems"][-1]


async def test_an_executor_on_probation_is_tried_with_what_needs_files(
    tmp_path: Path,
) -> None:
    """The start that a breaker lets through comes a tick later, and comes."""
    (tmp_path / "notes").write_text("notes", encoding="utf-8")
    host = plan_host(project_dir=str(tmp_path))
    async with running_core(*TOOL, "retry.max_attempts=9", host=host) as core:
        for n in range(3):
            core.launcher.fail_next("no")
            await core.add(f"T{n}", executor="tool", context_file=("notes",))
        assert not core.launcher.running()

        await core.advance(90)

        assert len(core.launcher.running()) == 1


async def test_who_comes_later_does_not_take_the_budget_of_who_reads(
    tmp_path: Path,
) -> None:
    """The first one waits for its files, and the second one for the first."""
    (tmp_path / "notes").write_text("notes", encoding="utf-8")
    host = plan_host(project_dir=str(tmp_path))
    async with running_core(*TOOL, "budget.tokens_per_day=1000", host=host) as core:
        await core.do(r.Pause())
        one = await core.add("One", executor="tool", context_file=("notes",))
        two = await core.add("Two", executor="tool")
        await core.do(r.Resume())

        first, second = await core.agents(one), await core.agents(two)

        assert first
        assert all(later.number > first[0].number for later in second)


async def test_a_session_that_goes_on_is_told_what_is_new_alone() -> None:
    """The rules and the description were said; a message and the reason are new."""
    async with running_core(*TOOL, 'executors.tool.stream="claude"') as core:
        task = await core.add("T", executor="tool", description="the long story")
        first = await core.holder(task)
        agent = await core.agent(first)
        report = Report(session=agent.session, answered=True)
        core.engine.post(AgentReported(agent=first, report=report))
        await core.settle()
        await core.do(r.KillAgents(agent=(agent.id,)))
        await core.do(SendMessage(task=task, text="mind the gap"))
        await core.do(r.Resume(task=task))

        second = prompt_of(core, await core.holder(task))

        assert (await core.agent(2)).resumed == agent.session
        assert second.startswith("You have worked on this task in this conversation")
        for said in (f"{task}: T", "mind the gap", "attempt 1, agent-1: killed"):
            assert said in second
        for known in ("the long story", "You are an agent of workgraph"):
            assert known in prompt_of(core, first)
            assert known not in second
        await core.do(r.KillAgents(agent=("agent-2",)))
        await core.do(r.Resume(task=task))
        third = prompt_of(core, await core.holder(task))
        assert "mind the gap" not in third
        assert "attempt 1, agent-1: killed" not in third


async def test_what_a_silent_agent_said_last_is_its_conclusion() -> None:
    """Marked as such; a summary goes before it, and a failure says why."""
    async with running_core(*TOOL, 'executors.tool.stream="claude"') as core:
        silent = await core.add("Silent", executor="tool")
        failed = await core.add("Failed", executor="tool")
        await core.do(r.Pause())
        join = await core.add("Join", executor="tool", after=(silent,))
        await core.do(r.LinkTask(task=join, after=failed, on="settled"))
        report = Report(answered=True, said="it was the butler")
        number = await core.holder(silent)
        core.engine.post(AgentReported(agent=number, report=report))
        await core.settle()
        await finish(core, silent)
        caller = await core.agent_caller(failed)
        await core.do(r.FailTask(task=failed, reason="no witness"), caller)

        text = (await told(core, join)).text or ""

        assert (
            "it gave no summary; its client's last message\nit was the butler" in text
        )
        assert "no witness" in text


async def test_a_prompt_that_is_an_argument_is_no_longer_than_one_can_be() -> None:
    """Linux refuses 128 KiB."""
    argument = 'executors.tool.argv=["tool", "{prompt}"]'
    async with running_core(
        *TOOL[:1], argument, 'executors.tool.prompt="argument"', "context.limit=200000"
    ) as core:
        await core.add("T", executor="tool", description="x" * 500_000)

        [order] = core.launcher.orders

        assert 100_000 < len(order.argv[1]) < 128 * 1024


async def test_wider_scopes_see_what_is_around() -> None:
    """One hop further, then the whole graph; by ids, titles and how they stand."""
    async with running_core(*TOOL) as core:
        await core.do(r.Pause())
        top = await core.add("The top")
        near = await core.add("Near", after=(top,))
        await core.add("A sibling", after=(near,))
        await core.add("Far away")
        task = await core.add("T", executor="tool", after=(near,))
        texts = {}
        for scope in ("task", "graph", "full"):
            await core.do(r.EditTask(task=task, context_scope=scope))
            texts[scope] = (await told(core, task)).text or ""

        seen = {
            scope: {
                name for name in ("The top", "A sibling", "Far away") if name in text
            }
            for scope, text in texts.items()
        }

        assert seen == {
            "task": set(),
            "graph": {"The top", "A sibling"},
            "full": {"The top", "A sibling", "Far away"},
        }


async def test_where_loops_chains_and_waits_stand_is_told() -> None:
    """With their members and steps, in their order."""
    async with running_core(*TOOL, 'retry.resume="fresh"') as core:
        await core.do(r.Pause())
        task = await core.add("T", executor="tool")
        other = await core.add("Other", executor="tool", after=(task,))
        await core.do(LoopTasks(task=(task, other), max=5, until="make check"))
        await core.do(ClaimTrajectory(task=(task, other), actor="ada"))
        await core.store.transaction(lambda tx: _has_waited(tx, task), 0)

        data = await told(core, task)

        text = data.text or ""
        assert "iteration 1 of at most 5, until: make check" in text
        assert "timer:5m\n===== and goes on because\nfive minutes are over" in text
        loop, chain = (
            text.partition(f"===== {name}\n")[2].partition("===== end of")[0]
            for name in ("loop", "trajectory")
        )
        assert loop.index("T\n") < loop.index("Other")
        assert chain.index("T\n") < chain.index("Other")


def _has_waited(tx: Tx, task: str) -> None:
    tx.run(
        "insert into waits (task, condition, since, woken_at, reason)"
        " values (?, 'timer:5m', 0, 1, 'five minutes are over')",
        (task,),
    )
