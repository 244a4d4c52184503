//! A limit that has struck is seen: on the console, in the metrics, in the log.

use pgweir::cluster::Cluster;
use pgweir::sql::Fingerprint;

use super::{error_of, front, limit};
use crate::console::{console, show};
use crate::harness::await_event::secs;
use crate::harness::http;
use crate::harness::message;
use crate::harness::raw::Login;

#[test]
fn a_limit_that_struck_is_on_the_console_in_the_metrics_and_in_the_log() {
    let cluster = Cluster::start().unwrap();
    let options = limit(front(&cluster, &["web"]), "web", "statement_timeout", "500ms");
    let options = options.set("admin", "admins = [\"dba\"]");
    let set = "alter role web set statement_timeout = '500ms'";
    cluster.primary().sql("postgres", set).unwrap();
    let pgweir = options.start();
    let mut client = pgweir.client(&Login::new("web", "app"));
    let batch = |text: &str| {
        let parts = [
            message::parse("", text, &[]),
            message::bind("", "", &[]),
            message::execute("", 0),
            message::sync(),
        ];
        parts.concat()
    };
    let requests = [
        message::query("select pg_sleep(30) /* a */"),
        batch("SELECT pg_sleep(20)"),
        batch("select 'other', pg_sleep(20)"),
    ];
    for request in requests {
        client.send(&request).unwrap();
        assert_eq!(error_of(&client.until_ready()).sqlstate().as_deref(), Some("57014"));
    }
    let sleeps = Fingerprint::of(b"select pg_sleep(1)").to_string();
    let other = Fingerprint::of(b"select '', pg_sleep(1)").to_string();
    let mut console = console(&pgweir);
    let table = show(&mut console, "TIMEOUTS");
    assert_eq!(table.rows.len(), 3, "{:?}", table.rows);
    let row = [("fingerprint", other.as_str())];
    assert_eq!(table.value(&row, "database"), "app");
    assert_eq!(table.value(&row, "user"), "web");
    assert_eq!(table.value(&row, "limit"), "statement_timeout");
    assert_eq!(table.value(&row, "outcome"), "cancelled");
    // Whoever was first; the server's own limit is as long.
    assert!(["server", "pgweir"].contains(&table.value(&row, "by").as_str()));
    assert_eq!((table.number(&row, "limit_ms"), table.number(&row, "alike")), (500, 1));
    assert!((500..5_000).contains(&table.number(&row, "elapsed_ms")));
    let sleeping = |row: &&Vec<Option<String>>| row.contains(&Some(sleeps.clone()));
    let alike: Vec<_> = table.rows.iter().filter(sleeping).map(|row| row.last()).collect();
    let two = Some("2".to_owned());
    assert_eq!(alike, [Some(&two), Some(&two)]);
    let page = http::get(pgweir.http(), "/metrics");
    let count = |kind: &str| {
        let labels = ["database=\"app\"", "role=\"web\"", &format!("kind=\"{kind}\"")];
        let mut lines = page.lines().filter(|line| {
            line.starts_with("pgweir_timeouts_total{") && labels.iter().all(|l| line.contains(l))
        });
        lines.next().and_then(|line| line.rsplit_once(' ')).map(|(_, count)| count.to_owned())
    };
    assert_eq!(count("statement").as_deref(), Some("3"));
    for kind in ["maintenance", "transaction", "idle_in_transaction", "pool_wait"] {
        assert_eq!(count(kind).as_deref(), Some("0"), "{kind}");
    }
    pgweir.wait_for_log(&other, secs(5));
    let log = pgweir.log();
    let lines: Vec<_> =
        log.lines().filter(|line| line.contains("a limit in time has struck")).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines.iter().all(|line| line.contains("cancelled") && line.contains("web")));
    assert_eq!(lines.iter().filter(|line| line.contains(&sleeps)).count(), 2, "{lines:?}");
}
