//! SHOW PINS: one row for each session that keeps its server beyond its transactions. A table of
//! pgweir's own.

use super::connections::{addresses, number, pointer};
use super::{INT4, INT8, Sight, TEXT};
use crate::admin::table::{Column, Row};
use crate::worker::listing::{ClientLine, PinLine};
use crate::worker::mail::Listing;

pub(super) const PINS: &[Column] = &[
    ("database", TEXT),
    ("user", TEXT),
    ("addr", TEXT),
    ("port", INT4),
    ("id", INT4),
    ("ptr", TEXT),
    ("link", TEXT),
    ("server_pid", INT4),
    ("reasons", TEXT),
    ("age_s", INT8),
    ("idle_s", INT8),
    ("application_name", TEXT),
];

/// The oldest first.
pub(super) fn pins(sight: &Sight<'_>, listing: &Listing) -> Vec<Row> {
    let pinned = listing.clients.iter();
    let mut pinned: Vec<(&ClientLine, &PinLine)> =
        pinned.filter_map(|client| Some((client, client.pin.as_ref()?))).collect();
    pinned.sort_by_key(|(client, pin)| (std::cmp::Reverse(pin.age_s), client.id));
    pinned.into_iter().map(|(client, pin)| row(sight, client, pin)).collect()
}

fn row(sight: &Sight<'_>, client: &ClientLine, pin: &PinLine) -> Row {
    let [addr, port, ..] = addresses(client.ends, sight.port, true);
    vec![
        client.pool.database.as_str().into(),
        client.pool.role.as_str().into(),
        addr,
        port,
        number(client.id),
        pointer(Some((b'c', client.handle))),
        pointer(client.link.map(|link| (b's', link))),
        number(pin.server_pid),
        pin.pins.in_words().into(),
        pin.age_s.into(),
        pin.idle_s.into(),
        client.application_name.as_str().into(),
    ]
}
