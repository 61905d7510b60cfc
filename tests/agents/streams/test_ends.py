"""How a run has ended: by fields, by words, by standard error, by the exit status."""

import json
from typing import Any

import pytest

from tests.agents.streams.recorded import a_reader
from workgraph.agents.streams.kinds import after_headers, retry_after
from workgraph.agents.streams.reader import make_reader
from workgraph.graph.ends import ClientEnd, EndKind, Report
from workgraph.graph.model import Usage
from workgraph.settings import Stream

INIT = {"type": "system", "subtype": "init", "session_id": "s", "model": "m"}
RESULT = {"type": "result", "subtype": "success", "is_error": True, "result": "oh"}


def end_of(
    stream: Stream,
    *lines: dict[str, Any],
    stderr: str = "",
    exit_code: int | None = 1,
    signal: int | None = None,
) -> ClientEnd | None:
    """How a run with these lines ends."""
    return report_of(
        stream, *lines, stderr=stderr, exit_code=exit_code, signal=signal
    ).end


def report_of(
    stream: Stream,
    *lines: dict[str, Any],
    stderr: str = "",
    exit_code: int | None = 1,
    signal: int | None = None,
) -> Report:
    """What is left of a run with these lines."""
    reader = a_reader(stream)
    reader.feed("".join(f"{json.dumps(line)}\n" for line in lines).encode())
    reader.feed_stderr(stderr.encode())
    return reader.close(exit_code, signal)


def codex_failed(message: str) -> dict[str, Any]:
    """A turn's end."""
    return {"type": "turn.failed", "error": {"message": message}}


def opencode_error(message: str, **data: Any) -> dict[str, Any]:
    """An error as opencode prints it."""
    error = {"name": "APIError", "data": {"message": message, **data}}
    return {"type": "error", "sessionID": "s", "error": error}


def gemini_error(message: str) -> dict[str, Any]:
    """A result as gemini prints it."""
    return {"type": "result", "status": "error", "error": {"message": message}}


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"api_error_status": 401}, EndKind.AUTH),
        ({"api_error_status": 403}, EndKind.AUTH),
        ({"api_error_status": 404}, EndKind.MISCONFIGURED),
        ({"api_error_status": 429}, EndKind.LIMITED),
        ({"api_error_status": 500}, EndKind.OVERLOADED),
        ({"api_error_status": 529}, EndKind.OVERLOADED),
        ({"api_error_status": 400}, EndKind.FAILED),
        (
            {"api_error_status": 400, "result": "Credit balance is too low"},
            EndKind.AUTH,
        ),
        (
            {"api_error_status": 400, "terminal_reason": "prompt_too_long"},
            EndKind.TOO_LONG,
        ),
        ({"api_error": "connection_failed"}, EndKind.NETWORK),
        ({"result": "Not logged in · Please run /login"}, EndKind.AUTH),
        (
            {"result": "API Error: Unable to connect to API (ConnectionRefused)"},
            EndKind.NETWORK,
        ),
        ({"subtype": "error_max_turns", "is_error": False}, EndKind.OWN_LIMIT),
        ({"subtype": "error_max_budget_usd"}, EndKind.OWN_LIMIT),
        (
            {
                "subtype": "error_during_execution",
                "errors": ["No conversation found with session ID: 1"],
            },
            EndKind.NO_SESSION,
        ),
        ({"subtype": "error_during_execution", "errors": ["a bug"]}, EndKind.FAILED),
    ],
)
def test_claudes_last_line(fields: dict[str, Any], kind: EndKind) -> None:
    """`subtype` says success of a request that was refused: it does not count."""
    end = end_of("claude", INIT, {**RESULT, **fields})

    assert end is not None
    assert end.kind is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("authentication_failed", EndKind.AUTH),
        ("billing_error", EndKind.AUTH),
        ("rate_limit", EndKind.LIMITED),
        ("model_not_found", EndKind.MISCONFIGURED),
        ("server_error", EndKind.OVERLOADED),
        ("unknown", EndKind.FAILED),
    ],
)
def test_claudes_own_word_for_an_error(error: str, kind: EndKind) -> None:
    """It stands beside the message that the client writes in the model's place."""
    synthetic = {
        "type": "assistant",
        "message": {"id": "x", "model": "<synthetic>", "content": []},
        "error": error,
    }
    report = report_of("claude", INIT, synthetic, RESULT)

    assert report.end == ClientEnd(kind=kind, message="oh")
    assert not report.answered
    assert report.said is None


