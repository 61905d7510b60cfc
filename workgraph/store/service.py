"""What belongs to the service as a whole: counts, flags, identities."""

from typing import Final

import msgspec

from workgraph.graph.model import Actor
from workgraph.graph.status import Status
from workgraph.store.database import Tx
from workgraph.store.trajectories import NOT_RESERVED

COUNTS: Final = "select status, count(*) from tasks group by status"
#: Conversations are tasks that nobody counts.
COUNT_CHATS: Final = """
select t.status, count(*) from chats c join tasks t on t.id = c.task group by t.status
"""
COUNT_UNFINISHED: Final = """
select count(*) from tasks t
where t.status not in ('done', 'abandoned')
  and not exists (
        select 1 from json_each(t.spec, '$.tags')
        where value in ('assignment', 'reward', 'evolution', 'chat'))
"""
COUNT_READY: Final = f"""
select count(*) from tasks t
where t.status = 'open' and paused = 0 and unmet = 0
  and start_after is null and reserved_for is null
  and (parked is null
       or json_extract(parked, '$.code') in (
            'assigned_to_person', 'leftover', 'no_free_slot'))
  and {NOT_RESERVED}
"""  # noqa: S608 - constants
#: Handlers of chats take no slot.
COUNT_LIVE: Final = """
select count(*) from agents
where status <> 'ended' and human = 0 and substr(task, 1, 6) <> '.chat-'
"""
ACTORS: Final = """
select record from identities where kind = 'actor' and retired_at is null order by name
"""
#: The keys of `meta` that other modules know.
FROZEN: Final = "frozen"
META: Final = "select value from meta where key = ?"
ACTOR_BY_NAME: Final = """
select record from identities
where kind = 'actor' and name = ? and retired_at is null
"""
SET_META: Final = """
insert into meta (key, value) values (?, ?)
on conflict (key) do update set value = excluded.value
"""

decode_actor: Final = msgspec.json.Decoder(Actor).decode


def counts(tx: Tx) -> dict[str, int]:
    """How many tasks there are in each status, the empty ones included; no chats."""
    found = dict.fromkeys((str(s) for s in Status), 0)
    found.update(dict(tx.all(COUNTS)))
    for status, count in tx.all(COUNT_CHATS):
        found[status] -= count
    return found


def count_unfinished(tx: Tx) -> int:
    """How many tasks are neither done nor abandoned, without the machinery's."""
    return int(tx.value(COUNT_UNFINISHED))


def count_ready(tx: Tx) -> int:
    """How many tasks could be dispatched now."""
    return int(tx.value(COUNT_READY))


def count_live(tx: Tx) -> int:
    """How many processes hold a slot."""
    return int(tx.value(COUNT_LIVE))


def meta(tx: Tx, key: str) -> str | None:
    """A value of the service as a whole."""
    value: str | None = tx.value(META, (key,))
    return value


def is_service_paused(tx: Tx) -> bool:
    """Whether `wg service pause` holds; it is kept over restarts."""
    return meta(tx, "paused") == "1"


def frozen_since(tx: Tx) -> int | None:
    """When all agents were frozen; null when they are not."""
    since = meta(tx, FROZEN)
    return int(since) if since else None


def actor_by_name(tx: Tx, name: str | None) -> Actor | None:
    """An actor by its name; any name is good for a person, and no actor is made."""
    record = None if name is None else tx.value(ACTOR_BY_NAME, (name,))
    return None if record is None else decode_actor(record)


def actors(tx: Tx) -> list[Actor]:
    """All actors by name."""
    return [decode_actor(row[0]) for row in tx.rows(ACTORS)]


def set_meta(tx: Tx, key: str, value: str) -> None:
    """Keeps a value of the service as a whole."""
    tx.run(SET_META, (key, value))
