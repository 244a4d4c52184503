//! The same numbers under the names of prometheus-community/pgbouncer_exporter, for dashboards
//! that ask for those (`pgbouncer_metrics = true`).

use crate::admin::Snapshot;
use crate::login::Hall;
use crate::metrics::Counters;
use crate::metrics::text::{Kind, Page};
use crate::worker::mail::PoolInspection;

type OfPool = fn(&PoolInspection) -> usize;
type OfDatabase = fn(&Counters) -> u64;
type Time = fn(&Counters) -> u64;

const POOLS: [(&str, OfPool); 11] = [
    ("pgbouncer_pools_client_active_connections", |p| p.clients.saturating_sub(p.waiting)),
    ("pgbouncer_pools_client_waiting_connections", |p| p.waiting),
    ("pgbouncer_pools_client_active_cancel_connections", |p| p.cancel),
    ("pgbouncer_pools_client_waiting_cancel_connections", |p| p.cancel_ordered),
    ("pgbouncer_pools_server_active_connections", |p| {
        p.leased - p.cleaning + p.cancel - p.being_canceled
    }),
    ("pgbouncer_pools_server_active_cancel_connections", |p| p.cancel),
    ("pgbouncer_pools_server_being_canceled_connections", |p| p.being_canceled),
    ("pgbouncer_pools_server_idle_connections", |p| p.idle),
    ("pgbouncer_pools_server_used_connections", |_| 0),
    ("pgbouncer_pools_server_testing_connections", |p| p.cleaning),
    ("pgbouncer_pools_server_login_connections", |p| p.login),
];

const STATS: [(&str, OfDatabase); 7] = [
    ("pgbouncer_stats_queries_pooled_total", |c| c.queries.count()),
    ("pgbouncer_stats_received_bytes_total", |c| c.bytes_received),
    ("pgbouncer_stats_sent_bytes_total", |c| c.bytes_sent),
    ("pgbouncer_stats_sql_transactions_pooled_total", |c| c.transactions.count()),
    ("pgbouncer_stats_client_parses_total", |c| c.client_parses),
    ("pgbouncer_stats_server_parses_total", |c| c.server_parses),
    ("pgbouncer_stats_binds_total", |c| c.binds),
];

/// In microseconds; told in seconds.
const TIMES: [(&str, Time); 3] = [
    ("pgbouncer_stats_queries_duration_seconds_total", |c| c.queries.sum_us),
    ("pgbouncer_stats_server_in_transaction_seconds_total", |c| c.transactions.sum_us),
    ("pgbouncer_stats_client_wait_seconds_total", |c| c.waits.sum_us),
];

const HELP: &str = "As pgbouncer_exporter has it; docs/metrics.md has pgweir's own names.";

pub(super) fn add(page: &mut Page, snapshot: &Snapshot, hall: &Hall) {
    let config = hall.config();
    for (name, value) in [
        ("pgbouncer_up", 1),
        (
            "pgbouncer_config_max_client_connections",
            u64::from(config.server.max_client_connections),
        ),
        ("pgbouncer_config_max_user_connections", 0),
    ] {
        page.family(name, Kind::Gauge, HELP);
        page.sample(name, &[], value);
    }
    page.family("pgbouncer_version_info", Kind::Gauge, HELP);
    let version = crate::admin::VERSION;
    page.sample("pgbouncer_version_info", &[("version", version)], 1);
    for (name, of) in POOLS {
        page.family(name, Kind::Gauge, HELP);
        for pool in &snapshot.pools {
            let labels = [("database", pool.database.as_str()), ("user", &pool.role)];
            page.sample(name, &labels, of(pool) as u64);
        }
    }
    let name = "pgbouncer_pools_client_maxwait_seconds";
    page.family(name, Kind::Gauge, HELP);
    for pool in &snapshot.pools {
        let labels = [("database", pool.database.as_str()), ("user", &pool.role)];
        page.fraction(name, &labels, pool.oldest_wait_ms as f64 / 1e3);
    }
    let databases = snapshot.by_database();
    for (name, of) in STATS {
        page.family(name, Kind::Counter, HELP);
        for (database, counters) in &databases {
            page.sample(name, &[("database", database)], of(counters));
        }
    }
    for (name, of) in TIMES {
        page.family(name, Kind::Counter, HELP);
        for (database, counters) in &databases {
            page.fraction(name, &[("database", database)], of(counters) as f64 / 1e6);
        }
    }
}
