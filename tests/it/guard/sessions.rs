//! A refused statement does to its session what one that Postgres cannot read would do in its place. Each exchange is
//! played twice: straight to Postgres with broken text, through pgweir with blocking index DDL.

use pgweir::cluster::Cluster;

use super::live;
use super::outcome::{batch, play, refusal, told, unnamed};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::front;
use crate::harness::message::{self, bind, describe, execute, flush, parse, query, sync};
use crate::harness::raw::{Address, RawClient};

/// One write of an exchange, and how many ReadyForQuery answer it.
struct Step {
    bytes: Vec<u8>,
    readies: usize,
}

/// An exchange, with the statement in question left open.
type Exchange = (&'static str, fn(&str) -> Vec<Step>);

fn step(bytes: impl Into<Vec<u8>>) -> Step {
    Step { bytes: bytes.into(), readies: 1 }
}

fn steps(bytes: Vec<u8>, readies: usize) -> Step {
    Step { bytes, readies }
}

/// Simple queries, each with its answer.
fn queries(texts: &[&str]) -> Vec<Step> {
    texts.iter().map(|text| step(query(text))).collect()
}

const ADD: &str = "insert into log values ('added')";

/// What shows afterwards how it went.
const AFTERWARDS: [&str; 3] =
    ["select 'next'", "rollback", "select count(*) from log where what = 'added'"];

#[rustfmt::skip]
const SIMPLE: &[Exchange] = &[
    ("alone", |text| queries(&[text])),
    ("twice", |text| queries(&[text, text])),
    ("in a transaction", |text| queries(&["begin", ADD, text, "select 1", "rollback"])),
    ("in a transaction that commits all the same", |text| queries(&["begin", ADD, text, "commit"])),
    ("first in a transaction", |text| queries(&["begin", text, "commit and chain", "select 1", "commit"])),
    ("behind a savepoint", |text| queries(&["begin", ADD, "savepoint a", ADD, text, "select 1", "rollback to a", ADD, "commit"])),
    ("behind a savepoint that is released", |text| queries(&["begin", "savepoint a", ADD, "release a", text, "rollback to a", "rollback"])),
    ("savepoint by savepoint", |text| queries(&["begin", "savepoint a", text, "rollback to a", ADD, "savepoint b", text, "rollback to b", "release b", ADD, "commit"])),
    ("in a read-only transaction", |text| queries(&["begin read only", text, "rollback"])),
    ("with a setting of the transaction", |text| queries(&["begin", "set local work_mem = '1MB'", text, "rollback", "show work_mem"])),
    ("with a setting of the session", |text| queries(&["set work_mem = '2MB'", text, "show work_mem", "begin", "set work_mem = '3MB'", text, "rollback", "show work_mem"])),
    ("with a cursor", |text| queries(&["begin", "declare c cursor for select 1", text, "fetch c", "rollback"])),
    ("with a prepared statement", |text| queries(&["prepare q as select 5", text, "execute q", "begin", "prepare r as select 6", text, "rollback", "execute r"])),
    ("with a temporary table", |text| queries(&["create temp table mine (a int)", text, "select count(*) from mine", "begin", "drop table mine", text, "rollback", "select count(*) from mine"])),
    ("with LISTEN", |text| queries(&["listen a", text, "notify b", "begin", "notify a", text, "commit"])),
    ("with an advisory lock", |text| queries(&["select pg_advisory_lock(1)", text, "select pg_advisory_unlock(1)"])),
    ("last of a string", |text| queries(&[&format!("{ADD}; {text}")])),
    ("first of a string", |text| queries(&[&format!("{text}; {ADD}")])),
    ("within a string", |text| queries(&[&format!("{ADD}; {text}; {ADD}")])),
    ("within a string that begins a transaction", |text| queries(&[&format!("begin; {ADD}; {text}; commit")])),
    ("within a string that ends one", |text| queries(&["begin", ADD, &format!("commit; {text}"), "commit"])),
    ("within a string, behind a savepoint", |text| queries(&["begin", "savepoint a", ADD, &format!("select 1; {text}"), "rollback to a", "commit"])),
    ("with more in the pipe", |text| vec![steps([query(text), query("select 1"), query(text), query(ADD)].concat(), 4)]),
    ("in a transaction, all in one write", |text| vec![steps([query("begin"), query(ADD), query(text), query("select 1"), query("rollback"), query(ADD)].concat(), 6)]),
];

#[rustfmt::skip]
const EXTENDED: &[Exchange] = &[
    ("a batch", |text| vec![step(batch(text))]),
    ("Parse alone", |text| vec![step([parse("", text, &[]), sync()].concat())]),
    ("Parse and Describe, as drivers prepare", |text| vec![step([parse("s", text, &[]), describe(b'S', "s"), sync()].concat())]),
    ("its name is not taken", |text| vec![
        step([parse("s", text, &[]), sync()].concat()),
        step([bind("", "s", &[]), execute("", 0), sync()].concat()),
        step([parse("s", "select 5", &[]), bind("", "s", &[]), execute("", 0), sync()].concat()),
    ]),
    ("other names stay", |text| vec![
        step([parse("s", "select 5", &[]), sync()].concat()),
        step(batch(text)),
        step([bind("", "s", &[]), execute("", 0), sync()].concat()),
    ]),
    ("a name that is taken", |text| vec![
        step([parse("s", "select 5", &[]), sync()].concat()),
        step([parse("s", text, &[]), sync()].concat()),
        step([bind("", "s", &[]), execute("", 0), sync()].concat()),
    ]),
    ("the unnamed statement is gone", |text| vec![
        step([parse("", "select 5", &[]), sync()].concat()),
        step([parse("", text, &[]), sync()].concat()),
        step([bind("", "", &[]), execute("", 0), sync()].concat()),
    ]),
    ("the unnamed statement is gone behind a Query", |text| vec![
        step([parse("", "select 5", &[]), sync()].concat()),
        step(query(text)),
        step([bind("", "", &[]), execute("", 0), sync()].concat()),
    ]),
    ("what the batch did before is undone", |text| vec![step([unnamed(ADD), unnamed(ADD), batch(text)].concat())]),
    ("what comes behind is skipped", |text| vec![step([unnamed(ADD), unnamed(text), unnamed(ADD), sync()].concat())]),
    ("and the next batch runs", |text| vec![steps([unnamed(text), unnamed(ADD), sync(), batch(ADD), batch("select 1")].concat(), 3)]),
    ("with its own transaction", |text| vec![step([unnamed("begin"), unnamed(ADD), unnamed(text), unnamed("commit"), sync()].concat()), step(query("commit"))]),
    ("behind the batch's own commit", |text| vec![step([unnamed("begin"), unnamed(ADD), unnamed("commit"), unnamed(text), sync()].concat())]),
    ("in a transaction", |text| vec![step(query("begin")), step(batch(ADD)), step(batch(text)), step(batch("select 1")), step(query("commit"))]),
    ("in a transaction, all in one write", |text| vec![steps([batch("begin"), batch(ADD), batch(text), batch("select 1"), batch("rollback"), batch(ADD)].concat(), 6)]),
    ("behind a savepoint", |text| vec![step(query("begin")), step(batch("savepoint a")), step(batch(text)), step(batch("rollback to a")), step(batch(ADD)), step(batch("commit"))]),
    ("with Flush", |text| vec![step([parse("", text, &[]), flush(), sync()].concat())]),
    ("Sync comes later", |text| vec![steps([unnamed(ADD), parse("", text, &[]), flush()].concat(), 0), step(sync())]),
    ("a Query in the middle of a batch", |text| vec![steps([unnamed(ADD), query(text), sync()].concat(), 2)]),
    ("Close and Sync behind it", |text| vec![step([parse("s", text, &[]), message::close(b'S', "s"), sync()].concat()), step(sync())]),
    ("a portal of the transaction", |text| vec![
        step([query("begin")].concat()),
        step([parse("", "select generate_series(1, 3)", &[]), bind("p", "", &[]), execute("p", 1), sync()].concat()),
        step(batch(text)),
        step([execute("p", 1), sync()].concat()),
        step(query("rollback")),
    ]),
    ("rows before it", |text| vec![step([unnamed("select generate_series(1, 3)"), unnamed(text), sync()].concat())]),
    (SKIPPED, |text| vec![step([unnamed("select 1/0"), unnamed(text), sync()].concat())]),
    ("an error behind it", |text| vec![step([unnamed(text), unnamed("select 1/0"), sync()].concat()), step(batch("select 1/0"))]),
];

/// An error before it, in its own batch.
const SKIPPED: &str = "an error before it";

const BLOCKING: &[&str] = &[
    "create index i on orders (email)",
    "drop index orders_email",
    "reindex index orders_email",
    "do $$ begin create index i on orders (email); end $$",
];

/// As nothing that Postgres can read, nor anything that pgweir knows.
const BROKEN: &str = "pgweir_broken";

fn assert_as_a_syntax_error(exchanges: &[Exchange]) {
    let cluster = live::shop();
    let pgweir = live::guarded(&cluster, 1).start();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let straight: Address = cluster.primary().address().into();
    let mut wrong = Vec::new();
    for (name, exchange) in exchanges {
        let expected = played(&cluster, &straight, &exchange(BROKEN));
        for text in BLOCKING {
            let found = played(&cluster, &pgweir.address(), &exchange(text));
            if found != expected {
                wrong
                    .push(format!("{name}: {text}\n  straight {expected:?}\n  pgweir   {found:?}"));
            }
        }
        // Where nothing is told of it, it was skipped.
        let told_of = expected.iter().flatten().any(|word| word == "refused");
        assert_eq!(told_of, *name != SKIPPED, "{name}: {expected:?}");
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    accounts.assert_settled(secs(10));
}

/// What each step was answered, and what the session says afterwards.
fn played(cluster: &Cluster, address: &Address, steps: &[Step]) -> Vec<Vec<String>> {
    cluster.primary().sql("shop", "truncate log").unwrap();
    let mut client = RawClient::login(address, &front::login());
    let mut answers: Vec<_> =
        steps.iter().map(|step| told(&play(&mut client, &step.bytes, step.readies))).collect();
    answers.extend(AFTERWARDS.map(|text| told(&client.ask(text))));
    answers
}

#[test]
fn a_refused_query_is_a_syntax_error_to_its_session() {
    assert_as_a_syntax_error(SIMPLE);
}

#[test]
fn a_refused_parse_is_a_syntax_error_to_its_session() {
    assert_as_a_syntax_error(EXTENDED);
}

/// There a broken text is told of as such, and index DDL as what comes after a failure.
#[test]
fn in_a_failed_transaction_postgres_has_the_word() {
    let cluster = live::shop();
    let pgweir = live::guarded(&cluster, 1).start();
    let straight: Address = cluster.primary().address().into();
    for text in BLOCKING {
        let failed = |request: Vec<u8>| {
            let mut steps = queries(&["begin", "select 1/0"]);
            steps.push(step(request));
            steps.extend(queries(&["rollback"]));
            steps
        };
        for request in [query(text), batch(text), query(format!("select 1; {text}"))] {
            let steps = failed(request);
            let expected = played(&cluster, &straight, &steps);
            assert!(expected[2].iter().any(|word| word.starts_with("E 25P02")), "{expected:?}");
            assert_eq!(played(&cluster, &pgweir.address(), &steps), expected, "{text}");
        }
    }
}

#[test]
fn a_refusal_says_what_it_would_have_blocked_and_what_to_do() {
    let cluster = live::shop();
    let pgweir = live::guarded(&cluster, 1).start();
    let mut client = front::client(&pgweir);
    let frames = client.ask("create index i on orders (email)");
    assert_eq!(refusal(&frames), "index-create-blocking");
    let field = |letter| frames[0].field(letter).unwrap();
    assert_eq!(
        field(b'M'),
        "statement refused by query guard: CREATE INDEX without CONCURRENTLY would block all writes to \"orders\" until the \
         index is built"
    );
    assert!(field(b'D').contains("SHARE lock on the table"), "{}", field(b'D'));
    let hint = field(b'H');
    let safe = "create index CONCURRENTLY i on orders (email)";
    assert!(hint.to_lowercase().contains(&safe.to_lowercase()), "{hint}");
    for framework in ["Django", "Rails", "Alembic"] {
        assert!(hint.contains(framework), "{hint}");
    }
    // The statement that it names is the one that works.
    let frames = client.ask(safe);
    assert_eq!(told(&frames), ["CREATE INDEX", "ready I"]);
}
