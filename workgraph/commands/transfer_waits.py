"""Waits in an export and an import: a line for each, and what is stored of it."""

from collections.abc import Collection, Mapping
from typing import Final

from workgraph.commands.transfer_lines import (
    TermRef,
    WaitLine,
    bad_line,
    read_moment,
    write_moment,
)
from workgraph.graph.model import parse_agent_id
from workgraph.graph.status import Status
from workgraph.graph.waits import MET_BY, MOST_TERMS, Term, Wait

#: What a task in waiting waits for that does not say what for.
_ANYTHING: Final = (Term(branch=0, kind="message"),)


def wait_line(wait: Wait, agents: Collection[str]) -> WaitLine:
    """A wait as it is written down.

    Args:
        wait: What a task waits for.
        agents: The attempts that are written down, too; of others nothing is said.
    """
    agent = None if wait.agent is None else f"agent-{wait.agent}"
    return WaitLine(
        task=wait.task,
        agent=agent if agent in agents else None,
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
                due=_moment(term.due),
                met_at=_moment(term.met_at),
            )
            for term in wait.terms
        ),
    )


class WaitLines:
    """The waits of an import, gathered, then judged when everything is there."""

    def __init__(self) -> None:
        self._lines: dict[str, tuple[int, WaitLine]] = {}

    def take(self, number: int, line: WaitLine) -> None:
        """Takes a line.

        Raises:
            UserError: There is one for its task already, or it has too much of it.
        """
        if line.task in self._lines:
            first = self._lines[line.task][0]
            raise bad_line(number, f"the wait of {line.task} is in line {first}")
        if len(line.terms) > MOST_TERMS:
            raise bad_line(number, f"terms: at most {MOST_TERMS}")
        self._lines[line.task] = (number, line)

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
        tasks: Mapping[str, Status],
        known: Collection[str],
        agents: Collection[int],
        now: int,
    ) -> list[Wait]:
        """The waits that come in; a task in waiting without one waits for a message.

        Args:
            tasks: How the tasks stand that come in.
            known: The tasks that are there already.
            agents: The numbers of the attempts that come in.
            now: The moment of the import.

        Raises:
            UserError: A line does not fit the others.
        """
        found = [
            self._wait(number, line, tasks, known, agents, now)
            for number, line in self._lines.values()
        ]
        found.extend(
            Wait(task=task, agent=None, condition="message", since=now, terms=_ANYTHING)
            for task, status in tasks.items()
            if status is Status.WAITING and task not in self._lines
        )
        return found

    def _wait(
        self,
        number: int,
        line: WaitLine,
        tasks: Mapping[str, Status],
        known: Collection[str],
        agents: Collection[int],
        now: int,
    ) -> Wait:
        status = tasks.get(line.task)
        if status is None:
            raise bad_line(number, f"the task {line.task!r} is not in this file")
        if (status is Status.WAITING) != (line.woken_at is None):
            what = f"{line.task} is {status}: its wait "
            what += "is over" if line.woken_at else "lasts"
            raise bad_line(number, what)
        agent = None if line.agent is None else parse_agent_id(line.agent)
        if line.agent is not None and agent not in agents:
            raise bad_line(number, f"the attempt {line.agent!r} is not in this file")
        if status is Status.WAITING and not line.terms:
            raise bad_line(number, f"terms: {line.task} waits for nothing")
        since = read_moment(number, "since", line.since, now)
        assert since is not None
        return Wait(
            task=line.task,
            agent=agent,
            condition=line.condition,
            question=line.question,
            since=since,
            woken_at=read_moment(number, "woken_at", line.woken_at, now),
            reason=line.reason,
            quick=line.quick,
            terms=tuple(
                _term(number, ref, tasks, known, now)
                for ref in sorted(line.terms, key=lambda ref: ref.branch)
            ),
        )


def _term(
    number: int,
    ref: TermRef,
    tasks: Mapping[str, Status],
    known: Collection[str],
    now: int,
) -> Term:
    if ref.kind == "task":
        if ref.status not in MET_BY:
            raise bad_line(number, f"terms: {ref.status!r} is nothing to wait for")
        if ref.target not in tasks and ref.target not in known:
            raise bad_line(number, f"terms: there is no task {ref.target!r}")
    if ref.kind == "timer" and ref.due is None:
        raise bad_line(number, "terms: a timer has no moment")
    return Term(
        branch=ref.branch,
        kind=ref.kind,
        target=ref.target,
        status=ref.status,
        due=read_moment(number, "due", ref.due, now),
        met_at=read_moment(number, "met_at", ref.met_at, now),
    )


def _moment(micros: int | None) -> str | None:
    return None if micros is None else write_moment(micros)
