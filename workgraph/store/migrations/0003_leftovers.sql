-- What an ended agent has left behind is looked at again; an agent knows its sandbox.

alter table agents add column leftover_at integer;
alter table agents add column sandbox text;

create index agents_leftover on agents (leftover_at) where leftover_at is not null;
