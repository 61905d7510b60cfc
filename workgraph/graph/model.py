"""What the graph is made of: tasks, edges, agents, actors, and what they leave behind.

The structs are the single definition of each field: the database keeps `TaskSpec` and
the small records as JSON of exactly these shapes, and what `--json` shows is built from
them. New fields have defaults; names and meanings are never reused.

All moments are integers of microseconds since the epoch, UTC, on whole milliseconds.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, Literal, NewType

from msgspec import Struct, field

from workgraph.graph.status import Status

TaskId = NewType("TaskId", str)
AgentId = NewType("AgentId", str)

EdgeKind = Literal["done", "settled"]
Complexity = Literal["simple", "moderate", "complex"]
Review = Literal["human", "reward", "none"]
RetryOn = Literal["crash", "failure"]
RewardGate = Literal["off", "advisory", "enforcing"]
ContextScope = Literal["clean", "task", "graph", "full"]
Trust = Literal["verified", "provisional", "unknown"]

DEFAULT_PRIORITY: Final = 2
#: Digits that surely fit the 64 bits of a stored integer.
_INTEGER_DIGITS: Final = 18


class Record(Struct, frozen=True, kw_only=True):
    """The base of everything that crosses a module."""


class TaskSpec(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What `wg add` and `wg edit` set, apart from what the dispatcher sorts by."""

    title: str
    description: str = ""
    tags: tuple[str, ...] = ()
    requires_skills: tuple[str, ...] = ()
    prefers_skills: tuple[str, ...] = ()
    complexity: Complexity | None = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    context_files: tuple[str, ...] = ()
    prompt: str | None = None
    exec: str | None = None
    executor: str | None = None
    model: str | None = None
    endpoint: str | None = None
    tools: tuple[str, ...] = ()
    working_dir: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    verify: tuple[str, ...] = ()
    review: Review | None = None
    max_attempts: int | None = None
    retry_on: RetryOn | None = None
    timeout_s: float | None = None
    stall_timeout_s: float | None = None
    abandon_after_s: float | None = None
    independent: bool = False
    estimate_s: float | None = None
    budget_tokens: int | None = None
    budget_usd: float | None = None
    context_scope: ContextScope | None = None
    #: What an import brought that we have no field for.
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Edge(Record, frozen=True, kw_only=True):
    """One dependency of a task, seen from the task that waits."""

    id: str
    on: EdgeKind = "done"


class Failure(Record, frozen=True, kw_only=True):
    """Why the last attempt did not end well: `class` is an outcome, or `rejected`."""

    class_: str = field(name="class")
    reason: str


class Progress(Record, frozen=True, kw_only=True):
    """How far the worker says it is; `percent` is 0 to 100."""

    percent: float
    message: str | None
    at: int


class Usage(Record, frozen=True, kw_only=True):
    """What an attempt, or all attempts of a task, cost. Null is not known."""

    #: Without those that came from the provider's cache.
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    #: Read from the cache.
    cached_tokens: int | None = None


class Parked(Record, frozen=True, kw_only=True):
    """Why the dispatcher leaves a ready task alone, and what would change that."""

    code: str
    message: str
    remedy: str
    #: How often it was looked at since it was parked; the gap doubles with it.
    looks: int = 1
    #: The breaker that holds it, `executor:claude`; null where it is held for itself.
    key: str | None = None
    #: The budget that it waits for more of, `subtree:ID:tokens`.
    budget: str | None = None
    #: The task that has not recorded what it needs.
    producer: str | None = None


class Artifact(Record, frozen=True, kw_only=True):
    """An output as it was when it was recorded."""

    name: str
    path: str
    sha256: str
    size: int
    agent: str | None


