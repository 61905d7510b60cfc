"""Tries of evaluators on cases with known answers, and people's word beside theirs."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec
from msgspec import field

from workgraph.graph.calibration import CanaryCase, Interval, interval
from workgraph.graph.changes import ChangeKind
from workgraph.graph.errors import NotFoundError
from workgraph.graph.model import Parked, Record
from workgraph.graph.rewards import EVALUATOR
from workgraph.graph.rubric import check_dimensions, score_of
from workgraph.graph.status import SETTLED, Status
from workgraph.store.database import Row, Tx
from workgraph.store.rows import encode

INSERT_RUN: Final = """
insert into canary_runs (number, actor, actor_id, rubric, by, at)
values (?, ?, ?, ?, ?, ?)
"""
INSERT_CASE: Final = """
insert into canary_cases (run, place, name, digest, expected, dimensions, task, answer)
values (?, ?, ?, ?, ?, ?, ?, ?)
"""
LAST: Final = "select max(number) from canary_runs"
RUN: Final = """
select number, actor, actor_id, rubric, by, at from canary_runs where number = ?
"""
RUNS: Final = """
select number, actor, actor_id, rubric, by, at from canary_runs order by number
"""
CASES: Final = """
select
    c.place, c.name, c.digest, c.expected, c.dimensions, c.task, c.answer, t.status,
    t.parked
from canary_cases c
join tasks t on t.id = c.task
where c.run = ? order by c.place
"""
EARLIER: Final = """
select c.run, r.at, c.digest, c.answer
from canary_runs r
join canary_cases c on c.run = r.number
where r.actor_id = ? and r.rubric = ? and r.number < ? and c.answer is not null
order by c.run, c.place
"""
ANSWER: Final = "update canary_cases set answer = ? where task = ?"
OVERRIDES: Final = """
select o.score - e.score
from rewards o indexed by rewards_operator
join rewards e
on e.task = o.task and e.attempt = o.attempt and e.source = 'evaluator'
where o.source = 'operator' and e.by = ? and e.rubric = ? and o.rubric = e.rubric
order by o.task, o.attempt
"""


#: Of a task alone; with a key it is held with all others of its executor, for a time.
_GIVEN_UP: Final = "quarantined"


class CanaryRun(Record, frozen=True, kw_only=True):
    """A try of an evaluator."""

    number: int
    actor: str
    actor_id: str
    rubric: str
    by: str
    at: int


class Answer(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What an evaluator has answered, as it was taken."""

    score: float
    #: What it said itself, where the score was made from its dimensions.
    given: float | None = None
    dimensions: Mapping[str, float] = field(default_factory=dict)
    notes: str | None = None


class StoredCase(Record, frozen=True, kw_only=True):
    """A case of a run, and how it stands."""

    place: int
    name: str
    digest: str
    expected: float
    dimensions: Mapping[str, float] = field(default_factory=dict)
    task: str
    answer: Answer | None = None
    #: How its errand stands; new ones are open.
    status: Status = Status.OPEN
    #: Why nobody is started on it; null: nothing is in the way.
    parked: Parked | None = None

    @property
    def settled(self) -> bool:
        """Whether there will be no further answer, unless somebody sees to it."""
        return self.answer is not None or self.status in SETTLED or self._is_given_up

    @property
    def _is_given_up(self) -> bool:
        """Whether it has come to nothing so often that it is not tried again."""
        parked = self.parked
        return parked is not None and (parked.code, parked.key) == (_GIVEN_UP, None)


class Earlier(Record, frozen=True, kw_only=True):
    """An answer of the same evaluator in an earlier run."""

    run: int
    at: int
    digest: str
    score: float


_decode_parked: Final = msgspec.json.Decoder(Parked).decode
_decode_answer: Final = msgspec.json.Decoder(Answer).decode
_decode_dimensions: Final = msgspec.json.Decoder(dict[str, float]).decode


def next_number(tx: Tx) -> int:
    """The number of the next run."""
    return (last_number(tx) or 0) + 1


def last_number(tx: Tx) -> int | None:
    """The number of the last run; null: there was none."""
    number: int | None = tx.value(LAST)
    return number


