-- Failure: stalls, ends that were too fast, breakers, tasks that these hold.

alter table tasks add column quick integer not null default 0 check (quick >= 0);

alter table agents add column stall_after integer;
alter table agents add column stall_at integer;
alter table agents add column looked_at integer;
alter table agents add column output_bytes integer;
alter table agents add column heard integer not null default 0 check (heard in (0, 1));

create index tasks_held on tasks (json_extract(parked, '$.key'))
    where json_extract(parked, '$.key') is not null;

create index agents_stall on agents (stall_at)
    where status <> 'ended' and stall_at is not null;

create table breakers (
    key text primary key,
    proven integer not null default 0 check (proven in (0, 1)),
    failed text not null default '[]',
    reason text,
    opened_at integer,
    looks integer not null default 0 check (looks >= 0),
    until integer,
    since_agent integer not null default 0,
    check (proven = 0 or opened_at is null)
) strict, without rowid;

create index breakers_troubled on breakers (key) where proven = 0;
