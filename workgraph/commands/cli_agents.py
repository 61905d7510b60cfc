"""Commands about agents: start, see, end them, follow what happens (CONTRACT §3.3)."""

from typing import Annotated

import typer

from workgraph.commands.cli_call import TaskArgument, TaskOption, WgCommand, the_task
from workgraph.graph.errors import UsageError
from workgraph.graph.requests import (
    GetOutput,
    GetPlan,
    GetSpend,
    KillAgents,
    ListAgents,
    SpawnAgent,
    SpendKey,
    Watch,
)

Executor = Annotated[
    str | None,
    typer.Option("--executor", metavar="NAME", help="Instead of the task's."),
]
Model = Annotated[
    str | None, typer.Option("--model", metavar="SPEC", help="Instead of the task's.")
]
Endpoint = Annotated[
    str | None,
    typer.Option("--endpoint", metavar="NAME|URL", help="Instead of the task's."),
]
Actor = Annotated[
    str | None, typer.Option("--actor", metavar="NAME", help="Instead of the task's.")
]


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    app.command("agents", cls=WgCommand)(_agents)
    app.command("spawn", cls=WgCommand)(_spawn)
    app.command("plan", cls=WgCommand)(_plan)
    app.command("kill", cls=WgCommand)(_kill)
    app.command("output", cls=WgCommand)(_output)
    app.command("watch", cls=WgCommand)(_watch)
    app.command("spend", cls=WgCommand)(_spend)


def _agents(
    alive: Annotated[
        bool, typer.Option("--alive", help="Only those that have not ended.")
    ] = False,
) -> ListAgents:
    """List agents."""
    return ListAgents(alive=alive)


def _spawn(
    ctx: typer.Context,
    *,
    task: TaskArgument = None,
    other: TaskOption = None,
    executor: Executor = None,
    model: Model = None,
    endpoint: Endpoint = None,
    actor: Actor = None,
) -> SpawnAgent:
    """Start an agent on a ready task now."""
    return SpawnAgent(
        task=the_task(ctx, task, other),
        executor=executor,
        model=model,
        endpoint=endpoint,
        actor=actor,
    )


def _plan(
    ctx: typer.Context,
    *,
    task: TaskArgument = None,
    other: TaskOption = None,
    executor: Executor = None,
    model: Model = None,
    endpoint: Endpoint = None,
    actor: Actor = None,
) -> GetPlan:
    """Show how a task would be started, each value with its source."""
    return GetPlan(
        task=the_task(ctx, task, other),
        executor=executor,
        model=model,
        endpoint=endpoint,
        actor=actor,
    )


def _kill(
    agents: Annotated[
        list[str] | None, typer.Argument(metavar="[AGENT]...", help="Such as agent-17.")
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="All that live.")] = False,
    requeue: Annotated[
        bool, typer.Option("--requeue", help="Their tasks are ready again.")
    ] = False,
    fail: Annotated[bool, typer.Option("--fail", help="Their tasks fail.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="At once, and leftover processes, too.")
    ] = False,
) -> KillAgents:
    """End agents with their whole process trees."""
    if all == bool(agents):
        raise UsageError("name agents, or say --all, one of both")
    if requeue and fail:
        raise UsageError("--requeue and --fail exclude each other")
    return KillAgents(
        agent=tuple(agents or ()), all=all, requeue=requeue, fail=fail, force=force
    )


def _output(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="Such as agent-17.")],
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on until it ends.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="As it is, control characters and all.")
    ] = False,
) -> GetOutput:
    """Print what an agent has written."""
    return GetOutput(agent=agent, follow=follow, raw=raw)


def _watch(
    since: Annotated[
        int | None,
        typer.Option(
            "--since", min=0, max=2**62, metavar="SEQ", help="Start after this number."
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="ID", help="Only of this task.")
    ] = None,
) -> Watch:
    """Print changes as they are committed, one JSON line each."""
    return Watch(since=since, task=task)


def _spend(
    by: Annotated[SpendKey, typer.Option("--by", help="What a line is for.")] = "task",
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="T", help="A date, a time, or how long ago."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option("--task", metavar="ID", help="With what its agents have added."),
    ] = None,
) -> GetSpend:
    """Show what agents have used."""
    return GetSpend(by=by, since=since, task=task)
