"""What a tick has decided that has to be done in the world, after its commit."""

from collections.abc import Mapping

from msgspec import field

from workgraph.agents.choices import Awaited
from workgraph.agents.process import LaunchOrder, SweepTarget
from workgraph.agents.talk import HandlerKind
from workgraph.graph.context_view import FileWish
from workgraph.graph.model import Agent, ProcessId, Record, Usage
from workgraph.graph.views import Needs
from workgraph.settings import Stream


class Hearing(Record, frozen=True, kw_only=True):
    """What an agent writes are answers in a chat."""

    kind: HandlerKind
    #: The chat's number.
    chat: int = 0
    #: How much of its output has been taken in before.
    read: int = 0


class Listen(Record, frozen=True, kw_only=True):
    """What an agent writes is a structured stream, or answers, to be followed."""

    stream: Stream
    #: What earlier attempts have used in the session that it goes on with.
    earlier: Usage = Usage()
    #: When it is started.
    since: int = 0
    #: Where its client keeps what is its own; empty: nothing is looked for there.
    home: str = ""
    #: Null where it answers in no chat.
    hearing: Hearing | None = None


class Spawn(Record, frozen=True, kw_only=True):
    """A claimed task's agent is to be started."""

    order: LaunchOrder
    line: str
    #: An end within a second and with nothing written tells something.
    may_be_too_fast: bool = False
    #: Null where there is nothing to follow.
    listen: Listen | None = None


class StopProcess(Record, frozen=True, kw_only=True):
    """An agent is to be ended, with all that it has started."""

    agent: int
    folder: str
    process: ProcessId | None
    grace_s: float
    force: bool


class EndLeftover(Record, frozen=True, kw_only=True):
    """What an ended agent has left behind is to be ended, or seen to be gone."""

    target: SweepTarget
    limit_s: float


class LookAtOutput(Record, frozen=True, kw_only=True):
    """An agent may have stalled: what it has written is to be looked at."""

    agent: int
    folder: str
    known_bytes: int


class AwaitHost(Record, frozen=True, kw_only=True):
    """A task could be started if one of these were there."""

    awaited: tuple[Awaited, ...]


class WatchPaths(Record, frozen=True, kw_only=True):
    """The paths that are waited for now, instead of those before."""

    paths: frozenset[str]


class RunGate(Record, frozen=True, kw_only=True):
    """A gate of a task that was handed in is to be run."""

    task: str
    agent: str | None
    gate: str
    handed_in: int
    working_dir: str
    outputs: tuple[str, ...]
    #: Where copies of them are kept, and what they have to be in to be recorded.
    copies: str
    within: str | None = None
    commands: tuple[str, ...]
    #: What goes before the commands' argv.
    sandbox: tuple[str, ...] = ()
    env: Mapping[str, str]
    timeout_s: float


class ReadAnswer(Record, frozen=True, kw_only=True):
    """What an errand's agent has answered is to be read."""

    task: str
    #: Its number; null: nobody has worked on it.
    agent: int | None
    folder: str
    stream: Stream
    handed_in: int


class ReadFiles(Record, frozen=True, kw_only=True):
    """A task's prompt shows something of files: they are read before its start."""

    task: str
    wishes: tuple[FileWish, ...]
    #: The host's environment, for git.
    env: Mapping[str, str] = field(default_factory=dict)
    #: What its start needs that others need, too: it has its place there already.
    needs: Needs = Needs()


class WriteInput(Record, frozen=True, kw_only=True):
    """A handler that is kept open is given something to read."""

    agent: int
    data: bytes


Effect = (
    Spawn
    | StopProcess
    | EndLeftover
    | LookAtOutput
    | AwaitHost
    | WatchPaths
    | RunGate
    | ReadAnswer
    | ReadFiles
    | WriteInput
)


def target_of(agent: Agent, folder: str) -> SweepTarget:
    """An ended agent, for a search after what it has left behind."""
    return SweepTarget(
        agent=agent.number,
        folder=folder,
        inode=agent.folder_inode,
        process=agent.process,
        known=agent.leftover,
    )
