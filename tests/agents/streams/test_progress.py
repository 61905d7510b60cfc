"""What an agent is doing, said while it does it."""

import json
from typing import Any

import pytest

from tests.agents.streams.recorded import a_reader, recorded
from workgraph.agents.streams.reader import Reader
from workgraph.graph.ends import ClientEnd, EndKind
from workgraph.settings import Stream


def feed(reader: Reader, *lines: dict[str, Any]) -> None:
    """Gives lines to a reader."""
    reader.feed("".join(f"{json.dumps(line)}\n" for line in lines).encode())


def tools_of(name: str) -> list[str | None]:
    """What is used after each line of a recorded stream, told when it changes."""
    run = recorded(name)
    reader = a_reader(run.stream)
    tools = [reader.report.tool]
    for line in run.stdout.splitlines(keepends=True):
        reader.feed(line)
        if reader.report.tool != tools[-1]:
            tools.append(reader.report.tool)
    return tools


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("claude/success", "Bash wg log T-1 starting", "Bash wg done T-1"),
        ("codex/success", "shell wg log T-1 starting", "shell wg done T-1"),
        (
            "gemini/success",
            "run_shell_command wg log T-1 starting",
            "run_shell_command wg done T-1",
        ),
    ],
)
def test_a_tool_is_told_until_it_returns(name: str, first: str, second: str) -> None:
    """Its name and its argument."""
    assert tools_of(name) == [None, first, None, second, None]


def test_opencode_tells_of_a_tool_when_it_has_returned() -> None:
    """So there is none to be told of."""
    assert tools_of("opencode/success") == [None]


def test_of_two_tools_at_a_time_the_later_one_is_told() -> None:
    """And the earlier one again when that has returned."""
    reader = a_reader("claude")

    def block(number: int) -> dict[str, Any]:
        used = {"file_path": f"src/{number}.py", "content": "x" * 10_000}
        return {"type": "tool_use", "id": f"t{number}", "name": "Write", "input": used}

    message = {"id": "m", "model": "m", "content": [block(1), block(2)]}
    feed(reader, {"type": "assistant", "message": message})
    assert reader.report.tool == "Write src/2.py"

    result = {"type": "tool_result", "tool_use_id": "t2", "content": "ok"}
    feed(reader, {"type": "user", "message": {"content": [result]}})
    assert reader.report.tool == "Write src/1.py"


def test_a_long_argument_is_cut() -> None:
    """And is on one line."""
    reader = a_reader("codex")
    item = {"type": "command_execution", "id": "1", "command": "cat <<E\n" + "é" * 500}

    feed(reader, {"type": "item.started", "item": item})

    tool = reader.report.tool or ""
    assert tool.startswith("shell cat <<E éé")
    assert tool.endswith("é…")
    assert len(tool) == 80


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "claude/error_401",
            ClientEnd(
                kind=EndKind.AUTH,
                message="authentication_failed (status 401), it tries again",
            ),
        ),
        (
            "claude/error_429",
            ClientEnd(
                kind=EndKind.LIMITED, message="rate_limit (status 429), it tries again"
            ),
        ),
        (
            "claude/error_529",
            ClientEnd(
                kind=EndKind.OVERLOADED,
                message="overloaded (status 529), it tries again",
            ),
        ),
        (
            "claude/disconnect",
            ClientEnd(kind=EndKind.NETWORK, message="unknown, it tries again"),
        ),
        (
            "codex/error_401",
            ClientEnd(
                kind=EndKind.AUTH,
                message="unexpected status 401 Unauthorized: mock authentication_error,"
                " url: http://127.0.0.1:8080/v1/responses",
            ),
        ),
        (
            "codex/error_429",
            ClientEnd(
                kind=EndKind.LIMITED,
                message="exceeded retry limit, last status: 429 Too Many Requests",
            ),
        ),
        (
            "codex/malformed",
            ClientEnd(
                kind=EndKind.OVERLOADED,
                message="stream disconnected before completion: stream closed before"
                " response.completed",
            ),
        ),
    ],
)
def test_what_is_tried_again_is_trouble(name: str, expected: ClientEnd) -> None:
    """Of the kind that it would end with; none is left at the end."""
    run = recorded(name)
    reader = a_reader(run.stream)
    troubles = []
    for line in run.stdout.splitlines(keepends=True):
        reader.feed(line)
        if reader.report.trouble is not None:
            troubles.append(reader.report.trouble)

    assert troubles[0] == expected
    assert reader.report.trouble is None


@pytest.mark.parametrize("name", ["claude", "codex"])
def test_an_answer_ends_the_trouble(name: str) -> None:
    """Before anything else is said."""
    run = recorded(f"{name}/retry_429_then_ok")
    reader = a_reader(run.stream)
    troubles = []
    for line in run.stdout.splitlines(keepends=True):
        reader.feed(line)
        troubles.append((reader.report.trouble is not None, reader.report.answered))

    assert troubles.count((True, False)) == 1
    assert (True, True) not in troubles
    assert troubles[-1] == (False, True)


def test_codex_without_a_network_is_in_trouble() -> None:
    """It never gives up by itself."""
    reader = a_reader("codex")

    message = "Reconnecting... waiting for network (error sending request)"
    feed(reader, {"type": "error", "message": message})

    trouble = reader.report.trouble
    assert trouble is not None
    assert trouble.kind is EndKind.NETWORK
    assert not reader.has_ended


