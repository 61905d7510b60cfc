"""Files that become artifacts: hashed and kept as they were, whatever they are."""

import hashlib
import os
import stat
import threading
from pathlib import Path

import pytest

from workgraph.daemon.artifacts import take_file
from workgraph.graph.errors import ForbiddenError, UserError
from workgraph.graph.inputs import KEPT_BYTES


def copies_in(folder: Path) -> Path:
    """Where a project keeps them."""
    (folder / ".wg").mkdir()
    return folder / ".wg" / "artifacts"


def test_a_copy_is_under_its_hash_and_for_its_owner_alone(tmp_path: Path) -> None:
    """And the file may become what it will."""
    copies = copies_in(tmp_path)
    file = tmp_path / "r.md"
    file.write_bytes(b"first")

    taken = take_file(str(file), str(copies))
    file.write_bytes(b"second")

    assert taken.sha256 == hashlib.sha256(b"first").hexdigest()
    assert (taken.path, taken.size, taken.kept) == (str(file), 5, True)
    copy = copies / taken.sha256
    assert copy.read_bytes() == b"first"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o400
    assert stat.S_IMODE(copies.stat().st_mode) == 0o700
    assert os.listdir(copies) == [taken.sha256]


def test_a_copy_that_is_there_stays(tmp_path: Path) -> None:
    """It is the same file still; one that was cut short is written again."""
    copies = copies_in(tmp_path)
    file = tmp_path / "r.md"
    file.write_bytes(b"first")
    copy = copies / take_file(str(file), str(copies)).sha256
    before = copy.stat().st_ino

    take_file(str(file), str(copies))
    assert copy.stat().st_ino == before

    copy.chmod(0o600)
    copy.write_bytes(b"fir")
    take_file(str(file), str(copies))
    assert copy.read_bytes() == b"first"
    assert os.listdir(copies) == [copy.name]


@pytest.mark.parametrize(("more", "kept"), [(0, True), (1, False)])
def test_what_is_too_large_is_recorded_by_its_hash(
    tmp_path: Path, more: int, *, kept: bool
) -> None:
    """The limit itself is not too large."""
    copies = copies_in(tmp_path)
    file = tmp_path / "large"
    with file.open("wb") as out:
        out.truncate(KEPT_BYTES + more)

    taken = take_file(str(file), str(copies))

    assert (taken.kept, taken.size) == (kept, KEPT_BYTES + more)
    assert taken.sha256 == hashlib.sha256(bytes(KEPT_BYTES + more)).hexdigest()
    assert (copies / taken.sha256).exists() == kept


def test_a_file_that_grows_is_what_it_was_at_first(tmp_path: Path) -> None:
    """Hash and copy agree, and the reading ends though the writing does not."""
    copies = copies_in(tmp_path)
    file = tmp_path / "log"
    file.write_bytes(b"x" * 3_000_000)
    done = threading.Event()

    def grow() -> None:
        with file.open("ab") as out:
            while not done.is_set():
                out.write(b"y" * 100_000)
                if out.tell() > 50_000_000:
                    out.truncate(3_000_000)

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        taken = [take_file(str(file), str(copies)) for _ in range(5)]
    finally:
        done.set()
        thread.join()

    for one in taken:
        if one.kept:
            content = (copies / one.sha256).read_bytes()
            assert hashlib.sha256(content).hexdigest() == one.sha256
            assert len(content) == one.size


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        lambda path: path.mkdir(),
        lambda path: path.symlink_to(path),
        lambda path: path.symlink_to("nowhere"),
        lambda path: None,
    ],
    ids=["pipe", "folder", "loop", "dangling", "nothing"],
)
def test_what_is_no_file_is_refused(tmp_path: Path, make: object) -> None:
    """At once, and nothing is left of it."""
    copies = copies_in(tmp_path)
    path = tmp_path / "it\nis"
    assert callable(make)
    make(path)

    with pytest.raises(UserError):
        take_file(str(path), str(copies))

    assert not copies.exists()


def test_a_path_with_a_nul_is_refused(tmp_path: Path) -> None:
    """The system has no word for it."""
    with pytest.raises(UserError):
        take_file("/tmp/a\0b", str(tmp_path))


def test_a_copy_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    """It says where, and is an error of nobody's."""
    copies = copies_in(tmp_path)
    copies.parent.rmdir()
    file = tmp_path / "r.md"
    file.write_bytes(b"first")

    with pytest.raises(UserError, match=r"no copy of .* can be kept in .*artifacts"):
        take_file(str(file), str(copies))


def test_a_link_out_of_a_sandbox_is_refused(tmp_path: Path) -> None:
    """What is opened decides, not how it is called."""
    copies = copies_in(tmp_path)
    workspace = tmp_path / "w"
    workspace.mkdir()
    (tmp_path / "secret").write_text("s")
    (workspace / "link").symlink_to(tmp_path / "secret")

    with pytest.raises(ForbiddenError):
        take_file(str(workspace / "link"), str(copies), str(workspace))

    assert not copies.exists()
