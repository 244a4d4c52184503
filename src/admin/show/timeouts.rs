//! SHOW TIMEOUTS: one row for each limit in time that has struck lately. A table of pgweir's own.

use std::collections::HashMap;

use super::{INT8, TEXT};
use crate::admin::console::stamp;
use crate::admin::table::{Column, Row};
use crate::sql::Fingerprint;
use crate::worker::listing::TimeoutLine;
use crate::worker::mail::Listing;

pub(super) const TIMEOUTS: &[Column] = &[
    ("time", TEXT),
    ("database", TEXT),
    ("user", TEXT),
    ("limit", TEXT),
    ("limit_ms", INT8),
    ("elapsed_ms", INT8),
    ("outcome", TEXT),
    ("by", TEXT),
    ("fingerprint", TEXT),
    ("alike", INT8),
];

/// The newest first.
pub(super) fn timeouts(listing: &Listing) -> Vec<Row> {
    let mut lines: Vec<&TimeoutLine> = listing.timeouts.iter().collect();
    lines.sort_by_key(|line| line.age_ms);
    let mut alike: HashMap<_, u64> = HashMap::new();
    for line in &lines {
        *alike.entry(kin(line)).or_default() += 1;
    }
    lines.iter().map(|line| row(line, alike.get(&kin(line)).copied())).collect()
}

/// What those have in common that count as alike.
fn kin(line: &TimeoutLine) -> (&str, &str, &str, Option<Fingerprint>) {
    (&line.database, &line.role, line.limit.key(), line.fingerprint)
}

fn row(line: &TimeoutLine, alike: Option<u64>) -> Row {
    vec![
        stamp(line.age_ms / 1_000).into(),
        line.database.as_str().into(),
        line.role.as_str().into(),
        line.limit.key().into(),
        line.limit_ms.into(),
        line.elapsed_ms.into(),
        line.outcome.word().into(),
        line.belt.word().into(),
        line.fingerprint.map(|fingerprint| fingerprint.to_string()).into(),
        alike.into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::table::Value;
    use crate::config::ClockLimit;
    use crate::worker::listing::{Belt, Outcome};

    #[test]
    fn the_newest_come_first_and_say_how_many_are_like_them() {
        let line = |age_ms: u64, role: &str, text: Option<&str>| TimeoutLine {
            database: "app".to_owned(),
            role: role.to_owned(),
            age_ms,
            limit: ClockLimit::Statement,
            limit_ms: 2_000,
            elapsed_ms: 2_001,
            belt: Belt::Server,
            outcome: Outcome::Cancelled,
            fingerprint: text.map(|text| Fingerprint::of(text.as_bytes())),
        };
        let timeouts = vec![
            line(9_000, "web", Some("select 1")),
            line(70_000, "web", Some("select 2")),
            line(1_000, "batch", Some("select 1")),
            line(8_000, "web", None),
        ];
        let rows = timeouts_of(timeouts);
        let column = |at: usize| rows.iter().map(|row| row[at].clone()).collect::<Vec<_>>();
        assert_eq!(column(2), ["batch", "web", "web", "web"].map(Value::from));
        assert_eq!(column(9), [1_u64, 1, 2, 2].map(Value::from));
        assert_eq!((&rows[1][8], &rows[2][8]), (&Value::Null, &rows[3][8]));
        assert_eq!(rows[0].len(), TIMEOUTS.len());
    }

    fn timeouts_of(timeouts: Vec<TimeoutLine>) -> Vec<Row> {
        super::timeouts(&Listing { timeouts, ..Listing::default() })
    }
}
