"""The environment of an agent: an allow-list, each variable with its source.

The host's part is put together once per executor; a plan copies it and adds what is the
task's and the attempt's own.
"""

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final, Generic, TypeVar

from msgspec import Struct

from workgraph.agents.executor import Credentials, Executor

T = TypeVar("T")

ALLOWED: Final = (
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_*",
    "TZ",
    "TMPDIR",
    "SSH_AUTH_SOCK",
)
#: What a host without PATH gets: what `getconf PATH` and /usr/local say on Linux.
FALLBACK_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
#: Names that every shell keeps; some drop the others.
VARIABLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_SECRET_NAME: Final = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
_PASSWORD_IN_URL: Final = re.compile(r"(?<=://)[^/@\s]+(?=@)")
MASK: Final = "***"


class Chosen(Struct, Generic[T], frozen=True):
    """A value and where it comes from."""

    value: T
    source: str


def base_environment(
    passed: Iterable[str], host_env: Mapping[str, str], bin_dir: str
) -> dict[str, Chosen[str]]:
    """What every agent gets of the host: the allow-list, then `[env].pass`. Pure.

    `WG_*` are never the host's: they would speak of another attempt.
    """
    env = _matching(passed, host_env, "[env].pass")
    env |= _matching(ALLOWED, host_env, "host")
    path = env.get("PATH", Chosen(FALLBACK_PATH, "default"))
    env["PATH"] = Chosen(with_bin(bin_dir, path.value), path.source)
    return env


def executor_environment(
    base: Mapping[str, Chosen[str]], executor: Executor, host_env: Mapping[str, str]
) -> dict[str, Chosen[str]]:
    """The base with what an executor names, and with what it sets. Pure.

    What the host has for a variable that the executor sets goes before that.
    """
    credentials = executor.credentials.env if executor.credentials else ()
    named = (*executor.env, *credentials, *executor.variables)
    own = {
        name: Chosen(value, "executor") for name, value in executor.variables.items()
    }
    return {**own, **_matching(named, host_env, "executor"), **base}


def with_bin(bin_dir: str, path: str) -> str:
    """A PATH with the project's `wg` first, once."""
    if path.split(":", 1)[0] == bin_dir:
        return path
    return f"{bin_dir}:{path}" if path else bin_dir


def missing_credentials(
    needed: Credentials,
    env: Mapping[str, Chosen[str]],
    home: str,
    exists: Callable[[str], bool],
) -> str | None:
    """What an agent with this environment would lack to log in; null when nothing."""
    if any(name in env and env[name].value for name in needed.env):
        return None
    files = credential_files(needed.files, env, home)
    if any(exists(file) for file in files):
        return None
    return " or ".join((*needed.env, *files))


def credential_files(
    templates: Iterable[str], env: Mapping[str, Chosen[str]], home: str
) -> tuple[str, ...]:
    """Where login files would be: `~/` is the home, `$NAME/` a variable's folder."""
    home = env["HOME"].value if "HOME" in env else home
    files = []
    for template in templates:
        first, _, rest = template.partition("/")
        name = first.removeprefix("$")
        folder = home if first == "~" else env[name].value if name in env else ""
        if folder:
            files.append(posixpath.join(folder, rest))
    return tuple(files)


@lru_cache(maxsize=1024)
def is_secret(name: str) -> bool:
    """Whether a variable's value is never shown."""
    return _SECRET_NAME.search(name) is not None


def mask_passwords(text: str) -> str:
    """A text without the passwords that URLs in it carry."""
    return _PASSWORD_IN_URL.sub(MASK, text) if "://" in text else text


def _matching(
    globs: Iterable[str], host_env: Mapping[str, str], source: str
) -> dict[str, Chosen[str]]:
    wanted = tuple(globs)
    return {
        name: Chosen(value, source)
        for name, value in host_env.items()
        if VARIABLE_NAME.fullmatch(name)
        and not name.startswith("WG_")
        and any(fnmatchcase(name, glob) for glob in wanted)
    }
