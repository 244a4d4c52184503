//! The HTTP port, and how a reload moves it.

use std::io;
use std::sync::Arc;

use tokio::task::AbortHandle;

use super::RunError;
use super::doors::look_up;
use crate::config::{Config, ListenAddress};
use crate::net::listen::Listener;

/// Starts what answers requests at a listening socket.
pub(super) type Serve = Arc<dyn Fn(Listener) -> AbortHandle + Send + Sync>;

/// The port, where there is one.
pub(super) struct HttpDoor {
    serve: Serve,
    address: Option<ListenAddress>,
    accepting: Option<AbortHandle>,
}

/// Listens at the address of a configuration; `None` where it has none.
pub(super) async fn bind(config: &Config) -> Result<Option<Listener>, RunError> {
    let Some(address) = &config.http.listen else { return Ok(None) };
    let absent = || RunError::Address(address.to_string(), io::ErrorKind::AddrNotAvailable.into());
    let first = look_up(address).await?.first().copied().ok_or_else(absent)?;
    Listener::tcp(first).map(Some).map_err(RunError::Listen)
}

impl HttpDoor {
    /// Opens it.
    pub(super) fn open(serve: Serve, config: &Config, listener: Option<Listener>) -> Self {
        let mut door = HttpDoor { serve, address: None, accepting: None };
        door.follow(config, listener);
        door
    }

    /// Listens at the address of a configuration, if that is another one.
    pub(super) async fn bind_new(&self, config: &Config) -> Result<Option<Listener>, RunError> {
        if config.http.listen == self.address { Ok(None) } else { bind(config).await }
    }

    /// Answers at the new address, and no longer at the old one. Requests under way go on.
    pub(super) fn follow(&mut self, config: &Config, listener: Option<Listener>) {
        if config.http.listen == self.address {
            return;
        }
        self.address.clone_from(&config.http.listen);
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
        self.accepting = listener.map(|listener| {
            tracing::info!("HTTP on {listener}");
            (self.serve)(listener)
        });
    }
}
