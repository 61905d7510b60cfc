"""Small file systems of a test's own, to be filled up or made read-only."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def a_mount(folder: Path, options: str) -> Iterator[Path]:
    """A file system in memory, mounted on a folder."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill_up(folder: Path, leaving: int = 0) -> Path:
    """Fills a file system to its last byte, less what is to be left; gives the file."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
        os.truncate(file.fileno(), file.tell() - leaving)
    return filler


def make_read_only(folder: Path) -> None:
    """Lets nothing be written any more."""
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
