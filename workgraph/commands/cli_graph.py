"""Commands about the graph: what is in it, what waits for what (CONTRACT §3.1)."""

from typing import Annotated, Literal, TypeVar

import typer
from msgspec import UNSET, UnsetType

from workgraph.commands.cli_call import (
    TaskArgument,
    TaskOption,
    WgCommand,
    the_call,
    the_task,
)
from workgraph.commands.cli_options import TaskCommand, task_fields, texts_or_unset
from workgraph.commands.local import InitProject
from workgraph.graph.model import EdgeKind
from workgraph.graph.requests import (
    AddTask,
    BackUp,
    CheckGraph,
    EditTask,
    ExplainTask,
    ExportGraph,
    GetTaskStatus,
    ImportGraph,
    LinkTask,
    ListBlocked,
    ListReady,
    ListTasks,
    ShowTask,
    UnlinkTask,
)
from workgraph.graph.status import Status

_Value = TypeVar("_Value")

After = Annotated[
    list[str] | None,
    typer.Option("--after", metavar="ID", help="A task that must be done before."),
]
Dependency = Annotated[
    str,
    typer.Option("--after", metavar="DEP", help="The task that is waited for."),
]


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    app.command("init", cls=WgCommand)(_init)
    app.command("add", cls=TaskCommand)(_add)
    app.command("edit", cls=TaskCommand)(_edit)
    app.command("link", cls=WgCommand)(_link)
    app.command("unlink", cls=WgCommand)(_unlink)
    app.command("show", cls=WgCommand)(_show)
    app.command("list", cls=WgCommand)(_list)
    app.command("ready", cls=WgCommand)(_ready)
    app.command("blocked", cls=WgCommand)(_blocked)
    app.command("why", cls=WgCommand)(_why)
    app.command("task-status", cls=WgCommand)(_task_status)
    app.command("check", cls=WgCommand)(_check)
    app.command("export", cls=WgCommand)(_export)
    app.command("import", cls=WgCommand)(_import)
    app.command("backup", cls=WgCommand)(_backup)


def _init(
    agents_md: Annotated[
        bool,
        typer.Option("--agents-md", help="Tell agents about wg in AGENTS.md, too."),
    ] = False,
) -> InitProject:
    """Make .wg/ in this folder."""
    return InitProject(agents_md=agents_md)


def _add(
    ctx: typer.Context,
    *,
    title: Annotated[str, typer.Argument(metavar="TITLE", help="What it is called.")],
    id: Annotated[
        str | None,
        typer.Option(
            "--id", metavar="ID", help="Its id; otherwise made from the title."
        ),
    ] = None,
    after: After = None,
    independent: Annotated[
        bool,
        typer.Option(
            "--independent", help="An agent's task does not wait for its own."
        ),
    ] = False,
    paused: Annotated[
        bool, typer.Option("--paused", help="Not started until it is resumed.")
    ] = False,
) -> AddTask:
    """Add an open task and print its id."""
    return AddTask(
        title=title,
        id=id,
        after=tuple(after or ()),
        independent=independent,
        paused=paused,
        **task_fields(ctx),
    )


def _edit(
    ctx: typer.Context,
    *,
    task: TaskArgument = None,
    other: TaskOption = None,
    title: Annotated[
        str | None, typer.Option("--title", metavar="TITLE", help="A new title.")
    ] = None,
    after: After = None,
    independent: Annotated[
        bool | None,
        typer.Option(
            "--independent/--no-independent",
            show_default=False,
            help="An agent's task does not wait for its own.",
        ),
    ] = None,
    paused: Annotated[
        bool | None,
        typer.Option(
            "--paused/--no-paused",
            show_default=False,
            help="Not started until it is resumed.",
        ),
    ] = None,
    add_after: Annotated[
        list[str] | None, typer.Option("--add-after", metavar="ID")
    ] = None,
    remove_after: Annotated[
        list[str] | None, typer.Option("--remove-after", metavar="ID")
    ] = None,
    add_tag: Annotated[
        list[str] | None, typer.Option("--add-tag", metavar="TAG")
    ] = None,
    remove_tag: Annotated[
        list[str] | None, typer.Option("--remove-tag", metavar="TAG")
    ] = None,
    add_skill: Annotated[
        list[str] | None, typer.Option("--add-skill", metavar="SKILL")
    ] = None,
    remove_skill: Annotated[
        list[str] | None, typer.Option("--remove-skill", metavar="SKILL")
    ] = None,
) -> EditTask:
    """Change what `add` sets; an empty text takes a value away."""
    return EditTask(
        task=the_task(ctx, task, other),
        title=_or_unset(title),
        after=texts_or_unset(after),
        independent=_or_unset(independent),
        paused=_or_unset(paused),
        add_after=tuple(add_after or ()),
        remove_after=tuple(remove_after or ()),
        add_tag=tuple(add_tag or ()),
        remove_tag=tuple(remove_tag or ()),
        add_skill=tuple(add_skill or ()),
        remove_skill=tuple(remove_skill or ()),
        **task_fields(ctx),
    )


