"""Running small programs within a time limit: for their version, or as systemctl."""

import importlib.util
import os
import shutil
import signal
import subprocess  # noqa: TID251 - a program's version; agents are started elsewhere
import tempfile
from collections.abc import Mapping, Sequence
from typing import Final

from workgraph.agents.environment import FALLBACK_PATH
from workgraph.graph.model import Record

VERSION_TIMEOUT_S: Final = 5.0
_READ_BYTES: Final = 4096
_LONGEST: Final = 100


class Ran(Record, frozen=True, kw_only=True):
    """How a small program ended."""

    #: Null: it was ended when its time was up.
    status: int | None
    #: What it wrote, both streams.
    said: str


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


def has_module(name: str) -> bool:
    """Whether our own interpreter could import a module; it is not imported."""
    return importlib.util.find_spec(name) is not None


def ask_version(
    name: str, env: Mapping[str, str], *, timeout_s: float = VERSION_TIMEOUT_S
) -> Program:
    """Looks for a program and runs `NAME --version`. It blocks: call it in a thread."""
    path = find_program(name, env)
    if path is None:
        return Program(name=name)
    try:
        ran = run_program([path, "--version"], env, timeout_s=timeout_s)
    except OSError as error:
        return Program(name=name, path=path, problem=f"can't be run: {error.strerror}")
    if ran.status is None:
        problem = f"did not answer --version within {timeout_s:g} s"
        return Program(name=name, path=path, problem=problem)
    if ran.status != 0:
        problem = f"--version ended with {ran.status}"
        return Program(name=name, path=path, problem=problem)
    version = ran.said.partition("\n")[0].strip()[:_LONGEST]
    return Program(name=name, path=path, version=version or "no version told")


def run_program(
    argv: Sequence[str], env: Mapping[str, str], *, timeout_s: float
) -> Ran:
    """Runs a program that says little. It blocks: call it in a thread.

    Raises:
        OSError: It can't be run.
    """
    # A file and no pipe: a grandchild that holds a pipe would keep us waiting.
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: S603 - what PATH gives, no shell
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd="/",
            start_new_session=True,
        )
        status = None
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        said = output.read(_READ_BYTES).decode("utf-8", "replace").strip()
    return Ran(status=status, said=said)
