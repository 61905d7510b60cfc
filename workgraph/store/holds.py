"""Tasks that are held back by something that many tasks need, under its key."""

from typing import Final

from workgraph.graph.model import Task
from workgraph.store.database import Tx
from workgraph.store.rows import TASK_COLUMNS, decode_task
from workgraph.store.trajectories import NOT_RESERVED

#: The best of those that a key keeps back, as `views.CANDIDATES` has them.
HELD: Final = f"""
select {TASK_COLUMNS} from tasks t indexed by tasks_held
where json_extract(t.parked, '$.key') = ?
  and t.status = 'open' and t.paused = 0 and t.unmet = 0
  and t.start_after is null and t.reserved_for is null
  and {NOT_RESERVED}
  and not exists (
        select 1 from agents a
        where a.task = t.id and a.status <> 'ended' and a.human = 0)
order by t.priority, t.chain desc, t.seq
limit ?
"""  # noqa: S608 - constants
ANY_HELD: Final = f"""
select 1 from tasks t indexed by tasks_held
where json_extract(t.parked, '$.key') = ?
  and t.status = 'open' and t.paused = 0 and t.unmet = 0
  and t.start_after is null and t.reserved_for is null
  and {NOT_RESERVED}
limit 1
"""  # noqa: S608 - constants
#: Whatever else may keep it: what a key holds needs the same.
ANY_OF: Final = f"""
select {TASK_COLUMNS} from tasks t indexed by tasks_held
where json_extract(t.parked, '$.key') = ? limit 1
"""  # noqa: S608 - constants
RELEASE: Final = """
update tasks indexed by tasks_held set parked = null, parked_until = null
where json_extract(parked, '$.key') = ?
"""
LOOK_AT_CHATS: Final = """
update chats set backoff_until = :now
where archived_at is null and problem is not null and backoff_until > :now
"""


def held(tx: Tx, key: str, most: int) -> list[Task]:
    """The best tasks that a key keeps back and nothing else does."""
    return [decode_task(row) for row in tx.rows(HELD, (key, most))]


def any_of(tx: Tx, key: str) -> list[Task]:
    """One of the tasks that a key keeps back, or none."""
    return [decode_task(row) for row in tx.rows(ANY_OF, (key,))]


def is_any_held(tx: Tx, key: str) -> bool:
    """Whether a task will start by itself when what the key names lets it."""
    return tx.one(ANY_HELD, (key,)) is not None


def release(tx: Tx, key: str) -> None:
    """Lets go all that a key has kept back; chats that wait look again."""
    tx.run(RELEASE, (key,))
    tx.run(LOOK_AT_CHATS, {"now": tx.now})
