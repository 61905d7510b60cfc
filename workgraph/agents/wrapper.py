"""What a launcher is asked and answers, and the folder that is made for a process."""

import errno
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Final, Protocol

from msgspec import Struct

from workgraph.agents.kill import LIMIT_S
from workgraph.agents.output import Offsets, Output, Written
from workgraph.agents.revision import REVISION, find_revision
from workgraph.agents.search import Target
from workgraph.graph.errors import AgentError
from workgraph.graph.model import ProcessId

_LOG_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_FILE_FLAGS: Final = (
    os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
)
#: The `TMPDIR` of the agent, in its folder.
_TMPDIR: Final = "tmp"


class Fate(StrEnum):
    """What is known of an agent's end."""

    EXITED = "exited"
    #: The signal may be unknown.
    SIGNALED = "signaled"
    #: It ran, is gone, and nobody saw how it ended.
    LOST = "lost"
    #: Its sandbox could not be made: the wrapper ran, the program did not.
    SHUT_OUT = "shut-out"
    NEVER_STARTED = "never-started"


class Ended(Struct, frozen=True, kw_only=True):
    """The end of an agent's process; of its tree only `sweep` knows."""

    agent: int
    fate: Fate
    exit_code: int | None = None
    signal: int | None = None
    #: One line for people, where there is more to say.
    detail: str = ""
    #: Something that was written for it is left in its pipe.
    unread: bool = False


class Adopted(Struct, frozen=True, kw_only=True):
    """An agent that an earlier daemon started and that has not ended."""

    agent: int
    process: ProcessId


class LaunchOrder(Struct, frozen=True, kw_only=True):
    """Everything about a process; launching adds nothing.

    Args:
        folder: Absolute; made by `prepare`, with `tmp`, the logs and `files` in it.
        argv: The program by its absolute path, and its arguments.
        env: All of the environment.
        stdin: The path of what it reads, or null for nothing.
        stderr_apart: Keep its stderr in `stderr.log`, not in `output.log`.
        files: What is written into the folder before the start, by name.
        nice: Added to the daemon's own.
        sandboxed: The program is a sandbox around another one: see `INNER`.
        cgroup: Give it a cgroup of its own, where that can be had.
    """

    agent: int
    folder: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    stdin: str | None = None
    #: It reads what `write_input` writes, until `stop` or the daemon's end.
    keeps_input: bool = False
    stderr_apart: bool = False
    files: Mapping[str, str | bytes] = {}
    nice: int = 0
    sandboxed: bool = False
    cgroup: bool = False


class Started(Struct, frozen=True, kw_only=True):
    """A process that runs. Its start time is 0 if it was gone too soon."""

    agent: int
    process: ProcessId
    folder_inode: int


class SpawnError(AgentError):
    """A process could not be started, and nothing of it runs."""

    default_code = "spawn-failed"


class Launcher(Protocol):
    """Starts agents and ends them: the seam to the world of processes."""

    async def prepare(self, orders: Sequence[LaunchOrder]) -> dict[int, str]:
        """Makes folders and files of a batch; returns what went wrong, by agent."""

    async def launch(self, order: LaunchOrder) -> Started:
        """Starts a prepared agent. A cancellation waits until the start is decided.

        Raises:
            SpawnError: Nothing was started.
        """

    async def wait_ended(self, agent: int) -> Ended:
        """Waits for the end of an agent that was launched or adopted; once for each.

        Cancelling it leaves the agent alone; from its end on it can't be cancelled.
        """

    async def find_running(
        self, agents: Sequence[Target]
    ) -> dict[int, tuple[ProcessId, ...]]:
        """What runs of agents of an earlier daemon, all in one search.

        Those whose process lives, and those of another boot, may be left out.
        """

    async def settle(
        self,
        agent: int,
        folder: str,
        inode: int | None,
        process: ProcessId | None,
        running: Sequence[ProcessId] | None = None,
    ) -> Adopted | Ended:
        """Finds out what became of an agent of an earlier daemon, and adopts it.

        Args:
            running: What `find_running` has found of it after that daemon's death: as
                nobody else can start it, nothing stays nothing. Null: it was not asked.
        """

    async def stop(
        self,
        agent: int,
        folder: str,
        process: ProcessId | None,
        grace_s: float,
        force: bool,  # noqa: FBT001 - a word of the ladder, always given by name
    ) -> tuple[ProcessId, ...]:
        """Ends an agent and its tree; returns what could not be ended.

        Where its input is ours, that ends first, and it has a moment of the grace to
        leave by itself.
        """

    async def sweep(
        self, agents: Sequence[Target], limit_s: float = LIMIT_S
    ) -> dict[int, tuple[ProcessId, ...]]:
        """Ends what agents that have ended left behind, all in one search.

        Returns:
            What could not be ended within the limit, of those agents that have any.
        """

    async def agents_seen(self, agents_dir: str) -> frozenset[int]:
        """The agents of a project that anything runs of, as far as that can be told."""

    async def write_input(self, agent: int, data: bytes) -> bool:
        """Writes to an agent that keeps its input; false where nobody reads it."""

    def has_input(self, agent: int) -> bool:
        """Whether an agent can be written to: it was started here, and reads."""

    async def freeze(self, agents: Sequence[int]) -> tuple[int, ...]:
        """Stops agents with all that they have started; returns those that run."""

    async def thaw(self, agents: Sequence[int]) -> tuple[int, ...]:
        """Lets frozen agents go on, with all of theirs; returns those that run."""

    async def read_output(self, agent: int, folder: str) -> Output:
        """Says how much an agent has written, and when; nothing where it is gone."""

    async def wait_output(self, agent: int, folder: str, known: Offsets) -> None:
        """Returns when an agent has written more than these bytes to out and err."""

    async def read_on(
        self, agent: int, folder: str, offsets: Offsets, most: int
    ) -> Written:
        """Reads what an agent has written from these offsets on, at most so much."""

    async def find_kept(self, agent: int, pattern: str) -> str | None:
        """Finds the file of its own that a client keeps; null while there is none."""

    async def read_kept(self, agent: int, path: str, offset: int, most: int) -> bytes:
        """Reads what a file of its has from an offset on; below 0: from its end."""

    async def close(self) -> None:
        """Starts nothing more and leaves the agents alone. End with `os._exit`."""