def test_geminis_trouble_is_on_standard_error() -> None:
    """With the time that the provider asks for, on a line of its own."""
    reader = a_reader("gemini")

    reader.feed_stderr(b"Attempt 1 failed: mock rate_limit_error\n")
    reader.feed_stderr(b"Suggested retry after 30s.. Retrying after 5204ms...\n")
    limited = reader.report.trouble
    reader.feed_stderr(b"Attempt 2 failed with status 529. Retrying with backoff...\n")
    overloaded = reader.report.trouble
    feed(reader, {"type": "message", "role": "assistant", "content": "Hi."})

    assert limited == ClientEnd(
        kind=EndKind.LIMITED, message="mock rate_limit_error", retry_after_s=30.0
    )
    assert overloaded is not None
    assert overloaded.kind is EndKind.OVERLOADED
    assert reader.report.trouble is None


def test_gemini_says_a_message_in_pieces() -> None:
    """They are one message, until something else happens."""
    reader = a_reader("gemini")
    feed(
        reader,
        {"type": "message", "role": "assistant", "content": "One, ", "delta": True},
        {"type": "message", "role": "assistant", "content": "two", "delta": True},
    )
    first = reader.report.said
    feed(
        reader,
        {"type": "tool_use", "tool_id": "t", "tool_name": "ls", "parameters": {}},
        {"type": "message", "role": "assistant", "content": "Three", "delta": True},
    )

    assert first == "One, two"
    assert reader.report.said == "Three"


@pytest.mark.parametrize("stream", ["claude", "codex", "gemini", "opencode"])
def test_a_long_message_is_cut_at_a_character(stream: Stream) -> None:
    """A kilobyte, and no half of an é."""
    text = "x" + "é" * 1_000_000
    block = {"type": "text", "text": text}
    line: dict[Stream, dict[str, Any]] = {
        "claude": {
            "type": "assistant",
            "message": {"id": "m", "model": "m", "content": [block]},
        },
        "codex": {
            "type": "item.completed",
            "item": {"type": "agent_message", "text": text},
        },
        "gemini": {"type": "message", "role": "assistant", "content": text},
        "opencode": {"type": "text", "part": block},
    }
    reader = a_reader(stream)

    feed(reader, line[stream])

    assert reader.report.said == "x" + "é" * 511
    assert reader.report.answered


def test_what_a_subagent_says_is_not_what_the_agent_says() -> None:
    """It answers, it costs, and it uses tools; its words are for the agent."""
    block = {"type": "text", "text": "found it"}
    message = {
        "id": "m",
        "model": "small",
        "content": [block],
        "usage": {"input_tokens": 5},
    }
    reader = a_reader("claude")

    feed(
        reader,
        {"type": "assistant", "parent_tool_use_id": "t", "message": message},
    )

    report = reader.report
    assert (report.said, report.model, report.answered) == (None, None, True)
    assert report.usage.input_tokens == 5


LOG = "timestamp=2026-11-21T19:27:00.024Z level=ERROR run=5bfe1383"
ASKED = "providerID=mock modelID=mock-model session.id=ses_e0 small=false agent=build"


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        ("AI_APICallError: Rate limit hit", EndKind.LIMITED, "Rate limit hit"),
        (
            "AI_APICallError: Cannot connect to API: The socket was closed",
            EndKind.NETWORK,
            "Cannot connect to API: The socket was closed",
        ),
        ("AI_APICallError: busy", EndKind.OVERLOADED, "busy"),
        ("AI_JSONParseError: bad", EndKind.OVERLOADED, "bad"),
    ],
)
def test_opencode_tells_of_trouble_in_its_log(
    error: str, kind: EndKind, message: str
) -> None:
    """A failed request is trouble until a step is answered; no log line is an end."""
    reader = a_reader("opencode")
    said = f'{LOG} message="stream error" {ASKED} mode=primary error.error="{error}"\n'

    reader.feed_stderr(said.replace("small=false", "small=true").encode())
    assert reader.report.trouble is None
    reader.feed_stderr(said.encode())
    assert reader.report.trouble == ClientEnd(kind=kind, message=message)

    tokens = {"input": 100, "output": 20}
    feed(
        reader,
        {"type": "step_finish", "part": {"reason": "tool-calls", "tokens": tokens}},
    )
    assert reader.report.trouble is None
    end = reader.close(1, None).end
    assert end is None or end.message != message


def test_who_is_ended_in_trouble_has_ended_of_that() -> None:
    """Gemini exits with 0 when it is told to go, without a last word."""
    reader = a_reader("gemini")
    feed(reader, {"type": "init", "session_id": "s", "model": "m"})
    reader.feed_stderr(b"Attempt 1 failed with status 529. Retrying with backoff...\n")
    trouble = reader.report.trouble

    assert trouble is not None
    assert reader.close(0, None).end == trouble


def test_opencode_that_is_answered_with_nothing_is_in_trouble() -> None:
    """It takes that for a step, and asks again without end."""
    reader = a_reader("opencode")
    nothing = {"input": 0, "output": 0, "reasoning": 0}
    step = {"type": "step_finish", "part": {"reason": "unknown", "tokens": nothing}}

    feed(reader, step, step, step, step)
    assert reader.report.trouble is None
    feed(reader, step)

    assert reader.report.trouble is not None
    assert reader.report.trouble.kind is EndKind.OVERLOADED
    assert not reader.report.answered
