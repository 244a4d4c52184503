//! Cancel requests: the registry of clients' keys, and the connections that carry them to Postgres.

mod ask;
mod desk;
mod processes;
pub mod registry;
mod send;
#[cfg(test)]
mod tests;

pub use ask::Asker;
pub use registry::{CancelRegistry, CancelTarget, Registration};
pub use send::Canceller;
