import hashlib
import os
import subprocess  # noqa: TID251 - a real git
import sys
import tomllib
from pathlib import Path

import anyio
import pytest

from workgraph.daemon.agents_md import BEGIN, BLOCK, END
from workgraph.daemon.installed import find_wg, is_our_wg
from workgraph.daemon.lock import ProjectLock
from workgraph.daemon.project import (
    COPY_PREFIX,
    ensure_folders,
    find_exclude_file,
    init_project,
    remove_copies,
)
from workgraph.graph.errors import TryLaterError, UserError
from workgraph.graph.identity import actor_id, role_id, tradeoff_id
from workgraph.graph.model import Actor
from workgraph.graph.replies import DoneData, Reply
from workgraph.store.database import Store
from workgraph.store.identities import insert_actor
from workgraph.store.service import actors

NOW = 1_700_000_000_000_000
ENV = {"PATH": "/usr/bin:/bin", "HOME": "/nowhere"}
GIT_ENV = {
    **ENV,
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_NAME": "t" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "t@example.com" for who in ("AUTHOR", "COMMITTER")},
}
#: Files can't grow beyond 30,000 bytes, as on a disk that is nearly full.
LIMITED = """
import asyncio, resource, signal, sys
from pathlib import Path
from workgraph.daemon.project import init_project
from workgraph.graph.errors import UserError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
try:
    asyncio.run(init_project(Path(sys.argv[1]), agents_md=True, env={}, now=0))
except UserError as error:
    print("refused:", error.code, error.message)
"""


async def init(folder: Path, *, agents_md: bool = False) -> Reply:
    """What `wg init` does."""
    return await init_project(folder, agents_md=agents_md, env=ENV, now=NOW)