class Task(Record, frozen=True, kw_only=True):
    """A task as its row has it."""

    seq: int
    id: str
    spec: TaskSpec
    status: Status
    priority: int
    paused: bool
    #: Dependencies that are not met. A cache, kept by the writes that change it.
    unmet: int
    #: Tasks in the longest chain that starts here, itself included.
    chain: int
    actor: str | None
    #: True when a machine chose the actor: its choice ends with the attempt.
    actor_matched: bool
    #: The agent that holds it; set exactly while the task is in progress.
    claimed_by: str | None
    claimed_at: int | None
    reserved_for: str | None
    attempts: int
    #: Starts over its whole life since an operator's last retry, counted or not.
    starts: int
    not_before: int | None
    retry_at: int | None
    #: The later of both while it lies ahead; patrol clears it when it has come.
    start_after: int | None
    parked: Parked | None
    #: Which gate a task in pending-review has to pass: outputs, verify, reward, human,
    #: loop; an errand's: verdict.
    gate: str | None
    failure: Failure | None
    progress: Progress | None
    usage: Usage
    summary: str | None
    superseded_by: str | None
    #: The agent whose attempt added this task; null for an operator's.
    added_by: str | None
    depth: int
    last_agent: str | None
    created_at: int
    started_at: int | None
    completed_at: int | None
    updated_at: int
    #: Ends in a row that were too fast to have been work.
    quick: int = 0


class AgentStatus(StrEnum):
    """What is known of an agent's process, or of a person's claim."""

    STARTING = "starting"
    WORKING = "working"
    STOPPING = "stopping"
    ENDED = "ended"


class Outcome(StrEnum):
    """How an attempt ended (CONTRACT §3.4)."""

    DONE = "done"
    SUBMITTED = "submitted"
    WAITING = "waiting"
    FAILED = "failed"
    CRASHED = "crashed"
    TIMED_OUT = "timed-out"
    STALLED = "stalled"
    LOST = "lost"
    KILLED = "killed"
    SPAWN_FAILED = "spawn-failed"
    RATE_LIMITED = "rate-limited"
    BUDGET = "budget"
    GATE = "gate"


class StopThen(StrEnum):
    """What becomes of the task when an agent that is being ended is gone."""

    PAUSE = "pause"
    REQUEUE = "requeue"
    FAIL = "fail"
    ABANDON = "abandon"
    UNCLAIM = "unclaim"
    FINISH = "finish"
    # as they are
    #: The rule for the outcome that is on the row (a limit that was reached) decides.
    JUDGE = "judge"
    #: Nothing: the task has left this agent already.
    NOTHING = "nothing"


class Stop(Record, frozen=True, kw_only=True):
    """An order to end an agent, as its row keeps it until the agent is gone."""

    then: StopThen
    by: str
    reason: str | None = None
    superseded_by: str | None = None
    summary: str | None = None
    #: Do not wait for the grace: KILL at once.
    force: bool = False


class ProcessId(Record, frozen=True, kw_only=True):
    """A process that can be told from every other: a bare pid is used again."""

    pid: int
    boot_id: str
    #: Clock ticks after boot at which it started, field 22 of `/proc/PID/stat`.
    start_ticks: int


class EndKind(StrEnum):
    """How a client's run ended, as its stream or its last words tell."""

    #: It has said all that it had to say.
    FINISHED = "finished"
    #: It has finished, and something that it wanted to do was not allowed.
    DENIED = "denied"
    #: No login, no key, a key that is refused, nothing paid.
    AUTH = "auth"
    #: A rate limit or a quota of the provider.
    LIMITED = "limited"
    #: The provider can't answer, or answers with nonsense.
    OVERLOADED = "overloaded"
    #: The provider can't be reached.
    NETWORK = "network"
    #: The conversation is longer than the model can take.
    TOO_LONG = "too-long"
    #: A model, flag or setting that the client does not take.
    MISCONFIGURED = "misconfigured"
    #: The session that it was to go on with is not there.
    NO_SESSION = "no-session"
    #: A limit of turns or cost that the client itself was given.
    OWN_LIMIT = "own-limit"
    #: It ended in the middle: without its last word, or by a signal.
    CUT = "cut"
    #: Anything else that it says has gone wrong.
    FAILED = "failed"


class ClientEnd(Record, frozen=True, kw_only=True):
    """The end of a run, or what the client is trying to get over just now."""

    kind: EndKind
    #: In the client's own words, one line.
    message: str
    #: When the provider takes requests again, if it has named a moment.
    retry_at: int | None = None
    #: After how many seconds, if it has named a time from then on.
    retry_after_s: float | None = None


