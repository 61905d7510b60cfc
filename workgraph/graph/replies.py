"""What is answered: the shapes of `--json` and of the socket (CONTRACT §3.4).

Moments are RFC 3339 texts here. Absent values are null or empty, never missing.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import field

from workgraph.graph.chat_requests import ChatData, ChatsData
from workgraph.graph.inputs import StaleInput
from workgraph.graph.messages import MessageData
from workgraph.graph.model import (
    Artifact,
    ClientEnd,
    Edge,
    Failure,
    Record,
    TaskSpec,
)
from workgraph.graph.reservations import ReservedData
from workgraph.graph.reward_requests import TaskReward


class UsageData(Record, frozen=True, kw_only=True):
    """What an attempt, or all attempts of a task, cost. Null is not known."""

    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None


class ProgressData(Record, frozen=True, kw_only=True):
    """How far the worker says it is."""

    percent: float
    message: str | None
    at: str


class LogData(Record, frozen=True, kw_only=True):
    """An entry of a task's log, a worker's or the machinery's."""

    at: str
    by: str
    agent: str | None
    attempt: int | None
    kind: str
    message: str
    percent: float | None


class WaitData(Record, frozen=True, kw_only=True):
    """What a task in waiting waits for."""

    condition: str
    since: str
    #: What it asks a person.
    question: str | None = None


class AgentData(Record, frozen=True, kw_only=True):
    """An attempt at a task."""

    id: str
    task: str
    attempt: int
    actor: str | None
    executor: str
    model: str | None
    endpoint: str | None
    status: str
    outcome: str | None
    exit_code: int | None
    signal: int | None
    pid: int | None
    started_at: str
    ended_at: str | None
    last_activity_at: str
    usage: UsageData
    #: Tokens that came from the provider's cache; `usage` is without them.
    cached_tokens: int | None = None
    workspace: str | None
    reason: str | None
    leftover: tuple[int, ...]
    #: Whose limits hold for it, and what its client calls the conversation.
    account: str | None = None
    session: str | None = None
    #: It went on with that session.
    resumed: bool = False
    #: What its client does just now, has said last, and has ended with.
    tool: str | None = None
    said: str | None = None
    client_end: ClientEnd | None = None
    trouble: ClientEnd | None = None
    #: What its last sign of life was: `output` or `call` of wg; null: its start.
    last_sign: str | None = None


class LoopData(Record, frozen=True, kw_only=True):
    """Tasks that run again in order, and where that stands."""

    members: tuple[str, ...]
    iteration: int
    max: int
    until: str | None
    until_converged: bool
    #: Those that have said so in this iteration.
    converged: tuple[str, ...]
    #: What `until` said after the iteration before.
    evidence: str | None
    by: str
    created_at: str
    ended_at: str | None
    reason: str | None
    #: All of that in one line.
    stands: str


class TaskData(TaskSpec, frozen=True, kw_only=True, omit_defaults=False):
    """A task as the world sees it: what was set, and what has come of it."""

    id: str
    status: str
    ready: bool
    paused: bool
    priority: int
    after: tuple[Edge, ...]
    before: tuple[str, ...]
    artifacts: tuple[Artifact, ...]
    actor: str | None
    agent: str | None
    attempts: int
    retry_at: str | None
    not_before: str | None
    failure: Failure | None
    progress: ProgressData | None
    usage: UsageData
    #: Tokens that came from the provider's cache; `usage` is without them.
    cached_tokens: int | None = None
    #: What counts of the judgements of its last attempt that has any.
    reward: TaskReward | None = None
    gate: str | None
    #: The loop that it is in, or was in last.
    loop: LoopData | None = None
    summary: str | None
    superseded_by: str | None
    reserved_for: str | None
    added_by: str | None
    #: What attempts have said after their end; it changed nothing.
    late: tuple[LogData, ...] = ()
    claimed_by: str | None
    claimed_at: str | None
    created_at: str
    started_at: str | None
    completed_at: str | None
    updated_at: str
    #: Processes of its attempts that could not be ended.
    leftover: tuple[int, ...] = ()
    #: Inputs that were produced again since its last attempt worked from them.
    stale: tuple[StaleInput, ...] = ()
    #: The trajectory that reserves it.
    trajectory: ReservedData | None = None
    #: What it waits for, while it does.
    wait: WaitData | None = None
    #: All attempts, the first one first; only `show` looks them up.
    runs: tuple[AgentData, ...] = ()
    #: How many messages no attempt was given.
    unread: int = 0
    #: The last ones; as above.
    messages: tuple[MessageData, ...] = ()
    #: How the conversation stands that it is, if it is one; as above.
    chat: ChatData | None = None


class StatusData(Record, frozen=True, kw_only=True):
    """The status of a task and nothing else."""

    task: str
    status: str


class ExecutorData(Record, frozen=True, kw_only=True):
    """A kind of agent, and whether it could run here."""

    name: str
    #: `built-in`, `plug-in` or `settings`.
    source: str
    #: The settings say something about it.
    configured: bool
    #: It is what runs where nothing else is said.
    default: bool
    #: What is looked for, and where it is; null when it is not there.
    program: str | None = None
    path: str | None = None
    stream: str | None = None
    #: Whose limits hold, as far as that is known without a task.
    account: str | None = None
    can_resume: bool = False
    #: `ok`, `missing` or `not needed`; then what of it would do.
    credentials: str = "not needed"
    missing: str | None = None
    #: Why it could not run, or not as it is meant to.
    problems: tuple[str, ...] = ()


