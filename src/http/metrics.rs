//! `/metrics`: what Prometheus is told. docs/metrics.md explains each name.

use super::metrics_process::process;
use crate::admin::Snapshot;
use crate::config::ClockLimit;
use crate::login::Hall;
use crate::metrics::text::{Kind, Page};
use crate::metrics::{Counters, Histogram, ReasonCounts, Reloads};
use crate::route::Why;
use crate::session::Pins;
use crate::worker::mail::{LoopFigures, PoolInspection};

/// The page for one picture of the process.
pub(super) fn page(snapshot: &Snapshot, hall: &Hall, of_config: &Reloads) -> String {
    let mut page = Page::default();
    build(&mut page);
    whole(&mut page, snapshot, hall);
    loops(&mut page, &snapshot.loops);
    reloads(&mut page, of_config);
    clients(&mut page, &snapshot.pools);
    servers(&mut page, &snapshot.pools);
    counters(&mut page, &snapshot.pools);
    outcomes(&mut page, &snapshot.pools);
    histograms(&mut page, &snapshot.pools);
    super::metrics_nodes::add(&mut page, &hall.pools().topologies());
    process(&mut page);
    if hall.config().http.pgbouncer_metrics {
        super::metrics_pgbouncer::add(&mut page, snapshot, hall);
    }
    page.into_text()
}

fn build(page: &mut Page) {
    let name = "pgweir_build_info";
    page.family(name, Kind::Gauge, "The version that runs; always 1.");
    page.sample(name, &[("version", env!("CARGO_PKG_VERSION"))], 1);
}

fn whole(page: &mut Page, snapshot: &Snapshot, hall: &Hall) {
    let limit = u64::from(hall.config().server.max_client_connections);
    let mut gauge = |name, help, value| {
        page.family(name, Kind::Gauge, help);
        page.sample(name, &[], value);
    };
    gauge("pgweir_max_client_connections", "Clients that may be logged in at a time.", limit);
    let admitted = u64::from(hall.clients());
    gauge(
        "pgweir_admitted_clients",
        "Clients that have one of these places, those that are logging in included.",
        admitted,
    );
    let statements = snapshot.statements as u64;
    gauge(
        "pgweir_known_statements",
        "Different texts of prepared statements that are kept, named and unnamed.",
        statements,
    );
    let name = "pgweir_client_login_failures_total";
    page.family(name, Kind::Counter, "Logins that were refused, by why.");
    for (reason, count) in hall.tally().all() {
        page.sample(name, &[("reason", reason.word())], count);
    }
}

/// What the event loops carry.
fn loops(page: &mut Page, loops: &[LoopFigures]) {
    type Figure = fn(&LoopFigures) -> u64;
    let families: [(&str, Kind, &str, Figure); 4] = [
        ("pgweir_loop_clients", Kind::Gauge, "Clients on an event loop.", |of| of.clients as u64),
        ("pgweir_loop_servers", Kind::Gauge, "Servers on an event loop.", |of| of.servers as u64),
        (
            "pgweir_loop_transactions_total",
            Kind::Counter,
            "Transactions that ended on an event loop.",
            |of| of.transactions,
        ),
        (
            "pgweir_loop_servers_sent_total",
            Kind::Counter,
            "Servers that an event loop handed to another.",
            |of| of.sent_away,
        ),
    ];
    for (name, kind, help, figure) in families {
        page.family(name, kind, help);
        for of in loops {
            page.sample(name, &[("loop", &of.seat.to_string())], figure(of));
        }
    }
    let name = "pgweir_loop_overtaken_seconds_max";
    let help =
        "The longest that a client on another loop had waited longer than one that was served.";
    page.family(name, Kind::Gauge, help);
    for of in loops {
        let seconds = of.overtaken_ms as f64 / 1e3;
        page.fraction(name, &[("loop", &of.seat.to_string())], seconds);
    }
}

fn reloads(page: &mut Page, reloads: &Reloads) {
    let name = "pgweir_config_reloads_total";
    page.family(name, Kind::Counter, "Reloads of the configuration by what came of them.");
    page.sample(name, &[("result", "done")], reloads.succeeded());
    page.sample(name, &[("result", "refused")], reloads.refused());
    let name = "pgweir_config_last_reload_successful";
    page.family(name, Kind::Gauge, "0 when the last reload was refused.");
    page.sample(name, &[], u64::from(reloads.last_succeeded()));
    let name = "pgweir_config_last_reload_timestamp_seconds";
    page.family(name, Kind::Gauge, "When the last reload ended, or the process started.");
    page.sample(name, &[], reloads.last_at());
}

