"""What can be set: the structs are the single definition of every key.

Type, range, default and the line that explains a key are here and nowhere else; the
checks, `wg config` and the file that `wg init` writes are made from them.
"""

import difflib
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct, field

from workgraph.graph.times import Duration

Layer = Literal["default", "global", "local", "command line"]
PromptMode = Literal["stdin", "file", "argument"]
Permissions = Literal["readonly", "edits", "full"]
Stream = Literal["text", "claude", "codex", "gemini", "opencode"]


#: What TOML can hold; a key's type says what it must be.
Json = Any


def _about(text: str) -> Meta:
    return Meta(description=text)


_duration = Duration.parse


class Section(Struct, frozen=True, kw_only=True):
    """The base of every table of the settings."""


class DispatcherSettings(Section, frozen=True):
    """What the dispatcher starts, and with what."""

    max_agents: Annotated[
        int, Meta(ge=0), _about("agents at a time; 0 starts nothing by itself")
    ] = 4
    executor: Annotated[
        str, Meta(min_length=1), _about("what works on a task that names no executor")
    ] = "claude"
    model: Annotated[str, _about("empty: the executor's own")] = ""
    order: Annotated[
        Literal["priority"],
        _about("priority, then the longest chain of work behind it, then age"),
    ] = "priority"
    trajectories: Annotated[
        bool, _about("give one agent chains of tasks that share context")
    ] = False


class AgentsSettings(Section, frozen=True):
    """The limits of every attempt."""

    timeout: Annotated[Duration, _about("wall clock of an attempt")] = _duration("2h")
    stall_timeout: Annotated[
        Duration, _about("no output and no call of wg; not for shell tasks")
    ] = _duration("20m")
    kill_grace: Annotated[Duration, _about("between TERM and KILL")] = _duration("10s")
    nice: Annotated[
        int, Meta(ge=-20, le=19), _about("priority of agents' processes, -20 to 19")
    ] = 5
    cgroups: Annotated[
        Literal["auto", "off"],
        _about("auto: each agent in a cgroup of its own, where one can be had; or off"),
    ] = "auto"
    exit_zero: Annotated[
        Literal["done", "submit", "fail"],
        _about("an exit with 0 and no verdict: done, submit or fail (not shell)"),
    ] = "done"
    permissions: Annotated[
        Permissions,
        _about("what coding agents may do unasked: readonly, edits or full"),
    ] = "edits"
    client_patience: Annotated[
        Duration, _about("a client that tries again by itself is ended after this")
    ] = _duration("45s")
    max_new_tasks: Annotated[
        int, Meta(ge=0), _about("tasks that an attempt may add")
    ] = 10
    max_descendants: Annotated[
        int, Meta(ge=0), _about("tasks that agents may add below one operator's task")
    ] = 100
    max_depth: Annotated[
        int, Meta(ge=0), _about("how deep tasks added by agents may be nested")
    ] = 3


class RetrySettings(Section, frozen=True):
    """When a task gets another attempt."""

    max_attempts: Annotated[int, Meta(ge=1), _about("starts of a task, at most")] = 3
    on: Annotated[
        Literal["crash", "failure"],
        _about("crash, or failure: also after the worker's own verdict"),
    ] = "crash"
    backoff: Annotated[
        Duration, _about("before the second attempt; doubles each time")
    ] = _duration("10s")
    backoff_max: Annotated[Duration, _about("the longest backoff")] = _duration("5m")
    resume: Annotated[
        Literal["session", "fresh"],
        _about("session: go on where the executor can; fresh: start anew"),
    ] = "session"


class EnvSettings(Section, frozen=True):
    """What agents get of the environment."""

    pass_: Annotated[
        tuple[str, ...], _about("names (globs) added to the allow-list")
    ] = field(name="pass", default=())


class WorkspaceSettings(Section, frozen=True):
    """Where agents work."""

    isolation: Annotated[
        Literal["none"], _about("none: all agents share the project folder")
    ] = "none"


class ContextSettings(Section, frozen=True):
    """How much agents are told."""

    limit: Annotated[
        int, Meta(ge=1000), _about("tokens of context of actors that name no limit")
    ] = 100_000
    reserve: Annotated[
        int,
        Meta(ge=0),
        _about("kept back of it for the work itself; a quarter of it at the most"),
    ] = 20_000


