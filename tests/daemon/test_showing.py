"""What is shown of an output, from its end, through what."""

import json
from pathlib import Path

from workgraph.agents.streams.readable import Readable
from workgraph.daemon.showing import Lines, read_output
from workgraph.graph.model import Usage


def test_plain_text_is_shown_in_whole_lines() -> None:
    """What is held back comes when nothing has come for a while."""
    lines = Lines(str.upper)

    assert lines.feed(b"one\ntw") == "ONE\n"
    assert lines.feed(b"o\n\xc3") == "TWO\n"
    assert lines.feed(b"\xa9") == ""
    assert lines.rest(ended=False) == "É"
    assert lines.rest(ended=True) == ""


def test_a_line_that_does_not_end_is_shown_in_pieces() -> None:
    """Not all of memory is for one line."""
    lines = Lines(str)

    assert len(lines.feed(b"x" * 70_000)) == 70_000


def test_nothing_written_is_nothing_shown(tmp_path: Path) -> None:
    """Nor is there a file of errors where they are not apart."""
    path = str(tmp_path / "output.log")

    assert read_output(path, Lines(str), str, ended=True) == ("", None)
    assert read_output(path, None, str, ended=True) == ("", None)


def test_as_it_is_means_as_it_is(tmp_path: Path) -> None:
    """Neither a stream is read nor a secret hidden."""
    (tmp_path / "output.log").write_text('{"type":"text"}\n')
    (tmp_path / "stderr.log").write_text("secret")

    shown = read_output(
        str(tmp_path / "output.log"), None, lambda text: "***", ended=True
    )

    assert shown == ('{"type":"text"}\n', "secret")


def test_of_a_long_stream_the_end_is_shown(tmp_path: Path) -> None:
    """From the first whole line on."""
    line = json.dumps({"type": "text", "part": {"text": "x" * 1_000_000}})
    last = json.dumps({"type": "text", "part": {"text": "the last"}})
    (tmp_path / "output.log").write_text("\n".join([*[line] * 40, last]) + "\n")
    readable = Readable("opencode", Usage())

    text, _ = read_output(str(tmp_path / "output.log"), readable, str, ended=False)

    assert text.startswith("xxx")
    assert text.endswith("x\nthe last\n")
    assert text.count("\n") == 9


def test_of_a_stream_that_goes_on_nothing_is_summed_up(tmp_path: Path) -> None:
    """And a line that is not whole is not shown."""
    (tmp_path / "output.log").write_text('{"type":"text","part":{"text":"Hi"}}\n{"ty')
    path = str(tmp_path / "output.log")

    going_on, _ = read_output(path, Readable("opencode", Usage()), str, ended=False)
    ended, _ = read_output(path, Readable("opencode", Usage()), str, ended=True)

    assert going_on == "Hi\n"
    assert ended == 'Hi\n{"ty\n-- cut off\n'
