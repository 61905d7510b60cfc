-- Work that builds on work: artifacts that are kept, messages, waits, chains, loops.

alter table artifacts add column kept integer not null default 0
    check (kept in (0, 1));

-- which version of an artifact an attempt was given
create table consumed (
    agent integer not null references agents (number),
    task text not null references tasks (id),
    name text not null,
    sha256 text not null,
    primary key (agent, task, name)
) strict, without rowid;

-- artifacts.wake_consumers: what waits for an artifact that nobody has recorded
create index tasks_producer on tasks (json_extract(parked, '$.producer'))
    where json_extract(parked, '$.producer') is not null;

-- what attempts were told: the blocks of their prompts, without the text
create table prompts (
    agent integer primary key references agents (number),
    -- as JSON: limit, tokens, and for each block its name, source, tokens, cut, hash
    blocks text not null
) strict;

create table messages (
    number integer primary key autoincrement,
    task text not null references tasks (id),
    at integer not null,
    by text not null,
    -- the agent whose word it is; null for an operator's
    agent text,
    kind text not null default 'message' check (kind in (
        'message', 'question', 'answer')),
    reply_to integer references messages (number),
    text text not null
) strict;

-- messages.of_task
create index messages_task on messages (task, number);

-- what has become of messages with the agents they were for
create table message_receipts (
    message integer not null references messages (number),
    agent integer not null references agents (number),
    -- it was told that there is one; it was given the text; it was done with it
    told_at integer,
    read_at integer,
    acknowledged_at integer,
    primary key (message, agent)
) strict, without rowid;

-- what tasks in waiting wait for, and have waited for last
create table waits (
    task text primary key references tasks (id),
    -- the attempt that waits; null for a person's without one
    agent integer references agents (number),
    -- as it was said
    condition text not null,
    -- the question of `wg ask`
    question integer references messages (number),
    since integer not null,
    woken_at integer,
    -- what has ended it
    reason text,
    -- how many in a row came right after waits that were soon over
    quick integer not null default 0
) strict, without rowid;

-- a branch is met with all its terms, a wait with any branch; when it is over, those
-- that were met stay
create table wait_terms (
    task text not null references waits (task),
    term integer not null,
    branch integer not null,
    kind text not null check (kind in ('task', 'timer', 'message', 'file', 'answer')),
    -- a task's id, an absolute path; empty for the others
    target text not null default '',
    -- the status that is waited for
    status text,
    -- the moment of a timer; of others: when they are to be looked at
    due integer,
    met_at integer,
    primary key (task, term)
) strict, without rowid;

-- waits.mark: what waits for a task that has settled
create index wait_terms_target on wait_terms (target)
    where kind = 'task' and met_at is null;
-- waits.to_judge, views.next_moment
create index wait_terms_due on wait_terms (due)
    where due is not null and met_at is null;
-- waits.to_judge: who waits for somebody's words
create index wait_terms_words on wait_terms (task)
    where kind in ('message', 'answer') and met_at is null;
-- waits.files
create index wait_terms_file on wait_terms (target)
    where kind = 'file' and met_at is null;

-- chains of tasks that one actor does one after another in one session
create table trajectories (
    number integer primary key autoincrement,
    -- whose it is; null: the agent's that dispatch starts
    actor text,
    -- a person's: nothing is started for it
    human integer not null default 0 check (human in (0, 1)),
    by text not null,
    created_at integer not null,
    -- its last attempt; the next one goes on with that one's session
    agent integer references agents (number),
    ended_at integer,
    reason text
) strict;

-- trajectories.continuing: those that have begun
create index trajectories_begun on trajectories (number)
    where ended_at is null and agent is not null;

create table trajectory_steps (
    trajectory integer not null references trajectories (number),
    step integer not null,
    task text not null references tasks (id),
    -- it was done, or released: it is reserved no longer
    left_at integer,
    primary key (trajectory, step)
) strict, without rowid;

-- trajectories.of_task; a task is reserved once
create unique index trajectory_steps_task on trajectory_steps (task)
    where left_at is null;

-- members that run again in order until a condition
create table loops (
    number integer primary key autoincrement,
    most integer not null check (most between 1 and 1000),
    until text,
    until_converged integer not null default 0 check (until_converged in (0, 1)),
    -- the one that runs, or that was the last
    iteration integer not null default 1 check (iteration >= 1),
    -- what `until` said after the iteration before, for the next one's prompts
    evidence text,
    by text not null,
    created_at integer not null,
    ended_at integer,
    reason text,
    check (iteration <= most),
    check (until is null or until_converged = 0),
    check ((ended_at is null) = (reason is null))
) strict;

create table loop_members (
    loop integer not null references loops (number),
    position integer not null,
    task text not null references tasks (id),
    -- its attempt in this iteration has said `wg done --converged`
    converged integer not null default 0 check (converged in (0, 1)),
    -- its summary of the iteration before; that of this one is the task's
    concluded text,
    -- the moment at which the loop ended, for all of its members
    left_at integer,
    primary key (loop, position)
) strict, without rowid;

-- loops.live_of; a task is in one loop at a time
create unique index loop_members_task on loop_members (task) where left_at is null;
-- loops.latest_of
create index loop_members_all on loop_members (task, loop);

-- One more gate. What is stored does not change, so the CHECK is edited where it stands
-- (sqlite.org/lang_altertable.html, section 7): a new table would be written whole.
pragma writable_schema = on;
update sqlite_schema
set sql = replace(sql, '''reward'', ''human'')', '''reward'', ''human'', ''loop'')')
where type = 'table' and name = 'tasks';
pragma writable_schema = reset;
