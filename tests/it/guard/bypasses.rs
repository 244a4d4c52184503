//! Ways around the guard that lead nowhere. Straight to Postgres each of them locks a live table; through pgweir it is
//! refused, or, where no text shows what will happen, told of.

use std::collections::BTreeSet;

use pgweir::cluster::Node;

use super::live;
use super::locks::strong_locks;
use super::outcome::{batch, play, refusal, rule_of, told, unnamed};
use crate::harness::await_event::secs;
use crate::harness::frame::{Frame, render_all};
use crate::harness::front;
use crate::harness::message::{bind, describe, execute, parse, query, sync};
use crate::harness::raw::{Login, RawClient};

/// What comes first, and the text that would lock.
type Way = (&'static [&'static str], &'static str);

const CREATE: &str = "index-create-blocking";
const CREATE_ON_ORDERS: &str = "create index i on orders (email)";

#[rustfmt::skip]
const WAYS: &[Way] = &[
    // A name that seems to be the session's own.
    (&["begin", "create temp table orders (email text)"], "create index i on public.orders (email)"),
    (&["create temp table orders (email text)", "drop table orders"], CREATE_ON_ORDERS),
    (&["create temp table orders (email text)", "discard temp"], CREATE_ON_ORDERS),
    (&["begin", "create temp table orders (email text) on commit drop", "commit"], CREATE_ON_ORDERS),
    (&["begin", "create temp table orders (email text)", "rollback"], CREATE_ON_ORDERS),
    (&["create temp table orders (email text)", "alter table pg_temp.orders rename to o"], CREATE_ON_ORDERS),
    (&["begin", "create schema s", "create table s.orders (email text)"], CREATE_ON_ORDERS),
    (&["begin", "create table n (email text)", "alter table n rename to m", "alter table orders rename to n"], "create index i on n (email)"),
    (&["begin", "create table n (email text)", "drop table n", "alter table orders rename to n"], "create index i on n (email)"),
    (&["begin", "alter table orders rename to n"], "create index i on n (email)"),
    (&["begin", "create schema s", "create table s.n (email text)", "alter table orders set schema s"], "create index i on s.orders (email)"),
    (&["begin", "create schema s", "alter schema \"Other Shop\" rename to o"], "create index i on o.\"Orders\" (email)"),
    (&["begin", "create table if not exists orders (email text)"], CREATE_ON_ORDERS),
    (&["begin", "create table \"Orders\" (email text)"], CREATE_ON_ORDERS),
    (&["create table if not exists orders (email text); select 1"], CREATE_ON_ORDERS),
    // search_path.
    (&["begin", "create schema s", "set local search_path = s", "create table orders (email text)", "set local search_path = public"], CREATE_ON_ORDERS),
    (&["begin", "create schema s", "set local search_path = s", "create table orders (email text)", "select set_config('search_path', 'public', true)"], CREATE_ON_ORDERS),
    (&["begin", "create schema s", "create table s.orders (email text)", "savepoint a", "set local search_path = s", "rollback to a"], CREATE_ON_ORDERS),
    (&["select set_config('search_path', '\"Other Shop\"', false)"], "create index i on \"Orders\" (email)"),
    // Savepoints and ends of transactions.
    (&["begin", "savepoint a", "alter table orders rename to o", "create table orders (email text)", "rollback to a"], CREATE_ON_ORDERS),
    (&["begin", "savepoint a", "savepoint b", "drop table customers", "create table customers (name text)", "release b", "rollback to a"], "create index i on customers (name)"),
    (&["begin", "create table n as select email from orders", "commit"], "create index i on n (email)"),
    (&["begin; create table n as select email from orders; commit"], "create index i on n (email)"),
    (&["begin", "create table n as select email from orders", "commit and chain"], "create index i on n (email)"),
    (&["create table n as select email from orders"], "create index i on n (email)"),
    (&["select email into n from orders"], "create index i on n (email)"),
    (&["create table n (email text)", "insert into n select email from orders"], "create index i on n (email)"),
    // A table under the transaction's own lock, whose size nobody else can ask for: its indexes speak for it.
    (&["begin", "alter table orders add b int"], CREATE_ON_ORDERS),
    (&["begin", "lock table customers"], "drop index customers_name"),
    (&["create table n (a int)", "create index p on n (a) where a > 9", "insert into n values (1)", "begin", "alter table n add b int"], "create index i on n (b)"),
    (&["create table n (a int)", "create index p on n using hash (a)", "create index q on n using brin (a)", "insert into n values (1)", "begin", "alter table n add b int"], "create index i on n (b)"),
    (&["create table n (a int primary key)", "insert into n values (1)", "delete from n", "insert into n values (2)", "begin", "truncate log", "alter table n add b int"], "create index i on n (b)"),
    // Partitions that are not new.
    (&["begin", "create table e (like events) partition by range (day)", "alter table events detach partition events_1", "alter table e attach partition events_1 for values from (0) to (100)"], "create index i on e (day)"),
    // What a client says of itself.
    (&["set application_name = 'pgweir migrations'"], "/* pgweir: off */ create index i on orders (email)"),
    (&["set role exempt"], CREATE_ON_ORDERS),
    (&["set session authorization exempt"], CREATE_ON_ORDERS),
    // How a text is read.
    (&[], "select '\\'; create index i on orders (email); --'"),
    (&["set standard_conforming_strings = off"], "select '\\\\'; create index i on orders (email)"),
    (&["set standard_conforming_strings = off", "set standard_conforming_strings = on"], "select '\\'; create index i on orders (email); --'"),
    (&["begin", "set local standard_conforming_strings = off", "rollback", "begin"], "select '\\'; create index i on orders (email); --'"),
    // Within a string a SET comes too late for the rest of it.
    (&[], "set standard_conforming_strings = off; select '\\'; create index i on orders (email); --'"),
    (&[], "select $a$ $b$ $a$; create index i on orders (email); --$b$"),
    (&[], "select 1 as a$b$; create index i on orders (email); select 1 as a$b$"),
    (&[], "--\rcreate index i on orders (email)"),
    (&[], "/* /* */ -- */\ncreate index i on orders (email)"),
    (&[], "select E'\\\\'; create index i on orders (email); --'"),
    (&[], "select 'a'\n'\\'; create index i on orders (email); --'"),
    (&[], "select U&'\\0027'; create index i on orders (email)"),
    // Code.
    (&["begin", "do $$ begin alter table orders rename to n; end $$"], "create index i on n (email)"),
    (&["begin", "create table n (email text)", "do $$ begin drop table n; alter table orders rename to n; end $$"], "create index i on n (email)"),
    (&[], "do $$ declare q text := 'create index i on orders (email)'; begin execute q; end $$"),
    (&[], "do $$ begin create temp table n (a int); create index on n (a); create index i on orders (email); end $$"),
    (&[], "do $$ begin execute 'select 1; create index i on orders (email)'; end $$"),
    (&[], "do 'begin create '\n'index i on orders (email); end'"),
    (&[], "do $$ begin if false then create table n (); else create index i on orders (email); end if; end $$"),
];

