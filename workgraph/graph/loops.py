"""Loops: tasks that run again in order, until a condition or so many times.

A loop is an object beside the graph, which stays free of cycles: each member waits for
the one before it, and after the last one has passed its gates the loop says whether all
of them are opened again (`reactors/loops`). It does so as a gate of its own, before the
last member is done, so that whoever waits for that one waits for the end of the loop.
"""

from enum import StrEnum
from typing import Final

from workgraph.graph.model import Record
from workgraph.graph.task_options import Request

#: The gate of a last member whose loop decides.
GATE: Final = "loop"
#: Iterations that a loop may have.
MOST: Final = 1000


class LoopTasks(Request, frozen=True, kw_only=True, tag="loop"):
    """Makes tasks run again in order until a condition; with `end`, ends that."""

    task: str | tuple[str, ...] = ()
    max: int | None = None
    until: str | None = None
    until_converged: bool = False
    end: bool = False


class LoopEnd(StrEnum):
    """Why a loop has ended."""

    MET = "condition met"
    #: So many iterations are over, and `--until` has failed after each.
    UNMET = "condition never met"
    CONVERGED = "converged"
    MAX_REACHED = "max reached"
    #: An operator has approved the last member while the loop decided.
    APPROVED = "approved"
    #: An operator has said so: the iteration that runs is the last.
    ENDED = "ended"
    ABANDONED = "member abandoned"


class Member(Record, frozen=True, kw_only=True):
    """A task of a loop."""

    task: str
    #: Its attempt in this iteration has said that nothing changes any more.
    converged: bool = False
    #: Its summary of the iteration before.
    concluded: str | None = None


class Loop(Record, frozen=True, kw_only=True):
    """Members that run again in order."""

    number: int
    most: int
    until: str | None = None
    until_converged: bool = False
    iteration: int = 1
    #: What `until` said after the iteration before.
    evidence: str | None = None
    by: str
    created_at: int
    ended_at: int | None = None
    reason: str | None = None
    members: tuple[Member, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The members in order."""
        return tuple(member.task for member in self.members)

    @property
    def last(self) -> str:
        """The member whose end is the end of an iteration."""
        return self.members[-1].task

    @property
    def converged(self) -> tuple[str, ...]:
        """Those that have said so in this iteration."""
        return tuple(member.task for member in self.members if member.converged)

    @property
    def progress(self) -> str:
        """How far it is: `iteration 2 of 5`."""
        return f"iteration {self.iteration} of {self.most}"


def describe(loop: Loop) -> str:
    """Where a loop stands, in one line."""
    names = ", ".join(loop.ids)
    if loop.ended_at is not None:
        return f"{loop.reason} after {loop.progress}, of {names}"
    return f"{loop.progress} of {names}, {condition(loop)}"


def condition(loop: Loop) -> str:
    """What ends a loop before its last iteration."""
    if loop.until is not None:
        return f"until {loop.until!r} succeeds"
    if loop.until_converged:
        said = loop.converged
        by = f" ({', '.join(said)} has said so)" if said else ""
        return f"until a member says that it has converged{by}"
    return "that often"
