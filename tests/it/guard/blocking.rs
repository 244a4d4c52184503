//! Every form that policy `default` rejects. Straight to Postgres it takes the lock that its rule's page names, on live
//! tables with rows, as `pg_locks` shows; through pgweir it does not get to Postgres at all.

use std::collections::BTreeSet;

use pgweir::cluster::Node;

use super::live;
use super::locks::strong_locks;
use super::outcome::{batch, refusal};
use crate::harness::await_event::{secs, wait_for};
use crate::harness::frame::{Frame, render_all};
use crate::harness::front;
use crate::harness::message;
use crate::harness::raw::RawClient;

const CREATE: &str = "index-create-blocking";
const DROP: &str = "index-drop-blocking";
const REINDEX: &str = "reindex-blocking";

/// One form.
struct Form {
    rule: &'static str,
    sql: &'static str,
    /// Locks of SHARE and above on live relations: `table MODE, index MODE`.
    locks: &'static str,
    run: Run,
}

/// How its lock is seen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    /// It runs in a transaction, whose locks are read.
    InTransaction,
    /// It cannot. A writer of this table holds it up, and what it waits for is read.
    HeldUpBy(&'static str),
}

const fn form(rule: &'static str, sql: &'static str, locks: &'static str) -> Form {
    Form { rule, sql, locks, run: Run::InTransaction }
}

const fn alone(sql: &'static str, writer: &'static str, locks: &'static str) -> Form {
    Form { rule: REINDEX, sql, locks, run: Run::HeldUpBy(writer) }
}

const ON_ORDERS: &str = "orders SHARE";
const ON_OTHERS: &str = "\"Other Shop\".\"Orders\" SHARE";
const ON_EVENTS: &str = "events SHARE, events_1 SHARE, events_2 SHARE";
const EMAIL: &str = "orders ACCESS EXCLUSIVE, orders_email ACCESS EXCLUSIVE";
const EMAIL_AND_NOTE: &str =
    "orders ACCESS EXCLUSIVE, orders_email ACCESS EXCLUSIVE, orders_note ACCESS EXCLUSIVE";
const REBUILT: &str = "orders SHARE, orders_email ACCESS EXCLUSIVE";
const ALL_REBUILT: &str =
    "customers SHARE, customers_name ACCESS EXCLUSIVE, customers_pkey ACCESS EXCLUSIVE";

