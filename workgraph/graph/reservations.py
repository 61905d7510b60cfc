"""Trajectories as they are asked for, reserved and shown."""

from msgspec import field

from workgraph.graph.model import Record
from workgraph.graph.task_options import Request

#: One task's id, or several.
Ids = str | tuple[str, ...]


class GetTrajectory(Request, frozen=True, kw_only=True, tag="trajectory"):
    """Tasks that one actor could do one after another; without a task the best."""

    task: str | None = None
    actor: str | None = None
    limit_tokens: int | None = None


class ClaimTrajectory(Request, frozen=True, kw_only=True, tag="claim_trajectory"):
    """Reserves tasks for an actor, all of them or none."""

    task: Ids = ()
    from_: str | None = field(default=None, name="from")
    actor: str | None = None


class StepData(Record, frozen=True, kw_only=True):
    """A step of a trajectory, and what it is given (CONTRACT §3.4)."""

    task: str
    #: What is new to who has done the steps before.
    receives: tuple[str, ...]
    #: What is there already.
    shares: tuple[str, ...]
    #: Of what is new, its own texts included.
    tokens: int


class TrajectoryData(Record, frozen=True, kw_only=True):
    """Tasks to be done one after another."""

    actor: str | None
    tokens: int
    limit: int
    steps: tuple[StepData, ...]
    #: Its number, where it is reserved; null: nobody has claimed it.
    number: int | None = None


class ReservedData(Record, frozen=True, kw_only=True):
    """The trajectory that a task is reserved by."""

    number: int
    actor: str | None
    #: Which step it is, from 1 on, and of how many.
    step: int
    steps: int


class Reserved(Record, frozen=True, kw_only=True):
    """How a task is reserved by a trajectory."""

    number: int
    #: Whose it is; null: the agent's that dispatch has started.
    actor: str | None
    #: A person's: nothing is started for it.
    human: bool
    #: The number of its last attempt, and whether that is over.
    agent: int | None
    is_agent_gone: bool
    step: int
    steps: int
    #: The first step before this one that has not been done; null: it is its turn.
    behind: str | None

    @property
    def is_next(self) -> bool:
        """Whether it is this step's turn."""
        return self.behind is None

    @property
    def whose(self) -> str:
        """For whom, in words."""
        if self.actor is not None:
            return self.actor
        return "an agent" if self.agent is None else f"agent-{self.agent}"