def test_a_subscriptions_limit_names_its_end() -> None:
    """In the message, or in an event of its own."""
    message = "Claude AI usage limit reached|1700000000"
    event = {
        "type": "rate_limit_event",
        "rate_limit_info": {"status": "rejected", "resetsAt": 1700000060},
    }
    limited = {**RESULT, "api_error_status": 429}

    assert end_of("claude", INIT, {**RESULT, "result": message}) == ClientEnd(
        kind=EndKind.LIMITED, message=message, retry_at=1_700_000_000_000_000
    )
    assert end_of("claude", INIT, event, limited) == ClientEnd(
        kind=EndKind.LIMITED, message="oh", retry_at=1_700_000_060_000_000
    )


def test_the_native_agents_words_are_kept() -> None:
    """It speaks claude's dialect, and says more in it."""
    retry = {
        "type": "system",
        "subtype": "api_retry",
        "error_status": 429,
        "error": "rate_limit",
        "message": "API Error: 429 slow down",
    }
    turns = {**RESULT, "subtype": "error_max_turns", "result": "no turn is left"}
    reader = a_reader("claude")

    reader.feed(json.dumps(retry).encode() + b"\n")

    assert reader.report.trouble == ClientEnd(
        kind=EndKind.LIMITED, message="API Error: 429 slow down, it tries again"
    )
    assert end_of("claude", INIT, turns) == ClientEnd(
        kind=EndKind.OWN_LIMIT, message="no turn is left"
    )


