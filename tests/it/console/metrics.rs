//! /metrics: well-formed, and the same numbers as SHOW STATS.

use std::collections::{BTreeMap, BTreeSet};

use pgweir::cluster::Cluster;

use super::{SOON, Table, app, console, in_front_of, show};
use crate::harness::await_event::wait_until;
use crate::harness::frame::Frame;
use crate::harness::http;
use crate::harness::message;
use crate::harness::nonce::{Asks, Nonce};
use crate::harness::pgweir_process::Pgweir;
use crate::harness::raw::{Login, RawClient};

/// Samples by name and labels, as they stand on the page.
struct Scrape {
    samples: BTreeMap<String, f64>,
    kinds: BTreeMap<String, String>,
}

impl Scrape {
    /// Reads a page as Prometheus does, and is as strict.
    fn of(pgweir: &Pgweir) -> Self {
        let page = http::get(pgweir.http(), "/metrics");
        let (mut samples, mut kinds) = (BTreeMap::new(), BTreeMap::new());
        let mut helped = BTreeSet::new();
        for line in page.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, text) = help.split_once(' ').expect("a name and a help");
                assert!(!text.is_empty() && helped.insert(name.to_owned()), "{line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a name and a type");
                assert!(helped.contains(name), "{line}");
                assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
            } else {
                let (sample, value) = line.rsplit_once(' ').expect("a sample and a value");
                let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
                let name = sample.split('{').next().unwrap();
                let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| {
                    let family = name.strip_suffix(suffix)?;
                    (kinds.get(family).map(String::as_str) == Some("histogram")).then_some(family)
                });
                let kind = kinds.get(family.unwrap_or(name));
                let kind = kind.unwrap_or_else(|| panic!("without a type: {line}"));
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                assert!(samples.insert(sample.to_owned(), value).is_none(), "twice: {line}");
            }
        }
        Scrape { samples, kinds }
    }

    /// The sum of every sample of that name with all of these labels.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |sample: &&String| {
            let (found, rest) = sample.split_once('{').unwrap_or((sample, ""));
            let has =
                |(label, value): &(&str, &str)| rest.contains(&format!("{label}=\"{value}\""));
            found == name && labels.iter().all(has)
        };
        let found: Vec<_> = self.samples.iter().filter(|(sample, _)| fits(sample)).collect();
        assert!(!found.is_empty(), "no {name} with {labels:?}");
        found.into_iter().map(|(_, value)| value).sum()
    }
}

fn number(table: &Table, column: &str) -> f64 {
    table.number(&[("database", "postgres")], column) as f64
}

#[test]
fn metrics_and_show_stats_agree() {
    let cluster = Cluster::start().expect("a Postgres");
    let pgweir = in_front_of(&cluster).set("defaults", "pool_size = 3").start();
    let plan = Nonce::new(pgweir.listen(), app()).clients(20).rounds(20).asks(Asks::Both);
    plan.run().assert_all_ok(400);
    let mut console = console(&pgweir);
    wait_until("the last goodbye", SOON, || {
        show(&mut console, "POOLS").number(&[("database", "postgres")], "cl_active") == 0
    });
    let stats = show(&mut console, "STATS");
    let scrape = Scrape::of(&pgweir);
    let of = [("database", "postgres"), ("role", "postgres")];
    for (metric, column) in [
        ("pgweir_server_assignments_total", "total_server_assignment_count"),
        ("pgweir_transactions_total", "total_xact_count"),
        ("pgweir_queries_total", "total_query_count"),
        ("pgweir_client_parses_total", "total_client_parse_count"),
        ("pgweir_server_parses_total", "total_server_parse_count"),
        ("pgweir_binds_total", "total_bind_count"),
        ("pgweir_query_seconds_count", "total_query_count"),
        ("pgweir_transaction_seconds_count", "total_xact_count"),
        ("pgweir_pool_wait_seconds_count", "total_server_assignment_count"),
    ] {
        let value = number(&stats, column);
        assert!(value > 0.0, "{column}");
        assert_eq!(scrape.sum(metric, &of), value, "{metric}");
    }
    assert_eq!(number(&stats, "total_query_count"), 400.0);
    for (direction, column) in [("received", "total_received"), ("sent", "total_sent")] {
        let labels = [of[0], ("direction", direction)];
        assert_eq!(scrape.sum("pgweir_bytes_total", &labels), number(&stats, column));
    }
    for (metric, column) in [
        ("pgweir_query_seconds_sum", "total_query_time"),
        ("pgweir_transaction_seconds_sum", "total_xact_time"),
        ("pgweir_pool_wait_seconds_sum", "total_wait_time"),
    ] {
        let micros = scrape.sum(metric, &of) * 1e6;
        assert!((micros - number(&stats, column)).abs() < 1.0, "{metric}: {micros}");
    }
    assert_eq!(scrape.sum("pgweir_client_connections_accepted_total", &of), 20.0);
    let infinite = [of[0], ("le", "+Inf")];
    assert_eq!(scrape.sum("pgweir_query_seconds_bucket", &infinite), 400.0);
    let state = http::get(pgweir.http(), "/api/state");
    let open = serde_json::from_str::<serde_json::Value>(&state).unwrap();
    let open = open["pools"][0]["open"].as_f64().unwrap();
    assert_eq!(scrape.sum("pgweir_server_connections", &of), open);
}

