"""A stream as people read it."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agents.streams.recorded import NOTHING, RUNS, Recorded, recorded
from workgraph.agents.streams.readable import Readable
from workgraph.graph.model import Usage
from workgraph.settings import Stream

SUCCESS = """Starting.
$ wg log T-1 starting
   wg-stub ok: log T-1 starting
$ wg done T-1
   wg-stub ok: done T-1
Finished T-1.
"""
USED = {
    "claude": "1200 in, 400 cached, 90 out; 0.0067 USD",
    "codex": "800 in, 400 cached, 90 out",
    "gemini": "900 in, 400 cached, 110 out",
    "opencode": "800 in, 400 cached, 90 out; 0.0037 USD",
}
#: What codex says of any model that is not OpenAI's.
METADATA = (
    "! Model metadata for `mock-model` not found. Defaulting to fallback metadata; this"
    " can degrade performance and cause issues.\n"
)


def text_of(run: Recorded, earlier: Usage | None = None) -> str:
    """All of a run."""
    readable = Readable(run.stream, run.earlier if earlier is None else earlier)
    return readable.feed(run.stdout) + readable.rest(ended=True)


def text(stream: Stream, *lines: dict[str, Any], clean: Any = str) -> str:
    """All of these lines, without the last one that sums up."""
    readable = Readable(stream, NOTHING, clean)
    shown = readable.feed("".join(f"{json.dumps(line)}\n" for line in lines).encode())
    shown += readable.rest(ended=True)
    head, _, last = shown.rstrip("\n").rpartition("\n")
    assert last.startswith("--")
    return head


def claude_blocks(*blocks: dict[str, Any]) -> dict[str, Any]:
    """A message of claude's."""
    message = {"id": "m", "model": "m", "content": list(blocks)}
    return {"type": "assistant", "message": message}


@pytest.mark.parametrize("stream", ["claude", "codex", "gemini", "opencode"])
def test_a_run_reads_the_same_for_all_clients(stream: str) -> None:
    """Messages, tools, what they gave back, and what it has used."""
    before = METADATA if stream == "codex" else ""

    assert text_of(recorded(f"{stream}/success")) == (
        f"{before}{SUCCESS}-- finished; tokens: {USED[stream]}\n"
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "claude/error_429",
            (
                "! rate_limit, it tries again\n"
                "! API Error: Request rejected (429) · mock rate_limit_error\n"
                "-- limited; tokens: 0 in, 0 cached, 0 out; 0.0000 USD\n"
            ),
        ),
        (
            "claude/sigterm_in_tool",
            (
                "$ timeout 300 tail -f /dev/null\n"
                " ! Exit code 137\n"
                "-- cut off; tokens: 100 in, 0 cached\n"
            ),
        ),
        (
            "codex/tool_failure",
            (
                f"{METADATA}$ echo boom >&2; exit 3\n"
                "   boom\n"
                " ! exit 3\n"
                "The command failed.\n"
                "-- finished; tokens: 200 in, 0 cached, 40 out\n"
            ),
        ),
        (
            "codex/error_429",
            (
                f"{METADATA}"
                "! Reconnecting... 1/2 (exceeded retry limit, last status: 429 Too Many"
                " Requests)\n"
                "! Reconnecting... 2/2 (exceeded retry limit, last status: 429 Too Many"
                " Requests)\n"
                "! exceeded retry limit, last status: 429 Too Many Requests\n"
                "-- limited\n"
            ),
        ),
        (
            "gemini/disconnect",
            (
                "Half of an ans\n"
                "! [API Error: terminated]\n"
                "-- network; tokens: 100 in, 0 cached, 20 out\n"
            ),
        ),
        ("opencode/error_401", "! mock authentication_error\n-- auth\n"),
    ],
)
def test_what_went_wrong_is_marked(name: str, expected: str) -> None:
    """Once, and the kind of end is the last line."""
    assert text_of(recorded(name)) == expected


@settings(deadline=None, max_examples=60)
@given(run=st.sampled_from(RUNS), seed=st.integers(), pieces=st.integers(1, 20))
def test_the_text_does_not_hang_on_how_the_stream_is_cut(
    run: Recorded, seed: int, pieces: int
) -> None:
    """What is in the middle of something is held back."""
    rng = random.Random(seed)
    content = run.stdout
    cuts = sorted(rng.randrange(len(content) + 1) for _ in range(pieces))
    readable = Readable(run.stream, run.earlier)
    shown = ""
    for begin, end in zip((0, *cuts), (*cuts, len(content)), strict=True):
        shown += readable.feed(content[begin:end])
        shown += readable.rest(ended=False)

    assert shown + readable.rest(ended=True) == text_of(run)


