-- Clients: what their streams say, accounts with providers, what is spent on which day.

alter table agents add column account text;
alter table agents add column session text;
alter table agents add column resumed text;
alter table agents add column answered integer not null default 0
    check (answered in (0, 1));
alter table agents add column tool text;
alter table agents add column said text;
alter table agents add column client_end text;
alter table agents add column trouble text;
alter table agents add column client_until integer;
alter table agents add column reserved_tokens integer;
alter table agents add column reserved_usd real;
alter table agents add column last_sign text
    check (last_sign in ('output', 'call'));

create index agents_client on agents (client_until)
    where status <> 'ended' and client_until is not null;
create index agents_session on agents (session) where session is not null;
create index agents_account on agents (account, number) where account is not null;

create table accounts (
    key text primary key,
    state text not null default 'unknown' check (state in (
        'unknown', 'ok', 'limited', 'broken')),
    until integer,
    reason text,
    since integer,
    looks integer not null default 0 check (looks >= 0),
    at_once integer check (at_once >= 0),
    since_agent integer not null default 0
) strict, without rowid;

create table spend (
    day integer not null,
    agent integer not null references agents (number),
    input_tokens integer not null default 0,
    cached_tokens integer not null default 0,
    output_tokens integer not null default 0,
    cost_usd real not null default 0,
    primary key (day, agent)
) strict, without rowid;

create table budget_warnings (
    agent integer not null references agents (number),
    budget text not null,
    percent integer not null,
    line text not null,
    primary key (agent, budget)
) strict, without rowid;

create index tasks_budget on tasks (json_extract(parked, '$.budget'))
    where json_extract(parked, '$.budget') is not null;
