"""Steps of a story that have to do with chats."""

from typing import TYPE_CHECKING, Any, Literal

from msgspec import json

from workgraph.agents.process import Ended, Fate
from workgraph.graph import chat_requests as c
from workgraph.graph.chats import Chat, ChatEvent
from workgraph.graph.facts import ChatHeard
from workgraph.graph.model import AgentStatus
from workgraph.store import agent_reads, chats, reconciling
from workgraph.store.database import Tx

if TYPE_CHECKING:
    from tests.engine.simulation import Story

#: Steps that need a daemon, or processes that it sees.
NOT_OFFLINE = frozenset(
    {"chat-reply", "chat-reply-more", "chat-crash", "chat-enter", "chat-leave"}
)
#: What answers: a command, one that does not, or a client for each turn.
_KINDS: tuple[dict[str, Any], ...] = (
    {"exec": "answer"},
    {"exec": "answer"},
    {"executor": "client"},
    {"executor": "nobody"},
)


async def _chats(story: "Story") -> list[Chat]:
    return await story.core.store.read(chats.list_chats, 0)


async def _pick(story: "Story", x: int) -> str:
    found = await _chats(story)
    return found[x % len(found)].task if found else ".chat-1"


async def _handlers(story: "Story") -> list[int]:
    """Those that run."""
    found = await story.core.store.read(reconciling.live_handlers, 0)
    return [agent for agent in found if agent in story.world.running()]


async def new(story: "Story", x: int, y: int) -> None:
    """Somebody begins a conversation, and mostly says something."""
    await story.ask(c.CreateChat(**_KINDS[x % len(_KINDS)]))
    if y % 3:
        found = await _chats(story)
        if found:
            await story.ask(c.SendToChat(task=found[-1].task, text=f"{y}"))


async def send(story: "Story", x: int, y: int) -> None:
    """One or more messages."""
    chat = await _pick(story, x)
    for n in range(1 + y % 3):
        await story.ask(c.SendToChat(task=chat, text=f"{y} {n}"))


async def reply(story: "Story", x: int, y: int) -> None:
    """A handler answers what it has, or says something else."""
    handlers = await _handlers(story)
    if not handlers:
        return
    agent = handlers[x % len(handlers)]
    for n in range(1 + y % 3):
        to = (None, None, y)[(x + n) % 3]
        kind: Literal["reply", "error"] = "error" if (x + y) % 7 == 0 else "reply"
        line = json.encode({"text": f"{y} {n}", "reply_to": to}) + b"\n"
        story.world.heard[agent] = story.world.heard.get(agent, 0) + len(line)
        heard = ChatHeard(
            agent=agent,
            output_read=story.world.heard[agent],
            events=(ChatEvent(kind=kind, text=f"{y} {n}", reply_to=to),),
        )
        story.core.engine.post(heard)
        if y % 5 == 0:
            story.core.engine.post(heard)  # told twice
        await story.core.settle()


async def crash(story: "Story", x: int, y: int) -> None:
    """A handler ends, well or not, or reads nothing from now on."""
    handlers = await _handlers(story)
    if not handlers:
        return
    agent = handlers[x % len(handlers)]
    if y % 5 == 0:
        story.world.deaf.add(agent)
        return
    story.world.unmoved.discard(agent)
    end = Ended(agent=agent, fate=Fate.EXITED, exit_code=y % 3)
    if y % 4 == 0:
        end = Ended(agent=agent, fate=Fate.SIGNALED, signal=9)
    story.world.end(end)


async def enter(story: "Story", x: int, y: int) -> None:
    """Somebody attaches, as far as there is a chat."""
    del y
    if found := await _chats(story):
        chat = found[x % len(found)]
        connected = story.core.engine.consumers.connected(chat.number)
        await connected.__aenter__()
        story.consumers.append(connected)


async def leave(story: "Story", x: int, y: int) -> None:
    """Somebody leaves."""
    del y
    if story.consumers:
        connected = story.consumers.pop(x % len(story.consumers))
        await connected.__aexit__(None, None, None)


async def archive(story: "Story", x: int, y: int) -> None:
    """A chat is put away, or all."""
    if y % 5 == 0:
        await story.ask(c.PurgeChats(dry_run=y % 10 == 0))
    else:
        await story.ask(c.ArchiveChat(task=await _pick(story, x)))


async def restore(story: "Story", x: int, y: int) -> None:
    """A chat is taken up again."""
    del y
    await story.ask(c.RestoreChat(task=await _pick(story, x)))


async def interrupt(story: "Story", x: int, y: int) -> None:
    """A turn is stopped, if one runs."""
    del y
    await story.ask(c.InterruptChat(task=await _pick(story, x)))


def check_settled(tx: Tx, unmoved: set[int]) -> None:
    """When nothing is on its way: what is archived has nobody, and all is settled."""
    for chat in chats.list_chats(tx):
        if chat.handler is None:
            continue
        handler = agent_reads.by_number(tx, chat.handler)
        assert handler.status is not AgentStatus.ENDED, f"{chat} is not settled"
        if chat.archived_at is not None:
            assert handler.number in unmoved, f"{chat} is archived, and has a handler"
            assert handler.status is AgentStatus.STOPPING


STEPS = {
    "chat-new": new,
    "chat-new-more": new,
    "chat-send": send,
    "chat-send-more": send,
    "chat-reply": reply,
    "chat-reply-more": reply,
    "chat-crash": crash,
    "chat-enter": enter,
    "chat-leave": leave,
    "chat-archive": archive,
    "chat-restore": restore,
    "chat-interrupt": interrupt,
}
