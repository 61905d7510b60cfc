"""Asking programs for their version, within a time limit."""

import os
import shutil
import signal
import subprocess  # noqa: TID251 - a program's version; agents are started elsewhere
import tempfile
from collections.abc import Mapping
from typing import Final

from workgraph.agents.environment import FALLBACK_PATH
from workgraph.graph.model import Record

VERSION_TIMEOUT_S: Final = 5.0
_READ_BYTES: Final = 4096
_LONGEST: Final = 100


class Program(Record, frozen=True, kw_only=True):
    """A program as it was found."""

    name: str
    #: Null: it is not in PATH.
    path: str | None = None
    #: The first line that `--version` printed; null when it did not answer.
    version: str | None = None
    #: Why there is no version.
    problem: str = ""


def find_program(name: str, env: Mapping[str, str]) -> str | None:
    """Where a program is, by its name or path."""
    return shutil.which(name, path=env.get("PATH", FALLBACK_PATH))


def ask_version(
    name: str, env: Mapping[str, str], *, timeout_s: float = VERSION_TIMEOUT_S
) -> Program:
    """Looks for a program and runs `NAME --version`. It blocks: call it in a thread."""
    path = find_program(name, env)
    if path is None:
        return Program(name=name)
    # A file and no pipe: a grandchild that holds a pipe would keep us waiting.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(  # noqa: S603 - what PATH gives, no shell
                [path, "--version"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            return Program(
                name=name, path=path, problem=f"can't be run: {error.strerror}"
            )
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            problem = f"did not answer --version within {timeout_s:g} s"
            return Program(name=name, path=path, problem=problem)
        output.seek(0)
        said = output.read(_READ_BYTES).decode("utf-8", "replace").strip()
    if status != 0:
        return Program(name=name, path=path, problem=f"--version ended with {status}")
    version = said.partition("\n")[0].strip()[:_LONGEST]
    return Program(name=name, path=path, version=version or "no version told")