#[rustfmt::skip]
const FORMS: &[Form] = &[
    form(CREATE, "create index i on orders (email)", ON_ORDERS),
    form(CREATE, "CREATE INDEX ON orders (email)", ON_ORDERS),
    form(CREATE, "create unique index i on orders (id)", ON_ORDERS),
    form(CREATE, "create index if not exists i on orders (email)", ON_ORDERS),
    form(CREATE, "create index i on only orders (email)", ON_ORDERS),
    form(CREATE, "create index i on only (orders) (email)", ON_ORDERS),
    form(CREATE, "create index i on orders * (email)", ON_ORDERS),
    form(CREATE, "create index i on public.orders (email)", ON_ORDERS),
    form(CREATE, "create index i on shop.public.orders (email)", ON_ORDERS),
    form(CREATE, "create index i on \"orders\"(\"email\")", ON_ORDERS),
    form(CREATE, "create index i on U&\"\\006frders\" (email)", ON_ORDERS),
    form(CREATE, "create index i on U&\"!006frders\" uescape '!' (email)", ON_ORDERS),
    form(CREATE, "create index \"CONCURRENTLY\" on orders (email)", ON_ORDERS),
    form(CREATE, "create index \"concurrently\" on orders (email)", ON_ORDERS),
    form(CREATE, "create index i /* concurrently */ on orders (email)", ON_ORDERS),
    form(CREATE, "create/**/index/* /* nested */ */i/**/on/**/orders(email)", ON_ORDERS),
    form(CREATE, "create\tindex\x0ci\r\non orders (email);", ON_ORDERS),
    form(CREATE, ";; create index i on orders (email);;", ON_ORDERS),
    form(CREATE, "create index i on orders (lower(email))", ON_ORDERS),
    form(CREATE, "create index i on orders ((email || note))", ON_ORDERS),
    form(CREATE, "create index i on orders (email) where id > 10", ON_ORDERS),
    form(CREATE, "create index i on orders (email) where note = 'concurrently'", ON_ORDERS),
    form(CREATE, "create unique index i on orders (id) include (email, note)", ON_ORDERS),
    form(CREATE, "create index i on orders using gin (tags)", ON_ORDERS),
    form(CREATE, "create index i on orders using gist (place)", ON_ORDERS),
    form(CREATE, "create index i on orders using spgist (place)", ON_ORDERS),
    form(CREATE, "create index i on orders using brin (id)", ON_ORDERS),
    form(CREATE, "create index i on orders using hash (email)", ON_ORDERS),
    form(CREATE, "create index i on orders using btree (email collate \"C\" varchar_pattern_ops desc nulls last, id) with (fillfactor = 70) tablespace pg_default", ON_ORDERS),
    form(CREATE, "create index i on \"Other Shop\".\"Orders\" (email)", ON_OTHERS),
    form(CREATE, "create index i on sales (orders)", "sales SHARE"),
    form(CREATE, "create index i on events (day)", ON_EVENTS),
    form(CREATE, "create index i on events_1 (day)", "events_1 SHARE"),
    form(CREATE, "select 1; create index i on orders (email)", ON_ORDERS),
    form(CREATE, "create index i on orders (email); select 1", ON_ORDERS),
    form(CREATE, "set local statement_timeout = 0; create index i on orders (email)", ON_ORDERS),
    form(CREATE, "create table n (a int); create index on n (a); create index on orders (email)", ON_ORDERS),
    form(CREATE, "select ';'; select $$;$$ /* ; */; create index i on orders (email)", ON_ORDERS),
    form(CREATE, "do $$ begin create index i on orders (email); end $$", ON_ORDERS),
    form(CREATE, "do $$ begin execute 'create index i on orders (email)'; end $$", ON_ORDERS),
    form(CREATE, "do $$ begin execute format('create index %I on %I (email)', 'i', 'orders'); end $$", ON_ORDERS),
    form(CREATE, "do $$ begin execute 'create ' || 'index i on ' || 'orders (email)'; end $$", ON_ORDERS),
    form(CREATE, "do language plpgsql E'begin create index i\\non orders (email); end'", ON_ORDERS),
    form(CREATE, "do $$ begin if not exists (select from pg_class where relname = 'i') then create index i on orders (email); end if; end $$", ON_ORDERS),
    form(CREATE, "do $a$ begin execute 'do $b$ begin create index i on orders (email); end $b$'; end $a$", ON_ORDERS),

    form(DROP, "drop index orders_email", EMAIL),
    form(DROP, "DROP INDEX IF EXISTS orders_email", EMAIL),
    form(DROP, "drop index orders_email restrict", EMAIL),
    form(DROP, "drop index orders_email cascade", EMAIL),
    form(DROP, "drop index public.orders_email", EMAIL),
    form(DROP, "drop index \"orders_email\"", EMAIL),
    form(DROP, "drop index U&\"orders\\005femail\"", EMAIL),
    form(DROP, "drop/* concurrently */index orders_email", EMAIL),
    form(DROP, "drop index orders_email, orders_note", EMAIL_AND_NOTE),
    form(DROP, "drop index if exists nothing_there, orders_email", EMAIL),
    form(DROP, "drop index orders_email; drop index orders_note", EMAIL_AND_NOTE),
    form(DROP, "drop index \"Other Shop\".\"By Mail\"", "\"Other Shop\".\"By Mail\" ACCESS EXCLUSIVE, \"Other Shop\".\"Orders\" ACCESS EXCLUSIVE"),
    form(DROP, "drop index events_id", "events ACCESS EXCLUSIVE, events_1 ACCESS EXCLUSIVE, events_1_id_idx ACCESS EXCLUSIVE, events_2 ACCESS EXCLUSIVE, events_2_id_idx ACCESS EXCLUSIVE, events_id ACCESS EXCLUSIVE"),
    form(DROP, "drop index sales_customer", "sales ACCESS EXCLUSIVE, sales_customer ACCESS EXCLUSIVE"),
    form(DROP, "select 1; drop index orders_email; select 2", EMAIL),
    form(DROP, "do $$ begin drop index orders_email; end $$", EMAIL),
    form(DROP, "do $$ begin execute 'drop index if exists ' || quote_ident('orders_email'); end $$", EMAIL),
    form(DROP, "do $$ begin begin drop index orders_email; end; end $$", EMAIL),

    form(REINDEX, "reindex table customers", ALL_REBUILT),
    form(REINDEX, "REINDEX INDEX orders_email", REBUILT),
    form(REINDEX, "reindex index public.\"orders_email\"", REBUILT),
    form(REINDEX, "reindex (verbose) index orders_email", REBUILT),
    form(REINDEX, "reindex (concurrently false) index orders_email", REBUILT),
    form(REINDEX, "reindex (concurrently off, verbose) index orders_email", REBUILT),
    form(REINDEX, "reindex (concurrently 0) index orders_email", REBUILT),
    form(REINDEX, "reindex (concurrently, concurrently false) index orders_email", REBUILT),
    form(REINDEX, "reindex (tablespace pg_default) index orders_email", REBUILT),
    form(REINDEX, "reindex table sales", "sales SHARE, sales_customer ACCESS EXCLUSIVE"),
    form(REINDEX, "select 1; reindex index orders_email", REBUILT),
    form(REINDEX, "do $$ begin reindex index orders_email; end $$", REBUILT),
    form(REINDEX, "do $$ begin execute concat('reindex index ', 'orders_email'); end $$", REBUILT),
    alone("reindex table events", "events_2", "events_2 SHARE"),
    alone("reindex index events_id", "events_1", "events_1 SHARE"),
    alone("reindex schema public", "orders", ON_ORDERS),
    alone("reindex (concurrently false) schema \"Other Shop\"", "\"Other Shop\".\"Orders\"", ON_OTHERS),
    alone("reindex database shop", "customers", "customers SHARE"),
    alone("reindex (verbose) database shop", "customers", "customers SHARE"),
    alone("reindex system shop", "pg_description", "pg_description SHARE"),
];