def test_what_claude_was_denied_is_told() -> None:
    """It has finished all the same, and its end says what it could not do."""
    denial = {"tool_name": "Bash", "tool_input": {"command": "rm -r  build"}}
    line = {**RESULT, "is_error": False, "permission_denials": [denial, denial]}

    report = report_of("claude", INIT, line, exit_code=0)

    assert report.denied == ("Bash rm -r build",)
    assert report.end == ClientEnd(kind=EndKind.DENIED, message="Bash rm -r build")


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("unexpected status 403 Forbidden: no, url: http://x.test", EndKind.AUTH),
        (
            "unexpected status 404 Not Found: m, url: http://x.test",
            EndKind.MISCONFIGURED,
        ),
        ("rate limit exceeded: slow down", EndKind.LIMITED),
        ("Selected model is at capacity. Please try another.", EndKind.LIMITED),
        ("Quota exceeded. Check your plan and billing details.", EndKind.AUTH),
        ("Missing environment variable: `KEY`.", EndKind.AUTH),
        (
            "Codex ran out of room in the model's context window. Start anew.",
            EndKind.TOO_LONG,
        ),
        ("We're currently experiencing high demand, wait.", EndKind.OVERLOADED),
        ("error sending request for url (http://x.test)", EndKind.NETWORK),
        ("something else", EndKind.FAILED),
    ],
)
def test_codexs_words(message: str, kind: EndKind) -> None:
    """It has no fields: the status is in the words, too."""
    assert end_of("codex", codex_failed(message)) == ClientEnd(
        kind=kind, message=message
    )


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Please try again in 20s.", 20.0),
        ("please try again in 6m0s", 360.0),
        ("try again in 1.5s or never", 1.5),
        ("try again in 120ms", 0.12),
        ("try again in 2 hours, 3 minutes and 4 seconds", 7384.0),
        ("try again in 3 days 4 hours 5 minutes.", 273900.0),
        ("Suggested retry after 3600s.", 3600.0),
        ("Retry-After: 30", 30.0),
        ("retry after 10", 10.0),
        ("try again in a moment", None),
        ("resets 3pm", None),
        ("Retrying after 5997ms", None),
    ],
)
def test_how_long_to_wait(words: str, seconds: float | None) -> None:
    """As the provider names it; what is vague, or the client's own, is no time."""
    assert retry_after(words.lower()) == seconds


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry-After": "12"}, (12.0, None)),
        ({"retry-after-ms": "1500", "retry-after": "2"}, (1.5, None)),
        (
            {"retry-after": "Tue, 14 Nov 2023 22:13:20 GMT"},
            (None, 1_700_000_000_000_000),
        ),
        ({"retry-after": "soon"}, (None, None)),
        ({"retry-after": "-1"}, (None, None)),
        ({"retry-after": "nan"}, (None, None)),
        ({"retry-after": "inf"}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_headers_say_when(headers: dict[str, str], expected: object) -> None:
    """Seconds, or a date."""
    assert after_headers(headers) == expected


@pytest.mark.parametrize(
    ("stream", "exit_code", "stderr", "kind"),
    [
        (
            "claude",
            1,
            "--dangerously-skip-permissions cannot be used with root/sudo privileges",
            EndKind.MISCONFIGURED,
        ),
        ("claude", 1, "error: unknown option '--foo'", EndKind.MISCONFIGURED),
        ("claude", 1, "something it has never said", EndKind.MISCONFIGURED),
        ("claude", 1, "Invalid API key · Please run /login", EndKind.AUTH),
        (
            "codex",
            1,
            "Error: thread/resume failed: no rollout found for thread id 1",
            EndKind.NO_SESSION,
        ),
        ("codex", 1, "Error loading config.toml: wire_api", EndKind.MISCONFIGURED),
        ("codex", 2, "error: a flag of somebody's", EndKind.MISCONFIGURED),
        ("codex", 1, "thread 'main' panicked", EndKind.FAILED),
        ("gemini", 41, "Please set an Auth method", EndKind.AUTH),
        ("gemini", 42, "Error resuming session: Invalid", EndKind.NO_SESSION),
        ("gemini", 42, "No input provided", EndKind.MISCONFIGURED),
        ("gemini", 52, "settings.json", EndKind.MISCONFIGURED),
        ("gemini", 53, "Reached max session turns", EndKind.OWN_LIMIT),
        ("gemini", 55, "not running in a trusted folder", EndKind.MISCONFIGURED),
        ("gemini", 145, "YOLO mode is enabled.", EndKind.AUTH),
        ("gemini", 147, "YOLO mode is enabled.", EndKind.AUTH),
        ("gemini", 173, "YOLO mode is enabled.", EndKind.LIMITED),
        ("gemini", 144, "YOLO mode is enabled.", EndKind.FAILED),
        ("gemini", 17, "YOLO mode is enabled.", EndKind.OVERLOADED),
        ("opencode", 1, "Error: Session not found", EndKind.NO_SESSION),
        ("opencode", 1, "Error: Unexpected server error", EndKind.MISCONFIGURED),
    ],
)
def test_an_end_before_the_first_line(
    stream: Stream, exit_code: int, stderr: str, kind: EndKind
) -> None:
    """Standard error and the exit status are all there is."""
    end = end_of(stream, stderr=f"{stderr}\n", exit_code=exit_code)

    assert end is not None
    assert end.kind is kind
    assert end.message


def test_standard_error_is_kept_at_both_ends() -> None:
    """A mistake stands before a page of help, or after a page of warnings."""
    page = "".join(f"  --option-{number}  what it does\n" for number in range(100))

    first = end_of("gemini", stderr=f"Unknown argument: x\n{page}")
    last = end_of("gemini", stderr=f"{page}Error: connect ECONNREFUSED\n")
    neither = end_of("gemini", stderr=f"{page}an error of its own\n{page}")

    assert first == ClientEnd(kind=EndKind.MISCONFIGURED, message="Unknown argument: x")
    assert last == ClientEnd(
        kind=EndKind.NETWORK, message="Error: connect ECONNREFUSED"
    )
    assert neither == ClientEnd(kind=EndKind.FAILED, message="--option-0 what it does")


def test_colours_and_banners_are_no_words() -> None:
    """What a client always prints says nothing of its end."""
    banner = "YOLO mode is enabled. All tool calls will be approved.\n"

    assert end_of("gemini", stderr=banner) is None
    assert end_of("opencode", stderr="\x1b[91m\x1b[1mError: \x1b[0moh\n") == ClientEnd(
        kind=EndKind.FAILED, message="Error: oh"
    )


def test_geminis_exit_status_says_more_than_its_words() -> None:
    """Its message for a refused request may have no word of it."""
    limited = gemini_error("[API Error: come back. Suggested retry after 3600s.]")

    assert end_of("gemini", limited, exit_code=173) == ClientEnd(
        kind=EndKind.LIMITED,
        message="[API Error: come back. Suggested retry after 3600s.]",
        retry_after_s=3600.0,
    )
    assert end_of("gemini", gemini_error("what?"), exit_code=145) == ClientEnd(
        kind=EndKind.AUTH, message="what?"
    )
    assert end_of("gemini", gemini_error("what?"), exit_code=0) == ClientEnd(
        kind=EndKind.FAILED, message="what?"
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (opencode_error("no", statusCode=403), EndKind.AUTH),
        (opencode_error("no", statusCode=404), EndKind.MISCONFIGURED),
        (opencode_error("no", statusCode=503, isRetryable=True), EndKind.OVERLOADED),
        (opencode_error("odd", isRetryable=True), EndKind.OVERLOADED),
        (opencode_error("odd", isRetryable=False), EndKind.FAILED),
        (
            opencode_error(
                "no", statusCode=429, responseBody='{"code":"insufficient_quota"}'
            ),
            EndKind.AUTH,
        ),
        (
            opencode_error("maximum context length is 8192 tokens", statusCode=400),
            EndKind.TOO_LONG,
        ),
        ({"type": "error", "error": {"name": "ProviderAuthError"}}, EndKind.AUTH),
        (
            {
                "type": "error",
                "error": {
                    "name": "UnknownError",
                    "data": {"message": "Unexpected server error"},
                },
            },
            EndKind.MISCONFIGURED,
        ),
    ],
)
def test_opencodes_errors(error: dict[str, Any], kind: EndKind) -> None:
    """Its fields first."""
    end = end_of("opencode", error)

    assert end is not None
    assert end.kind is kind


