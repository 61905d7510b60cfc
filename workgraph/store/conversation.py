"""What a chat's handler is told, read from the graph: it, and what was said.

Nothing here reads more than so many rows of what grows, however large the graph is and
however long nobody has asked.
"""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from workgraph.graph.chats import Chat, ChatMessage
from workgraph.graph.context_view import NamedTask
from workgraph.graph.conversation_view import (
    ConversationView,
    GraphView,
    Heard,
    Said,
    Standing,
)
from workgraph.graph.model import Failure, Record
from workgraph.graph.status import Status
from workgraph.store import history, service
from workgraph.store.database import Row, Tx

#: How many of each are told.
_STANDINGS: Final = 10
_ADDED: Final = 20
#: How far back is looked for what has changed.
_CHANGES: Final = 500
#: The most that is read of what was said: each entry takes more than this, in bytes.
_SMALLEST: Final = 40

#: The newest of what has changed since, without what concerns chats and errands. The
#: log is read from its end, and no further than so far.
CHANGED: Final = """
with new as (
    select seq from changes where seq > :told order by seq desc limit :most
)
select l.seq, l.at, l.kind, l.task, l.agent, l.attempt, l.actor, l.by, l.verb,
    l."from", l."to", substr(l.reason, 1, 1000), l.percent,
    t.id, substr(json_extract(t.spec, '$.title'), 1, 1000), t.status,
    exists (
        select 1 from agents g
        where g.number = cast(substr(l.by, 7) as integer)
          and l.by = 'agent-' || g.number and g.task = :chat)
from new
join changes l on l.seq = new.seq
left join tasks t on t.id = l.task
where l.kind in (select value from json_each(:kinds))
  and (l.task is null or (
        l.task not glob '.chat-*'
        and not exists (select 1 from errands e where e.task = l.task)))
order by l.seq desc
"""
RUNNING: Final = """
select t.id, substr(json_extract(t.spec, '$.title'), 1, 1000),
    coalesce(json_extract(t.progress, '$.percent') || ' %, ', '')
    || 'by ' || coalesce(a.actor || ', ', '') || 'agent-' || a.number, null
from agents a indexed by agents_live join tasks t on t.id = a.task
where a.status <> 'ended' and a.task not glob '.chat-*'
order by a.number desc limit ?
"""
#: The last that were added of them.
FAILED: Final = """
select t.id, substr(json_extract(t.spec, '$.title'), 1, 1000), t.status, t.failure
from tasks t indexed by tasks_status
where t.status = 'failed'
  and not exists (select 1 from errands e where e.task = t.id)
order by t.seq desc limit ?
"""
ASKED: Final = """
select t.id, substr(json_extract(t.spec, '$.title'), 1, 1000), t.status,
    substr(m.text, 1, 2000)
from tasks t indexed by tasks_status
join waits w on w.task = t.id
join messages m on m.number = w.question
where t.status = 'waiting' and w.woken_at is null
order by t.seq desc limit ?
"""
TO_REVIEW: Final = """
select t.id, substr(json_extract(t.spec, '$.title'), 1, 1000), t.status,
    substr(t.summary, 1, 2000)
from tasks t indexed by tasks_status
where t.status = 'pending-review'
  and (t.gate is null or t.gate in ('human', 'reward'))
order by t.seq desc limit ?
"""
#: The newest of what the handlers of a chat have added, where it is not over.
ADDED: Final = """
select t.id, substr(json_extract(t.spec, '$.title'), 1, 1000), t.status
from agents g join tasks t indexed by tasks_added_by
    on t.added_by = 'agent-' || g.number
where g.task = ? and t.status not in ('done', 'abandoned')
order by t.seq desc limit ?
"""
#: The newest first, whatever waits for its answer aside.
SAID: Final = """
select m.number, m.at, m.by, m.kind, substr(m.text, 1, :share),
    length(cast(m.text as blob)), m.reply_to
from chat_messages m indexed by chat_messages_chat
where m.chat = :chat and (m.kind <> 'message' or m.answered_at is not null)
order by m.number desc limit :most
"""
COUNT_SAID: Final = """
select (select count(*) from chat_messages where chat = :chat)
    - (select count(*) from chat_messages indexed by chat_messages_waiting
       where chat = :chat and kind = 'message' and answered_at is null)
"""
SET_TOLD: Final = "update chats set telling = max(telling, ?) where number = ?"

_decode_failure: Final = msgspec.json.Decoder(Failure).decode