/// The catalog has to be asked with the session's own path.
#[rustfmt::skip]
const OTHER_PATHS: &[Way] = &[
    (&["set search_path = 'Other Shop'"], "create index i on \"Orders\" (email)"),
    (&["set search_path to \"Other Shop\", public"], "drop index \"By Mail\""),
    (&["set search_path = 'Other Shop'", "begin", "create table n (email text)"], "create index i on \"Orders\" (email)"),
    (&["create schema app", "create table app.n as select 1 as a", "set search_path = app"], "create index i on n (a)"),
    (&["create schema app", "create table app.n as select 1 as a", "set search_path = 'app'"], "create index i on n (a)"),
    (&["create schema app", "create table app.n as select 1 as a", "set search_path to public, 'app'"], "create index i on n (a)"),
    (&["create schema app", "create table app.n as select 1 as a", "set schema 'app'"], "create index i on n (a)"),
    (&["create schema app", "create table app.n as select 1 as a", "set search_path = nowhere, E'\\x61pp'"], "create index i on n (a)"),
    (&["create schema app", "create table app.n as select 1 as a", "begin", "set search_path = app", "commit"], "create index i on n (a)"),
    (&["set search_path = 'Other Shop'", "set search_path to default"], CREATE_ON_ORDERS),
    (&["set search_path = 'Other Shop'", "reset search_path"], CREATE_ON_ORDERS),
    // Temporary tables are the first that a name means, unless the path says otherwise.
    (&["set search_path = public, pg_temp", "create temp table orders (email text)"], CREATE_ON_ORDERS),
    (&["set search_path = 'public', 'pg_temp'", "create temp table orders (email text)"], CREATE_ON_ORDERS),
];