/// What some versions know only.
fn forms(major: u32) -> impl Iterator<Item = &'static Form> {
    const SINCE_15: &[Form] =
        &[form(CREATE, "create unique index i on orders (id) nulls not distinct", ON_ORDERS)];
    const SINCE_16: &[Form] = &[alone("reindex database", "customers", "customers SHARE")];
    let since = |first: u32, forms: &'static [Form]| if major >= first { forms } else { &[] };
    FORMS.iter().chain(since(15, SINCE_15)).chain(since(16, SINCE_16))
}

#[test]
fn what_is_rejected_takes_the_lock_that_its_page_names() {
    let cluster = live::shop();
    let primary = cluster.primary();
    let mut seen = BTreeSet::new();
    for form in forms(primary.binaries().major()) {
        let locks = match form.run {
            Run::InTransaction => locks_taken(primary, form.sql, false),
            Run::HeldUpBy(writer) => lock_wanted(primary, form.sql, writer),
        };
        assert_eq!(locks, form.locks, "{}", form.sql);
        if form.run == Run::InTransaction && !has_several_statements(form.sql) {
            assert_eq!(locks_taken(primary, form.sql, true), form.locks, "Parse: {}", form.sql);
        }
        for lock in locks.split(", ") {
            let what = if is_index(primary, lock) { "index" } else { "table" };
            seen.insert((form.rule, what, mode_of(lock).to_owned()));
        }
    }
    let expected = [
        (CREATE, "table", "SHARE"),
        (DROP, "index", "ACCESS EXCLUSIVE"),
        (DROP, "table", "ACCESS EXCLUSIVE"),
        (REINDEX, "index", "ACCESS EXCLUSIVE"),
        (REINDEX, "table", "SHARE"),
    ];
    assert!(
        seen.iter().map(|(rule, what, mode)| (*rule, *what, mode.as_str())).eq(expected),
        "{seen:?}"
    );
    for (rule, what, mode) in expected {
        let page = format!("{}/docs/guard/{rule}.md", env!("CARGO_MANIFEST_DIR"));
        let page = std::fs::read_to_string(page).unwrap();
        let lock = page.split("## The lock").nth(1).and_then(|rest| rest.split("\n## ").next());
        let lock = lock.expect("a page says which lock");
        assert!(lock.contains(mode) && lock.contains(what), "{rule}: {mode} on the {what}: {lock}");
        assert!(mode != "SHARE" || !lock.contains("SHARE ROW"), "{rule}: {lock}");
    }
}

