//! SHOW GUARD: what rules of the guard have found lately. SHOW GUARD_POLICY: the policy that all of it would have met.
//! Tables of pgweir's own.

use std::collections::HashMap;

use super::{INT8, Sight, TEXT};
use crate::admin::console::stamp;
use crate::admin::table::{Column, Row};
use crate::guard;
use crate::worker::listing::FoundLine;
use crate::worker::mail::Listing;

pub(super) const GUARD: &[Column] = &[
    ("last_time", TEXT),
    ("database", TEXT),
    ("user", TEXT),
    ("rule", TEXT),
    ("action", TEXT),
    ("count", INT8),
    ("fingerprint", TEXT),
    ("message", TEXT),
];

pub(super) const POLICY: &[Column] = &[("policy", TEXT)];

/// The latest first; what several loops have found alike, once.
pub(super) fn found(listing: &Listing) -> Vec<Row> {
    let mut alike: HashMap<_, FoundLine> = HashMap::new();
    for line in &listing.found {
        let kin = (&line.database, &line.role, line.rule, line.action, line.fingerprint);
        match alike.get_mut(&kin) {
            Some(known) => {
                known.count += line.count;
                known.age_ms = known.age_ms.min(line.age_ms);
            }
            None => drop(alike.insert(kin, line.clone())),
        }
    }
    let mut lines: Vec<_> = alike.into_values().collect();
    lines.sort_by(|a, b| (a.age_ms, a.rule, &a.message).cmp(&(b.age_ms, b.rule, &b.message)));
    lines.into_iter().map(row).collect()
}

fn row(line: FoundLine) -> Row {
    vec![
        stamp(line.age_ms / 1_000).into(),
        line.database.as_str().into(),
        line.role.as_str().into(),
        line.rule.into(),
        line.action.as_str().into(),
        line.count.into(),
        line.fingerprint.to_string().into(),
        line.message.as_str().into(),
    ]
}

/// A line of the configuration in each row.
pub(super) fn policy(sight: &Sight<'_>) -> Vec<Row> {
    let found = sight.snapshot.pools.iter().flat_map(|pool| {
        let of_pool = pool.counters.guard.sorted().into_iter();
        of_pool.map(|((rule, _), count)| (rule, &pool.database[..], &pool.role[..], count))
    });
    guard::proposal(found).into_iter().map(|line| vec![line.as_str().into()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::table::Value;
    use crate::rules::Action;
    use crate::sql::Fingerprint;

    #[test]
    fn what_loops_found_alike_is_one_row() {
        let line = |rule, age_ms, text: &str| FoundLine {
            database: "shop".to_owned(),
            role: "web".to_owned(),
            rule,
            action: Action::Warn,
            count: 2,
            age_ms,
            fingerprint: Fingerprint::of(text.as_bytes()),
            message: "it would".to_owned(),
        };
        let found = vec![
            line("truncate", 5_000, "truncate t"),
            line("truncate", 9_000, "truncate t"),
            line("truncate", 7_000, "truncate u, v"),
            line("drop-table", 1_000, "drop table t"),
        ];
        let rows = super::found(&Listing { found, ..Listing::default() });
        let column = |at: usize| rows.iter().map(|row| row[at].clone()).collect::<Vec<_>>();
        assert_eq!(column(3), ["drop-table", "truncate", "truncate"].map(Value::from));
        assert_eq!(column(5), [2_u64, 4, 2].map(Value::from));
        assert_eq!(rows[0].len(), GUARD.len());
    }
}
