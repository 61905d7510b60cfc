"""Requests about evaluators that are tried on known answers, and what is told of it."""

from collections.abc import Mapping

from workgraph.graph.calibration import Fit, Interval
from workgraph.graph.model import Record
from workgraph.graph.task_options import Request


class RunCanaries(Request, frozen=True, kw_only=True, tag="canary_run"):
    """Tries the evaluator on cases with known answers; answered when all are settled.

    `text` is the file of cases, JSON lines.
    """

    text: str


class GetCanaries(Request, frozen=True, kw_only=True, tag="canary"):
    """How a try came out; without a number the last one."""

    run: int | None = None


CanaryRequest = RunCanaries | GetCanaries


class CanaryData(Record, frozen=True, kw_only=True):
    """A case with its known answer, and what came of it."""

    name: str
    #: The errand that the evaluator was given, and how that stands.
    task: str
    status: str
    expected: float
    #: Null: no valid answer, or none yet.
    answered: float | None
    difference: float | None
    #: What the evaluator said itself, where the score was made from its dimensions.
    given: float | None
    expected_dimensions: Mapping[str, float]
    dimensions: Mapping[str, float]
    notes: str | None
    #: Its answer to the same case in the last run before.
    before: float | None


class DriftData(Record, frozen=True, kw_only=True):
    """How the answers have moved since an earlier run."""

    run: int
    at: str
    #: How many cases both runs have an answer to.
    cases: int
    change: Interval


class OverridesData(Record, frozen=True, kw_only=True):
    """What operators say of work that the evaluator has judged, too."""

    count: int
    #: The operator's score less the evaluator's; null where there are none.
    difference: Interval | None


class CalibrationData(Record, frozen=True, kw_only=True):
    """A try of an evaluator (`wg reward canary`)."""

    run: int
    evaluator: str
    evaluator_id: str
    rubric: str
    at: str
    fit: Fit
    cases: tuple[CanaryData, ...]
    #: Against earlier runs of the same evaluator, the last one first.
    drift: tuple[DriftData, ...]
    overrides: OverridesData
