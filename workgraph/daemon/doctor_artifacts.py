"""The doctor's look at the copies of artifacts in `.wg/artifacts`."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from workgraph.daemon.finding import CheckData, bad, good
from workgraph.graph.inputs import COPIES
from workgraph.store.health import Health

#: How long copies are read through; there may be thousands.
_READ_S: Final = 20.0
_NAMED_AT_MOST: Final = 5
_SHOWN: Final = 12


def check_copies(wg_dir: Path, health: Health | None) -> Iterator[CheckData]:
    """Copies that are gone, or not what their name says, or that nobody needs.

    The last are no failure: a version that was produced again leaves one behind. It
    blocks: call it in a thread.
    """
    if health is None or health.problems:
        return
    folder = wg_dir / COPIES
    there = {file.name: file for file in folder.iterdir()} if folder.is_dir() else {}
    gone = sorted(health.kept - there.keys())
    if gone:
        yield bad(
            "artifacts",
            f"recorded, and not in {folder}: {_names(gone)}",
            "bring the folder back, or record them again: wg artifact ID PATH",
        )
    wanted = sorted(health.referred & there.keys())
    damaged, seen = _read_through([there[name] for name in wanted])
    if damaged:
        yield bad(
            "artifacts",
            f"in {folder}, and not what was recorded: {_names(damaged)}",
            "move them away, then record them again: wg artifact ID PATH",
        )
    if gone or damaged:
        return
    unread = f", {seen} of them read through" if seen < len(wanted) else ""
    unwanted = sorted(there.keys() - health.referred)
    if unwanted:
        yield good(
            "artifacts",
            f"{len(wanted)} copies{unread}; nothing refers to: {_names(unwanted)}",
            f"remove those from {folder} if you want the room",
        )
    else:
        yield good("artifacts", f"{len(wanted)} copies{unread}")


def _read_through(copies: list[Path]) -> tuple[list[str], int]:
    """The names of those that do not hold what they should, and how many were read."""
    until = time.monotonic() + _READ_S
    damaged: list[str] = []
    for number, copy in enumerate(copies):
        if time.monotonic() > until:
            return damaged, number
        with copy.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != copy.name:
                damaged.append(copy.name)
    return damaged, len(copies)


def _names(hashes: list[str]) -> str:
    shown = ", ".join(name[:_SHOWN] for name in hashes[:_NAMED_AT_MOST])
    more = len(hashes) - _NAMED_AT_MOST
    return f"{shown} and {more} more" if more > 0 else shown
