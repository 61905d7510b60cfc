"""What chats that are there cost the work beside them."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from anyio.from_thread import start_blocking_portal

from tests.bench.graphs import independent, write_jsonl
from tests.bench.projects import Bench
from tests.bench.report import Line, Row
from tests.bench.rows_large import finish_some
from tests.core import Core, running_core
from workgraph.graph.chat_requests import CreateChat, SendToChat
from workgraph.graph.chats import ChatEvent
from workgraph.graph.facts import ChatHeard
from workgraph.store.database import Store

_HANDLERS: Final = 100
_TASKS: Final = 2000
_AT_ONCE: Final = 4
_BAR: Final = 1.5
_SETTINGS: Final = (f"dispatcher.max_agents={_AT_ONCE}", 'chat.idle_after="36000s"')


def take(bench: Bench) -> tuple[Sequence[Line], Sequence[float]]:
    """The engine in this process on real databases, with agents that end at will."""
    tasks = write_jsonl(independent(_TASKS), bench.root / "beside-chats.jsonl")
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal())

        def open_core(name: str) -> Core:
            project = bench.project(name)
            project.wg("import", str(tasks))
            store = portal.call(Store.open, project.database)
            stack.callback(portal.call, store.close)
            running = running_core(*_SETTINGS, store=store)
            return stack.enter_context(portal.wrap_async_context_manager(running))

        alone, beside = open_core("without-chats"), open_core("with-chats")
        portal.call(_begin_chats, beside)
        taken = bench.take(
            {
                "alone": lambda: portal.call(finish_some, alone),
                "beside": lambda: portal.call(finish_some, beside),
            },
            rounds=11,
            warm=2,
        )
    row = Row(
        name=f"finish, tick, next start: beside {_HANDLERS} live handlers of chats by"
        " without any",
        values=taken.ratios("beside", "alone"),
        bar=_BAR,
        note=f"{taken.median('beside') * 1e6:.0f} µs each, three commits to disk among"
        f" them; without chats {taken.median('alone') * 1e6:.0f} µs",
    )
    return [row], taken.others


async def _begin_chats(core: Core) -> None:
    """Every other handler answers, the others wait for somebody to say something."""
    for number in range(1, _HANDLERS + 1):
        await core.do(CreateChat(exec="answer"))
        await core.do(SendToChat(task=f".chat-{number}", text="hello"))
        if number % 2:
            said = ChatEvent(kind="reply", text="yes")
            [agent] = await core.agents(f".chat-{number}")
            core.engine.post(
                ChatHeard(agent=agent.number, output_read=1, events=(said,))
            )
    await core.settle()
