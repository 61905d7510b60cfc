"""Handlers that shape the graph: add, edit, link, unlink."""

from collections.abc import Iterable
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from workgraph.commands import options, sandboxed
from workgraph.commands.assigning import check_capable, check_may_be_open
from workgraph.commands.chat_token import check_below, check_new_task, is_of_chat
from workgraph.commands.context import Context, task_reply
from workgraph.commands.trajectories import release_unfit
from workgraph.graph import requests as r
from workgraph.graph.chats import chat_number
from workgraph.graph.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UserError,
)
from workgraph.graph.model import DEFAULT_PRIORITY, Agent, Task, TaskSpec
from workgraph.graph.replies import Reply
from workgraph.graph.status import SETTLED, Status
from workgraph.store import budgets, edges, loops, reads, writes
from workgraph.store.database import Tx

#: What an edit says of itself that changes nothing but budgets.
_BUDGETS: Final = frozenset(
    {"budget-tokens", "budget-usd", "budget-tokens, budget-usd"}
)


def add_task(context: Context, request: r.AddTask) -> Reply:
    """Adds an open task with its edges.

    Raises:
        UserError: The id is taken or no id, an option is wrong, a limit is reached.
        NotFoundError: A dependency does not exist.
    """
    tx, agent = context.tx, context.caller.agent
    if not request.title.strip():
        raise UserError("a task needs a title", hint='wg add "what is to be done"')
    sandboxed.check_options(agent, request)
    spec = writes.edited_spec(
        TaskSpec(title=request.title, independent=request.independent),
        **options.spec_changes(request),
    )
    _check_texts(spec)
    spec = sandboxed.check_files(agent, spec, context.project_dir)
    task_id = _choose_id(tx, request)
    depth = _check_limits(context, agent)
    producers = options.producers(spec.inputs)
    _check_producers(tx, producers)
    waits_for = [*request.after, *producers]
    # A conversation is over when somebody archives it: nothing waits for that unasked.
    if agent is not None and not request.independent and not is_of_chat(agent):
        waits_for.append(loops.exit_of(tx, agent.task))
    for dep in waits_for:
        if not reads.is_taken(tx, dep):
            raise reads.no_such_task(tx, dep)
    actor = options.actor_of(request, None)
    check_capable(tx, actor, spec.requires_skills)
    writes.insert_task(
        tx,
        writes.NewTask(
            id=task_id,
            spec=spec,
            priority=options.priority_of(request, DEFAULT_PRIORITY),
            paused=request.paused,
            actor=actor,
            not_before=options.not_before_of(request, None, tx.now),
            added_by=agent.id if agent else None,
            depth=depth,
        ),
        context.caller.by,
    )
    for dep in options.unique(tuple(waits_for)):
        edges.insert_edge(tx, task_id, dep, "done", context.caller.by, is_new=True)
    return task_reply(context, task_id)


def edit_task(context: Context, request: r.EditTask) -> Reply:
    """Changes what `add` sets; a task that waits for settings is looked at again.

    Raises:
        UserError: It is in progress in a way that forbids it, or a value is wrong.
    """
    tx, by = context.tx, context.caller.by
    # What agents have added below goes on to draw on the budget of a task that is done.
    is_budget = _what_changed(request) in _BUDGETS
    task = reads.task(tx, request.task or "") if is_budget else None
    task = task or _editable(tx, request.task)
    sandboxed.check_options(context.caller.agent, request)
    changes = options.spec_changes(request)
    if request.title is not UNSET:
        if not request.title.strip():
            raise UserError("a task needs a title", hint="give --title some words")
        changes["title"] = request.title
    if request.independent is not UNSET:
        changes["independent"] = request.independent
    tags = _edited(changes.get("tags", task.spec.tags), request, "tag")
    skills = changes.get("requires_skills", task.spec.requires_skills)
    changes |= {
        "tags": tags,
        "requires_skills": _edited(skills, request, "skill"),
    }
    spec = writes.edited_spec(task.spec, **changes)
    if spec.exec and spec.executor not in {None, "shell"}:
        raise UserError(
            f"a task with --exec is a shell task, not one for {spec.executor}",
            hint=f'wg edit {task.id} --exec "", or --executor ""',
        )
    _check_texts(spec)
    sandboxed.check_changed_files(
        context.caller.agent, request, spec, context.project_dir
    )
    actor = options.actor_of(request, task.actor)
    if request.actor is not UNSET or set(spec.requires_skills) - set(
        task.spec.requires_skills
    ):
        check_capable(tx, actor, spec.requires_skills, task.id)
    if actor is None and task.actor is not None:
        check_may_be_open(tx, task.id)
    writes.update_spec(
        tx,
        task,
        writes.SpecUpdate(
            spec=spec,
            priority=options.priority_of(request, task.priority),
            paused=task.paused if request.paused is UNSET else request.paused,
            actor=actor,
            actor_matched=task.actor_matched and actor == task.actor,
            not_before=options.not_before_of(request, task.not_before, tx.now),
        ),
        by,
        _what_changed(request),
    )
    producers = options.producers(spec.inputs)
    if request.input is not UNSET:
        _check_producers(tx, producers)
    _edit_edges(tx, task.id, request, producers, by)
    release_unfit(context, task.id)
    if "budget_tokens" in changes or "budget_usd" in changes:
        budgets.wake_below(tx, task.id)
    return task_reply(context, task.id)


