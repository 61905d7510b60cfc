"""The question who could do a task, and its answer."""

from collections.abc import Mapping

from msgspec import field

from workgraph.graph.model import Record
from workgraph.graph.task_options import Request


class MatchActors(Request, frozen=True, kw_only=True, tag="match"):
    """Every actor for a task: its score with the parts, or why it is not chosen."""

    task: str | None = None
    #: People see what would be chosen, and the record behind the scores, too.
    explain: bool = False


class EvidenceData(Record, frozen=True, kw_only=True):
    """What is known of an actor's work of the kind that a task is."""

    #: Scores of its skills at its complexity; of several skills the mean.
    count: float
    #: Scores of its skills at whatever complexity, these among them.
    of_skill: float
    #: All its scores, these among them.
    of_all: float
    #: The score that is expected, and between which it is with 95 %.
    mean: float
    low: float
    high: float


class ChosenData(Record, frozen=True, kw_only=True):
    """The last choice of matching for a task, as it was written down."""

    attempt: int
    propensity: float
    #: Who was the best known then.
    greedy: str
    at: str


class MatchData(Record, frozen=True, kw_only=True):
    """How an actor fits a task (CONTRACT §3.4)."""

    actor: str
    actor_id: str
    capable: bool
    missing: tuple[str, ...]
    #: Null where it can't do it.
    score: float | None
    parts: Mapping[str, float] = field(default_factory=dict)
    #: Parts of which nothing is known.
    unknown: tuple[str, ...] = ()
    #: Why it is not chosen by itself.
    reason: str | None = None
    busy: bool = False
    #: With which probability it is chosen.
    propensity: float = 0.0
    #: It is the best known.
    greedy: bool = False
    #: It would be chosen now, for this attempt.
    chosen: bool = False
    attempt: int = 1
    record: EvidenceData | None = None
    #: It was the last that was chosen for the task.
    last: ChosenData | None = None
