//! A shop that is open: committed tables with rows, indexes, partitions, a materialized view.

use pgweir::cluster::{Cluster, Row};

use crate::harness::front;
use crate::harness::pgweir_process::PgweirOptions;

/// Database `shop` of a cluster. Everything outside of schema `pg_…` and `information_schema` is live.
pub const SCHEMA: &str = "\
    create table orders (id int primary key, customer int not null, email text, note text, tags text[], place point);
    insert into orders select n, n % 10, 'm' || n, 'n', array['t' || n], point(n, n) from generate_series(1, 200) n;
    create index orders_email on orders (email);
    create index orders_note on orders (note);
    create table customers (id int primary key, name text not null);
    insert into customers select n, 'c' || n from generate_series(1, 50) n;
    create index customers_name on customers (name);
    create table events (id int not null, day int not null) partition by range (day);
    create table events_1 partition of events for values from (0) to (100);
    create table events_2 partition of events for values from (100) to (200);
    insert into events select n, n from generate_series(1, 199) n;
    create index events_id on events (id);
    create materialized view sales as select customer, count(*) as orders from orders group by customer;
    create unique index sales_customer on sales (customer);
    create schema \"Other Shop\";
    create table \"Other Shop\".\"Orders\" (\"Id\" int primary key, email text);
    insert into \"Other Shop\".\"Orders\" select n, 'm' || n from generate_series(1, 200) n;
    create index \"By Mail\" on \"Other Shop\".\"Orders\" (email);
    create table nothing_sold (id int primary key, at date);
    create index nothing_sold_at on nothing_sold (at);
    create table plans (id int, day int) partition by range (day);
    create table log (what text);
    analyze";

/// Notes what is there, for [`CLEAR`]. By name: what is rebuilt concurrently has another number.
pub const KEEP: &str = "create schema kept; create table kept.ones as \
    select relname as name from pg_class union select nspname from pg_namespace";

/// Takes away what was not there then.
pub const CLEAR: &str = "do $$ declare r record; begin \
    for r in select nspname from pg_namespace \
    where nspname !~ '^pg_' and nspname not in (select name from kept.ones) loop \
    execute format('drop schema %I cascade', r.nspname); end loop; \
    for r in select nspname, relname, relkind from pg_class join pg_namespace n on n.oid = relnamespace \
    where nspname in ('public', 'Other Shop') and relkind in ('r', 'p', 'm', 'i', 'I') \
    and relname not in (select name from kept.ones) order by relkind in ('i', 'I'), pg_class.oid loop \
    execute format('drop %s if exists %I.%I cascade', case when r.relkind in ('r', 'p') then 'table' \
    when r.relkind = 'm' then 'materialized view' else 'index' end, r.nspname, r.relname); end loop; end $$";

/// A Postgres with the shop, whose log has every statement that it parsed.
pub fn shop() -> Cluster {
    let cluster = front::shop_options().log_statements().start().expect("a Postgres");
    cluster.primary().sql("shop", SCHEMA).unwrap();
    let empty = "select oid::regclass from pg_class where oid::regclass::text in \
                 ('orders', 'customers', 'events_1', 'events_2', 'sales', '\"Other Shop\".\"Orders\"') \
                 and (pg_relation_size(oid) = 0 or reltuples < 1)";
    let empty = cluster.primary().sql("shop", empty).unwrap();
    assert!(empty.is_empty(), "live tables have rows: {empty:?}");
    cluster
}

/// pgweir with policy `default` and so many servers.
pub fn guarded(cluster: &Cluster, servers: u32) -> PgweirOptions {
    front::pool_of(servers, cluster.primary().address()).set("defaults", "guard = \"default\"")
}

/// Every relation outside of the catalogs, with where its rows lie.
pub fn relations(cluster: &Cluster, database: &str) -> Vec<Row> {
    let sql = "select n.nspname, c.relname, c.relkind::text, c.oid::text, c.relfilenode::text \
               from pg_class c join pg_namespace n on n.oid = c.relnamespace \
               where n.nspname !~ '^pg_temp' and n.nspname <> 'information_schema' order by 1, 2";
    cluster.primary().sql(database, sql).unwrap()
}