class Extent(Record, frozen=True, kw_only=True):
    """How much is read of what grows."""

    #: The changes that are worth a word.
    kinds: frozenset[str]
    #: How many bytes of what was said could be shown, and characters of one message.
    room: int
    share: int


def fill(
    tx: Tx, chat: Chat, start: ConversationView, extent: Extent
) -> ConversationView:
    """All that a handler is told at its start.

    Args:
        tx: The transaction.
        chat: Whose handler it is.
        start: What is known without the graph.
        extent: How much is read.
    """
    heard = heard_since(tx, chat, extent.kinds)
    if start.resumed:
        # It knows how the graph was: the whole is counted where changes are left out.
        graph = graph_now(tx) if heard.earlier else GraphView()
        return msgspec.structs.replace(start, heard=heard, graph=graph)
    said, in_all = _said(tx, chat.number, extent)
    added = tx.rows(ADDED, (chat.task, _ADDED))
    return msgspec.structs.replace(
        start,
        graph=graph_now(tx),
        heard=heard,
        added=tuple(NamedTask(id=r[0], title=r[1], status=r[2]) for r in added),
        said=said,
        said_in_all=in_all,
    )


def said_of(message: ChatMessage) -> Said:
    """A message as a handler is given it."""
    return Said(
        number=message.number,
        at=message.at,
        by=message.by,
        kind=message.kind,
        text=message.text,
        size=len(message.text.encode("utf-8", "surrogatepass")),
        reply_to=message.reply_to,
    )


def heard_since(tx: Tx, chat: Chat, kinds: frozenset[str]) -> Heard:
    """What has changed since a chat's handler was told; nothing where none ever was."""
    last = history.last_seq(tx)
    told = chat.telling
    if not told or last <= told:
        return Heard(last=last)
    names = msgspec.json.encode(sorted(kinds)).decode()
    params = {"told": told, "most": _CHANGES, "chat": chat.task, "kinds": names}
    rows = tx.all(CHANGED, params)
    return Heard(
        changes=tuple(history.decode_change(row) for row in rows),
        earlier=max(0, last - told - _CHANGES),
        tasks={
            r[13]: NamedTask(id=r[13], title=r[14], status=r[15]) for r in rows if r[13]
        },
        own=frozenset(row[0] for row in rows if row[16]),
        last=last,
    )


def note_told(tx: Tx, chat: Chat, last: int) -> None:
    """Writes down up to which change a chat's handler is told.

    Others are told of that again, until it has answered.
    """
    tx.run(SET_TOLD, (last, chat.number))


def graph_now(tx: Tx) -> GraphView:
    """How the graph stands, in short."""
    counts = service.counts(tx)
    return GraphView(
        counts={str(status): counts[status] for status in Status},
        paused=service.is_service_paused(tx),
        frozen=service.frozen_since(tx) is not None,
        running=tuple(_standings(tx, RUNNING, _as_it_is)),
        failed=tuple(_standings(tx, FAILED, _why_failed)),
        for_people=(
            *_standings(tx, ASKED, _as_it_is),
            *_standings(tx, TO_REVIEW, _as_it_is),
        ),
    )


def _standings(
    tx: Tx, query: str, reason: Callable[[str | None], str | None]
) -> Iterator[Standing]:
    for row in tx.rows(query, (_STANDINGS,)):
        yield Standing(id=row[0], title=row[1], status=row[2], reason=reason(row[3]))


def _as_it_is(text: str | None) -> str | None:
    return text


def _why_failed(failure: str | None) -> str | None:
    if failure is None:
        return None
    found = _decode_failure(failure)
    return f"{found.class_}: {found.reason}"


def _said(tx: Tx, chat: int, extent: Extent) -> tuple[tuple[Said, ...], int]:
    """What was said, the newest first, until it is more than there is room for."""
    found: list[Said] = []
    params = {"chat": chat, "share": extent.share, "most": extent.room // _SMALLEST}
    left = extent.room
    for row in tx.rows(SAID, params):
        found.append(_decode_said(row))
        left -= min(found[-1].size, extent.share)
        if left < 0:
            break
    return tuple(found), int(tx.value(COUNT_SAID, {"chat": chat}))


def _decode_said(row: Row) -> Said:
    return Said(
        number=row[0],
        at=row[1],
        by=row[2],
        kind=row[3],
        text=row[4],
        size=row[5],
        reply_to=row[6],
    )
