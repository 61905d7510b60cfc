"""What the world answered: the ends of effects, on their way into the next tick.

They come in by the same door as requests, but from inside; none of them can be sent by
a client.
"""

from workgraph.graph.chats import ChatEvent
from workgraph.graph.context_view import Files
from workgraph.graph.ends import Report
from workgraph.graph.inputs import FoundOutput
from workgraph.graph.model import Outcome, ProcessId, Record


class AgentStarted(Record, frozen=True, kw_only=True):
    """The process of an agent exists."""

    agent: int
    process: ProcessId
    #: Null where it is not known, or on the row already.
    folder_inode: int | None = None


class AgentEnded(Record, frozen=True, kw_only=True):
    """The process of an agent is gone, and this is what is known of its end.

    `outcome` is null for a process that ended by itself: its exit is judged by the
    retry rule's owner, patrol. `never_started` says that no process came to be.
    """

    agent: int
    exit_code: int | None = None
    signal: int | None = None
    outcome: Outcome | None = None
    reason: str | None = None
    never_started: bool = False
    #: How much it has written, where that was looked at.
    output_bytes: int | None = None
    #: What its stream has said; null where it has none.
    report: Report | None = None
    #: It has left something of its input unread.
    unread: bool = False


class InputTaken(Record, frozen=True, kw_only=True):
    """All that an agent was given to read has gone into its pipe."""

    agent: int


class AgentReported(Record, frozen=True, kw_only=True):
    """What the stream of a running agent has said so far."""

    agent: int
    report: Report


class LifeSought(Record, frozen=True, kw_only=True):
    """What an agent that seems silent has written was looked at."""

    agent: int
    output_bytes: int
    #: When it has written last; null when that was nothing since the last look.
    written_at: int | None


class LeftoverFound(Record, frozen=True, kw_only=True):
    """Processes of an ended agent that could not be ended; empty when they are gone."""

    agent: int
    processes: tuple[ProcessId, ...]


class PathFound(Record, frozen=True, kw_only=True):
    """A path that tasks wait for is there."""

    path: str


class GatesJudged(Record, frozen=True, kw_only=True):
    """A task's gates were run. `failed` names the gate that said no."""

    task: str
    #: Whose work was judged; the task may have had another attempt since.
    agent: str | None
    #: Which hand-in was judged; there may have been another one since.
    handed_in: int
    gate: str
    failed: str | None
    evidence: str
    #: Promised outputs that were found, as they were then.
    found: tuple[FoundOutput, ...] = ()
    #: Of an errand: the JSON object that its agent's output ends with; null: none does.
    answer: str | None = None


class FilesRead(Record, frozen=True, kw_only=True):
    """What a task's prompt shows of files, as they were a moment ago.

    It is for the tick that it comes into alone, and nothing of it is written down.
    """

    task: str
    files: Files


class ChatHeard(Record, frozen=True, kw_only=True):
    """What the handler of a chat has said, up to a place in its output.

    What is told twice counts once: the place is kept with what was said.
    """

    agent: int
    #: Bytes of its output from its start on.
    output_read: int
    events: tuple[ChatEvent, ...] = ()


Fact = (
    AgentStarted
    | AgentEnded
    | AgentReported
    | LifeSought
    | LeftoverFound
    | PathFound
    | GatesJudged
    | FilesRead
    | ChatHeard
    | InputTaken
)
