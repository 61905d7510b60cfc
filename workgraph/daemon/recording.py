"""`wg artifact`: the file is read before the transaction that records it."""

import os

import anyio
import anyio.to_thread

from workgraph.commands import records
from workgraph.commands.access import check_access
from workgraph.commands.chat_tasks import refuse_work
from workgraph.commands.context import Caller, Context
from workgraph.daemon.artifacts import READERS, copies_dir, take_file
from workgraph.daemon.engine import Engine
from workgraph.graph import requests as r
from workgraph.graph.replies import Reply
from workgraph.store import agents


class Recorder:
    """Takes files in, a few at a time.

    Args:
        engine: Where they are recorded.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._readers = anyio.CapacityLimiter(READERS)

    async def answer(self, request: r.RecordArtifact, caller: Caller) -> Reply:
        """Keeps a copy of a file as it is now, and records it."""
        host = self._engine.host.grounds.host
        agent = caller.agent
        workspace = agent.workspace if agent else None
        path = os.path.join(workspace or host.project_dir, request.path)
        within = agent.workspace if agent and agent.sandbox is not None else None
        await self._engine.read(lambda context: _check(context, request), caller)
        file = await anyio.to_thread.run_sync(
            take_file, path, copies_dir(host.wg_dir), within, limiter=self._readers
        )

        def record(context: Context) -> Reply:
            if agent is not None:
                check_access(context.tx, agent, request)
                agents.touch(context.tx, agent)
            refuse_work(context.tx, request)
            return records.record_artifact(context, request, file)

        return await self._engine.ask(record, caller)


def _check(context: Context, request: r.RecordArtifact) -> None:
    """Refuses before the file is read, which may take long."""
    refuse_work(context.tx, request)
    records.check_artifact(context, request)
