"""The settings as one process has loaded them, and what plans are made from."""

import os
import pwd
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from workgraph.agents.builtin import BUILTINS
from workgraph.agents.executor import Executors, load_executors
from workgraph.agents.plan import Grounds, Host, prepare_grounds
from workgraph.daemon.programs import has_module
from workgraph.daemon.sandboxes import Sandboxes
from workgraph.graph.errors import NotFoundError, UsageError, UserError
from workgraph.graph.replies import Reply, SettingData
from workgraph.settings import (
    Layer,
    Layered,
    Value,
    load_settings,
    set_value,
    to_plain,
    toml_text,
)
from workgraph.settings.layers import build, current_name, parse_value
from workgraph.settings.schema import find_key, nearest_key

CONFIG_NAME: Final = "config.toml"
_LAYERS: Final[tuple[Layer, ...]] = ("default", "global", "local", "command line")


class Configuration:
    """The layered settings of one project, as they were when they were loaded.

    Its methods read and write files: from the loop, call them in a thread.
    """

    def __init__(
        self,
        wg_dir: Path,
        env: Mapping[str, str],
        overrides: Sequence[str],
        layered: Layered,
    ) -> None:
        self.layered = layered
        self._wg_dir = wg_dir
        self._env = env
        self._overrides = tuple(overrides)
        self._sandboxes = Sandboxes(env)

    @classmethod
    def load(
        cls, wg_dir: Path, env: Mapping[str, str], overrides: Sequence[str] = ()
    ) -> "Configuration":
        """Reads the project's and the user's file.

        Args:
            wg_dir: The `.wg` folder; files are named in messages as it is given.
            env: Where the user's file is looked for, and what agents may get.
            overrides: `KEY=VALUE` as `--set` takes them.

        Raises:
            UserError: A file can't be read, or says something that is not a setting.
            UsageError: An override names no setting, or not a value for it.
        """
        layered = load_settings(
            wg_dir / CONFIG_NAME, user_config_file(env), tuple(overrides)
        )
        return cls(wg_dir, env, overrides, layered)

    @classmethod
    def defaults(cls, wg_dir: Path, env: Mapping[str, str]) -> "Configuration":
        """What holds where nobody has set anything, whatever the files say."""
        return cls(wg_dir, env, (), load_settings(None, None))

    def reload(self) -> "Configuration":
        """The settings as the files have them now; this object stays as it is.

        Raises:
            UserError: They are broken.
        """
        return self.load(self._wg_dir, self._env, self._overrides)

    @property
    def executors(self) -> Executors:
        """Every executor there is, and what is wrong with others."""
        return load_executors(self.layered.settings, BUILTINS)

    def grounds(self, socket: str) -> Grounds:
        """What plans of all tasks share until the next load.

        Args:
            socket: Where the daemon listens, for the agents' `WG_SOCKET`.
        """
        wg_dir = os.path.abspath(self._wg_dir)
        host = Host(
            env=self._env,
            project_dir=os.path.dirname(wg_dir),
            wg_dir=wg_dir,
            socket=socket,
            bin_dir=os.path.join(wg_dir, "bin"),
            home=home_dir(self._env),
            has_executable=_find_program,
            exists=os.path.exists,
            is_dir=os.path.isdir,
            has_module=has_module,
            real_path=os.path.realpath,
            sandbox_machine=self._sandboxes,
            python=sys.executable,
            is_root=os.geteuid() == 0,
        )
        return prepare_grounds(self.layered, self.executors, host)

    def get(self, key: str) -> Reply:
        """One setting with its origin.

        Raises:
            NotFoundError: There is no such key.
        """
        name = current_name(key.strip())
        if find_key(name) is None:
            raise NotFoundError(f"there is no setting {key}", hint=nearest_key(name))
        value = self.layered.effective(name)
        return Reply(data=_setting(name, value), notes=self.layered.warnings)

    def list_(self) -> Reply:
        """Every setting with its origin."""
        data = tuple(
            SettingData(
                key=item.key, value=item.value, origin=item.layer, file=item.file
            )
            for item in self.layered.items()
        )
        return Reply(data=data, notes=self.layered.warnings)

    def set_(self, key: str, value: str, globally: bool = False) -> Reply:  # noqa: FBT001, FBT002 - the request's field, passed on by position
        """Writes one setting into the project's file, or the user's.

        What is loaded stays as it is: `reload` gives what holds afterwards.

        Raises:
            UsageError: There is no such key, or it can't have that value.
            UserError: The file can't be written, or the settings would contradict
                each other.
        """
        user_file = user_config_file(self._env)
        file: Path | None = self._wg_dir / CONFIG_NAME
        layer: Layer = "local"
        if globally:
            file, layer = user_file, "global"
        if file is None:
            message = "there is no place for the user's settings"
            raise UserError(message, hint="set HOME or XDG_CONFIG_HOME")
        name = current_name(key.strip())
        found = find_key(name)
        if found is None:
            message = f"there is no setting {key}"
            raise UsageError(message, hint=nearest_key(name))
        try:
            parsed = parse_value(value, found)
        except UsageError as error:
            # Said of the key, as every other message about a setting is.
            message = f"{name}: {error.message}"
            raise UsageError(message, hint=error.hint) from error
        written = Value(layer=layer, file=str(file), value=parsed)
        stack = self._stack_with(name, written)
        build({**self.layered.values, name: stack})
        set_value(file, name, value, beneath=None if globally else user_file)
        notes: tuple[str, ...] = ()
        if stack[-1] != written:
            holds = toml_text(stack[-1].value)
            notes = (f"{name} stays {holds}: {stack[-1].place} goes first",)
        return Reply(data=_setting(name, written), notes=notes)

    def _stack_with(self, name: str, written: Value) -> tuple[Value, ...]:
        """What the layers would say about a key once one of them is written."""
        others = [
            value
            for value in self.layered.values.get(name, ())
            if value.layer != written.layer
        ]
        stack = [*others, written]
        return tuple(sorted(stack, key=lambda value: _LAYERS.index(value.layer)))


def user_config_file(env: Mapping[str, str]) -> Path | None:
    """The user's settings: `$XDG_CONFIG_HOME/workgraph/config.toml`, or ~/.config."""
    folder = xdg_dir(env, "XDG_CONFIG_HOME", ".config")
    return None if folder is None else folder / "workgraph" / CONFIG_NAME


def xdg_dir(env: Mapping[str, str], variable: str, default: str) -> Path | None:
    """One of the user's folders; null where there is no home.

    Args:
        variable: A relative path in it is ignored, as XDG's specification says.
        default: The folder below the home.
    """
    given = env.get(variable, "")
    if os.path.isabs(given):
        return Path(given)
    home = home_dir(env)
    return Path(home, default) if home else None


def home_dir(env: Mapping[str, str]) -> str:
    """The user's home; empty where there is none."""
    if home := env.get("HOME"):
        return home
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return ""


def _setting(name: str, value: Value) -> SettingData:
    return SettingData(
        key=name, value=to_plain(value.value), origin=value.layer, file=value.file
    )


def _find_program(name: str, path: str) -> str | None:
    return shutil.which(name, path=path)