def git(folder: Path, *words: str) -> str:
    """What a git command printed, without the user's own settings."""
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *words],
        cwd=folder,
        env=GIT_ENV,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def a_repository(folder: Path) -> Path:
    """A repository with one commit."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    return folder


async def actors_of(wg_dir: Path) -> list[Actor]:
    """All actors of a project."""
    store = await Store.open(wg_dir / "graph.db")
    try:
        return await store.read(actors, NOW)
    finally:
        await store.close()


async def test_a_project_has_all_that_belongs_in_it_and_nothing_else(
    tmp_path: Path,
) -> None:
    """`wg init` makes exactly the documented files, closed to others."""
    reply = await init(tmp_path)

    wg_dir = tmp_path / ".wg"
    assert reply.data == DoneData(message=f"made {wg_dir}")
    assert os.listdir(tmp_path) == [".wg"]
    assert {path.name for path in wg_dir.iterdir()} == {
        "agents",
        "bin",
        "config.toml",
        "graph.db",
        "log",
        "tmp",
    }
    assert wg_dir.stat().st_mode & 0o7777 == 0o700
    assert os.listdir(wg_dir / "bin") == ["wg"]
    assert (wg_dir / "bin/wg").readlink() == Path(sys.executable).parent / "wg"


async def test_every_line_of_the_settings_is_a_comment(tmp_path: Path) -> None:
    """The config.toml of a new project sets nothing."""
    await init(tmp_path)

    text = (tmp_path / ".wg/config.toml").read_text()
    assert tomllib.loads(text) == {}
    assert all(line.startswith("#") for line in text.splitlines() if line)


async def test_a_project_has_the_actor_default(tmp_path: Path) -> None:
    """The actor `default` can do anything and is trusted with nothing."""
    await init(tmp_path)

    digest = hashlib.sha256(b'{"name":"default","role":null,"tradeoff":null}')
    assert await actors_of(tmp_path / ".wg") == [
        Actor(id=digest.hexdigest(), name="default", skills=("*",), trust="unknown")
    ]


async def test_a_second_init_changes_nothing_but_missing_folders(
    tmp_path: Path,
) -> None:
    """A project that is there stays as it is; its folders are made again."""
    await init(tmp_path)
    config = tmp_path / ".wg/config.toml"
    config.write_text("[dispatcher]\nmax_agents = 2\n")
    (tmp_path / ".wg/log").rmdir()
    (tmp_path / ".wg/bin/wg").unlink()

    reply = await init(tmp_path)

    message = f"there is a project already in {tmp_path / '.wg'}"
    assert reply == Reply(data=DoneData(message=message))
    assert config.read_text() == "[dispatcher]\nmax_agents = 2\n"
    assert (tmp_path / ".wg/log").is_dir()
    assert (tmp_path / ".wg/bin/wg").is_symlink()


async def test_of_racing_inits_one_makes_the_project(tmp_path: Path) -> None:
    """Inits at the same time all succeed, and one of them made it."""
    replies: list[Reply] = []

    async def one() -> None:
        replies.append(await init(tmp_path))

    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(one)

    made = [reply for reply in replies if reply.data.message.startswith("made ")]
    assert (len(replies), len(made)) == (6, 1)
    assert os.listdir(tmp_path) == [".wg"]


async def test_the_folder_may_be_named_by_its_wg(tmp_path: Path) -> None:
    """`.wg` itself is as good a name as the folder that holds it."""
    await init(tmp_path / ".wg")

    assert os.listdir(tmp_path) == [".wg"]


async def test_settings_written_before_init_are_kept(tmp_path: Path) -> None:
    """A `.wg` made by hand with settings in it becomes a whole project."""
    (tmp_path / ".wg").mkdir(mode=0o755)
    (tmp_path / ".wg/config.toml").write_text("[retry]\nmax_attempts = 1\n")

    reply = await init(tmp_path)

    assert reply.data.message.startswith("made ")
    assert (tmp_path / ".wg/config.toml").read_text() == "[retry]\nmax_attempts = 1\n"
    assert [actor.name for actor in await actors_of(tmp_path / ".wg")] == ["default"]
    assert (tmp_path / ".wg").stat().st_mode & 0o7777 == 0o700


async def test_a_lost_database_is_not_made_anew(tmp_path: Path) -> None:
    """Where agents have worked, a missing graph.db is said and not papered over."""
    await init(tmp_path)
    (tmp_path / ".wg/graph.db").unlink()
    (tmp_path / ".wg/agents/agent-1").mkdir()

    with pytest.raises(UserError, match=r"graph\.db is gone") as caught:
        await init(tmp_path)

    assert "wg backup" in caught.value.hint
    assert not (tmp_path / ".wg/graph.db").exists()


async def test_a_folder_somebody_works_in_is_not_completed(tmp_path: Path) -> None:
    """Without a database, init still waits for whoever holds the lock."""
    (tmp_path / ".wg").mkdir()
    lock = ProjectLock(str(tmp_path / ".wg"))
    assert lock.try_acquire("wgd")

    with pytest.raises(TryLaterError):
        await init(tmp_path)

    lock.release()


async def test_a_file_called_wg_is_in_the_way(tmp_path: Path) -> None:
    """A `.wg` that is no folder is an error, and stays."""
    (tmp_path / ".wg").write_text("mine")

    with pytest.raises(UserError, match="in the way"):
        await init(tmp_path)

    assert (tmp_path / ".wg").read_text() == "mine"


async def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    """Init makes a project of a folder, not the folder."""
    with pytest.raises(UserError, match="is not a folder"):
        await init(tmp_path / "nowhere")


async def test_a_folder_that_can_t_be_written_is_said() -> None:
    """Where nothing can be made, the reason is in the message."""
    with pytest.raises(UserError, match="no project can be made in /proc: "):
        await init(Path("/proc"))


@pytest.mark.slow
def test_a_failed_init_leaves_nothing(tmp_path: Path) -> None:
    """When the database can't be written whole, nothing of `.wg` is left."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )

    assert done.stdout.startswith("refused: ")
    assert os.listdir(tmp_path) == []


async def test_a_plain_repository_leaves_wg_out(tmp_path: Path) -> None:
    """`.wg/` is excluded once, whatever the file held before, and git agrees."""
    repository = a_repository(tmp_path / "r")
    exclude = repository / ".git/info/exclude"
    exclude.write_bytes(b"*.tmp")

    await init(repository)

    assert exclude.read_bytes() == b"*.tmp\n.wg/\n"
    assert git(repository, "status", "--porcelain", "-uall") == ""


