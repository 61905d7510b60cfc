"""The doctor's look at what agents run in, what they have left, and their accounts."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from workgraph.agents import cgroups
from workgraph.agents.environment import FALLBACK_PATH
from workgraph.daemon import sandboxes
from workgraph.daemon.configuration import Configuration
from workgraph.daemon.finding import CheckData, bad, good
from workgraph.daemon.lock import ProjectLock
from workgraph.graph.errors import UserError
from workgraph.settings import Settings
from workgraph.store.health import Health


def check_agents(
    wg_dir: Path, env: Mapping[str, str], health: Health | None
) -> Iterator[CheckData]:
    """All of these. It blocks: call it in a thread."""
    try:
        settings = Configuration.load(wg_dir, env).layered.settings
    except UserError:
        settings = None  # said already, of the settings
    if settings is not None:
        yield _check_sandbox(settings, env)
        yield _check_cgroups(settings, wg_dir)
    yield from _check_processes(health)
    yield from _check_accounts(health)


def _check_sandbox(settings: Settings, env: Mapping[str, str]) -> CheckData:
    if settings.sandbox.kind == "none":
        return good("sandbox", "none: agents can do what you can")
    program = shutil.which(sandboxes.PROGRAM, path=env.get("PATH", FALLBACK_PATH))
    machine = sandboxes.look_at_machine(program)
    if machine.problem:
        return bad("sandbox", machine.problem, machine.remedy)
    return good("sandbox", f"{machine.program}, network {settings.sandbox.network}")


def _check_cgroups(settings: Settings, wg_dir: Path) -> CheckData:
    if settings.agents.cgroups == "off":
        return good("cgroups", "off by agents.cgroups")
    holder = ProjectLock(str(wg_dir)).holder()
    is_daemon = holder is not None and holder.role == "wgd" and holder.pid is not None
    place = cgroups.find_place(pid=str(holder.pid) if holder and is_daemon else "self")
    whose = "wgd" if is_daemon else "you"
    if place.path:
        return good("cgroups", f"each agent in one of its own, below {place.path}")
    remedy = "wg service install gives the daemon a unit that can make some"
    return good("cgroups", f"none for {whose}: {place.problem}", remedy)


def _check_processes(health: Health | None) -> Iterator[CheckData]:
    for agent, pids in sorted(health.leftover.items()) if health else ():
        named = " ".join(map(str, pids))
        yield bad(
            "leftover processes",
            f"agent-{agent} has ended, and these of it have not: {named}",
            f"wg kill agent-{agent} --force",
        )


def _check_accounts(health: Health | None) -> Iterator[CheckData]:
    for account, reason in health.broken_accounts.items() if health else ():
        yield bad(
            f"account {account}",
            f"its provider refuses the login: {reason}",
            "log in, or mend its key; then: wg service reload",
        )