#[test]
fn what_is_rejected_never_gets_to_postgres() {
    let cluster = live::shop();
    let primary = cluster.primary();
    let pgweir = live::guarded(&cluster, 2).start();
    let before = live::relations(&cluster, "shop");
    // Whatever got to a table would wait for this one, and be seen waiting.
    let mut writer = primary.open_sql("shop").unwrap();
    writer.run("begin; lock table orders, customers, events, \"Other Shop\".\"Orders\" in row exclusive mode").unwrap();
    let mut client = front::client(&pgweir);
    client.set_deadline(secs(60));
    let mut refused = 0;
    let statements: Vec<&Form> = forms(primary.binaries().major()).collect();
    for form in &statements {
        let mut check = |frames: &[Frame], status: char| {
            assert_eq!(refusal(frames), form.rule, "{}", form.sql);
            assert_eq!(frames.last().unwrap().status(), Some(status), "{}", form.sql);
            refused += 1;
        };
        check(&client.ask(form.sql), 'I');
        assert_eq!(client.ask_value("select 'goes on'"), "goes on");
        client.ask("begin");
        client.ask("insert into log values ('lost')");
        check(&client.ask(form.sql), 'E');
        assert_eq!(strong_locks(primary, "true"), "", "{}", form.sql);
        client.ask("rollback");
        // Postgres refuses a Parse of several statements by itself.
        if !has_several_statements(form.sql) {
            client.send(&batch(form.sql)).unwrap();
            check(&client.until_ready(), 'I');
        }
    }
    assert_eq!(client.ask_value("select count(*) from log"), "0");
    assert_eq!(live::relations(&cluster, "shop"), before, "nothing was made, dropped or rebuilt");
    writer.run("rollback").unwrap();
    let log = primary.log();
    for form in &statements {
        assert!(!log.contains(form.sql), "Postgres was sent {}", form.sql);
    }
    // The log does show what is sent.
    let first = statements[0].sql;
    primary.sql("shop", first).unwrap();
    assert!(primary.log().contains(first));
    println!("{refused} refusals of {} forms", statements.len());
}

/// Locks of SHARE and above on live relations that a statement has taken, as another session sees them.
fn locks_taken(node: &Node, sql: &str, extended: bool) -> String {
    let mut client = RawClient::login(&node.address().into(), &front::login());
    let pid = client.ask_value("select pg_backend_pid()");
    client.ask("begin");
    let request = if extended { batch(sql) } else { message::query(sql) };
    client.send(&request).unwrap();
    let frames = client.until_ready();
    assert_eq!(frames.last().unwrap().status(), Some('T'), "{sql}:\n{}", render_all(&frames));
    let locks = strong_locks(node, &format!("l.pid = {pid} and l.granted"));
    client.ask("rollback");
    locks
}

/// What a statement waits for while this table is written to.
fn lock_wanted(node: &Node, sql: &str, table: &str) -> String {
    let mut writer = node.open_sql("shop").unwrap();
    writer.run(&format!("begin; lock table {table} in row exclusive mode")).unwrap();
    let mut client = RawClient::login(&node.address().into(), &front::login());
    let pid = client.ask_value("select pg_backend_pid()");
    client.send(&message::query(sql)).unwrap();
    let waiting = format!("l.pid = {pid} and not l.granted");
    let locks = wait_for("it waits for a lock", secs(30), || {
        let locks = strong_locks(node, &waiting);
        (!locks.is_empty()).then_some(locks)
    });
    node.sql("shop", &format!("select pg_cancel_backend({pid})")).unwrap();
    let frames = client.until_ready();
    let error = frames.iter().find(|frame| frame.tag == b'E').expect("it was cancelled");
    assert_eq!(error.sqlstate().as_deref(), Some("57014"), "{sql}: {frames:?}");
    writer.run("rollback").unwrap();
    locks
}

fn mode_of(lock: &str) -> &str {
    lock.strip_suffix(" ACCESS EXCLUSIVE")
        .map_or_else(|| lock.rsplit(' ').next().unwrap_or_default(), |_| "ACCESS EXCLUSIVE")
}

fn is_index(node: &Node, lock: &str) -> bool {
    let relation = lock.strip_suffix(mode_of(lock)).unwrap().trim_end();
    let sql =
        format!("select relkind in ('i', 'I') from pg_class where oid = '{relation}'::regclass");
    node.sql("shop", &sql).unwrap()[0][0].as_deref() == Some("t")
}

fn has_several_statements(sql: &str) -> bool {
    !sql.starts_with("do ") && sql.trim_matches([';', ' ']).contains(';')
}
