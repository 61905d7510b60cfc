"""`wg wait` as far as it needs more than the graph: the files that it names."""

import os
from pathlib import PurePosixPath

import anyio.to_thread

from workgraph.agents.choices import choose_working_dir
from workgraph.commands import waits
from workgraph.commands.access import check_access
from workgraph.commands.chat_tasks import refuse_work
from workgraph.commands.context import Answer, Caller, Context
from workgraph.commands.sandboxed import check_path
from workgraph.daemon.engine import Engine
from workgraph.graph import requests as r
from workgraph.graph.model import Agent
from workgraph.graph.replies import Reply
from workgraph.graph.waits import parse_condition
from workgraph.store import agents, reads


async def wait(engine: Engine, request: r.WaitTask, caller: Caller) -> Reply:
    """Parks a task; what it waits for is looked at before the transaction.

    Raises:
        UserError: It is refused, or not understood.
    """
    now = engine.clock.now()
    named = [t.target for t in parse_condition(request.until, now) if t.kind == "file"]
    files: dict[str, str] = {}
    there: frozenset[str] = frozenset()
    if named:
        folder = await _workspace(engine, request, caller)
        # Not normalised: `..` after a link leads elsewhere than the text says.
        files = {path: os.fspath(PurePosixPath(folder, path)) for path in named}
        project = engine.host.grounds.host.project_dir
        there = await anyio.to_thread.run_sync(
            _look, tuple(files.values()), caller.agent, project
        )

    def park(context: Context) -> Answer:
        if caller.agent is not None:
            check_access(context.tx, caller.agent, request)
            agents.touch(context.tx, caller.agent)
        refuse_work(context.tx, request)
        wish = waits.wish_of(request.until, context.tx.now, files, there)
        return waits.wait_task(context, request, wish)

    return await engine.carry_out(park, caller)


async def _workspace(engine: Engine, request: r.WaitTask, caller: Caller) -> str:
    if caller.agent is not None and caller.agent.workspace is not None:
        return caller.agent.workspace
    host = engine.host.grounds.host
    return await engine.read(
        lambda c: choose_working_dir(host, reads.task(c.tx, request.task or "")).value,
        caller,
    )


def _look(
    paths: tuple[str, ...], agent: Agent | None, project_dir: str
) -> frozenset[str]:
    """Which paths are there. It blocks: call it in a thread.

    Raises:
        ForbiddenError: One is outside the workspace of an agent in a sandbox.
    """
    if agent is not None and agent.sandbox is not None:
        for path in paths:
            check_path(agent, path, project_dir)
    return frozenset(path for path in paths if os.path.lexists(path))
