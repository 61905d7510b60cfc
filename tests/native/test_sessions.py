"""Conversations that are kept, and gone on with."""

import os
import stat
from pathlib import Path
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ToolCallPart,
    UserPromptPart,
)

from tests.native.runs import SESSION, a_desk
from workgraph.native.sessions import KEPT_S, Sessions, closed

OTHER = "7f1c2f9e-4b5e-4a51-9a55-2f0f3c3b7f10"


async def test_a_session_goes_on_where_it_ended(tmp_path: Path) -> None:
    """The model sees all of it again; only what is new is counted."""
    with a_desk(tmp_path, [{"shell": "echo hi"}, {"text": "first"}]) as desk:
        await desk.run(prompt="one")
        told = await desk.run(prompt="two", resume=True)

        sent = desk.asked()[-1]["body"]["messages"]
    first, second = ["user", "assistant", "tool", "assistant"], ["user", "assistant"]
    assert [m["role"] for m in sent] == ["system", *first, *second, "tool"]
    assert [m["content"] for m in sent if m["role"] == "user"] == ["one", "two"]
    assert told.status == 0
    assert told.result["usage"]["input_tokens"] == 200


async def test_an_unknown_session_is_told_as_claude_tells_it(tmp_path: Path) -> None:
    """Also one whose name is none: it could be a path."""
    with a_desk(tmp_path, "text") as desk:
        for session in (SESSION, "../../etc/passwd"):
            told = await desk.run(session=session, resume=True)

            expected = f"No conversation found with session ID: {session}"
            assert told.result["errors"] == [expected]
            assert told.result["subtype"] == "error_during_execution"
            assert told.status == 1
        assert desk.asked() == []


async def test_a_failed_run_can_be_gone_on_with(tmp_path: Path) -> None:
    """After a rate limit, say."""
    steps: list[dict[str, Any]] = [
        {"shell": "echo hi"},
        {"status": 401},
        {"text": "went on"},
    ]
    with a_desk(tmp_path, steps) as desk:
        failed = await desk.run(prompt="one")
        told = await desk.run(prompt="two", resume=True)

    assert (failed.status, told.status) == (1, 0)
    assert told.result["result"] == "went on"


async def test_a_folder_that_can_not_be_written_does_not_end_the_run(
    tmp_path: Path,
) -> None:
    """It is said on standard error."""
    (tmp_path / "sessions").write_text("in the way")
    with a_desk(tmp_path, "text") as desk:
        told = await desk.run()

    assert told.status == 0


def test_what_is_kept_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Tools print what is nobody else's business."""
    sessions = Sessions(tmp_path / "a" / "b")

    sessions.save(SESSION, [said("x")])
    sessions.save(SESSION, [said("y")])

    (kept,) = (tmp_path / "a" / "b").iterdir()
    assert kept.name == f"{SESSION}.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    loaded = sessions.load(SESSION)
    assert loaded is not None
    assert loaded[0].parts[0].content == "y"  # type: ignore[union-attr]


def test_a_file_that_is_broken_is_no_session(tmp_path: Path) -> None:
    """The task begins afresh."""
    (tmp_path / f"{SESSION}.json").write_text('[{"kind": "req')

    assert Sessions(tmp_path).load(SESSION) is None


def test_calls_that_were_cut_off_get_an_answer() -> None:
    """No endpoint takes a conversation with calls that have none."""
    call = ToolCallPart("shell", {"command": "make"}, tool_call_id="c1")

    *before, last = closed([said("go"), ModelResponse(parts=[call])])

    assert len(before) == 2
    assert isinstance(last, ModelRequest)
    (part,) = last.parts
    assert part.part_kind == "tool-return"
    assert (part.tool_call_id, part.outcome) == ("c1", "interrupted")


def test_old_sessions_are_dropped(tmp_path: Path) -> None:
    """Those that somebody may go on with are not."""
    sessions = Sessions(tmp_path)
    for session, age_s in ((SESSION, KEPT_S + 60), (OTHER, KEPT_S - 60)):
        sessions.save(session, [said("x")])
        then = 1_000_000_000 - age_s
        os.utime(tmp_path / f"{session}.json", (then, then))

    sessions.drop_old(1_000_000_000)

    assert [file.name for file in tmp_path.iterdir()] == [f"{OTHER}.json"]


def said(text: str) -> ModelMessage:
    """A message of the user."""
    return ModelRequest(parts=[UserPromptPart(text)])
