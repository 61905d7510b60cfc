"""Moments that stand for durations: they move when the time between did not pass.

A limit is kept as the moment at which it is reached, in wall time. What makes wall time
jump past the time that really went by (a suspend, a clock that is set) and time that
does not count (agents that are frozen) moves all these moments by as much. Moments that
people have named, `not_before`, stay where they are.
"""

from typing import Final

import msgspec

from workgraph.graph.changes import ChangeKind
from workgraph.graph.model import Record
from workgraph.graph.times import SECOND, format_age
from workgraph.store import service
from workgraph.store.database import Tx
from workgraph.store.rows import to_json

#: Wall time and the time since boot may differ by so much before it is called a jump.
JUMP: Final = SECOND
#: After a gap nothing is late for so long.
GRACE: Final = 60 * SECOND

_CLOCK: Final = "clock"

SHIFT_AGENTS: Final = """
update agents indexed by agents_live
set timeout_at = max(timeout_at + :by, :least),
    stall_at = iif(stall_at is null, null, :now + stall_after),
    client_until = max(client_until + :by, :least)
where status <> 'ended'
"""
SHIFT_CLAIMS: Final = """
update tasks set claim_ends_at = max(claim_ends_at + :by, :least)
where claim_ends_at is not null
"""
#: `start_after` is the later of both while it lies ahead, from wherever it is seen.
SHIFT_BACKOFFS: Final = """
update tasks
set retry_at = retry_at + :by,
    start_after = iif(
        max(coalesce(not_before, 0), coalesce(retry_at + :by, 0)) > :now,
        max(coalesce(not_before, 0), coalesce(retry_at + :by, 0)), null)
where retry_at is not null or not_before is not null
"""
#: Not where midnight is waited for.
SHIFT_LOOKS: Final = """
update tasks set parked_until = parked_until + :by
where parked is not null and parked_until is not null
  and json_extract(parked, '$.budget') is null
"""
SHIFT_LEFTOVERS: Final = """
update agents set leftover_at = leftover_at + :by where leftover_at is not null
"""
SHIFT_BREAKERS: Final = """
update breakers set until = until + :by where until is not null
"""
#: A provider's time passes while we sleep; a try too early costs little.
SHIFT_ACCOUNTS: Final = """
update accounts set until = until + min(:by, 0) where until is not null
"""
#: How long somebody is away, and for how long a message has been worked on.
SHIFT_CHATS: Final = """
update chats
set last_consumer_at = min(last_consumer_at + :by, :now),
    backoff_until = backoff_until + :by
where archived_at is null
"""
SHIFT_TURNS: Final = """
update chat_messages indexed by chat_messages_waiting
set delivered_at = min(delivered_at + :by, :now)
where kind = 'message' and answered_at is null and delivered_at is not null
"""
DROP_META: Final = "delete from meta where key = ?"


class Anchor(Record, frozen=True, kw_only=True):
    """How wall time and the time since boot lie to each other."""

    boot_id: str
    #: Wall time less the monotonic clock, in microseconds.
    offset: int


_decode: Final = msgspec.json.Decoder(Anchor).decode


def follow_clock(tx: Tx, anchor: Anchor) -> None:
    """Moves what has to be moved since the clock was followed last.

    Whoever followed it may have been another process of this boot. After another boot
    nothing runs that a limit could be for, and wall time is all that is known.
    """
    known = service.meta(tx, _CLOCK)
    before = _decode(known) if known else None
    same_boot = before is not None and before.boot_id == anchor.boot_id
    by = anchor.offset - before.offset if before is not None and same_boot else 0
    if same_boot and abs(by) < JUMP:
        return
    service.set_meta(tx, _CLOCK, to_json(anchor) or "")
    if not same_boot:
        return
    frozen = service.frozen_since(tx)
    _shift_limits(tx, by, 0 if frozen is not None else tx.now + GRACE)
    for sql in (
        SHIFT_BACKOFFS,
        SHIFT_LOOKS,
        SHIFT_LEFTOVERS,
        SHIFT_BREAKERS,
        SHIFT_ACCOUNTS,
    ):
        tx.run(sql, {"by": by, "now": tx.now} if sql is SHIFT_BACKOFFS else {"by": by})
    if frozen is not None:
        service.set_meta(tx, service.FROZEN, str(frozen + by))
    sign = "+" if by > 0 else "-"
    tx.emit(
        ChangeKind.CLOCK_JUMPED,
        reason=f"by {sign}{format_age(abs(by) / SECOND)}: the machine slept, or its"
        " clock was set; limits go on from where they were",
    )


def freeze(tx: Tx) -> None:
    """From now on no time passes for agents and claims."""
    service.set_meta(tx, service.FROZEN, str(tx.now))


def thaw(tx: Tx, since: int) -> None:
    """Time passes again; what has passed meanwhile counts for no limit."""
    _shift_limits(tx, max(tx.now - since, 0), 0)
    tx.run(DROP_META, (service.FROZEN,))


def _shift_limits(tx: Tx, by: int, least: int) -> None:
    tx.run(SHIFT_AGENTS, {"by": by, "least": least, "now": tx.now})
    tx.run(SHIFT_CLAIMS, {"by": by, "least": least})
    tx.run(SHIFT_CHATS, {"by": by, "now": tx.now})
    tx.run(SHIFT_TURNS, {"by": by, "now": tx.now})