class ChatSettings(Section, frozen=True):
    """Conversations with agents."""

    idle_after: Annotated[
        Duration, _about("a handler that nobody uses is ended after this")
    ] = _duration("300s")
    history_tokens: Annotated[
        int,
        Meta(ge=0),
        _about("the most of what was said that a new session is told"),
    ] = 20_000


class AgencySettings(Section, frozen=True):
    """Who gets which task, and how results are judged."""

    auto_assign: Annotated[
        Literal["off", "match", "actor"], _about("off, match or actor")
    ] = "match"
    auto_reward: Annotated[
        Literal["off", "checks", "actor"], _about("off, checks or actor")
    ] = "off"
    assigner: Annotated[str, _about("the actor that assigns; empty: none")] = ""
    evaluator: Annotated[str, _about("the actor that judges; empty: none")] = ""
    reward_gate: Annotated[
        Literal["off", "advisory", "enforcing"], _about("off, advisory or enforcing")
    ] = "off"
    reward_threshold: Annotated[
        float, Meta(ge=0, le=1), _about("an enforcing gate lets pass from here, 0 to 1")
    ] = 0.7
    explore: Annotated[
        float,
        Meta(ge=0, le=1),
        _about("share of choices that try what the record leaves open, 0 to 1"),
    ] = 0.2
    flip: Annotated[
        Literal["off", "tagged", "all"],
        _about(
            "judge intent fidelity, too: of no task, of those tagged flip-eval, all"
        ),
    ] = "tagged"
    evolver: Annotated[str, _about("the actor that proposes changes; empty: none")] = ""
    trial_share: Annotated[
        float,
        Meta(ge=0, le=1),
        _about("of its parent's work that a changed actor gets"),
    ] = 0.2


class BudgetSettings(Section, frozen=True):
    """What work may cost."""

    tokens_per_attempt: Annotated[
        int, Meta(ge=0), _about("of one attempt; 0: no limit")
    ] = 0
    usd_per_attempt: Annotated[
        float, Meta(ge=0), _about("of one attempt; 0: no limit")
    ] = 0.0
    tokens_per_task: Annotated[
        int, Meta(ge=0), _about("of a task without --budget-tokens; 0: no limit")
    ] = 0
    usd_per_task: Annotated[
        float, Meta(ge=0), _about("of a task without --budget-usd; 0: no limit")
    ] = 0.0
    tokens_per_day: Annotated[
        int, Meta(ge=0), _about("of all work on one day, UTC; 0: no limit")
    ] = 0
    usd_per_day: Annotated[
        float, Meta(ge=0), _about("of all work on one day, UTC; 0: no limit")
    ] = 0.0


class SandboxSettings(Section, frozen=True):
    """What agents' processes are locked into."""

    kind: Annotated[Literal["none", "bwrap"], _about("none or bwrap")] = "none"
    network: Annotated[
        Literal["host", "none"], _about("what a sandbox sees of it: host or none")
    ] = "host"
    readable: Annotated[
        tuple[str, ...], _about("paths (from / or ~/ on) that are seen inside, too")
    ] = ()
    writable: Annotated[
        tuple[str, ...], _about("paths that can be written to inside, too")
    ] = ()


class ExecutorSettings(Section, frozen=True):
    """An executor as data, or what is changed of one that is there (null: nothing)."""

    argv: Annotated[
        tuple[str, ...] | None,
        _about("a placeholder fills one argument, never a shell line"),
    ] = None
    prompt: Annotated[PromptMode | None, _about("stdin, file or argument")] = None
    stream: Annotated[
        Stream | None, _about("text, claude, codex, gemini, opencode")
    ] = None
    env: Annotated[
        tuple[str, ...] | None, _about("what it needs of the environment (globs)")
    ] = None
    needs_endpoint: Annotated[bool | None, _about("it talks to an endpoint")] = None
    preamble: Annotated[str | None, _about("put before every prompt")] = None
    account: Annotated[
        str | None, _about('whose limits hold for it; "": nobody\'s')
    ] = None
    resume: Annotated[
        tuple[str, ...] | None,
        _about("the argv that goes on with {session}; empty: it can't"),
    ] = None
    chat: Annotated[
        tuple[str, ...] | None,
        _about("the argv that is kept open for a chat; empty: a run for each message"),
    ] = None
    chat_resume: Annotated[
        tuple[str, ...] | None,
        _about("the same where it goes on with {session}; empty: it can't"),
    ] = None
    credentials: Annotated[
        tuple[str, ...] | None,
        _about("variables, one of which it needs to log in; empty: none"),
    ] = None


