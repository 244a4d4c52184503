//! SHOW LISTS, MEM, STATE, PEERS, and the tables that are always empty here.

use std::collections::BTreeSet;

use super::{INT4, INT8, Sight, TEXT};
use crate::admin::table::{Column, Row, Value};

pub(super) const LISTS: &[Column] = &[("list", TEXT), ("items", INT4)];

pub(super) const MEM: &[Column] =
    &[("name", TEXT), ("size", INT4), ("used", INT4), ("free", INT4), ("memtotal", INT4)];

pub(super) const STATE: &[Column] = &[("key", TEXT), ("value", TEXT)];

pub(super) const PEERS: &[Column] =
    &[("peer_id", INT4), ("host", TEXT), ("port", INT4), ("pool_size", INT4)];

pub(super) const PEER_POOLS: &[Column] = &[
    ("peer_id", INT4),
    ("cl_active_cancel_req", INT4),
    ("cl_waiting_cancel_req", INT4),
    ("sv_active_cancel", INT4),
    ("sv_login", INT4),
];

pub(super) const DNS_HOSTS: &[Column] = &[("hostname", TEXT), ("ttl", INT8), ("addrs", TEXT)];

pub(super) const DNS_ZONES: &[Column] = &[("zonename", TEXT), ("serial", INT8), ("count", INT4)];

pub(super) fn lists(sight: &Sight<'_>) -> Vec<Row> {
    let pools = &sight.snapshot.pools;
    let sum = |count: fn(&crate::worker::mail::PoolInspection) -> usize| {
        pools.iter().map(count).sum::<usize>()
    };
    let databases = super::databases::names(sight).len() + 1;
    let places = sight.config.server.max_client_connections;
    let logged_in = sight.snapshot.clients;
    let logging_in = (sight.admitted as usize).saturating_sub(logged_in);
    let free_servers = pools.iter().map(|pool| (pool.size as usize).saturating_sub(pool.open));
    let rows: [(&str, usize); 14] = [
        ("databases", databases),
        ("users", super::databases::roles(sight).len()),
        ("peers", sight.config.server.peers.len()),
        ("pools", pools.len() + 1),
        ("peer_pools", 0),
        ("free_clients", places.saturating_sub(sight.admitted) as usize),
        ("used_clients", logged_in + sight.sessions.len()),
        ("login_clients", logging_in),
        ("free_servers", free_servers.sum()),
        ("used_servers", sum(|pool| pool.open)),
        ("dns_names", 0),
        ("dns_zones", 0),
        ("dns_queries", 0),
        ("dns_pending", 0),
    ];
    rows.map(|(name, items)| vec![name.into(), items.into()]).to_vec()
}

/// What there is many of, with the memory that one takes in its slab; buffers come and go.
pub(super) fn mem(sight: &Sight<'_>) -> Vec<Row> {
    let [client, server] = crate::worker::sizes();
    let servers: usize = sight.snapshot.pools.iter().map(|pool| pool.open - pool.login).sum();
    let rows = [
        ("client_cache", client, sight.snapshot.clients),
        ("server_cache", server, servers),
        ("cancel_key_cache", crate::cancel::registry::ENTRY_LEN, sight.cancel_keys),
    ];
    let row = |(name, size, used): (&'static str, usize, usize)| {
        vec![name.into(), size.into(), used.into(), 0_u32.into(), (size * used).into()]
    };
    rows.map(row).to_vec()
}

pub(super) fn state(sight: &Sight<'_>) -> Vec<Row> {
    let yes = |yes: bool| Value::from(if yes { "yes" } else { "no" });
    let paused = sight.holds.all;
    vec![
        vec!["active".into(), yes(!paused)],
        vec!["paused".into(), yes(paused)],
        vec!["suspended".into(), yes(false)],
    ]
}

pub(super) fn peers(sight: &Sight<'_>) -> Vec<Row> {
    let unique: BTreeSet<&String> = sight.config.server.peers.iter().collect();
    let row = |(index, peer): (usize, &String)| -> Row {
        let (host, port) = peer.rsplit_once(':').unwrap_or((peer, "6432"));
        let port: u32 = port.parse().unwrap_or(6432);
        vec![(index + 1).into(), host.into(), port.into(), 0_u32.into()]
    };
    unique.into_iter().enumerate().map(row).collect()
}
