"""What a task in waiting waits for: the grammar, when it is met, and circles.

A condition is said as `task:X=done,timer:5m|message`: terms, of which those joined by
`,` belong to one branch, and branches joined by `|`. A wait is over when all terms of
any branch are met at the same time.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, Literal

from msgspec import field

from workgraph.graph.errors import UsageError
from workgraph.graph.model import Record
from workgraph.graph.status import MEETS, Status
from workgraph.graph.times import parse_moment, to_rfc3339

TermKind = Literal["task", "timer", "message", "file", "answer"]

#: What a term of a task waits for, and the statuses that meet it. As with edges, what
#: was abandoned is not waited for any longer.
MET_BY: Final[Mapping[str, frozenset[Status]]] = MappingProxyType(
    {
        **MEETS,
        "failed": frozenset({Status.FAILED}),
        "abandoned": frozenset({Status.ABANDONED}),
    }
)
#: More than anybody means.
MOST_TERMS: Final = 100
GRAMMAR: Final = (
    "task:ID=done|failed|abandoned|settled, timer:5m (or a time), message, file:PATH;"
    " `,` is all of them, `|` any (write \\, and \\| in a path)"
)
#: The last moment that RFC 3339 can write.
_LAST_MOMENT: Final = 253_402_300_799_999_000
_ESCAPED: Final = "\\,|"
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


class Term(Record, frozen=True, kw_only=True):
    """One thing that is waited for."""

    branch: int
    kind: TermKind
    #: A task's id, an absolute path; empty for the others.
    target: str = ""
    #: The status of the task that is waited for.
    status: str | None = None
    #: The moment of a timer. Of the others: when they are to be looked at.
    due: int | None = None
    met_at: int | None = None


class Wait(Record, frozen=True, kw_only=True):
    """What a task waits for, or has waited for last."""

    task: str
    #: The number of the attempt that waits.
    agent: int | None
    #: As it was said.
    condition: str
    #: The number of the question that it asks.
    question: int | None = None
    since: int
    woken_at: int | None = None
    #: What has ended it.
    reason: str | None = None
    #: How many in a row, with this one, came right after waits that were soon over.
    quick: int = 0
    #: While it lasts, all of them; afterwards those that were met.
    terms: tuple[Term, ...] = ()


class WaitState(Record, frozen=True, kw_only=True):
    """A wait that lasts, with all that it depends on."""

    wait: Wait
    #: How the tasks stand that it waits for.
    statuses: Mapping[str, Status] = field(default_factory=dict)
    #: Who has written since it waits; null: nobody.
    message_by: str | None = None
    #: Who has answered; null: nobody.
    answer_by: str | None = None
    #: The question, in words.
    question: str | None = None
    #: A person waits, so there is nobody who could spin.
    human: bool = False


class Needs(Record, frozen=True, kw_only=True):
    """What a task that has not settled needs of others."""

    #: The dependencies that are not met.
    edges: tuple[str, ...] = ()
    #: While it waits: the tasks that each branch waits for still.
    branches: tuple[tuple[str, ...], ...] = ()


def parse_condition(text: str, now: int) -> tuple[Term, ...]:
    """Reads what `--until` says. Paths are left as they are.

    Raises:
        UsageError: It is not understood; the hint has the grammar.
    """
    terms: list[Term] = []
    for number, branch in enumerate(_split(text, "|")):
        terms.extend(_parse_term(part, number, now) for part in _split(branch, ","))
    if len(terms) > MOST_TERMS:
        raise UsageError(
            f"{len(terms)} terms are too many to wait for",
            hint=f"at most {MOST_TERMS}",
        )
    return tuple(terms)


def write_term(term: Term) -> str:
    """One term as it would be said."""
    match term.kind:
        case "task":
            return f"task:{term.target}={term.status}"
        case "timer":
            return f"timer:{to_rfc3339(term.due or 0)}"
        case "file":
            escaped = "".join(
                f"\\{char}" if char in _ESCAPED else char for char in term.target
            )
            return f"file:{escaped}"
        case "message" | "answer":
            return term.kind


def is_met(term: Term, state: WaitState, now: int) -> bool:
    """Whether a term is met at this moment. A file counts once it was there."""
    match term.kind:
        case "task":
            at = state.statuses.get(term.target)
            return at is not None and at in MET_BY[term.status or ""]
        case "timer":
            return term.due is not None and term.due <= now
        case "message":
            return state.message_by is not None
        case "answer":
            return state.answer_by is not None
        case "file":
            return term.met_at is not None or term.due is not None


def met_branch(state: WaitState, now: int) -> tuple[Term, ...] | None:
    """The first branch all terms of which are met; null while none is."""
    for branch in branches_of(state.wait.terms):
        if all(is_met(term, state, now) for term in branch):
            return branch
    return None


def branches_of(terms: Iterable[Term]) -> tuple[tuple[Term, ...], ...]:
    """The terms by branches, each in the order in which it was said."""
    found: dict[int, list[Term]] = {}
    for term in terms:
        found.setdefault(term.branch, []).append(term)
    return tuple(tuple(branch) for branch in found.values())


def say_met(term: Term, state: WaitState) -> str:
    """What has ended a wait, in a few words."""
    match term.kind:
        case "task":
            at = state.statuses.get(term.target, term.status)
            return f"{term.target} is {at}"
        case "timer":
            return f"{to_rfc3339(term.due or 0)} has come"
        case "message":
            return f"a message of {state.message_by} has come"
        case "answer":
            return f"{state.answer_by} has answered"
        case "file":
            return f"{term.target} is there"


def unsatisfiable(term: Term, status: Status | None) -> str | None:
    """Why a term can't be met unless an operator does something; null: it can.

    Args:
        term: What is waited for.
        status: How its task stands.
    """
    if term.kind != "task" or status is None:
        return None
    settled = status in MEETS["settled"]
    if not settled or status in MET_BY[term.status or ""]:
        return None
    return f"{term.target} is {status} already, and won't be {term.status}"


def find_circle(
    start: str, targets: Iterable[str], needs: Mapping[str, Needs]
) -> tuple[str, ...] | None:
    """How one of some tasks needs `start` before it can settle; null: none does.

    A task in waiting needs it only if every branch of what it waits for does. Pure.

    Args:
        start: The task that is about to wait.
        targets: What it would wait for.
        needs: What each task needs that a target needs, near or far.

    Returns:
        The tasks in between, from the target on, `start` the last one.
    """
    needed_by: dict[str, list[str]] = {}
    for task, need in needs.items():
        for other in {*need.edges, *(t for branch in need.branches for t in branch)}:
            needed_by.setdefault(other, []).append(task)
    #: The stuck, each with the one that it is stuck on.
    stuck = {start: start}
    queue = deque([start])
    while queue:
        here = queue.popleft()
        for task in needed_by.get(here, ()):
            if task not in stuck and _is_stuck(needs[task], stuck):
                stuck[task] = here
                queue.append(task)
    target = next((target for target in targets if target in stuck), None)
    if target is None:
        return None
    path = [target]
    while path[-1] != start:
        path.append(stuck[path[-1]])
    return tuple(path)


def _is_stuck(need: Needs, stuck: Mapping[str, str]) -> bool:
    if any(edge in stuck for edge in need.edges):
        return True
    return bool(need.branches) and all(
        any(target in stuck for target in branch) for branch in need.branches
    )


def _parse_term(text: str, branch: int, now: int) -> Term:
    said = text.strip()
    kind, colon, rest = said.partition(":")
    match kind:
        case "message" if not colon:
            return Term(branch=branch, kind="message")
        case "timer" if rest.strip():
            try:
                due = max(parse_moment(rest, now), 0)
            except (UsageError, OverflowError) as error:
                raise _not_understood(said) from error
            if due > _LAST_MOMENT:
                raise _not_understood(said)
            return Term(branch=branch, kind="timer", due=due)
        case "task":
            target, _, status = rest.rpartition("=")
            if target.strip() and status.strip() in MET_BY:
                return Term(
                    branch=branch,
                    kind="task",
                    target=target.strip(),
                    status=status.strip(),
                )
        case "file" if rest and "\0" not in rest:
            return Term(branch=branch, kind="file", target=_unescape(rest))
        case _:
            pass
    raise _not_understood(said)


def _not_understood(said: str) -> UsageError:
    what = (
        f"{said!r} is nothing to wait for" if said else "there is nothing to wait for"
    )
    return UsageError(what, hint=GRAMMAR)


def _split(text: str, at: str) -> Iterator[str]:
    """The pieces between marks that are not escaped, escapes left as they are."""
    piece: list[str] = []
    escaped = False
    for char in text:
        if char == at and not escaped:
            yield "".join(piece)
            piece = []
            continue
        piece.append(char)
        escaped = char == "\\" and not escaped
    yield "".join(piece)


def _unescape(text: str) -> str:
    return _ESCAPE.sub(r"\1", text)
