//! The listening sockets, and how a reload replaces them.
//!
//! New addresses are bound before old ones are closed, and before anything else of a reload takes
//! effect: an address that cannot be had refuses the reload.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use super::RunError;
use crate::config::{Config, DEFAULT_LISTEN_PORT, ListenAddress};
use crate::login::{Hall, accept_from};
use crate::net::listen::Listener;

/// The sockets of one configured address, listened on but not yet accepted from.
#[derive(Debug)]
pub(super) struct Bound {
    address: Option<ListenAddress>,
    listeners: Vec<Listener>,
}

/// A configured address that clients come through. Its sockets are closed when this is dropped.
struct Door {
    /// `None`: the Unix socket.
    address: Option<ListenAddress>,
    /// Also where the system chose it; none on the Unix socket.
    port: Option<u16>,
    _open: watch::Sender<bool>,
}

/// All of them.
pub(super) struct Doors {
    hall: Arc<Hall>,
    open: Vec<Door>,
}

/// Listens on everything that a configuration names.
pub(super) async fn bind_all(config: &Config) -> Result<Vec<Bound>, RunError> {
    let mut bound = bind(&config.server.listen, &[]).await?;
    if let Some(directory) = &config.server.unix_socket {
        bound.push(bind_unix(directory, &bound)?);
    }
    Ok(bound)
}

/// Named after the port that TCP clients use, also where the system chose it.
fn bind_unix(directory: &Path, bound: &[Bound]) -> Result<Bound, RunError> {
    let tcp = bound.iter().flat_map(|bound| &bound.listeners).find_map(Listener::tcp_address);
    let port = tcp.map_or(DEFAULT_LISTEN_PORT, |address| address.port());
    let listener = Listener::unix(directory, port).map_err(RunError::Listen)?;
    Ok(Bound { address: None, listeners: vec![listener] })
}

/// Listens on those addresses that are not among the `open` ones.
async fn bind(wanted: &[ListenAddress], open: &[Door]) -> Result<Vec<Bound>, RunError> {
    let mut bound: Vec<Bound> = Vec::new();
    for address in wanted {
        let is_open = open.iter().any(|door| door.address.as_ref() == Some(address));
        // The same address twice is refused by the system.
        if is_open {
            continue;
        }
        let mut listeners = Vec::new();
        for socket in look_up(address).await? {
            listeners.push(Listener::tcp(socket).map_err(RunError::Listen)?);
        }
        bound.push(Bound { address: Some(address.clone()), listeners });
    }
    Ok(bound)
}

/// The socket addresses of a configured one.
pub(super) async fn look_up(
    address: &ListenAddress,
) -> Result<Vec<std::net::SocketAddr>, RunError> {
    let name = address.to_string();
    let address = address.clone();
    // Looking a name up may block.
    let found = tokio::task::spawn_blocking(move || address.socket_addrs()).await;
    let found = found.unwrap_or_else(|panic| Err(io::Error::other(panic)));
    found.map_err(|error| RunError::Address(name, error))
}

impl Doors {
    /// Opens the first ones.
    pub(super) fn open(hall: Arc<Hall>, bound: Vec<Bound>) -> Self {
        let mut doors = Doors { hall, open: Vec::new() };
        doors.add(bound);
        doors.tell_port();
        doors
    }

    /// Listens on the addresses of a configuration that are not open yet. Nobody is accepted
    /// there before [`Doors::follow`].
    pub(super) async fn bind_new(&self, config: &Config) -> Result<Vec<Bound>, RunError> {
        bind(&config.server.listen, &self.open).await
    }

    /// Opens the new addresses of a configuration, and closes those that it has no longer. The
    /// Unix socket stays.
    pub(super) fn follow(&mut self, config: &Config, bound: Vec<Bound>) {
        self.add(bound);
        self.open.retain(|door| match &door.address {
            Some(address) if !config.server.listen.contains(address) => {
                tracing::info!("no longer listening on {address}");
                false
            }
            Some(_) | None => true,
        });
        self.tell_port();
    }

    /// The console shows the port of the first address.
    fn tell_port(&self) {
        self.hall.listens_at(self.open.iter().find_map(|door| door.port).unwrap_or(0));
    }

    /// Closes all of them.
    pub(super) fn close(&mut self) {
        self.open.clear();
    }

    fn add(&mut self, bound: Vec<Bound>) {
        for Bound { address, listeners } in bound {
            let port = listeners.iter().find_map(Listener::tcp_address).map(|tcp| tcp.port());
            let (open, is_open) = watch::channel(true);
            for listener in listeners {
                tracing::info!("listening on {listener}");
                tokio::spawn(accept_from(listener, self.hall.clone(), is_open.clone()));
            }
            self.open.push(Door { address, port, _open: open });
        }
    }
}
