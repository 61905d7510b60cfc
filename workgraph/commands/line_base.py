"""What the lines of an export have in common, whatever their kind."""

from typing import Annotated, Final

from msgspec import Meta

from workgraph.graph.model import Record

#: Far more than anything counts to, and far less than a stored integer holds.
MOST: Final = 2**53
Count = Annotated[int, Meta(ge=0, le=MOST)]


class LineBase(
    Record,
    frozen=True,
    kw_only=True,
    tag_field="kind",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """The base of the lines that are not built upon a struct of the model."""
