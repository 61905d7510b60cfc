"""Starting the daemon in the background, apart from this terminal and session."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path


class Detached:
    """A process that goes on without us."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def has_ended(self) -> bool:
        """Whether it has ended; reaps it then."""
        try:
            return os.waitpid(self.pid, os.WNOHANG)[0] == self.pid
        except ChildProcessError:
            return True


def start_detached(
    argv: Sequence[str], *, errors: Path, cwd: Path, env: Mapping[str, str]
) -> Detached:
    """Starts a program in a session of its own, with no terminal.

    Its words go into `errors`, which is emptied first.
    """
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (
            os.POSIX_SPAWN_OPEN,
            1,
            os.fspath(errors),
            os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
            0o600,
        ),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    here = os.getcwd()
    os.chdir(cwd)
    try:
        pid = os.posix_spawn(
            argv[0], tuple(argv), dict(env), file_actions=actions, setsid=True
        )
    finally:
        os.chdir(here)
    return Detached(pid)