def _link(
    ctx: typer.Context,
    after: Dependency,
    task: TaskArgument = None,
    other: TaskOption = None,
    on: Annotated[
        EdgeKind, typer.Option("--on", help="settled: any end will do, failed too.")
    ] = "done",
) -> LinkTask:
    """Make a task wait for another one."""
    return LinkTask(task=the_task(ctx, task, other), after=after, on=on)


def _unlink(
    ctx: typer.Context,
    after: Dependency,
    task: TaskArgument = None,
    other: TaskOption = None,
) -> UnlinkTask:
    """Take a dependency away."""
    return UnlinkTask(task=the_task(ctx, task, other), after=after)


def _show(
    ctx: typer.Context, task: TaskArgument = None, other: TaskOption = None
) -> ShowTask:
    """Show everything about a task."""
    return ShowTask(task=the_task(ctx, task, other))


def _list(
    status: Annotated[
        list[Status] | None,
        typer.Option(
            "--status", metavar="S", help="Only these: open, in-progress, done …"
        ),
    ] = None,
    tag: Annotated[
        str | None, typer.Option("--tag", metavar="TAG", help="With this tag.")
    ] = None,
    actor: Annotated[
        str | None, typer.Option("--actor", metavar="NAME", help="Of this actor.")
    ] = None,
    stale: Annotated[
        bool, typer.Option("--stale", help="An input was produced again since.")
    ] = False,
    all: Annotated[
        bool, typer.Option("--all", help="What the machinery made, too.")
    ] = False,
) -> ListTasks:
    """List tasks in every status."""
    return ListTasks(
        status=tuple(one.value for one in status or ()),
        tag=tag,
        actor=actor,
        stale=stale,
        all=all,
    )


def _ready() -> ListReady:
    """List what can be worked on now, in the order of dispatch."""
    return ListReady()


def _blocked() -> ListBlocked:
    """List open tasks that can't be worked on."""
    return ListBlocked()


def _why(
    ctx: typer.Context, task: TaskArgument = None, other: TaskOption = None
) -> ExplainTask:
    """Tell why a task is not running, or since when it is."""
    return ExplainTask(task=the_task(ctx, task, other))


def _task_status(
    ctx: typer.Context, task: TaskArgument = None, other: TaskOption = None
) -> GetTaskStatus:
    """Print the status of a task, one bare word."""
    return GetTaskStatus(task=the_task(ctx, task, other))


def _check() -> CheckGraph:
    """Find what in the graph can never work."""
    return CheckGraph()


def _export(
    ctx: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(metavar="[FILE]", help="Where to; otherwise printed."),
    ] = None,
) -> ExportGraph:
    """Write the whole graph as JSON lines."""
    call = the_call(ctx)
    call.write_file = None if file in {None, "-"} else call.absolute(file or "")
    return ExportGraph()


def _import(
    ctx: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="What to read; - is standard input.")
    ],
    format: Annotated[
        Literal["jsonl", "beads", "wg-rs"], typer.Option("--format", help="Its format.")
    ] = "jsonl",
) -> ImportGraph:
    """Take JSON lines in, all or nothing."""
    call = the_call(ctx)
    call.read_file = "-" if file == "-" else call.absolute(file)
    return ImportGraph(text="", format=format)


def _backup(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where to.")],
) -> BackUp:
    """Write a consistent copy of the database."""
    call = the_call(ctx)
    call.write_file = call.absolute(file)
    return BackUp(file=call.write_file)


def _or_unset(value: _Value | None) -> _Value | UnsetType:
    return UNSET if value is None else value
