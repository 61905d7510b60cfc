"""The lines of an export about choices, judgements, errands and proposals."""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, field

from workgraph.commands.line_base import MOST, Count, LineBase
from workgraph.graph.errands import ErrandKind
from workgraph.graph.model import Complexity, Record
from workgraph.graph.proposals import Becomes, ProposalKind, ProposalStatus

Fraction = Annotated[float, Meta(ge=0, le=1)]
Attempt = Annotated[int, Meta(ge=1, le=MOST)]


class AgencyLine(LineBase, frozen=True, kw_only=True):
    """The base of these lines."""


class AboutTask(AgencyLine, frozen=True, kw_only=True):
    """The base of those that are about a task."""

    task: str


class RewardLine(AboutTask, frozen=True, kw_only=True, tag="reward"):
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


class ChoiceLine(AboutTask, frozen=True, kw_only=True, tag="choice"):
    """How an actor was chosen."""

    attempt: Attempt
    actor: str
    propensity: Annotated[float, Meta(gt=0, le=1)]
    greedy: str
    #: JSON as a text, to the byte as it was written.
    candidates: str
    at: str | None = None


class ErrandLine(AboutTask, frozen=True, kw_only=True, tag="errand"):
    """What a task of the machinery is for."""

    errand: ErrandKind
    about: str | None = None
    attempt: Attempt | None = None
    part: str = ""
    #: These two are JSON as a text.
    given: str | None = None
    verdict: str | None = None


class LookRef(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A look at a trial in its proposal's line."""

    number: Attempt
    at: str
    child_count: Count
    child_mean: Fraction
    parent_count: Count
    parent_mean: Fraction
    probability: Fraction


class ProposalLine(AgencyLine, frozen=True, kw_only=True, tag="proposal"):
    """A change to who does the work, and what has become of it."""

    number: Attempt
    proposes: ProposalKind
    subject: str
    change: Becomes = Becomes()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    reason: str
    by: str | None = None
    status: ProposalStatus
    created_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    child: str | None = None
    share: Fraction | None = None
    looks: tuple[LookRef, ...] = ()
    approved_by: str | None = None
    result: str | None = None
