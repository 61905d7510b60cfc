"""How much a chat has added: for its message, and below it in all."""

from typing import Final

from workgraph.store.database import Tx

#: The last message that was given to a handler: answered, or on its way.
LAST_DELIVERY: Final = """
select m.delivered_at from chats c
join chat_messages m indexed by chat_messages_chat on m.chat = c.number
where c.task = ? and m.kind = 'message' and m.delivered_at is not null
order by m.number desc limit 1
"""
ADDED_SINCE: Final = """
select count(*) from tasks t indexed by tasks_added_by
where t.added_by = ? and t.created_at >= ?
"""
#: What is over counts no more, or a chat could do nothing after some weeks.
UNFINISHED_BELOW: Final = """
with recursive below (id) as (
    select :root
    union
    select t.id
    from below
    join agents g on g.task = below.id
    join tasks t indexed by tasks_added_by on t.added_by = 'agent-' || g.number
)
select count(*) from (
    select 1 from below join tasks t on t.id = below.id
    where below.id <> :root and t.status not in ('done', 'failed', 'abandoned')
    limit :most
)
"""


def count_added(tx: Tx, chat: str, agent: str) -> int:
    """How many tasks a handler has added for the message that it has, or had last.

    Args:
        tx: The transaction.
        chat: The chat's task.
        agent: The handler's id. A message is given to one at a time.
    """
    since = tx.value(LAST_DELIVERY, (chat,)) or 0
    return int(tx.value(ADDED_SINCE, (agent, since)))


def count_unfinished_below(tx: Tx, chat: str, most: int) -> int:
    """How many tasks below a chat are not over; `most` is as good as more."""
    return int(tx.value(UNFINISHED_BELOW, {"root": chat, "most": most}))