/// Paths that pgweir does not follow: their sessions keep their servers.
#[rustfmt::skip]
const UNKNOWN_PATHS: &[Way] = &[
    (&["create schema app", "create table app.n as select 1 as a", "set search_path to U&\"\\0061pp\""], "create index i on n (a)"),
    (&["create schema app", "create table app.n as select 1 as a", "set search_path to U&\"!0061pp\" uescape '!'"], "create index i on n (a)"),
    (&["create schema app", "create table app.n as select 1 as a", "select set_config('search_path', 'ap' || 'p', false)"], "create index i on n (a)"),
    (&["create schema app", "create table app.n as select 1 as a", "do $$ begin set search_path = app; end $$"], "create index i on n (a)"),
];

#[test]
fn ways_around_it_are_refused() {
    assert_closed(WAYS);
}

#[test]
fn a_search_path_that_was_set_is_no_way_around_it() {
    assert_closed(OTHER_PATHS);
}

#[test]
fn a_search_path_that_is_not_known_is_no_way_around_it() {
    assert_closed(UNKNOWN_PATHS);
}

fn assert_closed(ways: &[Way]) {
    let cluster = live::shop();
    let primary = cluster.primary();
    primary.sql("postgres", "create role exempt superuser login").unwrap();
    primary.sql("shop", live::KEEP).unwrap();
    let options = live::guarded(&cluster, 2).role("exempt", "x");
    let pgweir = options.set("roles.exempt", "guard = \"off\"").start();
    let mut open = Vec::new();
    for (before, text) in ways {
        // It is a way: it locks what others can see.
        let mut straight = RawClient::login(&primary.address().into(), &front::login());
        assert_locks(primary, &mut straight, before, text);
        drop(straight);
        primary.sql("shop", live::CLEAR).unwrap();
        for (extended, at_once) in [(false, false), (true, false), (true, true)] {
            let by_parse = |text: &str| extended && is_one_statement(text);
            let message = |text: &str| if by_parse(text) { batch(text) } else { query(text) };
            let mut client = front::client(&pgweir);
            let earlier: Vec<Vec<u8>> = before.iter().map(|text| message(text)).collect();
            let frames = if at_once {
                let all = [earlier.concat(), message(text)].concat();
                play(&mut client, &all, before.len() + 1)
            } else {
                for (bytes, text) in earlier.iter().zip(*before) {
                    assert_runs(&play(&mut client, bytes, 1), text);
                }
                play(&mut client, &message(text), 1)
            };
            if !frames.iter().any(|frame| frame.tag == b'E' && rule_of(frame).is_some()) {
                open.push(format!("{before:?} {text} {extended} {at_once}: {:?}", told(&frames)));
            }
            client.ask("rollback");
            drop(client);
            primary.sql("shop", live::CLEAR).unwrap();
        }
    }
    assert!(open.is_empty(), "{} ways are open:\n{}", open.len(), open.join("\n"));
    // The one who is exempt has logged in as such.
    let mut client = pgweir.client(&Login::new("exempt", "shop"));
    assert_runs(&client.ask(CREATE_ON_ORDERS), CREATE_ON_ORDERS);
}

