"""The files of a project's units: where they are, writing and removing them."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from workgraph.daemon import lock
from workgraph.daemon.configuration import xdg_dir
from workgraph.daemon.units import MARK, Units, check_path
from workgraph.graph.errors import UserError, system_refusal

_OPTIONS_FILE: Final = "start-options.conf"
_TARGETS: Final = ("default.target.wants", "sockets.target.wants")


def units_of(wg_dir: Path, env: Mapping[str, str]) -> Units:
    """The project's units as they would be written now.

    Raises:
        UserError: No unit file can hold one of the paths.
    """
    project_dir = os.path.dirname(os.fspath(wg_dir))
    socket = lock.socket_path(os.fspath(wg_dir), env)
    for path in (project_dir, socket, sys.executable):
        check_path(path)
    # The manager's own PATH knows nothing of what a shell's start-up files add.
    wanted = {name: env[name] for name in ("PATH", "XDG_CONFIG_HOME") if env.get(name)}
    return Units(
        project_dir=project_dir,
        wg_dir=os.fspath(wg_dir),
        socket_path=socket,
        python=sys.executable,
        environment=wanted,
    )


def unit_folder(env: Mapping[str, str]) -> Path:
    """Where the user's manager looks for units.

    Raises:
        UserError: There is no home.
    """
    config = xdg_dir(env, "XDG_CONFIG_HOME", ".config")
    if config is None:
        message = "there is no place for the user's units"
        raise UserError(message, hint="set HOME or XDG_CONFIG_HOME")
    return config / "systemd" / "user"


def is_installed(wg_dir: Path, env: Mapping[str, str]) -> bool:
    """Whether the project has its units, running or not."""
    try:
        units = units_of(wg_dir, env)
        folder = unit_folder(env)
    except UserError:
        return False  # what can't be written isn't there
    return bool(units_there(folder, units))


def units_there(folder: Path, units: Units) -> tuple[str, ...]:
    """Those of the units whose files are there."""
    return tuple(name for name in units.texts if (folder / name).exists())


def write_units(folder: Path, units: Units) -> bool:
    """Writes the files that differ; whether any did.

    Raises:
        UserError: One of them is not ours, or can't be written.
    """
    changed = False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in units.texts.items():
            file = folder / name
            there = file.read_text("utf-8", "replace") if file.exists() else None
            if there is not None and not there.startswith(MARK):
                raise UserError(
                    f"{file} is there and was not written by `wg service install`",
                    hint="move it away",
                )
            if there != text:
                changed = True
                beside = file.with_name(f".{os.getpid()}.tmp")
                beside.write_text(text, "utf-8")
                beside.replace(file)
    except OSError as error:
        what = f"{folder} can't be written"
        raise system_refusal(error, what) or error from error
    return changed


def remove_units(folder: Path, units: Units) -> None:
    """Removes the files, and what enabling made, as far as they are there."""
    for name in units.texts:
        for target in _TARGETS:  # systemctl's work, where it is not to be had
            (folder / target / name).unlink(missing_ok=True)
        (folder / name).unlink(missing_ok=True)


def write_options(
    runtime_dir: str | None, units: Units, options: Sequence[str]
) -> bool:
    """Has the next start use these options, until the next boot; whether it could."""
    file = _options_file(runtime_dir, units)
    if file is None:
        return False
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.write_text(units.options_text(options), "utf-8")
    return True


def forget_options(runtime_dir: str | None, units: Units) -> bool:
    """Removes the drop-in of a start with options; whether there was one."""
    file = _options_file(runtime_dir, units)
    if file is None or not file.exists():
        return False
    file.unlink()
    if not os.listdir(file.parent):
        file.parent.rmdir()
    return True


def _options_file(runtime_dir: str | None, units: Units) -> Path | None:
    if runtime_dir is None:
        return None
    return Path(runtime_dir, "systemd", "user", f"{units.service}.d", _OPTIONS_FILE)
