"""Which revision an attempt begins with: read from git's files, as git would say."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from workgraph.agents.process import LaunchOrder
from workgraph.agents.revision import find_revision, read_revision
from workgraph.agents.wrapper import prepare

pytestmark = [
    pytest.mark.timeout(100),
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not here"),
]

PATH = os.environ["PATH"]


def git(folder: Path, *argv: str) -> str:
    """Runs git as somebody, with no settings of anybody."""
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "ann"), ("EMAIL", "ann@example.org"))
    }
    env = {"PATH": PATH, "HOME": str(folder), **who}
    return subprocess.run(
        ["git", *argv], cwd=folder, env=env, check=True, capture_output=True, text=True
    ).stdout.strip()


def a_repository(folder: Path) -> str:
    """One commit, of the file `kept`; gives the commit."""
    git(folder, "init", "-q", "-b", "main")
    (folder / "kept").write_text("as it was\n", encoding="utf-8")
    git(folder, "add", "kept")
    git(folder, "commit", "-q", "-m", "one")
    return git(folder, "rev-parse", "HEAD")


def test_it_is_what_git_says(tmp_path: Path) -> None:
    """On a branch, below the top, with packed references, without a branch."""
    commit = a_repository(tmp_path)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)

    assert find_revision(str(tmp_path)) == commit
    assert find_revision(str(below)) == commit
    git(tmp_path, "pack-refs", "--all")
    assert find_revision(str(tmp_path)) == commit
    git(tmp_path, "checkout", "-q", "--detach")
    assert find_revision(str(tmp_path)) == commit


def test_a_work_tree_has_its_own(tmp_path: Path) -> None:
    """Its `.git` is a file that names the folder where it is kept."""
    main = tmp_path / "main"
    main.mkdir()
    first = a_repository(main)
    git(main, "worktree", "add", "-q", "-b", "other", "../other")
    other = tmp_path / "other"
    (other / "new").touch()
    git(other, "add", "new")
    git(other, "commit", "-q", "-m", "two")

    assert find_revision(str(main)) == first
    assert find_revision(str(other)) == git(other, "rev-parse", "HEAD") != first


def test_without_a_commit_there_is_none(tmp_path: Path) -> None:
    """Nor where there is no repository, or what looks like one is not."""
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "-q")
    odd = tmp_path / "odd" / ".git"
    odd.mkdir(parents=True)
    os.mkfifo(odd / "HEAD")

    assert find_revision(str(empty)) is None
    assert find_revision(str(odd.parent)) is None
    assert find_revision(str(tmp_path / "gone")) is None


@pytest.mark.parametrize("text", ["", "HEAD", "--output=x", "g" * 40, "a" * 39])
def test_what_was_kept_may_be_nothing_of_the_kind(tmp_path: Path, text: str) -> None:
    """An agent can write there: git is given nothing but a hash."""
    file = tmp_path / "revision"
    file.write_text(f"{text}\n", encoding="utf-8")

    assert read_revision(str(file)) is None
    file.write_text("a" * 40 + "\n", encoding="utf-8")
    assert read_revision(str(file)) == "a" * 40
    assert read_revision(str(tmp_path / "none")) is None


@pytest.mark.parametrize("is_sandboxed", [False, True])
def test_it_is_kept_with_the_attempt(tmp_path: Path, *, is_sandboxed: bool) -> None:
    """Not of a sandboxed one: it could lead to what it can not read."""
    commit = a_repository(tmp_path)
    folder = tmp_path / "agent-1"
    order = LaunchOrder(
        agent=1,
        folder=str(folder),
        argv=("/bin/true",),
        env={},
        cwd=str(tmp_path),
        sandboxed=is_sandboxed,
    )

    problems, opened = prepare([order])
    opened[1].close()

    assert problems == {}
    kept = [] if is_sandboxed else [commit]
    assert [one.read_text().strip() for one in folder.glob("revision")] == kept
