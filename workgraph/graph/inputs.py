"""Inputs of tasks: what `--input` says, and what it stands for. Pure.

`task:name` is the artifact `name` of a task; anything else is a path. What looks like
the first and is meant as the second is written with a folder before it: `./a:b`.
"""

import posixpath
import re
from collections.abc import Sequence
from typing import Final, TypeVar

from workgraph.graph.model import Artifact, Record
from workgraph.graph.status import Status

A = TypeVar("A", bound=Artifact)

#: The folder in `.wg` that holds the copies, each under its hash.
COPIES: Final = "artifacts"
#: What is larger is recorded by its hash alone.
KEPT_BYTES: Final = 10 << 20

# A slash after the colon is a URL's.
_REFERENCE: Final = re.compile(r"([a-z0-9][a-z0-9._-]*):([^/].*)", re.DOTALL)


class Input(Record, frozen=True, kw_only=True):
    """What a task is given to work from, as the graph knows it."""

    #: As `--input` says it.
    ref: str
    #: Whose artifact it is; null for a path. It may be the heir of the task in `ref`.
    producer: str | None = None
    #: The artifact's name; of a path, the path.
    name: str
    #: The file that was recorded, absolute; of a path, the path as it was given.
    path: str
    #: Null while nothing is recorded, and for a path.
    sha256: str | None = None
    size: int | None = None
    #: A copy stands under its hash.
    kept: bool = False
    producer_status: Status | None = None
    #: Nothing is recorded, and nobody is going to record it.
    missing: bool = False

    def read_path(self, wg_dir: str, working_dir: str) -> str:
        """Where it is read: the copy, or the file itself.

        Args:
            wg_dir: The `.wg` folder.
            working_dir: The consumer's: a path is seen from there.
        """
        if self.kept and self.sha256 is not None:
            return posixpath.join(wg_dir, COPIES, self.sha256)
        return posixpath.join(working_dir, self.path)


class StaleInput(Record, frozen=True, kw_only=True):
    """An artifact that was produced again since an attempt was given it."""

    producer: str
    name: str
    #: The hash of what was given, and of what there is now.
    given: str
    now: str


def split_reference(text: str) -> tuple[str, str] | None:
    """The task and the name in `task:name`; null for a path."""
    match = _REFERENCE.fullmatch(text)
    return (match[1], match[2]) if match else None


def find_artifact(name: str, recorded: Sequence[A]) -> A | None:
    """The artifact that an input means by a name.

    It is the one of that name; where there is none, the one whose name or file ends
    with it, `report.md` for `out/report.md` and the other way round. Several that are
    not the same file by content are none.
    """
    for artifact in recorded:
        if artifact.name == name:
            return artifact
    end = f"/{name}"
    near = [a for a in recorded if a.name.endswith(end) or a.path.endswith(end)]
    return near[0] if len({artifact.sha256 for artifact in near}) == 1 else None
