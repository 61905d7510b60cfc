"""What a tick has decided about who does what, between the choice and the start.

It is kept nowhere else: a choice is written with the claim that it is made for
(docs/adr/0016).
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from workgraph.graph.decisions import ClearTask
from workgraph.graph.model import Actor, Task
from workgraph.graph.views import Openings


class Slate(Struct, kw_only=True):
    """One for each tick."""

    #: What could be started, as `assign` has seen it.
    openings: Openings | None = None
    #: The living actors by name, where they were read.
    actors: Mapping[str, Actor] = field(default_factory=dict)
    #: What may be started, by task.
    cleared: dict[str, ClearTask] = field(default_factory=dict)
    #: After how many changes in the transaction all was decided.
    decided_after: int | None = None

    @property
    def is_decided(self) -> bool:
        """Whether `assign` has come to its end."""
        return self.decided_after is not None

    def clear(self, cleared: ClearTask) -> None:
        """A task may be started."""
        self.cleared[cleared.task.id] = cleared

    def find(self, task: str) -> ClearTask | None:
        """How a task was cleared; null: it was not."""
        return self.cleared.get(task)

    def among(self, tasks: Sequence[Task]) -> tuple[Task, ...]:
        """Those of some tasks that were cleared, with their actors."""
        found = (self.cleared.get(task.id) for task in tasks)
        return tuple(one.task for one in found if one is not None)
