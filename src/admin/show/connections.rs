//! SHOW CLIENTS, SERVERS and SOCKETS: one row for each connection.

use std::net::SocketAddr;

use super::{INT4, Sight, TEXT};
use crate::admin::console::{SessionLine, stamp};
use crate::admin::table::{Column, Row, Value};
use crate::net::socket::Ends;
use crate::worker::listing::{ClientLine, ClientStanding, ServerLine, ServerStanding};
use crate::worker::mail::Listing;

macro_rules! columns {
    ($($extra:expr),*) => {
        &[
            ("type", TEXT),
            ("user", TEXT),
            ("database", TEXT),
            ("replication", TEXT),
            ("state", TEXT),
            ("addr", TEXT),
            ("port", INT4),
            ("local_addr", TEXT),
            ("local_port", INT4),
            ("connect_time", TEXT),
            ("request_time", TEXT),
            ("wait", INT4),
            ("wait_us", INT4),
            ("close_needed", INT4),
            ("ptr", TEXT),
            ("link", TEXT),
            ("remote_pid", INT4),
            ("tls", TEXT),
            ("application_name", TEXT),
            ("prepared_statements", INT4),
            ("id", INT4),
            $(($extra, INT4),)*
        ]
    };
}

pub(super) const CONNECTIONS: &[Column] = columns!();

pub(super) const SOCKETS: &[Column] = columns!(
    "recv_pos",
    "pkt_pos",
    "pkt_remain",
    "send_pos",
    "send_remain",
    "pkt_avail",
    "send_avail"
);

pub(super) fn clients(sight: &Sight<'_>, listing: &Listing) -> Vec<Row> {
    let own = sight.sessions.iter().map(|session| console_row(sight, session));
    listing.clients.iter().map(|client| client_row(sight, client)).chain(own).collect()
}

pub(super) fn servers(sight: &Sight<'_>, listing: &Listing) -> Vec<Row> {
    listing.servers.iter().map(|server| server_row(sight, server)).collect()
}

/// Every connection in a state that `wanted` picks. The positions in buffers are PgBouncer's own.
pub(super) fn sockets(
    sight: &Sight<'_>,
    listing: &Listing,
    wanted: impl Fn(&str) -> bool,
) -> Vec<Row> {
    let mut rows = clients(sight, listing);
    rows.extend(servers(sight, listing));
    rows.retain(|row| matches!(row.get(4), Some(Value::Text(state)) if wanted(state)));
    for row in &mut rows {
        row.extend((0..7).map(|_| Value::Number(0)));
    }
    rows
}

fn client_row(sight: &Sight<'_>, client: &ClientLine) -> Row {
    let state = match client.standing {
        ClientStanding::Active => "active",
        ClientStanding::Idle => "idle",
        ClientStanding::Waiting => "waiting",
    };
    let mut row: Row = vec!["C".into(), client.pool.role.as_str().into()];
    row.extend([client.pool.database.as_str().into(), "none".into(), state.into()]);
    row.extend(addresses(client.ends, sight.port, true));
    row.extend([stamp(client.age_s).into(), stamp(client.quiet_s).into()]);
    row.extend([(client.waiting_ms / 1_000).into(), (client.waiting_ms % 1_000 * 1_000).into()]);
    row.extend([client.closing.into(), pointer(Some((b'c', client.handle)))]);
    row.extend([pointer(client.link.map(|link| (b's', link))), 0_u32.into()]);
    row.extend([client.tls.unwrap_or_default().into(), client.application_name.as_str().into()]);
    row.extend([0_u32.into(), number(client.id)]);
    row
}

fn server_row(sight: &Sight<'_>, server: &ServerLine) -> Row {
    let state = match server.standing {
        ServerStanding::Active => "active",
        ServerStanding::Idle => "idle",
        ServerStanding::Cleaning => "tested",
        ServerStanding::BeingCanceled => "being_canceled",
        ServerStanding::Listening => "listening",
    };
    let port = super::databases::port_of(&server.pool.settings.load()).unwrap_or(sight.port);
    let mut row: Row = vec!["S".into(), server.pool.server_role().into()];
    row.extend([server.pool.database.as_str().into(), "none".into(), state.into()]);
    row.extend(addresses(server.ends, port, false));
    row.extend([stamp(server.age_s).into(), stamp(server.quiet_s).into()]);
    row.extend([0_u32.into(), 0_u32.into(), server.close_needed.into()]);
    row.extend([pointer(Some((b's', server.handle)))]);
    row.extend([pointer(server.link.map(|link| (b'c', link))), number(server.pid)]);
    row.extend([server.tls.unwrap_or_default().into(), server.application_name.as_str().into()]);
    row.extend([0_u32.into(), number(server.id)]);
    row
}

fn console_row(sight: &Sight<'_>, session: &SessionLine) -> Row {
    let mut row: Row = vec!["C".into(), session.role.as_str().into()];
    row.extend([sight.config.admin.database.as_str().into(), "none".into(), "idle".into()]);
    let ends = Ends { peer: session.peer, local: None };
    row.extend(addresses(ends, sight.port, true));
    row.extend([stamp(session.age_s()).into(), stamp(session.quiet_s()).into()]);
    row.extend([0_u32.into(), 0_u32.into(), 0_u32.into()]);
    row.extend([pointer(Some((b'a', u64::from(session.id.unsigned_abs())))), "".into()]);
    row.extend([0_u32.into(), session.tls.unwrap_or_default().into()]);
    row.extend([session.application_name.as_str().into(), 0_u32.into(), number(session.id)]);
    row
}

/// addr, port, local_addr, local_port. On a Unix socket there is one port, the listener's.
pub(super) fn addresses(ends: Ends, port: u16, client: bool) -> [Value; 4] {
    let address = |end: Option<SocketAddr>| {
        end.map_or_else(|| "unix".to_owned(), |end| end.ip().to_canonical().to_string())
    };
    let port_of = |end: Option<SocketAddr>| u32::from(end.map_or(port, |end| end.port()));
    let local = if ends.peer.is_some() && ends.local.is_none() && client {
        (String::new(), u32::from(port))
    } else {
        (address(ends.local), port_of(ends.local))
    };
    [address(ends.peer).into(), port_of(ends.peer).into(), local.0.into(), local.1.into()]
}

/// What tells connections apart, and says which belong together: PgBouncer shows an address in its
/// memory here, we a kind and a number.
pub(super) fn pointer(of: Option<(u8, u64)>) -> Value {
    of.map_or_else(|| "".into(), |(kind, handle)| format!("0x{kind:x}{handle:014x}").into())
}

pub(super) fn number(id: i32) -> Value {
    Value::Number(u64::try_from(id).unwrap_or_default())
}
