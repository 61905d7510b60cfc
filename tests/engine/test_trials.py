"""`wg executor test`: a run that belongs to no task, and leaves nothing behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio
import anyio.lowlevel
import pytest

from tests.core import OPERATOR, Core, plan_host, running_core
from tests.invariants import dump
from workgraph.agents.process import SpawnError
from workgraph.daemon.configuration import Configuration
from workgraph.daemon.engine import Mode
from workgraph.daemon.special import Identity, Special
from workgraph.graph import requests as r
from workgraph.graph.errors import NeedsDaemonError, NotFoundError, WorkgraphError
from workgraph.graph.holds import AccountState
from workgraph.graph.replies import Reply, TrialData
from workgraph.store import accounts

SAMPLES: Final = Path(__file__).parents[1] / "agents" / "samples" / "claude"
TOOL: Final = (
    'executors.tool.argv=["tool","{model}"]',
    'executors.tool.stream="claude"',
)


async def ask(
    core: Core, folder: Path, request: r.AnyRequest, act: Callable[[int], None]
) -> Reply:
    """The answer to a request, after its run has done what a test has it do."""
    configuration = Configuration.load(folder, {"HOME": str(folder)}, ())
    identity = Identity(pid=1, since=0, socket="/s", wg_dir=folder)
    special = Special(core.engine, configuration, identity, lambda: None)
    handler = special.handler_for(request)
    assert handler is not None
    before = len(core.launcher.orders)

    async def behave() -> None:
        with anyio.fail_after(30):
            while len(core.launcher.orders) == before:
                await anyio.lowlevel.checkpoint()
        act(core.launcher.orders[-1].agent)

    async with anyio.create_task_group() as group:
        group.start_soon(behave)
        try:
            reply: Reply = await handler(request, OPERATOR)
        finally:
            group.cancel_scope.cancel()
    return reply


async def refused(
    core: Core, folder: Path, request: r.AnyRequest, act: Callable[[int], None]
) -> WorkgraphError:
    """The error that is answered."""
    with pytest.raises(ExceptionGroup) as caught:
        await ask(core, folder, request, act)
    (error,) = caught.value.exceptions
    assert isinstance(error, WorkgraphError)
    return error


def says(core: Core, sample: str, code: int = 0) -> Callable[[int], None]:
    """Prints what a real client has printed, and ends."""

    def act(agent: int) -> None:
        core.launcher.write(agent, (SAMPLES / sample).read_bytes())
        core.launcher.exit(agent, code=code)

    return act


def nothing(_agent: int) -> None:
    """Goes on for ever."""


async def test_a_good_run_says_what_it_was(tmp_path: Path) -> None:
    """By the plan of all agents, in the posture that changes nothing."""
    async with running_core(*TOOL) as core:
        before = await core.store.read(dump, 0)

        request = r.TryExecutor(executor="tool", model="opus")
        reply = await ask(core, tmp_path, request, says(core, "success.jsonl"))

        trial = reply.data
        (order,) = core.launcher.orders
        assert isinstance(trial, TrialData)
        assert trial.outcome == "finished"
        assert trial.account == "tool"
        assert trial.usage.output_tokens
        assert trial.said
        assert order.argv == ("/usr/bin/tool", "opus")
        assert order.files["prompt.md"] == "Say the word ok and nothing else."
        assert Path(order.cwd).is_relative_to(tmp_path / "trials")
        assert core.launcher.swept == [order.agent]
        assert not (tmp_path / "trials").exists()
        assert await core.store.read(dump, 0) == before
        assert await core.agents("t") == []


async def test_it_is_told_to_change_nothing(tmp_path: Path) -> None:
    """Whatever the settings allow agents."""
    settings = ('agents.permissions="full"', 'executors.claude.credentials=["HOME"]')
    async with running_core(*settings) as core:
        request = r.TryExecutor(executor="claude")
        await ask(core, tmp_path, request, says(core, "success.jsonl"))

        (order,) = core.launcher.orders
        assert "dontAsk" in order.argv
        assert "bypassPermissions" not in order.argv


async def test_a_login_that_is_refused_is_an_error_with_its_remedy(
    tmp_path: Path,
) -> None:
    """Its code is the kind of end."""
    async with running_core(*TOOL) as core:
        request = r.TryExecutor(executor="tool")
        error = await refused(core, tmp_path, request, says(core, "error_401.jsonl", 1))

        assert (error.code, error.exit_code) == ("auth", 1)
        assert error.message.startswith("tool: ")
        assert "log in" in error.hint
        assert not (tmp_path / "trials").exists()


async def test_what_does_not_end_is_ended(tmp_path: Path) -> None:
    """By the ladder, and nothing of it is left."""
    async with running_core(*TOOL) as core:
        request = r.TryExecutor(executor="tool", timeout="20ms")
        error = await refused(core, tmp_path, request, nothing)

        (order,) = core.launcher.orders
        assert error.code == "timed-out"
        assert "0.02 s" in error.message
        assert core.launcher.stops == [(order.agent, False)]
        assert core.launcher.running() == ()
        assert not (tmp_path / "trials").exists()


async def test_what_tries_again_for_too_long_says_what_it_tries_to_get_over(
    tmp_path: Path,
) -> None:
    """A limit of the provider is one, though the client would wait for it."""
    retries = (SAMPLES / "retry_429_then_ok.jsonl").read_bytes().splitlines(True)
    until = next(i for i, line in enumerate(retries) if b"api_retry" in line)

    async with running_core(*TOOL) as core:
        request = r.TryExecutor(executor="tool", timeout="3s")
        error = await refused(
            core,
            tmp_path,
            request,
            lambda agent: core.launcher.write(agent, b"".join(retries[: until + 1])),
        )

        assert error.code == "limited"
        assert "tries again" in error.message


async def test_plain_text_is_judged_by_its_exit(tmp_path: Path) -> None:
    """The last line is what it said."""
    async with running_core('executors.plain.argv=["plain"]') as core:

        def act(agent: int) -> None:
            core.launcher.write(agent, b"well\nok\n")
            core.launcher.exit(agent, code=0)

        reply = await ask(core, tmp_path, r.TryExecutor(executor="plain"), act)
        await core.advance(1)
        error = await refused(
            core,
            tmp_path,
            r.TryExecutor(executor="plain"),
            lambda agent: core.launcher.exit(agent, code=3),
        )

        assert (reply.data.outcome, reply.data.said) == ("finished", "ok")
        assert (error.code, error.message) == (
            "failed",
            "plain: it has ended with 3, after 0 s",
        )


async def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    """There is nothing to be ended then."""
    async with running_core(*TOOL) as core:
        core.launcher.fail_next("no more processes")

        error = await refused(core, tmp_path, r.TryExecutor(executor="tool"), nothing)

        assert error.code == "spawn-failed"
        assert "no more processes" in error.message
        assert core.launcher.stops == []
        assert SpawnError.__name__ not in error.message


async def test_what_can_not_be_planned_is_refused(tmp_path: Path) -> None:
    """In the plan's own words, without a task in them."""
    host = plan_host(has_executable=lambda _name, _path: None)
    async with running_core(*TOOL, host=host) as core:
        error = await refused(core, tmp_path, r.TryExecutor(executor="tool"), nothing)

        assert error.code == "misconfigured"
        assert error.message.startswith("tool, the program of executor tool")
        assert core.launcher.orders == []