def insert_run(tx: Tx, run: CanaryRun, cases: Iterable[StoredCase]) -> None:
    """Keeps a run with its cases; their errands are there."""
    tx.run(
        INSERT_RUN, (run.number, run.actor, run.actor_id, run.rubric, run.by, run.at)
    )
    tx.many(
        INSERT_CASE,
        (
            (
                run.number,
                case.place,
                case.name,
                case.digest,
                case.expected,
                encode(case.dimensions).decode(),
                case.task,
                None if case.answer is None else encode(case.answer).decode(),
            )
            for case in cases
        ),
    )


def run_of(tx: Tx, number: int | None) -> CanaryRun:
    """A run by its number, or the last one.

    Raises:
        NotFoundError: There is none.
    """
    if number is None:
        number = last_number(tx)
    row = None if number is None else tx.one(RUN, (number,))
    if row is None:
        which = "no run" if number is None else f"no run {number}"
        raise NotFoundError(
            f"there is {which} of cases with known answers",
            hint="wg reward run --canary FILE",
        )
    return _decode_run(row)


def runs(tx: Tx) -> list[CanaryRun]:
    """All runs, the first one first."""
    return [_decode_run(row) for row in tx.rows(RUNS)]


def cases(tx: Tx, run: int) -> list[StoredCase]:
    """The cases of a run, in order."""
    return [
        StoredCase(
            place=row[0],
            name=row[1],
            digest=row[2],
            expected=row[3],
            dimensions=_decode_dimensions(row[4]),
            task=row[5],
            answer=None if row[6] is None else _decode_answer(row[6]),
            status=Status(row[7]),
            parked=None if row[8] is None else _decode_parked(row[8]),
        )
        for row in tx.rows(CASES, (run,))
    ]


def earlier(tx: Tx, run: CanaryRun) -> Iterator[Earlier]:
    """What the same evaluator answered before by the same rubric, the oldest first."""
    for row in tx.rows(EARLIER, (run.actor_id, run.rubric, run.number)):
        score = _decode_answer(row[3]).score
        yield Earlier(run=row[0], at=row[1], digest=row[2], score=score)


def keep_answer(
    tx: Tx,
    task: str,
    said: float | None,
    dimensions: Mapping[str, float],
    notes: str | None,
) -> None:
    """Keeps what an errand has brought, its score made as that of any judgement.

    Args:
        tx: The transaction.
        task: The errand.
        said: The score that was said, if one was.
        dimensions: As they were said.
        notes: What was said besides.

    Raises:
        UsageError: A number is out of range, or there is nothing to make a score of.
    """
    found = check_dimensions(dimensions.items())
    score, given = score_of(EVALUATOR, said, found)
    answer = Answer(score=score, given=given, dimensions=found, notes=notes or None)
    tx.run(ANSWER, (encode(answer).decode(), task))


def overrides(tx: Tx, evaluator: str, rubric: str) -> tuple[int, Interval | None]:
    """How people's scores differ from an evaluator's for the same attempts.

    Args:
        tx: The transaction.
        evaluator: Its name.
        rubric: By which both have to be.

    Returns:
        How many attempts both have judged, and what operators said less what the
        evaluator had said, on average; null where there are none.
    """
    found = [row[0] for row in tx.rows(OVERRIDES, (evaluator, rubric))]
    return len(found), interval(found) if found else None


def tell_begun(tx: Tx, run: CanaryRun, count: int) -> None:
    """Writes down that an evaluator is tried."""
    tx.emit(
        ChangeKind.CANARIES_STARTED,
        actor=run.actor,
        by=run.by,
        to=str(run.number),
        reason=f"{count} cases",
    )


def as_case(case: StoredCase, before: float | None) -> CanaryCase:
    """A case as it is measured.

    Args:
        case: As it is kept.
        before: What the same evaluator answered to it the last time.
    """
    return CanaryCase(
        name=case.name,
        expected=case.expected,
        dimensions=case.dimensions,
        answered=None if case.answer is None else case.answer.score,
        answered_dimensions={} if case.answer is None else case.answer.dimensions,
        settled=case.settled,
        before=before,
    )


def _decode_run(row: Row) -> CanaryRun:
    return CanaryRun(
        number=row[0],
        actor=row[1],
        actor_id=row[2],
        rubric=row[3],
        by=row[4],
        at=row[5],
    )
