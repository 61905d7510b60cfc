"""What is said of a line that can't come in with an import."""

from typing import Final

from workgraph.graph.errors import ConflictError, NotFoundError, UserError

_ADVICE: Final = "nothing was imported: mend the line and say it again"


def bad_line(number: int, what: str) -> UserError:
    """The error for a line that can't come in."""
    return UserError(f"line {number}: {what}", hint=_ADVICE)


def missing_task(number: int, task: str) -> NotFoundError:
    """The error for a line that names a task that is nowhere."""
    return NotFoundError(
        f"line {number}: the task {task!r} is neither in this file nor in the graph",
        hint=_ADVICE,
    )


def conflict_in(number: int, what: str) -> ConflictError:
    """The error for a line whose name or number is taken."""
    return ConflictError(
        f"line {number}: {what}",
        hint="nothing was imported: import it into an empty graph, or change the id",
    )