class TrialData(Record, frozen=True, kw_only=True):
    """A tiny run of an executor."""

    executor: str
    program: str
    #: The first line that `--version` printed; null where that was nothing.
    version: str | None
    account: str | None
    model: str | None
    endpoint: str | None
    #: How long it ran.
    seconds: float
    usage: UsageData
    #: Tokens that came from the provider's cache; `usage` is without them.
    cached_tokens: int | None = None
    said: str | None
    #: A kind of end (docs/outcomes.md), `timed-out` or `spawn-failed`, and in words.
    outcome: str
    message: str
    exit_code: int | None = None
    signal: int | None = None
    #: What could not be ended of it.
    leftover: tuple[int, ...] = ()


class SpendRow(Record, frozen=True, kw_only=True):
    """What agents have used, all together."""

    #: The task, actor, model or date; null for the total, and where there is none.
    key: str | None
    agents: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    #: As far as it is known; null where it is of none of them.
    cost_usd: float | None
    #: Of how many of the agents the cost is not known.
    unknown_cost: int


class SpendData(Record, frozen=True, kw_only=True):
    """What work has cost."""

    total: SpendRow
    rows: tuple[SpendRow, ...]


class ReasonData(Record, frozen=True, kw_only=True):
    """One reason why a task is not running, and what would change that."""

    code: str
    message: str
    remedy: str


class RunningData(Record, frozen=True, kw_only=True):
    """By what a task runs: the agent, and the line that says why it is that one."""

    agent: str
    actor: str | None
    since: str
    plan: str | None
    #: How its budgets stand, and what of its cost is not known.
    notes: tuple[str, ...] = ()


class WhyData(Record, frozen=True, kw_only=True):
    """Why a task is or is not running."""

    task: str
    status: str
    running: bool
    run: RunningData | None
    reasons: tuple[ReasonData, ...]
    #: Where the loop stands that it is in.
    loop: LoopData | None = None


class ChangeData(Record, frozen=True, kw_only=True):
    """A change as it was committed; `seq` has no gaps."""

    seq: int
    at: str
    kind: str
    task: str | None
    agent: str | None
    actor: str | None
    by: str
    from_: str | None = field(name="from")
    to: str | None
    reason: str | None
    verb: str | None = None
    attempt: int | None = None
    percent: float | None = None


class FindingData(Record, frozen=True, kw_only=True):
    """Something in the graph that can't work as it stands."""

    code: str
    task: str
    message: str
    remedy: str


class ReactorData(Record, frozen=True, kw_only=True):
    """Whether a reactor's last run went through."""

    name: str
    ok: bool
    error: str | None


class ProviderData(Record, frozen=True, kw_only=True):
    """An account with a provider, or an executor that is held back."""

    account: str
    #: Of an account (`claude`) `unknown`, `ok`, `limited` or `broken`; of an executor
    #: (`executor:NAME`) `open`: nothing is started, or `half-open`: one is tried.
    state: str
    until: str | None
    reason: str | None


class ServiceData(Record, frozen=True, kw_only=True):
    """What the daemon is and does (CONTRACT §9)."""

    running: bool
    pid: int | None = None
    since: str | None = None
    version: str | None = None
    socket: str | None = None
    paused: bool = False
    frozen: bool = False
    draining: bool = False
    max_agents: int = 0
    agents: int = 0
    ready: int = 0
    #: Nothing runs, and nothing will start by itself.
    idle: bool = True
    #: Tasks that are neither done nor abandoned, without the machinery's.
    unfinished: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    reactors: tuple[ReactorData, ...] = ()
    providers: tuple[ProviderData, ...] = ()
    chats: ChatsData = ChatsData()


class KilledData(Record, frozen=True, kw_only=True):
    """What became of an agent that was killed, and of its task."""

    agent: str
    task: str
    status: str
    paused: bool
    leftover: tuple[int, ...]


class OutputData(Record, frozen=True, kw_only=True):
    """What an agent has written so far."""

    agent: str
    task: str
    path: str
    output: str
    stderr: str | None
    #: Whether the agent has ended, so that nothing more is to come.
    ended: bool = True


class ImportedData(Record, frozen=True, kw_only=True):
    """What an import brought."""

    tasks: int
    edges: int
    actors: int
    log: int
    warnings: tuple[str, ...]


class SettingData(Record, frozen=True, kw_only=True):
    """A setting, and where its value comes from."""

    key: str
    value: Any
    origin: str
    file: str | None


class DoneData(Record, frozen=True, kw_only=True):
    """An answer that has nothing to tell but that it was done."""

    done: bool = True
    message: str | None = None


class UnitsData(Record, frozen=True, kw_only=True):
    """The service's units, as `service install` and `uninstall` left them."""

    message: str
    #: The units' names.
    service: str
    socket: str
    #: Where they are; nothing after `uninstall`.
    files: tuple[str, ...] = ()
    #: Whether they start by themselves with the user's manager.
    enabled: bool = False
    #: Whether connecting starts the daemon, as of now.
    listening: bool = False


class Reply(Record, frozen=True, kw_only=True):
    """What a handler answers: data in one of the shapes above, and words for people."""

    data: Any
    notes: tuple[str, ...] = ()
    #: The exit status; `wg next` with nothing to give, `wg check` with findings.
    exit_code: int = 0