fn assert_locks(node: &Node, straight: &mut RawClient, before: &[&str], text: &str) {
    let pid = straight.ask_value("select pg_backend_pid()");
    let locks = || -> BTreeSet<String> {
        let all = strong_locks(node, &format!("l.pid = {pid} and l.granted"));
        all.split(", ").map(str::to_owned).collect()
    };
    let mut status = Some('I');
    for earlier in before {
        let frames = straight.ask(earlier);
        assert_runs(&frames, earlier);
        status = frames.last().and_then(Frame::status);
    }
    if status == Some('I') {
        straight.ask("begin");
    }
    let had = locks();
    assert_runs(&straight.ask(text), text);
    assert!(!locks().is_subset(&had), "{before:?} {text} locks nothing: {had:?}");
    straight.ask("rollback");
}

#[track_caller]
fn assert_runs(frames: &[Frame], sql: &str) {
    assert!(frames.iter().all(|frame| frame.tag != b'E'), "{sql}:\n{}", render_all(frames));
}

fn is_one_statement(text: &str) -> bool {
    text.starts_with("do ") || !text.contains(';')
}

/// Only the server could tell; the client is warned, and `docs/event-trigger.md` has the backstop.
#[test]
fn what_no_text_shows_is_told_of() {
    let cluster = live::shop();
    let pgweir = live::guarded(&cluster, 1).start();
    let (opaque, builds) = ("opaque-code", "constraint-builds-index");
    for (before, text, rule) in [
        (
            "",
            "do $$ declare q text; begin select what into q from log; if q is not null then execute q; end if; end $$",
            opaque,
        ),
        (
            "",
            "create function f() returns void language plpgsql as $$ begin create index i on orders (email); end $$",
            opaque,
        ),
        ("create procedure p() language sql as 'select 1'", "call p()", opaque),
        ("", "alter table orders add unique (id)", builds),
        ("", "alter table customers add constraint c exclude using btree (id with =)", builds),
        ("", "alter table customers add column b int unique", builds),
        (
            "create table events_3 (like events)",
            "alter table events attach partition events_3 for values from (200) to (300)",
            "attach-partition-scan",
        ),
        (
            "",
            "create table n (like events); alter table events detach partition events_1",
            "detach-partition-blocking",
        ),
    ] {
        let mut client = front::client(&pgweir);
        if !before.is_empty() {
            assert_runs(&client.ask(before), before);
        }
        client.ask("begin");
        let frames = client.ask(text);
        assert_runs(&frames, text);
        let warned: Vec<String> =
            frames.iter().filter(|frame| frame.tag == b'N').filter_map(rule_of).collect();
        assert!(warned.iter().any(|found| found == rule), "{text}: {warned:?}");
        client.ask("rollback");
    }
}

#[test]
fn what_was_prepared_is_judged_again_when_it_runs() {
    let cluster = live::shop();
    let pgweir = live::guarded(&cluster, 2).start();
    let build = "create index i on n (a)";
    let run = || [bind("", "s", &[]), execute("", 0), sync()].concat();
    let prepare = || [parse("s", build, &[]), describe(b'S', "s"), sync()].concat();
    // In the transaction that makes the table it may run, and afterwards no more.
    let mut client = front::client(&pgweir);
    client.ask("begin");
    client.ask("create table n as select 1 as a");
    assert_runs(&play(&mut client, &prepare(), 1), build);
    client.ask("commit");
    assert_eq!(refusal(&play(&mut client, &run(), 1)), CREATE);
    client.ask("begin");
    assert_eq!(refusal(&play(&mut client, &run(), 1)), CREATE);
    client.ask("rollback");
    client.ask("drop table n");
    // Prepared while there is no table, and while it is empty.
    client.ask("create table n (a int)");
    assert_runs(&play(&mut client, &run(), 1), build);
    client.ask("drop index i");
    client.ask("insert into n values (1)");
    assert_eq!(refusal(&play(&mut client, &run(), 1)), CREATE);
    // On another server, where it is prepared anew.
    let mut other = front::client(&pgweir);
    other.ask("begin");
    let there = other.ask_value("select pg_backend_pid()");
    assert_eq!(refusal(&play(&mut client, &run(), 1)), CREATE);
    assert_ne!(client.ask_value("select pg_backend_pid()"), there);
}