def test_opencodes_headers_say_when_to_come_again() -> None:
    """Better than any words."""
    error = opencode_error(
        "try again in 5s", statusCode=429, responseHeaders={"retry-after": "3600"}
    )

    assert end_of("opencode", error) == ClientEnd(
        kind=EndKind.LIMITED, message="try again in 5s", retry_after_s=3600.0
    )


@pytest.mark.parametrize("stream", ["claude", "codex", "gemini", "opencode"])
def test_nothing_at_all_says_nothing(stream: Stream) -> None:
    """No line, no word, an exit or a signal that any program may have."""
    assert end_of(stream, exit_code=0) is None
    assert end_of(stream, exit_code=None, signal=15) is None
    assert end_of(stream, exit_code=7) is None
    assert end_of(stream, exit_code=143) is None


def test_an_exit_without_the_last_word_was_cut() -> None:
    """Exit status 0 in the middle of a stream is no success."""
    end = end_of("codex", {"type": "thread.started", "thread_id": "t"}, exit_code=0)

    assert end is not None
    assert end.kind is EndKind.CUT


def test_a_turn_after_the_end_is_not_the_end() -> None:
    """codex, opencode and claude may go on; the last word counts."""
    reader = a_reader("codex")
    reader.feed(b'{"type":"turn.completed","usage":{}}\n')
    assert reader.has_ended

    reader.feed(b'{"type":"turn.started"}\n')
    assert not reader.has_ended

    reader.feed(json.dumps(codex_failed("rate limit")).encode())
    end = reader.close(1, None).end
    assert end == ClientEnd(kind=EndKind.LIMITED, message="rate limit")


def test_another_turn_of_claude_is_not_the_end() -> None:
    """It begins as the first did; what it costs comes on top."""
    part = {"m": {"inputTokens": 1, "costUSD": 0.25}}
    line = {
        **RESULT,
        "is_error": False,
        "usage": {"input_tokens": 1},
        "total_cost_usd": 9.0,
        "model_usage_since_last_result": part,
    }
    reader = a_reader("claude")
    ended, spent = [], []
    for one in (INIT, line, INIT, line):
        reader.feed(json.dumps(one).encode() + b"\n")
        ended.append(reader.has_ended)
        spent.append(reader.report.usage.cost_usd)

    assert ended == [False, True, False, True]
    assert spent == [None, 0.25, 0.25, 0.5]


def test_plain_text_has_no_reader() -> None:
    """There is nothing to be read from it."""
    assert make_reader("text", Usage()) is None
