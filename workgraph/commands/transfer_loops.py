"""Loops in an export: from what is stored to a line, and back with its checks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from workgraph.commands.line_errors import bad_line
from workgraph.commands.tie_lines import LoopLine, MemberRef
from workgraph.commands.transfer_lines import (
    read_moment,
    write_moment,
)
from workgraph.graph.loops import GATE, MOST, Loop, LoopEnd, Member
from workgraph.graph.status import Status

_ENDS: Final = frozenset(LoopEnd)
#: A member's word counts while its work stands.
_STANDS: Final = frozenset({Status.PENDING_REVIEW, Status.DONE})

#: The tasks of a file or a graph: what each waits for, and its status and gate.
Waits = Mapping[str, Mapping[str, object]]
StateOf = Callable[[str], tuple[Status, str | None] | None]


def loop_line(loop: Loop, status_of: Callable[[str], Status]) -> LoopLine:
    """A loop as it is exported; what a running attempt has said goes with its claim."""
    return LoopLine(
        members=tuple(
            MemberRef(
                task=one.task,
                converged=one.converged and status_of(one.task) in _STANDS,
                concluded=one.concluded,
            )
            for one in loop.members
        ),
        max=loop.most,
        until=loop.until,
        until_converged=loop.until_converged,
        iteration=loop.iteration,
        evidence=loop.evidence,
        by=loop.by,
        created_at=write_moment(loop.created_at),
        ended_at=None if loop.ended_at is None else write_moment(loop.ended_at),
        reason=loop.reason,
    )


def loop_of(number: int, line: LoopLine, by: str, now: int) -> Loop:
    """A loop as it is to be stored.

    Raises:
        UserError: A value is not one that a loop can have.
    """
    names = [one.task for one in line.members]
    if not names or len(set(names)) < len(names):
        raise bad_line(number, "members: there are none, or one is there twice")
    if not 1 <= line.iteration <= line.max <= MOST:
        raise bad_line(number, f"iteration {line.iteration} of {line.max} is none")
    if line.until is not None:
        if line.until_converged:
            raise bad_line(number, "until and until_converged exclude each other")
        if not line.until.strip() or "\0" in line.until:
            raise bad_line(number, "until: it is not a command")
    created_at = read_moment(number, "created_at", line.created_at, now)
    ended_at = read_moment(number, "ended_at", line.ended_at, now)
    if (ended_at is None) != (line.reason is None):
        raise bad_line(number, "ended_at and reason go together")
    if line.reason is not None and line.reason not in _ENDS:
        raise bad_line(number, f"reason: {line.reason!r} is none")
    return Loop(
        number=0,
        most=line.max,
        until=line.until,
        until_converged=line.until_converged,
        iteration=line.iteration,
        evidence=line.evidence,
        by=by if line.by is None else line.by,
        created_at=now if created_at is None else created_at,
        ended_at=ended_at,
        reason=line.reason,
        members=tuple(
            Member(task=one.task, converged=one.converged, concluded=one.concluded)
            for one in line.members
        ),
    )


def check_loops(
    found: Iterable[tuple[int, Loop]], waits: Waits, state_of: StateOf
) -> None:
    """Checks loops against the tasks that come in with them.

    Raises:
        UserError: A member is not there, in two loops or out of order.
    """
    taken: dict[str, int] = {}
    for number, loop in found:
        for task in loop.ids:
            state = state_of(task)
            if state is None:
                raise bad_line(number, f"the task {task!r} is not in this file")
            if loop.ended_at is None:
                _check_member(number, task, state, loop)
                first = taken.setdefault(task, number)
                if first != number:
                    what = f"{task} is in the loop of line {first} already"
                    raise bad_line(number, what)
        if loop.ended_at is None:
            for before, after in pairwise(loop.ids):
                if before not in waits.get(after, {}):
                    what = f"members: {after} does not wait for {before}"
                    raise bad_line(number, what)


def check_outsiders(
    members: Iterable[Sequence[str]], waits: Waits, line_of: Mapping[str, int]
) -> None:
    """Checks that no task that comes in would start in the middle of a loop.

    Args:
        members: Those of every loop that goes on, here or in the file.
        waits: What the tasks that come in wait for.
        line_of: The lines of these.

    Raises:
        UserError: One would.
    """
    inner = {task: loop for loop in members for task in loop[:-1]}
    if not inner:
        return
    for task, deps in waits.items():
        for dep in deps:
            loop = inner.get(dep)
            if loop is not None and task not in loop and loop[-1] not in deps:
                what = (
                    f"{task} waits for {dep} alone, which runs again in a loop:"
                    f" it has to wait for {loop[-1]}"
                )
                raise bad_line(line_of[task], what)


def check_gates(loops: Iterable[Loop], at_gate: Mapping[str, int]) -> None:
    """Checks that whoever waits for its loop's word is the last one of a loop.

    Args:
        loops: Those that come in.
        at_gate: Tasks at that gate, with their lines.

    Raises:
        UserError: One is not.
    """
    last = {loop.last for loop in loops if loop.ended_at is None}
    for task, number in at_gate.items():
        if task not in last:
            raise bad_line(number, f"gate: {task} is not the last one of a loop")


def _check_member(
    number: int, task: str, state: tuple[Status, str | None], loop: Loop
) -> None:
    status, gate = state
    if status is Status.ABANDONED or (status is Status.DONE and task == loop.last):
        raise bad_line(number, f"{task} is {status}: its loop has ended")
    if gate == GATE and task != loop.last:
        raise bad_line(number, f"gate: {task} is not the last one of its loop")
    said = next(one.converged for one in loop.members if one.task == task)
    if said and status not in _STANDS:
        raise bad_line(number, f"members: {task} is {status}, and has said nothing")
