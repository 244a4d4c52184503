//! SHOW ROUTE: where requests went and why, in databases that have several servers. A table of pgweir's own.

use super::{INT8, Sight, TEXT};
use crate::admin::table::{Column, Row};
use crate::route::Why;
use crate::worker::mail::PoolInspection;

pub(super) const ROUTE: &[Column] =
    &[("database", TEXT), ("user", TEXT), ("target", TEXT), ("reason", TEXT), ("requests", INT8)];

/// In the order of [`Why::ALL`]; what has not happened has no row.
pub(super) fn route(sight: &Sight<'_>) -> Vec<Row> {
    sight.snapshot.pools.iter().flat_map(of_pool).collect()
}

fn of_pool(pool: &PoolInspection) -> impl Iterator<Item = Row> {
    let counted = Why::ALL.into_iter().map(|why| (why, pool.counters.ways.of(why.bit())));
    counted.filter(|(_, requests)| *requests > 0).map(|(why, requests)| {
        vec![
            pool.database.as_str().into(),
            pool.role.as_str().into(),
            why.target().into(),
            why.word().into(),
            requests.into(),
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::table::Value;

    #[test]
    fn each_reason_that_there_was_is_a_row() {
        let mut pool = PoolInspection {
            database: "shop".to_owned(),
            role: "web".to_owned(),
            ..PoolInspection::default()
        };
        assert_eq!(of_pool(&pool).count(), 0);
        for why in [Why::NotFresh, Why::Read, Why::Read, Why::Again] {
            pool.counters.ways.count_one(why as usize);
        }
        let rows: Vec<Row> = of_pool(&pool).collect();
        let row = |target: &str, reason: &str, requests: u64| -> Row {
            let texts = ["shop", "web", target, reason].map(Value::from);
            texts.into_iter().chain([requests.into()]).collect()
        };
        let expected =
            [row("replica", "read", 2), row("primary", "not_fresh", 1), row("primary", "again", 1)];
        assert_eq!(rows, expected);
        assert_eq!(rows[0].len(), ROUTE.len());
    }
}
