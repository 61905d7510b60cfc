"""Waiting for an evaluator that is tried on known answers, until all are settled."""

from collections.abc import Awaitable, Callable, Sequence

import anyio.to_thread

from workgraph.commands import calibration
from workgraph.commands.context import Caller
from workgraph.commands.escape import escape_line
from workgraph.daemon.artifacts import copies_dir, keep_text
from workgraph.daemon.engine import Engine
from workgraph.daemon.starting import needs_daemon
from workgraph.graph.canaries import Canary, read_canaries
from workgraph.graph.canary_requests import RunCanaries
from workgraph.graph.replies import Reply

#: Takes a line for whoever waits.
Tell = Callable[[str], Awaitable[None]]


async def run_canaries(
    engine: Engine, request: RunCanaries, caller: Caller, tell: Tell
) -> Reply:
    """Gives the evaluator its errands and answers with the report when all are over.

    When it is cancelled the errands go on; the report is there to be asked for.

    Args:
        engine: The engine.
        request: The file of cases.
        caller: Who asks.
        tell: Hears what is waited for.

    Raises:
        WorkgraphError: They can't be begun.
    """
    if not engine.mode.is_daemon:
        raise needs_daemon("to ask the evaluator")
    cases = read_canaries(request.text)
    await engine.read(calibration.find_evaluator, caller)
    copies = copies_dir(engine.host.grounds.host.wg_dir)
    await anyio.to_thread.run_sync(_keep_files, cases, copies)
    run = await engine.ask(lambda c: calibration.begin_run(c, cases), caller)
    number = run.number
    awaited = await engine.read(
        lambda c: calibration.what_is_awaited(c, number), caller
    )
    await tell(
        f"run {number}: {run.actor} judges {awaited.pending} cases;"
        " after Ctrl-C it goes on, and wg reward canary shows how it came out"
    )
    told: set[str] = set()
    while True:
        committed = engine.committed
        awaited = await engine.read(
            lambda c: calibration.what_is_awaited(c, number), caller
        )
        if not awaited.pending:
            return await engine.read(lambda c: calibration.report(c, number), caller)
        for task, why in awaited.held.items():
            if task not in told:
                told.add(task)
                await tell(f"nobody is started on {task}: {escape_line(why)}")
        await committed.wait()


def _keep_files(cases: Sequence[Canary], copies: str) -> None:
    """The files of cases stand where those of work do, so that both are shown alike."""
    for case in cases:
        for file in case.shown.result.artifacts:
            keep_text(file.text, copies)


async def tell_nobody(line: str) -> None:
    """For those who wait without a terminal."""
    del line
