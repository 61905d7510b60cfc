"""What a chat's handler is told is made from: all that is known of its conversation.

Frozen structs without a word of the text in them: `store/conversation.py` fills them,
and `agents/conversation.py` makes the text.
"""

from collections.abc import Mapping

from msgspec import field

from workgraph.graph.changes import Change
from workgraph.graph.chats import MessageKind
from workgraph.graph.context_view import NamedTask
from workgraph.graph.model import Record


class Said(Record, frozen=True, kw_only=True):
    """Something that was said in a chat, or the beginning of it."""

    number: int
    at: int
    by: str
    kind: MessageKind
    text: str
    #: Of the whole, in bytes.
    size: int
    reply_to: int | None = None


class Standing(Record, frozen=True, kw_only=True):
    """How a task stands that is worth a word, and why."""

    id: str
    title: str
    status: str
    #: What it has failed of, or what a person is asked.
    reason: str | None = None


class GraphView(Record, frozen=True, kw_only=True):
    """How the graph stands, in short."""

    #: How many tasks are in each status, chats aside.
    counts: Mapping[str, int] = field(default_factory=dict)
    paused: bool = False
    frozen: bool = False
    running: tuple[Standing, ...] = ()
    failed: tuple[Standing, ...] = ()
    #: Questions, and work to be looked at.
    for_people: tuple[Standing, ...] = ()


class Heard(Record, frozen=True, kw_only=True):
    """What has changed since a chat was told last."""

    #: The newest first, and no more than so many.
    changes: tuple[Change, ...] = ()
    #: How many are older than those.
    earlier: int = 0
    #: The tasks of these, by their ids.
    tasks: Mapping[str, NamedTask] = field(default_factory=dict)
    #: What the chat's own handlers have done of it, by the changes' numbers.
    own: frozenset[int] = frozenset()
    #: The newest change of all.
    last: int = 0


class ConversationView(Record, frozen=True, kw_only=True):
    """All that a handler is told at its start, or with a message."""

    task: str
    name: str
    by: str
    description: str = ""
    prompt: str = ""
    preamble: str = ""
    project_dir: str = "/"
    #: Where it works: it may name no files outside of this folder.
    folder: str = "/"
    #: How many tasks it may add for one message.
    max_new_tasks: int = 10
    #: It goes on with a session: it knows what was said.
    resumed: bool = False
    graph: GraphView = GraphView()
    heard: Heard = Heard()
    #: Tasks that it has added and that are not over.
    added: tuple[NamedTask, ...] = ()
    #: What was said, the newest first, as much as could be shown.
    said: tuple[Said, ...] = ()
    #: How many there are of these.
    said_in_all: int = 0
    #: What it is to answer now; null: it is told later.
    message: Said | None = None
