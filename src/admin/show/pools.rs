//! SHOW POOLS: one row for each database and role.

use super::{INT4, Sight, TEXT};
use crate::admin::table::{Column, Row, Value};
use crate::worker::mail::PoolInspection;

pub(super) const POOLS: &[Column] = &[
    ("database", TEXT),
    ("user", TEXT),
    ("cl_active", INT4),
    ("cl_waiting", INT4),
    ("cl_active_cancel_req", INT4),
    ("cl_waiting_cancel_req", INT4),
    ("sv_active", INT4),
    ("sv_active_cancel", INT4),
    ("sv_being_canceled", INT4),
    ("sv_idle", INT4),
    ("sv_used", INT4),
    ("sv_tested", INT4),
    ("sv_login", INT4),
    ("maxwait", INT4),
    ("maxwait_us", INT4),
    ("pool_mode", TEXT),
    ("load_balance_hosts", TEXT),
];

pub(super) fn pools(sight: &Sight<'_>) -> Vec<Row> {
    let console = sight.config.admin.database.as_str();
    let mut rows: Vec<Row> = sight.snapshot.pools.iter().map(pool).collect();
    let mut own: Row = vec![console.into(), console.into(), sight.sessions.len().into()];
    own.extend((0..12).map(|_| Value::Number(0)));
    own.extend([Value::from("statement"), Value::Null]);
    rows.push(own);
    rows
}

fn pool(pool: &PoolInspection) -> Row {
    vec![
        pool.database.as_str().into(),
        pool.role.as_str().into(),
        // As in PgBouncer: with a server, or idle without wanting one.
        pool.clients.saturating_sub(pool.waiting).into(),
        pool.waiting.into(),
        pool.cancel.into(),
        pool.cancel_ordered.into(),
        // Those that run on while a cancel request is under way included.
        (pool.leased - pool.cleaning + pool.cancel - pool.being_canceled).into(),
        pool.cancel.into(),
        pool.being_canceled.into(),
        pool.idle.into(),
        0_u32.into(),
        pool.cleaning.into(),
        pool.login.into(),
        (pool.oldest_wait_ms / 1_000).into(),
        (pool.oldest_wait_ms % 1_000 * 1_000).into(),
        if pool.session_mode { "session" } else { "transaction" }.into(),
        Value::Null,
    ]
}
