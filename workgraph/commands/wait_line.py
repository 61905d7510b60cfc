"""The line of an export that a wait is."""

from typing import Annotated, Final

from msgspec import Meta

from workgraph.graph.model import Record
from workgraph.graph.waits import TermKind

#: Far more than anything counts to, and far less than a stored integer holds.
_MOST: Final = 2**53
_Count = Annotated[int, Meta(ge=0, le=_MOST)]


class TermRef(
    Record, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One thing that is waited for."""

    branch: _Count = 0
    kind: TermKind
    target: str = ""
    status: str | None = None
    due: str | None = None
    met_at: str | None = None


class WaitLine(
    Record,
    frozen=True,
    kw_only=True,
    tag_field="kind",
    tag="wait",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """What a task waits for, or has waited for last."""

    task: str
    #: The attempt that waits.
    agent: str | None = None
    #: As it was said.
    condition: str
    #: The number of the message that asks.
    question: _Count | None = None
    since: str
    woken_at: str | None = None
    reason: str | None = None
    #: How many in a row came right after waits that were soon over.
    quick: _Count = 0
    terms: tuple[TermRef, ...] = ()
