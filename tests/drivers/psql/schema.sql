-- Something of each kind that a dump holds.
create schema shop;
set search_path = shop;
create type mood as enum ('sad', 'glad');
create sequence loose start 5;
create table item (
    id serial primary key,
    name text not null unique,
    mood mood default 'glad',
    price numeric(10, 2) check (price >= 0),
    tags text[],
    data jsonb,
    raw bytea
);
create table part (
    item int references item (id) deferrable initially deferred,
    at date,
    primary key (item, at)
) partition by range (at);
create table part_2024 partition of part for values from ('2024-01-01') to ('2025-01-01');
create index item_tags on item using gin (tags);
create view glad as select id, name from item where mood = 'glad';
create materialized view totals as select mood, sum(price) from item group by mood;
create function touch() returns trigger language plpgsql as $$
begin
    new.name = upper(new.name);
    return new;
end
$$;
insert into item (name, mood, price, tags, data, raw)
select 'item ' || n, case n % 2 when 0 then 'sad' else 'glad' end::mood, n / 7.0, array['a', n::text],
    jsonb_build_object('n', n), decode(lpad(to_hex(n), 8, '0'), 'hex')
from generate_series(1, 500) n;
insert into part select id, date '2024-01-01' + id % 300 from item;
create trigger touch before insert on item for each row execute function touch();
comment on table item is 'what''s sold: ü';
select setval('loose', 42);
refresh materialized view totals;
