//! What the console asks of the process.

use std::future::Future;
use std::pin::Pin;

use crate::wire::Report;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownMode {
    /// Now, as on SIGINT.
    AtOnce,
    /// When transactions have ended, at the latest after `drain_timeout`: as on SIGTERM.
    WaitForServers,
    /// When the last client has gone by itself.
    WaitForClients,
}

/// What an order came to: notices and warnings about what was done, or why it was not.
pub type Outcome<'a> = Pin<Box<dyn Future<Output = Result<Vec<Report>, Report>> + Send + 'a>>;

/// The process, as the console may order it about.
pub trait Orders: Send + Sync {
    /// Reads the configuration again, as on SIGHUP. An error says why the old one still holds.
    fn reload(&self) -> Outcome<'_>;

    /// Begins to end the process; does not wait for it.
    fn shutdown(&self, mode: ShutdownMode);
}
