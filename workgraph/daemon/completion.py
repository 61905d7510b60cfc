"""Putting the script for completion where a shell finds it by itself."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from workgraph.commands.local import InstallCompletion
from workgraph.daemon.configuration import home_dir, xdg_dir
from workgraph.daemon.writing import replace_file
from workgraph.graph.errors import UsageError, UserError
from workgraph.graph.replies import DoneData, Reply

#: What is in every script of ours, and in no completion of WireGuard's `wg`.
_MARK: Final = b"_WG_COMPLETE"
_BASH_COMPLETION: Final = (
    "/usr/share/bash-completion/bash_completion",
    "/usr/local/share/bash-completion/bash_completion",
    "/opt/homebrew/etc/profile.d/bash_completion.sh",
    "/etc/bash_completion",
)
_FUNCTION: Final = re.compile(r"^(_\w+)\(\)", re.MULTILINE)


def install_completion(command: InstallCompletion, env: Mapping[str, str]) -> Reply:
    """Writes a shell's script, whole; no file of the user's is edited.

    Raises:
        UserError: It can't be written, or something else is in its place.
    """
    file = _place(command.shell, env)
    script = _made_ready(command)
    try:
        old = file.read_bytes()
    except FileNotFoundError:
        old = None
    except OSError as error:
        raise _unusable(file, error, "read") from error
    said = f"completion for {command.shell}: {file}"
    if old == script:
        said += " (was there already)"
    elif old and _MARK not in old:
        message = f"{file} is not workgraph's: it stays as it is"
        raise UserError(message, hint="move it away and say it again")
    else:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            replace_file(file, script, mode=0o644)
        except OSError as error:
            raise _unusable(file, error, "written") from error
    return Reply(data=DoneData(message=said), notes=_notes(command.shell, file, env))


def _place(shell: str, env: Mapping[str, str]) -> Path:
    match shell:
        case "bash":
            own = env.get("BASH_COMPLETION_USER_DIR", "")
            if os.path.isabs(own):
                return Path(own, "completions", "wg")
            folder = xdg_dir(env, "XDG_DATA_HOME", ".local/share")
            below = "bash-completion/completions/wg"
        case "zsh":
            folder = xdg_dir(env, "XDG_DATA_HOME", ".local/share")
            below = "zsh/site-functions/_wg"
        case "fish":
            folder = xdg_dir(env, "XDG_CONFIG_HOME", ".config")
            below = "fish/completions/wg.fish"
        case _:
            message = f"no completion for {shell}"
            raise UsageError(message, hint="wg --install-completion bash|zsh|fish")
    if folder is None:
        raise UserError("there is no home to put the script into", hint="set HOME")
    return folder / below


def _made_ready(command: InstallCompletion) -> bytes:
    script = command.script
    if command.shell == "zsh" and (found := _FUNCTION.search(script)):
        # zsh loads the file at the first Tab, and wants that one answered, too.
        script += (
            "\nif [[ $zsh_eval_context[-1] == loadautofunc ]]; then\n"
            f'  {found[1]} "$@"\nfi\n'
        )
    return script.encode()


def _notes(shell: str, file: Path, env: Mapping[str, str]) -> tuple[str, ...]:
    notes = ["it holds in shells that are started from now on"]
    if shell == "zsh" and not _is_in_fpath(file.parent, env):
        notes.append(
            "zsh has to be told of the folder: put this into ~/.zshrc, before compinit"
            f" is called: fpath=({_quoted(os.fspath(file.parent))} $fpath)"
        )
    if shell == "bash" and not any(map(os.path.exists, _BASH_COMPLETION)):
        notes.append(
            "bash-completion seems not to be installed: install it, or put this into"
            f" ~/.bashrc: source {_quoted(os.fspath(file))}"
        )
    return tuple(notes)


def _is_in_fpath(folder: Path, env: Mapping[str, str]) -> bool:
    """Whether zsh looks into a folder, as far as that can be seen from here."""
    if os.fspath(folder) in env.get("FPATH", "").split(os.pathsep):
        return True
    zshrc = Path(env.get("ZDOTDIR") or home_dir(env), ".zshrc")
    try:
        text = zshrc.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(
        "fpath" in line and os.fspath(folder) in line and not line.startswith("#")
        for line in text.splitlines()
    )


def _quoted(path: str) -> str:
    return "'" + path.replace("'", "'\\''") + "'"


def _unusable(file: Path, error: OSError, what: str) -> UserError:
    message = f"{file} can't be {what}: {error.strerror}"
    return UserError(message, hint="`wg --show-completion SHELL` prints the script")