async def test_an_unknown_one_is_not_found_and_a_daemon_is_needed(
    tmp_path: Path,
) -> None:
    """The first is said without a daemon, too."""
    offline = Mode(is_daemon=False, may_start=False)
    async with running_core(*TOOL, mode=offline) as core:
        unknown = await refused(core, tmp_path, r.TryExecutor(executor="tol"), nothing)
        known = await refused(core, tmp_path, r.TryExecutor(executor="tool"), nothing)

        assert isinstance(unknown, NotFoundError)
        assert unknown.hint == "did you mean tool?"
        assert isinstance(known, NeedsDaemonError)


async def test_an_account_that_answers_is_tried_at_once(tmp_path: Path) -> None:
    """As after `wg service reload`: one agent is sent there."""
    async with running_core(*TOOL) as core:
        task = await core.add("t", executor="tool")
        number = await core.holder(task)
        says(core, "error_401.jsonl", 1)(number)
        await core.settle()
        (account,) = await core.store.read(accounts.every, 0)
        assert account.state is AccountState.BROKEN
        assert await core.why(task) == ["provider_limited"]

        request = r.TryExecutor(executor="tool")
        await ask(core, tmp_path, request, says(core, "success.jsonl"))
        await core.settle()

        assert await core.status(task) == "in-progress"


async def test_a_list_has_all_and_what_they_lack(tmp_path: Path) -> None:
    """Built-in ones and those of the settings; what can't be loaded, too."""
    host = plan_host(
        has_executable=lambda name, _: None if name == "gone" else f"/bin/{name}",
        exists=lambda _path: False,
    )
    settings = (
        *TOOL,
        'executors.lost.argv=["gone"]',
        "executors.empty.argv=[]",
        'dispatcher.executor="tool"',
    )
    async with running_core(*settings, host=host) as core:
        reply = await ask(core, tmp_path, r.ListExecutors(), nothing)

        found = {one.name: one for one in reply.data}
        tool, lost, claude = found["tool"], found["lost"], found["claude"]
        assert {"shell", "claude", "codex", "gemini", "opencode", "native"} < set(found)
        assert (tool.source, tool.path, tool.default) == ("settings", "/bin/tool", True)
        assert (tool.account, tool.credentials, tool.problems) == (
            "tool",
            "not needed",
            (),
        )
        assert (lost.program, lost.path, lost.account) == ("gone", None, None)
        assert lost.problems[0].startswith("gone, the program of executor lost")
        assert (claude.source, claude.credentials) == ("built-in", "missing")
        assert claude.missing is not None
        assert "ANTHROPIC_API_KEY" in claude.missing
        assert claude.can_resume
        assert found["empty"].problems
        assert found["native"].account is None
        assert found["native"].problems
