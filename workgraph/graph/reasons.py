"""What keeps a task from running, as it is told: a reason, and how much it keeps."""

from enum import IntEnum

from workgraph.graph.model import Record


class Weight(IntEnum):
    """What a reason holds back."""

    #: The task could be worked on; the service just does not start it now.
    SERVICE = 0
    #: Nothing can be started on it; a person may still take it.
    DISPATCH = 1
    #: Nobody can work on it.
    WORK = 2


class Reason(Record, frozen=True, kw_only=True):
    """One thing that keeps a task from running, and what would change that."""

    code: str
    message: str
    remedy: str
    weight: Weight = Weight.WORK
