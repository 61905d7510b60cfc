"""The prompt of a start: what is known of its task, then the files that it shows."""

from typing import Final

from msgspec.structs import replace

from workgraph.agents.choices import Grounds, choose_working_dir
from workgraph.agents.context import compile_context, room_for
from workgraph.agents.executor import Executor
from workgraph.agents.judging import judging_files
from workgraph.agents.sections import files_wanted
from workgraph.daemon.hiding import hide_secrets
from workgraph.graph.context_view import (
    Compiled,
    ContextView,
    Files,
    FileWish,
    Given,
)
from workgraph.graph.model import Actor, Record, Task
from workgraph.store import contexts, errands, judging, prompts
from workgraph.store.database import Tx

#: Linux takes no argument of 128 KiB or more.
_MOST_IN_AN_ARGUMENT: Final = 34_000
_NOBODY: Final[frozenset[int]] = frozenset()


class FilesWantedError(Exception):
    """A prompt shows something of files that have not been read yet.

    Args:
        wishes: All of them.
    """

    def __init__(self, wishes: tuple[FileWish, ...]) -> None:
        super().__init__(f"{len(wishes)} files are to be read")
        self.wishes = wishes


class PromptDraft(Record, frozen=True, kw_only=True):
    """A prompt for which nothing more is needed of the graph."""

    view: ContextView
    limit: int
    given: Given | None
    #: The files that it shows something of.
    wishes: tuple[FileWish, ...]


def draft_prompt(  # noqa: PLR0913, PLR0917 - what a prompt depends on
    tx: Tx,
    task: Task,
    actor: Actor | None,
    executor: Executor,
    grounds: Grounds,
    session: str = "",
) -> PromptDraft:
    """What the graph knows for the prompt of the next attempt.

    Args:
        tx: The transaction.
        task: What is to be worked on.
        actor: By whom.
        executor: By what.
        grounds: What plans are made from.
        session: The session that goes on, of whichever task; empty for a new one.
    """
    given = prompts.given(tx, session, task.id)
    host, settings = grounds.host, grounds.layered.settings.context
    start = ContextView(
        task=task,
        executor=executor.name,
        preamble=executor.preamble,
        folder=choose_working_dir(host, task).value,
        wg_dir=host.wg_dir,
    )
    view = contexts.fill(tx, start, actor, given.agents if given else _NOBODY, session)
    if task.spec.exec is None and (errand := errands.find(tx, task.id)) is not None:
        view = replace(view, judged=judging.view_of(tx, errand))
    room = room_for(actor, settings)
    if executor.prompt == "argument":
        room = min(room, _MOST_IN_AN_ARGUMENT)
    return PromptDraft(
        view=view,
        limit=room,
        given=given,
        wishes=(*files_wanted(view), *judging_files(view)),
    )


def compile_prompt(draft: PromptDraft, grounds: Grounds, files: Files) -> Compiled:
    """The text of a prompt.

    Raises:
        FilesWantedError: Not all files that it shows have been read.
        PlanError: It is within no limit.
    """
    view = draft.view
    if draft.wishes:
        if any(wish not in files for wish in draft.wishes):
            raise FilesWantedError(draft.wishes)
        view = replace(view, files={wish: files[wish] for wish in draft.wishes})
    return compile_context(
        view, draft.limit, given=draft.given, hide=hide_secrets(grounds)
    )
