"""The doctor's look at one project: its folder, database, settings and leftovers."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from workgraph import wire
from workgraph.daemon.configuration import Configuration
from workgraph.daemon.doctor_agents import check_agents
from workgraph.daemon.doctor_artifacts import check_copies
from workgraph.daemon.finding import CheckData, bad, good
from workgraph.daemon.installed import find_wg, is_our_wg, why_not_runnable
from workgraph.daemon.lock import check_filesystem, socket_path
from workgraph.daemon.project import DATABASE, TEMPORARY_PREFIX
from workgraph.graph.errors import UserError
from workgraph.graph.model import parse_agent_id
from workgraph.graph.times import SECOND, to_rfc3339
from workgraph.store.database import SCHEMA_VERSION
from workgraph.store.health import Health, examine_database

#: A clock may be set back by so much without anybody noticing.
_CLOCK_SLACK: Final = 60 * SECOND
_NAMED_AT_MOST: Final = 10
_OPEN_TO_OTHERS: Final = 0o077


def check_project(wg_dir: Path, env: Mapping[str, str], now: int) -> list[CheckData]:
    """All findings about a project but its daemon. It blocks: call it in a thread."""
    if not wg_dir.is_dir():
        return [bad("project", f"{wg_dir} is not there", "wg init makes one")]
    try:
        health = _look_at_database(wg_dir)
        return [
            good("project", os.fspath(wg_dir.parent)),
            _check_permissions(wg_dir),
            _check_socket_folder(wg_dir, env),
            _said_by("file system", lambda: _name_file_system(wg_dir)),
            *_check_database(wg_dir, health, now),
            _said_by("settings", lambda: _name_settings(wg_dir, env)),
            _check_link(wg_dir, env),
            *_check_leftovers(wg_dir, health),
            *check_copies(wg_dir, health),
            *check_agents(wg_dir, env, health),
        ]
    except OSError as error:
        # A folder of somebody else's: nothing in it can be looked at.
        detail = f"{error.filename or wg_dir}: {error.strerror}"
        return [bad("project", detail, f"{wg_dir} has to be yours: chown, chmod 700")]


def _said_by(name: str, look: Callable[[], str]) -> CheckData:
    """What a function tells, or the error that it raises."""
    try:
        return good(name, look())
    except UserError as error:
        return bad(name, error.message, error.hint)


def _check_permissions(wg_dir: Path) -> CheckData:
    found = wg_dir.stat()
    mode = found.st_mode & 0o7777
    detail = f"{wg_dir} has mode {mode:04o}"
    if found.st_uid != os.geteuid():
        owner = f"it belongs to uid {found.st_uid}, you are {os.geteuid()}"
        remedy = f"work as its owner, or chown -R {os.geteuid()} {wg_dir}"
        return bad("permissions", f"{detail}; {owner}", remedy)
    if mode & _OPEN_TO_OTHERS or mode & 0o700 != 0o700:  # noqa: PLR2004 - a mode
        return bad("permissions", detail, f"chmod 700 {wg_dir}")
    if not os.access(wg_dir, os.W_OK):
        return bad("permissions", f"{wg_dir} can't be written", "make it writable")
    return good("permissions", detail)


def _check_socket_folder(wg_dir: Path, env: Mapping[str, str]) -> CheckData:
    try:
        folder = os.path.dirname(socket_path(os.path.realpath(wg_dir), env))
    except UserError as error:
        return bad("socket folder", error.message, error.hint)
    for made in (os.path.dirname(folder), folder):
        is_ours = made != os.path.dirname(os.path.realpath(wg_dir))
        if (
            is_ours
            and os.path.lexists(made)
            and not wire.is_private(made, os.geteuid())
        ):
            detail = f"{made} is not yours alone"
            return bad("socket folder", detail, f"chmod 700 {made}")
    return good("socket folder", folder)


def _name_file_system(wg_dir: Path) -> str:
    check_filesystem(os.fspath(wg_dir))
    return "fit for a write-ahead log"


def _name_settings(wg_dir: Path, env: Mapping[str, str]) -> str:
    configuration = Configuration.load(wg_dir, env)
    values = configuration.layered.items()
    said = sum(item.layer != "default" for item in values)
    return "; ".join((f"{said} set", *configuration.layered.warnings))


def _look_at_database(wg_dir: Path) -> Health | None:
    file = wg_dir / DATABASE
    return examine_database(file) if file.exists() else None


def _check_database(
    wg_dir: Path, health: Health | None, now: int
) -> Iterator[CheckData]:
    file = wg_dir / DATABASE
    backup = "stop the service and put a copy made by `wg backup` in its place"
    if health is None:
        yield bad("database", f"no {file}", f"{backup}, or wg init")
        return
    if health.problems:
        yield bad("database", f"{file}: {'; '.join(health.problems)}", backup)
        return
    detail = f"sound, schema version {health.version}"
    if health.version > SCHEMA_VERSION:
        remedy = "use the newer workgraph that wrote it"
        detail += f"; this workgraph knows {SCHEMA_VERSION} at most"
        yield bad("database", detail, remedy)
        return
    if health.version < SCHEMA_VERSION:
        detail += f"; the next command brings it to {SCHEMA_VERSION}"
    yield good("database", detail)
    if health.newest_change is not None and health.newest_change > now + _CLOCK_SLACK:
        newest = to_rfc3339(health.newest_change)
        detail = f"it is {to_rfc3339(now)}, and the newest change is from {newest}"
        yield bad("clock", detail, "set the clock: limits and backoffs depend on it")


def _check_link(wg_dir: Path, env: Mapping[str, str]) -> CheckData:
    link = wg_dir / "bin" / "wg"
    remedy = "wg init mends it, and so does every start of the daemon"
    problem = why_not_runnable(link)
    if problem is None and not is_our_wg(link):
        problem = f"{link} is not workgraph's"
    if problem is None and os.listdir(link.parent) != [link.name]:
        problem = f"there is more than wg in {link.parent}, first in each agent's PATH"
        remedy = "move the rest away"
    if problem is not None:
        return bad("link to wg", problem, remedy)
    installed = find_wg(env)
    if installed is not None and not link.samefile(installed):
        detail = f"{link} is {link.resolve()}, not {installed}"
        return good("link to wg", detail, remedy)
    return good("link to wg", os.fspath(link.resolve()))


def _check_leftovers(wg_dir: Path, health: Health | None) -> Iterator[CheckData]:
    drafts = sorted(wg_dir.parent.glob(f"{TEMPORARY_PREFIX}*"))
    if drafts:
        remedy = "remove them, unless a wg init is running"
        yield bad("leftovers", f"unfinished: {_names(drafts)}", remedy)
    agents = wg_dir / "agents"
    # Without a sound database nothing can be told from what it has no row of.
    if health is None or health.problems or not agents.is_dir():
        return
    orphans = [
        folder
        for folder in sorted(agents.iterdir())
        if parse_agent_id(folder.name) not in health.agents
    ]
    if orphans:
        detail = f"in {agents}, and unknown to the database: {_names(orphans)}"
        remedy = "look whether anything in them is wanted, then remove them"
        yield bad("leftovers", detail, remedy)
    elif not drafts:
        yield good("leftovers", "none")


def _names(paths: Sequence[Path]) -> str:
    shown = [path.name for path in paths[:_NAMED_AT_MOST]]
    more = len(paths) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
