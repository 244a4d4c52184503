//! SHOW PINS and the metrics of pins: who keeps a server, since when and why.

use pgweir::cluster::Cluster;

use super::{SOON, Table, console, in_front_of, show};
use crate::harness::await_event::wait_until;
use crate::harness::http;
use crate::harness::message;
use crate::harness::pgweir_process::Pgweir;
use crate::harness::raw::{Login, RawClient};

/// A sample of the page.
fn sample(pgweir: &Pgweir, name: &str, reason: &str) -> f64 {
    let page = http::get(pgweir.http(), "/metrics");
    let wanted = format!("reason=\"{reason}\"");
    let mut found = page.lines().filter(|line| line.starts_with(name) && line.contains(&wanted));
    let line = found.next().unwrap_or_else(|| panic!("no {name} for {reason}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

fn id_of(console: &mut RawClient, name: &str) -> String {
    show(console, "CLIENTS").value(&[("application_name", name)], "id")
}

#[test]
fn who_keeps_a_server_and_why_is_shown_and_counted() {
    let cluster = Cluster::start().expect("a Postgres");
    let pgweir = in_front_of(&cluster).set("log", "level = \"debug\"").start();
    let login = |name: &str| Login::new("postgres", "postgres").parameter("application_name", name);
    let mut locker = pgweir.client(&login("locker"));
    let mut loader = pgweir.client(&login("loader"));
    let mut plain = pgweir.client(&login("plain"));
    let mut console = console(&pgweir);
    plain.ask("SELECT 1");
    assert_eq!(show(&mut console, "PINS").rows.len(), 0);
    locker.ask("SELECT pg_advisory_lock(7)");
    locker.ask("CREATE TEMP TABLE mine (n int)");
    loader.ask("BEGIN; LOAD 'auto_explain'");
    let of = [("application_name", "locker")];
    let table = show(&mut console, "PINS");
    assert_eq!(table.rows.len(), 2, "{:?}", table.rows);
    assert_eq!(table.value(&of, "reasons"), "temporary object, advisory lock");
    assert_eq!(table.value(&of, "database"), "postgres");
    assert_eq!(table.value(&of, "user"), "postgres");
    assert_eq!(table.value(&of, "id"), id_of(&mut console, "locker"));
    let pid = locker.ask_value("SELECT pg_backend_pid()");
    assert_eq!(table.value(&of, "server_pid"), pid);
    // Idle is who has no transaction.
    assert_eq!(table.value(&[("application_name", "loader")], "idle_s"), "NULL");
    assert!(table.number(&of, "idle_s") < 60 && table.number(&of, "age_s") < 60);
    wait_until("its age", SOON, || show(&mut console, "PINS").number(&of, "age_s") > 0);
    // The same over the extended protocol.
    let extended = [
        message::parse("", "SHOW PINS", &[]),
        message::bind("", "", &[]),
        message::describe(b'P', ""),
        message::execute("", 0),
        message::sync(),
    ];
    console.send(&extended.concat()).unwrap();
    let again = Table::of(&console.until_ready());
    assert_eq!(again.columns, table.columns);
    assert_eq!(again.value(&of, "reasons"), table.value(&of, "reasons"));
    let gauge = |reason: &str| sample(&pgweir, "pgweir_pinned_sessions", reason);
    let total = |reason: &str| sample(&pgweir, "pgweir_pins_total", reason);
    assert_eq!(
        ["advisory_lock", "temporary_object", "load", "setseed"].map(gauge),
        [1.0, 1.0, 1.0, 0.0]
    );
    assert_eq!(
        ["advisory_lock", "temporary_object", "load", "setseed"].map(total),
        [1.0, 1.0, 1.0, 0.0]
    );
    locker.ask("DROP TABLE mine");
    wait_until("one reason less", SOON, || {
        show(&mut console, "PINS").value(&of, "reasons") == "advisory lock"
    });
    locker.ask("SELECT pg_advisory_unlock_all()");
    wait_until("none", SOON, || show(&mut console, "PINS").rows.len() == 1);
    locker.ask("SELECT pg_advisory_lock(8)");
    assert_eq!((total("advisory_lock"), total("temporary_object")), (2.0, 1.0));
    for words in [
        "session keeps its server",
        "session has more to keep its server for",
        "session gives its server back",
    ] {
        pgweir.wait_for_log(words, SOON);
    }
    drop((locker, loader));
    wait_until("nobody", SOON, || show(&mut console, "PINS").rows.is_empty());
}

#[test]
fn session_mode_is_shown_as_what_it_is() {
    let cluster = Cluster::start().expect("a Postgres");
    let pgweir = in_front_of(&cluster).set("defaults", "pool_mode = \"session\"").start();
    let mut client = pgweir.client(&Login::new("postgres", "postgres"));
    client.ask("SELECT 1");
    let mut console = console(&pgweir);
    let table = show(&mut console, "PINS");
    assert_eq!(table.value(&[("user", "postgres")], "reasons"), "session mode");
    assert_eq!(sample(&pgweir, "pgweir_pinned_sessions", "session_mode"), 1.0);
    assert_eq!(sample(&pgweir, "pgweir_pins_total", "session_mode"), 0.0);
}
