//! What policy `default` lets through: index DDL that blocks nobody, in sessions of both protocols. Each is answered as
//! straight by Postgres, and leaves the same behind.

use pgweir::cluster::{Cluster, Row};

use super::live;
use super::outcome::{batch, play, told, unnamed};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::frame::Frame;
use crate::harness::message::{query, sync};
use crate::harness::raw::{Address, Login, RawClient};

/// One session's messages. It may leave tables and schemas of its own, and gives live ones back as they were.
type Messages = &'static [&'static str];

#[rustfmt::skip]
const RUN: &[Messages] = &[
    // Concurrently, however it is spelled.
    &["create index concurrently i on orders (email)", "drop index concurrently i"],
    &["CREATE UNIQUE INDEX CONCURRENTLY i ON orders (id)", "DROP INDEX CONCURRENTLY IF EXISTS public.i"],
    &["create/**/index -- x\nconcurrently/* y */if not exists i on public.orders using btree (email)", "drop index/**/concurrently i restrict"],
    &["create index concurrently if not exists orders_email on orders (email)"],
    &["create index concurrently \"Index\" on \"Other Shop\".\"Orders\" (lower(email)) where \"Id\" > 3", "drop index concurrently \"Other Shop\".\"Index\""],
    &["create index concurrently i on only orders (email)", "drop index concurrently i"],
    &["create index concurrently i on events_1 (day)", "drop index concurrently i"],
    &["create index concurrently i on sales (orders)", "drop index concurrently i"],
    &["create index concurrently i on orders using gin (tags)", "reindex index concurrently i", "drop index concurrently i"],
    &["reindex table concurrently orders"],
    &["reindex index concurrently orders_email"],
    &["REINDEX (CONCURRENTLY) TABLE orders"],
    &["reindex (verbose false, concurrently true) index orders_email"],
    &["reindex (concurrently off, concurrently on) index orders_email"],
    &["reindex (concurrently false) index concurrently orders_email"],
    &["reindex (\"concurrently\" 'on') index orders_email"],
    &["reindex (concurrently 1) index orders_email"],
    &["reindex table concurrently events"],
    &["reindex schema concurrently \"Other Shop\""],
    // Made in the same transaction.
    &["begin", "create table n (a int)", "insert into n values (1)", "create index n_a on n (a)", "reindex table n", "drop index n_a", "commit"],
    &["begin", "create table n (like orders including all)", "insert into n select * from orders", "create unique index on n (id)", "commit"],
    &["begin", "create table n as select * from orders", "create index on n (email)", "commit"],
    &["begin", "create table n (a, b) as select id, email from orders", "create index i on n (b) include (a)", "commit"],
    &["begin", "select id, email into n from orders", "create index i on n (email)", "commit"],
    &["begin", "explain (analyze, costs off, timing off, summary off) create table n as select 1 as a", "create index i on n (a)", "rollback"],
    &["begin", "create table events_3 partition of events for values from (200) to (300)", "insert into events values (1, 250)", "create index on events_3 (day)", "rollback"],
    &["begin", "create table n (like events)", "insert into n values (1, 250)", "create index on n (day)", "alter table events attach partition n for values from (200) to (300)", "rollback"],
    &["begin", "create materialized view n as select * from orders", "create unique index on n (id)", "refresh materialized view concurrently n", "commit"],
    &["begin", "create table n (a int) partition by range (a)", "create table n_1 partition of n for values from (0) to (9)", "insert into n values (1)", "create index on n (a)", "commit"],
    &["begin", "create unlogged table n (a int)", "insert into n values (1)", "create index on n (a)", "commit"],
    &["begin", "create table n () inherits (orders)", "insert into n (id, customer) values (1, 1)", "create index on n (email)", "commit"],
    &["begin", "create table public.n (a int)", "insert into public.n values (1)", "create index i on public.n (a)", "drop index public.i", "commit"],
    &["begin", "create table \"N n\" (a int)", "insert into \"N n\" values (1)", "create index on U&\"\\004e n\" (a)", "commit"],
    &["create table n (a int); insert into n values (1); create index i on n (a); drop index i"],
    &["begin; create table n (a int); insert into n values (1); create index i on n (a); commit"],
    &["begin", "create table n as select 1 as a", "alter table n rename to m", "create index on m (a)", "alter table m rename to n", "create index on n (a)", "commit"],
    &["create schema s", "begin", "create table n as select 1 as a", "alter table n set schema s", "create index on s.n (a)", "commit"],
    &["begin", "create schema s", "create table s.n as select 1 as a", "create index on s.n (a)", "reindex table s.n", "alter schema s rename to r", "create index on r.n (a)", "commit"],
    &["begin", "create table n as select 1 as a", "savepoint a", "select 1", "rollback to a", "create index on n (a)", "commit"],
    &["begin", "savepoint a", "create table n as select 1 as a", "release a", "create index on n (a)", "commit"],
    &["begin", "create table n as select 1 as a", "savepoint a", "drop table n", "rollback to a", "create index on n (a)", "commit"],
    &["begin", "create table n as select 1 as a", "savepoint a", "alter table n rename to m", "rollback to a", "create index on n (a)", "commit"],
    &["begin", "create table n as select 1 as a", "savepoint a", "savepoint a", "release a", "rollback to a", "create index on n (a)", "commit"],
    &["start transaction isolation level serializable", "create table n as select 1 as a", "create index on n (a)", "commit"],
    &["begin", "create table n as select 1 as a", "commit and chain", "create table m as select 1 as a", "create index on m (a)", "commit"],
    &["begin", "alter table orders rename to old", "create table orders (like old including all)", "insert into orders select * from old", "create index i on orders (email)", "rollback"],
    // Elements of CREATE SCHEMA, and indexes that come with their table.
    &["create schema s create table n (a int) create index i on n (a)"],
    &["create schema s create table n (a int unique, b int primary key) create unique index on n (a) create view v as select 1"],
    &["create table n (a int unique, b int primary key, c int, unique (a, c), exclude using btree (c with =))"],
    &["create table n (like orders including indexes)"],
    // Temporary tables, for as long as they are there.
    &["create temp table n as select 1 as a", "create index n_a on n (a)", "reindex index n_a", "drop index n_a", "drop table n"],
    &["create temporary table n (a int) on commit delete rows", "create index n_a on n (a)", "begin", "insert into n values (1)", "create index on n (a)", "commit", "drop table n"],
    &["select 1 as a into temp n", "create index on pg_temp.n (a)", "drop table n"],
    &["begin", "create temp table n on commit drop as select 1 as a", "create index on n (a)", "commit"],
    &["create table pg_temp.n as select 1 as a", "create index on n (a)", "alter table n rename to m", "create index on m (a)", "discard temp"],
    // Empty tables, and what touches the catalog alone.
    &["create index on nothing_sold (id)", "drop index nothing_sold_id_idx"],
    &["create table n (a int)", "create index i on n (a)", "reindex table n", "reindex index i", "drop index i"],
    &["create table n (a int)", "begin", "create index i on n (a)", "insert into n values (1)", "rollback"],
    &["create table n (id int primary key, a text)", "begin", "alter table n add constraint c unique (a)", "create index i on n (a text_pattern_ops)", "commit"],
    &["create table n (id int primary key, a text)", "create index n_a on n (a)", "begin", "alter table n add b int", "drop index n_a", "alter table n rename to m", "create index on m (b)", "rollback"],
    &["drop index nothing_sold_at", "create index nothing_sold_at on nothing_sold (at)"],
    &["create index on plans (day)", "drop index plans_day_idx"],
    &["create index i on only events (day)", "create index concurrently j on events_1 (day)", "create index concurrently k on events_2 (day)", "alter index i attach partition j", "alter index i attach partition k", "select indisvalid from pg_index where indexrelid = 'i'::regclass", "alter table events rename to e", "alter table e rename to events"],
    &["create materialized view n as select 1 as a where false", "create unique index on n (a)"],
    // Nothing there.
    &["drop index if exists nothing_there"],
    &["create table if not exists n (a int); create index on n (a)"],
    // Code.
    &["do $$ begin create table n as select 1 as a; create index on n (a); end $$"],
    &["do $$ begin create temp table n as select 1 as a; create index on n (a); drop table n; end $$"],
    &["do $$ begin create index on nothing_sold (id); end $$", "drop index nothing_sold_id_idx"],
    &["do $$ begin for n in 1..3 loop execute format('create table m_%s as select 1 as a', n); execute format('create index on m_%s (a)', n); end loop; end $$"],
    &["begin", "create table n as select 1 as a", "do $$ begin create index on n (a); end $$", "commit"],
    // It only looks like it.
    &["select 'create index i on orders (email)'", "select $$drop index orders_email$$ /* ; reindex table orders */ -- ; drop index x"],
    &["create table \"index\" (\"create\" int)", "drop table \"index\""],
    &["comment on index orders_email is 'drop index orders_email'"],
    &["alter index orders_email rename to o", "alter index o rename to orders_email", "alter index orders_email set (fillfactor = 90)"],
    &["create statistics s on id, customer from orders", "drop statistics s"],
    &["set statement_timeout = 0", "select 1", "reset statement_timeout"],
];