class Opened(Struct, frozen=True, kw_only=True):
    """The descriptors that an agent is started with, and its folder's inode."""

    #: The folder, to be locked.
    lock: int
    inode: int
    stdin: int
    #: `output.log`, for appending.
    log: int
    #: What is written here it reads; null: its input is a file.
    input: int | None = None

    def close(self) -> None:
        """Closes ours of them, but for its input, which has to be taken over."""
        for fd in (self.lock, self.stdin, self.log):
            os.close(fd)

    def abandon(self) -> None:
        """Closes all of them: nothing was started."""
        self.close()
        if self.input is not None:
            os.close(self.input)


def prepare(
    orders: Sequence[LaunchOrder],
) -> tuple[dict[int, str], dict[int, Opened]]:
    """Makes folders and files. For a thread.

    Returns:
        What went wrong, and what could be opened already, by agent.
    """
    errors: dict[int, str] = {}
    opened: dict[int, Opened] = {}
    for order in orders:
        try:
            _make_folder(order)
        except (OSError, ValueError) as error:
            errors[order.agent] = f"can't make {order.folder}: {_in_words(error)}"
            continue
        with suppress(OSError):  # the launch tries again, and says why
            opened[order.agent] = open_files(order)
    return errors, opened


def open_files(order: LaunchOrder) -> Opened:
    """Opens what an agent is started with; the caller closes it.

    Raises:
        OSError: One of them can't be opened.
    """
    fds: list[int] = []
    try:
        for path, flags in (
            (order.folder, os.O_RDONLY | os.O_DIRECTORY),
            (f"{order.folder}/output.log", _LOG_FLAGS),
        ):
            fds.append(os.open(path, flags | os.O_CLOEXEC, 0o600))
        if order.keeps_input:
            fds += os.pipe2(os.O_CLOEXEC)
        else:
            path = order.stdin or os.devnull
            fds.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        lock, log, stdin, *kept = fds
        return Opened(
            lock=lock,
            inode=os.fstat(lock).st_ino,
            stdin=stdin,
            log=log,
            input=kept[0] if kept else None,
        )
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise


def check_program(program: str) -> None:
    """Raises `OSError` for what the wrapper would find out when it has started."""
    mode = os.stat(program).st_mode
    if not stat.S_ISREG(mode) or not mode & 0o111:
        raise PermissionError(errno.EACCES, "it is not an executable file", program)


def explain(error: Exception, order: LaunchOrder) -> str:
    """Says in one line why a start failed."""
    if isinstance(error, OSError):
        where = os.fsdecode(error.filename) if error.filename else ""
        if error.errno == errno.E2BIG:
            size = sum(len(os.fsencode(x)) + 1 for x in order.argv)
            size += sum(len(os.fsencode(k + v)) + 2 for k, v in order.env.items())
            return f"arguments and environment are too long: {size} bytes in all"
        if where == order.cwd:
            return f"the working directory {where} can't be entered: {error.strerror}"
        if where:
            return f"{where} can't be used: {error.strerror}"
    return f"{order.argv[0]} can't be started: {_in_words(error)}"


def _make_folder(order: LaunchOrder) -> None:
    folder = order.folder
    try:
        os.mkdir(folder, mode=0o700)
    except FileNotFoundError:
        os.makedirs(folder, mode=0o700)
    except FileExistsError:
        # what a start that was never made has left behind
        os.chmod(folder, 0o700)
        if os.path.lexists(f"{folder}/run") or os.path.lexists(f"{folder}/exit"):
            msg = "an agent ran there already"
            raise ValueError(msg) from None
    with suppress(FileExistsError):
        os.mkdir(f"{folder}/{_TMPDIR}", mode=0o700)
    logs = ("output.log", "stderr.log") if order.stderr_apart else ("output.log",)
    # What its work is compared with; of what a sandbox holds nothing is told (changes).
    revision = None if order.sandboxed else find_revision(order.cwd)
    kept = {REVISION: f"{revision}\n"} if revision else {}
    files = {**order.files, **kept, **dict.fromkeys(logs, b"")}
    for name, content in files.items():
        if os.path.basename(name) != name:
            msg = f"{name!r} is not a plain name"
            raise ValueError(msg)
        data = content.encode() if isinstance(content, str) else content
        fd = os.open(f"{folder}/{name}", _FILE_FLAGS, 0o600)
        try:
            while data:
                data = data[os.write(fd, data) :]
        finally:
            os.close(fd)


def _in_words(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