class Agent(Record, frozen=True, kw_only=True):
    """One attempt at one task: a process, or a person's claim."""

    number: int
    task: str
    attempt: int
    actor: str | None
    executor: str
    model: str | None
    endpoint: str | None
    status: AgentStatus
    #: A person holds the task; there is no process.
    human: bool
    outcome: Outcome | None
    exit_code: int | None
    signal: int | None
    process: ProcessId | None
    #: The inode of the agent's folder, so that one made anew is noticed.
    folder_inode: int | None
    #: Outcome that the worker itself, or a limit, has given while it still ran.
    verdict: Outcome | None
    reason: str | None
    stop: Stop | None
    #: Whether the start counts against `max_attempts`.
    counted: bool
    workspace: str | None
    timeout_at: int | None
    started_at: int
    ended_at: int | None
    last_activity_at: int
    usage: Usage
    #: Processes of its tree that could not be ended.
    leftover: tuple[ProcessId, ...] = ()
    #: What its process is locked into, `bwrap`; null: nothing.
    sandbox: str | None = None
    #: How long it may give no sign of life, in microseconds; null is for ever.
    stall_after: int | None = None
    #: The earliest moment at which it could have been silent for so long.
    stall_at: int | None = None
    #: When its output was last looked at for that.
    looked_at: int | None = None
    #: How much it had written when that was last looked at; null is not known.
    output_bytes: int | None = None
    #: It has called `wg`.
    heard: bool = False
    #: What `last_activity_at` goes by: `output` or `call` of wg; null: its start.
    last_sign: str | None = None
    #: Whose limits hold for it: `claude`, `native:local`; null: nobody's.
    account: str | None = None
    #: What its client calls the conversation; null is not known.
    session: str | None = None
    #: The session that it was told to go on with.
    resumed: str | None = None
    #: A model has answered it.
    answered: bool = False
    #: What its client does just now, and what it has said last.
    tool: str | None = None
    said: str | None = None
    #: How its client says that it ended; null while it has said nothing of that.
    client_end: ClientEnd | None = None
    #: What its client tries to get over by itself.
    trouble: ClientEnd | None = None
    #: When it is ended: its client has said its last word, or tries in vain.
    client_until: int | None = None
    #: What its start has set aside of the budgets that it is under.
    reserved_tokens: int | None = None
    reserved_usd: float | None = None
    #: The identity of its actor as it was at its start; null: it is none of ours.
    actor_id: str | None = None

    @property
    def id(self) -> str:
        """The agent's name, `agent-17`."""
        return f"agent-{self.number}"


class Lineage(Record, frozen=True, kw_only=True):
    """Where a role, tradeoff or actor comes from."""

    parents: tuple[str, ...] = ()
    generation: int = 0
    by: str = "operator"


class Role(Record, frozen=True, kw_only=True):
    """What an actor does. Its id is the hash of all but `name` and `lineage`."""

    id: str
    name: str
    description: str
    outcome: str = ""
    skills: tuple[str, ...] = ()
    lineage: Lineage = Lineage()


class Tradeoff(Record, frozen=True, kw_only=True):
    """Why an actor acts as it does. Its id is the hash of all but those two."""

    id: str
    name: str
    description: str
    #: Compromises that it may make.
    accept: tuple[str, ...] = ()
    #: Hard constraints: what it never does.
    reject: tuple[str, ...] = ()
    lineage: Lineage = Lineage()


class Actor(Record, frozen=True, kw_only=True):
    """A lasting identity that can do work."""

    id: str
    name: str
    human: bool = False
    role: str | None = None
    tradeoff: str | None = None
    skills: tuple[str, ...] = ()
    trust: Trust = "unknown"
    context_limit: int | None = None
    capacity: int | None = None
    executor: str | None = None
    model: str | None = None
    usd_per_hour: float | None = None
    lineage: Lineage = Lineage()


def parse_agent_id(text: str) -> int | None:
    """The number in `agent-17`, or null when it is not an agent's id."""
    head, _, digits = text.rpartition("-")
    if head != "agent" or not (digits.isascii() and digits.isdigit()):
        return None
    return int(digits) if len(digits) <= _INTEGER_DIGITS else None
