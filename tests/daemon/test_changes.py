"""What has changed in a work tree: told by git, bounded in size and time."""

import shutil
from pathlib import Path

import pytest

from tests.agents.test_revision import PATH, a_repository, git
from workgraph.daemon.fetching import Limits, read_files
from workgraph.graph.context_view import FileText, FileWish

pytestmark = [
    pytest.mark.timeout(100),
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not here"),
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A work tree with a commit that an attempt has begun with."""
    made = tmp_path / "tree"
    made.mkdir()
    (tmp_path / "revision").write_text(a_repository(made) + "\n", encoding="utf-8")
    return made


async def changes(
    tree: Path, most: int = 10_000, *, path: str | None = None, limit_s: float = 90.0
) -> FileText:
    """What is told of it."""
    since = str(tree.parent / "revision")
    wish = FileWish(path=str(tree), most=most, since=since)
    env = {"PATH": path or PATH, "HOME": str(tree.parent)}
    return (await read_files((wish,), Limits(changes_s=limit_s), env=env))[wish]


async def test_numbers_names_and_the_patch(tree: Path) -> None:
    """Of what was committed since, what was not, and what git does not know."""
    (tree / "kept").write_text("as it is\n", encoding="utf-8")
    (tree / "made").write_text("new\n", encoding="utf-8")
    git(tree, "add", "made")
    git(tree, "commit", "-q", "-m", "two")
    (tree / "loose").touch()

    told = await changes(tree)

    assert told.problem is None
    assert not told.is_part
    assert told.size == len(told.text)
    assert told.text.startswith("New files that git does not know:\nloose\n")
    assert "2 files changed, 2 insertions(+), 1 deletion(-)" in told.text
    assert "-as it was\n+as it is\n" in told.text
    assert "+new\n" in told.text


async def test_only_what_is_below_the_folder(tree: Path) -> None:
    """A task works there; the rest of the repository is others'."""
    below = tree / "below"
    below.mkdir()
    (tree / "kept").write_text("as it is\n", encoding="utf-8")
    (tree.parent / "tree" / "revision").write_text(
        (tree.parent / "revision").read_text(encoding="utf-8"), encoding="utf-8"
    )

    assert (await changes(below)).text == ""


async def test_a_long_one_is_cut(tree: Path) -> None:
    """Its numbers are there, and how long it is."""
    lines = "".join(f"line {n}\n" for n in range(100_000))
    (tree / "kept").write_text(lines, encoding="utf-8")

    told = await changes(tree, most=1000)

    assert told.is_part
    assert len(told.text) == 1000
    assert told.size > len(lines)
    assert "1 file changed, 100000 insertions(+), 1 deletion(-)" in told.text


async def test_it_changes_nothing_and_runs_nothing(tree: Path) -> None:
    """Neither the index is written, nor run what the repository names."""
    ran = tree.parent / "ran"
    program = tree.parent / "program"
    program.write_text(f"#!/bin/sh\necho x >>{ran}; cat\n", encoding="utf-8")
    program.chmod(0o755)
    (tree / ".gitattributes").write_text("* diff=x filter=x\n", encoding="utf-8")
    (tree / "kept").write_text("as it is\n", encoding="utf-8")
    named = ("diff.external", "core.pager", "core.fsmonitor", "diff.x.textconv")
    for key in (*named, "filter.x.clean", "filter.x.process"):
        git(tree, "config", key, str(program))
    hook = tree / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    shutil.copy(program, hook)
    before = (tree / ".git" / "index").stat().st_mtime_ns

    told = await changes(tree)

    assert "+as it is" in told.text
    assert not ran.exists()
    assert (tree / ".git" / "index").stat().st_mtime_ns == before


async def test_what_is_left_out_of_git_is_left_out(tree: Path) -> None:
    """By its own list, by one in the tree, and what is workgraph's."""
    (tree / ".git" / "info").mkdir(exist_ok=True)
    (tree / ".git" / "info" / "exclude").write_text("mine\n", encoding="utf-8")
    (tree / ".gitignore").write_text("built\n.gitignore\n", encoding="utf-8")
    for name in ("mine", "built", "new"):
        (tree / name).touch()
    (tree / ".wg").mkdir()
    (tree / ".wg" / "graph.db").touch()

    told = await changes(tree)

    assert told.text == "New files that git does not know:\nnew\n\n"


async def test_another_work_tree_of_the_repository(tree: Path) -> None:
    """It has an index of its own, and the objects of all."""
    git(tree, "worktree", "add", "-q", "-b", "other", "../other")
    other = tree.parent / "other"
    (other / "kept").write_text("as it is\n", encoding="utf-8")

    assert "+as it is" in (await changes(other)).text
    assert (await changes(tree)).text == ""


async def test_what_can_not_be_told_says_why(tree: Path, tmp_path: Path) -> None:
    """No such commit, no git, a git that does not answer."""
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "git").write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
    (slow / "git").chmod(0o755)
    late = await changes(tree, path=f"{slow}:{PATH}", limit_s=0.2)
    none = await changes(tree, path=str(tmp_path))
    (tmp_path / "revision").write_text("a" * 40 + "\n", encoding="utf-8")
    lost = await changes(tree)

    assert late.problem == "git took too long to tell what has changed"
    assert none.problem == "git can't be asked: No such file or directory"
    assert lost.problem is not None
    assert lost.problem.startswith("git ended with 128: fatal: bad object aaaa")


async def test_where_nothing_was_kept_nothing_is_told(tree: Path) -> None:
    """Most folders are no work trees."""
    (tree.parent / "revision").unlink()

    assert await changes(tree) == FileText()