fn clients(page: &mut Page, pools: &[PoolInspection]) {
    let name = "pgweir_client_connections";
    page.family(
        name,
        Kind::Gauge,
        "Clients: active with a server, waiting for one, idle without wanting one.",
    );
    for pool in pools {
        let idle = pool.clients.saturating_sub(pool.attached + pool.waiting);
        let states = [("active", pool.attached), ("waiting", pool.waiting), ("idle", idle)];
        for (state, count) in states {
            let labels =
                [("database", pool.database.as_str()), ("role", &pool.role), ("state", state)];
            page.sample(name, &labels, count as u64);
        }
    }
}

fn servers(page: &mut Page, pools: &[PoolInspection]) {
    let name = "pgweir_server_connections";
    page.family(name, Kind::Gauge, "Connections to Postgres by what they are used for.");
    for pool in pools {
        for (state, count) in [
            ("active", pool.leased - pool.cleaning),
            ("idle", pool.idle),
            ("cleaning", pool.cleaning),
            ("login", pool.login),
            ("cancel", pool.cancel),
            ("zombie", pool.zombie),
            ("moving", pool.moving),
        ] {
            let mut labels = of_pool(pool).to_vec();
            labels.push(("state", state));
            page.sample(name, &labels, count as u64);
        }
    }
    let mut gauge = |name, help, value: fn(&PoolInspection) -> u64| {
        page.family(name, Kind::Gauge, help);
        for pool in pools {
            page.sample(name, &of_pool(pool), value(pool));
        }
    };
    gauge("pgweir_pool_size", "Connections to Postgres that a pool may have.", |pool| {
        u64::from(pool.size)
    });
    gauge("pgweir_pool_paused", "1 while an administrator holds the pool's clients.", |pool| {
        u64::from(pool.paused)
    });
    gauge(
        "pgweir_pool_pinned_sessions",
        "Clients that keep their server beyond their transactions.",
        |pool| pool.pinned as u64,
    );
    gauge(
        "pgweir_listener_connections",
        "Connections to Postgres that listen for a pool's clients, beside its servers.",
        |pool| pool.listeners as u64,
    );
    gauge("pgweir_listener_channels", "Channels that these listen to.", |pool| {
        pool.channels as u64
    });
    gauge("pgweir_listener_clients", "Clients that these listen for.", |pool| {
        pool.listening as u64
    });
    let name = "pgweir_pinned_sessions";
    page.family(
        name,
        Kind::Gauge,
        "Clients that keep their server beyond their transactions, by why; one may have several \
         reasons.",
    );
    by_reason(page, name, pools, |pool| &pool.pinned_for);
    let name = "pgweir_pool_oldest_waiter_seconds";
    page.family(name, Kind::Gauge, "How long the first client of the queue has waited.");
    for pool in pools {
        page.fraction(name, &of_pool(pool), pool.oldest_wait_ms as f64 / 1e3);
    }
}

/// A sample for each reason to keep a server.
fn by_reason(
    page: &mut Page,
    name: &'static str,
    pools: &[PoolInspection],
    counts: fn(&PoolInspection) -> &ReasonCounts,
) {
    for pool in pools {
        for &reason in Pins::ALL {
            let word = reason.word();
            let mut labels = of_pool(pool).to_vec();
            labels.push(("reason", &word));
            page.sample(name, &labels, counts(pool).of(reason.bits()));
        }
    }
}

