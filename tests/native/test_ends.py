"""How runs end, and what the stream says of it."""

from pathlib import Path
from typing import Any

import pytest

from tests.native.runs import SESSION, TOKENS, a_desk, tool
from tests.system.project import wait_for
from workgraph.native.tools import Posture

NOTHING = {"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0}


async def test_a_run_says_what_it_is_what_it_does_and_what_it_cost(
    tmp_path: Path,
) -> None:
    """The first line has session and model, the last the result and all tokens."""
    steps: list[dict[str, Any]] = [
        {
            "text": "Running it.",
            "shell": "echo hi",
            "usage": {"input": 1000, "cached": 400, "output": 50},
        },
        {"text": "All done."},
    ]
    with a_desk(tmp_path, steps) as desk:
        told = await desk.run()

    kinds = [(line["type"], line.get("subtype")) for line in told.lines]
    assert kinds == [
        ("system", "init"),
        ("assistant", None),
        ("user", None),
        ("assistant", None),
        ("result", "success"),
    ]
    assert {line["session_id"] for line in told.lines} == {SESSION}
    assert told.lines[0] | {"type": "", "session_id": ""} == {
        "type": "",
        "session_id": "",
        "subtype": "init",
        "cwd": str(desk.cwd),
        "tools": ["read", "wg", "write", "edit", "shell"],
        "model": "m",
        "permissionMode": "edits",
    }
    first, second = (line["message"] for line in (told.lines[1], told.lines[3]))
    assert [block["type"] for block in first["content"]] == ["text", "tool_use"]
    assert first["id"] != second["id"]
    assert first["usage"] == {
        "input_tokens": 600,
        "cache_read_input_tokens": 400,
        "output_tokens": 50,
    }
    assert told.results() == [("hi\n", False)]
    assert told.status == 0
    assert told.result == {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "terminal_reason": "completed",
        "result": "All done.",
        "api_error_status": None,
        "num_turns": 2,
        "usage": {
            "input_tokens": 700,
            "cache_read_input_tokens": 400,
            "output_tokens": 70,
        },
        "permission_denials": [],
        "session_id": SESSION,
    }


@pytest.mark.parametrize(
    ("scenario", "status", "error", "retries"),
    [
        ("400", 400, "invalid_request", 0),
        ("401", 401, "authentication_failed", 0),
        ("403", 403, "authentication_failed", 0),
        ("404", 404, "model_not_found", 0),
        ("429", 429, "rate_limit", 3),
        ("500", 500, "server_error", 3),
        ("503", 503, "overloaded", 3),
        ("529", 529, "overloaded", 3),
        ("refuse", None, "server_error", 3),
        ("disconnect", None, "server_error", 3),
        ("malformed", None, "server_error", 3),
        ("empty", None, "server_error", 3),
    ],
)
async def test_a_failure_has_its_kind_and_its_status(
    tmp_path: Path, scenario: str, status: int | None, error: str, retries: int
) -> None:
    """What a retry can mend is tried three times more, and each is told."""
    with a_desk(tmp_path, scenario) as desk:
        told = await desk.run()

        assert len(desk.asked()) == 1 + retries
    assert [kept[2:] for kept in told.retries()] == [(status, error)] * retries
    assert len(told.waits) == retries
    synthetic, result = told.lines[-2:]
    assert (synthetic["message"]["model"], synthetic["error"]) == ("<synthetic>", error)
    assert told.status == 1
    assert (result["is_error"], result["error"]) == (True, error)
    assert result["api_error_status"] == status
    assert result["terminal_reason"] == "api_error"
    assert result["usage"] == NOTHING


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"status": 401, "message": "No such key."}, "API Error: 401 · No such key."),
        ({"disconnect": "start"}, "Unable to connect to API (Server disconnected "),
    ],
)
async def test_a_failure_has_the_words_of_the_endpoint(
    tmp_path: Path, step: dict[str, Any], message: str
) -> None:
    """They are the result, for whoever reads it."""
    with a_desk(tmp_path, [{**step, "times": "always"}]) as desk:
        told = await desk.run()

    assert told.result["result"].startswith(message)
    assert told.result["errors"] == [told.result["result"]]


async def test_nobody_at_the_address_is_named_as_the_system_names_it(
    tmp_path: Path,
) -> None:
    """A server that is not running is told from one that answers badly."""
    with a_desk(tmp_path, "text") as desk:
        told = await desk.run(endpoint="http://127.0.0.1:1/v1")

    assert told.result["result"] == "Unable to connect to API (Connection refused)"
    assert told.waits == [1.0, 2.0, 4.0]


async def test_a_short_limit_is_waited_out(tmp_path: Path) -> None:
    """As long as the endpoint says; then the run goes on."""
    steps: list[dict[str, Any]] = [{"status": 429, "retry_after": 7}, {"text": "ok"}]
    with a_desk(tmp_path, steps) as desk:
        told = await desk.run()

    assert told.retries() == [(1, 7000, 429, "rate_limit")]
    assert told.waits == [7.0]
    assert (told.status, told.result["result"]) == (0, "ok")
    assert told.result["usage"] == TOKENS


async def test_a_long_limit_ends_the_run_and_says_when_it_is_over(
    tmp_path: Path,
) -> None:
    """Waiting is the daemon's part."""
    with a_desk(tmp_path, "quota") as desk:
        told = await desk.run()

        assert len(desk.asked()) == 1
    assert told.waits == []
    assert told.result["error"] == "rate_limit"
    assert told.result["retry_after_s"] == 3600.0