def link_task(context: Context, request: r.LinkTask) -> Reply:
    """Makes a task wait for another one; doing so twice is doing it once."""
    tx = context.tx
    task = _editable(tx, request.task)
    reads.task(tx, request.after)
    edges.insert_edge(tx, task.id, request.after, request.on, context.caller.by)
    return task_reply(context, task.id)


def unlink_task(context: Context, request: r.UnlinkTask) -> Reply:
    """Takes a dependency away; one that is not there is away already."""
    tx = context.tx
    task = reads.task(tx, request.task or "")
    reads.task(tx, request.after)
    _refuse_unlink(task.id, request.after, options.producers(task.spec.inputs))
    loops.refuse_unlink(tx, task.id, request.after)
    edges.delete_edge(tx, task.id, request.after, context.caller.by)
    return task_reply(context, task.id)


def _choose_id(tx: Tx, request: r.AddTask) -> str:
    if request.id is not None:
        if reads.is_taken(tx, options.check_id(request.id)):
            raise ConflictError(
                f"there is a task {request.id} already",
                hint=f"wg show {request.id}, or choose another --id",
            )
        return request.id
    slug = options.id_from_title(request.title)
    candidate, number = slug, 1
    while reads.is_taken(tx, candidate):
        number += 1
        candidate = options.numbered(slug, number)
    return candidate


def _check_limits(context: Context, agent: Agent | None) -> int:
    """How deep below an operator's task this one is; refuses what goes too far."""
    if agent is None:
        return 0
    limits = context.settings.agents
    depth = reads.task(context.tx, agent.task).depth + 1
    if depth > limits.max_depth:
        raise ForbiddenError(
            f"{agent.task} was added by an agent {limits.max_depth} levels deep:"
            " it may add no more tasks",
            hint="do it within the task, or raise [agents].max_depth",
        )
    if is_of_chat(agent):
        check_new_task(context, agent)
    elif reads.count_added_by(context.tx, agent.id) >= limits.max_new_tasks:
        raise ForbiddenError(
            f"{agent.id} has added {limits.max_new_tasks} tasks, the most it may",
            hint="do it within the task, or raise [agents].max_new_tasks",
        )
    root = reads.root_of(context.tx, agent.task)
    if chat_number(root) is not None:
        check_below(context, root)
        return depth
    most = limits.max_descendants
    if reads.count_below(context.tx, root, most) >= most:
        raise ForbiddenError(
            f"agents have added {most} tasks below {root}, the most they may",
            hint="do it within the task, or raise [agents].max_descendants",
        )
    return depth


def _editable(tx: Tx, task_id: str | None) -> Task:
    task = reads.task(tx, task_id or "")
    if task.status in SETTLED and task.status is not Status.FAILED:
        raise UserError(
            f"{task.id} is {task.status}: a change would have no effect",
            hint=f"wg retry {task.id} opens it again",
        )
    return task


def _edit_edges(
    tx: Tx, task_id: str, request: r.EditTask, producers: list[str], by: str
) -> None:
    wanted = list(request.add_after)
    if request.input is not UNSET or request.after is not UNSET:
        wanted += producers
    if request.after is not UNSET:
        wanted.extend(request.after)
        keep = {dep for dep in request.after if dep}
        for edge in reads.edges(tx, task_id):
            if edge.id not in keep:
                loops.refuse_unlink(tx, task_id, edge.id)
                edges.delete_edge(tx, task_id, edge.id, by)
    for dep in request.remove_after:
        reads.task(tx, dep)
        _refuse_unlink(task_id, dep, producers)
        loops.refuse_unlink(tx, task_id, dep)
        edges.delete_edge(tx, task_id, dep, by)
    have = {edge.id for edge in reads.edges(tx, task_id)}
    for dep in wanted:
        if dep and dep not in have:
            reads.task(tx, dep)
            edges.insert_edge(tx, task_id, dep, "done", by)


def _check_producers(tx: Tx, producers: list[str]) -> None:
    for producer in producers:
        if not reads.is_taken(tx, producer):
            error = reads.no_such_task(tx, producer)
            path = f"a path with a colon in it is written ./{producer}:…"
            raise NotFoundError(error.message, hint=f"{error.hint}; {path}")


def _refuse_unlink(task_id: str, dep: str, producers: list[str]) -> None:
    """What a task works from can't be ready after it."""
    if dep in producers:
        raise UserError(
            f"{task_id} waits for {dep}, whose artifact is an input of it",
            hint=f"wg edit {task_id} --input REF, without {dep}:…, then unlink it",
        )


def _edited(items: Iterable[str], request: r.EditTask, option: str) -> tuple[str, ...]:
    added: tuple[str, ...] = getattr(request, f"add_{option}")
    removed: tuple[str, ...] = getattr(request, f"remove_{option}")
    return tuple(
        item for item in options.unique((*items, *added)) if item not in removed
    )


def _check_texts(spec: TaskSpec) -> None:
    for reference in (*spec.inputs, *spec.outputs, *spec.context_files):
        if "\0" in reference:
            raise UserError("a path can't have a NUL in it", hint="leave it out")
    for text in (spec.exec, *spec.verify, spec.working_dir):
        if text and "\0" in text:
            raise UserError("a command can't have a NUL in it", hint="leave it out")


def _what_changed(request: r.EditTask) -> str:
    empty = replace(r.EditTask(), task=request.task, token=request.token)
    names = [
        name.replace("_", "-")
        for name in request.__struct_fields__
        if getattr(request, name) != getattr(empty, name)
    ]
    return ", ".join(names) or "nothing"
