"""What was committed: one row of the change log for each fact, in the past tense."""

from enum import StrEnum

from workgraph.graph.model import Record


class ChangeKind(StrEnum):
    """The facts that the change log tells."""

    TASK_ADDED = "task_added"
    TASK_EDITED = "task_edited"
    EDGE_ADDED = "edge_added"
    EDGE_REMOVED = "edge_removed"
    STATUS_CHANGED = "status_changed"
    TASK_PAUSED = "task_paused"
    TASK_RESUMED = "task_resumed"
    TASK_PARKED = "task_parked"
    TASK_UNPARKED = "task_unparked"
    ASSIGNED = "assigned"
    TASK_LOGGED = "log"
    PROGRESS_REPORTED = "progress"
    ARTIFACT_RECORDED = "artifact"
    GATE_JUDGED = "gate_judged"
    LOOP_STARTED = "loop_started"
    LOOP_ITERATED = "loop_iterated"
    LOOP_CONVERGED = "loop_converged"
    LOOP_ENDED = "loop_ended"
    AGENT_STARTED = "agent_started"
    AGENT_STOPPING = "agent_stopping"
    AGENT_ENDED = "agent_ended"
    LEFTOVER_FOUND = "leftover_found"
    LEFTOVER_GONE = "leftover_gone"
    LATE_RESULT = "late_result"
    SERVICE_PAUSED = "service_paused"
    SERVICE_RESUMED = "service_resumed"
    SERVICE_FROZEN = "service_frozen"
    SERVICE_THAWED = "service_thawed"
    BREAKER_OPENED = "breaker_opened"
    BREAKER_CLOSED = "breaker_closed"
    ACCOUNT_LIMITED = "account_limited"
    ACCOUNT_BROKEN = "account_broken"
    ACCOUNT_OK = "account_ok"
    BUDGET_WARNED = "budget_warned"
    BUDGET_OVERDRAWN = "budget_overdrawn"
    MESSAGE_SENT = "message_sent"
    MESSAGE_READ = "message_read"
    MESSAGE_ACKNOWLEDGED = "message_acknowledged"
    CLOCK_JUMPED = "clock_jumped"
    TRAJECTORY_CLAIMED = "trajectory_claimed"
    TRAJECTORY_RELEASED = "trajectory_released"
    TRAJECTORY_ENDED = "trajectory_ended"
    IDENTITY_ADDED = "identity_added"
    IDENTITY_CHANGED = "identity_changed"
    IDENTITY_RETIRED = "identity_retired"
    CANARIES_STARTED = "canaries_started"
    REWARD_RECORDED = "reward_recorded"
    PROPOSAL_ADDED = "proposal_added"
    PROPOSAL_CHANGED = "proposal_changed"
    CHAT_CREATED = "chat_created"
    CHAT_SAID = "chat_said"
    CHAT_ARCHIVED = "chat_archived"
    CHAT_RESTORED = "chat_restored"
    CHAT_PURGED = "chat_purged"
    CHAT_CRASHED = "chat_crashed"
    CHAT_HELD = "chat_held"
    GRAPH_IMPORTED = "graph_imported"


class Change(Record, frozen=True, kw_only=True):
    """A fact that was committed, in the transaction that made it true.

    `seq` counts from 1 without gaps. `verb` says what happened where `from_` and `to`
    alone do not; `reason` is the text for people.
    """

    seq: int
    at: int
    kind: str
    task: str | None = None
    agent: str | None = None
    attempt: int | None = None
    actor: str | None = None
    by: str = "workgraph"
    verb: str | None = None
    from_: str | None = None
    to: str | None = None
    reason: str | None = None
    percent: float | None = None