fn of_pool(pool: &PoolInspection) -> [(&'static str, &str); 3] {
    [("database", &pool.database), ("role", &pool.role), ("server", &pool.server)]
}

type Count = fn(&Counters) -> u64;

/// Counters with nothing but the pool's labels.
const COUNTERS: [(&str, &str, Count); 12] = [
    ("pgweir_client_connections_accepted_total", "Clients that logged in.", |c| c.logins),
    ("pgweir_server_connections_opened_total", "Connections to Postgres that logged in.", |c| {
        c.servers_opened
    }),
    (
        "pgweir_server_connections_closed_total",
        "Connections to Postgres that were closed, by either side.",
        |c| c.servers_closed,
    ),
    (
        "pgweir_server_connection_failures_total",
        "Attempts to connect and log in to Postgres that failed.",
        |c| c.dials_failed,
    ),
    ("pgweir_server_assignments_total", "Servers given to clients.", |c| c.waits.count()),
    (
        "pgweir_pool_wait_timeouts_total",
        "Clients that gave up waiting after pool_wait_timeout.",
        |c| c.wait_timeouts,
    ),
    (
        "pgweir_timeouts_lost_race_total",
        "Statements that ended by themselves after a limit in time had struck.",
        |c| c.timeouts_lost_race,
    ),
    ("pgweir_transactions_total", "Transactions that ended.", |c| c.transactions.count()),
    (
        "pgweir_listener_notifications_total",
        "Notifications that clients were told by the connection that listens for their pool.",
        |c| c.notifications,
    ),
    ("pgweir_client_parses_total", "Parse messages of clients.", |c| c.client_parses),
    ("pgweir_server_parses_total", "Parse messages sent to Postgres.", |c| c.server_parses),
    ("pgweir_binds_total", "Bind messages of clients.", |c| c.binds),
];

fn counters(page: &mut Page, pools: &[PoolInspection]) {
    for (name, help, count) in COUNTERS {
        page.family(name, Kind::Counter, help);
        for pool in pools {
            page.sample(name, &of_pool(pool), count(&pool.counters));
        }
    }
}

/// Counters with one label more.
fn outcomes(page: &mut Page, pools: &[PoolInspection]) {
    let mut labelled = |name, help, label: &'static str, of: &[(&'static str, Count)]| {
        page.family(name, Kind::Counter, help);
        for pool in pools {
            for (value, count) in of {
                let mut labels = of_pool(pool).to_vec();
                labels.push((label, value));
                page.sample(name, &labels, count(&pool.counters));
            }
        }
    };
    let queries: [(&str, Count); 1] = [("primary", |c| c.queries.count())];
    labelled("pgweir_queries_total", "Queries and batches that were answered.", "route", &queries);
    let bytes: [(&str, Count); 2] =
        [("received", |c| c.bytes_received), ("sent", |c| c.bytes_sent)];
    labelled(
        "pgweir_bytes_total",
        "Bytes passed on: received from clients, sent to them.",
        "direction",
        &bytes,
    );
    let cancels: [(&str, Count); 3] = [
        ("delivered", |c| c.cancels_delivered),
        ("not_sent", |c| c.cancels_not_sent),
        ("unknown", |c| c.cancels_unknown),
    ];
    labelled(
        "pgweir_cancel_requests_total",
        "Cancel requests to Postgres by what is known of them.",
        "outcome",
        &cancels,
    );
    let timeouts: [(&str, Count); 5] = [
        ("statement", |c| c.timeouts.of(1 << ClockLimit::Statement as u32)),
        ("maintenance", |c| c.timeouts.of(1 << ClockLimit::Maintenance as u32)),
        ("transaction", |c| c.timeouts.of(1 << ClockLimit::Transaction as u32)),
        ("idle_in_transaction", |c| c.timeouts.of(1 << ClockLimit::IdleInTransaction as u32)),
        ("pool_wait", |c| c.wait_timeouts),
    ];
    labelled(
        "pgweir_timeouts_total",
        "Limits in time that have struck and taken effect.",
        "kind",
        &timeouts,
    );
    let name = "pgweir_pins_total";
    page.family(
        name,
        Kind::Counter,
        "Reasons for which sessions came to keep their server, where they do not anyway.",
    );
    by_reason(page, name, pools, |pool| &pool.counters.pins);
    let name = "pgweir_requests_routed_total";
    let help = "Requests of databases with replicas, by where they went and why.";
    page.family(name, Kind::Counter, help);
    for pool in pools {
        for why in Why::ALL.into_iter().filter(|why| pool.counters.ways.of(why.bit()) > 0) {
            let mut labels = of_pool(pool).to_vec();
            labels.extend([("target", why.target()), ("reason", why.word())]);
            page.sample(name, &labels, pool.counters.ways.of(why.bit()));
        }
    }
    let name = "pgweir_reads_rerun_total";
    page.family(name, Kind::Counter, "Reads that a replica could not serve and the primary ran.");
    for pool in pools {
        page.sample(name, &of_pool(pool), pool.counters.reruns);
    }
    let name = "pgweir_guard_findings_total";
    let help = "What rules of the guard have found, by the rule and what was done about it.";
    page.family(name, Kind::Counter, help);
    for pool in pools {
        for ((rule, action), count) in pool.counters.guard.sorted() {
            let mut labels = of_pool(pool).to_vec();
            labels.extend([("rule", rule), ("action", action)]);
            page.sample(name, &labels, count);
        }
    }
    let name = "pgweir_errors_total";
    page.family(name, Kind::Counter, "Errors that clients were told, by the SQLSTATE's class.");
    for pool in pools {
        for (class, count) in pool.counters.errors.sorted() {
            let mut labels = of_pool(pool).to_vec();
            labels.push(("sqlstate_class", std::str::from_utf8(&class).unwrap_or("XX")));
            page.sample(name, &labels, count);
        }
    }
}

fn histograms(page: &mut Page, pools: &[PoolInspection]) {
    let mut histogram = |name, help, of: fn(&Counters) -> &Histogram| {
        page.family(name, Kind::Histogram, help);
        for pool in pools {
            page.histogram(name, &of_pool(pool), of(&pool.counters));
        }
    };
    histogram(
        "pgweir_pool_wait_seconds",
        "How long clients waited for a server, in whole milliseconds.",
        |c| &c.waits,
    );
    histogram(
        "pgweir_query_seconds",
        "From a request's first byte to its last answer; waits for a server not included.",
        |c| &c.queries,
    );
    histogram(
        "pgweir_transaction_seconds",
        "From a transaction's first request to its end.",
        |c| &c.transactions,
    );
}
