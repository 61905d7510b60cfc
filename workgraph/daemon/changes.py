"""What has changed in a git work tree since a revision, as git tells it.

It blocks: call it in a thread. git is given a repository folder of our own, which has
the other one's objects and a copy of its index, and no settings of anybody. So nothing
is written and no lock is taken, and no hook, filter, pager or other program is run that
an agent, or somebody else, has named in the repository.
"""

import os
import select
import signal
import subprocess  # noqa: TID251 - git, bounded; agents are started elsewhere
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from workgraph.agents.environment import FALLBACK_PATH
from workgraph.agents.revision import (
    Repository,
    find_repository,
    read_plain,
    read_revision,
)
from workgraph.graph.context_view import FileText, FileWish

#: New files are named, not shown: what matters of them is an artifact.
_MOST_NAMES: Final = 4096
#: The index of a million files is as large.
_MOST_INDEX: Final = 128 * 1024 * 1024
_CHUNK: Final = 64 * 1024
#: When it has closed its output it is gone, or soon.
_LAST_S: Final = 0.5
_LATE: Final = "git took too long to tell what has changed"
_NEW: Final = (
    "ls-files",
    "--others",
    "--exclude=/.wg/",
    "--exclude-per-directory=.gitignore",
)
_DIFF: Final = (
    "diff",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--ignore-submodules=all",
    "--patch-with-stat",
    "--stat=100",
    "--stat-count=40",
)
_SETTINGS: Final = """\
[core]
repositoryformatversion = 1
bare = false
quotePath = false
[extensions]
objectFormat = {format}
"""
_SHA256_DIGITS: Final = 64


def read_changes(
    wish: FileWish, most: int, env: Mapping[str, str], limit_s: float
) -> FileText:
    """What differs now, below a folder, from what it was: names, numbers, the patch.

    Args:
        wish: The folder, and the file that keeps the revision.
        most: How many bytes of it are wanted.
        env: The host's: where git is.
        limit_s: How long git may take in all.
    """
    assert wish.since is not None
    revision = read_revision(wish.since)
    if revision is None:
        return FileText()
    until = time.monotonic() + limit_s
    try:
        found = find_repository(wish.path)
        if found is None:
            return FileText(problem="the folder is in no work tree any more")
        with tempfile.TemporaryDirectory(prefix="wg-changes-") as folder:
            told = _stand_in(Path(folder), found, revision)
            told["PATH"] = env.get("PATH", FALLBACK_PATH)
            new, _ = _said(_new(found), wish.path, told, _MOST_NAMES, until)
            argv = (*_DIFF, revision, "--", ".")
            patch, whole = _said(argv, wish.path, told, most, until)
    except ValueError as error:
        return FileText(problem=str(error))
    except OSError as error:
        return FileText(problem=f"git can't be asked: {error.strerror}")
    names = f"New files that git does not know:\n{new}\n" if new else ""
    size = len(names.encode()) + whole
    return FileText(text=names + patch, size=size, is_part=whole > most)


def _stand_in(folder: Path, found: Repository, revision: str) -> dict[str, str]:
    """Makes a repository folder in the place of another; gives the environment for it.

    Raises:
        OSError: What it needs of the other one can't be read.
    """
    form = "sha256" if len(revision) == _SHA256_DIGITS else "sha1"
    (folder / "refs").mkdir()
    (folder / "HEAD").write_text("ref: refs/heads/none\n", encoding="utf-8")
    (folder / "config").write_text(_SETTINGS.format(format=form), encoding="utf-8")
    (folder / "index").write_bytes(read_plain(f"{found.own}/index", _MOST_INDEX))
    return {
        "LC_ALL": "C.UTF-8",
        "GIT_DIR": str(folder),
        "GIT_WORK_TREE": found.top,
        "GIT_OBJECT_DIRECTORY": f"{found.shared}/objects",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
    }


def _new(found: Repository) -> tuple[str, ...]:
    """What lists new files, but for those that the repository leaves out."""
    left_out = f"{found.shared}/info/exclude"
    if not os.path.isfile(left_out):
        return _NEW
    return (*_NEW, f"--exclude-from={left_out}")


def _said(
    options: Sequence[str], folder: str, env: Mapping[str, str], most: int, until: float
) -> tuple[str, int]:
    """What git prints, as much of it as is wanted, and how many bytes it has printed.

    Raises:
        OSError: It can't be run.
        ValueError: It has failed, or not come to an end in time.
    """
    process = subprocess.Popen(  # noqa: S603 - git, and options of our own
        ["git", "--no-pager", *options],  # noqa: S607 - as PATH gives it
        cwd=folder,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    data, whole = b"", 0
    try:
        while more := _read(process.stdout.fileno(), until):
            whole += len(more)
            data += more[: most - len(data)]
        status = process.wait(max(until - time.monotonic(), _LAST_S))
    except subprocess.TimeoutExpired as error:
        raise ValueError(_LATE) from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()
    text = data.decode("utf-8", "replace")
    if status != 0:
        words = text.strip().partition("\n")[0]
        msg = f"git ended with {status}: {words}"
        raise ValueError(msg)
    return text, whole


def _read(fd: int, until: float) -> bytes:
    left = until - time.monotonic()
    if left <= 0 or not select.select([fd], [], [], left)[0]:
        raise ValueError(_LATE)
    return os.read(fd, _CHUNK)