async def test_an_exclusion_that_is_there_is_not_repeated(tmp_path: Path) -> None:
    """A project made again in the same repository adds no second line."""
    repository = a_repository(tmp_path / "r")
    exclude = repository / ".git/info/exclude"
    exclude.write_bytes(b"# mine\n/.wg/\n")

    await init(repository)

    assert exclude.read_bytes() == b"# mine\n/.wg/\n"


async def test_a_folder_below_a_repository_is_excluded_too(tmp_path: Path) -> None:
    """The repository is looked for upwards."""
    repository = a_repository(tmp_path / "r")
    (repository / "a/b").mkdir(parents=True)

    await init(repository / "a/b")

    assert git(repository, "status", "--porcelain", "-uall") == ""


async def test_a_worktree_uses_the_exclude_file_of_its_repository(
    tmp_path: Path,
) -> None:
    """In a worktree `.git` is a file, and git reads the common exclude file."""
    repository = a_repository(tmp_path / "r")
    git(repository, "worktree", "add", "-q", str(tmp_path / "w"))

    await init(tmp_path / "w")

    assert git(tmp_path / "w", "status", "--porcelain", "-uall") == ""
    assert ".wg/" in (repository / ".git/info/exclude").read_text()


@pytest.mark.slow
async def test_a_submodule_uses_its_own_exclude_file(tmp_path: Path) -> None:
    """In a submodule `.git` is a file with a path relative to it."""
    outer = a_repository(tmp_path / "outer")
    inner = a_repository(tmp_path / "inner")
    git(outer, "submodule", "--quiet", "add", str(inner), "sub")

    await init(outer / "sub")

    assert git(outer / "sub", "status", "--porcelain", "-uall") == ""
    assert ".wg/" in (outer / ".git/modules/sub/info/exclude").read_text()
    assert ".wg/" not in (outer / ".git/info/exclude").read_text()


async def test_an_exclude_file_that_can_t_be_written_is_a_note(tmp_path: Path) -> None:
    """The project is made all the same, and the user told what to do."""
    repository = a_repository(tmp_path / "r")
    (repository / ".git/info/exclude").unlink()
    (repository / ".git/info/exclude").mkdir()

    reply = await init(repository)

    assert reply.data.message.startswith("made ")
    assert "can't be written" in reply.notes[0]


def test_a_git_folder_without_a_head_is_no_repository(tmp_path: Path) -> None:
    """What git itself would not take for a repository is left alone."""
    repository = a_repository(tmp_path / "r")
    (repository / "a/.git").mkdir(parents=True)
    (repository / "b").mkdir()
    (repository / "b/.git").write_text("nonsense")

    wanted = repository / ".git/info/exclude"
    assert find_exclude_file(repository / "a") == wanted
    assert find_exclude_file(repository / "b") == wanted


async def test_agents_md_is_made_when_asked_for(tmp_path: Path) -> None:
    """The block alone is the file; without the option there is none."""
    await init(tmp_path)
    assert not (tmp_path / "AGENTS.md").exists()

    reply = await init(tmp_path, agents_md=True)

    assert (tmp_path / "AGENTS.md").read_text() == BLOCK
    assert reply.notes == (f"{tmp_path / 'AGENTS.md'} was written",)


def test_the_block_names_no_path_of_this_machine() -> None:
    """It is committed, and read on other machines."""
    assert os.path.expanduser("~") not in BLOCK.replace("~", "")
    assert sys.prefix not in BLOCK


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"# Mine\n\xff\xfe\n", b"\nlast words, no newline"),
        (b"", b"\n"),
        (b"x\n", b"\n\n\n"),
    ],
)
async def test_the_rest_of_agents_md_stays_to_the_byte(
    tmp_path: Path, before: bytes, after: bytes
) -> None:
    """An old block is replaced in place, and a second time changes nothing."""
    file = tmp_path / "AGENTS.md"
    file.write_bytes(before + f"{BEGIN}\nold\n{END}".encode() + after)

    await init(tmp_path, agents_md=True)

    wanted = before + BLOCK.rstrip("\n").encode() + after
    assert file.read_bytes() == wanted
    reply = await init(tmp_path, agents_md=True)
    assert file.read_bytes() == wanted
    assert reply.notes == (f"{file} is up to date",)


