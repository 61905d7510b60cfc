"""Steps of a story that have to do with chats."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from msgspec import json

from workgraph.agents.process import Ended, Fate
from workgraph.graph import chat_requests as c
from workgraph.graph.changes import ChangeKind
from workgraph.graph.chats import Chat, ChatEvent
from workgraph.graph.facts import ChatHeard
from workgraph.graph.model import AgentStatus
from workgraph.graph.times import SECOND, moment_of
from workgraph.store import (
    agent_reads,
    chats,
    clients,
    history,
    reconciling,
    service,
)
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


def handlers_of(tx: Tx) -> set[int]:
    """Who answers in some chat."""
    return {chat.handler for chat in chats.list_chats(tx) if chat.handler is not None}


def check_started(tx: Tx, before: set[int], consumers: Mapping[int, int]) -> None:
    """Who answers since this commit is wanted, and nothing keeps the chat back."""
    for chat in chats.list_chats(tx):
        if chat.handler is None or chat.handler in before:
            continue
        assert chat.archived_at is None, f"{chat.task} is archived, and gets a handler"
        is_used = chats.head(tx, chat.number) or consumers.get(chat.number)
        assert is_used, f"{chat.task} gets a handler, and nobody uses it"
        until = _backs_off_until(tx, chat)
        assert until <= tx.now, (
            f"{chat.task} gets a handler {(until - tx.now) / SECOND} s too early"
        )


def _backs_off_until(tx: Tx, chat: Chat) -> int:
    """Until when its last crash keeps a chat back, by the change log alone.

    What is said or restored since, and a clock that jumps, may begin anew.
    """
    until = 0
    for change in history.changes_since(tx, 0, None, 1_000_000):
        is_said = change.kind == ChangeKind.CHAT_SAID and change.verb == "message"
        is_anew = is_said or change.kind == ChangeKind.CHAT_RESTORED
        if change.kind == ChangeKind.CLOCK_JUMPED or (
            change.task == chat.task and is_anew
        ):
            until = 0
        elif change.task == chat.task and change.kind == ChangeKind.CHAT_CRASHED:
            until = moment_of(change.to) if change.to else 0
    return until


def check_settled(tx: Tx, story: "Story") -> None:
    """When nothing is on its way: who answers is wanted, and all is settled."""
    world, engine = story.world, story.core.engine
    idle_us = engine.host.grounds.layered.settings.chat.idle_after.micros
    for chat in chats.list_chats(tx):
        _check_said(tx, chat)
        if chat.handler is None:
            continue
        handler = agent_reads.by_number(tx, chat.handler)
        assert handler.status is not AgentStatus.ENDED, f"{chat} is not settled"
        if chat.archived_at is not None:
            assert handler.number in world.unmoved, (
                f"{chat} is archived, and has a handler"
            )
            assert handler.status is AgentStatus.STOPPING
        elif handler.status is AgentStatus.WORKING and not (
            chats.head(tx, chat.number)
            or engine.consumers.counts.get(chat.number)
            or service.frozen_since(tx) is not None
            or not clients.is_kept_open(tx, handler.number)
        ):
            until = (chat.last_consumer_at or 0) + idle_us
            assert tx.now < until, f"{handler.id} is kept for nobody: {chat}"


def _check_said(tx: Tx, chat: Chat) -> None:
    """A handler answers what it was given."""
    said = chats.history(tx, chat.number)
    given = {one.number for one in said if one.delivered_at is not None}
    for one in said:
        if one.reply_to is not None and one.by.startswith("agent-"):
            assert one.reply_to in given, f"{one} answers what it was never given"


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
