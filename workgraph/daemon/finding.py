"""What the doctor finds: a thing, and whether it is as it should be."""

from workgraph.graph.model import Record


class CheckData(Record, frozen=True, kw_only=True):
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def good(name: str, detail: str, remedy: str = "") -> CheckData:
    """Nothing wrong; a remedy here is only an offer."""
    return CheckData(name=name, ok=True, detail=detail, remedy=remedy)


def bad(name: str, detail: str, remedy: str) -> CheckData:
    """Something that has to be mended."""
    return CheckData(name=name, ok=False, detail=detail, remedy=remedy)
