import fcntl
import os
from pathlib import Path

import pytest

from workgraph.agents import record
from workgraph.agents.record import Lock, Record


@pytest.mark.parametrize(
    ("run", "exit_file", "expected"),
    [
        (b"", b"", Record()),
        (b"12", b"", Record()),
        (b"12\n", b"", Record(pid=12)),
        (b"12\n0\n", b"", Record(pid=12, status=0)),
        (b"12\n13", b"", Record(pid=12)),
        (b"12\nKilled\n137\n", b"", Record(pid=12, status=137, words=True)),
        (b"12\nKilled\n", b"", Record(pid=12, words=True)),
        (b"12\n", b"7\n", Record(pid=12, status=7)),
        (b"12\n", b"7", Record(pid=12)),
        (b"12\n0\n", b"7\n", Record(pid=12, status=0)),
        (b"", b"7\n", Record(status=7)),
        (b"x\n0\n", b"7\n", Record()),
    ],
)
def test_only_complete_lines_of_a_record_count(
    run: bytes, exit_file: bytes, expected: Record
) -> None:
    """A line that was cut off says nothing; `run` goes before `exit`."""
    assert record.parse_record(run, exit_file) == expected


@pytest.mark.parametrize(
    ("status", "words", "prints", "expected"),
    [
        (0, False, True, (0, None)),
        (127, False, False, (127, None)),
        (128, False, False, (128, None)),
        (137, True, True, (None, 9)),
        (137, False, True, (137, None)),
        (137, False, False, (None, 9)),
        (130, False, True, (None, 2)),
        (141, False, True, (None, 13)),
        (255, False, False, (255, None)),
        (255, True, True, (None, None)),
    ],
)
def test_code_and_signal_are_told_apart(
    status: int, words: bool, prints: bool, expected: tuple[int | None, int | None]
) -> None:
    """By the shell's words, where it is a shell that has any."""
    assert record.tell(status, words=words, prints=prints) == expected


def test_a_lock_is_held_free_or_missing(tmp_path: Path) -> None:
    """Free again when the last descriptor is closed."""
    folder = tmp_path / "agent-1"
    before = record.look(str(folder)).lock
    folder.mkdir()

    lock = os.open(folder, os.O_RDONLY)
    record.take_lock(lock)
    inode = os.fstat(lock).st_ino
    held = record.look(str(folder), inode)
    os.close(lock)

    assert before is Lock.MISSING
    assert held.lock is Lock.HELD
    assert record.look(str(folder), inode).lock is Lock.FREE


def test_probes_do_not_see_each_other(tmp_path: Path) -> None:
    """Two that look at once both find it free."""
    fd = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)

    seen = record.look(str(tmp_path)).lock
    os.close(fd)

    assert seen is Lock.FREE


def test_a_folder_made_anew_is_missing(tmp_path: Path) -> None:
    """Another inode: not the folder of this agent, whatever it holds."""
    (tmp_path / "run").write_text("12\n0\n")

    seen = record.look(str(tmp_path), tmp_path.stat().st_ino + 1)

    assert seen == record.Look(lock=Lock.MISSING, was_started=True)


def test_a_folder_that_its_agent_has_closed_is_opened(tmp_path: Path) -> None:
    """To its owner; not to root, to whom nothing is closed."""
    folder = tmp_path / "agent-1"
    folder.mkdir()
    (folder / "run").write_text("12\n0\n")
    folder.chmod(0)

    seen = record.look(str(folder), folder.stat().st_ino)

    assert (seen.lock, seen.record.status) == (Lock.FREE, 0)


def test_a_lock_is_taken_once(tmp_path: Path) -> None:
    """The second start of an agent is refused."""
    first, second = (os.open(tmp_path, os.O_RDONLY) for _ in range(2))
    record.take_lock(first)

    with pytest.raises(BlockingIOError):
        record.take_lock(second)

    os.close(first)
    os.close(second)