@pytest.mark.parametrize(
    "step",
    [
        {"status": 413},
        {"status": 400, "message": "exceeds the available context size (4096)"},
        {"status": 400, "error": "exceed_context_size_error"},
        {"status": 400, "message": "This model's maximum context length is 9."},
    ],
)
async def test_a_conversation_that_is_too_long_is_told_as_that(
    tmp_path: Path, step: dict[str, Any]
) -> None:
    """In the words of several servers."""
    with a_desk(tmp_path, [{**step, "times": "always"}]) as desk:
        told = await desk.run()

    assert told.result["terminal_reason"] == "prompt_too_long"
    assert told.waits == []


async def test_a_quota_that_waiting_does_not_help_is_billing(tmp_path: Path) -> None:
    """It has the status of a rate limit, and is none."""
    step = {"status": 402, "times": "always"}
    with a_desk(tmp_path, [step]) as desk:
        told = await desk.run()

    assert told.result["error"] == "billing_error"


@pytest.mark.slow
@pytest.mark.parametrize("when", ["start", "headers", "mid"])
async def test_silence_ends_with_the_time_limit_of_a_request(
    tmp_path: Path, when: str
) -> None:
    """It is not asked again: it had its time."""
    with a_desk(tmp_path, [{"hang": when, "times": "always"}]) as desk:
        told = await desk.run(request_timeout_s=1)

        wait_for(lambda: bool(desk.asked()), "the mock to have noted it")
        assert len(desk.asked()) == 1
    assert told.waits == []
    assert told.result["result"] == (
        "Unable to connect to API (no answer within the time limit)"
    )


async def test_turns_are_limited(tmp_path: Path) -> None:
    """A model that goes round in circles is stopped; what it cost is told."""
    with a_desk(tmp_path, [{"shell": "true"}] * 9) as desk:
        told = await desk.run(max_turns=3)

        assert len(desk.asked()) == 3
    assert told.result["subtype"] == "error_max_turns"
    assert told.result["num_turns"] == 3
    assert told.result["usage"]["input_tokens"] == 300
    assert told.status == 1


async def test_without_a_model_it_takes_the_only_one(tmp_path: Path) -> None:
    """As llama.cpp serves it."""
    with a_desk(tmp_path, "text") as desk:
        told = await desk.run(model="")

        assert desk.asked()[0]["body"]["model"] == "mock-model"
    assert told.lines[0]["model"] == "mock-model"


async def test_without_a_model_one_of_several_is_not_guessed(tmp_path: Path) -> None:
    """The failure names them."""
    with a_desk(tmp_path, "text") as desk:
        desk.mock.models = ("a", "b")
        told = await desk.run(model="")

        assert desk.asked() == []
    assert told.result["error"] == "model_not_found"
    assert told.result["result"].endswith("name a model; the endpoint serves: a, b")


async def test_the_key_is_sent_and_never_printed(tmp_path: Path) -> None:
    """Not even when a tool finds it."""
    key = "local-key-0815"
    steps: list[dict[str, Any]] = [
        tool("read", path="key.txt"),
        {"text": f"It is {key}."},
    ]
    with a_desk(tmp_path, steps) as desk:
        desk.mock.require_key = key
        (desk.cwd / "key.txt").write_text(key)
        told = await desk.run(key=key)

    assert told.status == 0
    assert told.results() == [("***", False)]
    assert told.result["result"] == "It is ***."


@pytest.mark.parametrize("posture", ["readonly", "edits", "full"])
async def test_the_posture_decides_which_tools_there_are(
    tmp_path: Path, posture: Posture
) -> None:
    """A model that is to look only is not offered more, and gets no more."""
    with a_desk(tmp_path, [tool("shell", command="touch made"), {"text": "ok"}]) as d:
        told = await d.run(posture=posture)

        offered = [t["function"]["name"] for t in d.asked()[0]["body"]["tools"]]
    full = ["read", "wg", "write", "edit", "shell"]
    looks_only = posture == "readonly"
    assert offered == (full[:2] if looks_only else full)
    assert (d.cwd / "made").exists() is not looks_only
    assert told.blocks("tool_result")[0]["is_error"] is looks_only
    assert told.status == 0


async def test_a_tool_that_is_allowed_is_there_all_the_same(tmp_path: Path) -> None:
    """A task may name one that its posture leaves out."""
    with a_desk(tmp_path, "text") as desk:
        told = await desk.run(posture="readonly", allowed=("shell", "unknown"))

    assert told.lines[0]["tools"] == ["read", "wg", "shell"]


async def test_answers_of_megabytes_are_one_line(tmp_path: Path) -> None:
    """Nothing of them is lost."""
    with a_desk(tmp_path, "huge") as desk:
        told = await desk.run()

    assert len(told.result["result"]) == 64 * 32768


async def test_arguments_that_are_no_json_are_told_to_the_model(
    tmp_path: Path,
) -> None:
    """A small model gets it right the next time."""
    steps: list[dict[str, Any]] = [
        tool("read", nonsense=1),
        tool("nope"),
        {"text": "ok"},
    ]
    with a_desk(tmp_path, steps) as desk:
        told = await desk.run()

    assert [is_error for _, is_error in told.results()] == [True, True]
    assert "Unknown tool name: 'nope'" in told.results()[1][0]
    assert told.status == 0
