"""Where the installed `wg` is, and whether a file of that name is ours.

WireGuard's tool is called `wg`, too, so a name alone proves nothing.
"""

import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

_NAME: Final = "wg"
#: More than any script that an installer writes.
_LOOKED_AT_BYTES: Final = 4096
_SHEBANG: Final = b"#!"


def find_wg(env: Mapping[str, str]) -> Path | None:
    """The installed `wg` of this workgraph: beside its interpreter, else in PATH."""
    for folder in _folders(env):
        candidate = folder / _NAME
        if is_our_wg(candidate) and why_not_runnable(candidate) is None:
            return candidate
    return None


def is_our_wg(file: Path) -> bool:
    """Whether a file is a script of workgraph's."""
    return b"workgraph" in _beginning(file)


def why_not_runnable(script: Path) -> str | None:
    """What keeps the system from starting a script; null when nothing does."""
    if not os.access(script, os.X_OK):
        return f"{script} is not executable" if script.exists() else f"no {script}"
    first = _beginning(script).partition(b"\n")[0]
    if not first.startswith(_SHEBANG):
        return None
    words = first.removeprefix(_SHEBANG).split()
    interpreter = os.fsdecode(words[0]) if words else ""
    if not os.access(interpreter, os.X_OK):
        return f"its interpreter {interpreter} is not there"
    return None


def _folders(env: Mapping[str, str]) -> Iterator[Path]:
    # Not resolved: in a virtual environment the interpreter itself is a symlink.
    yield Path(sys.executable).parent
    yield Path(sysconfig.get_path("scripts"))
    for name in env.get("PATH", "").split(os.pathsep):
        folder = Path(name)
        # A project's own link would end up pointing to itself, or to another one's.
        if folder.is_absolute() and folder.parts[-2:] != (".wg", "bin"):
            yield folder


def _beginning(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(_LOOKED_AT_BYTES)
    except OSError:
        return b""
