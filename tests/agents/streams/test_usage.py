"""Tokens and cost: each counted once, for this run alone."""

import json

import pytest

from tests.agents.streams.recorded import NOTHING, a_reader, read, recorded
from workgraph.graph.model import Usage

EARLIER = Usage(input_tokens=1000, cached_tokens=300, output_tokens=80, cost_usd=0.5)


def claude_result(cost: float, *, of_session: int) -> bytes:
    """A last line: 100 tokens for this run, and more for the session."""
    line = {
        "type": "result",
        "is_error": False,
        "subtype": "success",
        "result": "done",
        "total_cost_usd": cost,
        "usage": {
            "input_tokens": 50,
            "cache_creation_input_tokens": 10,
            "cache_read_input_tokens": 20,
            "output_tokens": 20,
        },
        "modelUsage": {"m": {"inputTokens": of_session, "costUSD": cost}},
    }
    return json.dumps(line).encode() + b"\n"


@pytest.mark.parametrize(
    ("cost", "of_session", "expected"),
    [
        pytest.param(0.75, 1480, 0.25, id="adds-up"),
        pytest.param(0.25, 100, 0.25, id="this-run"),
        pytest.param(0.75, 100, 0.75, id="this-run-and-dearer-than-all-before"),
        pytest.param(0.5, 1380, 0.0, id="nothing-new"),
    ],
)
def test_the_cost_of_a_resumed_claude_is_this_runs(
    cost: float, of_session: int, expected: float
) -> None:
    """Newer versions add up over the session, older ones do not; tokens never do."""
    reader = a_reader("claude", EARLIER)

    reader.feed(claude_result(cost, of_session=of_session))

    assert reader.report.usage == Usage(
        input_tokens=60, cached_tokens=20, output_tokens=20, cost_usd=expected
    )


def test_the_newest_claude_says_what_is_new() -> None:
    """Whatever was used before, and whether or not that is known."""
    run = recorded("claude/resumed")

    assert run.report.usage.cost_usd == 0.00588
    assert read(run, NOTHING).usage == run.report.usage
    assert read(run, EARLIER).usage == run.report.usage


def test_without_its_models_the_cost_is_compared_alone() -> None:
    """What is not less than before has what was before in it."""
    reader = a_reader("claude", EARLIER)

    reader.feed(b'{"type":"result","usage":{"output_tokens":1},"total_cost_usd":0.6}\n')

    assert reader.report.usage.cost_usd == pytest.approx(0.1)


def test_a_resumed_codex_counts_the_thread() -> None:
    """What earlier runs have used is taken off; of each kind by itself."""
    earlier = Usage(input_tokens=700, cached_tokens=350, output_tokens=60)

    assert read(recorded("codex/success"), earlier).usage == Usage(
        input_tokens=100, cached_tokens=50, output_tokens=30
    )


def test_a_codex_thread_that_counts_anew_is_taken_as_it_is() -> None:
    """Less than was used before can't have it in it."""
    assert read(recorded("codex/success"), EARLIER).usage == Usage(
        input_tokens=800, cached_tokens=400, output_tokens=90
    )


@pytest.mark.parametrize("stream", ["gemini", "opencode"])
def test_others_count_this_run_alone(stream: str) -> None:
    """Nothing is taken off."""
    run = recorded(f"{stream}/success")

    assert read(run, EARLIER) == run.report


def test_a_running_claude_counts_each_message_once() -> None:
    """Two lines of one message are one; its output is not known from them."""
    lines = recorded("claude/success_2.1.197").stdout.splitlines(keepends=True)
    reader = a_reader("claude")

    seen = []
    for line in lines[:-1]:
        reader.feed(line)
        seen.append(reader.report.usage)

    assert [usage.input_tokens for usage in seen] == [
        None, 100, 100, 100, 1100, 1100, 1200,
    ]  # fmt: skip
    assert seen[-1] == Usage(input_tokens=1200, cached_tokens=400)


def test_partial_messages_tell_the_output_while_it_runs() -> None:
    """The exact number, before the last line."""
    lines = recorded("claude/success_partial").stdout.splitlines(keepends=True)
    reader = a_reader("claude")

    reader.feed(b"".join(lines[:-1]))

    assert not reader.has_ended
    assert reader.report.usage == Usage(
        input_tokens=100, cached_tokens=0, output_tokens=20
    )


def test_a_cut_opencode_has_the_steps_that_it_has_done() -> None:
    """Each step is counted when it has finished."""
    lines = recorded("opencode/success").stdout.splitlines(keepends=True)
    reader = a_reader("opencode")

    reader.feed(b"".join(lines[:7]))
    report = reader.close(None, 9)

    assert report.end is None
    assert report.usage == Usage(
        input_tokens=700, cached_tokens=400, output_tokens=70, cost_usd=0.00315
    )


@pytest.mark.parametrize(
    ("tokens", "output"),
    [
        ({"input": 10, "output": 5, "reasoning": 7, "total": 22}, 12),
        ({"input": 10, "output": 12, "reasoning": 7, "total": 22}, 12),
        ({"input": 10, "output": 5, "reasoning": 7}, 5),
    ],
)
def test_what_opencode_thinks_is_output(tokens: dict[str, int], output: int) -> None:
    """By the total, whether or not `output` has it."""
    part = {"reason": "stop", "tokens": {**tokens, "cache": {"read": 0, "write": 0}}}
    reader = a_reader("opencode")

    reader.feed(json.dumps({"type": "step_finish", "part": part}).encode() + b"\n")

    assert reader.report.usage.output_tokens == output
    assert reader.report.usage.cost_usd is None