#[test]
fn what_goes_wrong_is_counted_by_what_it_is() {
    let cluster = Cluster::start().expect("a Postgres");
    let options = in_front_of(&cluster).set("defaults", "pool_size = 1");
    let pgweir = options.set("defaults", "pool_wait_timeout = \"100ms\"").start();
    let (mut holder, mut waiter) = (pgweir.client(&app()), pgweir.client(&app()));
    holder.ask("BEGIN; SELECT 1");
    let refused = waiter.ask("SELECT 1");
    assert_eq!(refused[0].sqlstate().as_deref(), Some("53300"));
    holder.ask("SELECT nosuch");
    holder.ask("ROLLBACK");
    // A cancel request of the client's own.
    let (mut runs, greeting) = RawClient::try_login(&pgweir.address(), &app()).unwrap();
    let (pid, key) = greeting.iter().find_map(Frame::backend_key).unwrap();
    runs.send(&message::query("SELECT pg_sleep(60)")).unwrap();
    // Postgres ignores a signal that comes before the statement.
    let running = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%sleep(60)' \
                   AND pid <> pg_backend_pid()";
    wait_until("the statement", SOON, || {
        cluster.primary().sql("postgres", running).unwrap().len() == 1
    });
    let active = [("state", "active")];
    assert_eq!(Scrape::of(&pgweir).sum("pgweir_client_connections", &active), 1.0);
    let mut cancel = RawClient::connect(&pgweir.address()).unwrap();
    cancel.send(&message::cancel_request(pid, &key)).unwrap();
    assert!(runs.until_ready().iter().any(|frame| frame.sqlstate().as_deref() == Some("57014")));
    // A login that fails.
    RawClient::try_login(&pgweir.address(), &Login::new("postgres", "nosuch")).unwrap();
    wait_until("the cancel request's end", SOON, || {
        let scrape = Scrape::of(&pgweir);
        scrape.sum("pgweir_cancel_requests_total", &[("outcome", "delivered")]) == 1.0
    });
    let scrape = Scrape::of(&pgweir);
    for (class, count) in [("53", 1.0), ("42", 1.0), ("57", 1.0)] {
        assert_eq!(scrape.sum("pgweir_errors_total", &[("sqlstate_class", class)]), count);
    }
    assert_eq!(scrape.sum("pgweir_pool_wait_timeouts_total", &[]), 1.0);
    let failed = [("reason", "database")];
    assert_eq!(scrape.sum("pgweir_client_login_failures_total", &failed), 1.0);
    for name in ["process_resident_memory_bytes", "process_open_fds", "process_max_fds"] {
        assert!(scrape.sum(name, &[]) > 0.0, "{name}");
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let started = scrape.sum("process_start_time_seconds", &[]);
    assert!((now.as_secs_f64() - started).abs() < 60.0, "{started}");
    // Every name of pgweir's own is explained.
    let document = format!("{}/docs/metrics.md", env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(document).unwrap();
    for name in scrape.kinds.keys() {
        assert!(document.contains(&format!("`{name}`")), "docs/metrics.md lacks {name}");
    }
}

#[test]
fn dashboards_made_for_pgbouncer_find_their_names() {
    let cluster = Cluster::start().expect("a Postgres");
    let pgweir = in_front_of(&cluster).set("http", "pgbouncer_metrics = true").start();
    let mut client = pgweir.client(&app());
    client.ask("SELECT 1");
    let scrape = Scrape::of(&pgweir);
    let of = [("database", "postgres")];
    assert_eq!(scrape.sum("pgbouncer_up", &[]), 1.0);
    assert_eq!(scrape.sum("pgbouncer_stats_queries_pooled_total", &of), 1.0);
    assert_eq!(scrape.sum("pgbouncer_pools_server_idle_connections", &of), 1.0);
    assert_eq!(scrape.sum("pgbouncer_pools_client_active_connections", &of), 1.0);
}
