"""What is asked about plans and executors: a start, a plan, a try."""

from workgraph.graph.task_options import Request


class PlanOptions(Request, frozen=True, kw_only=True):
    """What `spawn` and `plan` share."""

    task: str | None = None
    executor: str | None = None
    model: str | None = None
    endpoint: str | None = None
    actor: str | None = None


class SpawnAgent(PlanOptions, frozen=True, kw_only=True, tag="spawn"):
    """Starts an agent on a ready task now."""


class GetPlan(PlanOptions, frozen=True, kw_only=True, tag="plan"):
    """The plan that would be used; starts nothing."""


class ListExecutors(Request, frozen=True, kw_only=True, tag="executors"):
    """Every executor there is, and whether it could run here."""


class TryExecutor(Request, frozen=True, kw_only=True, tag="test_executor"):
    """A tiny run of an executor that belongs to no task."""

    executor: str
    model: str | None = None
    endpoint: str | None = None
    #: A duration; its run is ended after this.
    timeout: str = "60s"
