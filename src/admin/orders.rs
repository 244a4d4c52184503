//! What the console asks of the process.

use std::future::Future;
use std::pin::Pin;

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

/// What an order came to: a word about what was done, or why it was not.
pub type Outcome<'a> = Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>>;

/// The process, as the console may order it about.
pub trait Orders: Send + Sync {
    /// Reads the configuration again, as on SIGHUP. An error says why the old one still holds.
    fn reload(&self) -> Outcome<'_>;

    /// Begins to end the process; does not wait for it.
    fn shutdown(&self, mode: ShutdownMode);
}
