-- The whole database as it stands at the newest version. migrations/ leads here.
-- Moments are integers: microseconds since the epoch, UTC, on whole milliseconds.
-- JSON columns hold the structs of graph/model.py, in exactly their shapes.

create table meta (
    key text primary key,
    value text not null
) strict, without rowid;

create table tasks (
    seq integer primary key,
    id text not null unique check (length(id) between 1 and 64),
    spec text not null,
    status text not null default 'open' check (status in (
        'open', 'in-progress', 'waiting', 'pending-review',
        'done', 'failed', 'abandoned')),
    priority integer not null default 2 check (priority between 0 and 4),
    paused integer not null default 0 check (paused in (0, 1)),
    -- dependencies that are not met: a cache of edges and statuses
    unmet integer not null default 0 check (unmet >= 0),
    -- tasks in the longest chain that starts here: a cache of edges
    chain integer not null default 1 check (chain >= 1),
    actor text,
    actor_matched integer not null default 0 check (actor_matched in (0, 1)),
    claimed_by text,
    claimed_at integer,
    -- when a person's claim is taken away (--abandon-after)
    claim_ends_at integer,
    reserved_for text,
    attempts integer not null default 0 check (attempts >= 0),
    starts integer not null default 0 check (starts >= 0),
    not_before integer,
    retry_at integer,
    -- the later of both while it lies ahead
    start_after integer,
    parked text,
    parked_until integer,
    gate text check (gate in ('outputs', 'verify', 'reward', 'human', 'loop', 'verdict')),
    failure text,
    progress text,
    usage text not null default '{}',
    summary text,
    superseded_by text,
    added_by text,
    depth integer not null default 0,
    last_agent text,
    created_at integer not null,
    started_at integer,
    completed_at integer,
    updated_at integer not null,
    -- ends in a row that were too fast to have been work
    quick integer not null default 0 check (quick >= 0),
    -- in progress exactly while a claim exists
    check ((status = 'in-progress') = (claimed_by is not null)),
    check ((claimed_by is null) = (claimed_at is null)),
    check (gate is null or status = 'pending-review')
) strict;

-- views.ready: what could be dispatched, in the order of dispatch
create index tasks_dispatch on tasks (priority, chain desc, seq)
    where status = 'open' and paused = 0 and unmet = 0
        and start_after is null and parked is null;
-- views.due: the next moment a task waits for
create index tasks_due on tasks (start_after) where start_after is not null;
create index tasks_claim_ends on tasks (claim_ends_at)
    where claim_ends_at is not null;
create index tasks_parked on tasks (parked_until) where parked is not null;
-- holds.held, holds.release: what a key keeps back, in the order of dispatch
create index tasks_held on tasks (
    json_extract(parked, '$.key'), priority, chain desc, seq)
    where json_extract(parked, '$.key') is not null;
-- budgets.wake: what waits for more of a budget
create index tasks_budget on tasks (json_extract(parked, '$.budget'))
    where json_extract(parked, '$.budget') is not null;
-- artifacts.wake_consumers: what waits for an artifact that nobody has recorded
create index tasks_producer on tasks (json_extract(parked, '$.producer'))
    where json_extract(parked, '$.producer') is not null;
-- views.gates: what waits for a gate
create index tasks_gate on tasks (gate) where gate is not null;
-- reads.list_tasks --status
create index tasks_status on tasks (status, seq);

-- reads.count_added_by
create index tasks_added_by on tasks (added_by) where added_by is not null;

create table edges (
    task text not null references tasks (id),
    dep text not null references tasks (id),
    kind text not null default 'done' check (kind in ('done', 'settled')),
    primary key (task, dep),
    check (task <> dep)
) strict, without rowid;

-- writes.change_status: who waits for it
create index edges_dep on edges (dep, kind, task);

create table agents (
    number integer primary key autoincrement,
    task text not null references tasks (id),
    attempt integer not null,
    actor text,
    executor text not null,
    model text,
    endpoint text,
    status text not null check (status in (
        'starting', 'working', 'stopping', 'ended')),
    human integer not null default 0 check (human in (0, 1)),
    outcome text,
    exit_code integer,
    signal integer,
    process text,
    folder_inode integer,
    verdict text,
    reason text,
    stop text,
    counted integer not null default 1 check (counted in (0, 1)),
    -- its end has been turned into the task's next status
    concluded integer not null default 0 check (concluded in (0, 1)),
    workspace text,
    plan text,
    plan_line text,
    token_sha256 blob,
    timeout_at integer,
    started_at integer not null,
    ended_at integer,
    last_activity_at integer not null,
    usage text not null default '{}',
    leftover text not null default '[]',
    -- when those processes are looked for again; set exactly while there are any
    leftover_at integer,
    -- what the process is locked into; null: nothing
    sandbox text,
    -- how long it may be silent, in microseconds, and when that may have been so
    stall_after integer,
    stall_at integer,
    looked_at integer,
    output_bytes integer,
    -- it has called wg
    heard integer not null default 0 check (heard in (0, 1)),
    -- whose limits hold for it
    account text,
    -- what its client calls the conversation, and the one that it goes on with
    session text,
    resumed text,
    -- a model has answered it
    answered integer not null default 0 check (answered in (0, 1)),
    -- what its client does just now, and has said last
    tool text,
    said text,
    -- how its client ended, what it tries to get over by itself, and when it is
    -- ended for either
    client_end text,
    trouble text,
    client_until integer,
    -- what its start has set aside of the budgets that it is under
    reserved_tokens integer,
    reserved_usd real,
    -- what last_activity_at goes by; null: its start
    last_sign text check (last_sign in ('output', 'call')),
    -- the identity of the actor that works on it, as it is at its start
    actor_id text,
    -- its work is to be judged, and has not been
    to_judge integer not null default 0 check (to_judge in (0, 1)),
    -- how much of its output has been taken in, in bytes: what lies before is in the graph
    output_read integer not null default 0,
    unique (task, attempt),
    check ((status = 'ended') = (ended_at is not null)),
    check (concluded = 0 or status = 'ended')
) strict;

