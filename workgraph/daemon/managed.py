"""`wg service …` where the daemon is a systemd user service.

Once `install` has written a project's units, its daemon is systemd's: `start`, `stop`
and `restart` go through systemctl. Where there are no units, or no user manager runs,
the daemon is started by hand as ever. `stop` disables what it stops: the units stay,
and nothing but `start` or `install` brings the daemon back, not even the next login.
"""

import os
import pwd
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import anyio.to_thread
from msgspec.structs import replace

from workgraph.commands import local
from workgraph.daemon import callers, control, lock
from workgraph.daemon.systemctl import Systemctl
from workgraph.daemon.unit_files import (
    forget_options,
    is_installed,
    remove_units,
    unit_folder,
    units_of,
    units_there,
    write_options,
    write_units,
)
from workgraph.daemon.units import Units, is_kept_over_reloads
from workgraph.graph.errors import UserError
from workgraph.graph.model import Record
from workgraph.graph.replies import DoneData, Reply, UnitsData

_LINGER: Final = Path("/var/lib/systemd/linger")
_LINGER_NOTE: Final = (
    "systemd ends daemon and agents with your last session, unless you have said"
    " `loginctl enable-linger`"
)
_BY_HAND: Final = (
    "the daemon (pid {pid}) was not started by systemd and goes on:"
    " `wg service restart` hands the project over"
)
_FORGOTTEN: Final = (
    "systemd forgets a socket with such a path at its next daemon-reload: then"
    " connecting does not start the daemon, `wg service start` and the next login do"
)
_NO_MANAGER: Final = (
    "no systemd user manager runs here: the units start with the next one"
    " (at the next login); until then `wg service start` runs the daemon without it"
)


class Managed(Record, frozen=True, kw_only=True):
    """A project whose units are installed, and the manager that runs."""

    systemctl: Systemctl
    units: Units


async def install(wg_dir: Path, env: Mapping[str, str]) -> Reply:
    """Writes and enables the units; connecting starts the daemon from now on.

    A daemon that runs already is left alone.

    Raises:
        UserError: There is no systemd, or a file that is not ours is in the way.
    """
    await callers.refuse_agent(wg_dir, env, "to install the service")
    systemctl = Systemctl.find(env)
    if systemctl is None:
        raise UserError(
            "there is no systemd here: systemctl is not in PATH",
            hint="`wg service start` runs the daemon without it",
        )
    units = units_of(wg_dir, env)
    folder = unit_folder(env)
    changed = await anyio.to_thread.run_sync(write_units, folder, units)
    notes = []
    listening = False
    both = (units.service, units.socket)
    if await systemctl.is_running():
        await systemctl.tell("daemon-reload")
        await systemctl.tell("enable", *both)
        managed = Managed(systemctl=systemctl, units=units)
        by_hand = await _daemon_by_hand(managed)
        if by_hand is not None:
            notes.append(_BY_HAND.format(pid=by_hand.pid))
        else:
            listening, word = await _listen(managed, changed=changed)
            notes += word
    else:
        await systemctl.enable_offline(*both)
        notes.append(_NO_MANAGER)
    if not is_kept_over_reloads(units.socket_path):
        notes.append(_FORGOTTEN)
    notes += _linger_note()
    data = UnitsData(
        message=f"{'installed' if changed else 'it is installed already:'}"
        f" {units.service} and {units.socket}",
        service=units.service,
        socket=units.socket,
        files=tuple(str(folder / name) for name in units.texts),
        enabled=True,
        listening=listening,
    )
    return Reply(data=data, notes=tuple(notes))


async def uninstall(wg_dir: Path, env: Mapping[str, str]) -> Reply:
    """Stops, disables and removes the units; agents go on and the graph stays.

    Raises:
        UserError: systemctl could not.
    """
    await callers.refuse_agent(wg_dir, env, "to uninstall the service")
    units = units_of(wg_dir, env)
    folder = unit_folder(env)
    there = await anyio.to_thread.run_sync(units_there, folder, units)
    message = "it is not installed"
    notes: tuple[str, ...] = ()
    if there:
        systemctl = Systemctl.find(env)
        runs = systemctl is not None and await systemctl.is_running()
        if systemctl is not None and runs:
            managed = Managed(systemctl=systemctl, units=units)
            by_hand = await _daemon_by_hand(managed)
            if by_hand is not None:
                notes = (
                    f"the daemon (pid {by_hand.pid}) is not systemd's: it goes on",
                )
            await systemctl.tell("disable", *there)
            await systemctl.tell("stop", *there)
            forget_options(systemctl.runtime_dir, units)
        elif systemctl is not None:
            await systemctl.disable_offline(*there)
        await anyio.to_thread.run_sync(remove_units, folder, units)
        if systemctl is not None and runs:
            await systemctl.tell("daemon-reload")
            await systemctl.try_to("reset-failed", *there)
        _unlink_socket(units)
        message = f"uninstalled {units.service} and {units.socket}"
    data = UnitsData(message=message, service=units.service, socket=units.socket)
    return Reply(data=data, notes=notes)


