//! A crowd that uses one name for everything, with too little room for it and DDL from the side.
//!
//! `$PGWEIR_CROWD` says how many statements each client prepares (1,000 unless set).

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::diff::Random;
use crate::harness::frame::{Frame, render_all};
use crate::harness::front::{client, pool_of, shop};
use crate::harness::message;
use crate::harness::raw::RawClient;

const CLIENTS: usize = 30;
const SERVERS: u32 = 5;
const MAX_PREPARED: u64 = 20;
const TABLES: usize = 4;

const INT4: u32 = 23;
const INT8: u32 = 20;
const TEXT: u32 = 25;

/// DDL so far on each table: odd while some is under way.
type Ddl = [AtomicU64; TABLES];

/// A statement as its client knows it.
struct Known {
    sql: String,
    nonce: String,
    /// The table whose `*` it selects.
    table: Option<usize>,
    /// The types that it was last told.
    told: Vec<u32>,
    /// The table's DDL count before it was told.
    since: u64,
}

struct Member<'a> {
    number: usize,
    wire: RawClient,
    random: Random,
    ddl: &'a Ddl,
    known: BTreeMap<String, Known>,
    changed: usize,
}

fn type_oids(description: &Frame) -> Vec<u32> {
    let mut types = Vec::new();
    let mut rest = &description.body[2..];
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        let oid = &rest[end + 7..end + 11];
        types.push(u32::from_be_bytes(oid.try_into().unwrap()));
        rest = &rest[end + 19..];
    }
    types
}

/// Whether a value is one of this type in this format: each type has values of its own.
fn fits(value: &[u8], oid: u32, binary: bool) -> bool {
    match (oid, binary) {
        (INT4, true) => value == 7_i32.to_be_bytes(),
        (INT4, false) => value == b"7",
        (INT8, true) => value == 7_000_000_000_i64.to_be_bytes(),
        (INT8, false) => value == b"7000000000",
        (TEXT, _) => value == b"seven",
        _ => false,
    }
}

impl Member<'_> {
    fn ask(&mut self, messages: &[Vec<u8>]) -> Vec<Frame> {
        let mut bytes = messages.concat();
        bytes.extend(message::sync());
        self.wire.send(&bytes).unwrap();
        self.wire.until_ready()
    }

    /// Another statement under this name, described and run at once.
    fn prepare(&mut self, name: &str, sequence: usize) {
        let nonce = format!("{}:{sequence}", self.number);
        let table = (self.random.below(3) == 0).then(|| self.random.below(TABLES));
        let sql = match table {
            Some(table) => format!("select '{nonce}'::text as nonce, * from t{table}"),
            None => format!("select '{nonce}'::text as nonce, $1::int4 as n"),
        };
        self.known.insert(name.into(), Known { sql, nonce, table, told: Vec::new(), since: 0 });
        self.prepare_again(name);
    }

    fn prepare_again(&mut self, name: &str) {
        let binary = self.random.below(2) == 0;
        let run = self.run_messages(name, binary);
        let known = &self.known[name];
        let since = known.table.map_or(0, |table| self.ddl[table].load(Ordering::SeqCst));
        let prepare = [
            message::close(b'S', name),
            message::parse(name, &known.sql, &[]),
            message::describe(b'S', name),
        ];
        let frames = self.ask(&[prepare.to_vec(), run].concat());
        let description = frames.iter().find(|frame| frame.tag == b'T');
        let description = description.unwrap_or_else(|| self.complain(name, &frames));
        let told = type_oids(description);
        let known = self.known.get_mut(name).unwrap();
        (known.told, known.since) = (told, since);
        if !self.judge(name, &frames, binary) {
            self.complain(name, &frames);
        }
    }

    fn run_messages(&self, name: &str, binary: bool) -> Vec<Vec<u8>> {
        let seven: &[Option<&[u8]>] = &[Some(b"7")];
        let parameters = if self.known[name].table.is_some() { &[] } else { seven };
        let formats: &[i16] = if binary { &[1] } else { &[] };
        vec![message::bind_with("", name, &[], parameters, formats), message::execute("", 0)]
    }

    /// Runs a statement that was prepared before, as it was told it.
    fn run(&mut self, name: &str) {
        let binary = self.random.below(2) == 0;
        let in_transaction = self.random.below(4) == 0;
        if in_transaction {
            self.wire.ask("begin");
        }
        let frames = self.ask(&self.run_messages(name, binary));
        let right = self.judge(name, &frames, binary);
        if in_transaction {
            self.wire.ask("rollback");
        }
        if !right {
            self.changed += 1;
            self.prepare_again(name);
        }
    }

    /// Whether the answer is rows in the format that was told; else it is 0A000 after DDL.
    fn judge(&self, name: &str, frames: &[Frame], binary: bool) -> bool {
        let known = &self.known[name];
        let mut rows = 0;
        for frame in frames {
            match frame.tag {
                b'D' => {
                    rows += 1;
                    let columns = frame.columns().unwrap();
                    let mut pairs = columns.iter().zip(&known.told);
                    let right = columns.len() == known.told.len()
                        && columns[0].as_deref() == Some(known.nonce.as_bytes())
                        && pairs.by_ref().skip(1).all(|(value, oid)| {
                            value.as_deref().is_some_and(|value| fits(value, *oid, binary))
                        });
                    if !right {
                        self.complain(name, frames);
                    }
                }
                b'E' => {
                    let now = known.table.map_or(0, |t| self.ddl[t].load(Ordering::SeqCst));
                    let after_ddl = now != known.since || known.since % 2 == 1;
                    let told = frame.sqlstate().as_deref() == Some("0A000");
                    if !told || !after_ddl {
                        self.complain(name, frames);
                    }
                    return false;
                }
                _ => {}
            }
        }
        if rows != 1 {
            self.complain(name, frames);
        }
        true
    }

    fn complain(&self, name: &str, frames: &[Frame]) -> ! {
        let known = &self.known[name];
        panic!(
            "client {}, {name}: {:?}, told {:?} at DDL {}:\n{}",
            self.number,
            known.sql,
            known.told,
            known.since,
            render_all(frames)
        )
    }
}

