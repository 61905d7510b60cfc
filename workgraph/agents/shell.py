"""The shells around an agent's program: the wrapper, and the one inside a sandbox.

The wrapper outlives every signal to its group, writes its pid and then the program's
end into `run`, and leaves with the program's status (`wrapper` has the whole story).
"""

import os
import stat
from functools import cache
from typing import Final

#: `$0` of both: what the shell itself says of a failed start begins with it.
NAME: Final = "wg-agent"

#: What a shell leaves with that could not run its program.
NOT_RUN: Final = frozenset({126, 127})
_TAIL_BYTES: Final = 512

#: $1 the folder, $2 the limit of open files, $3 the file that moves it into a cgroup
#: where it has one, then the program and its arguments.
_WRAPPER: Final = """\
trap : HUP INT QUIT ABRT PIPE ALRM TERM USR1 USR2
{lock}exec 2>"$1/run" || exit 75
echo $$ >&2 || exit 75
{moved}{told}({unlock}{apart}ulimit -S -n "$2" 2>&1; shift {own}; exec "$@"{joined})
s=$?; echo "$s" >&2; [ -e "$1/exit" ] || echo "$s" >"$1/exit"; exit "$s"
"""
_MOVED: Final = '{ echo 0 >"$3"; } 2>/dev/null\n'

#: What stands in `run` between pid and status where there is a sandbox: that one is to
#: be made, and that the program has been reached.
TO_ENTER: Final = b"sandbox"
ENTERED: Final = b"entered"
#: Around the program inside of a sandbox; descriptor 3 is `run`. What the sandbox
#: leaves with does not tell code from signal; what this shell says of a signal does.
INNER: Final = f"""\
trap : HUP INT QUIT ABRT PIPE ALRM TERM USR1 USR2
exec 4>&2 2>&3 3>&-
echo {ENTERED.decode()} >&2
(exec "$@" 2>&4 4>&-)
exit $?
"""


@cache
def script(*, apart: bool, sandboxed: bool, cgroup: bool) -> str:
    """The wrapper.

    A sandbox gets no descriptor of a folder outside of it: that would be a way out. So
    the lock comes as descriptor 2 then, and only the wrapper itself keeps it, as 9.

    Args:
        apart: Standard error gets a file of its own.
        sandboxed: The program is a sandbox, with `INNER` in it.
        cgroup: `$3` is the file that moves the wrapper into its cgroup. Where that
            fails, the agent runs without one.
    """
    return _WRAPPER.format(
        lock="exec 9>&2\n" if sandboxed else "",
        moved=_MOVED if cgroup else "",
        told=f"echo {TO_ENTER.decode()} >&2\n" if sandboxed else "",
        unlock="exec 3>&2 9>&-; " if sandboxed else "",
        apart='exec 2>>"$1/stderr.log"; ' if apart else "",
        own=3 if cgroup else 2,
        joined="" if apart else " 2>&1",
    )


def explain_failed_start(folder: str, status: int) -> str:
    """What the shell said when it could not run the program; empty if it could.

    The status alone (126, 127) does not tell: a program may leave with it, too.
    """
    if status not in NOT_RUN:
        return ""
    lines = _last_lines(folder)
    return next((line for line in lines if line.startswith(f"{NAME}: ")), "")


def explain_shut_out(folder: str) -> str:
    """What was said by a sandbox that could not be made."""
    said = next(iter(_last_lines(folder)), "nothing was said")
    return f"its sandbox could not be made: {said}"


def _last_lines(folder: str) -> list[str]:
    """The last line of each log that has one."""
    tails = (_read_tail(f"{folder}/{log}") for log in ("stderr.log", "output.log"))
    lines = (tail.rstrip(b"\n").rpartition(b"\n")[2] for tail in tails)
    return [line.decode(errors="replace") for line in lines if line]


def _read_tail(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return b""  # its agent has put something else there
        size = found.st_size
        return os.pread(fd, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    finally:
        os.close(fd)