async def start(
    wg_dir: Path, request: local.StartOptions, env: Mapping[str, str]
) -> Reply:
    """Starts the daemon, by systemd where its units are; returns when it answers.

    Raises:
        UserError: It did not start; the message is the daemon's.
    """
    managed = await _find(wg_dir, env)
    if managed is None:
        reply = await control.start(wg_dir, request, env)
        if is_installed(wg_dir, env):
            return replace(reply, notes=(*reply.notes, _NO_MANAGER))
        return reply
    by_hand = await _daemon_by_hand(managed)
    if by_hand is not None:
        reply = await control.start(wg_dir, request, env)
        note = _BY_HAND.format(pid=by_hand.pid)
        return replace(reply, notes=(*reply.notes, note))
    await callers.refuse_agent(wg_dir, env, "to start the service")
    systemctl, units = managed.systemctl, managed.units
    runs = await systemctl.property_of(units.service, "ActiveState") == "active"
    if not runs:
        await _set_options(managed, control.daemon_options(request))
        # After five failed starts systemd wants to hear that another is meant.
        await systemctl.try_to("reset-failed", units.service, units.socket)
    await systemctl.tell("enable", units.service, units.socket)
    if runs:
        return Reply(data=DoneData(message=f"it runs already{_pid_of(wg_dir)}"))
    try:
        await systemctl.tell("start", units.socket, units.service)
    except UserError as error:
        said = await systemctl.property_of(units.service, "StatusText")
        raise UserError(
            f"the daemon did not start: {said or error.message}",
            hint=f"journalctl --user -n 20 -u {shlex.quote(units.service)}",
        ) from error
    return Reply(data=DoneData(message=f"started{_pid_of(wg_dir)}"))


async def stop(
    wg_dir: Path, request: local.StopService, env: Mapping[str, str]
) -> Reply:
    """Stops the daemon and its socket, and keeps them from coming back.

    Raises:
        UserError: It does not end.
    """
    managed = await _find(wg_dir, env)
    if managed is None:
        return await control.stop(wg_dir, request, env)
    await callers.refuse_agent(wg_dir, env, "to stop the service")
    systemctl, units = managed.systemctl, managed.units
    holder = control.daemon_of(wg_dir)
    forget_options(systemctl.runtime_dir, units)
    await systemctl.tell("disable", units.service, units.socket)
    await _end(managed, request, env)
    told = "it does not run" if holder is None else f"stopped (pid {holder.pid})"
    return Reply(data=DoneData(message=told))


async def restart(
    wg_dir: Path, request: local.RestartService, env: Mapping[str, str]
) -> Reply:
    """Ends the daemon, whoever started it, and starts it again.

    Raises:
        UserError: It does not end, or does not start.
    """
    managed = await _find(wg_dir, env)
    if managed is None:
        return await control.restart(wg_dir, request, env)
    await callers.refuse_agent(wg_dir, env, "to restart the service")
    how = local.StopService(kill_agents=request.kill_agents)
    await _end(managed, how, env)
    return await start(wg_dir, request, env)


async def _end(
    managed: Managed, request: local.StopService, env: Mapping[str, str]
) -> None:
    """Ends the daemon, whoever started it, and the socket's unit."""
    systemctl, units = managed.systemctl, managed.units
    wg_dir = Path(units.wg_dir)
    # The socket first: nobody who connects meanwhile starts it again. The daemon has
    # the socket itself, too, and can still be spoken to there.
    await systemctl.tell("stop", units.socket)
    if request.kill_agents:
        await control.stop(wg_dir, request, env)
    await systemctl.tell("stop", units.service)
    if control.daemon_of(wg_dir) is not None:
        await control.stop(wg_dir, request, env)
    _unlink_socket(units)


async def _listen(managed: Managed, *, changed: bool) -> tuple[bool, list[str]]:
    """Starts the socket's unit; whether it listens, and what is to be said."""
    systemctl, units = managed.systemctl, managed.units
    runs = await systemctl.property_of(units.service, "ActiveState") == "active"
    if runs:
        listening = await systemctl.property_of(units.socket, "ActiveState") == "active"
        if changed or not listening:
            words = "the daemon runs as it was started: `wg service restart` takes"
            return listening, [f"{words} the new units"]
        return listening, []
    await systemctl.try_to("reset-failed", units.service, units.socket)
    await systemctl.tell("start", units.socket)
    return True, []


async def _find(wg_dir: Path, env: Mapping[str, str]) -> Managed | None:
    """The project's units, if they are installed and a manager runs."""
    if not is_installed(wg_dir, env):
        return None
    systemctl = Systemctl.find(env)
    if systemctl is None or not await systemctl.is_running():
        return None
    return Managed(systemctl=systemctl, units=units_of(wg_dir, env))


async def _daemon_by_hand(managed: Managed) -> lock.Holder | None:
    """The daemon that holds the project without being systemd's."""
    units = managed.units
    holder = control.daemon_of(Path(units.wg_dir))
    main = await managed.systemctl.property_of(units.service, "MainPID")
    if holder is None or (holder.pid is None and main != "0"):
        return None
    return None if str(holder.pid) == main else holder


async def _set_options(managed: Managed, options: list[str]) -> None:
    """Has the next start use these options, or none.

    Raises:
        UserError: There is no place to keep them.
    """
    systemctl, units = managed.systemctl, managed.units
    if not options:
        changed = forget_options(systemctl.runtime_dir, units)
    elif not (changed := write_options(systemctl.runtime_dir, units, options)):
        raise UserError(
            "there is no place for the options of one start",
            hint="set XDG_RUNTIME_DIR, or `wg config set` the settings",
        )
    if changed:
        await systemctl.tell("daemon-reload")


def _unlink_socket(units: Units) -> None:
    """Removes the socket that systemd has left, if nobody holds the project."""
    guard = lock.ProjectLock(units.wg_dir)
    if guard.try_acquire("wg"):
        lock.unlink_socket(units.socket_path)
        guard.release()


def _pid_of(wg_dir: Path) -> str:
    holder = control.daemon_of(wg_dir)
    return f" (pid {holder.pid})" if holder is not None else ""


def _linger_note() -> list[str]:
    """What keeps the manager running without a session, where it is not set."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    if not _LINGER.parent.is_dir() or (_LINGER / user).exists():
        return []
    return [_LINGER_NOTE]
