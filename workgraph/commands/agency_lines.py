"""The lines of an export about who was chosen, how it was judged, and errands."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, field

from workgraph.commands.line_base import MOST, LineBase
from workgraph.graph.errands import ErrandKind
from workgraph.graph.model import Complexity

Fraction = Annotated[float, Meta(ge=0, le=1)]
Attempt = Annotated[int, Meta(ge=1, le=MOST)]


class AgencyLine(LineBase, frozen=True, kw_only=True):
    """The base of these lines."""

    task: str


class RewardLine(AgencyLine, frozen=True, kw_only=True, tag="reward"):
    """What a source says of an attempt."""

    attempt: Attempt
    source: str
    actor: str | None = None
    actor_id: str | None = None
    role: str | None = None
    tradeoff: str | None = None
    skills: tuple[str, ...] = ()
    complexity: Complexity | None = None
    score: Fraction
    given: Fraction | None = None
    dimensions: Mapping[str, Fraction] = field(default_factory=dict)
    rubric: str
    by: str | None = None
    notes: str | None = None
    at: str | None = None


class ChoiceLine(AgencyLine, frozen=True, kw_only=True, tag="choice"):
    """How an actor was chosen."""

    attempt: Attempt
    actor: str
    propensity: Annotated[float, Meta(gt=0, le=1)]
    greedy: str
    #: JSON as a text, to the byte as it was written.
    candidates: str
    at: str | None = None


class ErrandLine(AgencyLine, frozen=True, kw_only=True, tag="errand"):
    """What a task of the machinery is for."""

    errand: ErrandKind
    about: str | None = None
    attempt: Attempt | None = None
    part: str = ""
    #: These two are JSON as a text.
    given: str | None = None
    verdict: str | None = None