Price = Annotated[float, Meta(ge=0)]


class PriceSettings(Section, frozen=True):
    """What a model's tokens cost, in dollars for a million (null: not known)."""

    input: Annotated[
        Price | None, _about("USD for a million tokens that go in, not from a cache")
    ] = None
    cached: Annotated[
        Price | None, _about("USD for a million tokens read from the provider's cache")
    ] = None
    output: Annotated[
        Price | None, _about("USD for a million tokens that come out")
    ] = None


class Endpoint(Section, frozen=True, forbid_unknown_fields=True):
    """A model service that `native` and the like can talk to."""

    name: Annotated[str, Meta(min_length=1)]
    url: Annotated[str, Meta(pattern="^https?://")]
    api_key_env: str = ""
    default: bool = False


class Settings(Section, frozen=True):
    """Every setting, as it is in effect."""

    dispatcher: DispatcherSettings = DispatcherSettings()
    agents: AgentsSettings = AgentsSettings()
    retry: RetrySettings = RetrySettings()
    env: EnvSettings = EnvSettings()
    workspace: WorkspaceSettings = WorkspaceSettings()
    context: ContextSettings = ContextSettings()
    chat: ChatSettings = ChatSettings()
    agency: AgencySettings = AgencySettings()
    budget: BudgetSettings = BudgetSettings()
    sandbox: SandboxSettings = SandboxSettings()
    executors: Mapping[str, ExecutorSettings] = field(default_factory=dict)
    #: By a model's name, or a glob for several.
    prices: Mapping[str, PriceSettings] = field(default_factory=dict)
    endpoints: tuple[Endpoint, ...] = ()


class Key(Section, frozen=True):
    """One key: its full name, type, default, and a line about it."""

    name: str
    type: Any
    default: Any
    about: str


def _keys_of(section: type[Section], prefix: str) -> Iterator[Key]:
    hints = get_type_hints(section, include_extras=True)
    for info in msgspec.structs.fields(section):
        hint = hints[info.name]
        about = next(m.description for m in get_args(hint)[1:] if m.description)
        yield Key(
            name=prefix + info.encode_name, type=hint, default=info.default, about=about
        )


#: Tables whose keys are fixed, by the name of the table.
SECTIONS: Final[Mapping[str, type[Section]]] = MappingProxyType(
    {
        name: hint
        for name, hint in get_type_hints(Settings).items()
        if isinstance(hint, type)
    }
)
KEYS: Final[Mapping[str, Key]] = MappingProxyType(
    {
        key.name: key
        for name, section in SECTIONS.items()
        for key in _keys_of(section, f"{name}.")
    }
    | {
        "endpoints": Key(
            name="endpoints",
            type=tuple[Endpoint, ...],
            default=(),
            about="[[endpoints]]",
        )
    }
)
EXECUTOR_KEYS: Final[Mapping[str, Key]] = MappingProxyType(
    {key.name: key for key in _keys_of(ExecutorSettings, "")}
)


PRICE_KEYS: Final[Mapping[str, Key]] = MappingProxyType(
    {key.name: key for key in _keys_of(PriceSettings, "")}
)
#: Tables of tables: `executors.NAME.KEY` and `prices.MODEL.KEY`, any name in between.
NAMED_TABLES: Final[Mapping[str, Mapping[str, Key]]] = MappingProxyType(
    {"executors": EXECUTOR_KEYS, "prices": PRICE_KEYS}
)


def find_key(name: str) -> Key | None:
    """The key of a dotted name, or null: `executors.NAME.KEY` for any NAME."""
    first, _, rest = name.partition(".")
    if first in NAMED_TABLES:
        inner, _, last = rest.rpartition(".")
        return NAMED_TABLES[first].get(last) if inner else None
    return KEYS.get(name)


def nearest_key(name: str) -> str:
    """A hint that names the key or table most like a name."""
    if name in SECTIONS or name in NAMED_TABLES:
        return f"[{name}] is a table: write its keys under it"
    table, inner = name.partition(".")[0], name.rpartition(".")[0]
    names = [*KEYS, *SECTIONS, *NAMED_TABLES]
    if table in NAMED_TABLES:
        names = [f"{inner}.{key}" for key in NAMED_TABLES[table]]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else "`wg config list` shows all settings"
