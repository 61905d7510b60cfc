"""The inbox: what a person has to act on, each with the commands that do it."""

import shlex
from collections.abc import Iterator
from typing import Final

from workgraph.commands import judging
from workgraph.commands.context import Context, task_facts
from workgraph.graph import readiness
from workgraph.graph.holds import AccountState
from workgraph.graph.judging import explain_score
from workgraph.graph.messages import GetInbox, InboxData
from workgraph.graph.model import Task
from workgraph.graph.replies import Reply
from workgraph.graph.times import to_rfc3339
from workgraph.store import inbox as waiting

#: Of what keeps ready tasks back, that which a person has to mend.
_TO_MEND: Final = frozenset(
    {
        "misconfigured",
        "quarantined",
        "budget_exhausted",
        "missing_input",
        "no_capable_actor",
        "leftover",
    }
)


def inbox(context: Context, request: GetInbox) -> Reply:
    """What waits for a person, the most urgent kind first, the oldest of it first."""
    items = tuple(
        item
        for item in _items(context)
        if request.actor is None or item.actor == request.actor
    )
    return Reply(data=items)


def _items(context: Context) -> Iterator[InboxData]:
    tx = context.tx
    for task, at, text in waiting.questions(tx):
        answer = f"wg answer {task.id} TEXT"
        yield _item("question", task, text, (answer,), since=at)
    for task in waiting.reviews(tx):
        verdicts: tuple[str, ...] = (
            f"wg approve {task.id}",
            f"wg reject {task.id} --reason R",
        )
        text = task.summary or ""
        score = judging.awaited_of(tx, task, context.settings)
        if score is not None:
            if not score.needs_person:
                continue
            text = explain_score(task, score).message
            verdicts = (*verdicts, f"wg reward run {task.id}")
        yield _item("review", task, text, verdicts)
    for task in waiting.of_persons(tx):
        yield _of_person(task)
    for task, count in waiting.held(tx):
        yield from _held(context, task, count)
    for task, behind in waiting.failed(tx):
        yield _failed(task, behind)
    for task, actor in waiting.claimed(tx):
        ends = (f"wg done {task.id}", f"wg unclaim {task.id}")
        yield _item("claimed", task, "", ends, actor=actor, since=task.claimed_at)


def _of_person(task: Task) -> InboxData:
    actor = task.reserved_for or task.actor or ""
    claim = f"wg claim {task.id} --actor {shlex.quote(actor)}"
    if task.reserved_for is not None:
        reason = task.failure.reason if task.failure is not None else ""
        gives_back = f"wg unclaim {task.id}"
        return _item("reserved", task, reason, (claim, gives_back), actor=actor)
    return _item("assigned", task, "", (claim,), actor=actor)


def _held(context: Context, task: Task, count: int) -> Iterator[InboxData]:
    """What keeps it back, where that does not go away by itself."""
    tx = context.tx
    facts = task_facts(tx, task)
    is_broken = facts.account is not None and facts.account.state is AccountState.BROKEN
    for reason in readiness.explain(facts, context.service, tx.now):
        if reason.code in _TO_MEND or (reason.code == "provider_limited" and is_broken):
            text = f"{reason.code}: {reason.message}"
            yield _item("held", task, text, (reason.remedy,), more=count - 1)
            return


def _failed(task: Task, behind: int) -> InboxData:
    failure = task.failure
    text = f"{failure.class_}: {failure.reason}" if failure is not None else ""
    return _item(
        "failed",
        task,
        text,
        (f"wg retry {task.id}", f"wg abandon {task.id}"),
        since=task.completed_at,
        more=behind,
    )


def _item(
    kind: str,
    task: Task,
    text: str,
    commands: tuple[str, ...],
    *,
    actor: str | None = None,
    since: int | None = None,
    more: int = 0,
) -> InboxData:
    return InboxData(
        kind=kind,
        task=task.id,
        title=task.spec.title,
        since=to_rfc3339(task.updated_at if since is None else since),
        actor=actor,
        text=text,
        commands=commands,
        more=more,
    )