-- views.patrol, recover: agents that have not ended, ends that wait to be concluded
create index agents_live on agents (number) where status <> 'ended';
create index agents_ended on agents (number)
    where status = 'ended' and concluded = 0;
create index agents_timeout on agents (timeout_at)
    where status <> 'ended' and timeout_at is not null;
-- leftovers.due, leftovers.of_task
create index agents_leftover on agents (leftover_at) where leftover_at is not null;
create index agents_stall on agents (stall_at)
    where status <> 'ended' and stall_at is not null;
-- views.patrol: clients that have said their last word, or have tried for too long
create index agents_client on agents (client_until)
    where status <> 'ended' and client_until is not null;
-- agents.usage_of_session
create index agents_session on agents (session) where session is not null;
-- accounts.answers: who was answered since a limit
create index agents_account on agents (account, number) where account is not null;
-- reads.agent_by_token
create index agents_token on agents (token_sha256) where token_sha256 is not null;

-- rewards.to_judge: attempts whose work waits for a judgement
create index agents_to_judge on agents (number) where to_judge = 1;

create table artifacts (
    task text not null references tasks (id),
    name text not null,
    path text not null,
    sha256 text not null,
    size integer not null check (size >= 0),
    agent text,
    at integer not null,
    -- a copy stands in .wg/artifacts under its hash
    kept integer not null default 0 check (kept in (0, 1)),
    primary key (task, name)
) strict, without rowid;

create table changes (
    seq integer primary key,
    at integer not null,
    kind text not null,
    task text,
    agent text,
    attempt integer,
    actor text,
    by text not null,
    verb text,
    "from" text,
    "to" text,
    reason text,
    percent real
) strict;

-- reads.task_log
create index changes_task on changes (task, seq) where task is not null;
-- history.late_results: what attempts have said after their end
create index changes_late on changes (task, seq) where kind = 'late_result';

-- what is known of things that many tasks need, such as an executor
create table breakers (
    key text primary key,
    -- its last end was a good one
    proven integer not null default 0 check (proven in (0, 1)),
    -- the tasks whose starts have failed since, as JSON
    failed text not null default '[]',
    reason text,
    opened_at integer,
    looks integer not null default 0 check (looks >= 0),
    until integer,
    since_agent integer not null default 0,
    check (proven = 0 or opened_at is null)
) strict, without rowid;

-- breakers.troubled: once for each dispatch
create index breakers_troubled on breakers (key) where proven = 0;

-- accounts with providers of models
create table accounts (
    key text primary key,
    state text not null default 'unknown' check (state in (
        'unknown', 'ok', 'limited', 'broken')),
    until integer,
    reason text,
    since integer,
    looks integer not null default 0 check (looks >= 0),
    -- how many agents may run on it while it comes back; null: any number
    at_once integer check (at_once >= 0),
    since_agent integer not null default 0
) strict, without rowid;

-- what agents have used, by day (days since the epoch, UTC)
create table spend (
    day integer not null,
    agent integer not null references agents (number),
    input_tokens integer not null default 0,
    cached_tokens integer not null default 0,
    output_tokens integer not null default 0,
    cost_usd real not null default 0,
    primary key (day, agent)
) strict, without rowid;

-- what agents are told about budgets that are nearly used up
create table budget_warnings (
    agent integer not null references agents (number),
    budget text not null,
    percent integer not null,
    line text not null,
    primary key (agent, budget)
) strict, without rowid;

-- What was changed or removed stays, for what refers to it; only living names are taken.
create table identities (
    id text primary key check (length(id) = 64),
    kind text not null check (kind in ('actor', 'role', 'tradeoff')),
    name text not null,
    record text not null,
    -- it was changed into another one, or removed; null: it is in use
    retired_at integer
) strict, without rowid;
-- identities.by_name; a name is in use once
create unique index identities_name on identities (kind, name)
    where retired_at is null;

