//! Cancel requests: the registry of clients' keys, and the connections that carry them to Postgres.

pub mod registry;
mod send;
#[cfg(test)]
mod tests;

pub use registry::{CancelRegistry, CancelTarget, Registration};
pub use send::Canceller;
