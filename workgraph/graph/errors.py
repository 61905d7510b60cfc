"""Every error that a caller can see: whose fault it is, and what to do next."""

import errno
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_NOT_FOUND: Final = 3
EXIT_CONFLICT: Final = 4
EXIT_NEEDS_DAEMON: Final = 5
EXIT_TRY_LATER: Final = 75

#: The exit code of each error code (CONTRACT §3). A code that is not here exits 1.
EXIT_CODES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "refused": EXIT_FAILED,
        "forbidden": EXIT_FAILED,
        "failed": EXIT_FAILED,
        "usage": EXIT_USAGE,
        "bad_request": EXIT_USAGE,
        "unknown_command": EXIT_USAGE,
        "not_found": EXIT_NOT_FOUND,
        "conflict": EXIT_CONFLICT,
        "daemon_needed": EXIT_NEEDS_DAEMON,
        "try_later": EXIT_TRY_LATER,
    }
)


#: What the system refuses for reasons that lie in the machine, each with its remedy.
_SYSTEM_HINTS: Final[Mapping[int, str]] = MappingProxyType(
    {
        errno.ENOSPC: "free some room on that disk and say it again",
        errno.EDQUOT: "your quota is used up: free some room and say it again",
        errno.EROFS: "its file system is mounted read-only",
        errno.EACCES: "it must be yours, and writable for you",
        errno.EPERM: "it must be yours, and writable for you",
        errno.EIO: "the disk may be failing",
        errno.EMFILE: "raise the limit of open files: ulimit -n",
        errno.ENFILE: "the system has too many open files",
        errno.ENOMEM: "the system is out of memory",
        errno.EAGAIN: "the system has too many processes: try again",
    }
)


#: Of these, what passes without anybody mending the project: there is no room just now.
_PASSING: Final = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EAGAIN,
    }
)


class WorkgraphError(Exception):
    """An error with a code for programs, one line for people, and a remedy.

    Args:
        message: One line with the values that matter.
        hint: What to do next; empty where there is no remedy.
        code: A stable word for programs; it decides the exit code.
    """

    default_code = "failed"

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or self.default_code

    @property
    def exit_code(self) -> int:
        """The exit status of `wg` for this error."""
        return EXIT_CODES.get(self.code, EXIT_FAILED)


class UserError(WorkgraphError):
    """The command can't be carried out as given: change it."""

    default_code = "refused"


class UsageError(UserError):
    """The command was not understood."""

    default_code = "usage"


class MachineError(UserError):
    """The machine refuses: no room, no rights, no more files or processes."""


class NotFoundError(UserError):
    """An id that names nothing."""

    default_code = "not_found"


class ForbiddenError(UserError):
    """What a token may not do."""

    default_code = "forbidden"


class NeedsDaemonError(UserError):
    """A process would have to be started, and there is no daemon to start it."""

    default_code = "daemon_needed"


class ConflictError(WorkgraphError):
    """The graph moved: somebody else holds it, or the attempt has ended."""

    default_code = "conflict"


class TryLaterError(WorkgraphError):
    """Somebody else is busy with the project; the same call may work later."""

    default_code = "try_later"


class AgentError(WorkgraphError):
    """An agent, or what should have been one, misbehaved."""


class WorkgraphBug(Exception):  # noqa: N818 - it is a bug, not an error of anybody's
    """Ours. Never caught except at the top."""


def system_refusal(error: OSError, what: str = "") -> MachineError | None:
    """What the machine refuses, as an error of nobody's; null for any other error.

    Args:
        error: As the system gave it.
        what: What could not be done; otherwise the file's name says it.
    """
    hint = _SYSTEM_HINTS.get(error.errno or 0)
    if hint is None:
        return None
    subject = what or (str(error.filename) if error.filename else "")
    reason = error.strerror or str(error)
    return MachineError(f"{subject}: {reason}" if subject else reason, hint=hint)


def may_pass(error: OSError | RuntimeError) -> bool:
    """Whether the machine refuses something just now, and may not in a while."""
    if isinstance(error, OSError):
        return error.errno in _PASSING
    # what Python makes of EAGAIN for a thread
    return str(error) == "can't start new thread"
