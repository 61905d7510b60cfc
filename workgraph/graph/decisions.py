"""What reactors decide, and what of it has to be done in the world afterwards.

A decision is applied in the tick's transaction; an effect is carried out after its
commit, and what it learns comes back as a fact (`facts`).
"""

from workgraph.graph.budgets import Warned
from workgraph.graph.chats import ChatDecision
from workgraph.graph.holds import Account, Breaker
from workgraph.graph.judging import JudgingDecision
from workgraph.graph.matching import Choice
from workgraph.graph.model import Failure, Outcome, Parked, Record, Stop, Task
from workgraph.graph.proposals import Look, ProposalStatus
from workgraph.graph.status import Verb


class MoveTask(Record, frozen=True, kw_only=True):
    """What happens to a task whose agent has ended."""

    verb: Verb
    by: str = "workgraph"
    reason: str | None = None
    failure: Failure | None = None
    #: When the next attempt may start; null is at once.
    retry_at: int | None = None
    paused: bool = False
    gate: str | None = None
    superseded_by: str | None = None
    summary: str | None = None
    #: Open it is, and kept back for this reason, until this moment or for good.
    parked: Parked | None = None
    parked_until: int | None = None


class ConcludeAttempt(Record, frozen=True, kw_only=True):
    """An agent has ended: what its end was, and what becomes of its task."""

    agent: int
    task: str
    outcome: Outcome
    #: False gives the start back: it does not use up an attempt.
    counted: bool
    #: Null where the task has left this agent already.
    move: MoveTask | None
    #: It was turned away at the door: the ceiling of starts does not count it either.
    refused: bool = False
    #: The task's new count of ends that were too fast; null leaves it as it is.
    quick: int | None = None


class MakeDue(Record, frozen=True, kw_only=True):
    """The moment that these tasks waited for has come."""

    tasks: tuple[str, ...]


class StopAgent(Record, frozen=True, kw_only=True):
    """An agent has reached a limit, or its task has been taken away."""

    agent: int
    stop: Stop
    verdict: Outcome | None


class WarnAgent(Record, frozen=True, kw_only=True):
    """What an agent is told about budgets that are nearly used up has changed."""

    agent: int
    warnings: tuple[Warned, ...]


class LookAtLeftover(Record, frozen=True, kw_only=True):
    """What an ended agent has left behind may be gone by now."""

    agent: int


class LookForLife(Record, frozen=True, kw_only=True):
    """An agent may have stalled: what it has written is to be looked at."""

    agent: int
    #: What it had written when it was last looked at.
    known_bytes: int


class SetBreaker(Record, frozen=True, kw_only=True):
    """What is known of something that many tasks need has changed."""

    breaker: Breaker


class SetAccount(Record, frozen=True, kw_only=True):
    """What is known of an account with a provider has changed."""

    account: Account


class HoldTask(Record, frozen=True, kw_only=True):
    """A ready task is kept back for a reason that does not lie in its plan."""

    task: str
    parked: Parked


class ClearTask(Record, frozen=True, kw_only=True):
    """A ready task may be started in this tick, by whom it has for its actor."""

    task: Task
    #: Who is to work on it, by name: whose trajectory it is in, or the task's actor.
    actor: str | None = None
    #: Where several could have been chosen: how this one was.
    choice: Choice | None = None


class AskAssigner(Record, frozen=True, kw_only=True):
    """A task of its own is to say who does this one."""

    task: Task
    assigner: str


class TakeClaim(Record, frozen=True, kw_only=True):
    """A person's claim has reached its only limit, `--abandon-after`."""

    agent: int


class WakeTask(Record, frozen=True, kw_only=True):
    """What a task has waited for is there."""

    task: str
    #: The places of the terms that are met.
    met: tuple[int, ...]
    reason: str
    #: When the next attempt may start; null is at once.
    retry_at: int | None = None


class NoteWait(Record, frozen=True, kw_only=True):
    """A part of what a task waits for is there, or is not there any more."""

    task: str
    #: The places of the terms that are met.
    met: tuple[int, ...]


class WatchPaths(Record, frozen=True, kw_only=True):
    """Which paths tasks wait for has changed."""

    paths: frozenset[str]


class JudgeGates(Record, frozen=True, kw_only=True):
    """The gates of a task that was handed in are to be run."""

    task: str
    #: Whose work it is; null for an operator's word.
    agent: str | None
    gate: str
    #: The number of the change by which it was handed in.
    handed_in: int


class LaunchAgent(Record, frozen=True, kw_only=True):
    """A ready task gets a slot."""

    task: Task
    actor: str | None


class JudgeTrial(Record, frozen=True, kw_only=True):
    """What a look at the trial of a changed actor has found."""

    proposal: int
    #: Null where there was nothing left to compare.
    look: Look | None
    to: ProposalStatus
    result: str | None = None


Decision = (
    ConcludeAttempt
    | MakeDue
    | StopAgent
    | WarnAgent
    | LookAtLeftover
    | TakeClaim
    | LookForLife
    | JudgeGates
    | SetBreaker
    | SetAccount
    | HoldTask
    | WakeTask
    | NoteWait
    | WatchPaths
    | ClearTask
    | AskAssigner
    | LaunchAgent
    | JudgeTrial
    | JudgingDecision
    | ChatDecision
)
