"""Listening: what clients write is on the row while they run, and decides their end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import anyio

from tests.core import Core, running_core
from tests.fake_clock import START, FakeClock
from tests.fakes import FakeLauncher
from workgraph.graph import requests as r
from workgraph.graph.model import Agent, EndKind, Outcome, Usage
from workgraph.graph.times import SECOND, to_rfc3339
from workgraph.store.database import Store

SAMPLES: Final = Path(__file__).parents[1] / "agents" / "samples"
CLAUDE = 'executors.claude.argv=["claude"]'
CODEX = (
    'executors.codex.argv=["codex"]',
    'executors.codex.resume=["codex","resume","{session}"]',
)
THREAD = "01a1fdd8-88e6-7453-b61b-1b360399de95"
KEPT = f"/home/me/.codex/sessions/2026/11/21/rollout-1-{THREAD}.jsonl"


def sample(name: str) -> bytes:
    """A recorded stream."""
    return (SAMPLES / name).read_bytes()


def lines(name: str, count: int) -> bytes:
    """The first lines of one."""
    return b"".join(sample(name).splitlines(keepends=True)[:count])


def kept(at: int, tokens: int) -> bytes:
    """What codex keeps of the use of a turn, after an answer."""
    usage = b'{"input_tokens":%d,"cached_input_tokens":400,"output_tokens":60}' % tokens
    return (
        b'{"timestamp":"%s","type":"token_usage_record","payload":{"turn_id":"t",'
        b'"turn_token_usage":%s}}\n' % (to_rfc3339(at).encode(), usage)
    )


async def wait_for(core: Core, task: str, fact: Callable[[Agent], bool]) -> Agent:
    """Waits for ticks until a task's agent is like that."""
    with anyio.fail_after(30):
        while True:
            ticked = core.engine.ticked
            agent = (await core.agents(task))[-1]
            if fact(agent):
                return agent
            await ticked.wait()


async def test_what_it_says_is_on_its_row_while_it_runs() -> None:
    """The session by its first line, what it does, what it has used so far."""
    async with running_core(CLAUDE) as core:
        task = await core.add("t", executor="claude")
        (number,) = core.launcher.running()

        core.launcher.write(number, lines("claude/success.jsonl", 3))

        agent = await wait_for(core, task, lambda agent: agent.answered)
        assert agent.session == "aea7306a-0e10-48c0-b9df-cd0694f54ea1"
        assert agent.usage.input_tokens == 100
        assert agent.tool is not None
        assert "wg log T-1 starting" in agent.tool
        assert agent.said == "Starting."


async def test_the_whole_stream_is_read_at_the_end() -> None:
    """What it has used is its task's, and what was spent on that day."""
    async with running_core(CLAUDE) as core:
        task = await core.add("t", executor="claude")
        (number,) = core.launcher.running()
        core.launcher.write(number, sample("claude/success.jsonl"))
        await core.exit(task)

        row = await core.task(task)
        assert row.status == "done"
        assert (row.usage.input_tokens, row.usage.output_tokens) == (1200, 90)
        assert row.usage.cached_tokens == 400
        spent = (await core.do(r.GetSpend())).data.total
        assert (spent.input_tokens, spent.output_tokens) == (1200, 90)


async def test_the_last_word_ends_the_attempt() -> None:
    """A client that stays after it is ended, and its task is done (rule 99)."""
    async with running_core(CLAUDE, 'agents.kill_grace="10s"') as core:
        task = await core.add("t", executor="claude")
        (number,) = core.launcher.running()
        core.launcher.write(number, sample("claude/success.jsonl"))
        await wait_for(core, task, lambda agent: agent.client_end is not None)

        await core.advance(9)
        assert core.launcher.stops == []
        await core.advance(2)

        assert core.launcher.stops == [(number, False)]
        (agent,) = await core.agents(task)
        assert (await core.status(task), agent.outcome) == ("done", Outcome.DONE)


async def test_who_tries_again_for_too_long_is_ended() -> None:
    """It had only started to say that it would; the provider is to blame."""
    settings = (*CODEX, 'agents.client_patience="45s"')
    async with running_core(*settings) as core:
        task = await core.add("t", executor="codex")
        (number,) = core.launcher.running()
        core.launcher.write(number, lines("codex/error_429.jsonl", 4))
        await wait_for(core, task, lambda agent: agent.trouble is not None)

        await core.advance(44)
        assert core.launcher.stops == []
        await core.advance(2)

        (agent,) = await core.agents(task)
        assert agent.outcome is Outcome.RATE_LIMITED
        row = await core.task(task)
        assert (row.status, row.attempts) == ("open", 0)
        assert await core.why(task) == ["provider_limited"]


