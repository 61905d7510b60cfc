"""What a prompt is made from: all that is known of a task and of what is around it.

Frozen structs without a word of the prompt in them: `store/contexts.py` fills them, and
`agents/context.py` makes the text.
"""

from collections.abc import Mapping

from msgspec import field

from workgraph.graph.inputs import Input
from workgraph.graph.judged_view import Judged, Note
from workgraph.graph.model import Artifact, Failure, Record, Task


class FileWish(Record, frozen=True, kw_only=True):
    """A file that has to be read before a prompt can be made."""

    path: str
    #: Its end is wanted, not its beginning.
    tail: bool = False
    #: No more of it than this is wanted, in bytes; null: as much as there is room for.
    most: int | None = None
    #: What is opened has to be in this folder, by whatever links it was found.
    within: str | None = None
    #: The hash and size that were recorded of a file that has no copy: it is compared
    #: with them, however large it is.
    sha256: str | None = None
    size: int | None = None
    #: `path` is a folder, and wanted is what has changed there since the revision that
    #: is kept in this file.
    since: str | None = None


class FileText(Record, frozen=True, kw_only=True):
    """What was found in a file, or why nothing was."""

    text: str = ""
    #: Of the whole file, of which `text` may be a part.
    size: int = 0
    is_part: bool = False
    #: Null where it is too large to be read through.
    sha256: str | None = None
    problem: str | None = None
    #: That it is not what was recorded, or that this is not known.
    stale: str | None = None


Files = Mapping[FileWish, FileText]


class ActorView(Record, frozen=True, kw_only=True):
    """Who is to work, and as what."""

    name: str
    role: str | None = None
    does: str = ""
    outcome: str = ""
    #: How it decides; acceptable compromises, and hard constraints.
    why: str = ""
    accepts: tuple[str, ...] = ()
    rejects: tuple[str, ...] = ()


class NamedTask(Record, frozen=True, kw_only=True):
    """A task around this one, by no more than its name and how it stands."""

    id: str
    title: str
    status: str
    #: What is taken from this task, what this one waits for, or has concluded.
    of: tuple[str, ...] = ()


class Dependency(Record, frozen=True, kw_only=True):
    """What a task that comes before has concluded."""

    id: str
    title: str
    status: str
    #: An edge leads there; else one of its artifacts is an input.
    direct: bool = True
    summary: str | None = None
    #: What the client of its last attempt has said last.
    said: str | None = None
    failure: Failure | None = None
    superseded_by: str | None = None
    artifacts: tuple[Artifact, ...] = ()
    notes: tuple[Note, ...] = ()


class Attempt(Record, frozen=True, kw_only=True):
    """An earlier attempt at the task."""

    agent: int
    attempt: int
    outcome: str
    reason: str | None = None
    said: str | None = None
    #: What was found wrong with what it handed in.
    reviews: tuple[Note, ...] = ()
    notes: tuple[Note, ...] = ()
    #: The next attempt goes on with its session, and so knows what it has said.
    known: bool = False
    #: It wrote plain text, whose end tells how far it came.
    plain: bool = False


class Message(Record, frozen=True, kw_only=True):
    """A message to whoever works on the task."""

    number: int
    by: str
    kind: str
    text: str
    #: The question that it answers.
    asked: str | None = None


class Wait(Record, frozen=True, kw_only=True):
    """What the last attempt has waited for, and what has ended that."""

    condition: str
    reason: str | None = None


class Loop(Record, frozen=True, kw_only=True):
    """Where a loop stands that the task is in."""

    number: int
    iteration: int
    most: int
    until: str | None = None
    until_converged: bool = False
    #: What `until` said after the iteration before.
    evidence: str | None = None
    #: `of` each is what it has concluded in the iteration before.
    members: tuple[NamedTask, ...] = ()


class Chain(Record, frozen=True, kw_only=True):
    """Where a trajectory stands that the task is on."""

    number: int
    steps: tuple[NamedTask, ...] = ()


class AbleActor(Record, frozen=True, kw_only=True):
    """Somebody who could do a task, as its assigner is told."""

    name: str
    skills: tuple[str, ...] = ()
    score: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    live: int = 0
    busy: bool = False


class Assignment(Record, frozen=True, kw_only=True):
    """The task that somebody is to be chosen for."""

    task: str
    title: str
    description: str = ""
    requires: tuple[str, ...] = ()
    prefers: tuple[str, ...] = ()
    complexity: str | None = None
    #: The best first.
    able: tuple[AbleActor, ...] = ()


class ContextView(Record, frozen=True, kw_only=True):
    """All that a prompt is made from."""

    task: Task
    executor: str = ""
    preamble: str = ""
    actor: ActorView | None = None
    #: Where the attempt works: paths are seen from there.
    folder: str = "/"
    wg_dir: str = "/.wg"
    inputs: tuple[Input, ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    added: tuple[NamedTask, ...] = ()
    messages: tuple[Message, ...] = ()
    wait: Wait | None = None
    loop: Loop | None = None
    chain: Chain | None = None
    #: What the assigner of another task is told.
    assignment: Assignment | None = None
    dependents: tuple[NamedTask, ...] = ()
    #: One hop further, for the scope `graph`.
    around: tuple[NamedTask, ...] = ()
    #: The whole graph, for the scope `full`.
    outline: tuple[NamedTask, ...] = ()
    #: Of an evaluator's task: the work that it judges.
    judged: Judged | None = None
    #: How many there are of these, as only so many were read.
    counts: Mapping[str, int] = field(default_factory=dict)
    #: Paths to which `wg` was asked to look, and what is there.
    files: Files = field(default_factory=dict)


class Given(Record, frozen=True, kw_only=True):
    """What a session was given that the next attempt goes on with."""

    session: str
    #: An earlier attempt of this session was at the same task.
    same_task: bool = True
    #: The hashes of the pieces that it was shown.
    pieces: frozenset[str] = frozenset()
    #: Its agents.
    agents: frozenset[int] = frozenset()


class Told(Record, frozen=True, kw_only=True):
    """A block of a prompt as it was given, without its text."""

    name: str
    source: str
    #: What the text up to its end is estimated at, less what it is up to its start.
    tokens: int
    cut: bool
    sha256: str
    #: What it would have taken whole.
    whole: int
    #: The hashes of the pieces of which something was shown.
    pieces: tuple[str, ...] = ()


class Compiled(Record, frozen=True, kw_only=True):
    """A prompt, and what is in it."""

    text: str
    tokens: int
    limit: int
    blocks: tuple[Told, ...]
    #: The messages that it holds.
    messages: tuple[int, ...] = ()


class KeptPrompt(Record, frozen=True, kw_only=True):
    """A prompt as its row has it."""

    limit: int
    tokens: int
    blocks: tuple[Told, ...] = ()
