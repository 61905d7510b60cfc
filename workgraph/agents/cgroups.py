"""A cgroup for each agent, where one can be had: what is in it can't get out unseen.

An agent's cgroup is `<where the daemon is>/workgraph-<hash of .wg>/agent-17`. The
wrapper moves itself there before it starts the agent, so there is no moment at which
something could get away; `cgroup.kill` then ends all of it at once, what forks as fast
as it is killed included.

Nothing is kept of where cgroups were made: they are found by their names, so that
another daemon, started elsewhere in the tree, finds those of an earlier one. No
controller is enabled, so processes may live beside cgroups, and nothing is limited.

The files of this hierarchy are the kernel's, in memory: each call is some microseconds.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import pairwise
from typing import Final

from msgspec import Struct

from workgraph.agents.signs import read_proc
from workgraph.graph.model import parse_agent_id

PREFIX: Final = "workgraph-"
_MOUNTS: Final = "/proc/self/mountinfo"
_HASH_DIGITS: Final = 16
#: Where processes are moved to, and what ends all of them (Linux 5.14).
_PROCS: Final = "cgroup.procs"
_KILL: Final = "cgroup.kill"
_TRIES: Final = 3
#: A tree of cgroups that is deeper is nobody's that we look for.
_DEEPEST: Final = 16


class Place(Struct, frozen=True, kw_only=True):
    """Where this process can make cgroups, or why it can't."""

    #: The cgroup of this process; empty when none can be made below it.
    path: str = ""
    problem: str = ""


def find_place(mounts: str = _MOUNTS, pid: str = "self") -> Place:
    """Looks where cgroups can be made: below our own, if that is ours to divide.

    That is so in a unit with `Delegate=yes`, below the user's own manager, and for root
    where the hierarchy is writable.
    """
    mount = _mount_point(mounts)
    if mount is None:
        return Place(problem="no whole cgroup v2 hierarchy is mounted")
    own = _own_path(read_proc(f"/proc/{pid}/cgroup"))
    if own is None:
        return Place(problem="this process is in no cgroup v2")
    path = os.path.normpath(f"{mount}/{own}")
    if not os.path.isdir(path):
        return Place(problem=f"{path}, where this process is said to be, is not there")
    probe = f"{path}/{PREFIX}probe-{os.getpid()}"
    try:
        os.mkdir(probe)
    except OSError as error:
        return Place(problem=f"{path} can't be divided: {error.strerror}")
    try:
        if not os.path.exists(f"{probe}/{_KILL}"):
            return Place(problem="the kernel is older than 5.14: no cgroup.kill")
        # moving a process needs the right to write where it comes from, too
        if not os.access(f"{path}/{_PROCS}", os.W_OK):
            return Place(problem=f"processes can't be moved out of {path}")
    finally:
        os.rmdir(probe)
    return Place(path=path)


class Cgroups:
    """The cgroups of agents as one launcher makes and finds them.

    It looks around once, when it is first asked; call it in a thread.
    """

    def __init__(self, place: Place | None = None) -> None:
        self._place = place
        self._earlier: dict[str, tuple[str, ...]] = {}

    def make(self, folder: str, agent: int) -> str | None:
        """As `make`, for the agent whose folder this is."""
        if self._place is None:
            self._place = find_place()
        return make(self._place, _project_of(folder), agent)

    def of(self, folder: str) -> tuple[str, ...]:
        """The cgroups that an agent's processes are in, by its folder."""
        wg_dir, name = _project_of(folder), os.path.basename(folder)
        found = (f"{base}/{name}" for base in self._bases(wg_dir))
        return tuple(path for path in found if os.path.isdir(path))

    def left_of(self, folder: str) -> tuple[str, ...]:
        """Those of an agent that has ended in which something runs; others are removed.

        Most are empty, and so are gone with the one call that finds that out.
        """
        name = os.path.basename(folder)
        left = []
        for base in self._bases(_project_of(folder)):
            path = f"{base}/{name}"
            try:
                os.rmdir(path)
            except FileNotFoundError:
                continue
            except OSError:
                left.append(path)
        return tuple(left)

    def leave(self) -> None:
        """Removes what was made for all agents, where none is left in it."""
        for wg_dir in tuple(self._earlier):
            for base in self._bases(wg_dir):
                with suppress(OSError):
                    os.rmdir(base)

    def _bases(self, wg_dir: str) -> tuple[str, ...]:
        bases = self._earlier.get(wg_dir)
        if bases is None:
            bases = self._earlier[wg_dir] = find_bases(wg_dir)
        if self._place is not None and self._place.path:
            own = f"{self._place.path}/{project_name(wg_dir)}"
            if own not in bases:
                return (*bases, own)
        return bases


