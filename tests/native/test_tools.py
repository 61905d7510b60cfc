"""The tools: what they do, and what the model is told when they can't."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.native.runs import Desk, a_desk, tool
from tests.system.project import wait_for
from workgraph.agents import signs

DONE = {"text": "ok"}


async def told_by(folder: Path, *calls: dict[str, Any]) -> list[tuple[str, bool]]:
    """What the model is told by one call after the other."""
    with a_desk(folder, [*calls, DONE]) as desk:
        return (await desk.run()).results()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "one\ntwo\nthree\n"),
        ({"first_line": 2}, "two\nthree\n"),
        ({"lines": 1}, "one\n[... more from line 2 on ...]\n"),
        ({"first_line": 2, "lines": 1}, "two\n[... more from line 3 on ...]\n"),
        ({"first_line": 9}, "(nothing there)"),
    ],
)
async def test_read_gives_lines(
    tmp_path: Path, arguments: dict[str, Any], expected: str
) -> None:
    """All of them, or those that are asked for."""
    with a_desk(tmp_path, [tool("read", path="f", **arguments), DONE]) as desk:
        (desk.cwd / "f").write_text("one\ntwo\nthree\n")
        told = await desk.run()

    assert told.results() == [(expected, False)]


async def test_read_gives_whole_lines_as_far_as_there_is_room(tmp_path: Path) -> None:
    """And says where to go on; a line that is too long is cut."""
    steps = [tool("read", path="f"), tool("read", path="f", first_line=7), DONE]
    with a_desk(tmp_path, steps) as desk:
        (desk.cwd / "f").write_text("123456789\n" * 6 + "x" * 200_000)
        told = await desk.run(place=desk.place(limit=45))

    first, second = (text for text, _ in told.results())
    assert first == "123456789\n" * 4 + "[... more from line 5 on ...]\n"
    assert second.startswith("x" * 22 + "\n[... ")
    assert len(second) < 200


async def test_read_lists_a_folder(tmp_path: Path) -> None:
    """Who may look only has no other way to find anything."""
    with a_desk(tmp_path, [tool("read", path="."), DONE]) as desk:
        (desk.cwd / "b").mkdir()
        (desk.cwd / "a.txt").touch()
        told = await desk.run()

    assert told.results() == [("a.txt\nb/", False)]


async def test_files_are_written_and_edited_as_they_are(tmp_path: Path) -> None:
    """Folders are made; line ends and odd bytes stay."""
    steps = [
        tool("write", path="sub/new.txt", content="a\nb\n"),
        tool("edit", path="crlf", old="two", new="2"),
        tool("edit", path="twice", old="x", new="y", every=True),
        DONE,
    ]
    with a_desk(tmp_path, steps) as desk:
        (desk.cwd / "crlf").write_bytes(b"one\r\ntwo\xff\r\n")
        (desk.cwd / "twice").write_text("x x")
        told = await desk.run()

    assert [is_error for _, is_error in told.results()] == [False, False, False]
    assert (desk.cwd / "sub/new.txt").read_text() == "a\nb\n"
    assert (desk.cwd / "crlf").read_bytes() == b"one\r\n2\xff\r\n"
    assert (desk.cwd / "twice").read_text() == "y y"


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (tool("read", path="nowhere"), "nowhere: No such file or directory"),
        (tool("read", path="pipe"), "pipe: not a file"),
        (tool("read", path=""), "'' is no path"),
        (tool("write", path=".", content=""), ".: not a file"),
        (tool("write", path="f/g", content=""), "f/g: File exists"),
        (
            tool("edit", path="f", old="nothing", new=""),
            "f: the text to replace is not there; read it first",
        ),
        (
            tool("edit", path="f", old="", new="x"),
            "f: the text to replace is not there; read it first",
        ),
        (
            tool("edit", path="f", old="x", new=""),
            "f: the text stands there 2 times; give more of it",
        ),
        (
            tool("edit", path="none", old="a", new="b"),
            "none: No such file or directory",
        ),
        (tool("wg", arguments=["list"]), "wg: No such file or directory"),
        (
            tool("shell", command="echo out; echo err >&2; exit 3"),
            "Exit code 3\nout\nerr",
        ),
        (tool("shell", command="kill -9 $$"), "Died of signal 9"),
        (tool("shell", command="a\0b"), "/bin/sh: embedded null byte"),
    ],
)
async def test_what_goes_wrong_is_told_to_the_model(
    tmp_path: Path, call: dict[str, Any], expected: str
) -> None:
    """The run goes on, and can do it better."""
    with a_desk(tmp_path, [call, DONE]) as desk:
        (desk.cwd / "f").write_text("xx")
        os.mkfifo(desk.cwd / "pipe")
        told = await desk.run()

    assert told.results() == [(expected, True)]
    assert told.status == 0


async def test_wg_gets_its_arguments_and_its_input_as_they_are(tmp_path: Path) -> None:
    """No shell reads them."""
    call = tool("wg", arguments=["log", "t-1", "-", "a  'b' $c"], stdin="two\nlines")
    with a_desk(tmp_path, [call, DONE]) as desk:
        program = desk.cwd / "wg"
        program.write_text("#!/bin/sh\nprintf '<%s>' \"$@\"\ncat\n")
        program.chmod(0o755)
        told = await desk.run(place=with_path(desk, f"{desk.cwd}:/usr/bin:/bin"))

    assert told.results() == [("<log><t-1><-><a  'b' $c>two\nlines", False)]


async def test_commands_get_no_input(tmp_path: Path) -> None:
    """One that waits for some ends instead of hanging."""
    assert await told_by(tmp_path, tool("shell", command="cat; echo end")) == [
        ("end\n", False)
    ]


async def test_much_output_is_cut_in_the_middle(tmp_path: Path) -> None:
    """Where a command begins and how it ended is what tells something."""
    with a_desk(tmp_path, [tool("shell", command="seq 1 400000"), DONE]) as desk:
        told = await desk.run(place=desk.place(limit=200))

    (text, is_error), *_ = told.results()
    assert (text[:6], text[-14:], is_error) == ("1\n2\n3\n", "399999\n400000\n", False)
    assert "[... 2688695 bytes left out ...]" in text
    assert len(text) < 300


@pytest.mark.slow
async def test_a_command_that_takes_too_long_is_ended_with_its_children(
    tmp_path: Path,
) -> None:
    """What it had printed is told."""
    command = "echo begun; sleep 60 & echo $! > child; sleep 60"
    with a_desk(tmp_path, [tool("shell", command=command, timeout_s=3), DONE]) as desk:
        told = await desk.run()

    assert told.results() == [
        ("Ended after 3 s, which was its time limit\nbegun", True)
    ]
    wait_gone(desk.cwd / "child")


async def test_what_a_command_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    """It does not hold the run up, though it holds the pipe."""
    command = "sleep 60 & echo $! > child"
    with a_desk(tmp_path, [tool("shell", command=command), DONE]) as desk:
        told = await desk.run()

    assert told.results() == [("(no output)", False)]
    wait_gone(desk.cwd / "child")


def with_path(desk: Desk, path: str) -> Any:
    """A workplace with another PATH."""
    from msgspec.structs import replace  # noqa: PLC0415

    return replace(desk.place(), env={"PATH": path})


def wait_gone(pid_file: Path) -> None:
    """Returns when a process that was killed is no more than a zombie."""
    pid = int(pid_file.read_text())

    def is_gone() -> bool:
        stat = signs.read_stat(pid)
        return stat is None or not stat.alive

    wait_for(is_gone, f"{pid} to be gone")
