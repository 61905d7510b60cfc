"""Trajectories out of the graph and into it, as lines of an export.

A reservation is no claim: it is taken along, as a person's is. The attempt that runs is
not (docs/adr/0008), so the next one at that step begins in a session of its own.
"""

from collections.abc import Iterator, Mapping

from workgraph.commands.line_errors import bad_line
from workgraph.commands.tie_lines import StepRef, TrajectoryLine
from workgraph.commands.transfer_lines import (
    read_moment,
    write_moment,
)
from workgraph.graph.errors import ConflictError
from workgraph.graph.model import parse_agent_id
from workgraph.graph.status import SETTLED, Status
from workgraph.store import trajectory_rows as rows
from workgraph.store.database import Tx


def trajectory_lines(tx: Tx, live: set[str]) -> Iterator[TrajectoryLine]:
    """All trajectories in order, without the agents that have not ended."""
    for stored in rows.every(tx):
        agent = None if stored.agent is None else f"agent-{stored.agent}"
        yield TrajectoryLine(
            number=stored.number,
            actor=stored.actor,
            human=stored.human,
            by=stored.by,
            agent=None if agent in live else agent,
            steps=tuple(
                StepRef(task=task, left_at=_moment(left_at))
                for task, left_at in stored.steps
            ),
            created_at=write_moment(stored.created_at),
            ended_at=_moment(stored.ended_at),
            reason=stored.reason,
        )


class TrajectoryBatch:
    """The trajectories of an import: `take` each, `settle` once, then `write`.

    Args:
        tx: The transaction.
        by: Who imports.
    """

    def __init__(self, tx: Tx, by: str) -> None:
        self._tx = tx
        self._by = by
        self._lines: dict[int, tuple[int, TrajectoryLine]] = {}
        self._stored: list[rows.StoredTrajectory] = []

    def take(self, number: int, line: TrajectoryLine) -> None:
        """Takes a line.

        Raises:
            UserError: There are two of its number.
        """
        if line.number in self._lines:
            first = self._lines[line.number][0]
            what = f"trajectory {line.number} is in line {first} already"
            raise bad_line(number, what)
        self._lines[line.number] = (number, line)

    def settle(self, statuses: Mapping[str, Status], agents: set[int]) -> None:
        """Judges them against the tasks and attempts that come in.

        Raises:
            UserError: A line does not fit the others.
            ConflictError: A number is taken.
        """
        taken = rows.taken(self._tx, self._lines)
        reserved: dict[str, int] = {}
        for one, (number, line) in sorted(self._lines.items()):
            if one in taken:
                raise ConflictError(
                    f"line {number}: there is another trajectory {one}",
                    hint="nothing was imported: import it into an empty graph",
                )
            for step in line.steps:
                if step.task not in statuses:
                    what = f"the task {step.task!r} is not in this file"
                    raise bad_line(number, what)
                if step.left_at is None:
                    self._check_step(number, step, statuses[step.task], reserved)
            self._stored.append(self._to_store(number, line, agents))

    def write(self) -> None:
        """Writes all of them."""
        rows.insert(self._tx, self._stored)

    def _check_step(
        self, number: int, step: StepRef, status: Status, reserved: dict[str, int]
    ) -> None:
        first = reserved.setdefault(step.task, number)
        if first != number:
            raise bad_line(number, f"{step.task} is reserved in line {first} already")
        if status in SETTLED:
            raise bad_line(number, f"{step.task} is {status} and said to be reserved")

    def _to_store(
        self, number: int, line: TrajectoryLine, agents: set[int]
    ) -> rows.StoredTrajectory:
        now = self._tx.now
        names = [step.task for step in line.steps]
        if len(set(names)) < len(names):
            raise bad_line(number, "steps: a task is there twice")
        is_over = all(step.left_at is not None for step in line.steps)
        if is_over != (line.ended_at is not None):
            raise bad_line(number, "ended_at: it is over when all steps have left it")
        agent = None if line.agent is None else parse_agent_id(line.agent)
        if line.agent is not None and agent not in agents:
            raise bad_line(number, f"{line.agent} is not in this file")
        created_at = read_moment(number, "created_at", line.created_at, now)
        return rows.StoredTrajectory(
            number=line.number,
            actor=line.actor,
            human=line.human,
            by=self._by if line.by is None else line.by,
            agent=agent,
            steps=tuple(
                (step.task, read_moment(number, "steps", step.left_at, now))
                for step in line.steps
            ),
            created_at=now if created_at is None else created_at,
            ended_at=read_moment(number, "ended_at", line.ended_at, now),
            reason=line.reason,
        )


def _moment(micros: int | None) -> str | None:
    return None if micros is None else write_moment(micros)