def project_name(wg_dir: str) -> str:
    """What the cgroup of a project's agents is called, wherever it is."""
    digest = sha256(os.fsencode(os.path.realpath(wg_dir))).hexdigest()
    return f"{PREFIX}{digest[:_HASH_DIGITS]}"


def make(place: Place, wg_dir: str, agent: int) -> str | None:
    """Makes the cgroup of an agent that is about to start; null when it can't be had.

    Returns:
        The file that the wrapper writes to in order to be moved there.
    """
    if not place.path:
        return None
    base = f"{place.path}/{project_name(wg_dir)}"
    path = f"{base}/agent-{agent}"
    # Again: an empty one may be removed by somebody who looks around just now.
    for _ in range(_TRIES):
        try:
            os.mkdir(path)
        except FileNotFoundError:
            with suppress(OSError):
                os.mkdir(base)
        except FileExistsError:
            break
        except OSError:
            return None
        else:
            break
    else:
        return None
    return f"{path}/{_PROCS}"


def find_bases(wg_dir: str, mounts: str = _MOUNTS) -> tuple[str, ...]:
    """Every cgroup that a daemon of this project has made for its agents."""
    mount = _mount_point(mounts)
    if mount is None:
        return ()
    name = project_name(wg_dir)
    return tuple(path for path in _walk(mount, 0) if os.path.basename(path) == name)


def populated(wg_dir: str) -> Iterator[int]:
    """The agents of a project in whose cgroups something runs; empties are removed."""
    for base in find_bases(wg_dir):
        for path in _below(base):
            agent = parse_agent_id(os.path.basename(path))
            if agent is not None and not remove(path):
                yield agent
        with suppress(OSError):
            os.rmdir(base)


def pids(path: str) -> frozenset[int]:
    """What runs in a cgroup and below it; nothing when there is none."""
    found = {int(line) for line in read_proc(f"{path}/{_PROCS}").split()}
    for below in _below(path):
        found |= pids(below)
    return frozenset(found)


def kill(path: str) -> None:
    """Sends KILL to all that is in a cgroup, and to what it forks meanwhile."""
    with suppress(OSError), open(f"{path}/{_KILL}", "w", encoding="ascii") as file:
        file.write("1")


def remove(path: str) -> bool:
    """Removes a cgroup with those below it, if nothing runs there; says if it did."""
    for below in _below(path):
        remove(below)
    try:
        os.rmdir(path)
    except OSError as error:
        return error.errno == errno.ENOENT
    return True


def agent_of(pid: int, wg_dir: str) -> int | None:
    """The agent of a project in whose cgroup a process is; null for all others."""
    return agent_named_in(read_proc(f"/proc/{pid}/cgroup"), wg_dir)


def agent_named_in(text: bytes, wg_dir: str) -> int | None:
    """The same, from what `/proc/PID/cgroup` says."""
    words = (_own_path(text) or "").split("/")
    name = project_name(wg_dir)
    for above, below in pairwise(words):
        if above == name:
            return parse_agent_id(below)
    return None


def _own_path(text: bytes) -> str | None:
    """The path in the v2 hierarchy, whose line in `/proc/PID/cgroup` has number 0."""
    for line in text.split(b"\n"):
        if line.startswith(b"0::"):
            return os.fsdecode(line[3:])
    return None


def _mount_point(mounts: str) -> str | None:
    for line in read_proc(mounts).split(b"\n"):
        before, _, after = line.partition(b" - ")
        fields = before.split()
        # only one that shows the hierarchy from its top: others' paths would not fit
        if after.startswith(b"cgroup2 ") and fields[3] == b"/":
            return os.fsdecode(fields[4].replace(b"\\040", b" "))
    return None


def _walk(path: str, depth: int) -> Iterator[str]:
    yield path
    if depth < _DEEPEST:
        for below in _below(path):
            yield from _walk(below, depth + 1)


def _below(path: str) -> list[str]:
    with suppress(OSError), os.scandir(path) as entries:
        return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return []


def _project_of(folder: str) -> str:
    return os.path.dirname(os.path.dirname(folder))