async def test_trouble_that_is_over_has_no_end() -> None:
    """An answer came after all."""
    async with running_core(CLAUDE, 'agents.client_patience="45s"') as core:
        task = await core.add("t", executor="claude")
        (number,) = core.launcher.running()
        text = sample("claude/retry_429_then_ok.jsonl")
        first, rest = text[: text.index(b"\n", text.index(b"api_retry")) + 1], b""
        rest = text[len(first) : text.rindex(b"\n", 0, len(text) - 1) + 1]
        core.launcher.write(number, first)
        await wait_for(core, task, lambda agent: agent.trouble is not None)
        core.launcher.write(number, rest)
        await wait_for(core, task, lambda agent: agent.trouble is None)

        await core.advance(60)

        assert core.launcher.stops == []


async def test_a_daemon_that_takes_over_comes_to_the_same() -> None:
    """It reads from the start; nothing is counted twice."""
    clock, launcher = FakeClock(), FakeLauncher()
    store = await Store.open(":memory:")
    first: dict[str, Any] = {"store": store, "clock": clock, "launcher": launcher}
    async with running_core(CLAUDE, **first) as core:
        task = await core.add("t", executor="claude")
        (number,) = core.launcher.running()
        launcher.write(number, lines("claude/success.jsonl", 5))
        await wait_for(core, task, lambda agent: agent.usage.input_tokens == 1100)
        launcher.crash()
    async with running_core(CLAUDE, **first) as core:
        launcher.write(number, sample("claude/success.jsonl").split(b"\n", 5)[5])
        await core.exit(task)

        row = await core.task(task)
        assert (row.usage.input_tokens, row.usage.output_tokens) == (1200, 90)
        spent = (await core.do(r.GetSpend())).data.total
        assert (spent.input_tokens, spent.output_tokens) == (1200, 90)
    await store.close()


async def test_the_end_that_no_daemon_saw_is_read() -> None:
    """By the next one, from the files."""
    clock, launcher = FakeClock(), FakeLauncher()
    store = await Store.open(":memory:")
    first: dict[str, Any] = {"store": store, "clock": clock, "launcher": launcher}
    async with running_core(CLAUDE, **first) as core:
        task = await core.add("t", executor="claude")
        (number,) = core.launcher.running()
        launcher.crash()
    launcher.write(number, sample("claude/error_429.jsonl"))
    launcher.exit(number, code=1)
    async with running_core(CLAUDE, **first) as core:
        (agent,) = await core.agents(task)

        assert agent.outcome is Outcome.RATE_LIMITED
        assert agent.client_end is not None
        assert agent.client_end.kind is EndKind.LIMITED
    await store.close()


async def test_what_was_cut_short_goes_on_in_its_session() -> None:
    """With the argv for that; what the thread has used before is not counted again."""
    async with running_core(*CODEX) as core:
        task = await core.add("t", executor="codex")
        (number,) = core.launcher.running()
        core.launcher.write(number, lines("codex/success.jsonl", 6))
        await wait_for(core, task, lambda agent: agent.answered)
        core.launcher.write(number, lines("codex/error_429.jsonl", 7)[-160:])
        await core.do(r.KillAgents(agent=(f"agent-{number}",), requeue=True))

        order = core.launcher.orders[-1]

        assert order.argv == ("/usr/bin/codex", "resume", THREAD)
        assert "were interrupted" in str(order.files["prompt.md"])
        (_, agent) = await core.agents(task)
        assert (agent.session, agent.resumed) == (THREAD, THREAD)


async def test_a_budget_is_kept_while_codex_runs() -> None:
    """It says on stdout only at its end what it has used; its own file says it before.

    Turns of earlier runs are in that file, too.
    """
    async with running_core(*CODEX) as core:
        task = await core.add("t", executor="codex", budget_tokens=1000)
        (number,) = core.launcher.running()
        core.launcher.kept[KEPT] = kept(START - SECOND, 9000) + b'{"type":"x"}\n'
        core.launcher.write(number, lines("codex/success.jsonl", 5))
        agent = await wait_for(core, task, lambda agent: agent.answered)
        assert agent.usage == Usage()

        core.launcher.kept[KEPT] += kept(START + SECOND, 10_000)
        core.launcher.write(number, sample("codex/success.jsonl").split(b"\n")[5])

        agent = await wait_for(core, task, lambda agent: agent.ended_at is not None)
        assert (agent.usage.input_tokens, agent.usage.cached_tokens) == (9600, 400)
        assert agent.outcome is Outcome.BUDGET
        assert await core.why(task) == ["budget_exhausted"]
