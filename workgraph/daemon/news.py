"""What an agent is told on standard error when it calls `wg`: budgets, new messages."""

from collections.abc import Sequence
from typing import Final, Protocol

from workgraph.commands.context import Caller
from workgraph.commands.escape import escape_line, fit
from workgraph.daemon.engine import Engine
from workgraph.graph.messages import Notice, SendMessage
from workgraph.graph.model import Agent, AgentStatus
from workgraph.graph.requests import AnyRequest
from workgraph.store import budgets, messages
from workgraph.store.database import Tx

#: Of a name, and how many of them a line has.
_NAME: Final = 40
_NAMES: Final = 3


class ErrorStream(Protocol):
    """Where it is told."""

    async def err(self, data: str | bytes) -> None:
        """Writes to standard error."""


class News:
    """Tells agents what they should know, with their calls.

    Args:
        engine: Knows the graph.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        #: Agents that are being told of messages at this moment, in another call.
        self._telling: set[int] = set()

    async def tell(
        self, caller: Caller, request: AnyRequest, streams: ErrorStream
    ) -> None:
        """Says that a budget is nearly used up, and once that there are new messages.

        An operator is told nothing.
        """
        agent = caller.agent
        if agent is None:
            return

        def look(tx: Tx) -> tuple[str | None, tuple[Notice, ...]]:
            return budgets.gravest_warning(tx, agent.number), (
                messages.news_for(tx, agent)
            )

        warning, news = await self._engine.store.read(look, self._engine.clock.now())
        if warning is not None:
            await streams.err(f"wg: {escape_line(warning)}\n")
        if news and agent.number not in self._telling and _may_tell(agent, request):
            self._telling.add(agent.number)
            try:
                await streams.err(f"wg: {_line(news)}\n")
                await self._note(news, agent)
            finally:
                self._telling.discard(agent.number)

    async def _note(self, news: Sequence[Notice], agent: Agent) -> None:
        """After it was written: one who could not be reached is told another time."""
        numbers = [one.number for one in news]
        await self._engine.store.transaction(
            lambda tx: messages.note_told(tx, numbers, agent.number),
            self._engine.clock.now(),
        )


def _may_tell(agent: Agent, request: AnyRequest) -> bool:
    """Whether it is there to hear it, and is not about to read them anyway."""
    if agent.status is AgentStatus.ENDED:
        return False
    return not (
        isinstance(request, SendMessage) and request.list and request.task == agent.task
    )


def _line(news: Sequence[Notice]) -> str:
    names = list(dict.fromkeys(fit(escape_line(one.by), _NAME) for one in news))
    told = ", ".join(names[:_NAMES])
    if len(names) > _NAMES:
        told += f" and {len(names) - _NAMES} more"
    count = "a new message" if len(news) == 1 else f"{len(news)} new messages"
    return f"{count} from {told}; to read: wg msg --list"
