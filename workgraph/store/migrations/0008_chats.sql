-- Lasting conversations with agents: what they are, and all that was said in them.

create table chats (
    -- never used again
    number integer primary key autoincrement,
    -- its node in the graph, which has its name, executor, model and command; not a
    -- reference: a chat whose node is gone is archived
    task text not null unique,
    created_at integer not null,
    by text not null,
    -- when a consumer was there last, as far as that was written down
    last_consumer_at integer,
    -- the agent that answers now, until its end has been dealt with; it holds the
    -- session, and nobody else is started before that
    handler integer references agents (number),
    -- the client's name for the conversation, and what that belongs to
    session text,
    session_executor text,
    session_account text,
    session_workspace text,
    -- the last change of the graph that was told with what has been answered, and the
    -- last that the handler which is there was told of
    told integer not null default 0,
    telling integer not null default 0,
    -- the handler that is there was given a message in its life
    given integer not null default 0 check (given in (0, 1)),
    -- crashes in a row, and until when nothing is started because of the last one
    failures integer not null default 0 check (failures >= 0),
    backoff_until integer,
    -- something has gone well since the last crash was forgotten
    answered integer not null default 0 check (answered in (0, 1)),
    -- why nothing can be started, in one line, and what can be done about it
    problem text,
    remedy text,
    -- how often in a row that was looked at in vain; the gap doubles with it
    looks integer not null default 0 check (looks >= 0),
    archived_at integer,
    purged_at integer,
    check (purged_at is null or archived_at is not null)
) strict;

-- reconciling.needy: those whose handler is to be looked after
create index chats_handler on chats (handler) where handler is not null;
-- reconciling.needy: those whose task may be gone
create index chats_open on chats (task) where archived_at is null;

create table chat_messages (
    number integer primary key autoincrement,
    chat integer not null references chats (number),
    at integer not null,
    by text not null,
    kind text not null check (kind in ('message', 'reply', 'note', 'error')),
    -- what it answers
    reply_to integer references chat_messages (number),
    text text not null,
    -- the handler that has it now
    agent integer references agents (number),
    delivered_at integer,
    -- that handler has read it, as far as can be told
    taken integer not null default 0 check (taken in (0, 1)),
    -- handlers that have ended with it
    deliveries integer not null default 0 check (deliveries >= 0),
    -- it was answered, or set aside
    answered_at integer,
    check (kind = 'message' or answered_at is null),
    check (kind = 'message' or agent is null)
) strict;

-- chats.history
create index chat_messages_chat on chat_messages (chat, number);
-- reconciling.needy: what waits for an answer, the first one first
create index chat_messages_waiting on chat_messages (chat, number)
    where kind = 'message' and answered_at is null;

-- how much of its output has been taken in, in bytes: what lies before is in the graph
alter table agents add column output_read integer not null default 0;
