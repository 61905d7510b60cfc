-- Who does what, and how well it was done: identities with a history, scores, choices.

create temp table identities_before as select id, kind, name, record from identities;
drop table identities;
-- What was changed or removed stays, for what refers to it; only living names are taken.
create table identities (
    id text primary key check (length(id) = 64),
    kind text not null check (kind in ('actor', 'role', 'tradeoff')),
    name text not null,
    record text not null,
    -- it was changed into another one, or removed; null: it is in use
    retired_at integer
) strict, without rowid;
insert into identities (id, kind, name, record)
select id, kind, name, record from identities_before;
drop table identities_before;
-- identities.by_name; a name is in use once
create unique index identities_name on identities (kind, name)
    where retired_at is null;

-- the identity of the actor that works on it, as it is at its start
alter table agents add column actor_id text;
-- its work is to be judged, and has not been
alter table agents add column to_judge integer not null default 0
    check (to_judge in (0, 1));
-- rewards.to_judge: attempts whose work waits for a judgement
create index agents_to_judge on agents (number) where to_judge = 1;

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
-- holds.held, holds.release: what a key keeps back, in the order of dispatch
drop index tasks_held;
create index tasks_held on tasks (
    json_extract(parked, '$.key'), priority, chain desc, seq)
    where json_extract(parked, '$.key') is not null;

-- One more gate. What is stored does not change, so the CHECK is edited where it stands
-- (sqlite.org/lang_altertable.html, section 7): a new table would be written whole.
pragma writable_schema = on;
update sqlite_schema
set sql = replace(sql, '''human'', ''loop'')', '''human'', ''loop'', ''verdict'')')
where type = 'table' and name = 'tasks';
pragma writable_schema = reset;
