"""The line of an export that a wait is."""

from workgraph.commands.line_base import Count, LineBase
from workgraph.graph.model import Record
from workgraph.graph.waits import TermKind


class TermRef(
    Record, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One thing that is waited for."""

    branch: Count = 0
    kind: TermKind
    target: str = ""
    status: str | None = None
    due: str | None = None
    met_at: str | None = None


class WaitLine(LineBase, frozen=True, kw_only=True, tag="wait"):
    """What a task waits for, or has waited for last."""

    task: str
    #: The attempt that waits.
    agent: str | None = None
    #: As it was said.
    condition: str
    #: The number of the message that asks.
    question: Count | None = None
    since: str
    woken_at: str | None = None
    reason: str | None = None
    #: How many in a row came right after waits that were soon over.
    quick: Count = 0
    terms: tuple[TermRef, ...] = ()
