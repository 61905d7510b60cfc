"""The lines of an export that tie tasks together, and what attempts were told."""

from typing import Annotated

from msgspec import Meta

from workgraph.commands.line_base import MOST, Count, LineBase
from workgraph.graph.context_view import KeptPrompt
from workgraph.graph.model import Record


class StepRef(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A step in its trajectory's line; `left_at` is null while it is reserved."""

    task: str
    left_at: str | None = None


class TrajectoryLine(LineBase, frozen=True, kw_only=True, tag="trajectory"):
    """Tasks that are, or were, reserved together."""

    number: Annotated[int, Meta(ge=1, le=MOST)]
    actor: str | None = None
    human: bool = False
    by: str | None = None
    agent: str | None = None
    steps: Annotated[tuple[StepRef, ...], Meta(min_length=1)]
    created_at: str | None = None
    ended_at: str | None = None
    reason: str | None = None


class MemberRef(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task of a loop in its line."""

    task: str
    converged: bool = False
    concluded: str | None = None


class LoopLine(LineBase, frozen=True, kw_only=True, tag="loop"):
    """Tasks that run again in order, or did."""

    members: tuple[MemberRef, ...]
    max: Count
    until: str | None = None
    until_converged: bool = False
    iteration: Count = 1
    evidence: str | None = None
    by: str | None = None
    created_at: str | None = None
    ended_at: str | None = None
    reason: str | None = None


class PromptLine(
    KeptPrompt,
    frozen=True,
    kw_only=True,
    tag_field="kind",
    tag="prompt",
    forbid_unknown_fields=True,
):
    """What an attempt was told, without the text."""

    agent: str