/// In one batch the catalog, which is asked meanwhile, may not know yet what the batch has committed.
#[test]
fn a_catalog_that_is_behind_the_batch_takes_nothing_back() {
    let cluster = live::shop();
    let pgweir = live::guarded(&cluster, 1).start();
    let mut client = front::client(&pgweir);
    let build = [parse("s", "create index i on n (email)", &[]), sync()];
    assert_runs(&play(&mut client, &build.concat(), 1), "Parse");
    let request = [
        unnamed("begin"),
        unnamed("alter table orders rename to n"),
        unnamed("select pg_sleep(0.5)"),
        unnamed("commit"),
        [bind("", "s", &[]), execute("", 0), sync()].concat(),
    ];
    let frames = play(&mut client, &request.concat(), 1);
    assert_eq!(refusal(&frames), CREATE);
}

/// Between Bind and Execute, names may come to mean something else.
#[test]
fn a_portal_does_not_outlive_what_it_was_judged_by() {
    let cluster = live::shop();
    let pgweir = live::guarded(&cluster, 1).start();
    let live_now = "do $$ begin alter table n rename to m; alter table orders rename to n; end $$";
    let mut open = Vec::new();
    for (portal, other) in [("p", ""), ("", "q"), ("p", "q")] {
        let mut client = front::client(&pgweir);
        client.ask("begin");
        client.ask("create table n (email text)");
        let swap =
            [parse("swap", live_now, &[]), bind(other, "swap", &[]), execute(other, 0)].concat();
        let bytes = [
            parse("build", "create index i on n (email)", &[]),
            bind(portal, "build", &[]),
            swap,
            execute(portal, 0),
            sync(),
        ];
        let frames = play(&mut client, &bytes.concat(), 1);
        let built = client
            .ask("select indrelid::regclass from pg_index where indexrelid = to_regclass('i')");
        let built: Vec<String> = built.iter().flat_map(Frame::texts).collect();
        if !built.is_empty() {
            open.push(format!("{portal:?}, the other {other:?}: {}", render_all(&frames)));
        }
        client.ask("rollback");
    }
    assert!(open.is_empty(), "an index of orders was built:\n{}", open.join("\n"));
}

/// 0x95 0x5C is one character of SJIS, whose second byte looks like a backslash.
#[test]
fn a_second_byte_that_looks_like_a_backslash_hides_nothing() {
    let cluster = live::shop();
    let pgweir = live::guarded(&cluster, 1).start();
    let text = b"select E'\x95\x5c'; create index i on orders (email)";
    let login = front::login().parameter("client_encoding", "SJIS");
    let mut by_startup = pgweir.client(&login);
    assert_eq!(refusal(&play(&mut by_startup, &query(text), 1)), CREATE);
    let mut by_set = front::client(&pgweir);
    let frames = by_set.ask("set client_encoding = 'SJIS'");
    assert_eq!(frames.iter().find_map(rule_of).as_deref(), Some("unsafe-client-encoding"));
    assert_eq!(refusal(&play(&mut by_set, &query(text), 1)), CREATE);
    // And the other way: here the quote is hidden.
    let hidden = b"select E'\x95\x5c\\'; create index i on orders (email); --'";
    let told = told(&play(&mut by_set, &query(hidden), 1));
    assert!(told[0].starts_with("E 22P06"), "Postgres takes no such quote: {told:?}");
}

