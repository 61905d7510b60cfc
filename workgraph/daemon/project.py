"""Making a project: `.wg/` with all that belongs in it, whole or not at all.

The folder is put together beside its place and moved there in one step, so a reader, a
second `wg init` or a crash never meets half of one.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from workgraph.daemon import agents_md as guide
from workgraph.daemon.configuration import CONFIG_NAME
from workgraph.daemon.installed import find_wg
from workgraph.daemon.lock import ProjectLock, check_filesystem
from workgraph.daemon.writing import replace_file, sync_folder
from workgraph.graph.errors import TryLaterError, UserError
from workgraph.graph.identity import actor_id
from workgraph.graph.model import Actor
from workgraph.graph.replies import DoneData, Reply
from workgraph.settings import default_config_text
from workgraph.store.database import Store, Tx
from workgraph.store.identities import insert_actor

WG_DIR: Final = ".wg"
DATABASE: Final = "graph.db"
#: What a database that vanished under a daemon is saved as, before the moment.
RESCUED: Final = "graph.db.rescued-"
#: What a folder is called while it is made; one that is left over is nobody's.
TEMPORARY_PREFIX: Final = ".wg.init-"
#: Folders in `.wg` that hold a backup until its reader has it.
COPY_PREFIX: Final = "wg-backup-"
FOLDERS: Final = ("agents", "bin", "log", "tmp")
DEFAULT_ACTOR: Final = Actor(id=actor_id(name="default"), name="default", skills=("*",))

_EXCLUDE_LINE: Final = ".wg/"
_EXCLUDED_BY: Final = frozenset({".wg/", ".wg", "/.wg/", "/.wg"})


async def init_project(
    folder: Path, *, agents_md: bool, env: Mapping[str, str], now: int
) -> Reply:
    """Makes a project of a folder; says so where it is one.

    Args:
        folder: The folder that is to hold `.wg`, or `.wg` itself.
        agents_md: Also write the block in AGENTS.md, or bring it up to date.
        env: For finding the installed `wg`.

    Raises:
        UserError: It can't be made; the message has the reason, and nothing is left.
    """
    folder = folder.parent if folder.name == WG_DIR else folder
    update = await _in_thread(guide.prepare_update, folder) if agents_md else None
    made = await _make(folder, env, now)
    notes: list[str] = []
    if made:
        message = f"made {folder / WG_DIR}"
        notes += await _in_thread(_exclude, folder)
        if await _in_thread(find_wg, env) is None:
            notes.append("no installed wg was found: agents will have none in .wg/bin")
    else:
        message = f"there is a project already in {folder / WG_DIR}"
    if update is not None:
        await _in_thread(guide.carry_out, update)
        word = "is up to date" if update.content is None else "was written"
        notes.append(f"{update.file} {word}")
    return Reply(data=DoneData(message=message), notes=tuple(notes))


def check_database(wg_dir: Path) -> None:
    """Refuses a project whose database is gone: an empty one in its place is a lie.

    Raises:
        UserError: There is none; the hint names what a daemon has saved of it.
    """
    database = wg_dir / DATABASE
    if database.exists():
        return
    hint = "restore a backup there, or remove the folder and say wg init"
    if saved := sorted(wg_dir.glob(f"{RESCUED}*")):
        hint = f"the last daemon has saved it: mv {saved[-1]} {database}"
    raise UserError(f"{wg_dir} has no {DATABASE}", hint=hint)


def ensure_folders(wg_dir: Path, env: Mapping[str, str]) -> None:
    """Makes what folders are missing in `.wg`, and lets its `wg` be the installed one.

    Raises:
        UserError: They can't be made.
    """
    try:
        _fill(wg_dir, env)
    except OSError as error:
        raise _explain(error, wg_dir) from error


def remove_copies(wg_dir: Path) -> None:
    """Removes copies of the database that a killed daemon was making for backups.

    The caller holds the lock.
    """
    for copy in wg_dir.glob(f"{COPY_PREFIX}*"):
        shutil.rmtree(copy, ignore_errors=True)


async def _make(folder: Path, env: Mapping[str, str], now: int) -> bool:
    """Whether there was no project in a folder, and now is one."""
    wg_dir = folder / WG_DIR
    if await _in_thread(_is_there, wg_dir):
        await _in_thread(check_filesystem, os.fspath(wg_dir))
        made = await _in_thread(_lacks_database, wg_dir)
        if made:
            await _complete(wg_dir, now)
        await _in_thread(ensure_folders, wg_dir, env)
        return made
    await _in_thread(check_filesystem, os.fspath(folder))
    draft = await _in_thread(_begin, folder, env)
    try:
        await _make_database(draft, now)
        return await _in_thread(_move, draft, wg_dir)
    finally:
        with anyio.CancelScope(shield=True):
            await _in_thread(lambda: shutil.rmtree(draft, ignore_errors=True))


def _is_there(wg_dir: Path) -> bool:
    if not wg_dir.parent.is_dir():
        message = f"{wg_dir.parent} is not a folder"
        raise UserError(message, hint="make it first")
    if wg_dir.is_dir():
        return True
    if os.path.lexists(wg_dir):
        message = f"{wg_dir} is in the way: it is not a folder"
        raise UserError(message, hint="move it away")
    return False


def _lacks_database(wg_dir: Path) -> bool:
    """Whether a folder was made by hand, with nothing of a graph in it.

    Raises:
        UserError: There was a graph, and it is gone.
    """
    if (wg_dir / DATABASE).exists():
        return False
    agents = wg_dir / "agents"
    if (wg_dir / f"{DATABASE}-wal").exists() or (
        agents.is_dir() and any(agents.iterdir())
    ):
        message = f"{wg_dir} has been a project, and its {DATABASE} is gone"
        hint = "put a copy made by `wg backup` back, or move .wg away"
        raise UserError(message, hint=hint)
    return True


async def _complete(wg_dir: Path, now: int) -> None:
    """Makes the database, and missing settings, in a folder made by hand."""
    lock = ProjectLock(os.fspath(wg_dir))
    if not await _in_thread(lock.try_acquire, "wg"):
        message = f"another wg is working in {wg_dir}"
        raise TryLaterError(message, hint="try again")
    try:
        await _in_thread(_write_config, wg_dir)
        await _make_database(wg_dir, now)
        await _in_thread(os.chmod, wg_dir, 0o700)
    except OSError as error:
        raise _explain(error, wg_dir) from error
    finally:
        lock.release()


def _begin(folder: Path, env: Mapping[str, str]) -> Path:
    """A new folder beside the place of `.wg`, with all but the database in it."""
    try:
        draft = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=folder))
    except OSError as error:
        raise _explain(error, folder) from error
    try:
        _write_config(draft)
        _fill(draft, env)
    except BaseException as error:
        shutil.rmtree(draft, ignore_errors=True)
        if isinstance(error, OSError):
            raise _explain(error, folder) from error
        raise
    return draft


def _fill(wg_dir: Path, env: Mapping[str, str]) -> None:
    for name in FOLDERS:
        (wg_dir / name).mkdir(mode=0o700, exist_ok=True)
    _link(wg_dir, env)


def _write_config(wg_dir: Path) -> None:
    file = wg_dir / CONFIG_NAME
    if not file.exists():
        # Durable before the project is: a torn one would keep all commands from it.
        replace_file(file, default_config_text().encode(), mode=0o600)


async def _make_database(wg_dir: Path, now: int) -> None:
    def add_default_actor(tx: Tx) -> None:
        insert_actor(tx, DEFAULT_ACTOR)

    store = await Store.open(wg_dir / DATABASE)
    try:
        await store.transaction(add_default_actor, now)
    finally:
        await store.close()


def _move(draft: Path, wg_dir: Path) -> bool:
    """Puts a finished folder in its place; whether nobody else was first."""
    try:
        draft.rename(wg_dir)
        sync_folder(wg_dir.parent)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            return False
        raise _explain(error, wg_dir.parent) from error
    return True


def _link(wg_dir: Path, env: Mapping[str, str]) -> None:
    """Points `bin/wg` to the installed one; left as it is when none is found."""
    target = find_wg(env)
    link = wg_dir / "bin" / "wg"
    if target is None or (link.is_symlink() and link.readlink() == target):
        return
    # Not in bin/ itself, which comes first in every agent's PATH.
    temporary = wg_dir / f".wg-link.{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)


def _exclude(folder: Path) -> list[str]:
    """Adds `.wg/` to what git leaves out; notes where that could not be done."""
    exclude = find_exclude_file(folder)
    if exclude is None:
        return []
    try:
        exclude.parent.mkdir(exist_ok=True)
        with exclude.open("a+b") as file:
            file.seek(0)
            text = file.read()
            lines = {os.fsdecode(line).rstrip() for line in text.split(b"\n")}
            if lines.isdisjoint(_EXCLUDED_BY):
                gap = "" if not text or text.endswith(b"\n") else "\n"
                file.write(f"{gap}{_EXCLUDE_LINE}\n".encode())
    except OSError as error:
        said = f"{exclude} can't be written ({error.strerror})"
        return [f"{said}: add {_EXCLUDE_LINE} to what git ignores yourself"]
    return []


def find_exclude_file(folder: Path) -> Path | None:
    """The `info/exclude` of the git repository that a folder is in; null without one.

    Worktrees share the one of their repository; a submodule has its own.
    """
    for place in (folder.absolute(), *folder.absolute().parents):
        git_dir = _git_dir(place / ".git")
        if git_dir is not None:
            return git_dir / "info" / "exclude"
    return None


def _git_dir(dot_git: Path) -> Path | None:
    """The folder that `.git` is or names, the common one of several worktrees."""
    git_dir = dot_git
    if dot_git.is_file():
        word, _, path = _read_line(dot_git).partition(": ")
        if word != "gitdir" or not path:
            return None
        git_dir = dot_git.parent / path
    if not (git_dir / "HEAD").is_file():
        return None
    common = _read_line(git_dir / "commondir")
    return git_dir / common if common else git_dir


def _read_line(file: Path) -> str:
    try:
        return os.fsdecode(file.read_bytes()).rstrip("\n")
    except OSError:
        return ""


def _explain(error: OSError, folder: Path) -> UserError:
    reason = error.strerror or str(error)
    hint = "the folder must be writable for you"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        hint = "free some room and say it again; nothing was changed"
    elif error.errno == errno.EROFS:
        hint = "its file system is mounted read-only"
    return UserError(f"no project can be made in {folder}: {reason}", hint=hint)


_in_thread = anyio.to_thread.run_sync