def test_a_resumed_run_sums_up_its_own() -> None:
    """As the reader does."""
    earlier = Usage(input_tokens=700, cached_tokens=350, output_tokens=60)

    shown = text_of(recorded("codex/success"), earlier)

    assert shown.endswith("-- finished; tokens: 100 in, 50 cached, 30 out\n")


def test_long_results_are_cut() -> None:
    """To some lines, and each line to some length."""
    output = "\n".join([*map(str, range(100)), ""])
    item = {"type": "command_execution", "id": "1", "aggregated_output": output}
    long = {**item, "aggregated_output": "x" * 1000}
    lines = text(
        "codex",
        {"type": "item.completed", "item": item},
        {"type": "item.completed", "item": long},
    ).splitlines()

    assert lines[:3] == ["   0", "   1", "   2"]
    assert lines[12] == "   … 88 more lines"
    assert lines[13] == f"   {'x' * 399}…"
    assert len(lines) == 14


def test_a_command_of_several_lines_stays_together() -> None:
    """Those after the first are moved in."""
    used = {"command": "cat <<E\nhi\nE"}
    block = {"type": "tool_use", "id": "t", "name": "Bash", "input": used}

    assert text("claude", claude_blocks(block)) == "$ cat <<E\n  hi\n  E"


def test_other_tools_are_on_one_line() -> None:
    """With the argument that tells most."""
    write = {
        "type": "tool_use",
        "id": "t",
        "name": "Write",
        "input": {"content": "x\ny", "file_path": "a\nb.py"},
    }
    change = {"type": "file_change", "changes": [{"path": "a.py", "kind": "add"}]}
    search = {"type": "web_search", "query": "why"}
    call = {
        "type": "mcp_tool_call",
        "server": "s",
        "tool": "t",
        "arguments": {"query": "q"},
    }

    assert text("claude", claude_blocks(write)) == "> Write a b.py"
    assert text(
        "codex",
        *({"type": "item.completed", "item": item} for item in (change, search, call)),
    ) == ("> edit a.py\n> search why\n> s.t q")


def test_results_in_parts_are_put_together() -> None:
    """Pictures are left out."""
    content = [{"type": "text", "text": "one"}, {"type": "image"}, {"type": "text"}]
    result = {"type": "tool_result", "tool_use_id": "t", "content": content}
    line = {"type": "user", "message": {"content": [result]}}

    assert text("claude", line) == "   one"


def test_a_message_in_pieces_is_shown_when_it_is_whole() -> None:
    """So that a secret that is cut in two is seen whole by who hides it."""
    pieces = [
        {"type": "message", "role": "assistant", "content": content, "delta": True}
        for content in ("the key is sec", "ret", "!")
    ]

    shown = text("gemini", *pieces, clean=lambda text: text.replace("secret", "***"))

    assert shown == "the key is ***!"


def test_what_is_hidden_is_hidden_before_it_is_cut() -> None:
    """Half of a secret would be left at the cut."""
    secret = "secret" * 10
    output = "x" * 380 + secret
    item = {"type": "command_execution", "id": "1", "aggregated_output": output}
    line = {"type": "item.completed", "item": item}

    shown = text("codex", line, clean=lambda text: text.replace(secret, "***"))

    assert shown == f"   {'x' * 380}***"


def test_what_is_no_json_is_passed_on() -> None:
    """Whatever it is; it is cleaned as well."""
    readable = Readable("claude", NOTHING, str.upper)

    assert readable.feed(b"panic: at\nthe dis") == "PANIC: AT\n"
    assert readable.rest(ended=False) == ""
    assert (
        readable.feed(b'co \xff\n{"type":"news"}\n[1]\n') == "THE DISCO \ufffd\n[1]\n"
    )


def test_of_a_line_without_an_end_the_rest_is_shown() -> None:
    """When nothing more will come."""
    readable = Readable("opencode", NOTHING)

    assert readable.feed(b'{"type":"text","part":{"text":"Hi."}}') == ""
    assert readable.rest(ended=True) == "Hi.\n-- cut off\n"


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_damaged_stream_is_shown_as_well_as_it_can_be(run: Recorded) -> None:
    """Whatever byte is another one."""
    rng = random.Random(7)
    for _ in range(20):
        damaged = bytearray(run.stdout)
        for _ in range(10 if damaged else 0):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        readable = Readable(run.stream, NOTHING)
        assert readable.feed(bytes(damaged)) + readable.rest(ended=True)
