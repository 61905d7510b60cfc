"""What an evaluator is shown of the work that it judges."""

from workgraph.graph.inputs import Input
from workgraph.graph.model import Record


class Note(Record, frozen=True, kw_only=True):
    """Something that was logged about a task."""

    by: str
    text: str


class Judged(Record, frozen=True, kw_only=True):
    """An attempt that is judged, and all that is known of what came of it."""

    #: Which part of the work this is: `score`, `guess` or `compare`.
    part: str
    task: str
    attempt: int
    agent: int
    #: Where its work can be compared with what was there before; null: nowhere.
    workspace: str | None = None
    #: What has changed, where that is known without a look.
    diff: str | None = None
    title: str = ""
    description: str = ""
    prompt: str = ""
    tags: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()
    #: How it ended, and why.
    outcome: str = ""
    reason: str | None = None
    #: What it says that it has found and made.
    summary: str | None = None
    #: What its client has said last.
    said: str | None = None
    #: It wrote plain text, whose end may say more.
    plain: bool = False
    #: Numbers that tell how it went, a line each.
    figures: tuple[str, ...] = ()
    #: What its gates said, the first one first; `by` is how each came out.
    gates: tuple[Note, ...] = ()
    #: What it has logged.
    notes: tuple[Note, ...] = ()
    artifacts: tuple[Input, ...] = ()
    #: Of `compare`: what was guessed from the result alone.
    guess: str | None = None
    #: What was wrong with the answers before this one.
    wrong: tuple[str, ...] = ()
