"""Judgements as they are asked for, given and shown."""

from collections.abc import Mapping
from typing import Literal

from msgspec import field

from workgraph.graph.canary_requests import OverridesData
from workgraph.graph.model import Record
from workgraph.graph.task_options import Request

StatsBy = Literal["skill", "source"]


class RecordReward(Request, frozen=True, kw_only=True, tag="reward_record"):
    """Judges an attempt at a task: from 0 to 1, as a whole or by dimensions."""

    task: str | None = None
    score: float | None = None
    #: By name; those of the rubric make the score.
    dim: Mapping[str, float] = field(default_factory=dict)
    notes: str | None = None
    #: Who judges; an operator who says nothing else is `operator`.
    source: str | None = None
    #: Null: the last one that is over.
    attempt: int | None = None


class ShowRewards(Request, frozen=True, kw_only=True, tag="reward_show"):
    """The judgements of a task; without one those that were given last."""

    task: str | None = None


class GetStats(Request, frozen=True, kw_only=True, tag="actor_stats"):
    """How actors, roles, tradeoffs and their pairs stand by what was judged."""

    #: Only this one, by name or id, with its role and tradeoff.
    actor: str | None = None
    by: StatsBy | None = None


class TaskReward(Record, frozen=True, kw_only=True):
    """What counts of a task's judgements, in the task (CONTRACT §3.4)."""

    score: float
    dimensions: Mapping[str, float]
    by: str


class RewardData(Record, frozen=True, kw_only=True):
    """A judgement of an attempt (CONTRACT §3.4)."""

    task: str
    attempt: int
    #: Whose work it is.
    actor: str | None
    score: float
    dimensions: Mapping[str, float]
    source: str
    by: str
    rubric: str
    notes: str | None
    at: str
    #: The score that was said, where this one comes from the dimensions.
    given: float | None
    #: It is the one that counts of its attempt.
    counts: bool


class StandingData(Record, frozen=True, kw_only=True):
    """How somebody stands: the mean of what counts, and between what it truly lies."""

    kind: Literal["actor", "role", "tradeoff", "pair"]
    #: Of a pair that of the role, a blank, that of the tradeoff.
    id: str
    name: str
    #: It was changed into another one, or removed.
    retired: bool
    #: Of the work, with `--by skill`; null: of all.
    skill: str | None
    complexity: str | None
    #: With `--by source`: what this one says, whether it counts or not.
    source: str | None
    count: int
    mean: float | None
    low: float
    high: float


class OverrideData(Record, frozen=True, kw_only=True):
    """What operators say of an actor's attempts that evaluators have judged, too."""

    id: str
    name: str
    count: int
    #: The means of both over the same attempts, and the first less the second.
    operator: float
    evaluator: float
    difference: float


class StatsData(Record, frozen=True, kw_only=True):
    """The record, by the rubric of today."""

    rubric: str
    #: How many of a hundred intervals hold the true mean.
    level: int
    rows: tuple[StandingData, ...]
    overrides: tuple[OverrideData, ...]
    #: What operators said of work that this actor has judged, too; null where none is
    #: named, or has judged nothing that they have.
    as_evaluator: OverridesData | None = None
