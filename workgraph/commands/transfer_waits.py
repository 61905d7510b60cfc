"""Waits in an export and an import: a line for each, and what is stored of it."""

from collections.abc import Collection, Mapping
from typing import Final

from workgraph.commands.line_errors import bad_line
from workgraph.commands.transfer_lines import (
    read_moment,
    write_moment,
)
from workgraph.commands.wait_line import TermRef, WaitLine
from workgraph.graph.model import parse_agent_id
from workgraph.graph.status import Status
from workgraph.graph.waits import MET_BY, MOST_TERMS, Term, Wait
from workgraph.store import waits
from workgraph.store.database import Tx

_TIMED: Final = frozenset({"timer", "file"})
#: What a task in waiting waits for that does not say what for.
_ANYTHING: Final = (Term(branch=0, kind="message"),)


def wait_line(wait: Wait, live: Collection[str]) -> WaitLine:
    """A wait as it is written down; of attempts that are `live` nothing is said."""
    agent = None if wait.agent is None else f"agent-{wait.agent}"
    return WaitLine(
        task=wait.task,
        agent=None if agent in live else agent,
        condition=wait.condition,
        question=wait.question,
        since=write_moment(wait.since),
        woken_at=_moment(wait.woken_at),
        reason=wait.reason,
        quick=wait.quick,
        terms=tuple(
            TermRef(
                branch=term.branch,
                kind=term.kind,
                target=term.target,
                status=term.status,
                # Of others it is a mark for the next tick.
                due=_moment(term.due) if term.kind in _TIMED else None,
                met_at=_moment(term.met_at),
            )
            for term in wait.terms
        ),
    )


class WaitBatch:
    """The waits that come in: `take` each line, `settle` once, then `write`."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._lines: dict[str, tuple[int, WaitLine]] = {}
        self._waits: list[Wait] = []
        #: How the tasks stand that come in, and which are there already.
        self._statuses: Mapping[str, Status] = {}
        self._known: Collection[str] = ()

    def take(self, number: int, line: WaitLine) -> None:
        """Takes a line, as far as it can be judged alone.

        Raises:
            UserError: There is one for its task already, or it has too much of it.
        """
        first = self._lines.setdefault(line.task, (number, line))[0]
        if first != number:
            raise bad_line(
                number, f"the wait of {line.task} is in line {first} already"
            )
        if len(line.terms) > MOST_TERMS:
            raise bad_line(number, f"terms: at most {MOST_TERMS}")

    def targets(self) -> set[str]:
        """The tasks that are waited for."""
        return {
            term.target
            for _, line in self._lines.values()
            for term in line.terms
            if term.kind == "task"
        }

    def settle(
        self,
        statuses: Mapping[str, Status],
        known: Collection[str],
        agents: Collection[int],
    ) -> None:
        """Judges the waits; a task in waiting without one waits for a message.

        Args:
            statuses: How the tasks stand that come in.
            known: The tasks that are there already.
            agents: The numbers of the attempts that come in.

        Raises:
            UserError: A line does not fit the others.
        """
        self._statuses, self._known = statuses, known
        for number, line in self._lines.values():
            if line.agent is not None and parse_agent_id(line.agent) not in agents:
                what = f"the attempt {line.agent!r} is not in this file"
                raise bad_line(number, what)
            self._waits.append(self._wait(number, line))
        now = self._tx.now
        self._waits.extend(
            Wait(task=task, agent=None, condition="message", since=now, terms=_ANYTHING)
            for task, status in statuses.items()
            if status is Status.WAITING and task not in self._lines
        )

    def write(self) -> None:
        """Writes all of them; tasks, attempts and messages are there."""
        waits.insert(self._tx, self._waits)

    def _wait(self, number: int, line: WaitLine) -> Wait:
        status = self._statuses.get(line.task)
        if status is None:
            raise bad_line(number, f"the task {line.task!r} is not in this file")
        lasts = line.woken_at is None
        if (status is Status.WAITING) != lasts:
            how = "lasts" if lasts else "is over"
            raise bad_line(number, f"{line.task} is {status}, and its wait {how}")
        if lasts and not line.terms:
            raise bad_line(number, f"terms: {line.task} waits for nothing")
        since = read_moment(number, "since", line.since, self._tx.now)
        assert since is not None
        return Wait(
            task=line.task,
            agent=parse_agent_id(line.agent or ""),
            condition=line.condition,
            question=line.question,
            since=since,
            woken_at=read_moment(number, "woken_at", line.woken_at, self._tx.now),
            reason=line.reason,
            quick=line.quick,
            terms=tuple(self._term(number, ref) for ref in line.terms),
        )

    def _term(self, number: int, ref: TermRef) -> Term:
        if ref.kind == "task":
            if ref.status not in MET_BY:
                raise bad_line(number, f"terms: {ref.status!r} is nothing to wait for")
            if ref.target not in self._statuses and ref.target not in self._known:
                raise bad_line(number, f"terms: there is no task {ref.target!r}")
        if ref.kind == "timer" and ref.due is None:
            raise bad_line(number, "terms: a timer has no moment")
        return Term(
            branch=ref.branch,
            kind=ref.kind,
            target=ref.target,
            status=ref.status,
            due=read_moment(number, "due", ref.due, self._tx.now),
            met_at=read_moment(number, "met_at", ref.met_at, self._tx.now),
        )


def _moment(micros: int | None) -> str | None:
    return None if micros is None else write_moment(micros)
