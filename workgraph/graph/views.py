"""What a reactor is shown of the graph: just what its decision needs."""

from collections.abc import Mapping

from msgspec import field

from workgraph.graph.holds import Account, Breaker
from workgraph.graph.model import Agent, Record, RetryOn, RewardGate, Task
from workgraph.graph.times import Duration
from workgraph.graph.waits import WaitState


class RetryPolicy(Record, frozen=True, kw_only=True):
    """The settings that decide what becomes of an attempt that has ended."""

    max_attempts: int = 3
    on: RetryOn = "crash"
    backoff: Duration = Duration(10)
    backoff_max: Duration = Duration(300)
    #: What an exit with 0 and no verdict means, for all but shell tasks.
    exit_zero: str = "done"
    #: Starts of one task over its life, counted or not, until an operator's retry.
    max_starts: int = 100
    #: Whether work that is done has to be judged well enough before it counts so.
    reward_gate: RewardGate = "off"
    #: Those of the tasks in question that the machinery has added for itself.
    errands: frozenset[str] = frozenset()


class EndedAttempt(Record, frozen=True, kw_only=True):
    """An agent whose end has not been turned into anything yet, and its task."""

    agent: Agent
    task: Task

    @property
    def holds_task(self) -> bool:
        """Whether the task is still this agent's."""
        return self.task.claimed_by == self.agent.id


class PatrolView(Record, frozen=True, kw_only=True):
    """What has ended and what has come due."""

    policy: RetryPolicy
    ended: tuple[EndedAttempt, ...] = ()
    #: Tasks whose moment has come.
    due: tuple[str, ...] = ()
    #: Agents that have reached their wall clock, or did not leave after their verdict.
    overdue: tuple[Agent, ...] = ()
    #: The time-outs of these, in seconds, by the agent's number.
    limits: Mapping[int, float] = field(default_factory=dict)
    #: Agents and persons whose claim has reached `--abandon-after`.
    expired: tuple[Agent, ...] = ()
    #: Agents whose client has said its last word and stays, or tries again in vain.
    talked: tuple[Agent, ...] = ()
    #: Ended agents whose leftover is to be looked at.
    leftover: tuple[Agent, ...] = ()
    #: Agents that may have given no sign of life for too long.
    silent: tuple[Agent, ...] = ()
    #: Those whose output is being looked at already.
    looking: frozenset[int] = frozenset()
    #: What is known of the executors of the ended, by key.
    breakers: Mapping[str, Breaker] = field(default_factory=dict)
    #: What is known of the accounts of the ended, and those that hold anything back.
    accounts: Mapping[str, Account] = field(default_factory=dict)
    #: How many of those started since its limit have been answered, by account.
    answers: Mapping[str, int] = field(default_factory=dict)
    #: The last agent that there is.
    newest_agent: int = 0
    #: The waits that may be over.
    waits: tuple[WaitState, ...] = ()
    #: The paths that are waited for, and those that are looked out for already; null
    #: where nothing is looked out for.
    files: frozenset[str] | None = None
    watched: frozenset[str] = frozenset()


class GateView(Record, frozen=True, kw_only=True):
    """Tasks in pending-review whose gate is one that the daemon runs."""

    waiting: tuple[Task, ...] = ()
    #: The numbers of the changes by which they were handed in.
    handed_in: Mapping[str, int] = field(default_factory=dict)
    #: Those whose gates are being run already.
    running: frozenset[str] = frozenset()


class Needs(Record, frozen=True, kw_only=True):
    """What a task needs that many others need, too; null where nothing can hold it."""

    #: The key of its executor's breaker.
    executor: str | None = None
    #: The account that its next attempt would use.
    account: str | None = None


class DispatchView(Record, frozen=True, kw_only=True):
    """What could be started, and how much of it."""

    #: Neither paused nor draining nor offline.
    may_start: bool
    free_slots: int
    #: The best ready tasks in the order of dispatch; no more than there are slots.
    candidates: tuple[Task, ...] = ()
    #: Those of them that go on with a trajectory: they come first.
    continuing: frozenset[str] = frozenset()
    #: By what candidates may be held; those that are not here by nothing.
    needs: Mapping[str, Needs] = field(default_factory=dict)
    #: The breakers that are not closed, by key.
    breakers: Mapping[str, Breaker] = field(default_factory=dict)
    #: How many agents are younger than a second, by the key of their executor.
    young: Mapping[str, int] = field(default_factory=dict)
    #: The accounts that hold anything back, by key.
    accounts: Mapping[str, Account] = field(default_factory=dict)
    #: How many agents run on each of these that were started since its limit.
    on_account: Mapping[str, int] = field(default_factory=dict)
    #: Starts of one task over its life, until an operator's retry.
    max_starts: int = 100
