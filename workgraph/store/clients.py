"""What the streams of agents say: their sessions, what they do, what they have used."""

from collections.abc import Mapping
from typing import Final

from workgraph.graph.ends import Report
from workgraph.graph.model import Agent, Record, Usage
from workgraph.graph.times import SECOND
from workgraph.settings import Stream
from workgraph.store.database import Tx
from workgraph.store.rows import to_json

_DAY: Final = 86_400 * SECOND

#: A stream that is read anew after a restart says nothing new: no sign of life.
SET_REPORT: Final = """
update agents
set last_activity_at = iif(
        tool is :tool and said is coalesce(:said, said) and usage = :usage
            and client_end is :client_end and trouble is :trouble,
        last_activity_at, max(last_activity_at, :now)),
    last_sign = iif(
        tool is :tool and said is coalesce(:said, said) and usage = :usage
            and client_end is :client_end and trouble is :trouble,
        last_sign, 'output'),
    session = coalesce(:session, session), usage = :usage,
    model = coalesce(model, :model), answered = max(answered, :answered),
    tool = :tool, said = coalesce(:said, said),
    client_end = :client_end,
    trouble = :trouble, client_until = :client_until
where number = :number
"""
ADD_SPEND: Final = """
insert into spend (
    day, agent, input_tokens, cached_tokens, output_tokens, cost_usd
) values (?, ?, ?, ?, ?, ?)
on conflict (day, agent) do update set
    input_tokens = input_tokens + excluded.input_tokens,
    cached_tokens = cached_tokens + excluded.cached_tokens,
    output_tokens = output_tokens + excluded.output_tokens,
    cost_usd = cost_usd + excluded.cost_usd
"""
USAGE_OF_SESSION: Final = """
select sum(json_extract(usage, '$.input_tokens')),
       sum(json_extract(usage, '$.output_tokens')),
       sum(json_extract(usage, '$.cost_usd')),
       sum(json_extract(usage, '$.cached_tokens'))
from agents indexed by agents_session
where session = ? and number < ?
"""
#: Plans from before streams were read do not say what theirs is.
LIVE_STREAMS: Final = """
select number, json_extract(plan, '$.stream.value') as stream, resumed, started_at,
    json_extract(plan, '$.env.HOME.value'), json_extract(plan, '$.env.CODEX_HOME.value')
from agents indexed by agents_live
where status <> 'ended' and human = 0 and stream <> 'text'
"""
#: Handlers that are there, those that an end was not written down of among them.
LIVE_HANDLERS: Final = """
select a.number, json_extract(a.plan, '$.stream.value'), a.resumed, a.started_at,
    json_extract(a.plan, '$.env.HOME.value'),
    json_extract(a.plan, '$.env.CODEX_HOME.value'),
    json_extract(a.plan, '$.stdin.value') = 'pipe', a.output_read
from chats c indexed by chats_handler join agents a on a.number = c.handler
where c.handler is not null and a.status <> 'ended'
"""
IS_KEPT_OPEN: Final = """
select json_extract(plan, '$.stdin.value') = 'pipe' from agents where number = ?
"""
STREAM_OF: Final = """
select json_extract(plan, '$.stream.value'), resumed from agents where number = ?
"""


class LiveStream(Record, frozen=True, kw_only=True):
    """An agent that has not ended and prints a structured stream."""

    agent: int
    stream: Stream
    #: The session that it was to go on with.
    resumed: str | None
    started_at: int
    #: What of its environment says where its client keeps what is its own.
    env: Mapping[str, str]


def live_streams(tx: Tx) -> list[LiveStream]:
    """The agents that have not ended and print a structured stream."""
    return [
        LiveStream(
            agent=row[0],
            stream=row[1],
            resumed=row[2],
            started_at=row[3],
            env={"HOME": row[4] or "", "CODEX_HOME": row[5] or ""},
        )
        for row in tx.rows(LIVE_STREAMS)
    ]


class LiveHandler(Record, frozen=True, kw_only=True):
    """A chat's handler that has not ended."""

    live: LiveStream
    #: It reads one message after the other.
    kept_open: bool
    #: How much of its output has been taken in.
    read: int


def live_handlers(tx: Tx) -> list[LiveHandler]:
    """The handlers of chats that have not ended."""
    return [
        LiveHandler(
            live=LiveStream(
                agent=row[0],
                stream=row[1],
                resumed=row[2],
                started_at=row[3],
                env={"HOME": row[4] or "", "CODEX_HOME": row[5] or ""},
            ),
            kept_open=bool(row[6]),
            read=row[7],
        )
        for row in tx.rows(LIVE_HANDLERS)
    ]


def is_kept_open(tx: Tx, number: int) -> bool:
    """Whether an agent reads one message after the other, from an input of its own."""
    return bool(tx.value(IS_KEPT_OPEN, (number,)))


def stream_of(tx: Tx, number: int) -> tuple[Stream, str | None]:
    """What an agent prints, and the session that it was to go on with."""
    row = tx.one(STREAM_OF, (number,))
    assert row is not None
    return row[0] or "text", row[1]


def note_report(tx: Tx, agent: Agent, report: Report, client_until: int | None) -> None:
    """Keeps what an agent's stream has said so far, and what that has cost today.

    Args:
        tx: The transaction.
        agent: Its row as it is.
        report: All of the stream up to now.
        client_until: When it is ended for what it says; null: not for that.
    """
    _add_spend(tx, agent, report.usage)
    tx.run(
        SET_REPORT,
        {
            "number": agent.number,
            "now": tx.now,
            "session": report.session,
            "usage": to_json(report.usage),
            "model": report.model,
            "answered": report.answered,
            "tool": report.tool,
            "said": report.said,
            "client_end": to_json(report.end),
            "trouble": to_json(report.trouble),
            "client_until": client_until,
        },
    )


def usage_of_session(tx: Tx, session: str, before: int) -> Usage:
    """What earlier attempts have used in a session: some clients count it again."""
    row = tx.one(USAGE_OF_SESSION, (session, before))
    assert row is not None
    return Usage(
        input_tokens=row[0],
        output_tokens=row[1],
        cost_usd=row[2],
        cached_tokens=row[3],
    )


def _add_spend(tx: Tx, agent: Agent, usage: Usage) -> None:
    """A stream that is read anew says what it has said: only what is more counts."""
    before = agent.usage
    more = (
        _more(usage.input_tokens, before.input_tokens),
        _more(usage.cached_tokens, before.cached_tokens),
        _more(usage.output_tokens, before.output_tokens),
        _more(usage.cost_usd, before.cost_usd),
    )
    if any(more):
        tx.run(ADD_SPEND, (tx.now // _DAY, agent.number, *more))


def _more(now: float | None, before: float | None) -> float:
    return (now or 0) - (before or 0)