/// What Postgres refuses by itself keeps its own words.
#[rustfmt::skip]
const POSTGRES_REFUSES: &[Messages] = &[
    &["begin", "create index concurrently i on orders (email)", "rollback"],
    &["begin", "drop index concurrently orders_email", "rollback"],
    &["begin", "reindex table concurrently orders", "rollback"],
    &["select 1; create index concurrently i on orders (email)"],
    &["create index concurrently i on events (day)"],
    &["drop index concurrently events_id"],
    &["drop index concurrently orders_email, orders_note"],
    &["reindex system concurrently shop"],
    &["create index i on missing (a)"],
    &["drop index missing"],
    &["reindex table missing"],
    &["create schema s create index i on public.orders (email)"],
    &["prepare q as create index i on orders (email)"],
    &["explain create index i on orders (email)"],
    &["\u{feff}create index i on orders (email)"],
    &["create\u{a0}index i on orders (email)"],
    &["(create index i on orders (email))"],
    &["create index on"],
];

#[test]
fn index_ddl_that_blocks_nobody_runs_as_ever() {
    assert_as_straight(RUN, |answers| !answers.iter().flatten().any(|word| word.starts_with("E ")));
}

#[test]
fn what_postgres_refuses_keeps_its_words() {
    assert_as_straight(POSTGRES_REFUSES, |answers| {
        answers.iter().flatten().any(|word| word.starts_with("E ") || word == "refused")
    });
}