#[test]
fn parameters_of_the_startup_packet_change_how_texts_are_read() {
    let cluster = live::shop();
    let pgweir = live::guarded(&cluster, 1).start();
    let login = front::login().parameter("options", "-c standard_conforming_strings=off");
    let mut client = pgweir.client(&login);
    assert_runs(&client.ask("select '\\'; create index i on orders (email); --'"), "a literal");
    let text = "select '\\\\'; create index i on orders (email)";
    assert_eq!(refusal(&client.ask(text)), CREATE);
    let login = front::login().parameter("search_path", "\"Other Shop\"");
    let mut client = pgweir.client(&login);
    assert_eq!(refusal(&client.ask("create index i on \"Orders\" (email)")), CREATE);
    client.ask("begin");
    client.ask("create table public.\"Orders\" (email text)");
    assert_eq!(refusal(&client.ask("create index i on \"Orders\" (email)")), CREATE);
}

#[test]
fn size_and_depth_are_no_way_past_it() {
    let cluster = live::shop();
    let options = live::guarded(&cluster, 1);
    let pgweir = options.set("server", "max_statement_size = \"8MB\"").start();
    let mut client = front::client(&pgweir);
    client.set_deadline(secs(60));
    let create = CREATE_ON_ORDERS;
    let long_name = format!("\"{}\"", "x".repeat(100_000));
    for text in [
        format!("/*{}*/{create}", "x".repeat(4_000_000)),
        format!("{}{}{create}", "/*".repeat(50_000), "*/".repeat(50_000)),
        format!("{}{create}", ";".repeat(1_000_000)),
        format!("{}{create}", "select 1;".repeat(5_000)),
        format!("select {}1{};{create}", "(".repeat(1_000), ")".repeat(1_000)),
        format!("select 1 as {long_name};{create}"),
        format!("select '{}';{create}", "''".repeat(500_000)),
        format!("{create}; {}", "select 1;".repeat(5_000)),
    ] {
        assert_eq!(refusal(&client.ask(&text)), CREATE, "{}…", &text[..30]);
        assert_eq!(client.ask_value("select 'goes on'"), "goes on");
    }
    let mut nested = create.to_owned();
    for _ in 0..8 {
        nested = format!("do '{}'", format!("begin {nested}; end").replace('\'', "''"));
    }
    assert_eq!(refusal(&client.ask(&nested)), "opaque-code");
    let too_long = client.ask(&format!("/*{}*/{create}", "x".repeat(9_000_000)));
    let error = too_long.iter().find(|frame| frame.tag == b'E').expect("an error");
    assert_eq!(error.sqlstate().as_deref(), Some("54000"));
    assert_eq!(client.ask_value("select count(*) from pg_class where relname = 'i'"), "0");
}

/// The string of a Query ends at its first NUL; what is behind it is against the protocol.
#[test]
fn nothing_hides_behind_a_nul() {
    let cluster = live::shop();
    let pgweir = live::guarded(&cluster, 1).start();
    for text in
        ["select 1\0create index i on orders (email)", "create index i on orders (email)\0 "]
    {
        let mut straight = RawClient::login(&cluster.primary().address().into(), &front::login());
        let expected = told(&straight.ask(text));
        let error = expected.iter().find(|word| word.starts_with("E ")).expect("an error");
        assert!(error.starts_with("E 08P01"), "{error}");
        let mut client = front::client(&pgweir);
        client.send(&query(text)).unwrap();
        let frames = client.until(b'E');
        let error = frames.last().unwrap();
        let sqlstate = error.sqlstate().unwrap();
        assert!(sqlstate == "08P01" || sqlstate == "42501", "{error:?}");
    }
    let indexes =
        cluster.primary().sql("shop", "select count(*) from pg_class where relname = 'i'");
    assert_eq!(indexes.unwrap()[0][0].as_deref(), Some("0"));
}

#[test]
fn replication_connections_are_no_second_entrance() {
    let cluster = live::shop();
    let pgweir = live::guarded(&cluster, 1).start();
    let login = front::login().parameter("replication", "database");
    let (_, frames) = RawClient::try_login(&pgweir.address(), &login).unwrap();
    let error = frames.last().unwrap();
    assert_eq!((error.tag, error.sqlstate().as_deref()), (b'E', Some("0A000")));
}