-- judgements of attempts: one for each source
create table rewards (
    task text not null references tasks (id),
    attempt integer not null check (attempt >= 1),
    -- who judges: 'operator', 'evaluator', 'checks', 'flip', or what somebody calls it
    source text not null,
    -- whose work it is: the name, and the ids that it counts for
    actor text,
    actor_id text,
    role text,
    tradeoff text,
    -- what the work was, as the record is kept by it
    skills text not null default '[]',
    complexity text,
    -- by the rubric, where its dimensions are among those given
    score real not null check (score between 0 and 1),
    given real check (given between 0 and 1),
    dimensions text not null default '{}',
    rubric text not null,
    by text not null,
    notes text,
    at integer not null,
    primary key (task, attempt, source)
) strict, without rowid;

-- sums of what counts: a cache of rewards, one score of each attempt
create table standings (
    rubric text not null,
    kind text not null check (kind in ('actor', 'role', 'tradeoff', 'pair')),
    -- the id; of a pair: that of the role, a blank, that of the tradeoff
    subject text not null,
    -- empty: whatever it was; '*': all of which something was learned
    skill text not null default '',
    complexity text not null default '',
    count integer not null default 0 check (count >= 0),
    total real not null default 0,
    squares real not null default 0,
    primary key (kind, subject, rubric, skill, complexity)
) strict, without rowid;

-- how actors were chosen where there was a choice
create table choices (
    task text not null references tasks (id),
    -- the attempt that it was made for
    attempt integer not null,
    actor text not null,
    -- with which probability this one was chosen
    propensity real not null check (propensity > 0 and propensity <= 1),
    -- who is best by what is known
    greedy text not null,
    -- as JSON: the scores with their parts, as they were
    candidates text not null,
    at integer not null,
    primary key (task, attempt)
) strict, without rowid;

-- what the tasks of the machinery are for
create table errands (
    task text primary key references tasks (id),
    kind text not null check (kind in ('assignment', 'reward', 'evolution')),
    -- the task that it is about; null: none
    about text references tasks (id),
    -- the attempt that is judged
    attempt integer,
    -- which part of the work: 'score'; of FLIP 'guess' and 'compare'; 'canary' …
    part text not null default '',
    -- what it is given besides, as JSON
    given text,
    -- what has come of it, as JSON, as it was taken; null: nothing yet
    verdict text
) strict, without rowid;

-- errands.about
create index errands_about on errands (about, kind) where about is not null;

-- tries of an evaluator on cases with known answers
create table canary_runs (
    number integer primary key,
    -- the evaluator: its name then, and its id
    actor text not null,
    actor_id text not null,
    rubric text not null,
    by text not null,
    at integer not null
) strict;

-- calibration.EARLIER: what the same evaluator answered before
create index canary_runs_actor on canary_runs (actor_id, rubric, number);

-- their cases, in order
create table canary_cases (
    run integer not null references canary_runs (number),
    place integer not null,
    name text not null,
    -- SHA-256 of what is shown: by it a case is known again
    digest text not null,
    expected real not null check (expected between 0 and 1),
    dimensions text not null default '{}',
    -- the errand that the evaluator is given
    task text not null references tasks (id),
    -- what was taken of its verdict, as JSON; null: nothing
    answer text,
    primary key (run, place)
) strict, without rowid;

-- calibration.ANSWER: whose answer an errand brings
create unique index canary_cases_task on canary_cases (task);

-- calibration.OVERRIDES: what people say of work, beside what the evaluator has said
create index rewards_operator on rewards (task, attempt) where source = 'operator';
-- proposals.judged: what was judged of an actor's work
create index rewards_actor on rewards (actor_id) where actor_id is not null;

-- changes to who does the work, as they were proposed, and what has become of them
create table proposals (
    number integer primary key,
    kind text not null check (kind in ('role', 'tradeoff', 'actor', 'retire')),
    -- the id of the actor that it is about: the parent of the changed one
    subject text not null,
    -- as JSON: what the fields become, and the numbers that say why
    change text not null,
    evidence text not null,
    reason text not null,
    by text not null,
    status text not null check (status in (
        'proposed', 'waiting', 'trial', 'promoted', 'retired', 'rejected')),
    created_at integer not null,
    -- when its trial began
    started_at integer,
    -- since when nothing more can become of it
    ended_at integer check (
        (ended_at is null) = (status in ('proposed', 'waiting', 'trial'))),
    -- the id of the changed actor, and how much of its parent's work that one gets
    child text,
    share real check (share between 0 and 1),
    -- as JSON: its trial as it stood whenever it was looked at
    looks text not null default '[]',
    -- who has said that it may be, where a person has to
    approved_by text,
    -- what has come of it, in words
    result text
) strict;

-- proposals.trials, open_ones: those of which more may become
create index proposals_open on proposals (status)
    where status in ('proposed', 'waiting', 'trial');

-- which version of an artifact an attempt was given
create table consumed (
    agent integer not null references agents (number),
    task text not null references tasks (id),
    name text not null,
    sha256 text not null,
    primary key (agent, task, name)
) strict, without rowid;

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
