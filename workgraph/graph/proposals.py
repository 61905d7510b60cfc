"""Proposals to change who does the work: what is asked for, kept and shown of them.

A proposal is data. What is changed starts as an actor beside the one that it comes
from, its parent, and takes that one's place when the record says that it does the work
better. `graph/evolution` makes proposals, `graph/comparison` judges trials.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, Literal

import msgspec
from msgspec import field

from workgraph.graph.model import Record
from workgraph.graph.task_options import Request

ProposalKind = Literal["role", "tradeoff", "actor", "retire"]
Verdict = Literal["approve", "reject"]

#: Its tag, and the start of the ids of tasks in which an actor makes proposals.
TAG: Final = "evolution"
ERRAND: Final = ".evolve-"
#: Who makes them where no actor does.
STRATEGY: Final = "evolve"


class ProposalStatus(StrEnum):
    """What has become of a proposal."""

    #: Nothing yet: another one about the same actor goes first.
    PROPOSED = "proposed"
    #: A person has to say yes or no.
    WAITING = "waiting"
    #: The changed actor works beside its parent.
    TRIAL = "trial"
    #: It has taken its parent's place.
    PROMOTED = "promoted"
    #: The trial has not shown that it is better; of `retire`: the actor is retired.
    RETIRED = "retired"
    REJECTED = "rejected"


#: Nothing new is proposed of an actor while one of these is about it.
OPEN: Final = frozenset(
    {ProposalStatus.PROPOSED, ProposalStatus.WAITING, ProposalStatus.TRIAL}
)


class Becomes(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What the fields become that are changed; null: that one stays as it is."""

    #: Of a role, or of a tradeoff.
    description: str | None = None
    #: Of a role: what it is to have brought about.
    outcome: str | None = None
    #: Of a tradeoff: compromises, and hard constraints.
    accept: tuple[str, ...] | None = None
    reject: tuple[str, ...] | None = None
    #: Of an actor.
    skills: tuple[str, ...] | None = None
    model: str | None = None


#: The fields that a proposal of each kind may change.
FIELDS: Final[Mapping[ProposalKind, tuple[str, ...]]] = {
    "role": ("description", "outcome"),
    "tradeoff": ("description", "accept", "reject"),
    "actor": ("skills", "model"),
    "retire": (),
}


class Look(Record, frozen=True, kw_only=True):
    """A trial as it stood when it was looked at."""

    #: Which look it is, from 1.
    number: int
    at: int
    #: How much work of each was judged, and how well it was done on the average.
    child_count: int
    child_mean: float
    parent_count: int
    parent_mean: float
    #: How likely it is, by these, that the child does the work better.
    probability: float


class Draft(Record, frozen=True, kw_only=True):
    """What could be proposed."""

    kind: ProposalKind
    #: The id of the actor that it is about.
    subject: str
    change: Becomes = Becomes()
    #: Why, in words.
    reason: str
    #: The numbers that it is made from.
    evidence: Mapping[str, Any] = field(default_factory=dict)


class Proposal(Draft, frozen=True, kw_only=True):
    """A proposal as it is kept."""

    number: int
    by: str = STRATEGY
    status: ProposalStatus = ProposalStatus.PROPOSED
    created_at: int
    #: When its trial began, and when nothing more could become of it.
    started_at: int | None = None
    ended_at: int | None = None
    #: The id of the changed actor.
    child: str | None = None
    #: How much of its parent's work that one gets, 0 to 1.
    share: float | None = None
    looks: tuple[Look, ...] = ()
    #: Who has said that it may be carried out, where that was needed.
    approved_by: str | None = None
    #: What has come of it, in words.
    result: str | None = None

    @property
    def has_trial(self) -> bool:
        """Whether its changed actor is there, and has not taken a place yet."""
        return self.child is not None and self.status in OPEN

    @property
    def looked_at(self) -> int:
        """How much of the child's work was judged at the last look."""
        return self.looks[-1].child_count if self.looks else 0


def same_change(one: Draft, other: Draft) -> bool:
    """Whether two propose the same."""
    return (one.kind, one.subject, one.change) == (
        other.kind,
        other.subject,
        other.change,
    )


class Evolve(Request, frozen=True, kw_only=True, tag="evolve"):
    """Makes proposals from the record and starts what may be started."""

    dry_run: bool = False


class ReviewProposal(Request, frozen=True, kw_only=True, tag="evolve_review"):
    """Says yes or no to a proposal; without one, lists those that wait for it."""

    id: int | None = None
    verdict: Verdict | None = None
    reason: str | None = None


class ListProposals(Request, frozen=True, kw_only=True, tag="evolve_list"):
    """Proposals, the oldest first; with `all` those of which nothing more comes."""

    all: bool = False


class ShowProposal(Request, frozen=True, kw_only=True, tag="evolve_show"):
    """Everything about a proposal."""

    id: int


ProposalCommand = Evolve | ReviewProposal | ListProposals | ShowProposal


class LookData(Record, frozen=True, kw_only=True):
    """A look at a trial, as `--json` has it."""

    number: int
    at: str
    child_count: int
    child_mean: float
    parent_count: int
    parent_mean: float
    probability: float


class ProposalData(Record, frozen=True, kw_only=True):
    """A proposal, as `--json` has it."""

    #: Null where it was not kept: `--dry-run`.
    id: int | None
    kind: str
    subject: str
    subject_id: str
    change: Becomes
    reason: str
    evidence: Mapping[str, Any]
    by: str
    status: str
    created_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    child: str | None = None
    child_id: str | None = None
    share: float | None = None
    looks: tuple[LookData, ...] = ()
    approved_by: str | None = None
    result: str | None = None


class EvolutionData(Record, frozen=True, kw_only=True):
    """What `wg evolve` has done, or would do."""

    proposals: tuple[ProposalData, ...]
    dry_run: bool
    #: The task in which the actor that `agency.evolver` names makes its own.
    errand: str | None = None


encode_becomes: Final = msgspec.json.Encoder(order="deterministic").encode
decode_becomes: Final = msgspec.json.Decoder(Becomes).decode
