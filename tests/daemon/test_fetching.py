"""Files for prompts: a part of each, and whether they are what was recorded."""

import hashlib
import os
from pathlib import Path

import pytest

from workgraph.daemon.fetching import CHANGED, Limits, read_files
from workgraph.graph.context_view import FileText, FileWish

#: So small that a file of a few bytes is a large one.
SMALL = Limits(text=4, hashed=4)


def a_wish(path: Path, recorded: bytes, within: Path | None = None) -> FileWish:
    """A file that was recorded as these bytes, without a copy."""
    return FileWish(
        path=str(path),
        within=str(within) if within else None,
        sha256=hashlib.sha256(recorded).hexdigest(),
        size=len(recorded),
    )


async def read_one(wish: FileWish, limits: Limits = SMALL) -> FileText:
    """What is found for one wish."""
    return (await read_files((wish,), limits))[wish]


@pytest.mark.parametrize(
    ("now", "stale"),
    [
        (b"as it was recorded", None),
        (b"as it was overwrit", CHANGED),
        (b"as it has grown, too", CHANGED),
        (b"short", CHANGED),
        (b"s", CHANGED),
    ],
)
async def test_a_file_without_a_copy_is_compared_with_what_was_recorded(
    tmp_path: Path, now: bytes, stale: str | None
) -> None:
    """Also where it is too large to be read for its hash alone."""
    path = tmp_path / "large"
    path.write_bytes(now)

    found = await read_one(a_wish(path, b"as it was recorded"))

    assert found.stale == stale
    assert found.text == now[:4].decode()
    assert found.is_part == (len(now) > 4)


async def test_what_takes_too_long_to_compare_is_not_called_unchanged(
    tmp_path: Path,
) -> None:
    """Its beginning is shown all the same."""
    path = tmp_path / "large"
    path.write_bytes(b"as it was recorded")
    limits = Limits(text=4, hashed=4, compare_s=0.0)

    found = await read_one(a_wish(path, b"as it was recorded"), limits)

    assert found.stale is not None
    assert "it is not known" in found.stale
    assert "0 s" in found.stale
    assert found.text == "as i"


async def test_what_can_not_be_read_says_so_and_is_not_compared(tmp_path: Path) -> None:
    """It is gone, is no file, or leads out of the folder."""
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (inside / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(inside / "pipe")
    wishes = [
        a_wish(inside / name, b"secret", inside) for name in ("gone", "pipe", "link")
    ]

    found = await read_files(wishes, SMALL)

    assert [found[wish].problem for wish in wishes] == [
        "No such file or directory",
        "it is not a plain file",
        f"it leads out of {inside}",
    ]
    assert [found[wish].stale for wish in wishes] == [None, None, None]


async def test_what_was_not_shown_is_compared_too(tmp_path: Path) -> None:
    """The other files were too long for any of it to be shown."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"0123456789")
    second.write_bytes(b"9876543210")
    limits = Limits(text=4, texts=4, hashed=4)
    wish = a_wish(second, b"0123456789")

    found = await read_files((FileWish(path=str(first)), wish), limits)

    assert found[wish].problem == "it was not read: the others are too long"
    assert found[wish].stale == CHANGED