async def test_the_block_comes_after_what_is_there(tmp_path: Path) -> None:
    """Text without a block keeps every byte; marks within a line are text."""
    text = f"# Mine\r\nsee `{BEGIN}`\r\n".encode()
    file = tmp_path / "AGENTS.md"
    file.write_bytes(text)
    file.chmod(0o640)

    await init(tmp_path, agents_md=True)

    wanted = text + b"\r\n" + BLOCK.replace("\n", "\r\n").encode()
    assert file.read_bytes() == wanted
    assert file.stat().st_mode & 0o777 == 0o640
    await init(tmp_path, agents_md=True)
    assert file.read_bytes() == wanted


async def test_a_symlinked_agents_md_stays_a_symlink(tmp_path: Path) -> None:
    """AGENTS.md is often a link to another client's file."""
    (tmp_path / "CLAUDE.md").write_text("# Mine\n")
    (tmp_path / "AGENTS.md").symlink_to("CLAUDE.md")

    await init(tmp_path, agents_md=True)

    assert (tmp_path / "AGENTS.md").is_symlink()
    assert (tmp_path / "CLAUDE.md").read_text() == f"# Mine\n\n{BLOCK}"


@pytest.mark.parametrize(
    "text", [f"{BEGIN}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n"]
)
async def test_broken_markers_stop_init_before_it_makes_anything(
    tmp_path: Path, text: str
) -> None:
    """What belongs to the block can't be guessed: nothing is changed."""
    (tmp_path / "AGENTS.md").write_text(text)

    with pytest.raises(UserError, match="not one pair"):
        await init(tmp_path, agents_md=True)

    assert os.listdir(tmp_path) == ["AGENTS.md"]
    assert (tmp_path / "AGENTS.md").read_text() == text


async def test_the_link_follows_a_moved_wg(tmp_path: Path) -> None:
    """The daemon's start points `bin/wg` to where `wg` is now."""
    await init(tmp_path)
    link = tmp_path / ".wg/bin/wg"
    link.unlink()
    link.symlink_to("/gone/wg")

    ensure_folders(tmp_path / ".wg", ENV)

    assert link.readlink() == Path(sys.executable).parent / "wg"
    assert os.listdir(tmp_path / ".wg/bin") == ["wg"]


def test_another_program_called_wg_is_not_ours(tmp_path: Path) -> None:
    """WireGuard's tool has the same name, and is never taken for it."""
    other = tmp_path / "wg"
    other.write_text("#!/bin/sh\necho interface\n")
    other.chmod(0o755)

    assert not is_our_wg(other)
    assert find_wg({"PATH": str(tmp_path)}) == Path(sys.executable).parent / "wg"


async def test_an_actor_is_added_once(tmp_path: Path) -> None:
    """The same actor again is the same one."""
    store = await Store.open(tmp_path / "graph.db")
    ann = Actor(id=actor_id(name="ann"), name="ann")

    first, _ = await store.transaction(lambda tx: insert_actor(tx, ann), NOW)
    again, _ = await store.transaction(lambda tx: insert_actor(tx, ann), NOW)

    await store.close()
    assert (first, again) == (True, False)


def test_ids_are_of_what_defines_an_identity() -> None:
    """Order and repetition of skills change nothing; every other field does."""
    role = role_id(description="d", skills=("b", "a", "a"), outcome="o")
    wanted = b'{"description":"d","outcome":"o","skills":["a","b"]}'
    assert role == hashlib.sha256(wanted).hexdigest()
    assert role == role_id(description="d", skills=("a", "b"), outcome="o")

    tradeoff = tradeoff_id(description="d", accept=("ü",), reject=())
    wanted = '{"accept":["ü"],"description":"d","reject":[]}'.encode()
    assert tradeoff == hashlib.sha256(wanted).hexdigest()

    ids = {
        actor_id(name="a"),
        actor_id(name="b"),
        actor_id(name="a", role=role),
        actor_id(name="a", tradeoff=role),
    }
    assert len(ids) == 4


def test_copies_of_a_backup_that_was_cut_short_are_removed(tmp_path: Path) -> None:
    """They are as large as the database; nothing else is touched."""
    copy = tmp_path / f"{COPY_PREFIX}x1"
    copy.mkdir()
    (copy / "graph.db").touch()
    (tmp_path / "graph.db").touch()

    remove_copies(tmp_path)

    assert [entry.name for entry in tmp_path.iterdir()] == ["graph.db"]
