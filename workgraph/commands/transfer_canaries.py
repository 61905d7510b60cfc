"""Evaluators tried on known answers, in an export and an import."""

from collections.abc import Collection, Iterator

from msgspec import structs

from workgraph.commands.canary_line import CanaryAnswerRef, CanaryCaseRef, CanaryLine
from workgraph.commands.line_errors import bad_line, conflict_in
from workgraph.commands.transfer_lines import read_moment, write_moment
from workgraph.store import calibration
from workgraph.store.calibration import Answer, CanaryRun, StoredCase
from workgraph.store.database import Tx


def canary_lines(tx: Tx) -> Iterator[CanaryLine]:
    """A line for each run, the first one first."""
    for run in calibration.runs(tx):
        yield CanaryLine(
            number=run.number,
            actor=run.actor,
            actor_id=run.actor_id,
            rubric=run.rubric,
            by=run.by,
            at=write_moment(run.at),
            cases=tuple(map(_case_ref, calibration.cases(tx, run.number))),
        )


class CanaryBatch:
    """The runs that come in: `take` each line, `settle` once, then `write`."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._lines: dict[int, tuple[int, CanaryLine]] = {}

    def take(self, number: int, line: CanaryLine) -> None:
        """Takes a line, as far as it can be judged alone.

        Raises:
            UserError: Its run is in another line already.
        """
        first = self._lines.setdefault(line.number, (number, line))[0]
        if first != number:
            raise bad_line(number, f"run {line.number} is in line {first} already")

    def settle(self, tasks: Collection[str]) -> None:
        """Judges the runs.

        Args:
            tasks: Those that come in.

        Raises:
            UserError: An errand of a run does not come in, or is of two cases.
            ConflictError: There is a run of that number.
        """
        taken = {run.number for run in calibration.runs(self._tx)}
        seen: set[str] = set()
        for number, line in self._lines.values():
            if line.number in taken:
                what = f"there is another run {line.number} of known answers"
                raise conflict_in(number, what)
            for case in line.cases:
                if case.task not in tasks:
                    what = f"the task {case.task!r} is not in this file"
                    raise bad_line(number, what)
                if case.task in seen:
                    raise bad_line(number, f"{case.task} is of two cases")
                seen.add(case.task)

    def write(self) -> None:
        """Writes all of them; their tasks are there."""
        for number, line in self._lines.values():
            at = read_moment(number, "at", line.at, self._tx.now)
            assert at is not None
            run = CanaryRun(
                number=line.number,
                actor=line.actor,
                actor_id=line.actor_id,
                rubric=line.rubric,
                by=line.by,
                at=at,
            )
            cases = (_case(place, ref) for place, ref in enumerate(line.cases, start=1))
            calibration.insert_run(self._tx, run, cases)


def _case_ref(case: StoredCase) -> CanaryCaseRef:
    answer = case.answer
    return CanaryCaseRef(
        name=case.name,
        digest=case.digest,
        score=case.expected,
        dimensions=case.dimensions,
        task=case.task,
        answer=None if answer is None else CanaryAnswerRef(**structs.asdict(answer)),
    )


def _case(place: int, ref: CanaryCaseRef) -> StoredCase:
    answer = ref.answer
    return StoredCase(
        place=place,
        name=ref.name,
        digest=ref.digest,
        expected=ref.score,
        dimensions=ref.dimensions,
        task=ref.task,
        answer=None if answer is None else Answer(**structs.asdict(answer)),
    )
