-- What people and scripts do in psql. The output is the same with and without pgweir.
\set VERBOSITY verbose
\conninfo
select current_user, session_user, current_database();
\encoding
\encoding latin1
\encoding utf8

\echo == tables and what psql says of them
create table item (id int primary key generated always as identity, name text unique, price numeric);
insert into item (name, price) select 'item ' || n, n from generate_series(1, 30) n;
\d item
\d+ item
\dt
\di
\l app
\du app
\df lower
\sf pg_size_pretty(bigint)

\echo == results
select * from item order by id limit 3 \gset last_
select * from item order by id limit 1 \gset last_
\echo :last_name
select 'select ' || n from generate_series(1, 3) n \gexec
select 1 as a, null as b \gdesc
select id % 2 as odd, id % 3 as third, count(*) from item group by 1, 2 order by 1, 2 \crosstabview
select 1; select 2 \; select 3;
\gx
\x
select * from item where id = 1;
\x

\echo == errors and savepoints
select 1/0;
\errverbose
insert into item (name) values ('item 1');
selekt 1;
\set ON_ERROR_ROLLBACK on
begin;
insert into item (name) values ('kept');
insert into item (name) values ('item 1');
insert into item (name) values ('kept too');
commit;
\set ON_ERROR_ROLLBACK off
begin;
select 1/0;
select 1;
commit;
select count(*) from item;
savepoint nowhere;
commit;
do $$ begin raise notice 'mind the gap'; raise warning 'again' using hint = 'look down'; end $$;

\echo == copy
\copy item (name, price) from program 'seq 100 120 | sed "s/$/,1/"' with csv
\copy (select name from item order by id desc limit 2) to stdout
copy (select 1, 'a	b', null) to stdout;
copy item (name, price) from stdin;
from stdin	3
from stdin too	\N
\.
copy item (name, price) from stdin;
bad	price
\.
select count(*), sum(price) from item;

\echo == cursors
\set FETCH_COUNT 7
select id from item order by id limit 20;
\unset FETCH_COUNT
begin;
declare numbers scroll cursor for select generate_series(1, 10);
fetch 3 from numbers;
fetch backward 1 from numbers;
move 4 in numbers;
fetch next from numbers;
close numbers;
commit;
declare held cursor with hold for select 7;
fetch held;
close held;

\echo == session state
set search_path = pg_catalog, public;
show search_path;
reset search_path;
set application_name = 'hand';
show application_name;
begin;
set local statement_timeout = '40ms';
select pg_sleep(20);
rollback;
show statement_timeout;
begin isolation level repeatable read read only;
show transaction_isolation;
insert into item (name) values ('never');
rollback;
prepare by_id (int) as select name from item where id = $1;
execute by_id (2);
execute by_id (3);
deallocate by_id;
execute by_id (4);
create temporary table mine (a int);
insert into mine values (1), (2);
select * from mine;
select pg_advisory_lock(7), pg_advisory_unlock(7);
listen news;
notify news, 'hello';
select 'after notify';
unlisten news;
create role nobody_else;
set role nosuch;
discard all;
select to_regclass('mine');

\echo == outside of transactions
create index concurrently item_price on item (price);
vacuum analyze item;
reindex index concurrently item_price;
drop index concurrently item_price;
begin;
vacuum item;
rollback;

\echo == another connection
\c - - - -
select count(*) from item;
\c "dbname=app application_name=second options='-c work_mem=2MB'"
show application_name;
show work_mem;
\c "dbname=app sslmode=require"
select 'over TLS';
