"""What an errand's agent has answered, read from its output after the commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.to_thread

from workgraph.agents.answers import find_object, last_words, most_of
from workgraph.agents.output import LOGS
from workgraph.graph.errands import GATE
from workgraph.graph.facts import GatesJudged

if TYPE_CHECKING:
    from workgraph.agents.process import Launcher
    from workgraph.daemon.orders import ReadAnswer
    from workgraph.settings import Stream


async def read_answer(order: ReadAnswer, launcher: Launcher) -> GatesJudged:
    """Looks for the JSON object that an agent's output ends with.

    Nothing else than its own output is read: what it was shown is not in it.

    Raises:
        OSError: The machine has no room for it just now: that is no answer.
    """
    answer = None
    if order.agent is not None:
        most = most_of(order.stream)
        path = f"{order.folder}/{LOGS[0]}"
        out = await launcher.read_kept(order.agent, path, -most, most)
        # A line of a stream may be long: for a thread.
        answer = await anyio.to_thread.run_sync(_find, order.stream, out)
    return GatesJudged(
        task=order.task,
        agent=None if order.agent is None else f"agent-{order.agent}",
        handed_in=order.handed_in,
        gate=GATE,
        failed=None,
        evidence="",
        answer=answer,
    )


def _find(stream: Stream, out: bytes) -> str | None:
    return find_object(last_words(stream, out))
