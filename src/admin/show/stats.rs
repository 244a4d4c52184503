//! SHOW STATS and its kin: what was counted for each database.

use super::{NUMERIC, Sight, TEXT};
use crate::admin::table::{Column, Row};
use crate::metrics::Counters;

pub(super) const STATS: &[Column] = &[
    ("database", TEXT),
    ("total_server_assignment_count", NUMERIC),
    ("total_xact_count", NUMERIC),
    ("total_query_count", NUMERIC),
    ("total_received", NUMERIC),
    ("total_sent", NUMERIC),
    ("total_xact_time", NUMERIC),
    ("total_query_time", NUMERIC),
    ("total_wait_time", NUMERIC),
    ("total_client_parse_count", NUMERIC),
    ("total_server_parse_count", NUMERIC),
    ("total_bind_count", NUMERIC),
    ("avg_server_assignment_count", NUMERIC),
    ("avg_xact_count", NUMERIC),
    ("avg_query_count", NUMERIC),
    ("avg_recv", NUMERIC),
    ("avg_sent", NUMERIC),
    ("avg_xact_time", NUMERIC),
    ("avg_query_time", NUMERIC),
    ("avg_wait_time", NUMERIC),
    ("avg_client_parse_count", NUMERIC),
    ("avg_server_parse_count", NUMERIC),
    ("avg_bind_count", NUMERIC),
];

pub(super) const STATS_TOTALS: &[Column] = &[
    ("database", TEXT),
    ("server_assignment_count", NUMERIC),
    ("xact_count", NUMERIC),
    ("query_count", NUMERIC),
    ("bytes_received", NUMERIC),
    ("bytes_sent", NUMERIC),
    ("xact_time", NUMERIC),
    ("query_time", NUMERIC),
    ("wait_time", NUMERIC),
    ("client_parse_count", NUMERIC),
    ("server_parse_count", NUMERIC),
    ("bind_count", NUMERIC),
];

pub(super) const STATS_AVERAGES: &[Column] = &[
    ("database", TEXT),
    ("server_assignment_count", NUMERIC),
    ("xact_count", NUMERIC),
    ("query_count", NUMERIC),
    ("bytes_received", NUMERIC),
    ("bytes_sent", NUMERIC),
    ("xact_time", NUMERIC),
    ("query_time", NUMERIC),
    ("wait_time", NUMERIC),
    ("avg_client_parse_count", NUMERIC),
    ("avg_server_parse_count", NUMERIC),
    ("avg_bind_count", NUMERIC),
];

pub(super) const TOTALS: &[Column] = &[("name", TEXT), ("value", NUMERIC)];

/// The names of SHOW TOTALS, before `total_` and `avg_`.
const NAMES: [&str; 11] = [
    "server_assignment_count",
    "xact_count",
    "query_count",
    "client_bytes",
    "server_bytes",
    "xact_time",
    "query_time",
    "wait_time",
    "ps_client_parse_count",
    "ps_server_parse_count",
    "ps_bind_count",
];

/// The eleven numbers of one row, in the order of the columns; times in microseconds.
type Numbers = [u64; 11];

fn numbers(counters: &Counters) -> Numbers {
    [
        counters.waits.count(),
        counters.transactions.count(),
        counters.queries.count(),
        counters.bytes_received,
        counters.bytes_sent,
        counters.transactions.sum_us,
        counters.queries.sum_us,
        counters.waits.sum_us,
        counters.client_parses,
        counters.server_parses,
        counters.binds,
    ]
}

/// Counts for each second, and times for each transaction, query and server given out, as
/// PgBouncer's `calc_average` does.
fn averages(now: Numbers, then: Numbers, seconds: f64) -> Numbers {
    let mut grown = [0; 11];
    for (grown, (now, then)) in grown.iter_mut().zip(now.into_iter().zip(then)) {
        *grown = now.saturating_sub(then);
    }
    let [assignments, transactions, queries, received, sent, x_time, q_time, w_time, rest @ ..] =
        grown;
    let per_second = |count: u64| (count as f64 / seconds) as u64;
    let each = |time: u64, count: u64| time.checked_div(count).unwrap_or(0);
    let [client_parses, server_parses, binds] = rest.map(per_second);
    [
        per_second(assignments),
        per_second(transactions),
        per_second(queries),
        per_second(received),
        per_second(sent),
        each(x_time, transactions),
        each(q_time, queries),
        each(w_time, assignments),
        client_parses,
        server_parses,
        binds,
    ]
}

/// For each database its totals and averages; the console's last.
fn all(sight: &Sight<'_>) -> Vec<(String, Numbers, Numbers)> {
    let before = |name: &str| sight.since.totals.get(name).map(numbers).unwrap_or_default();
    let of = |(name, counters): (&str, Counters)| {
        let now = numbers(&counters);
        (name.to_owned(), now, averages(now, before(name), sight.since.seconds))
    };
    let mut all: Vec<_> = sight.snapshot.by_database().into_iter().map(of).collect();
    let mut console = Numbers::default();
    console[1] = sight.console_queries;
    console[2] = sight.console_queries;
    all.push((sight.config.admin.database.clone(), console, Numbers::default()));
    all
}

fn row(name: String, numbers: impl IntoIterator<Item = u64>) -> Row {
    let mut row: Row = vec![name.into()];
    row.extend(numbers.into_iter().map(Into::into));
    row
}

pub(super) fn stats(sight: &Sight<'_>) -> Vec<Row> {
    let one = |(name, now, average): (String, Numbers, Numbers)| {
        row(name, now.into_iter().chain(average))
    };
    all(sight).into_iter().map(one).collect()
}

pub(super) fn stats_totals(sight: &Sight<'_>) -> Vec<Row> {
    all(sight).into_iter().map(|(name, now, _)| row(name, now)).collect()
}

pub(super) fn stats_averages(sight: &Sight<'_>) -> Vec<Row> {
    all(sight).into_iter().map(|(name, _, average)| row(name, average)).collect()
}

pub(super) fn totals(sight: &Sight<'_>) -> Vec<Row> {
    let mut counters = Counters::default();
    sight.snapshot.by_database().values().for_each(|of_one| counters.add(of_one));
    let mut before = Counters::default();
    sight.since.totals.values().for_each(|of_one| before.add(of_one));
    let now = numbers(&counters);
    let average = averages(now, numbers(&before), sight.since.seconds);
    let rows = |prefix: &'static str, numbers: Numbers| {
        let named = NAMES.into_iter().zip(numbers);
        named.map(move |(name, number)| row(format!("{prefix}_{name}"), [number]))
    };
    rows("total", now).chain(rows("avg", average)).collect()
}

#[cfg(test)]
mod tests {
    use super::averages;

    #[test]
    fn times_are_averaged_over_what_took_them() {
        let then = [0, 10, 20, 0, 0, 1_000, 1_000, 0, 0, 0, 0];
        let now = [4, 20, 60, 5_000, 100, 6_000, 9_000, 800, 0, 3, 30];
        let expected = [0, 1, 4, 500, 10, 500, 200, 200, 0, 0, 3];
        assert_eq!(averages(now, then, 10.0), expected);
        assert_eq!(averages(then, then, 10.0), [0; 11]);
    }
}
