"""The line of an export that tells of an evaluator tried on known answers."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, field

from workgraph.commands.line_base import MOST, LineBase
from workgraph.graph.model import Record

Fraction = Annotated[float, Meta(ge=0, le=1)]


class CanaryAnswerRef(
    Record, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What was answered to a case."""

    score: Fraction
    given: Fraction | None = None
    dimensions: Mapping[str, Fraction] = field(default_factory=dict)
    notes: str | None = None


class CanaryCaseRef(
    Record, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A case in its run's line."""

    name: str
    digest: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    score: Fraction
    dimensions: Mapping[str, Fraction] = field(default_factory=dict)
    #: The errand that the evaluator was given.
    task: str
    answer: CanaryAnswerRef | None = None


class CanaryLine(LineBase, frozen=True, kw_only=True, tag="canary"):
    """A try of an evaluator, with its cases in order."""

    number: Annotated[int, Meta(ge=1, le=MOST)]
    actor: str
    actor_id: str
    rubric: str
    by: str
    at: str
    cases: Annotated[tuple[CanaryCaseRef, ...], Meta(min_length=1)]