/// Changes the tables until the clients are done; how often it did.
fn alter(sql: &mut pgweir::cluster::SqlConnection, ddl: &Ddl, done: &AtomicBool) -> usize {
    let changes = [
        "add column extra int4 not null default 7",
        "alter column v type int8 using 7000000000",
        "drop column extra",
        "alter column v type text using 'seven'",
        "alter column v type int4 using 7",
    ];
    let mut count = 0;
    while !done.load(Ordering::SeqCst) {
        for change in changes {
            for (table, counter) in ddl.iter().enumerate() {
                counter.fetch_add(1, Ordering::SeqCst);
                sql.run(&format!("alter table t{table} {change}")).unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                count += 1;
                std::thread::park_timeout(Duration::from_millis(100));
            }
        }
    }
    count
}

#[test]
fn a_crowd_with_one_name_gets_its_own_rows_in_the_format_it_was_told() {
    let statements = std::env::var("PGWEIR_CROWD").ok().and_then(|text| text.parse().ok());
    let statements: usize = statements.unwrap_or(1_000);
    let cluster = shop();
    let primary = cluster.primary();
    let mut sql = primary.open_sql("shop").unwrap();
    for table in 0..TABLES {
        sql.run(&format!("create table t{table} as select 7 as v")).unwrap();
    }
    let pgweir = pool_of(SERVERS, primary.address())
        .set("defaults", &format!("max_prepared_statements = {MAX_PREPARED}"))
        .start();
    client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[primary]).memory_slack_kb(16 * 1024);
    let (ddl, done) = (Ddl::default(), AtomicBool::new(false));
    let (changed, left) = (AtomicUsize::new(0), AtomicUsize::new(CLIENTS));
    let start = Barrier::new(CLIENTS);
    let altered = std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (pgweir, ddl, done, changed) = (&pgweir, &ddl, &done, &changed);
            let (left, start) = (&left, &start);
            scope.spawn(move || {
                let _last = Last(left, done);
                let mut member = Member {
                    number,
                    wire: client(pgweir),
                    random: Random::new(number as u64),
                    ddl,
                    known: BTreeMap::new(),
                    changed: 0,
                };
                start.wait();
                for sequence in 0..statements {
                    let name = match sequence % 10 {
                        0 => format!("older {}", member.random.below(5)),
                        _ => "s".into(),
                    };
                    member.prepare(&name, sequence);
                    let names: Vec<String> = member.known.keys().cloned().collect();
                    let other = names[member.random.below(names.len())].clone();
                    member.run(&other);
                    if sequence % 50 == 0 {
                        let there = "select count(*) from pg_prepared_statements";
                        let there: u64 = member.wire.ask_value(there).parse().unwrap();
                        assert!(there <= MAX_PREPARED, "{there} on a server");
                    }
                }
                changed.fetch_add(member.changed, Ordering::SeqCst);
                member.wire.send(&message::terminate()).unwrap();
            });
        }
        alter(&mut sql, &ddl, &done)
    });
    let changed = changed.into_inner();
    println!("{altered} DDL statements, {changed} times 0A000");
    assert!(altered > 20 && changed > 20, "{altered} DDL statements, {changed} times 0A000");
    drop(sql);
    accounts.assert_settled(secs(10));
}

/// The last client to go, whether done or broken, ends the DDL.
struct Last<'a>(&'a AtomicUsize, &'a AtomicBool);

impl Drop for Last<'_> {
    fn drop(&mut self) {
        if self.0.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.1.store(true, Ordering::SeqCst);
        }
    }
}