const STRAIGHT: &str = "shop";
const POOLED: &str = "pooled";

/// Plays each session both ways, in both protocols; `expected` holds of its answers by Postgres.
fn assert_as_straight(sessions: &[Messages], expected: impl Fn(&[Vec<String>]) -> bool) {
    let cluster = live::shop();
    let primary = cluster.primary();
    primary.sql("postgres", &format!("create database {POOLED}")).unwrap();
    primary.sql(POOLED, live::SCHEMA).unwrap();
    for database in [STRAIGHT, POOLED] {
        primary.sql(database, live::KEEP).unwrap();
    }
    let pgweir = live::guarded(&cluster, 2).start();
    let accounts = Accounting::of(&pgweir, &[primary]);
    let (straight, pooled): (Address, _) = (primary.address().into(), pgweir.address());
    let mut wrong = Vec::new();
    for (number, messages) in sessions.iter().enumerate() {
        for sending in Sending::of(number) {
            let answers = played(&straight, STRAIGHT, messages, sending);
            // In one batch, and so in one transaction, other things may be refused by Postgres.
            if sending != Sending::Batch && !expected(&answers) {
                wrong.push(format!("{messages:?}, {sending:?} straight: {answers:?}"));
            }
            let through = played(&pooled, POOLED, messages, sending);
            if through != answers {
                wrong.push(format!(
                    "{messages:?}, {sending:?}:\n  straight {answers:?}\n  pgweir   {through:?}"
                ));
            }
            let [left, left_through] =
                [STRAIGHT, POOLED].map(|database| relations(&cluster, database));
            if left != left_through {
                wrong.push(format!(
                    "{messages:?}, {sending:?}:\n  straight left {left:?}\n  pgweir   left {left_through:?}"
                ));
            }
            for database in [STRAIGHT, POOLED] {
                primary.sql(database, live::CLEAR).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    accounts.assert_settled(secs(10));
    println!("{} sessions", sessions.len());
}

/// How a session's messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// Each as a Query that is answered before the next.
    Queries,
    /// The same as Parse, Bind, Execute, Sync, but for strings of several statements.
    Batches,
    /// All queries in one write.
    QueriesAtOnce,
    /// All batches in one write.
    BatchesAtOnce,
    /// One batch, with one Sync.
    Batch,
}

impl Sending {
    const ALL: [Self; 5] =
        [Self::Queries, Self::Batches, Self::QueriesAtOnce, Self::BatchesAtOnce, Self::Batch];

    /// All of them with `PGWEIR_GUARD=long`; else the first two, and one of the others for every third session.
    fn of(number: usize) -> Vec<Self> {
        match std::env::var_os("PGWEIR_GUARD") {
            Some(_) => Self::ALL.to_vec(),
            None if number.is_multiple_of(3) => {
                vec![Self::Queries, Self::Batches, Self::ALL[2 + number % 9 / 3]]
            }
            None => vec![Self::Queries, Self::Batches],
        }
    }

    fn message(self, text: &str) -> Vec<u8> {
        match self {
            Self::Queries | Self::QueriesAtOnce => query(text),
            Self::Batches | Self::BatchesAtOnce if has_several_statements(text) => query(text),
            Self::Batches | Self::BatchesAtOnce => batch(text),
            Self::Batch => unnamed(text),
        }
    }
}

fn played(
    address: &Address,
    database: &str,
    messages: Messages,
    sending: Sending,
) -> Vec<Vec<String>> {
    let mut client = RawClient::login(address, &Login::new("postgres", database));
    let mut sent: Vec<Vec<u8>> = messages.iter().map(|text| sending.message(text)).collect();
    let mut readies = vec![1; sent.len()];
    match sending {
        Sending::Queries | Sending::Batches => {}
        Sending::QueriesAtOnce | Sending::BatchesAtOnce => {
            (sent, readies) = (vec![sent.concat()], vec![sent.len()]);
        }
        Sending::Batch => (sent, readies) = (vec![[sent.concat(), sync()].concat()], vec![1]),
    }
    let timed = messages.iter().any(|text| text.starts_with("explain"));
    let answer = |(bytes, readies): (&Vec<u8>, usize)| {
        let frames = play(&mut client, bytes, readies);
        if timed { told_without_rows(&frames) } else { told(&frames) }
    };
    sent.iter().zip(readies).map(answer).collect()
}

/// EXPLAIN's rows have times.
fn told_without_rows(frames: &[Frame]) -> Vec<String> {
    told(frames).into_iter().filter(|word| !word.starts_with("row ")).collect()
}

fn has_several_statements(text: &str) -> bool {
    !text.starts_with("do ") && !text.contains("$$") && text.contains(';')
}

/// By name, without their numbers.
fn relations(cluster: &Cluster, database: &str) -> Vec<Row> {
    let mut rows = live::relations(cluster, database);
    rows.iter_mut().for_each(|row| row.truncate(3));
    rows.retain(|row| row[0].as_deref() != Some("pg_toast"));
    rows
}
